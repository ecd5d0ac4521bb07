//! The engine's own checks and the row counts, for captures and for restored images alike.

use crate::entry::{Fact, Facts};
use crate::source::sqlite::connection::engine_error;
use crate::source::sqlite::keys;
use rusqlite::{Connection, Error, ErrorCode};
use std::collections::BTreeMap;

/// Most messages of a check that are kept: the first ones say what is wrong.
const MESSAGES_MAX: usize = 10;

/// Longest message that is kept, characters.
const MESSAGE_CHARACTERS_MAX: usize = 300;

/// Most tables that are counted: keeps the facts of a snapshot small.
const TABLES_MAX: usize = 10_000;

/// Ordinary tables only: a virtual table counts what its module likes, its shadows hold no rows of
/// the user's, and SQLite's own tables are not data.
const TABLE_QUERY: &str = "SELECT name FROM pragma_table_list \
     WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
     ORDER BY name";

/// Which check of the engine runs over the whole database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// None.
    None,
    /// `PRAGMA quick_check`: every b-tree and record, not whether indexes agree with tables.
    #[default]
    Quick,
    /// `PRAGMA integrity_check`: indexes and uniqueness too. Several times slower.
    Integrity,
}

impl Check {
    /// The pragma's name; `None` for no check.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Quick => Some("quick_check"),
            Self::Integrity => Some("integrity_check"),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing wrong.
    Sound,
    /// Faults: the first messages, at least one.
    Faulty(Vec<String>),
    /// The check needs something this program does not have: a collation, a function or a module
    /// that the application brings along. Says nothing about the data.
    NotPossible(String),
}

/// Rows by table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RowCounts {
    /// Rows of each counted table.
    pub(crate) tables: BTreeMap<String, u64>,
    /// Tables that could not be counted for want of something the application brings along, and
    /// those past the bound.
    pub(crate) uncounted: u64,
    /// Tables whose pages are damaged.
    pub(crate) damaged: Vec<String>,
}

impl RowCounts {
    pub(crate) fn rows(&self) -> u64 {
        self.tables
            .values()
            .fold(0, |sum, rows| sum.saturating_add(*rows))
    }

    pub(crate) fn describe(&self, facts: &mut Facts) {
        facts.insert(keys::TABLES.into(), Fact::Counts(self.tables.clone()));
        facts.insert(keys::ROWS.into(), integer(self.rows()));
        if self.uncounted > 0 {
            facts.insert(keys::TABLES_UNCOUNTED.into(), integer(self.uncounted));
        }
    }
}

/// A count as a fact.
pub(crate) fn integer(value: u64) -> Fact {
    Fact::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

enum Obstacle {
    /// The data.
    Damage,
    /// What this program lacks.
    Lack,
    /// The system or the user: the operation cannot go on.
    Stop,
}

fn obstacle(error: &Error) -> Obstacle {
    match engine_error(error).map(|error| error.code) {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Obstacle::Damage,
        Some(ErrorCode::Unknown) => Obstacle::Lack,
        _ => Obstacle::Stop,
    }
}

/// Runs `check` over the main database of `connection`; `None` when none was asked for. Errors:
/// the check was stopped, or the file could not be read.
pub(crate) fn run_check(
    connection: &Connection,
    check: Check,
) -> rusqlite::Result<Option<Verdict>> {
    let Some(name) = check.name() else {
        return Ok(None);
    };
    match messages(connection, name) {
        Ok(messages) if messages.iter().all(|message| message == "ok") => Ok(Some(Verdict::Sound)),
        Ok(messages) => Ok(Some(Verdict::Faulty(messages))),
        Err(error) => match obstacle(&error) {
            Obstacle::Damage => Ok(Some(Verdict::Faulty(vec![error.to_string()]))),
            Obstacle::Lack => Ok(Some(Verdict::NotPossible(error.to_string()))),
            Obstacle::Stop => Err(error),
        },
    }
}

fn messages(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA main.{name}({MESSAGES_MAX})"))?;
    let mut rows = statement.query([])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        let text = String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned();
        messages.push(text.chars().take(MESSAGE_CHARACTERS_MAX).collect());
        if messages.len() == MESSAGES_MAX {
            break;
        }
    }
    Ok(messages)
}

/// Names of the ordinary tables, sorted by bytes, and how many more there are than the bound or
/// have names that are not UTF-8.
pub(crate) fn table_names(connection: &Connection) -> rusqlite::Result<(Vec<String>, u64)> {
    let mut statement = connection.prepare(TABLE_QUERY)?;
    let mut rows = statement.query([])?;
    let mut names = Vec::new();
    let mut omitted = 0;
    while let Some(row) = rows.next()? {
        match row.get::<_, String>(0) {
            Ok(name) if names.len() < TABLES_MAX => names.push(name),
            _ => omitted += 1,
        }
    }
    Ok((names, omitted))
}

/// Counts the rows of every ordinary table. Errors: stopped, or the file could not be read.
pub(crate) fn count_rows(connection: &Connection) -> rusqlite::Result<RowCounts> {
    let (names, omitted) = table_names(connection)?;
    let mut counts = RowCounts {
        uncounted: omitted,
        ..RowCounts::default()
    };
    for name in names {
        let query = format!("SELECT count(*) FROM main.{}", quoted(&name));
        match connection.query_row(&query, [], |row| row.get::<_, i64>(0)) {
            Ok(rows) => {
                counts.tables.insert(name, u64::try_from(rows).unwrap_or(0));
            }
            Err(error) => match obstacle(&error) {
                Obstacle::Damage => counts.damaged.push(name),
                Obstacle::Lack => counts.uncounted += 1,
                Obstacle::Stop => return Err(error),
            },
        }
    }
    Ok(counts)
}

/// `name` as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
