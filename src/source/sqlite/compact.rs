//! The compacted image: `VACUUM INTO`, but into memory, because a file would be plaintext on disk.

use crate::entry::Fact;
use crate::source::SourceError;
use crate::source::sqlite::capture::{CaptureSettings, DatabaseContent, live_facts};
use crate::source::sqlite::checks::Check;
use crate::source::sqlite::connection::{Database, guard};
use crate::source::sqlite::keys;
use rusqlite::{Connection, OpenFlags};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names in memory are shared within the process, so each image gets one of its own.
static NEXT_IMAGE: AtomicU64 = AtomicU64::new(0);

/// Compacts `database` into memory and begins to read that. The page size stays. Refused when the
/// pages in use exceed `limit` bytes.
pub(crate) fn begin(
    database: Database,
    settings: CaptureSettings,
    limit: u64,
) -> Result<DatabaseContent, SourceError> {
    let used = used_bytes(&database.connection).map_err(|error| database.failed("query", error))?;
    if used > limit {
        return Err(SourceError {
            operation: "compact",
            object: database.path.display().to_string(),
            remedy: Some(
                "raise the bound if there is memory (1 GiB at most), or capture it without \
                 compacting"
                    .into(),
            ),
            source: format!("{used} bytes are in use, and a compacted image is held in memory: the bound is {limit} bytes").into(),
        });
    }
    let mut facts = live_facts(&database).map_err(|error| database.failed("query", error))?;
    facts.insert(keys::COMPACTED.into(), Fact::Bool(true));
    let image = vacuum_into_memory(&database).map_err(|error| database.failed("compact", error))?;
    let settings = CaptureSettings {
        // The image was just written by a program, not by the application: prove all of it.
        check: Check::Integrity,
        ..settings
    };
    DatabaseContent::begin_in_memory(image, &database.path, &database.cancel, facts, settings)
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA main.page_count")? - number("PRAGMA main.freelist_count")?;
    let bytes = pages.saturating_mul(number("PRAGMA main.page_size")?);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn vacuum_into_memory(database: &Database) -> rusqlite::Result<Connection> {
    let number = NEXT_IMAGE.fetch_add(1, Ordering::Relaxed);
    let uri = format!("file:/icecore-compact-{number}?vfs=memdb");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // Opened first: the image lives as long as some connection to it does.
    let mut image = Connection::open_with_flags(&uri, flags)?;
    guard(&mut image, &database.cancel)?;
    image.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024;")?;
    database.connection.execute("VACUUM main INTO ?1", [&uri])?;
    Ok(image)
}
