//! What is recorded about a database beside its bytes.

use crate::entry::{Fact, Facts};
use crate::source::sqlite::checks::{integer, table_names};
use crate::source::sqlite::keys;
use crate::source::sqlite::pages::Pages;
use rusqlite::Connection;

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
