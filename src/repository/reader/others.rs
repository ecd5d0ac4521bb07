//! Other copies to read from: what is damaged here may be whole there.
//!
//! A mirror has the same blobs, a sibling blobs of the same ids. What another copy gives was verified
//! against its id there, under the same id key: in a stranger the id is not found.

use crate::format::blob::BlobKind;
use crate::id::BlobId;
use crate::repository::{ReadError, Reader};
use std::sync::atomic::{AtomicU64, Ordering};

/// Another copy, and what it gave.
#[derive(Debug)]
pub(super) struct Other<'a> {
    reader: &'a Reader<'a>,
    blobs: AtomicU64,
    bytes: AtomicU64,
}

/// What another copy gave in the place of one that is damaged or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<'a> Reader<'a> {
    /// Reads from these copies, in this order, what cannot be had here, be it damaged or out of reach.
    pub fn fall_back_on(&mut self, others: &[&'a Reader<'a>]) {
        let other = |reader: &&'a Reader<'a>| Other {
            reader,
            blobs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        self.others = others.iter().map(other).collect();
    }

    /// What each of the other copies gave so far, in their order.
    pub fn served(&self) -> Vec<Served> {
        let served = |other: &Other<'_>| Served {
            blobs: other.blobs.load(Ordering::Relaxed),
            bytes: other.bytes.load(Ordering::Relaxed),
        };
        self.others.iter().map(served).collect()
    }

    /// Whether a failure is one that another copy may make good.
    pub(super) fn may_be_elsewhere(&self, error: &ReadError) -> bool {
        let lost = error.is_damage() || matches!(error, ReadError::Store(_));
        lost && !self.others.is_empty()
    }

    /// Reads a blob from the first other copy that has it whole; otherwise the error is the first one.
    pub(super) fn read_elsewhere(
        &self,
        id: BlobId,
        kind: BlobKind,
        error: ReadError,
    ) -> Result<Vec<u8>, ReadError> {
        for other in &self.others {
            if let Ok(plain) = other.reader.read(id, kind) {
                other.blobs.fetch_add(1, Ordering::Relaxed);
                let bytes = plain.len() as u64;
                other.bytes.fetch_add(bytes, Ordering::Relaxed);
                return Ok(plain);
            }
        }
        Err(error)
    }

    /// A pack that is out of reach is as good as damaged where another copy may have what is in it.
    pub(super) fn lost(&self, pack: crate::id::PackId, error: ReadError) -> ReadError {
        match error {
            ReadError::Store(source) if !self.others.is_empty() => ReadError::Pack { pack, source },
            error => error,
        }
    }
}
