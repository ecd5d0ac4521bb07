//! Collecting damage by object, and whom it hurts.

use crate::id::{BlobId, SnapshotId};
use std::collections::BTreeMap;
use std::ops::Range;

/// What is said of a pack that is listed and not there.
pub(super) const MISSING: &str = "is missing";

/// Most hurts that are kept: 100 MB or so.
const HURTS_MAX: u64 = 1_000_000;

/// Most ranges of one file that are told apart; the last covers the rest.
const RANGES_MAX: usize = 64;

/// Something that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object's key; `index` for blobs that no segment lists.
    pub object: String,
    /// What is wrong, one sentence without its subject, no final stop.
    pub what: String,
    /// Blobs that cannot be read from it, in the order of their ids.
    pub blobs: Vec<BlobId>,
    /// What cannot be restored for it. Empty when everything is stored elsewhere too, or nothing
    /// needs it. What rests on several damaged objects is listed with each.
    pub hurts: Vec<Hurt>,
}

/// A path of a snapshot that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hurt {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Path inside it, raw bytes, parts joined by `/`; empty for its root.
    pub path: Vec<u8>,
    /// How much of it.
    pub extent: Extent,
}

/// How much of a path cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// The directory cannot be listed: neither can what is below it.
    Subtree,
    /// These bytes of a file, in order; at most 64 ranges, of which the last covers the rest.
    Content(Vec<Range<u64>>),
}

/// Why a blob cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) object: String,
    pub(super) what: String,
    pub(super) blob: Option<BlobId>,
}

type HurtKey = (SnapshotId, Vec<u8>);

#[derive(Debug, Default)]
struct Found {
    what: String,
    blobs: std::collections::BTreeSet<BlobId>,
    hurts: BTreeMap<HurtKey, Extent>,
}

/// Damage under collection.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<String, Found>,
    hurts: u64,
    unlisted: u64,
}

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether something is wrong with an object.
    pub(super) fn names(&self, object: &str) -> bool {
        self.found.contains_key(object)
    }

    /// Takes over which packs are missing, and nothing about whom that hurts.
    pub(super) fn add_missing_packs(&mut self, hidden: Self) {
        let only_missing = |found: &Found| found.what == MISSING;
        for (object, found) in hidden.found {
            if only_missing(&found) && !self.found.contains_key(&object) {
                let what = format!("{MISSING}: forgotten snapshots need it to be brought back");
                self.add(Cause {
                    object: object.clone(),
                    what,
                    blob: None,
                });
                for blob in found.blobs {
                    self.add(Cause {
                        object: object.clone(),
                        what: String::new(),
                        blob: Some(blob),
                    });
                }
            }
        }
    }

    /// Notes damage; what was said first about an object stays.
    pub(super) fn add(&mut self, cause: Cause) {
        let found = self.found.entry(cause.object).or_default();
        if found.what.is_empty() {
            found.what = cause.what;
        }
        found.blobs.extend(cause.blob);
    }

    /// Notes damage that is told by an error, with its causes.
    pub(super) fn add_error(&mut self, object: impl Into<String>, error: &dyn std::error::Error) {
        self.add(Cause {
            object: object.into(),
            what: crate::explain::explain(error),
            blob: None,
        });
    }

    /// Notes that a directory, or a whole snapshot, cannot be listed.
    pub(super) fn hurt_subtree(&mut self, cause: Cause, snapshot: SnapshotId, path: &[u8]) {
        let object = cause.object.clone();
        self.add(cause);
        if let Some(extent) = self.extent(&object, snapshot, path) {
            *extent = Extent::Subtree;
        }
    }

    /// Notes that bytes of a file cannot be read. Ranges of one file come in order.
    pub(super) fn hurt_content(
        &mut self,
        cause: Cause,
        snapshot: SnapshotId,
        path: &[u8],
        range: Range<u64>,
    ) {
        let object = cause.object.clone();
        self.add(cause);
        let Some(Extent::Content(ranges)) = self.extent(&object, snapshot, path) else {
            return;
        };
        let full = ranges.len() >= RANGES_MAX;
        match ranges.last_mut() {
            Some(last) if last.end >= range.start || full => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    }

    fn extent(&mut self, object: &str, snapshot: SnapshotId, path: &[u8]) -> Option<&mut Extent> {
        let found = self.found.get_mut(object)?;
        let key = (snapshot, path.to_vec());
        if !found.hurts.contains_key(&key) {
            if self.hurts >= HURTS_MAX {
                self.unlisted += 1;
                return None;
            }
            self.hurts += 1;
        }
        let empty = || Extent::Content(Vec::new());
        Some(found.hurts.entry(key).or_insert_with(empty))
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.unlisted += other.unlisted;
        for (object, more) in other.found {
            let found = self.found.entry(object).or_default();
            if found.what.is_empty() {
                found.what = more.what;
            }
            found.blobs.extend(more.blobs);
            found.hurts.extend(more.hurts);
        }
    }

    /// The damage in the order of objects, and how many hurts are not in it.
    pub(super) fn finish(self) -> (Vec<Damage>, u64) {
        let damage = |(object, found): (String, Found)| Damage {
            object,
            what: found.what,
            blobs: found.blobs.into_iter().collect(),
            hurts: (found.hurts.into_iter())
                .map(|((snapshot, path), extent)| Hurt {
                    snapshot,
                    path,
                    extent,
                })
                .collect(),
        };
        (self.found.into_iter().map(damage).collect(), self.unlisted)
    }
}
