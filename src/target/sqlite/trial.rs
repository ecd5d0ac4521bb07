//! Trying out a restored database: what its own check cannot see, and what the user asks.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Most faults that are listed.
const FAULTS_MAX: usize = 20;

/// What came of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The query.
    pub sql: String,
    /// The first value of its first row as text, `None` without a row.
    pub value: Option<String>,
    /// Whether that is something: not zero, empty, NULL or missing.
    pub holds: bool,
}

/// What trying a database out found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// Rows that refer to rows that are not there, the first of them, one sentence each.
    pub foreign_keys: Vec<String>,
    /// Of each query, in order.
    pub answers: Vec<Answer>,
}

impl Trial {
    /// What is not as it should be, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let broken = self.answers.iter().filter(|answer| !answer.holds);
        let broken = broken.map(|answer| {
            let value = answer.value.as_deref().unwrap_or("nothing");
            format!("{} gives {value}", answer.sql)
        });
        self.foreign_keys.iter().cloned().chain(broken).collect()
    }
}

/// Opens a database that nobody else uses for reading, runs `foreign_key_check` and the queries.
/// An error is one of opening or of a query itself.
pub fn try_out(path: &Path, queries: &[String]) -> Result<Trial, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut trial = Trial {
        foreign_keys: foreign_keys(&connection)?,
        ..Trial::default()
    };
    for sql in queries {
        trial.answers.push(answer(&connection, sql)?);
    }
    Ok(trial)
}

fn foreign_keys(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut faults = Vec::new();
    while let Some(row) = rows.next()? {
        if faults.len() == FAULTS_MAX {
            faults.push("and more".to_owned());
            break;
        }
        let table: String = row.get(0)?;
        let id: Option<i64> = row.get(1)?;
        let parent: String = row.get(2)?;
        let row = id.map_or_else(|| "a row".to_owned(), |id| format!("row {id}"));
        faults.push(format!(
            "{row} of {table} refers to a row of {parent} that is not there"
        ));
    }
    Ok(faults)
}

fn answer(connection: &Connection, sql: &str) -> Result<Answer, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let (value, holds) = match rows.next()? {
        None => (None, false),
        Some(row) => match row.get_ref(0)? {
            ValueRef::Null => (Some("NULL".to_owned()), false),
            ValueRef::Integer(number) => (Some(number.to_string()), number != 0),
            ValueRef::Real(number) => (Some(number.to_string()), number != 0.0),
            ValueRef::Text(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                let holds = !text.is_empty();
                (Some(text), holds)
            }
            ValueRef::Blob(bytes) => (Some(format!("{} bytes", bytes.len())), !bytes.is_empty()),
        },
    };
    Ok(Answer {
        sql: sql.to_owned(),
        value,
        holds,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_dangling_reference_and_an_answer_that_does_not_hold_are_told() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        let schema = "CREATE TABLE p(id INTEGER PRIMARY KEY);
            CREATE TABLE c(p REFERENCES p(id)); INSERT INTO p VALUES (1);
            PRAGMA foreign_keys = off; INSERT INTO c VALUES (1), (7);";
        connection.execute_batch(schema).unwrap();
        let queries = [
            "SELECT count(*) FROM c",
            "SELECT count(*) > 5 FROM c",
            "SELECT 1 WHERE 0",
        ];
        let trial = try_out(&path, &queries.map(str::to_owned)).unwrap();
        assert_eq!(
            trial.faults(),
            [
                "row 2 of c refers to a row of p that is not there",
                "SELECT count(*) > 5 FROM c gives 0",
                "SELECT 1 WHERE 0 gives nothing",
            ]
        );
        try_out(&path, &["SELECT nonsense".to_owned()]).unwrap_err();
        try_out(&path, &["DELETE FROM p".to_owned()]).unwrap_err();
    }
}
