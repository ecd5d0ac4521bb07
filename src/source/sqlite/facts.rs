//! What is recorded about a database beside its bytes.

use crate::entry::{Fact, Facts};
use crate::source::sqlite::checks::{integer, table_names};
use crate::source::sqlite::pages::Pages;
use rusqlite::Connection;

/// Names of the facts.
pub mod keys {
    /// `sqlite`.
    pub const ENGINE: &str = "engine";
    /// Version of the SQLite library that read the database.
    pub const VERSION: &str = "sqlite.version";
    /// Bytes of a page.
    pub const PAGE_SIZE: &str = "sqlite.page_size";
    /// Pages in the image.
    pub const PAGE_COUNT: &str = "sqlite.page_count";
    /// Pages of the image that hold nothing.
    pub const FREELIST_PAGES: &str = "sqlite.freelist_pages";
    /// `wal`, `delete`, ... of the captured database.
    pub const JOURNAL_MODE: &str = "sqlite.journal_mode";
    /// The application's own mark.
    pub const APPLICATION_ID: &str = "sqlite.application_id";
    /// The application's own schema number.
    pub const USER_VERSION: &str = "sqlite.user_version";
    /// SQLite's schema counter.
    pub const SCHEMA_VERSION: &str = "sqlite.schema_version";
    /// `UTF-8`, `UTF-16le` or `UTF-16be`.
    pub const ENCODING: &str = "sqlite.encoding";
    /// `none`, `full` or `incremental`.
    pub const AUTO_VACUUM: &str = "sqlite.auto_vacuum";
    /// BLAKE3 of the schema: type, name, table and SQL of each object, sorted, each with its
    /// length before it.
    pub const SCHEMA_BLAKE3: &str = "sqlite.schema_blake3";
    /// How many ordinary tables there are.
    pub const TABLE_COUNT: &str = "sqlite.table_count";
    /// Bytes of the `-wal` when the capture began.
    pub const WAL_BYTES: &str = "sqlite.wal_bytes";
    /// Bytes of the `-wal` when it ended: it cannot be reset while it is being read.
    pub const WAL_BYTES_END: &str = "sqlite.wal_bytes_end";
    /// Whether others committed while the capture ran; the image does not contain it.
    pub const WRITTEN_MEANWHILE: &str = "sqlite.written_meanwhile";
    /// The image is what `VACUUM` leaves, not the database page for page.
    pub const COMPACTED: &str = "sqlite.compacted";
    /// `quick_check` or `integrity_check`, where one ran.
    pub const CHECK: &str = "check";
    /// `ok`, or the first fault, or why the check was not possible.
    pub const CHECK_RESULT: &str = "check.result";
    /// Rows by table.
    pub const TABLES: &str = "tables";
    /// Tables that were not counted.
    pub const TABLES_UNCOUNTED: &str = "tables.uncounted";
    /// Rows of all counted tables.
    pub const ROWS: &str = "rows";
}

/// Facts of the image `connection` is in a read transaction of.
pub(crate) fn of_image(connection: &Connection, pages: &Pages) -> rusqlite::Result<Facts> {
    let number = |pragma: &str| {
        connection.query_row(&format!("PRAGMA main.{pragma}"), [], |row| {
            row.get::<_, i64>(0)
        })
    };
    let auto_vacuum = match number("auto_vacuum")? {
        0 => "none",
        1 => "full",
        _ => "incremental",
    };
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    let (names, omitted) = table_names(connection)?;
    let tables = u64::try_from(names.len()).unwrap_or(u64::MAX);
    let facts = [
        (keys::ENGINE, Fact::Text("sqlite".into())),
        (keys::VERSION, Fact::Text(rusqlite::version().into())),
        (keys::PAGE_SIZE, integer(pages.page_size().into())),
        (keys::PAGE_COUNT, integer(pages.page_count().into())),
        (
            keys::FREELIST_PAGES,
            Fact::Integer(number("freelist_count")?),
        ),
        (
            keys::APPLICATION_ID,
            Fact::Integer(number("application_id")?),
        ),
        (keys::USER_VERSION, Fact::Integer(number("user_version")?)),
        (
            keys::SCHEMA_VERSION,
            Fact::Integer(number("schema_version")?),
        ),
        (keys::ENCODING, Fact::Text(encoding)),
        (keys::AUTO_VACUUM, Fact::Text(auto_vacuum.into())),
        (keys::SCHEMA_BLAKE3, Fact::Text(schema_hash(connection)?)),
        (keys::TABLE_COUNT, integer(tables.saturating_add(omitted))),
    ];
    Ok(facts.map(|(key, fact)| (key.to_owned(), fact)).into())
}

/// How the live database keeps its journal: lower case, such as `wal` or `delete`.
pub(crate) fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
}

/// A number that changes between two transactions of this connection when others committed.
pub(crate) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA main.data_version", [], |row| row.get(0))
}

fn schema_hash(connection: &Connection) -> rusqlite::Result<String> {
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_schema \
         ORDER BY type, name, tbl_name",
    )?;
    let mut rows = statement.query([])?;
    let mut hasher = blake3::Hasher::new();
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            let bytes = row.get_ref(column)?.as_bytes().unwrap_or_default();
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_le_bytes());
            hasher.update(bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}
