//! Sending messages: to a URL, by mail, to a command. Each call is one attempt, bounded in time, and
//! its error names no secret: not the URL, which often is one.

mod command;
mod http;
mod mail;

pub use command::run;
pub use http::{get, post_json, status};
pub use mail::{Letter, Security, send_mail};

use std::time::Duration;

/// Longest that one attempt may take.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(20);

/// An attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SendError(String);

impl SendError {
    /// A message with every secret in it blotted out.
    fn without(message: impl ToString, secrets: &[&str]) -> Self {
        let mut message = message.to_string();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            message = message.replace(secret, "…");
        }
        Self(message)
    }
}
