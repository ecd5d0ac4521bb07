//! `[notify.NAME]`.

use crate::config::command;
use crate::config::secret::{Secret, secret};
use crate::config::value::{Problem, Table, Value};
use serde::{Deserialize, Serialize};

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// What is told.
    pub on: Vec<Severity>,
    /// How.
    pub kind: NotifyKind,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something needs attention.
    Warning,
    /// A run failed, or something is not safe.
    Critical,
    /// A run was completed; also that something is well again.
    Completed,
    /// A restore began or ended.
    Restore,
    /// A drill ended.
    Drill,
}

impl Severity {
    /// As it is written in the file.
    pub const ALL: [(&'static str, Self); 5] = [
        ("warning", Self::Warning),
        ("critical", Self::Critical),
        ("completed", Self::Completed),
        ("restore", Self::Restore),
        ("drill", Self::Drill),
    ];

    /// Its word in the file and in notices.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, severity)| *severity == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyKind {
    /// A JSON object is sent to a URL.
    Webhook(Secret),
    /// The same, in Slack's form.
    Slack(Secret),
    /// A URL is asked after a success, with `/fail` after a failure.
    Ping(Secret),
    /// An event of PagerDuty's.
    PagerDuty {
        /// The routing key.
        key: Secret,
        /// Where events go; to PagerDuty's usual address without.
        url: Option<String>,
    },
    /// A mail.
    Email(Mail),
    /// A command that reads the JSON object from its standard input.
    Command(Vec<String>),
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Server and port.
    pub server: String,
    /// Sender.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
    /// User and password of the server.
    pub login: Option<(Secret, Secret)>,
    /// How the connection is protected; without, by the port, and never in clear to another host.
    pub security: Option<MailSecurity>,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS asked for before anything is said.
    StartTls,
    /// Not at all.
    None,
}

#[derive(Clone, Copy)]
enum Kind {
    Webhook,
    Slack,
    Ping,
    PagerDuty,
    Email,
    Command,
}

pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Notify> {
    let on = table.require("on", "[\"critical\", \"warning\"]", |value| {
        value.strict_list(|word| word.choice(&Severity::ALL))
    });
    let kind = table.take("kind", |value| {
        value.choice(&[
            ("webhook", Kind::Webhook),
            ("slack", Kind::Slack),
            ("ping", Kind::Ping),
            ("pagerduty", Kind::PagerDuty),
            ("email", Kind::Email),
            ("command", Kind::Command),
        ])
    });
    let url = |table: &mut Table<'_, '_>| {
        table.require("url", "{ env = \"BACKUP_WEBHOOK_URL\" }", secret)
    };
    let kind = match kind.unwrap_or(Kind::Webhook) {
        Kind::Webhook => url(table).map(NotifyKind::Webhook),
        Kind::Slack => url(table).map(NotifyKind::Slack),
        Kind::Ping => url(table).map(NotifyKind::Ping),
        Kind::PagerDuty => {
            let key = table.require("key", "{ env = \"PAGERDUTY_KEY\" }", secret);
            let url = table.take("url", |value| value.parsed(web));
            key.map(|key| NotifyKind::PagerDuty { key, url })
        }
        Kind::Email => email(table).map(NotifyKind::Email),
        Kind::Command => table
            .require("command", "[\"notify-send\"]", command)
            .map(NotifyKind::Command),
    };
    on.zip(kind).map(|(on, kind)| Notify { on, kind })
}

fn email(table: &mut Table<'_, '_>) -> Option<Mail> {
    let server = table.require("server", "\"localhost:25\"", |value| {
        value.parsed(|text| {
            let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            match port {
                Some(Ok(port)) if port > 0 => Ok(text.to_owned()),
                _ => Err(Problem::new(format!(
                    "{text:?} is no server with a port, such as localhost:25"
                ))),
            }
        })
    });
    let address = |value: &Value<'_, '_>| value.parsed(address);
    let from = table.require("from", "\"backup@example.org\"", address);
    let to = table.require("to", "[\"ops@example.org\"]", |value| {
        Ok(value.list(|one| one.parsed(self::address)))
    });
    let user = table.take("user", secret);
    let password = table.take("password", secret);
    if user.is_some() != password.is_some() {
        table.fault(Problem::new(format!(
            "{} has only one of user and password",
            table.name
        )));
    }
    let security = table.take("tls", |value| {
        value.choice(&[
            ("tls", MailSecurity::Tls),
            ("starttls", MailSecurity::StartTls),
            ("none", MailSecurity::None),
        ])
    });
    let (server, from, to) = (server?, from?, to?);
    Some(Mail {
        server,
        from,
        to,
        login: user.zip(password),
        security,
    })
}

/// An address that is no secret.
fn web(text: &str) -> Result<String, Problem> {
    match text.starts_with("https://") || text.starts_with("http://") {
        true => Ok(text.to_owned()),
        false => Err(Problem::new(format!("{text:?} is no http or https URL"))),
    }
}

fn address(text: &str) -> Result<String, Problem> {
    let parts = text.split_once('@');
    let fits = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;".contains(c));
    match fits {
        true => Ok(text.to_owned()),
        false => Err(Problem::new(format!("{text:?} is no mail address"))),
    }
}
