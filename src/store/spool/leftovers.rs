//! Spools of processes that died.

use crate::claim::Claim;
use crate::store::spool::SpoolStore;
use crate::store::{
    LocalStore, ObjectInfo, Store, StoreError, StoreErrorKind, StoreExt, StoreResult, lock,
};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in a spool that its process holds locked.
const CLAIM: &str = "claim";

/// The directory in a spool that holds the objects.
const OBJECTS: &str = "objects";

/// Most spools of one repository; more are an error, not an endless loop.
const SPOOLS_MAX: u32 = 1000;

/// An object that a process which died had not got up.
#[derive(Debug)]
pub struct Leftover {
    /// Which, and how large.
    pub info: ObjectInfo,
    local: Arc<LocalStore>,
}

fn failed(path: &Path, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => StoreErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        _ => StoreErrorKind::Permanent,
    };
    let location = path.display().to_string();
    StoreError::new(kind, "open", "the spool", location, error)
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Holds a spool; `None` if another process does.
fn claim(path: &Path) -> StoreResult<Option<Claim>> {
    Claim::take(&path.join(CLAIM)).map_err(|error| failed(path, error))
}

fn numbered(directory: &Path, number: u32) -> PathBuf {
    directory.join(number.to_string())
}

/// A spool of one's own.
pub(super) fn claim_new(directory: &Path) -> StoreResult<(PathBuf, Claim, LocalStore)> {
    for number in 0..SPOOLS_MAX {
        let path = numbered(directory, number);
        let objects = path.join(OBJECTS);
        // One that is there was left, or belongs to somebody.
        if objects.exists() {
            continue;
        }
        make(&path).map_err(|error| failed(&path, error))?;
        if let Some(claim) = claim(&path)? {
            let local = LocalStore::create(&objects)?;
            return Ok((path, claim, local));
        }
    }
    let error = io::Error::other(format!("there are {SPOOLS_MAX} of them already"));
    Err(failed(directory, error))
}

/// Removes a spool that is empty.
pub(super) fn remove(path: &Path) {
    let _left = std::fs::remove_dir_all(path);
}

impl SpoolStore {
    /// What processes that died have left, in the order it must go up. Their spools belong to this
    /// one until it ends.
    pub fn leftovers(&self) -> StoreResult<Vec<Leftover>> {
        let mut found = Vec::new();
        for number in 0..SPOOLS_MAX {
            let path = numbered(&self.options.directory, number);
            if path == self.path || !path.join(OBJECTS).exists() {
                continue;
            }
            let Some(claim) = claim(&path)? else {
                continue;
            };
            let local = Arc::new(LocalStore::open(&path.join(OBJECTS))?);
            let listed = local.list_all("")?;
            if listed.is_empty() {
                remove(&path);
                continue;
            }
            lock(&self.adopted).push((path, claim));
            found.extend(listed.into_iter().map(|info| Leftover {
                info,
                local: Arc::clone(&local),
            }));
        }
        found.sort_by_key(|leftover| self.rank(&leftover.info.key));
        Ok(found)
    }

    /// The bytes of a leftover, to be looked at before it goes up: a crash may have torn it.
    pub fn bytes(&self, leftover: &Leftover) -> StoreResult<Vec<u8>> {
        let size = usize::try_from(leftover.info.size).unwrap_or(usize::MAX);
        leftover.local.get(&leftover.info.key, size)
    }

    /// Lets a leftover go up.
    pub fn resume(&self, leftover: Leftover) {
        lock(&self.shared.state).figures.resumed += 1;
        self.enqueue(leftover.info.key, leftover.info.size, leftover.local);
    }

    /// Drops a leftover that must not go up.
    pub fn discard(&self, leftover: &Leftover) -> StoreResult<()> {
        leftover.local.delete(&leftover.info.key)
    }
}
