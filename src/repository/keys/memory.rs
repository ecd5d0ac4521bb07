//! The newest statement that this machine has seen of a repository.
//!
//! Spec: `format-spec/04-keys.md`, duties. Who can write to the store can put an old statement
//! back, and with it revoked writers and public keys whose secrets leaked. A host therefore keeps
//! the newest one in its local cache, as the root signed it: whoever changes the cache can make it
//! forget, and no more.

use crate::crypto::VerifyingKey;
use crate::format::document::EpochStatement;
use crate::format::wire::FormatError;
use crate::limits;
use crate::monitor::Monitor;
use crate::repository::Repository;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A statement and the bytes that the root signed.
#[derive(Debug, Clone)]
pub(super) struct SignedStatement {
    pub(super) content: EpochStatement,
    pub(super) bytes: Vec<u8>,
}

impl SignedStatement {
    pub(super) fn decode(bytes: Vec<u8>, root: &VerifyingKey) -> Result<Self, FormatError> {
        let content = EpochStatement::decode(&bytes, root)?;
        Ok(Self { content, bytes })
    }
}

/// Where statements are remembered: a file for each, named by its number. Several processes may
/// write at once, and none takes a higher number away.
#[derive(Debug)]
pub(in crate::repository) struct StatementMemory {
    directory: PathBuf,
}

impl StatementMemory {
    /// The newest one remembered. What the root did not sign is passed over.
    fn recall(&self, root: &VerifyingKey) -> Option<SignedStatement> {
        let mut numbers = self.numbers().unwrap_or_default();
        numbers.sort_unstable();
        numbers.into_iter().rev().find_map(|number| {
            let bytes = read(&self.path(number)).ok()?;
            let signed = SignedStatement::decode(bytes, root).ok()?;
            (signed.content.number == number).then_some(signed)
        })
    }

    /// Remembers a statement in place of older ones.
    fn remember(&self, statement: &SignedStatement) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let number = statement.content.number;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(self.path(number))?;
        file.write_all(&statement.bytes)?;
        for older in self.numbers()?.into_iter().filter(|older| *older < number) {
            // Left behind it costs a file, no more.
            let _left = std::fs::remove_file(self.path(older));
        }
        Ok(())
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name.to_str().map(|name| u64::from_str_radix(name, 16));
            numbers.extend(number.and_then(Result::ok));
        }
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:016x}"))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = limits::KEY_OBJECT_BYTES_MAX as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Repository {
    /// Remembers statements below `cache`, the repository's directory in the local cache.
    ///
    /// Where the repository shows an older statement than the one remembered, that one is used for
    /// reading, and everything that would write fails with [`Replayed`](crate::repository::KeyError::Replayed).
    pub fn remember_statements(&mut self, cache: &Path, monitor: &dyn Monitor) {
        let memory = StatementMemory {
            directory: cache.join("statements"),
        };
        let shown = self.access.statement().number;
        match memory.recall(self.access.root()) {
            Some(seen) if seen.content.number > shown => {
                self.access.statement = seen;
                self.access.replayed = Some(shown);
                if let Err(error) = self.access.check_standing() {
                    monitor.warn(&format!("{error}; the newer one is used"));
                }
            }
            Some(seen) if seen.content.number == shown => {}
            _ => self.remember(&memory, monitor),
        }
        self.memory = Some(memory);
    }

    /// Remembers the statement that was just published.
    pub(super) fn remember_published(&self) {
        if let Some(memory) = &self.memory {
            // The next command that opens the repository tries again, and says so.
            let _forgotten = memory.remember(&self.access.statement);
        }
    }

    fn remember(&self, memory: &StatementMemory, monitor: &dyn Monitor) {
        if let Err(error) = memory.remember(&self.access.statement) {
            let directory = memory.directory.display();
            monitor.warn(&format!(
                "cannot remember the repository's newest statement of keys in {directory}: {error}; \
                 an older one, put back by somebody, would not be noticed"
            ));
        }
    }
}
