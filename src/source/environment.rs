//! Secrets that live only in the environment of a process.

use crate::entry::{Entry, EntryKind, Facts, Layout, Metadata};
use crate::env::Clock;
use crate::source::dotenv::{self, Variable};
use crate::source::{
    CaptureError, Consistency, Content, ContentEnd, Context, Extent, Sink, Source, SourceError,
};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the one file is called.
pub const ENVIRONMENT_FILE_NAME: &str = "environment.env";

/// Looks a variable up: the command line gives the process's environment.
pub type Lookup = Box<dyn Fn(&str) -> Option<OsString>>;

/// Captures named variables as one `.env` file of mode 0600, sorted by name.
pub struct EnvironmentSource {
    names: BTreeSet<String>,
    lookup: Lookup,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, thiserror::Error)]
enum EnvironmentError {
    #[error("no variables are named")]
    NoNames,
    #[error("not set: {0}")]
    Missing(String),
    #[error("not a variable name")]
    BadName,
}

impl EnvironmentSource {
    /// Captures `names`, each once. Errors: no name, or one that is no variable's name.
    pub fn new(
        names: &[String],
        lookup: Lookup,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SourceError> {
        if names.is_empty() {
            return Err(failure("the environment", EnvironmentError::NoNames));
        }
        if let Some(name) = names.iter().find(|name| !dotenv::is_name(name)) {
            // Cut, because a mistyped `NAME=VALUE` must not show its value.
            let shown = name.split('=').next().unwrap_or_default();
            let object = format!("environment variable {shown:?}");
            return Err(failure(object, EnvironmentError::BadName));
        }
        Ok(Self {
            names: names.iter().cloned().collect(),
            lookup,
            clock,
        })
    }

    fn read(&self) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let mut variables = Vec::new();
        let mut missing = Vec::new();
        for name in &self.names {
            match (self.lookup)(name) {
                Some(value) => variables.push(Variable {
                    name: name.clone(),
                    value: Zeroizing::new(value.into_vec()),
                }),
                None => missing.push(name.as_str()),
            }
        }
        if !missing.is_empty() {
            let missing = EnvironmentError::Missing(missing.join(", "));
            return Err(failure("the environment", missing));
        }
        Ok(dotenv::write(&variables))
    }
}

fn failure(object: impl Into<String>, source: EnvironmentError) -> SourceError {
    SourceError {
        operation: "read",
        object: object.into(),
        remedy: None,
        source: Box::new(source),
    }
}

impl Source for EnvironmentSource {
    fn capture(&mut self, _: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        let text = self.read()?;
        let entry = Entry {
            name: ENVIRONMENT_FILE_NAME.as_bytes().to_vec(),
            kind: EntryKind::File {
                size: text.len() as u64,
            },
            metadata: Metadata {
                mode: 0o600,
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                modified: self.clock.now(),
                ..Metadata::default()
            },
        };
        sink.file(entry, None, &mut || {
            Ok(Box::new(SecretContent {
                bytes: text.clone(),
                position: 0,
            }))
        })?;
        Ok(())
    }
}

/// Bytes in memory, erased when dropped.
struct SecretContent {
    bytes: Zeroizing<Vec<u8>>,
    position: usize,
}

impl Content for SecretContent {
    fn layout(&self) -> Layout {
        Layout::Stream
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        let rest = &self.bytes[self.position..];
        let length = rest.len().min(buffer.len());
        if length == 0 {
            return Ok(Extent::End);
        }
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(Extent::Data(length))
    }

    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts: Facts::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::env::SystemClock;
    use crate::monitor::{Cancel, Silent};
    use crate::source::recording::RecordingSink;
    use std::error::Error;

    fn source(names: &[&str]) -> Result<EnvironmentSource, SourceError> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let lookup: Lookup = Box::new(|name| match name {
            "TOKEN" => Some("hunter2".into()),
            "DATABASE_URL" => Some("postgres://u:p w'@h/\n".into()),
            _ => None,
        });
        EnvironmentSource::new(&names, lookup, Arc::new(SystemClock))
    }

    fn capture(source: &mut EnvironmentSource) -> Result<RecordingSink, CaptureError> {
        let mut sink = RecordingSink::default();
        let cancel = Cancel::default();
        let context = Context {
            monitor: &Silent,
            cancel: &cancel,
        };
        source.capture(&context, &mut sink).map(|()| sink)
    }

    #[test]
    fn one_private_sorted_file() {
        let sink = capture(&mut source(&["TOKEN", "DATABASE_URL", "TOKEN"]).unwrap()).unwrap();
        let file = sink.file_named(ENVIRONMENT_FILE_NAME).unwrap();
        assert_eq!(file.entry.metadata.mode, 0o600);
        assert_eq!(file.stamp, None);
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        assert_eq!(
            text,
            "DATABASE_URL=\"postgres://u:p w'@h/\\n\"\nTOKEN=hunter2\n"
        );
    }

    #[test]
    fn missing_names_are_all_named() {
        let error = capture(&mut source(&["TOKEN", "B", "A"]).unwrap())
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "cannot read the environment");
        assert_eq!(error.source().unwrap().to_string(), "not set: A, B");
    }

    #[test]
    fn a_mistyped_assignment_does_not_show_its_value() {
        let error = source(&["TOKEN=hunter2"]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "cannot read environment variable \"TOKEN\""
        );
        assert!(source(&[]).is_err());
    }
}
