//! What the index needs of an ordered key-value store: RocksDB on disk, or maps in memory.

use crate::format::wire::FormatError;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// A key space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Blob id, segment number, row number → pack position, row.
    Blobs,
    /// Segment number, pack position → pack id, facts.
    Packs,
    /// Pack id, segment number, pack position → facts.
    Listings,
    /// Segment number, pack position → first row number, blob ids.
    Contents,
    /// Segment id → segment number, counts. Written last: it makes a segment's rows count.
    Segments,
    /// The encoding's version and the segment numbers given away.
    Meta,
    /// Callers' own entries.
    Stat,
    /// Callers' own entries.
    Parent,
    /// Callers' own entries.
    Verified,
    /// Callers' own entries.
    State,
}

impl Family {
    /// All of them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Blobs,
        Self::Packs,
        Self::Listings,
        Self::Contents,
        Self::Segments,
        Self::Meta,
        Self::Stat,
        Self::Parent,
        Self::Verified,
        Self::State,
    ];

    /// The name on disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Packs => "packs",
            Self::Listings => "listings",
            Self::Contents => "contents",
            Self::Segments => "segments",
            Self::Meta => "meta",
            Self::Stat => "stat",
            Self::Parent => "parent",
            Self::Verified => "verified",
            Self::State => "state",
        }
    }

    /// Bytes of the id that keys start with, where entries are looked for by it alone.
    pub(crate) fn prefix_length(self) -> Option<usize> {
        matches!(self, Self::Blobs | Self::Listings).then_some(32)
    }

    /// Where in a key the number of the segment stands that the entry comes from.
    pub(crate) fn segment_offset(self) -> Option<usize> {
        match self {
            Self::Blobs | Self::Listings => Some(32),
            Self::Packs | Self::Contents => Some(0),
            _ => None,
        }
    }
}

/// The segment number in a key.
pub(crate) fn segment_number(key: &[u8], offset: usize) -> Option<u32> {
    let bytes = key.get(offset..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// One change of a batch.
#[derive(Debug)]
pub(crate) enum Change {
    /// Sets a key.
    Put(Family, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Family, Vec<u8>),
}

/// The store failed, or holds what it should not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// RocksDB said no; its message names the file.
    #[error("{operation} failed in RocksDB")]
    Database {
        operation: &'static str,
        #[source]
        source: rocksdb::Error,
    },
    /// A file or directory of ours could not be handled.
    #[error("{operation} failed")]
    Io {
        operation: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// An entry is not what this version writes.
    #[error("an entry of the index cache is malformed")]
    Entry(#[from] FormatError),
    /// Writing on would leave too little for others.
    #[error("only {free} bytes are free on its file system, {wanted} are wanted")]
    NoSpace { free: u64, wanted: u64 },
    /// It takes no changes.
    #[error("the index cache is open for reading only")]
    ReadOnly,
}

/// Walks a family in key order.
pub(crate) trait Cursor {
    /// Where it stands; none at the end.
    fn current(&self) -> Option<(&[u8], &[u8])>;
    /// Goes one further.
    fn advance(&mut self) -> Result<(), EngineError>;
}

/// Receives entries; breaks to end the walk.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// An ordered key-value store with families.
pub(crate) trait Engine: Send + Sync {
    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Visits the entries of a family with [`Family::prefix_length`] that start with `prefix`, in
    /// order. `visit` must not call the engine.
    fn visit_prefix(
        &self,
        family: Family,
        prefix: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), EngineError>;

    /// Walks a whole family.
    fn cursor(&self, family: Family) -> Result<Box<dyn Cursor + '_>, EngineError>;

    /// Makes all changes or none. After a crash, batches are kept in order up to some point;
    /// `durable` ones are kept in any case.
    fn write(&self, changes: Vec<Change>, durable: bool) -> Result<(), EngineError>;

    /// Adds many blobs, sorted by key, no key there yet; kept at once, before any later batch.
    fn ingest_blobs(
        &self,
        rows: &mut dyn Iterator<Item = ([u8; 40], Vec<u8>)>,
    ) -> Result<(), EngineError>;

    /// Allows what has a segment number below `floor` that is not in `live` to be dropped.
    fn retain_segments(&self, floor: u32, live: HashSet<u32>);

    /// Removes all entries of a family.
    fn empty(&self, family: Family) -> Result<(), EngineError>;

    /// Notes that what is there cannot be trusted, for the next one who opens it.
    fn condemn(&self);
}
