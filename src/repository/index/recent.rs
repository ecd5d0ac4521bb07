//! What was looked up a moment ago and is asked for again at once: the packs of rows, and groups,
//! which every one of their members leads to. Bounded; a few megabytes at most.

use crate::id::BlobId;
use crate::repository::index::{Entry, Listing, Place};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Facts of packs that are kept.
const LISTINGS_MAX: usize = 16_384;

/// Groups whose rows are kept.
const GROUPS_MAX: usize = 4_096;

/// Rows of groups, as of one state of the index.
#[derive(Default)]
struct Groups {
    /// Counts the changes of the index: what was read before one is not kept after it.
    state: u64,
    rows: HashMap<BlobId, Vec<Entry>>,
}

/// The last look-ups.
#[derive(Default)]
pub(super) struct Recent {
    listings: RwLock<HashMap<Place, Listing>>,
    groups: RwLock<Groups>,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Recent {
    /// A pack's facts. A place means the same until the index is emptied.
    pub(super) fn listing(&self, place: Place) -> Option<Listing> {
        read(&self.listings).get(&place).copied()
    }

    pub(super) fn keep_listing(&self, listing: Listing) {
        let mut listings = write(&self.listings);
        if listings.len() >= LISTINGS_MAX {
            listings.clear();
        }
        listings.insert(listing.place, listing);
    }

    /// Rows of a group, and the state to hand to [`Self::keep_group`] where there are none.
    pub(super) fn group(&self, id: &BlobId) -> Result<Vec<Entry>, u64> {
        let groups = read(&self.groups);
        groups.rows.get(id).cloned().ok_or(groups.state)
    }

    /// Keeps rows that were read after `state` was told, unless the index changed since.
    pub(super) fn keep_group(&self, state: u64, id: BlobId, rows: &[Entry]) {
        let mut groups = write(&self.groups);
        if groups.state != state {
            return;
        }
        if groups.rows.len() >= GROUPS_MAX {
            groups.rows.clear();
        }
        groups.rows.insert(id, rows.to_vec());
    }

    /// Other rows count from now on.
    pub(super) fn changed(&self) {
        let mut groups = write(&self.groups);
        groups.state += 1;
        groups.rows.clear();
    }

    /// The index was emptied.
    pub(super) fn forget(&self) {
        self.changed();
        write(&self.listings).clear();
    }
}
