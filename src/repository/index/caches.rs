//! The small key-value caches beside the index. They may forget anything at any time.

use crate::repository::index::engine::{Change, Family};
use crate::repository::index::{Cache, Index};
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

    /// Puts entries, or removes those without a value. Entries longer than
    /// [`CACHE_ENTRY_BYTES_MAX`] are not kept; nor is anything above a quarter of the index's memory
    /// while the disk takes no changes.
    pub fn cache_put(&self, cache: Cache, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let family = cache.family();
        let changes = |entries: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
            entries
                .into_iter()
                .map(|(key, value)| match value {
                    Some(value) => Change::Put(family, key, value),
                    None => Change::Delete(family, key),
                })
                .collect()
        };
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry_bytes(entry) <= CACHE_ENTRY_BYTES_MAX)
            .collect();
        match &self.disk {
            Some(disk) if self.writable.load(Ordering::Relaxed) => {
                // The next segment that cannot be written tells; a lost entry only costs time.
                let _ = disk.engine().write(changes(entries), false);
            }
            _ => {
                let kept = entries
                    .into_iter()
                    .filter(|entry| entry.1.is_none() || self.admit(entry_bytes(entry)))
                    .collect();
                // Memory cannot fail.
                let _ = self.memory.engine().write(changes(kept), false);
            }
        }
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

fn entry_bytes((key, value): &(Vec<u8>, Option<Vec<u8>>)) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}
