//! Remembering what unchanged files consist of, so that they need not be read again.
//!
//! Kept in the local cache under a keyed hash of source and path: no name is written there. Only
//! files that were captured as plain, consistent files are remembered: never a database, because
//! its main file may stay as it is while its log grows.

use crate::crypto::Role;
use crate::entry::ChangeStamp;
use crate::env::Timestamp;
use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links};
use crate::format::wire::{FormatError, Reader};
use crate::id::BlobId;
use crate::limits;
use crate::repository::index::Cache;
use crate::repository::{WriteError, WriteSession};
use std::sync::Mutex;

/// Entries written to the cache at once.
const BATCH: usize = 1024;

/// Cache entries to be written: key and value.
type Batch = Vec<(Vec<u8>, Vec<u8>)>;

/// The stat cache of one capture.
pub(super) struct StatCache<'s, 'a> {
    session: &'s WriteSession<'a>,
    prefix: Vec<u8>,
    batch: Mutex<Batch>,
}

impl<'s, 'a> StatCache<'s, 'a> {
    pub(super) fn new(session: &'s WriteSession<'a>, source: &str) -> Self {
        let mut prefix = source.as_bytes().to_vec();
        prefix.push(0);
        Self {
            session,
            prefix,
            batch: Mutex::default(),
        }
    }

    fn key(&self, path: &[u8]) -> Vec<u8> {
        let name = [&self.prefix, path].concat();
        let ids = &self.session.domain().ids;
        ids.blob_id(Role::Cache, &name).0.to_vec()
    }

    /// The content of a file with this stamp, if all of it is usable in this session.
    pub(super) fn get(
        &self,
        path: &[u8],
        stamp: &ChangeStamp,
    ) -> Result<Option<Child>, WriteError> {
        let index = self.session.reader().index();
        let Some(value) = index.cache_get(Cache::Stat, &self.key(path)) else {
            return Ok(None);
        };
        match decode(&value) {
            Ok((remembered, child)) if remembered == *stamp => {
                Ok(rely_on(self.session, child, 0)?.then_some(child))
            }
            _ => Ok(None),
        }
    }

    /// Remembers a file's content.
    pub(super) fn put(&self, path: &[u8], stamp: &ChangeStamp, child: Child) {
        let full = {
            let mut batch = self.lock();
            batch.push((self.key(path), encode(stamp, child)));
            batch.len() >= BATCH
        };
        if full {
            self.flush();
        }
    }

    /// Writes what was collected. Called once more when the snapshot is committed: before that an
    /// entry might name blobs that are never stored, which the next run would find unusable.
    pub(super) fn flush(&self) {
        let batch = std::mem::take(&mut *self.lock());
        self.session.reader().index().cache_put(Cache::Stat, &batch);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Batch> {
        self.batch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether everything below `child` is usable, children of hit nodes included.
pub(super) fn rely_on(
    session: &WriteSession<'_>,
    child: Child,
    depth: usize,
) -> Result<bool, WriteError> {
    match child {
        Child::Nothing | Child::Hole { .. } => Ok(true),
        Child::Chunk { id, .. } => session.is_known(id, BlobKind::Chunk),
        Child::Links { id, .. } => {
            if depth > limits::NODE_HEIGHT_MAX || !session.is_known(id, BlobKind::NodeLinks)? {
                return Ok(false);
            }
            let plain = match session.reader().read(id, BlobKind::NodeLinks) {
                Ok(plain) => plain,
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let Ok(links) = Links::decode(&plain) else {
                return Ok(false);
            };
            for child in links.children {
                if !rely_on(session, child, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn encode(stamp: &ChangeStamp, child: Child) -> Vec<u8> {
    let mut out = Vec::with_capacity(81);
    for field in [stamp.device, stamp.inode, stamp.size] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&stamp.modified.0.to_le_bytes());
    out.extend_from_slice(&stamp.changed.0.to_le_bytes());
    let (tag, id) = match child {
        Child::Nothing | Child::Hole { .. } => (0, BlobId::default()),
        Child::Chunk { id, .. } => (1, id),
        Child::Links { id, .. } => (2, id),
    };
    out.push(tag);
    out.extend_from_slice(&child.length().to_le_bytes());
    out.extend_from_slice(id.as_bytes());
    out
}

fn decode(bytes: &[u8]) -> Result<(ChangeStamp, Child), FormatError> {
    let mut reader = Reader::new("stat cache entry", bytes);
    let stamp = ChangeStamp {
        device: reader.u64()?,
        inode: reader.u64()?,
        size: reader.u64()?,
        modified: Timestamp(i64::from_le_bytes(reader.array()?)),
        changed: Timestamp(i64::from_le_bytes(reader.array()?)),
    };
    let (tag, length, id) = (reader.u8()?, reader.u64()?, BlobId(reader.array()?));
    reader.end()?;
    let child = match tag {
        0 => Child::Nothing,
        1 => Child::Chunk { id, length },
        2 => Child::Links { id, length },
        other => return Err(reader.error(format!("unknown child {other}"))),
    };
    Ok((stamp, child))
}
