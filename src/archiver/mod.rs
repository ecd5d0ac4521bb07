//! Taking a snapshot: a source drives, a tree of blobs comes out.
//!
//! Reading, cutting, hashing, compressing, sealing and storing overlap: the source's thread reads
//! and cuts, workers do the rest. Memory is bounded by the number of workers.

mod content;
mod directory;
mod expectations;
mod group;
mod hints;
mod parent;
mod reading;
mod remembered;
mod run;
mod sink;
mod stat_cache;
mod stream;
mod workers;

pub use expectations::Expectation;
pub use run::{OpenSource, Parent, Run, SnapshotError, SnapshotRequest, Taken};
pub use sink::{ArchiveError, ArchiveOptions, Archived, archive, checked};

#[cfg(test)]
mod tests;
