//! Two SQLite databases: schema, and rows by table.
//!
//! Both are opened where they are, in the repository: SQLite asks for pages, and the chunks they
//! are in are fetched. Memory is bounded by the caches, whatever the size of the databases.

mod image;
mod rows;

pub use image::RegisterError;
pub use rows::RowDifference;

use crate::diff::DiffError;
use crate::entry::{Fact, Facts};
use crate::format::node::Child;
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::Reader;
use crate::source::sqlite::{keys, stop_on_cancel};
use crate::tree::RandomReader;
use image::Failure;
use rows::{OTHER, Table};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// Chunks of both databases that are kept, bytes. Where they share chunks, each is read once.
const CHUNK_BYTES: u64 = 32 << 20;

/// Pages each database's connection keeps: 8 MiB. Sorting, if any, stays in memory.
const SETTINGS: &str = "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; \
     PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;";

/// Most objects of a schema that are looked at.
const OBJECTS_MAX: usize = 100_000;

/// What became of something that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Only in the later database.
    Added,
    /// Only in the earlier one.
    Removed,
    /// In both, defined otherwise.
    Changed,
}

/// A table, index, view or trigger that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDifference {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// In what way.
    pub fate: Fate,
}

/// A table whose rows differ, or could not be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableDifference {
    /// Its name.
    pub name: String,
    /// Rows in the earlier database; `None` where the table is not, or cannot be counted.
    pub rows_before: Option<u64>,
    /// Rows in the later one.
    pub rows_after: Option<u64>,
    /// Rows that differ; `None` when only their number is known.
    pub rows: Option<RowDifference>,
    /// Why only their number is known.
    pub remark: Option<String>,
}

/// How two databases differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseDifference {
    /// Schema objects, sorted by kind and name.
    pub schema: Vec<SchemaDifference>,
    /// Tables, sorted by name.
    pub tables: Vec<TableDifference>,
    /// Tables without any difference.
    pub tables_same: u64,
    /// Why less is known than was asked for.
    pub remark: Option<String>,
}

/// One database of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'f> {
    pub(super) content: Child,
    pub(super) facts: &'f Facts,
}

/// Whether the facts of a file say that it is an SQLite database.
pub(super) fn is_database(facts: &Facts) -> bool {
    facts.get(keys::ENGINE) == Some(&Fact::Text("sqlite".to_owned()))
}

/// Compares two databases; without `rows` only their schemas and the counts taken at capture.
pub(super) fn compare(
    reader: &Reader<'_>,
    before: Version<'_>,
    after: Version<'_>,
    rows: bool,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<DatabaseDifference, DiffError> {
    let random = RandomReader::new(reader, CHUNK_BYTES);
    let failure = Failure::default();
    let work = |before_uri: &str, after_uri: &str| {
        let connection = open(before_uri, after_uri, cancel)?;
        let comparison = Comparison {
            connection: &connection,
            counted: [counted(before.facts), counted(after.facts)],
            monitor,
        };
        comparison.run(rows)
    };
    let contents = [before.content, after.content];
    let compared = image::with_images(&random, contents, &failure, work)?;
    cancel.check()?;
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(DiffError::Database(Box::new(error)));
    }
    // What SQLite cannot work with (another encoding, a missing collation) is no failure of ours.
    Ok(compared.unwrap_or_else(|error| by_facts(before.facts, after.facts, &error)))
}

fn open(before: &str, after: &str, cancel: &Cancel) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_URI;
    let mut connection = Connection::open_with_flags(before, flags)?;
    // The schema is the application's, or an attacker's: nothing it names is run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    stop_on_cancel(&mut connection, cancel)?;
    connection.execute_batch(SETTINGS)?;
    connection.execute(&format!("ATTACH ?1 AS {OTHER}"), [after])?;
    connection.execute_batch(&format!("PRAGMA {OTHER}.cache_size = -8192"))?;
    Ok(connection)
}

/// Rows by table, as counted at capture.
fn counted(facts: &Facts) -> BTreeMap<String, u64> {
    match facts.get(keys::TABLES) {
        Some(Fact::Counts(counts)) => counts.clone(),
        _ => BTreeMap::new(),
    }
}

struct Comparison<'c> {
    connection: &'c Connection,
    counted: [BTreeMap<String, u64>; 2],
    monitor: &'c dyn Monitor,
}

impl Comparison<'_> {
    fn run(&self, rows: bool) -> rusqlite::Result<DatabaseDifference> {
        let mut difference = DatabaseDifference {
            schema: self.schema()?,
            ..DatabaseDifference::default()
        };
        let before = rows::tables(self.connection, "main")?;
        let after = rows::tables(self.connection, OTHER)?;
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let phase_total = Some(names.len() as u64);
        self.monitor
            .phase("comparing tables", Unit::Items, phase_total);
        for name in names {
            self.monitor.current(name);
            let sides = [before.get(name).copied(), after.get(name).copied()];
            match self.table(name, sides, rows)? {
                Some(table) => difference.tables.push(table),
                None => difference.tables_same += 1,
            }
            self.monitor.advance(1);
        }
        Ok(difference)
    }

    fn schema(&self) -> rusqlite::Result<Vec<SchemaDifference>> {
        let before = objects(self.connection, "main")?;
        let after = objects(self.connection, OTHER)?;
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let differing = names.into_iter().filter_map(|object| {
            let fate = match (before.get(object), after.get(object)) {
                (None, _) => Fate::Added,
                (_, None) => Fate::Removed,
                (before, after) if before != after => Fate::Changed,
                _ => return None,
            };
            let (kind, name) = object.clone();
            Some(SchemaDifference { kind, name, fate })
        });
        Ok(differing.collect())
    }

    /// `None` for a table without a difference.
    fn table(
        &self,
        name: &str,
        [before, after]: [Option<Table>; 2],
        rows: bool,
    ) -> rusqlite::Result<Option<TableDifference>> {
        let mut table = TableDifference {
            name: name.to_owned(),
            ..TableDifference::default()
        };
        let counts = self.counts(name, [before, after], rows);
        let counts = match counts {
            Ok(counts) => counts,
            Err(error) => return lacking(table, error),
        };
        [table.rows_before, table.rows_after] = counts;
        match (before.zip(after), counts) {
            (Some((before, after)), [Some(rows_before), Some(rows_after)]) if rows => {
                let both = [rows_before, rows_after];
                match rows::compare(self.connection, name, [before, after], both) {
                    Ok(Ok(difference)) => table.rows = Some(difference),
                    Ok(Err(reason)) => table.remark = Some(reason.to_owned()),
                    Err(error) => return lacking(table, error),
                }
                let is_same = table.rows == Some(RowDifference::default());
                Ok((!is_same).then_some(table))
            }
            (Some(_), [rows_before, rows_after]) => {
                Ok((rows_before.is_none() || rows_before != rows_after).then_some(table))
            }
            (None, _) => {
                table.rows = Some(RowDifference {
                    added: table.rows_after.unwrap_or(0),
                    removed: table.rows_before.unwrap_or(0),
                    changed: 0,
                });
                Ok(Some(table))
            }
        }
    }

    /// Rows on both sides: as counted at capture, else counted now if rows are to be looked at.
    fn counts(
        &self,
        name: &str,
        tables: [Option<Table>; 2],
        rows: bool,
    ) -> rusqlite::Result<[Option<u64>; 2]> {
        let mut counts = [None; 2];
        for (number, schema) in ["main", OTHER].into_iter().enumerate() {
            counts[number] = match (tables[number], self.counted[number].get(name)) {
                (None, _) => None,
                (_, Some(count)) => Some(*count),
                (_, None) if rows => Some(rows::count(self.connection, schema, name)?),
                (_, None) => None,
            };
        }
        Ok(counts)
    }
}

/// A table that SQLite cannot read here is reported with the reason; what stops every query stops
/// the comparison.
fn lacking(
    mut table: TableDifference,
    error: rusqlite::Error,
) -> rusqlite::Result<Option<TableDifference>> {
    let code = match &error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        other => other.sqlite_error_code(),
    };
    match code {
        Some(ErrorCode::OperationInterrupted | ErrorCode::SystemIoFailure) => Err(error),
        _ => {
            table.remark = Some(error.to_string());
            Ok(Some(table))
        }
    }
}

/// Kind and name.
type ObjectName = (String, String);

fn objects(
    connection: &Connection,
    schema: &str,
) -> rusqlite::Result<BTreeMap<ObjectName, String>> {
    let query = format!(
        "SELECT type, name, coalesce(sql, '') FROM {schema}.sqlite_schema LIMIT {OBJECTS_MAX}"
    );
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    rows.collect()
}

/// What the captures recorded, when the databases cannot be opened.
fn by_facts(before: &Facts, after: &Facts, error: &rusqlite::Error) -> DatabaseDifference {
    let [rows_before, rows_after] = [counted(before), counted(after)];
    let names: BTreeSet<&String> = rows_before.keys().chain(rows_after.keys()).collect();
    let total = names.len();
    let tables: Vec<TableDifference> = names
        .into_iter()
        .filter(|name| rows_before.get(*name) != rows_after.get(*name))
        .map(|name| TableDifference {
            name: name.clone(),
            rows_before: rows_before.get(name).copied(),
            rows_after: rows_after.get(name).copied(),
            ..TableDifference::default()
        })
        .collect();
    let schema = match before.get(keys::SCHEMA_BLAKE3) == after.get(keys::SCHEMA_BLAKE3) {
        true => "the schema is the same",
        false => "the schema differs",
    };
    DatabaseDifference {
        schema: Vec::new(),
        tables_same: (total - tables.len()) as u64,
        tables,
        remark: Some(format!(
            "compared by what was recorded at capture, {schema}: {error}"
        )),
    }
}
