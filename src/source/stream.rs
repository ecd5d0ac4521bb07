//! Streams: standard input, or what a command writes.
//!
//! A pipe hides failure: the reader of `dump | store` sees an orderly end where the dump died. So a
//! command is run from here, without a shell, and the capture fails unless it ends with status 0.
//! The capture also fails when the receiver did not read the stream to its end.

mod command;
mod redact;

pub use command::{CommandSource, hide_secrets};

use crate::entry::{Entry, EntryKind, Facts, Layout, Metadata};
use crate::env::Clock;
use crate::monitor::{Cancel, Interrupted};
use crate::source::{
    CaptureError, Consistency, Content, ContentEnd, Context, Extent, Sink, Source, SourceError,
};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// Captures what a reader gives, once, as one file.
pub struct ReaderSource {
    name: Vec<u8>,
    reader: Option<Box<dyn Read + Send>>,
    clock: Arc<dyn Clock>,
    allows_empty: bool,
}

/// Why a stream is no capture.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the name must be one path component")]
    Name,
    #[error("the stream was read before")]
    ReadBefore,
    #[error("the stream is empty")]
    Empty,
    #[error("the stream was not read to its end")]
    Unfinished,
}

impl ReaderSource {
    /// Captures `reader` (standard input, say) as a file called `name`. Errors: `name` is not one
    /// path component.
    pub fn new(
        name: &[u8],
        reader: Box<dyn Read + Send>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            name: checked_name(name)?,
            reader: Some(reader),
            clock,
            allows_empty: false,
        })
    }

    /// Takes a stream without a byte for success. By default it is an error: the usual cause is a
    /// command before the pipe that failed.
    pub fn allow_empty(mut self, yes: bool) -> Self {
        self.allows_empty = yes;
        self
    }
}

fn checked_name(name: &[u8]) -> Result<Vec<u8>, SourceError> {
    let is_component = !name.is_empty()
        && name.len() <= crate::limits::NAME_BYTES_MAX
        && !matches!(name, b"." | b"..")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if is_component {
        Ok(name.to_vec())
    } else {
        Err(stream_failure("name", name, StreamError::Name))
    }
}

fn stream_failure(operation: &'static str, name: &[u8], error: StreamError) -> SourceError {
    let remedy = matches!(error, StreamError::Empty).then(|| {
        "let icecore run the command itself with --exec, so that its failure is seen".to_owned()
    });
    SourceError {
        operation,
        object: format!("stream {}", String::from_utf8_lossy(name)),
        remedy,
        source: Box::new(error),
    }
}

/// A file of mode 0600 that belongs to this process: streams have no metadata of their own.
fn stream_entry(name: &[u8], clock: &dyn Clock) -> Entry {
    Entry {
        name: name.to_vec(),
        kind: EntryKind::File { size: 0 },
        metadata: Metadata {
            mode: 0o600,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            modified: clock.now(),
            ..Metadata::default()
        },
    }
}

/// What a content tells its source, which outlives it: whether the stream ended well.
#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Option<Result<(), String>>>>);

impl Outcome {
    fn set(&self, outcome: Result<(), String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// Success only if the content was finished and found good, whatever the receiver made of it.
    fn into_result(self, name: &[u8]) -> Result<(), SourceError> {
        let outcome = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(message)) => Err(SourceError {
                operation: "capture",
                object: format!("stream {}", String::from_utf8_lossy(name)),
                remedy: None,
                source: message.into(),
            }),
            None => Err(stream_failure("capture", name, StreamError::Unfinished)),
        }
    }
}

impl Source for ReaderSource {
    fn capture(&mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        let outcome = Outcome::default();
        let entry = stream_entry(&self.name, self.clock.as_ref());
        let Self {
            name,
            reader,
            allows_empty,
            ..
        } = self;
        let mut failed = None;
        sink.file(entry, None, &mut || match reader.take() {
            Some(reader) => Ok(Box::new(ReaderContent {
                reader,
                name: name.clone(),
                length: 0,
                allows_empty: *allows_empty,
                cancel: context.cancel.clone(),
                outcome: outcome.clone(),
            })),
            None => {
                failed = Some(());
                Err(stream_failure("open", name, StreamError::ReadBefore))
            }
        })?;
        if failed.is_some() {
            return Err(stream_failure("open", &self.name, StreamError::ReadBefore).into());
        }
        context.cancel.check()?;
        outcome.into_result(&self.name)?;
        Ok(())
    }
}

struct ReaderContent {
    reader: Box<dyn Read + Send>,
    name: Vec<u8>,
    length: u64,
    allows_empty: bool,
    cancel: Cancel,
    outcome: Outcome,
}

impl ReaderContent {
    fn fail(&self, error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
        self.outcome.set(Err(error.to_string()));
        SourceError {
            operation: "read",
            object: format!("stream {}", String::from_utf8_lossy(&self.name)),
            remedy: None,
            source: Box::new(error),
        }
    }
}

impl Content for ReaderContent {
    fn layout(&self) -> Layout {
        Layout::Stream
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(self.fail(Interrupted));
            }
            match self.reader.read(buffer) {
                Ok(0) => return Ok(Extent::End),
                Ok(length) => {
                    self.length += length as u64;
                    return Ok(Extent::Data(length));
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        if self.length == 0 && !self.allows_empty {
            self.outcome.set(Err(StreamError::Empty.to_string()));
            return Err(stream_failure("capture", &self.name, StreamError::Empty));
        }
        self.outcome.set(Ok(()));
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts: Facts::new(),
        })
    }
}

#[cfg(test)]
mod tests;
