//! Notices in the forms that their receivers take.

use crate::config::Severity;
use crate::env::Timestamp;
use crate::notice::{COMPLETED, Notice, RUN_STARTED, Tone};
use serde_json::{Value, json};

/// Who tells: the configuration's name and the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teller {
    /// The configuration's name.
    pub name: String,
    /// The host.
    pub host: String,
}

impl Teller {
    /// One line: `[portal] CRITICAL db: …`.
    pub fn title(&self, notice: &Notice) -> String {
        let word = match (notice.tone, notice.severity) {
            (Tone::Resolved, _) => "RESOLVED",
            (Tone::Problem, Severity::Critical) => "CRITICAL",
            (Tone::Problem, _) => "WARNING",
            (Tone::News, _) => "OK",
        };
        let Self { name, .. } = self;
        format!("[{name}] {word} {}: {}", notice.subject, notice.message)
    }

    /// Several lines for people.
    pub fn text(&self, notice: &Notice) -> String {
        let mut text = self.title(notice);
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("\n{name}: {value}"));
            }
        };
        line("What to do", &notice.remedy);
        line("Snapshot", notice.snapshot.as_deref().unwrap_or_default());
        line("Host", &self.host);
        line("Time", &Timestamp(notice.time).to_rfc3339());
        text
    }

    /// The JSON object of webhooks and commands.
    pub fn object(&self, notice: &Notice) -> Value {
        json!({
            "type": "icecore.notice",
            "schema": 1,
            "name": self.name,
            "host": self.host,
            "state": notice.tone.name(),
            "condition": notice.condition,
            "severity": notice.severity.name(),
            "subject": notice.subject,
            "title": self.title(notice),
            "message": notice.message,
            "remedy": notice.remedy,
            "snapshot_id": notice.snapshot,
            "key": notice.key(),
            "time": Timestamp(notice.time).to_rfc3339(),
        })
    }

    /// Slack's form; what the text holds is no markup.
    pub fn slack(&self, notice: &Notice) -> Value {
        let text = self.text(notice);
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        json!({ "text": text.replace('>', "&gt;") })
    }

    /// An event of PagerDuty's version 2 for a routing key. News open nothing that somebody would have
    /// to close: they are none.
    pub fn pagerduty(&self, notice: &Notice, routing_key: &str) -> Option<Value> {
        let action = match notice.tone {
            Tone::Problem => "trigger",
            Tone::Resolved => "resolve",
            Tone::News => return None,
        };
        let severity = match notice.severity {
            Severity::Critical => "critical",
            _ => "warning",
        };
        let mut summary = self.title(notice);
        // PagerDuty's bound.
        summary = summary.chars().take(1000).collect();
        Some(json!({
            "routing_key": routing_key,
            "event_action": action,
            "dedup_key": format!("icecore/{}/{}", self.name, notice.key()).chars().take(250).collect::<String>(),
            "payload": {
                "summary": summary,
                "source": self.host,
                "severity": severity,
                "component": notice.subject,
                "class": notice.condition,
                "timestamp": Timestamp(notice.time).to_rfc3339(),
                "custom_details": self.object(notice),
            },
        }))
    }
}

/// What a ping adds to its URL; `None` where it says nothing.
pub fn ping(notice: &Notice) -> Option<&'static str> {
    match (notice.condition.as_str(), notice.tone) {
        (RUN_STARTED, _) => Some("/start"),
        (COMPLETED, _) => Some(""),
        (_, Tone::Problem) => Some("/fail"),
        _ => None,
    }
}
