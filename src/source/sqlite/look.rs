//! Whether a database opens at all, before a capture needs it.

use crate::monitor::Cancel;
use crate::source::SourceError;
use crate::source::sqlite::connection::{Database, failure};
use crate::source::sqlite::is_database;
use std::io;
use std::path::Path;

/// Opens a database as a capture does, and reads its schema. Returns its number of tables.
pub fn look_into(path: &Path, cancel: &Cancel) -> Result<u64, SourceError> {
    let real = path
        .canonicalize()
        .map_err(|error| failure("open", path, error))?;
    match is_database(&real) {
        Ok(true) => {}
        Ok(false) => {
            let cause = io::Error::other("it is no SQLite database");
            return Err(failure("open", path, cause));
        }
        Err(error) => return Err(failure("read", path, error)),
    }
    let database = Database::open(&real, cancel)?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    let count = database
        .connection
        .query_row(tables, [], |row| row.get::<_, i64>(0));
    let count = count.map_err(|error| database.failed("read the schema of", error))?;
    Ok(count.unsigned_abs())
}
