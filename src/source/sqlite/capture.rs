//! One capture under way: an image inside a read transaction, and what ends it.

use crate::entry::{Entry, Fact, Facts, Layout};
use crate::monitor::Cancel;
use crate::source::sqlite::checks::{Check, RowCounts, Verdict, integer};
use crate::source::sqlite::claim::Claim;
use crate::source::sqlite::connection::{Database, failure, interrupted, query_failure};
use crate::source::sqlite::direct::Direct;
use crate::source::sqlite::examination::Examiner;
use crate::source::sqlite::pages::Pages;
use crate::source::sqlite::{Counts, companion, file_entry};
use crate::source::sqlite::{facts, keys};
use crate::source::{Consistency, Content, ContentEnd, Extent, SourceError};
use rusqlite::Connection;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Above this size writers of a rollback-journal database notice the wait, bytes.
const NOTICED_BYTES: u64 = 256 << 20;

/// What a capture is asked for.
pub(crate) struct CaptureSettings {
    pub(crate) name: Vec<u8>,
    pub(crate) counts: Counts,
    pub(crate) check: Check,
}

/// The bytes of a database, out of a read transaction that lasts as long as this value.
pub(crate) struct DatabaseContent {
    /// Its connection ends its transaction and closes when dropped, before the claim goes.
    examiner: Examiner,
    /// Where the pages come from, if not from the connection. Let go of before the claim too.
    direct: Option<Direct>,
    _claim: Option<Claim>,
    path: PathBuf,
    cancel: Cancel,
    entry: Entry,
    pages: Pages,
    facts: Facts,
    settings: CaptureSettings,
    /// The counter of others' commits when the transaction began; `None` for an image in memory.
    data_version: Option<i64>,
    blocks_writers: bool,
}

impl DatabaseContent {
    /// Begins the read transaction on a live database.
    pub(crate) fn begin(
        database: Database,
        settings: CaptureSettings,
    ) -> Result<Self, SourceError> {
        let mut live_facts =
            live_facts(&database).map_err(|error| database.failed("query", error))?;
        let begun = begin_transaction(&database.connection)
            .map_err(|error| database.failed("begin to read", error))?;
        let (pages, facts, data_version) = begun;
        live_facts.extend(facts);
        let entry = file_entry(settings.name.clone(), &database.path, pages.image_bytes())?;
        let rollback = live_facts.get(keys::JOURNAL_MODE) != Some(&Fact::Text("wal".into()));
        let direct = direct(&database, &pages)?;
        Ok(Self {
            blocks_writers: rollback && pages.image_bytes() > NOTICED_BYTES,
            examiner: Examiner::Waiting(database.connection),
            direct,
            _claim: Some(database.claim),
            path: database.path,
            cancel: database.cancel,
            entry,
            pages,
            facts: live_facts,
            settings,
            data_version: Some(data_version),
        })
    }

    /// Begins to read an image in memory, made of the database at `path`. `live_facts` are those
    /// only the live database knows.
    pub(crate) fn begin_in_memory(
        connection: Connection,
        path: &Path,
        cancel: &Cancel,
        mut live_facts: Facts,
        settings: CaptureSettings,
    ) -> Result<Self, SourceError> {
        let (pages, facts, _) = begin_transaction(&connection)
            .map_err(|error| query_failure("read the compacted image of", path, error))?;
        live_facts.extend(facts);
        let entry = file_entry(settings.name.clone(), path, pages.image_bytes())?;
        Ok(Self {
            examiner: Examiner::Waiting(connection),
            direct: None,
            _claim: None,
            path: path.into(),
            cancel: cancel.clone(),
            entry,
            pages,
            facts: live_facts,
            settings,
            data_version: None,
            blocks_writers: false,
        })
    }

    /// The file, with the size of the image.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether writers wait for this capture long enough to notice.
    pub(crate) fn blocks_writers(&self) -> bool {
        self.blocks_writers
    }

    fn failed(&self, operation: &'static str, error: rusqlite::Error) -> SourceError {
        query_failure(operation, &self.path, error)
    }

    /// The thread that had the connection died: a defect.
    fn lost(&self) -> SourceError {
        failure("check", &self.path, io::Error::other("the check died"))
    }

    /// Records what the check found; returns a fault.
    fn record_check(&mut self, verdict: Option<Verdict>) -> Option<String> {
        let (verdict, name) = verdict.zip(self.settings.check.name())?;
        let (result, fault) = match verdict {
            Verdict::Sound => ("ok".to_owned(), None),
            Verdict::Faulty(messages) => {
                let first = messages.first().cloned().unwrap_or_default();
                (first, Some(format!("{name}: {}", messages.join("; "))))
            }
            Verdict::NotPossible(reason) => (format!("not possible: {reason}"), None),
        };
        self.facts
            .insert(keys::CHECK.into(), Fact::Text(name.into()));
        self.facts
            .insert(keys::CHECK_RESULT.into(), Fact::Text(result));
        fault
    }

    /// Records the counts; returns a fault.
    fn record_counts(&mut self, counts: Option<RowCounts>) -> Option<String> {
        let counts = counts?;
        counts.describe(&mut self.facts);
        let table = counts.damaged.first()?;
        Some(format!("table {table} cannot be read"))
    }

    /// Ends the transaction and looks whether others wrote since it began.
    fn end(&mut self, connection: &Connection) -> Result<(), SourceError> {
        let ended = connection.execute_batch("COMMIT");
        ended.map_err(|error| self.failed("end the reading of", error))?;
        if let Some(before) = self.data_version {
            let after =
                facts::data_version(connection).map_err(|error| self.failed("query", error))?;
            let written = Fact::Bool(after != before);
            self.facts.insert(keys::WRITTEN_MEANWHILE.into(), written);
            let wal_bytes = integer(wal_bytes(&self.path));
            self.facts.insert(keys::WAL_BYTES_END.into(), wal_bytes);
        }
        Ok(())
    }
}

impl Content for DatabaseContent {
    fn layout(&self) -> Layout {
        Layout::Pages
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        if self.cancel.is_cancelled() {
            return Err(interrupted("read", &self.path));
        }
        let length = match (&mut self.direct, self.examiner.connection()) {
            (Some(direct), _) => {
                self.examiner.start(&self.settings, &self.cancel);
                let read = direct.read(buffer);
                read.map_err(|error| failure("read", &self.path, error))?
            }
            (None, Some(connection)) => {
                let read = self.pages.read(connection, buffer);
                read.map_err(|error| query_failure("read", &self.path, error))?
            }
            (None, None) => return Err(self.lost()),
        };
        Ok(match length {
            0 => Extent::End,
            length => Extent::Data(length),
        })
    }

    fn finish(mut self: Box<Self>) -> Result<ContentEnd, SourceError> {
        let examined = self.examiner.finish(&self.settings);
        let examined = examined.ok_or_else(|| self.lost())?;
        let verdict = examined.verdict;
        let fault = self.record_check(verdict.map_err(|error| self.failed("check", error))?);
        let counts = examined.counts;
        let counts = counts.map_err(|error| self.failed("count the rows of", error))?;
        let damage = self.record_counts(counts);
        self.end(&examined.connection)?;
        let consistency = match fault.or(damage) {
            Some(message) => Consistency::Suspect(message),
            None => Consistency::Consistent,
        };
        Ok(ContentEnd {
            entry: Some(self.entry),
            consistency,
            facts: self.facts,
        })
    }
}

/// What only the live database knows; for both kinds of capture.
pub(crate) fn live_facts(database: &Database) -> rusqlite::Result<Facts> {
    let journal_mode = facts::journal_mode(&database.connection)?;
    Ok(Facts::from([
        (keys::JOURNAL_MODE.to_owned(), Fact::Text(journal_mode)),
        (
            keys::WAL_BYTES.to_owned(),
            integer(wal_bytes(&database.path)),
        ),
    ]))
}

fn begin_transaction(connection: &Connection) -> rusqlite::Result<(Pages, Facts, i64)> {
    connection.execute_batch("BEGIN")?;
    // A deferred transaction sees its state from the first read on: this is it.
    connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))?;
    let data_version = facts::data_version(connection)?;
    let pages = Pages::of(connection)?;
    let facts = facts::of_image(connection, &pages)?;
    Ok((pages, facts, data_version))
}

/// The image out of the file itself, where that is what the transaction sees.
fn direct(database: &Database, pages: &Pages) -> Result<Option<Direct>, SourceError> {
    let (connection, path) = (&database.connection, &database.path);
    let query = |error| database.failed("query", error);
    // Asked inside the transaction: before, it could have changed.
    let is_logged = facts::journal_mode(connection).map_err(query)? == "wal";
    let log = match is_logged.then(|| open_log(path)) {
        None => None,
        Some(Ok(log)) => Some(log),
        Some(Err(_)) => return Ok(None),
    };
    // SQLite reads what cannot be read directly.
    match database.claim.file(path) {
        Ok(Some(file)) => Direct::of(connection, pages, file, log.as_ref()).map_err(query),
        _ => Ok(None),
    }
}

/// The log has no locks of its own that closing it could take away.
fn open_log(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(companion(path, "-wal"))
}

fn wal_bytes(path: &Path) -> u64 {
    companion(path, "-wal")
        .symlink_metadata()
        .map_or(0, |metadata| metadata.len())
}
