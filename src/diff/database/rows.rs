//! Rows of one table in two databases, compared by SQLite itself.
//!
//! The earlier database is `main` of the connection, the later one is attached as [`OTHER`].

use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// The name under which the later database is attached.
pub(super) const OTHER: &str = "other";

/// Names under which SQLite knows a row's number, unless a column has the name.
const ROW_NUMBERS: [&str; 3] = ["_rowid_", "rowid", "oid"];

/// Rows that one side has and the other has not, or has otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowDifference {
    /// Only in the later database.
    pub added: u64,
    /// Only in the earlier database.
    pub removed: u64,
    /// In both, with another value in some column.
    pub changed: u64,
}

/// What has to be known of a table to compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    without_rowid: bool,
}

/// Ordinary tables by name: a virtual table's rows are its module's, its shadows hold none of the
/// user's, and SQLite's own tables are no data.
pub(super) fn tables(
    connection: &Connection,
    schema: &str,
) -> rusqlite::Result<BTreeMap<String, Table>> {
    let mut statement = connection.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = ?1 AND type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let rows = statement.query_map([schema], |row| {
        let without_rowid = row.get(1)?;
        Ok((row.get(0)?, Table { without_rowid }))
    })?;
    rows.collect()
}

/// Rows of a table.
pub(super) fn count(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<u64> {
    let query = format!("SELECT count(*) FROM {schema}.{}", quoted(table));
    let rows: i64 = connection.query_row(&query, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

struct Column {
    name: String,
    declared: String,
    /// Position in the primary key, from 1; 0 outside.
    key: i64,
}

fn columns(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<Column>> {
    // Hidden columns are computed from the others.
    let mut statement = connection.prepare(
        "SELECT name, type, pk FROM pragma_table_xinfo(?1, ?2) WHERE hidden = 0 ORDER BY cid",
    )?;
    let rows = statement.query_map(params![table, schema], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            key: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// How rows of both sides are matched: pairs of expressions for `a` and `b`.
enum Key {
    RowNumber(&'static str),
    Columns(Vec<String>),
}

/// Compares a table that both have. The inner error says why its rows cannot be matched.
pub(super) fn compare(
    connection: &Connection,
    name: &str,
    [before, after]: [Table; 2],
    [rows_before, rows_after]: [u64; 2],
) -> rusqlite::Result<Result<RowDifference, &'static str>> {
    let columns = [
        columns(connection, "main", name)?,
        columns(connection, OTHER, name)?,
    ];
    if before != after {
        return Ok(Err("rows are kept by their number on one side only"));
    }
    let Some(key) = key(connection, name, before, &columns)? else {
        return Ok(Err("its primary key is another"));
    };
    let query = query(name, &key, &columns);
    let (matched, equal) = connection.query_row(&query, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let (matched, equal) = (number(matched), number(equal));
    Ok(Ok(RowDifference {
        added: rows_after.saturating_sub(matched),
        removed: rows_before.saturating_sub(matched),
        changed: matched.saturating_sub(equal),
    }))
}

/// The declared primary key where it names every row, else the row's number. An INTEGER PRIMARY
/// KEY is the row's number.
fn key(
    connection: &Connection,
    name: &str,
    table: Table,
    [before, after]: &[Vec<Column>; 2],
) -> rusqlite::Result<Option<Key>> {
    let declared = |columns: &[Column]| -> Vec<String> {
        let mut key: Vec<&Column> = columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key.into_iter().map(|column| column.name.clone()).collect()
    };
    let (key, other) = (declared(before), declared(after));
    if table.without_rowid {
        return Ok((key == other && !key.is_empty()).then_some(Key::Columns(key)));
    }
    let is_number = |columns: &[Column]| {
        let mut key = columns.iter().filter(|column| column.key > 0);
        let first = key.next();
        first.is_none_or(|column| column.declared.eq_ignore_ascii_case("INTEGER"))
            && key.next().is_none()
    };
    if !is_number(before) && !is_number(after) && key == other {
        let has_nulls =
            has_nulls(connection, "main", name, &key)? || has_nulls(connection, OTHER, name, &key)?;
        if !has_nulls {
            return Ok(Some(Key::Columns(key)));
        }
    }
    let is_column = |number: &str| {
        let mut columns = before.iter().chain(after);
        columns.any(|column| column.name.eq_ignore_ascii_case(number))
    };
    let number = ROW_NUMBERS.into_iter().find(|number| !is_column(number));
    Ok(number.map(Key::RowNumber))
}

fn has_nulls(
    connection: &Connection,
    schema: &str,
    table: &str,
    key: &[String],
) -> rusqlite::Result<bool> {
    let nulls: Vec<String> = key
        .iter()
        .map(|column| format!("{} IS NULL", quoted(column)))
        .collect();
    let (table, nulls) = (quoted(table), nulls.join(" OR "));
    let query = format!("SELECT 1 FROM {schema}.{table} WHERE {nulls} LIMIT 1");
    let found = connection.query_row(&query, [], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// Counts rows with the same key, and those of them that are equal in every column that both sides
/// have: as values, not as the column's collation or affinity would have it.
fn query(table: &str, key: &Key, [before, after]: &[Vec<Column>; 2]) -> String {
    let both = before.iter().filter(|column| {
        let mut others = after.iter();
        others.any(|other| other.name == column.name)
    });
    let equal: Vec<String> = both
        .map(|column| {
            let name = quoted(&column.name);
            format!("(a.{name} IS b.{name} COLLATE BINARY AND typeof(a.{name}) = typeof(b.{name}))")
        })
        .collect();
    let matches: Vec<String> = match key {
        Key::RowNumber(number) => vec![format!("b.{number} = a.{number}")],
        Key::Columns(columns) => columns
            .iter()
            .map(|column| quoted(column))
            .map(|column| format!("b.{column} = a.{column}"))
            .collect(),
    };
    let equal = match equal.is_empty() {
        true => "1".to_owned(),
        false => equal.join(" AND "),
    };
    let (table, matches) = (quoted(table), matches.join(" AND "));
    // CROSS JOIN keeps the order: one side is passed once, the other is looked up.
    format!(
        "SELECT count(*), coalesce(sum({equal}), 0) FROM main.{table} AS a \
         CROSS JOIN {OTHER}.{table} AS b WHERE {matches}"
    )
}

/// `name` as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compared(before: &str, after: &str, table: &str) -> Result<RowDifference, &'static str> {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("ATTACH ':memory:' AS other")
            .unwrap();
        connection.execute_batch(before).unwrap();
        let after = after
            .replace("TABLE ", "TABLE other.")
            .replace("INTO ", "INTO other.");
        connection.execute_batch(&after).unwrap();
        let both = [
            tables(&connection, "main").unwrap()[table],
            tables(&connection, OTHER).unwrap()[table],
        ];
        let rows = [
            count(&connection, "main", table).unwrap(),
            count(&connection, OTHER, table).unwrap(),
        ];
        compare(&connection, table, both, rows).unwrap()
    }

    fn difference(added: u64, removed: u64, changed: u64) -> RowDifference {
        RowDifference {
            added,
            removed,
            changed,
        }
    }

    #[test]
    fn rows_are_matched_by_number_or_key() {
        for definition in [
            "TABLE t(id INTEGER PRIMARY KEY, v)",
            "TABLE t(id TEXT PRIMARY KEY, v)",
            "TABLE t(id PRIMARY KEY, v) WITHOUT ROWID",
            "TABLE t(id INT, v COLLATE NOCASE, PRIMARY KEY(id, v)) WITHOUT ROWID",
        ] {
            let before =
                format!("CREATE {definition}; INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')");
            let after =
                format!("CREATE {definition}; INSERT INTO t VALUES (2,'B'),(3,'c'),(4,'d')");
            let found = compared(&before, &after, "t");
            assert_eq!(found, Ok(difference(1, 1, 1)), "{definition}");
            let same = compared(&before, &before, "t");
            assert_eq!(same, Ok(difference(0, 0, 0)), "{definition}");
        }
    }

    #[test]
    fn equal_means_the_same_value() {
        let table = "CREATE TABLE t(v COLLATE NOCASE, w NUMERIC, x);";
        let before = format!("{table} INSERT INTO t VALUES ('a',1,NULL),('a',1,1),('a',1,x'00')");
        let after = format!("{table} INSERT INTO t VALUES ('A',1,NULL),('a',1,1.0),('a',1,x'00')");
        assert_eq!(compared(&before, &after, "t"), Ok(difference(0, 0, 2)));
    }

    #[test]
    fn awkward_tables() {
        let names = "CREATE TABLE \"a \"\"b\"(\"x y\", rowid, _rowid_); INSERT INTO \"a \"\"b\" VALUES (1,2,3)";
        assert_eq!(compared(names, names, "a \"b"), Ok(difference(0, 0, 0)));
        let all = "CREATE TABLE t(rowid, _rowid_, oid)";
        assert!(compared(all, all, "t").is_err());
        let nulls = "CREATE TABLE t(k TEXT PRIMARY KEY); INSERT INTO t VALUES (NULL),(NULL),('x')";
        assert_eq!(compared(nulls, nulls, "t"), Ok(difference(0, 0, 0)));
        let number = "CREATE TABLE t(k PRIMARY KEY) WITHOUT ROWID";
        let none = "CREATE TABLE t(k PRIMARY KEY)";
        assert!(compared(number, none, "t").is_err());
        let wider = "CREATE TABLE t(id INTEGER PRIMARY KEY, v, w AS (v || 'x')); INSERT INTO t VALUES (1,'a')";
        let narrow =
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a'),(2,'b')";
        assert_eq!(compared(narrow, wider, "t"), Ok(difference(0, 1, 0)));
    }
}
