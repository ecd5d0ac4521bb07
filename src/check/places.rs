//! Which rows of the index are known not to give their blob.

use crate::id::{BlobId, PackId};
use std::collections::{HashMap, HashSet};

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
