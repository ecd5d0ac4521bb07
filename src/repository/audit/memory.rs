//! The audit records that this host has seen, in its local cache.
//!
//! Who can write to the store can take away the newest records, and with a whole chain everything
//! that says it was there. A host therefore remembers their names: a line each, appended, so that
//! several processes can. Whoever changes the cache can make it forget, and no more.

use crate::env::Timestamp;
use crate::format::layout::AuditName;
use crate::repository::Repository;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most that is remembered, bytes: the oldest half goes beyond it. A line takes about 130.
const BYTES_MAX: u64 = 32 << 20;

/// Where names are remembered.
#[derive(Debug)]
pub(in crate::repository) struct AuditMemory {
    path: PathBuf,
}

impl AuditMemory {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers more.
    pub(super) fn add(&self, names: &[AuditName]) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let lines: String = names.iter().map(|name| name.key() + "\n").collect();
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        // One write: lines of several processes do not mix.
        file.write_all(lines.as_bytes())?;
        match file.metadata()?.len() > BYTES_MAX {
            true => self.halve(),
            false => Ok(()),
        }
    }

    fn halve(&self) -> io::Result<()> {
        let names = self.recall()?;
        let newer = names.iter().skip(names.len() / 2);
        let lines: String = newer.map(|name| name.key() + "\n").collect();
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600);
        opened.open(&new)?.write_all(lines.as_bytes())?;
        std::fs::rename(&new, &self.path)
    }

    /// Everything that is remembered; what is no name is passed over.
    pub(super) fn recall(&self) -> io::Result<BTreeSet<AuditName>> {
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(file) => file.take(2 * BYTES_MAX).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(text.lines().filter_map(AuditName::parse).collect())
    }
}

impl Repository {
    /// Remembers audit records below `cache`, the repository's directory in the local cache.
    pub fn remember_audit(&mut self, cache: &Path) {
        self.audit_memory = Some(AuditMemory {
            path: cache.join("audit"),
        });
    }

    /// When the oldest remembered audit record was made, if any is.
    pub fn audit_remembered_since(&self) -> Option<Timestamp> {
        let memory = self.audit_memory.as_ref()?;
        let names = memory.recall().ok()?;
        names.first().map(|name| name.created)
    }
}
