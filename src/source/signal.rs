//! A cheap sign of whether a source changed: what the file system says of it, and the counters that a
//! database keeps. Equal signs mean that nothing changed that can be seen without reading content;
//! nothing is locked, and no database is opened.

use crate::entry::{ChangeStamp, Entry, EntryKind};
use crate::source::sqlite::companion;
use crate::source::{
    CaptureError, Content, Context, Exclusion, Problem, Sink, SinkError, Source, SourceError,
};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The part of a database's header that its change counters are in, bytes.
const HEADER_BYTES: u64 = 100;

/// What a sign is made of.
#[derive(Debug, Default)]
pub struct Signs(blake3::Hasher);

impl Signs {
    /// The sign of all that was added.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    fn word(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn numbers(&mut self, numbers: &[i64]) {
        for number in numbers {
            self.0.update(&number.to_le_bytes());
        }
    }

    /// A name, to tell one source from another.
    pub fn name(&mut self, name: &str) {
        self.word(name.as_bytes());
    }

    /// A file: its number, length and time of change; or that it is not there.
    pub fn file(&mut self, path: &Path) {
        match std::fs::metadata(path) {
            Ok(found) => self.numbers(&[
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime(),
                found.mtime_nsec(),
            ]),
            Err(error) => self.error(error.kind()),
        }
    }

    fn error(&mut self, kind: ErrorKind) {
        self.word(kind.to_string().as_bytes());
    }

    /// A SQLite database: its file with the counters of its header, and its write-ahead log with the
    /// salts of its. A log that is there and empty is as none: readers leave it like that.
    pub fn database(&mut self, path: &Path) {
        self.file(path);
        self.head(path);
        for suffix in ["-wal", "-journal"] {
            let companion = companion(path, suffix);
            if std::fs::metadata(&companion).is_ok_and(|found| found.size() > 0) {
                self.word(suffix.as_bytes());
                self.file(&companion);
                self.head(&companion);
            }
        }
    }

    fn head(&mut self, path: &Path) {
        let mut head = Vec::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut head));
        match read {
            Ok(_) => self.word(&head),
            Err(error) => self.error(error.kind()),
        }
    }

    /// Files and trees, with what is left out of them left out.
    pub fn tree(
        &mut self,
        source: &mut dyn Source,
        context: &Context<'_>,
    ) -> Result<(), CaptureError> {
        match source.capture(context, self) {
            Err(CaptureError::Source(error)) => {
                self.word(error.to_string().as_bytes());
                Ok(())
            }
            other => other,
        }
    }

    fn entry(&mut self, entry: &Entry) {
        self.word(&entry.name);
        self.numbers(&[i64::from(entry.metadata.mode)]);
    }
}

/// What readers of a database leave beside it, though they change nothing.
fn is_trace(entry: &Entry) -> bool {
    let is_empty_log = entry.name.ends_with(b"-wal") && entry.kind == EntryKind::File { size: 0 };
    entry.name.ends_with(b"-shm") || is_empty_log
}

impl Sink for Signs {
    fn enter(&mut self, entry: Entry) -> Result<(), SinkError> {
        self.word(b"enter");
        self.entry(&entry);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        self.word(b"leave");
        Ok(())
    }

    fn special(&mut self, entry: Entry) -> Result<(), SinkError> {
        self.entry(&entry);
        if let EntryKind::Symlink { target } = &entry.kind {
            self.word(target);
        }
        Ok(())
    }

    fn file(
        &mut self,
        entry: Entry,
        _: Option<ChangeStamp>,
        _: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError> {
        if is_trace(&entry) {
            return Ok(());
        }
        self.entry(&entry);
        let size = match entry.kind {
            EntryKind::File { size } => size.cast_signed(),
            _ => 0,
        };
        self.numbers(&[size, entry.metadata.modified.0]);
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        self.word(&problem.path);
        self.word(problem.message.as_bytes());
    }

    fn excluded(&mut self, _: Exclusion) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Signs;
    use crate::env::SystemClock;
    use crate::monitor::{Cancel, Silent};
    use crate::source::Context;
    use crate::source::exclude::ExcludeRules;
    use crate::source::files::FilesSource;
    use crate::source::recording::RecordingSink;
    use crate::source::sqlite::{SqliteOptions, SqliteSource};
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    fn of_database(path: &Path) -> [u8; 32] {
        let mut signs = Signs::default();
        signs.database(path);
        signs.finish()
    }

    fn of_tree(path: &Path) -> [u8; 32] {
        let mut rules = ExcludeRules::builder();
        rules.rule("*.log", None).unwrap();
        let source = FilesSource::new(&[path.to_owned()], Arc::new(SystemClock)).unwrap();
        let mut source = source.exclude(rules.build().unwrap());
        let mut signs = Signs::default();
        let cancel = Cancel::default();
        let context = Context {
            monitor: &Silent,
            cancel: &cancel,
        };
        signs.tree(&mut source, &context).unwrap();
        signs.finish()
    }

    #[test]
    fn a_commit_shows_in_the_sign_and_a_reader_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let writer = rusqlite::Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a);")
            .unwrap();
        let (mut database, mut tree) = (of_database(&path), of_tree(directory.path()));
        for _ in 0..3 {
            writer.execute("INSERT INTO t VALUES (1)", []).unwrap();
            let (now, tree_now) = (of_database(&path), of_tree(directory.path()));
            assert_ne!((now, tree_now), (database, tree));
            assert!(now != database && tree_now != tree);
            (database, tree) = (now, tree_now);
        }
        let reader = rusqlite::Connection::open(&path).unwrap();
        let rows = reader.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u32>(0));
        assert_eq!(rows.unwrap(), 3);
        assert_eq!(
            (of_database(&path), of_tree(directory.path())),
            (database, tree)
        );
        drop((reader, writer));
        // Nobody has it open: the capture itself makes files beside it that are no change.
        let quiet = of_database(&path);
        let mut source = SqliteSource::new(path.clone(), None, SqliteOptions::default());
        let cancel = Cancel::default();
        let context = Context {
            monitor: &Silent,
            cancel: &cancel,
        };
        let mut recorder = RecordingSink::default();
        crate::source::Source::capture(&mut source, &context, &mut recorder).unwrap();
        assert_eq!(of_database(&path), quiet);
    }

    #[test]
    fn what_is_left_out_gives_no_sign() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("a", "one");
        let before = of_tree(directory.path());
        write("b.log", "noise");
        assert_eq!(of_tree(directory.path()), before);
        write("a", "longer");
        let longer = of_tree(directory.path());
        assert_ne!(longer, before);
        fs::remove_file(directory.path().join("a")).unwrap();
        let gone = of_tree(directory.path());
        assert!(gone != longer && gone != before);
    }
}
