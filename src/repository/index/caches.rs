//! The small key-value caches beside the index. They may forget anything at any time.

use crate::repository::index::engine::{Change, Family, Visit};
use crate::repository::index::{Cache, Index};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

/// Longest entry that is kept, key and value, bytes.
pub const CACHE_ENTRY_BYTES_MAX: usize = 4 << 20;

impl Cache {
    fn family(self) -> Family {
        match self {
            Self::Stat => Family::Stat,
            Self::Parent => Family::Parent,
            Self::Verified => Family::Verified,
            Self::State => Family::State,
        }
    }
}

impl Index {
    /// The value that was put last, where it is still there and can be read.
    pub fn cache_get(&self, cache: Cache, key: &[u8]) -> Option<Vec<u8>> {
        let family = cache.family();
        let mut engines = [Some(&self.memory), self.disk.as_ref()]
            .into_iter()
            .flatten()
            .map(|shelf| shelf.engine());
        // An entry that cannot be read is as good as none.
        engines.find_map(|engine| engine.get(family, key).ok().flatten())
    }

    /// Visits the entries whose keys begin with `prefix`, those of one shelf before the other's; one
    /// that is in both comes twice, the one to believe first. Ends early where one cannot be read.
    pub fn cache_visit(&self, cache: Cache, prefix: &[u8], visit: Visit<'_>) {
        let mut flow = ControlFlow::Continue(());
        for shelf in self.shelves() {
            let engine = shelf.engine();
            let _ = engine.visit_prefix(cache.family(), prefix, &mut |key, value| {
                flow = visit(key, value);
                flow
            });
            if flow.is_break() {
                return;
            }
        }
    }

    /// Puts entries, together where the disk takes them. Those longer than
    /// [`CACHE_ENTRY_BYTES_MAX`] are not kept; nor is anything above a quarter of the index's memory
    /// while the disk takes no changes.
    pub fn cache_put(&self, cache: Cache, entries: &[(Vec<u8>, Vec<u8>)]) {
        let admitted = entries.iter().filter(|(key, value)| {
            let bytes = key.len() + value.len();
            bytes <= CACHE_ENTRY_BYTES_MAX && (self.disk_takes() || self.admit(bytes))
        });
        let put = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Change::Put(cache.family(), key.clone(), value.clone())
        };
        self.change_entries(admitted.map(put).collect());
    }

    /// Removes entries. What a cache on disk that takes no changes has is there the next time.
    pub fn cache_remove(&self, cache: Cache, keys: &[Vec<u8>]) {
        let delete = |key: &Vec<u8>| Change::Delete(cache.family(), key.clone());
        self.change_entries(keys.iter().map(delete).collect());
    }

    fn disk_takes(&self) -> bool {
        self.disk.is_some() && self.writable.load(Ordering::Relaxed)
    }

    fn change_entries(&self, changes: Vec<Change>) {
        let shelf = match &self.disk {
            Some(disk) if self.disk_takes() => disk,
            _ => &self.memory,
        };
        // The next segment that cannot be written tells; a lost entry only costs time.
        let _ = shelf.engine().write(changes, false);
    }

    /// Counts an entry in memory, where there is room. What replaces another one counts as well.
    fn admit(&self, bytes: usize) -> bool {
        let room = |used: usize| {
            let sum = used.saturating_add(bytes);
            (sum <= self.entry_bytes_max).then_some(sum)
        };
        self.entry_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
    }
}
