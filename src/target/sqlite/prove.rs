//! Proves that a restored image is the database that was captured.

use crate::entry::{Fact, Facts};
use crate::monitor::{Cancel, Interrupted};
use crate::source::sqlite::{
    Check, Claim, RowCounts, Verdict, count_rows, keys, run_check, stop_on_cancel,
};
use crate::target::sqlite::ImageProof;
use crate::target::sqlite::error::{ReplaceError, files};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::{Builder, ScopedJoinHandle};

/// Most differences that are told.
const DIFFERENCES_MAX: usize = 10;

/// Checks `image` and compares it with `recorded`, without creating any file beside it. What is
/// wrong with the image is in the proof; errors are about getting at it.
pub(crate) fn prove_image(
    image: &Path,
    recorded: &Facts,
    check: Check,
    cancel: &Cancel,
) -> Result<ImageProof, ReplaceError> {
    let metadata = image
        .symlink_metadata()
        .map_err(|error| files("look at", image, error))?;
    if !metadata.is_file() {
        return Err(ReplaceError::NotAFile {
            target: image.display().to_string(),
        });
    }
    let claim = Claim::connection(image).map_err(|error| files("open", image, error))?;
    let mut proof = ImageProof {
        check,
        ..ImageProof::default()
    };
    let result = examine(image, metadata.len(), recorded, cancel, &mut proof);
    drop(claim);
    match result {
        Ok(()) => Ok(proof),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                proof.faults.push(error.to_string());
                Ok(proof)
            }
            Some(ErrorCode::OperationInterrupted) => Err(Interrupted.into()),
            _ => Err(ReplaceError::Engine {
                operation: "check",
                object: image.display().to_string(),
                source: error,
            }),
        },
    }
}

/// `immutable` keeps SQLite from locking the file, looking for a `-wal` or creating a `-shm`: the
/// image must be whole by itself.
fn open_immutable(image: &Path, cancel: &Cancel) -> rusqlite::Result<Connection> {
    let absolute = std::path::absolute(image)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let uri = format!("file://{}?immutable=1", percent_encoded(&absolute));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(uri, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    stop_on_cancel(&mut connection, cancel)?;
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;")?;
    Ok(connection)
}

fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            // Writing to a string cannot fail.
            byte => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

/// Rows are counted on a second connection while the first one checks: nobody writes the image.
fn examine(
    image: &Path,
    length: u64,
    recorded: &Facts,
    cancel: &Cancel,
    proof: &mut ImageProof,
) -> rusqlite::Result<()> {
    let connection = open_immutable(image, cancel)?;
    let tables = match recorded.get(keys::TABLES) {
        Some(Fact::Counts(tables)) if proof.check != Check::None => Some(tables),
        _ => None,
    };
    std::thread::scope(|scope| {
        let count = || open_immutable(image, cancel).and_then(|second| count_rows(&second));
        let counting = tables.and_then(|_| Builder::new().spawn_scoped(scope, count).ok());
        compare_size(&connection, length, recorded, proof)?;
        match run_check(&connection, proof.check)? {
            Some(Verdict::Faulty(messages)) => proof.faults = messages,
            Some(Verdict::NotPossible(reason)) => proof.check_not_possible = Some(reason),
            Some(Verdict::Sound) | None => {}
        }
        if let Some(tables) = tables {
            let found = match counting.map(ScopedJoinHandle::join) {
                Some(Ok(found)) => found?,
                _ => count_rows(&connection)?,
            };
            compare_counts(&found, tables, proof);
        }
        Ok(())
    })
}

fn compare_size(
    connection: &Connection,
    length: u64,
    recorded: &Facts,
    proof: &mut ImageProof,
) -> rusqlite::Result<()> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
    let pages = u64::from(number("PRAGMA main.page_count")?);
    let bytes = pages.saturating_mul(number("PRAGMA main.page_size")?.into());
    if bytes != length {
        let message = format!("the header says {bytes} bytes, the file has {length}");
        proof.differences.push(message);
    }
    if let Some(Fact::Integer(recorded)) = recorded.get(keys::PAGE_COUNT)
        && u64::try_from(*recorded).ok() != Some(pages)
    {
        let message = format!("{recorded} pages were recorded, the image has {pages}");
        proof.differences.push(message);
    }
    Ok(())
}

fn compare_counts(found: &RowCounts, recorded: &BTreeMap<String, u64>, proof: &mut ImageProof) {
    for (table, rows) in recorded {
        let message = match found.tables.get(table) {
            Some(now) if now == rows => {
                proof.tables_compared += 1;
                proof.rows_compared = proof.rows_compared.saturating_add(*rows);
                continue;
            }
            Some(now) => format!("table {table} had {rows} rows, the image has {now}"),
            None => format!("table {table} had {rows} rows, the image cannot count it"),
        };
        if proof.differences.len() < DIFFERENCES_MAX {
            proof.differences.push(message);
        }
    }
}
