//! Which rows of the index are known not to give their blob.

use crate::format::blob::{BlobRow, Form};
use crate::id::{BlobId, PackId};
use std::collections::{HashMap, HashSet};

/// Bytes of a pack that a reader sees at first: without them none of its blobs can be opened.
const HEAD_BYTES: u64 = 4096;

/// Whether a pack of which `there` bytes are there, of the `listed` ones, reaches as far as a row.
pub(super) fn reaches(row: &BlobRow, there: u64, listed: u64) -> bool {
    let end = match row.form {
        Form::Member { .. } => 0,
        _ => u64::from(row.offset) + u64::from(row.stored),
    };
    there >= end.max(listed.min(HEAD_BYTES))
}

/// Blobs that were read and found damaged, by pack.
#[derive(Debug, Default)]
pub(super) struct BadPlaces(HashMap<PackId, HashSet<BlobId>>);

impl BadPlaces {
    pub(super) fn add(&mut self, pack: PackId, blob: BlobId) {
        self.0.entry(pack).or_default().insert(blob);
    }

    pub(super) fn contains(&self, pack: &PackId, blob: &BlobId) -> bool {
        self.0.get(pack).is_some_and(|blobs| blobs.contains(blob))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
