//! SQLite: one consistent capture of a live database while the application writes.
//!
//! The pages stream in file order inside one read transaction of a read-only connection: from the
//! file itself where that is what the transaction sees (`direct`), else, and for what the `-wal`
//! has, through the `sqlite_dbpage` table. No copy of the database ever lies on a disk. The engine's
//! own check and the row counts run in the same transaction, beside the pages where they can. In WAL mode writers do not notice; in rollback-journal mode they wait until the
//! transaction ends, as for every other reader.
//!
//! The connection never checkpoints and never writes the database. A WAL reader creates the `-shm`
//! (and an empty `-wal`) where there is none: SQLite knows no other way to read such a database.

mod capture;
mod checks;
mod claim;
mod compact;
mod connection;
mod direct;
mod examination;
mod facts;
pub mod keys;
mod lock;
mod look;
mod metadata;
mod pages;
#[cfg(test)]
pub(crate) mod tests;

pub use checks::{Check, Verdict};
pub use claim::is_database;
pub use connection::{Library, library};
pub use lock::{ExclusiveFile, Occupant, lock_probe};
pub use look::look_into;

pub(crate) use checks::{RowCounts, count_rows, run_check};
pub(crate) use claim::Claim;
pub(crate) use connection::stop_on_cancel;

use crate::entry::{Entry, EntryKind};
use crate::monitor::{Cancel, Interrupted};
use crate::source::{CaptureError, Content, Context, Sink, Source, SourceError};
use capture::{CaptureSettings, DatabaseContent};
use connection::{Database, failure};
use rusqlite::ErrorCode;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Largest compacted image by default, bytes: it is held in memory.
pub const COMPACT_BYTES_DEFAULT: u64 = 512 << 20;

/// Largest compacted image at all, bytes: SQLite's own bound on a database in memory.
pub const COMPACT_BYTES_MAX: u64 = 1 << 30;

/// What each database adds to its name for its companions: the write-ahead log, the index to it
/// and the rollback journal.
pub const COMPANION_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether rows are counted, table by table, in the transaction of the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counts {
    /// No counting.
    Off,
    /// Every ordinary table; not views, virtual tables and their shadows.
    #[default]
    All,
}

/// How a database is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Capture the database as `VACUUM` would leave it instead of page for page. Costs memory, and
    /// the next capture shares few chunks with this one.
    pub compact: bool,
    /// Largest compacted image, bytes; never above [`COMPACT_BYTES_MAX`].
    pub compact_bytes_max: u64,
    /// Which rows are counted.
    pub counts: Counts,
    /// Which of the engine's own checks runs. A compacted image always gets the full one.
    pub check: Check,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            compact: false,
            compact_bytes_max: COMPACT_BYTES_DEFAULT,
            counts: Counts::All,
            check: Check::Quick,
        }
    }
}

/// One SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    path: PathBuf,
    name: Vec<u8>,
    options: SqliteOptions,
}

impl SqliteSource {
    /// The database at `path`. `name` is the entry in the snapshot; `None` takes the last component
    /// of `path`. Nothing is opened yet.
    pub fn new(path: PathBuf, name: Option<Vec<u8>>, options: SqliteOptions) -> Self {
        let name = name.unwrap_or_else(|| {
            path.file_name()
                .map_or_else(Vec::new, |n| n.as_bytes().into())
        });
        Self {
            path,
            name,
            options,
        }
    }

    fn open(&self, cancel: &Cancel) -> Result<DatabaseContent, SourceError> {
        let database = Database::open(&self.path, cancel)?;
        let settings = CaptureSettings {
            name: self.name.clone(),
            counts: self.options.counts,
            check: self.options.check,
        };
        if self.options.compact {
            let limit = self.options.compact_bytes_max.min(COMPACT_BYTES_MAX);
            return compact::begin(database, settings, limit);
        }
        DatabaseContent::begin(database, settings)
    }
}

impl Source for SqliteSource {
    fn capture(&mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        context.cancel.check()?;
        context.monitor.current(&self.path.to_string_lossy());
        let result = self.capture_into(context, sink);
        // A query that was stopped fails like any other; what the user asked for is the reason.
        if result.is_err() && context.cancel.is_cancelled() {
            return Err(Interrupted.into());
        }
        result
    }
}

impl SqliteSource {
    fn capture_into(&self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        // Opened before the sink hears of it: a database that cannot be opened is no capture at
        // all, not a snapshot with one file missing.
        let first = self.open(context.cancel)?;
        if first.blocks_writers() {
            context.monitor.warn(&format!(
                "{} uses a rollback journal: its writers wait until the capture has ended",
                self.path.display()
            ));
        }
        let entry = first.entry().clone();
        let mut prepared = Some(first);
        sink.file(entry, None, &mut || {
            let content = match prepared.take() {
                Some(content) => content,
                None => self.open(context.cancel)?,
            };
            Ok(Box::new(content))
        })?;
        Ok(())
    }
}

/// Captures a database that was met as one file of a tree, with the default options; `None` when
/// it is to be read as a plain file. That is so for what has no SQLite header, and for what SQLite
/// itself refuses as damaged or unknown: nothing that works can be writing to it.
///
/// The caller must not have the file open: closing a descriptor of it would drop this process's
/// locks. It should leave out companions, see [`is_companion`].
pub fn open_for_tree(
    path: &Path,
    cancel: &Cancel,
) -> Result<Option<Box<dyn Content>>, SourceError> {
    open_for_tree_with(path, SqliteOptions::default(), cancel)
}

/// As [`open_for_tree`], with these options.
pub fn open_for_tree_with(
    path: &Path,
    options: SqliteOptions,
    cancel: &Cancel,
) -> Result<Option<Box<dyn Content>>, SourceError> {
    if !is_database(path).map_err(|error| failure("read the header of", path, error))? {
        return Ok(None);
    }
    let name = path
        .file_name()
        .map_or_else(Vec::new, |n| n.as_bytes().into());
    let source = SqliteSource::new(path.into(), Some(name), options);
    match source.open(cancel) {
        Ok(content) => Ok(Some(Box::new(content))),
        Err(error) if is_refused_by_engine(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_refused_by_engine(error: &SourceError) -> bool {
    let code = error
        .source
        .downcast_ref::<rusqlite::Error>()
        .and_then(rusqlite::Error::sqlite_error_code);
    matches!(
        code,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

/// Whether `path` is the `-wal`, `-shm` or `-journal` of a database beside it: part of what the
/// capture of that database gives, and never to be opened as a file of its own, because closing
/// the descriptor would drop this process's locks on it.
pub fn is_companion(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    COMPANION_SUFFIXES.iter().any(|suffix| {
        bytes
            .strip_suffix(suffix.as_bytes())
            .is_some_and(|base| is_database(Path::new(OsStr::from_bytes(base))).unwrap_or(false))
    })
}

/// The companions of a database that are there.
pub fn companions(path: &Path) -> Vec<PathBuf> {
    let all = COMPANION_SUFFIXES.map(|suffix| companion(path, suffix));
    let there = all.into_iter().filter(|path| path.is_file());
    there.collect()
}

/// `path` with a companion's suffix.
pub(crate) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn file_entry(name: Vec<u8>, path: &Path, size: u64) -> Result<Entry, SourceError> {
    Ok(Entry {
        name,
        kind: EntryKind::File { size },
        metadata: metadata::of_file(path).map_err(|error| failure("look at", path, error))?,
    })
}
