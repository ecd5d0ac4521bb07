//! Databases to capture and a sink that keeps what it receives.

use crate::entry::{ChangeStamp, Entry, Fact, Facts};
use crate::monitor::{Cancel, Silent};
use crate::source::sqlite::{SqliteOptions, SqliteSource};
use crate::source::{
    CaptureError, Consistency, Content, Context, Exclusion, Extent, Problem, Sink, SinkError,
    Source, SourceError,
};
use rusqlite::Connection;
use std::path::Path;

/// Sum of all balances, whatever the writers do.
pub(crate) const TOTAL: i64 = 1000;

/// A database with an invariant: the balances sum up to [`TOTAL`], and the counter is the number of
/// rows of the log.
pub(crate) fn create(path: &Path, page_size: u32, journal_mode: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = {journal_mode};
             PRAGMA wal_autocheckpoint = 0; PRAGMA application_id = 77; PRAGMA user_version = 5;
             CREATE TABLE ledger(name TEXT PRIMARY KEY, balance INTEGER) WITHOUT ROWID;
             INSERT INTO ledger VALUES ('a', 400), ('b', 600), ('counter', 0);
             CREATE TABLE log(id INTEGER PRIMARY KEY, text TEXT, filler BLOB);
             CREATE INDEX log_text ON log(text);
             CREATE VIEW sums AS SELECT sum(balance) FROM ledger;"
        ))
        .unwrap();
    connection
}

/// One transaction that keeps the invariant and grows the log.
pub(crate) fn transfer(connection: &Connection, round: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         UPDATE ledger SET balance = balance - {round} % 7 WHERE name = 'a';
         INSERT INTO log(text, filler) VALUES ('entry {round}', zeroblob(900));
         UPDATE ledger SET balance = balance + {round} % 7 WHERE name = 'b';
         UPDATE ledger SET balance = balance + 1 WHERE name = 'counter';
         COMMIT;"
    ))
}

pub(crate) fn fill(connection: &Connection, rounds: i64) {
    connection.execute_batch("SAVEPOINT fill").unwrap();
    connection
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO log(text, filler) SELECT 'filled ' || i, randomblob(700) FROM n",
            [rounds],
        )
        .unwrap();
    connection
        .execute(
            "UPDATE ledger SET balance = balance + ?1 WHERE name = 'counter'",
            [rounds],
        )
        .unwrap();
    connection.execute_batch("RELEASE fill").unwrap();
}

/// Fails the test unless the file at `path` is sound and keeps the invariant. Returns the counter.
pub(crate) fn assert_invariant(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    let one = |query: &str| -> i64 { connection.query_row(query, [], |row| row.get(0)).unwrap() };
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    assert_eq!(
        one("SELECT sum(balance) FROM ledger WHERE name <> 'counter'"),
        TOTAL
    );
    let counter = one("SELECT balance FROM ledger WHERE name = 'counter'");
    assert_eq!(counter, one("SELECT count(*) FROM log"));
    counter
}

/// What a capture gave.
pub(crate) struct Captured {
    pub(crate) image: Vec<u8>,
    pub(crate) entry: Entry,
    pub(crate) consistency: Consistency,
    pub(crate) facts: Facts,
}

impl Captured {
    pub(crate) fn integer(&self, key: &str) -> i64 {
        match &self.facts[key] {
            Fact::Integer(value) => *value,
            other => panic!("{key} is {other:?}"),
        }
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        match &self.facts[key] {
            Fact::Text(value) => value,
            other => panic!("{key} is {other:?}"),
        }
    }

    pub(crate) fn rows(&self, table: &str) -> Option<u64> {
        match &self.facts["tables"] {
            Fact::Counts(tables) => tables.get(table).copied(),
            other => panic!("tables is {other:?}"),
        }
    }
}

/// Reads a content to its end; `between` runs after the first read.
pub(crate) fn read_all(
    mut content: Box<dyn Content>,
    entry: Entry,
    buffer_bytes: usize,
    between: &mut dyn FnMut(),
) -> Result<Captured, SourceError> {
    let mut buffer = vec![0; buffer_bytes];
    let mut image = Vec::new();
    let mut reads = 0;
    loop {
        match content.read(&mut buffer)? {
            Extent::Data(length) => image.extend_from_slice(&buffer[..length]),
            Extent::Hole(_) => panic!("a database has no holes"),
            Extent::End => break,
        }
        reads += 1;
        if reads == 1 {
            between();
        }
    }
    let end = content.finish()?;
    Ok(Captured {
        image,
        entry: end.entry.unwrap_or(entry),
        consistency: end.consistency,
        facts: end.facts,
    })
}

struct Recorder<'a> {
    buffer_bytes: usize,
    between: &'a mut dyn FnMut(),
    captured: Option<Captured>,
}

impl Sink for Recorder<'_> {
    fn enter(&mut self, _: Entry) -> Result<(), SinkError> {
        panic!("a database is no directory")
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        panic!("a database is no directory")
    }

    fn special(&mut self, _: Entry) -> Result<(), SinkError> {
        panic!("a database is a file")
    }

    fn file(
        &mut self,
        entry: Entry,
        stamp: Option<ChangeStamp>,
        open: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError> {
        assert_eq!(stamp, None);
        let captured = open()
            .and_then(|content| read_all(content, entry, self.buffer_bytes, self.between))
            .map_err(|error| SinkError(Box::new(error)))?;
        self.captured = Some(captured);
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        panic!("{problem:?}")
    }

    fn excluded(&mut self, exclusion: Exclusion) {
        panic!("{exclusion:?}")
    }
}

/// Captures with everything settable; `between` runs after the first read of `buffer_bytes`.
pub(crate) fn capture_with(
    path: &Path,
    options: SqliteOptions,
    cancel: &Cancel,
    buffer_bytes: usize,
    between: &mut dyn FnMut(),
) -> Result<Captured, CaptureError> {
    let mut recorder = Recorder {
        buffer_bytes,
        between,
        captured: None,
    };
    let context = Context {
        monitor: &Silent,
        cancel,
    };
    SqliteSource::new(path.into(), None, options).capture(&context, &mut recorder)?;
    Ok(recorder.captured.expect("one file is offered"))
}

pub(crate) fn capture(path: &Path) -> Result<Captured, CaptureError> {
    let options = SqliteOptions::default();
    capture_with(path, options, &Cancel::default(), 256 << 10, &mut || {})
}

/// The remedy of a capture that must have failed at its source.
pub(crate) fn refusal(result: Result<Captured, CaptureError>) -> (String, String) {
    match result {
        Err(CaptureError::Source(error)) => (
            format!("{error}: {}", error.source),
            error.remedy.unwrap_or_default(),
        ),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was captured"),
    }
}
