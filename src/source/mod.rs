//! Sources: how a consistent capture of something is taken.
//!
//! A source drives and a [`Sink`] receives: directories are entered and left, leaves are offered
//! with a way to open their content. Entries of one directory come sorted by name (byte order).
//! A source cannot name a repository, a chunk or a key.

pub mod dotenv;
pub mod environment;
pub mod exclude;
pub mod files;
#[cfg(any(test, feature = "testing"))]
pub mod recording;
pub mod signal;
pub mod sqlite;
pub mod stream;

use crate::entry::{ChangeStamp, Entry, Facts, Layout};
use crate::monitor::{Cancel, Interrupted, Monitor};

/// One thing that can be captured.
pub trait Source {
    /// Captures it into `sink`. What cannot be read is reported through [`Sink::problem`] and left
    /// out; an error means that nothing consistent could be had at all.
    fn capture(&mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError>;
}

/// What every capture is given.
pub struct Context<'a> {
    /// Where progress and remarks go.
    pub monitor: &'a dyn Monitor,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

/// Receives what a source yields.
pub trait Sink {
    /// A directory begins; what follows until [`Sink::leave`] is inside it.
    fn enter(&mut self, directory: Entry) -> Result<(), SinkError>;

    /// The directory entered last ends.
    fn leave(&mut self) -> Result<(), SinkError>;

    /// A symbolic link, FIFO, socket or device.
    fn special(&mut self, entry: Entry) -> Result<(), SinkError>;

    /// A regular file; `open` is called before this returns or not at all. When opening or reading
    /// fails, the receiver leaves the file out and reports a [`Problem`], but none when the file
    /// [has vanished](SourceError::has_vanished). `stamp` allows the content to be taken from an earlier run without opening
    /// it; `None` where that is never allowed (databases, files changed within the last 2 s).
    /// Only content that [may be remembered](Content::may_be_remembered), without facts and
    /// [`Consistency::Consistent`], may be remembered by its stamp: a live database must not be.
    fn file(
        &mut self,
        entry: Entry,
        stamp: Option<ChangeStamp>,
        open: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError>;

    /// Something could not be read: it is missing from the snapshot, or torn.
    fn problem(&mut self, problem: Problem);

    /// Something was left out on purpose.
    fn excluded(&mut self, exclusion: Exclusion);
}

/// The bytes of one file or stream, read once from the start.
pub trait Content {
    /// How to cut it. May differ from call to call only before the first [`Content::read`].
    fn layout(&self) -> Layout;

    /// Whether an equal stamp means equal content. Not for a database whose log may have grown.
    fn may_be_remembered(&self) -> bool {
        self.layout() == Layout::Stream
    }

    /// Fills the front of `buffer` with the next bytes, or skips a hole.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError>;

    /// Called after [`Extent::End`]: closes, checks, and says what was captured.
    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError>;
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The first `n > 0` bytes of the buffer were filled.
    Data(usize),
    /// The next `n > 0` bytes are a hole (zeros that take no space).
    Hole(u64),
    /// Nothing follows.
    End,
}

/// What a finished content was.
#[derive(Debug)]
pub struct ContentEnd {
    /// The entry as it was when the content was read: its size and times, not those of the scan.
    /// `None` keeps the entry that was offered, with the size that was read.
    pub entry: Option<Entry>,
    /// Whether the bytes are one consistent state.
    pub consistency: Consistency,
    /// What is known about the content (a database's version, counts, checks).
    pub facts: Facts,
}

/// Whether what was read is one state of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consistency {
    /// It is.
    Consistent,
    /// The file changed while it was read: worth another attempt.
    Changed,
    /// It is one state, but the engine's own check found fault with it: keep, mark suspect.
    Suspect(String),
}

/// A file or directory that could not be captured, or not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path inside the snapshot, raw bytes, parts joined by `/`.
    pub path: Vec<u8>,
    /// What happened, one sentence, no final stop.
    pub message: String,
}

/// Something left out by a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// Path inside the snapshot, raw bytes, parts joined by `/`.
    pub path: Vec<u8>,
    /// The rule's glob, or the rule's name (`one-file-system`).
    pub rule: String,
    /// Why the rule is there, where its author said so.
    pub reason: Option<String>,
    /// Bytes of regular files left out below it, as far as they were counted.
    pub bytes: u64,
    /// Regular files left out below it.
    pub files: u64,
}

/// A failed source call: what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}")]
pub struct SourceError {
    /// The step, as a verb: `open`, `read`, `list`, `query`.
    pub operation: &'static str,
    /// The path, database or command.
    pub object: String,
    /// What to do about it, where there is something to say.
    pub remedy: Option<String>,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SourceError {
    /// Whether the file was removed between being listed and being opened: as if it had never been
    /// there, and no problem.
    pub fn has_vanished(&self) -> bool {
        let cause = self.source.downcast_ref::<std::io::Error>();
        self.operation == "open"
            && cause.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// The receiver failed: the source passes it on untouched.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SinkError(pub Box<dyn std::error::Error + Send + Sync>);

/// Why a capture gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source could not be captured consistently.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What was captured could not be stored.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
