//! `--log-file`: what happened and when, one line each.
//!
//! Only the command's name is logged, not its arguments, which may be secrets.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::text;
use crate::env::Clock;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A line's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Part of an ordinary run.
    Info,
    /// The user should know.
    Warning,
    /// The command failed.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// An open log, appended to.
pub struct LogFile {
    file: Mutex<File>,
    json: bool,
    clock: Arc<dyn Clock>,
}

impl LogFile {
    /// Opens or creates (mode 0600) the log at `path`.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> CommandResult<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| CommandError::file("open the log file", path, &error))?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        Ok(Self {
            file: Mutex::new(file),
            json: matches!(extension, Some("json" | "jsonl")),
            clock,
        })
    }

    /// Appends a line. A log that cannot be written does not stop a backup.
    pub fn write(&self, level: Level, event: &str, message: &str, fields: &[(&str, Value)]) {
        let time = self.clock.now().to_rfc3339();
        let mut line = if self.json {
            let mut object = Map::new();
            object.insert("time".to_owned(), json!(time));
            object.insert("level".to_owned(), json!(level.name()));
            object.insert("event".to_owned(), json!(event));
            object.insert("process".to_owned(), json!(std::process::id()));
            if !message.is_empty() {
                object.insert("message".to_owned(), json!(message));
            }
            for (name, value) in fields {
                object.insert((*name).to_owned(), value.clone());
            }
            Value::Object(object).to_string()
        } else {
            let mut line = format!("{time} {:<7} {event}", level.name());
            if !message.is_empty() {
                line.push_str(&format!(": {}", text::line(message)));
            }
            for (name, value) in fields {
                line.push_str(&format!(" {name}={value}"));
            }
            line
        };
        line.push('\n');
        // One write: lines of several processes do not mix.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _unwritten = file.write_all(line.as_bytes());
    }
}
