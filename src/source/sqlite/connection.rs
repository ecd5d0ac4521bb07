//! Connections that read a live database and leave it alone.

use crate::monitor::{Cancel, Interrupted};
use crate::source::SourceError;
use crate::source::sqlite::claim::Claim;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a query waits for a lock, a writer's commit in rollback-journal mode mostly.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Steps of SQLite's virtual machine between two looks at the request to stop: about 0.1 ms.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// `wal_autocheckpoint` and no-checkpoint-on-close keep every write to the database away from us.
/// Temporary tables stay in memory: they would be plaintext on a disk. `mmap_size` is zero because
/// a truncated mapping kills the process, and reading is not the bottleneck (3 GB/s without).
const SETTINGS: &str = "PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; \
     PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA cache_size = -8192;";

/// The SQLite this program carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its version, such as `3.51.3`.
    pub version: &'static str,
    /// The version as SQLite's number: 3051003 for 3.51.3.
    pub version_number: i32,
    /// Whether it was compiled with `SQLITE_ENABLE_DBPAGE_VTAB`. Without it live databases cannot
    /// be captured, and captures say so.
    pub page_stream: bool,
}

/// Asks the compiled-in SQLite what it is.
pub fn library() -> Library {
    let page_stream = Connection::open_in_memory()
        .and_then(|connection| has_page_stream(&connection))
        .unwrap_or(false);
    Library {
        version: rusqlite::version(),
        version_number: rusqlite::version_number(),
        page_stream,
    }
}

fn has_page_stream(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT sqlite_compileoption_used('ENABLE_DBPAGE_VTAB')",
        [],
        |row| row.get(0),
    )
}

/// A read-only connection to a database file.
pub(crate) struct Database {
    /// Dropped before the claim: until it is closed nobody here may open the file.
    pub(crate) connection: Connection,
    pub(crate) claim: Claim,
    /// Absolute, without symbolic links.
    pub(crate) path: PathBuf,
    pub(crate) cancel: Cancel,
}

impl Database {
    /// Opens the existing database at `path` without ever creating one. Nothing is read yet, so a
    /// file that is no database is found out by the first query.
    pub(crate) fn open(path: &Path, cancel: &Cancel) -> Result<Self, SourceError> {
        let path = path
            .canonicalize()
            .map_err(|error| failure("open", path, error))?;
        let metadata = path
            .symlink_metadata()
            .map_err(|error| failure("open", &path, error))?;
        if !metadata.is_file() {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(failure("open", &path, cause));
        }
        let claim = Claim::connection(&path).map_err(|error| failure("open", &path, error))?;
        let connection =
            connect(&path, cancel).map_err(|error| query_failure("open", &path, error))?;
        let page_stream =
            has_page_stream(&connection).map_err(|error| query_failure("open", &path, error))?;
        if !page_stream {
            return Err(SourceError {
                operation: "read the pages of",
                object: path.display().to_string(),
                remedy: Some("build with LIBSQLITE3_FLAGS=-DSQLITE_ENABLE_DBPAGE_VTAB".into()),
                source: "this build of SQLite lacks sqlite_dbpage".into(),
            });
        }
        Ok(Self {
            connection,
            claim,
            path,
            cancel: cancel.clone(),
        })
    }

    /// A failed query on this database.
    pub(crate) fn failed(&self, operation: &'static str, error: rusqlite::Error) -> SourceError {
        query_failure(operation, &self.path, error)
    }
}

fn connect(path: &Path, cancel: &Cancel) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    guard(&mut connection, cancel)?;
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}

/// No checkpoint on close, no trust in functions a schema names, and a way to be stopped.
pub(crate) fn guard(connection: &mut Connection, cancel: &Cancel) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    stop_on_cancel(connection, cancel)
}

/// Makes every query on `connection` fail soon after `cancel` was set.
pub(crate) fn stop_on_cancel(connection: &mut Connection, cancel: &Cancel) -> rusqlite::Result<()> {
    let cancel = cancel.clone();
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || cancel.is_cancelled()))
}

/// Makes every query on `connection` fail soon after either was set.
pub(crate) fn stop_on_either(
    connection: &mut Connection,
    cancel: &Cancel,
    stop: &Cancel,
) -> rusqlite::Result<()> {
    let (cancel, stop) = (cancel.clone(), stop.clone());
    let either = move || cancel.is_cancelled() || stop.is_cancelled();
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(either))
}

/// A failed call outside SQLite.
pub(crate) fn failure(operation: &'static str, path: &Path, error: io::Error) -> SourceError {
    SourceError {
        operation,
        object: path.display().to_string(),
        remedy: None,
        source: Box::new(error),
    }
}

/// The user asked to stop.
pub(crate) fn interrupted(operation: &'static str, path: &Path) -> SourceError {
    SourceError {
        operation,
        object: path.display().to_string(),
        remedy: None,
        source: Box::new(Interrupted),
    }
}

/// SQLite's own code, also where the text of a query is at fault.
pub(crate) fn engine_error(error: &rusqlite::Error) -> Option<&ffi::Error> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error),
        other => other.sqlite_error(),
    }
}

/// A failed call of SQLite, with what to do about the failures that have a usual cause.
pub(crate) fn query_failure(
    operation: &'static str,
    path: &Path,
    error: rusqlite::Error,
) -> SourceError {
    if engine_error(&error).is_some_and(|e| e.code == ErrorCode::OperationInterrupted) {
        return interrupted(operation, path);
    }
    SourceError {
        operation,
        object: path.display().to_string(),
        remedy: engine_error(&error).and_then(remedy),
        source: Box::new(error),
    }
}

fn remedy(error: &ffi::Error) -> Option<String> {
    let text = match (error.code, error.extended_code) {
        (_, ffi::SQLITE_READONLY_ROLLBACK) => {
            "a program died while it wrote: its journal must be rolled back first; open the \
             database once with its own application, or with: sqlite3 FILE 'SELECT 1'"
        }
        (ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => {
            "a database in WAL mode needs its -shm file, or write permission on its directory to \
             make one: run as the database's user, or while its application has it open"
        }
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => {
            "another program holds it locked (locking_mode=EXCLUSIVE, or a long write): capture \
             it while that program is stopped, or let it use locking_mode=NORMAL"
        }
        (ErrorCode::NotADatabase, _) => {
            "it is encrypted, or not a SQLite database: capture it as a plain file while nothing \
             writes to it"
        }
        (ErrorCode::DatabaseCorrupt, _) => {
            "it is damaged: restore an earlier snapshot, or salvage it with: sqlite3 FILE .recover"
        }
        _ => return None,
    };
    Some(text.into())
}
