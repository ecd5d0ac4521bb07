//! From what a source yields to the root of a tree.

use crate::archiver::directory::DirectoryBuilder;
use crate::archiver::reading::{FileReader, ReadFailure, Reading};
use crate::archiver::stat_cache::{StatCache, Unplaced};
use crate::archiver::workers::Workers;
use crate::codec::Effort;
use crate::entry::{ChangeStamp, Entry, EntryKind, Fact, Facts};
use crate::format::entry::{Condition, TreeEntry};
use crate::format::node::Child;
use crate::format::snapshot::Totals;
use crate::id::BlobId;
use crate::monitor::{Cancel, Monitor};
use crate::repository::{WriteError, WriteSession};
use crate::source::{
    CaptureError, Consistency, Content, Context, Exclusion, Problem, Sink, SinkError, Source,
    SourceError,
};
use std::sync::Mutex;
use std::time::Duration;

/// A file that keeps changing is read this often before it is kept torn.
const ATTEMPTS: usize = 3;

/// What a capture chooses.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// Compression effort.
    pub effort: Effort,
    /// Worker threads.
    pub workers: usize,
    /// Identity of the source: what its stat cache hangs on.
    pub source: String,
    /// Whether content that cannot be read fails the capture (a database, a stream) instead of
    /// being reported and left out (a file of a tree).
    pub strict: bool,
    /// Whether unchanged files may be taken from the stat cache without being read.
    pub use_cache: bool,
    /// The parent snapshot's root: files are compared with what stands in their place there.
    pub parent: Option<BlobId>,
}

/// A captured tree, all of whose blobs were handed to the session.
#[derive(Debug)]
pub struct Archived {
    /// The root directory's links blob.
    pub root: BlobId,
    /// Files, directories, bytes and chunks.
    pub totals: Totals,
    /// Facts by path inside the snapshot.
    pub facts: Vec<(Vec<u8>, Facts)>,
    /// What was left out.
    pub exclusions: Vec<Exclusion>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// Whether an engine's own check found fault.
    pub suspect: bool,
    /// What was expected and is not so.
    pub unmet: Vec<String>,
    /// How long the source was read: of a database, how long its transaction was open.
    pub capture: Duration,
    /// What the stat cache still has to learn, once the packs are listed.
    pub(super) unplaced: Unplaced,
}

/// A capture failed. Nothing that was saved before is touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The source gave nothing consistent.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The repository could not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The source broke the order of entries.
    #[error("the source is defective")]
    Defect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] crate::monitor::Interrupted),
}

/// Captures `source` into `session`.
pub fn archive<'a>(
    session: &WriteSession<'a>,
    source: &mut dyn Source,
    options: &ArchiveOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Archived, ArchiveError> {
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        let workers = Workers::start(scope, session, options.effort, options.workers, &failure);
        let mut sink = TreeSink {
            workers,
            monitor,
            cancel,
            strict: options.strict,
            use_cache: options.use_cache,
            reading: FileReader::new(session, &options.source, options.parent, monitor),
            stat_cache: StatCache::new(session, &options.source),
            stack: vec![DirectoryBuilder::new(None)],
            path: Vec::new(),
            archived: Archived {
                root: BlobId::default(),
                totals: Totals::default(),
                facts: Vec::new(),
                exclusions: Vec::new(),
                problems: Vec::new(),
                suspect: false,
                unmet: Vec::new(),
                capture: Duration::ZERO,
                unplaced: Unplaced::default(),
            },
        };
        let context = Context { monitor, cancel };
        let clock = session.repository().clock();
        let started = clock.elapsed();
        let captured = source.capture(&context, &mut sink);
        sink.archived.capture = clock.elapsed().saturating_sub(started);
        match captured {
            Ok(()) => sink.finish(),
            Err(CaptureError::Source(error)) => Err(error.into()),
            Err(CaptureError::Interrupted(error)) => Err(error.into()),
            Err(CaptureError::Sink(error)) => Err(sink_failure(error)),
        }
    })
}

/// Takes apart what this sink wrapped for its way through the source.
fn sink_failure(error: SinkError) -> ArchiveError {
    let other = match error.0.downcast::<WriteError>() {
        Ok(error) => return ArchiveError::Write(*error),
        Err(other) => other,
    };
    let other = match other.downcast::<SourceFailure>() {
        Ok(failure) => return ArchiveError::Source(failure.0),
        Err(other) => other,
    };
    match other.downcast::<crate::monitor::Interrupted>() {
        Ok(interrupted) => ArchiveError::Interrupted(*interrupted),
        Err(other) => ArchiveError::Defect(other),
    }
}

struct TreeSink<'x, 'a> {
    workers: Workers<'x>,
    monitor: &'x dyn Monitor,
    cancel: &'x Cancel,
    strict: bool,
    use_cache: bool,
    reading: FileReader<'x>,
    stat_cache: StatCache<'x, 'a>,
    stack: Vec<DirectoryBuilder>,
    /// Names of the directories on the stack but for the root, joined by `/`.
    path: Vec<u8>,
    archived: Archived,
}

fn wrap<E: std::error::Error + Send + Sync + 'static>(error: E) -> SinkError {
    SinkError(Box::new(error))
}

impl TreeSink<'_, '_> {
    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        match self.path.is_empty() {
            true => name.to_vec(),
            false => [&self.path, &b"/"[..], name].concat(),
        }
    }

    fn top(&mut self) -> Result<&mut DirectoryBuilder, SinkError> {
        self.stack
            .last_mut()
            .ok_or_else(|| wrap(WriteError::PackLost))
    }

    fn push(&mut self, entry: Entry, condition: Condition, child: Child) -> Result<(), SinkError> {
        let Some(directory) = self.stack.last_mut() else {
            return Err(wrap(WriteError::PackLost));
        };
        directory
            .push(TreeEntry { entry, condition }, child, &self.workers)
            .map_err(wrap)
    }

    fn count_file(&mut self, length: u64, chunks: u64) {
        self.archived.totals.files += 1;
        self.archived.totals.bytes += length;
        self.archived.totals.chunks += chunks;
    }

    /// Reads until the content is consistent, or often enough.
    fn read_consistently(
        &mut self,
        path: &[u8],
        open: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<Reading, ReadFailure> {
        let mut attempt = 1;
        loop {
            let content = open()?;
            let reading = self
                .reading
                .read(content, path, &self.workers, self.cancel)?;
            if reading.end.consistency != Consistency::Changed || attempt == ATTEMPTS {
                return Ok(reading);
            }
            attempt += 1;
        }
    }
}

impl Sink for TreeSink<'_, '_> {
    fn enter(&mut self, directory: Entry) -> Result<(), SinkError> {
        self.top()?.check_order(&directory.name).map_err(wrap)?;
        self.path = self.path_of(&directory.name);
        self.stack.push(DirectoryBuilder::new(Some(directory)));
        self.archived.totals.directories += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        let lost = || wrap(WriteError::PackLost);
        let directory = self.stack.pop().ok_or_else(lost)?;
        let (entry, child) = directory.finish(&self.workers).map_err(wrap)?;
        let entry = entry.ok_or_else(lost)?;
        let parent = self.path.len().saturating_sub(entry.name.len() + 1);
        self.path.truncate(parent);
        self.push(entry, Condition::Whole, child)
    }

    fn special(&mut self, entry: Entry) -> Result<(), SinkError> {
        self.top()?.check_order(&entry.name).map_err(wrap)?;
        self.push(entry, Condition::Whole, Child::Nothing)
    }

    fn file(
        &mut self,
        mut entry: Entry,
        stamp: Option<ChangeStamp>,
        open: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError> {
        self.top()?.check_order(&entry.name).map_err(wrap)?;
        let path = self.path_of(&entry.name);
        if let Some(stamp) = &stamp
            && self.use_cache
            && let Some(child) = self.stat_cache.get(&path, stamp).map_err(wrap)?
        {
            self.monitor.advance(stamp.size);
            entry.kind = EntryKind::File { size: stamp.size };
            self.count_file(stamp.size, u64::from(stamp.size > 0));
            return self.push(entry, Condition::Whole, child);
        }
        let reading = match self.read_consistently(&path, open) {
            Ok(reading) => reading,
            Err(ReadFailure::Write(error)) => return Err(wrap(error)),
            Err(ReadFailure::Interrupted(error)) => return Err(wrap(error)),
            Err(ReadFailure::Source(error)) => {
                if self.strict {
                    return Err(wrap(SourceFailure(error)));
                }
                if error.has_vanished() {
                    return Ok(());
                }
                let message = crate::explain::explain(&error);
                self.problem(Problem { path, message });
                return Ok(());
            }
        };
        let mut condition = Condition::Whole;
        match reading.end.consistency {
            Consistency::Consistent => {}
            Consistency::Changed => {
                condition = Condition::Torn;
                let message = format!("it changed while it was read, {ATTEMPTS} times");
                let path = path.clone();
                self.problem(Problem { path, message });
            }
            Consistency::Suspect(message) => {
                condition = Condition::Suspect;
                self.archived.suspect = true;
                let path = path.clone();
                self.problem(Problem { path, message });
            }
        }
        entry = reading.end.entry.unwrap_or(entry);
        entry.kind = EntryKind::File {
            size: reading.length,
        };
        let plain_file = reading.end.facts.is_empty() && reading.may_be_remembered;
        if let Some(stamp) = stamp
            && plain_file
            && condition == Condition::Whole
            && stamp.size == reading.length
        {
            self.stat_cache.put(&path, &stamp, reading.child);
        }
        if !reading.end.facts.is_empty() {
            self.archived.facts.push((path, reading.end.facts));
        }
        self.count_file(reading.length, reading.chunks);
        self.push(entry, condition, reading.child)
    }

    fn problem(&mut self, problem: Problem) {
        self.archived.problems.push(problem);
    }

    fn excluded(&mut self, exclusion: Exclusion) {
        self.archived.exclusions.push(exclusion);
    }
}

/// A source's own failure on its way back through the source.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SourceFailure(SourceError);

impl TreeSink<'_, '_> {
    fn finish(mut self) -> Result<Archived, ArchiveError> {
        self.reading.flush(&self.workers)?;
        let root = self.stack.pop().ok_or(WriteError::PackLost)?;
        let (_, child) = root.finish(&self.workers)?;
        self.workers.finish()?;
        self.archived.unplaced = self.stat_cache.finish();
        if let Child::Links { id, .. } = child {
            self.archived.root = id;
        }
        Ok(self.archived)
    }
}

/// What was checked at capture, over all members: `quick_check`, for example.
pub fn checked(facts: &[(Vec<u8>, Facts)]) -> Option<String> {
    let mut checks = facts
        .iter()
        .filter_map(|(_, facts)| match facts.get("check") {
            Some(Fact::Text(check)) => Some(check.clone()),
            _ => None,
        });
    checks.next()
}
