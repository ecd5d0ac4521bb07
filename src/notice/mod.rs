//! Notices: what people are told. A condition is told once, and once more when it is over; what
//! could not be delivered waits until it can. Pure: moments are arguments.

mod ledger;
pub mod payload;
#[cfg(test)]
mod tests;

pub use ledger::{Delivery, Ledger, RATE_MAX};

use crate::config::{Notify, NotifyKind, Severity};
use crate::status::{Finding, Level};
use serde::{Deserialize, Serialize};

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Something is wrong, until it is resolved.
    Problem,
    /// What was wrong is over.
    Resolved,
    /// Something happened.
    News,
}

impl Tone {
    /// Its word in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Resolved => "resolved",
            Self::News => "news",
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What kind of thing it is, one word: a state of `status`, or `completed`, `drill-failed`, …
    pub condition: String,
    /// What it is about: a source, job or repository.
    pub subject: String,
    /// Who wants to know.
    pub severity: Severity,
    /// Who wants to know too.
    pub also: Option<Severity>,
    /// What kind of message it is.
    pub tone: Tone,
    /// What is so, in a sentence.
    pub message: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
    /// The snapshot it is about, or the newest there is of it.
    pub snapshot: Option<String>,
    /// When, nanoseconds since 1970.
    pub time: i64,
}

/// Condition of a run that begins: only for those who watch for pings.
pub const RUN_STARTED: &str = "run-started";

/// Condition of a run that did all it should.
pub const COMPLETED: &str = "completed";

/// Condition of a run that failed, as `status` calls it.
pub const FAILED: &str = "failed";

/// Conditions that events open and close, not what `status` finds.
pub const OF_EVENTS: [&str; 4] = [
    "verification-failed",
    "copy-failed",
    "drill-failed",
    "restore-failed",
];

impl Notice {
    /// Something happened.
    pub fn news(condition: &str, subject: &str, severity: Severity, message: String) -> Self {
        Self {
            condition: condition.to_owned(),
            subject: subject.to_owned(),
            severity,
            also: None,
            tone: Tone::News,
            message,
            remedy: String::new(),
            snapshot: None,
            time: 0,
        }
    }

    /// Something is wrong.
    pub fn problem(
        condition: &str,
        subject: &str,
        severity: Severity,
        message: String,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            tone: Tone::Problem,
            remedy: remedy.into(),
            ..Self::news(condition, subject, severity, message)
        }
    }

    /// What `status` found. A run that failed is critical whatever else is safe.
    pub fn of(finding: &Finding, snapshot: Option<String>) -> Self {
        let severity = match finding.level {
            Level::NotSafe => Severity::Critical,
            Level::Attention if finding.state == FAILED => Severity::Critical,
            Level::Attention => Severity::Warning,
        };
        let (message, remedy) = (finding.message.clone(), finding.remedy.as_str());
        Self {
            snapshot,
            ..Self::problem(finding.state, &finding.subject, severity, message, remedy)
        }
    }

    /// One name for one condition of one thing: what is told once. Each missing day is its own.
    pub fn key(&self) -> String {
        let Self {
            condition,
            subject,
            message,
            ..
        } = self;
        match condition.as_str() {
            "missing-day" => format!("{condition}/{subject}/{message}"),
            _ => format!("{condition}/{subject}"),
        }
    }

    /// Whether somebody wants to know. What is over is told to who was told that it was not, and to
    /// who wants to know what went well.
    pub fn is_for(&self, notify: &Notify) -> bool {
        let wants = |severity: Severity| notify.on.contains(&severity);
        let named = wants(self.severity) || self.also.is_some_and(wants);
        match (&notify.kind, self.tone) {
            // A ping has three words: began, ended well, failed.
            (NotifyKind::Ping(_), _) => {
                self.condition == RUN_STARTED
                    || (named && self.condition == COMPLETED)
                    || (named && self.tone == Tone::Problem)
            }
            _ if self.condition == RUN_STARTED => false,
            (_, Tone::Resolved) => named || wants(Severity::Completed),
            _ => named,
        }
    }
}
