//! The local cache of the index: which pack holds which blob, as far as listed segments say.
//!
//! The repository's segments are the truth; everything here can be deleted and is loaded again. A
//! cache that is damaged, locked by another process, on a full disk or not writable costs time and
//! one warning, never a backup. Design: `ARCHITECTURE.md`; rules: `format-spec/11-ordering.md`.
//!
//! A session lists the segments, asks [`Index::missing`], fetches, opens and [`Index::load`]s those,
//! and tells [`Index::set_visible`] the list. After [`IndexError::Unreadable`] it calls
//! [`Index::recover`] and does the same again: until then nothing is answered, because a row that
//! cannot be read must not look like one that is not there.
//!
//! On disk memory is bounded by [`IndexOptions::memory_bytes`] at any number of rows. In memory only,
//! a row takes about 250 bytes.

mod caches;
mod chain;
mod disk;
mod encoding;
mod engine;
mod lookup;
mod memory;
mod opening;
mod recent;
mod shelf;

#[cfg(test)]
mod tests;

use crate::format::blob::BlobRow;
use crate::format::pack::PackClass;
use crate::format::segment::PackRows;
use crate::id::{PackId, SegmentId, WriterId};
use crate::limits;
use crate::monitor::{Monitor, Silent};
use crate::repository::index::engine::EngineError;
use crate::repository::index::recent::Recent;
use crate::repository::index::shelf::{Loaded, Shelf};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

pub use crate::repository::index::caches::CACHE_ENTRY_BYTES_MAX;
pub use crate::repository::index::lookup::LOCATIONS_MAX;

/// The first number of segments in memory; on disk they are below.
const MEMORY_NUMBERS: u32 = 1 << 31;

/// Where the cache lives and what it may take.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// A directory of its own, created with mode 0700. None: in memory only.
    pub directory: Option<PathBuf>,
    /// Block cache, filters and memtables together, bytes. Default 64 MiB.
    pub memory_bytes: usize,
    /// Free bytes of the file system below which the cache is not written. Default 256 MiB: the
    /// disk is the database's, and RocksDB may abort the process when a log of its own meets a
    /// full one.
    pub free_bytes_min: u64,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            directory: None,
            memory_bytes: 64 << 20,
            free_bytes_min: 256 << 20,
        }
    }
}

/// The index could not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The cache on disk is damaged or gone. [`Index::recover`] it and load the segments again.
    #[error("the index cache could not be read while {operation}")]
    Unreadable {
        /// What was being done.
        operation: &'static str,
        /// The first failure; none when it was reported before.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// More rows than any decoded segment has.
    #[error(
        "index segment {segment} has {rows} rows, at most {} are allowed",
        limits::SEGMENT_ROWS_MAX
    )]
    TooManyRows {
        /// The segment.
        segment: SegmentId,
        /// How many.
        rows: usize,
    },
}

/// One pack of one segment: small, and ordered as rows come to be looked up. Valid until the index
/// is cleared or closed. A pack that several segments list has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    segment: u32,
    pack: u32,
}

/// A row of a visible segment, without the facts of its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The row.
    pub row: BlobRow,
    /// Its pack.
    pub place: Place,
}

/// A row of a visible segment with the facts of its pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The row.
    pub row: BlobRow,
    /// The pack that holds it.
    pub pack: PackId,
    /// The pack's class.
    pub class: PackClass,
    /// The pack's length, bytes.
    pub pack_length: u32,
    /// Who sealed the pack's blobs, attested by the segment's signer.
    pub author: WriterId,
    /// The segment that says so.
    pub segment: SegmentId,
}

/// A pack as one segment lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// The pack.
    pub pack: PackId,
    /// Its class.
    pub class: PackClass,
    /// Its length, bytes.
    pub length: u32,
    /// Who sealed its blobs.
    pub author: WriterId,
    /// How many rows it has in this segment.
    pub rows: u32,
    /// Where its rows say they are.
    pub place: Place,
}

/// Small caches beside the index, one key space each. Values are sealed by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cache {
    /// Files as they were at the last capture.
    Stat,
    /// The parent's chunks by source and place.
    Parent,
    /// Rows of foreign writers that were opened once.
    Verified,
    /// What was last seen of the repository.
    State,
}

/// How the index is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexMode {
    /// On disk.
    Disk,
    /// What was on disk is read; what is new is in memory.
    ReadOnly,
    /// In memory.
    Memory,
}

/// Sizes of what is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStats {
    /// How it is kept.
    pub mode: IndexMode,
    /// Segments that are listed and loaded.
    pub segments: u64,
    /// Their packs; one listed twice counts twice.
    pub packs: u64,
    /// Their rows.
    pub rows: u64,
}

/// The index of one repository. Shared between threads.
pub struct Index {
    disk: Option<Shelf>,
    memory: Shelf,
    view: RwLock<View>,
    recent: Recent,
    /// Whether new segments go to disk.
    writable: AtomicBool,
    warning: Mutex<Option<String>>,
    /// A read failed: nothing is answered until the index is cleared.
    unreadable: AtomicBool,
    /// Bytes of cache entries in memory, and how many there may be.
    entry_bytes: AtomicUsize,
    entry_bytes_max: usize,
}

impl Default for Index {
    /// In memory.
    fn default() -> Self {
        Self::open(&IndexOptions::default(), &Silent)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

/// Which rows count.
#[derive(Debug, Default)]
struct View {
    listed: HashSet<SegmentId>,
    visible: HashMap<u32, SegmentId>,
    stats: (u64, u64),
}

impl View {
    fn show(&mut self, segment: SegmentId, loaded: Loaded) {
        if self.listed.contains(&segment) && self.visible.insert(loaded.number, segment).is_none() {
            self.stats.0 += u64::from(loaded.packs);
            self.stats.1 += u64::from(loaded.rows);
        }
    }
}

impl Index {
    /// Opens the cache, or makes do without it: what stands in the way is told as one warning.
    pub fn open(options: &IndexOptions, monitor: &dyn Monitor) -> Self {
        opening::open(options, monitor)
    }

    /// Which of these segments are still to be loaded.
    pub fn missing(&self, listed: &[SegmentId]) -> Vec<SegmentId> {
        listed
            .iter()
            .filter(|id| self.loaded(id).is_none())
            .copied()
            .collect()
    }

    /// Adds a segment whose signature was checked. It counts once it is visible as well. When the
    /// disk takes no more, this and all further ones are kept in memory: [`Self::take_warning`].
    ///
    /// Errors: only when the rows exceed what the format allows, or the index is unreadable.
    pub fn load(&self, segment: SegmentId, packs: &[PackRows]) -> Result<(), IndexError> {
        self.check_readable("loading a segment")?;
        let rows: usize = packs.iter().map(|pack| pack.rows.len()).sum();
        if rows.max(packs.len()) > limits::SEGMENT_ROWS_MAX {
            return Err(IndexError::TooManyRows { segment, rows });
        }
        if self.loaded(&segment).is_some() {
            return Ok(());
        }
        let loaded = match self.load_to_disk(segment, packs) {
            Some(loaded) => loaded,
            None => self
                .memory
                .load(segment, packs)
                .map_err(|error| self.unreadable("loading a segment", error))?,
        };
        self.change_view(|view| view.show(segment, loaded));
        Ok(())
    }

    fn load_to_disk(&self, segment: SegmentId, packs: &[PackRows]) -> Option<Loaded> {
        let disk = self.disk.as_ref()?;
        if !self.writable.load(Ordering::Relaxed) {
            return None;
        }
        match disk.load(segment, packs) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                if self.writable.swap(false, Ordering::Relaxed) {
                    let warning = format!(
                        "the index cache takes no more, new segments stay in memory: {}",
                        opening::reason(&error)
                    );
                    *self.warning() = Some(warning);
                }
                None
            }
        }
    }

    /// What went wrong since the cache was opened and the user should know; told once.
    pub fn take_warning(&self) -> Option<String> {
        self.warning().take()
    }

    /// Says which segments a LIST of this session showed: only their rows count from now on. Loaded
    /// segments that are not among them are dropped, and would have to be loaded again.
    pub fn set_visible(&self, listed: &[SegmentId]) {
        let listed: HashSet<SegmentId> = listed.iter().copied().collect();
        self.shelves().for_each(|shelf| shelf.keep_only(&listed));
        self.change_view(|view| {
            let loaded: Vec<_> = listed
                .iter()
                .filter_map(|id| Some((*id, self.loaded(id)?)))
                .collect();
            *view = View {
                listed,
                ..View::default()
            };
            for (segment, loaded) in loaded {
                view.show(segment, loaded);
            }
        });
    }

    /// The segments whose rows count.
    pub fn visible(&self) -> HashSet<SegmentId> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.listed.clone()
    }

    /// Makes one more segment visible: one that this session wrote, once its PUT is acknowledged.
    pub fn show(&self, segment: SegmentId) {
        self.change_view(|view| {
            view.listed.insert(segment);
            if let Some(loaded) = self.loaded(&segment) {
                view.show(segment, loaded);
            }
        });
    }

    /// Empties the index where a read failed, so that it can be loaded anew.
    pub fn recover(&self) {
        if self.unreadable.load(Ordering::Relaxed) {
            self.clear();
        }
    }

    /// Sizes of what is visible.
    pub fn stats(&self) -> IndexStats {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        IndexStats {
            mode: match &self.disk {
                None => IndexMode::Memory,
                Some(_) if self.writable.load(Ordering::Relaxed) => IndexMode::Disk,
                Some(_) => IndexMode::ReadOnly,
            },
            segments: view.visible.len() as u64,
            packs: view.stats.0,
            rows: view.stats.1,
        }
    }

    /// Empties everything, the small caches included. Segments are to be loaded again.
    pub fn clear(&self) {
        self.change_view(|view| *view = View::default());
        if let Some(disk) = &self.disk
            && disk.clear().is_err()
        {
            // Nothing on disk is loaded or visible any more; the next start tries again.
            disk.engine().condemn();
            self.writable.store(false, Ordering::Relaxed);
        }
        // Memory cannot fail.
        let _ = self.memory.clear();
        self.recent.forget();
        self.entry_bytes.store(0, Ordering::Relaxed);
        self.unreadable.store(false, Ordering::Relaxed);
    }

    fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.disk.iter().chain([&self.memory])
    }

    fn loaded(&self, segment: &SegmentId) -> Option<Loaded> {
        self.shelves().find_map(|shelf| shelf.loaded(segment))
    }

    fn segment(&self, number: u32) -> Option<SegmentId> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.visible.get(&number).copied()
    }

    fn warning(&self) -> MutexGuard<'_, Option<String>> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_view(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
        self.recent.changed();
    }

    fn check_readable(&self, operation: &'static str) -> Result<(), IndexError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(IndexError::Unreadable {
                operation,
                source: None,
            });
        }
        Ok(())
    }

    fn unreadable(&self, operation: &'static str, error: EngineError) -> IndexError {
        self.unreadable.store(true, Ordering::Relaxed);
        if let Some(disk) = &self.disk {
            disk.engine().condemn();
        }
        IndexError::Unreadable {
            operation,
            source: Some(Box::new(error)),
        }
    }
}
