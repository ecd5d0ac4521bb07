//! The engine on disk: RocksDB, tuned for ids that look random, a bounded memory and writes that
//! may be lost.

use crate::repository::index::engine::{
    Change, Cursor, Engine, EngineError, Family, Visit, segment_number,
};
use rocksdb::compaction_filter::{CompactionFilter, Decision};
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompactionStyle,
    DBCompressionType, DBRawIteratorWithThreadMode, DBWithThreadMode, IngestExternalFileOptions,
    LogLevel, MultiThreaded, Options, ReadOptions, SliceTransform, SstFileWriter, WriteBatch,
    WriteOptions,
};
use std::collections::HashSet;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

type Database = DBWithThreadMode<MultiThreaded>;

/// Files kept open while writing: far below the usual limit of 1024 of a process.
const OPEN_FILES: i32 = 256;

/// Bytes of one SST file: large enough that the number of files stays small.
const TABLE_BYTES: u64 = 64 << 20;

/// A RocksDB database with one column family for each [`Family`].
pub(crate) struct Disk {
    database: Database,
    options: Vec<(Family, Options)>,
    staged: AtomicU64,
    layout: Layout,
    liveness: Arc<RwLock<Liveness>>,
    writable: bool,
}

/// Where the parts of the cache lie in its directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The database's own directory; nothing else is in it.
    pub(crate) database: PathBuf,
    /// Tables being written, before RocksDB takes them over. On the same file system.
    pub(crate) staging: PathBuf,
    /// Its presence says: do not trust the database.
    pub(crate) rebuild_mark: PathBuf,
    /// Free bytes of the file system below which nothing is written.
    pub(crate) free_bytes_min: u64,
}

impl Layout {
    /// The parts of `directory`.
    pub(crate) fn new(directory: &Path, free_bytes_min: u64) -> Self {
        Self {
            database: directory.join("rows"),
            staging: directory.join("staging"),
            rebuild_mark: directory.join("rebuild"),
            free_bytes_min,
        }
    }

    /// Fails when the file system is too full to write to.
    pub(crate) fn check_space(&self) -> Result<(), EngineError> {
        let status = rustix::fs::statvfs(&self.database).map_err(|error| EngineError::Io {
            operation: "asking for the free space of the index cache",
            source: error.into(),
        })?;
        let (free, wanted) = (
            status.f_bavail.saturating_mul(status.f_frsize),
            self.free_bytes_min,
        );
        if free < wanted {
            return Err(EngineError::NoSpace { free, wanted });
        }
        Ok(())
    }
}

/// Which segment numbers may be dropped while RocksDB rewrites its tables.
#[derive(Debug, Default, Clone)]
struct Liveness {
    floor: u32,
    live: Arc<HashSet<u32>>,
}

impl Disk {
    /// Opens or creates. `memory_bytes` bounds block cache, filters and memtables together.
    pub(crate) fn open(layout: &Layout, memory_bytes: usize) -> Result<Self, EngineError> {
        Self::start(layout, memory_bytes, true)
    }

    /// Opens what another process may be writing, as it is now. All its tables are held open, so
    /// that they stay readable when the other one replaces them.
    pub(crate) fn open_read_only(
        layout: &Layout,
        memory_bytes: usize,
    ) -> Result<Self, EngineError> {
        Self::start(layout, memory_bytes, false)
    }

    fn start(layout: &Layout, memory_bytes: usize, writable: bool) -> Result<Self, EngineError> {
        let liveness = Arc::default();
        let options = family_options(memory_bytes, &liveness)?;
        let database_options = database_options(memory_bytes, writable);
        let mut families = vec![ColumnFamilyDescriptor::new("default", Options::default())];
        families.extend(
            options.iter().map(|(family, options)| {
                ColumnFamilyDescriptor::new(family.name(), options.clone())
            }),
        );
        let path = &layout.database;
        let database = if writable {
            Database::open_cf_descriptors(&database_options, path, families)
        } else {
            Database::open_cf_descriptors_read_only(&database_options, path, families, false)
        };
        Ok(Self {
            database: database.map_err(|source| failed("opening", source))?,
            options,
            layout: layout.clone(),
            staged: AtomicU64::new(0),
            liveness,
            writable,
        })
    }

    /// Deletes the database. Fails while a process has it open for writing.
    pub(crate) fn destroy(layout: &Layout) -> Result<(), EngineError> {
        Database::destroy(&Options::default(), &layout.database)
            .map_err(|source| failed("deleting the damaged database", source))
    }

    fn family(&self, family: Family) -> Result<Arc<rocksdb::BoundColumnFamily<'_>>, EngineError> {
        // Absent only between the two halves of `empty`, or when its second half failed.
        self.database
            .cf_handle(family.name())
            .ok_or(EngineError::ReadOnly)
    }

    fn check_writable(&self) -> Result<(), EngineError> {
        if self.writable {
            self.layout.check_space()
        } else {
            Err(EngineError::ReadOnly)
        }
    }

    fn write_table(
        &self,
        path: &Path,
        rows: &mut dyn Iterator<Item = ([u8; 40], Vec<u8>)>,
    ) -> Result<(), EngineError> {
        let options = &self.options[Family::Blobs as usize].1;
        let mut writer = SstFileWriter::create(options);
        writer
            .open(path)
            .map_err(|source| failed("creating a table", source))?;
        for (key, value) in rows {
            writer
                .put(key, value)
                .map_err(|source| failed("writing a table", source))?;
        }
        writer
            .finish()
            .map_err(|source| failed("finishing a table", source))
    }

    fn adopt_table(&self, path: &Path) -> Result<(), EngineError> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.database
            .ingest_external_file_cf_opts(&self.family(Family::Blobs)?, &options, vec![path])
            .map_err(|source| failed("ingesting a table", source))
    }
}

impl Engine for Disk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.database
            .get_cf(&self.family(family)?, key)
            .map_err(|source| failed("reading", source))
    }

    fn visit_prefix(
        &self,
        family: Family,
        prefix: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut iterator = self
            .database
            .raw_iterator_cf_opt(&self.family(family)?, options);
        iterator.seek(prefix);
        while let Some((key, value)) = iterator.item() {
            if !key.starts_with(prefix) || visit(key, value).is_break() {
                return Ok(());
            }
            iterator.next();
        }
        iterator
            .status()
            .map_err(|source| failed("reading", source))
    }

    fn cursor(&self, family: Family) -> Result<Box<dyn Cursor + '_>, EngineError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let mut iterator = self
            .database
            .raw_iterator_cf_opt(&self.family(family)?, options);
        iterator.seek_to_first();
        iterator
            .status()
            .map_err(|source| failed("reading", source))?;
        Ok(Box::new(DiskCursor(iterator)))
    }

    fn write(&self, changes: Vec<Change>, durable: bool) -> Result<(), EngineError> {
        self.check_writable()?;
        let mut batch = WriteBatch::default();
        for change in &changes {
            match change {
                Change::Put(family, key, value) => batch.put_cf(&self.family(*family)?, key, value),
                Change::Delete(family, key) => batch.delete_cf(&self.family(*family)?, key),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(!durable);
        options.set_sync(durable);
        self.database
            .write_opt(batch, &options)
            .map_err(|source| failed("writing", source))
    }

    fn ingest_blobs(
        &self,
        rows: &mut dyn Iterator<Item = ([u8; 40], Vec<u8>)>,
    ) -> Result<(), EngineError> {
        self.check_writable()?;
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.staging.join(format!("{number}.sst"));
        let result = self
            .write_table(&path, rows)
            .and_then(|()| self.adopt_table(&path));
        if result.is_err() {
            // It may not exist; where it does and stays, the next open empties the directory.
            let _ = std::fs::remove_file(&path);
        }
        result
    }

    fn retain_segments(&self, floor: u32, live: HashSet<u32>) {
        let mut liveness = self
            .liveness
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *liveness = Liveness {
            floor,
            live: Arc::new(live),
        };
    }

    fn empty(&self, family: Family) -> Result<(), EngineError> {
        self.check_writable()?;
        let failed = |source| failed("emptying a column family", source);
        // Dropping takes damaged tables along, which deleting entries would have to read.
        if self.database.cf_handle(family.name()).is_some() {
            self.database.drop_cf(family.name()).map_err(failed)?;
        }
        let options = &self.options[family as usize].1;
        self.database
            .create_cf(family.name(), options)
            .map_err(failed)
    }

    fn condemn(&self) {
        // One who only reads may have met the writer's changes instead of damage.
        if self.writable {
            // Where this fails, the next process meets the damage by itself.
            let _ = std::fs::write(&self.layout.rebuild_mark, b"");
        }
    }
}

struct DiskCursor<'a>(DBRawIteratorWithThreadMode<'a, Database>);

impl Cursor for DiskCursor<'_> {
    fn current(&self) -> Option<(&[u8], &[u8])> {
        self.0.item()
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        self.0.next();
        self.0.status().map_err(|source| failed("reading", source))
    }
}

fn failed(operation: &'static str, source: rocksdb::Error) -> EngineError {
    EngineError::Database { operation, source }
}

fn database_options(memory_bytes: usize, writable: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(writable);
    options.create_missing_column_families(writable);
    options.set_max_open_files(if writable { OPEN_FILES } else { -1 });
    // Sixteen for each family by default: starting them takes longer than opening the few tables.
    options.set_max_file_opening_threads(1);
    options.set_db_write_buffer_size(memory_bytes / 4);
    // Batches do without a log: a crash may lose some, but never one family's part of one.
    options.set_atomic_flush(true);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1 << 20);
    options.set_keep_log_file_num(2);
    options.set_max_manifest_file_size(16 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn family_options(
    memory_bytes: usize,
    liveness: &Arc<RwLock<Liveness>>,
) -> Result<Vec<(Family, Options)>, EngineError> {
    let cache = Cache::new_lru_cache(memory_bytes / 2)
        .map_err(|source| failed("creating the block cache", source))?;
    Ok(Family::ALL
        .into_iter()
        .map(|family| {
            let options = one_family_options(family, &cache, memory_bytes, liveness);
            (family, options)
        })
        .collect())
}

fn one_family_options(
    family: Family,
    cache: &Cache,
    memory_bytes: usize,
    liveness: &Arc<RwLock<Liveness>>,
) -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_format_version(5);
    tables.set_block_cache(cache);
    tables.set_block_size(4 << 10);
    tables.set_bloom_filter(10.0, false);
    // Filters and indexes of 100 million rows exceed the cache: they are paged in pieces.
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_partition_filters(true);
    tables.set_metadata_block_size(4 << 10);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_top_level_index_and_filter(true);

    let mut options = Options::default();
    if let Some(length) = family.prefix_length() {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(length));
        options.set_memtable_prefix_bloom_ratio(0.1);
        tables.set_whole_key_filtering(false);
    }
    options.set_block_based_table_factory(&tables);
    // Ids are random and dominate: nothing to gain.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(memory_bytes / 8);
    options.set_target_file_size_base(TABLE_BYTES);
    // Every segment spans all ids. Merging runs of like size writes each row the fewest times.
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_level_zero_file_num_compaction_trigger(8);
    // A first load may outrun the merging by far; it must not wait for it.
    options.set_level_zero_slowdown_writes_trigger(1 << 20);
    options.set_level_zero_stop_writes_trigger(1 << 20);
    if let Some(offset) = family.segment_offset() {
        options.set_compaction_filter_factory(DropDead {
            offset,
            liveness: Arc::clone(liveness),
        });
    }
    options
}

struct DropDead {
    offset: usize,
    liveness: Arc<RwLock<Liveness>>,
}

impl CompactionFilterFactory for DropDead {
    type Filter = DeadFilter;

    fn create(&mut self, _: CompactionFilterContext) -> DeadFilter {
        // An old picture is safe: live numbers below the floor only ever become fewer, and none
        // below it is given away again.
        let liveness = self.liveness.read().unwrap_or_else(PoisonError::into_inner);
        DeadFilter {
            offset: self.offset,
            liveness: liveness.clone(),
        }
    }

    fn name(&self) -> &CStr {
        c"icecore.dead-segments"
    }
}

struct DeadFilter {
    offset: usize,
    liveness: Liveness,
}

impl CompactionFilter for DeadFilter {
    fn filter(&mut self, _level: u32, key: &[u8], _value: &[u8]) -> Decision {
        let dead = segment_number(key, self.offset).is_some_and(|segment| {
            segment < self.liveness.floor && !self.liveness.live.contains(&segment)
        });
        if dead {
            Decision::Remove
        } else {
            Decision::Keep
        }
    }

    fn name(&self) -> &CStr {
        c"icecore.dead-segments"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::repository::index::encoding::id_key;

    #[test]
    fn dead_segments_leave_when_tables_are_merged() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path(), 0);
        std::fs::create_dir(&layout.staging).unwrap();
        let disk = Disk::open(&layout, 4 << 20).unwrap();
        for segment in 0..4 {
            let mut rows = (0..100u8).map(|id| (id_key(&[id; 32], segment, 0), vec![1; 8]));
            disk.ingest_blobs(&mut rows).unwrap();
        }
        disk.retain_segments(3, HashSet::from([1]));
        disk.database.compact_range_cf(
            &disk.family(Family::Blobs).unwrap(),
            None::<&[u8]>,
            None::<&[u8]>,
        );
        let mut left = HashSet::new();
        let mut cursor = disk.cursor(Family::Blobs).unwrap();
        while let Some((key, _)) = cursor.current() {
            left.insert(segment_number(key, 32).unwrap());
            cursor.advance().unwrap();
        }
        assert_eq!(left, HashSet::from([1, 3]), "1 is live, 3 is being loaded");
    }
}
