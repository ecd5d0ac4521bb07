//! Copying snapshots to another repository.
//!
//! Spec: `format-spec/16-copies.md`. Between siblings, whose ids are the same, blobs are opened,
//! decoded, compared with their ids and sealed anew as they are encoded: deltas stay deltas, and what
//! they rest on goes along. For a stranger everything is decoded and named anew. A copy is a writer of
//! its target like any other: own session, commit last, a look afterwards.

mod blobs;
mod repair;
mod run;
mod there;
mod tree;

#[cfg(test)]
mod tests;

pub use repair::{Broken, RepairReport, repair};
pub use run::copy;
pub use there::{Plan, plan};

use crate::codec::Effort;
use crate::id::SnapshotId;
use crate::monitor::Interrupted;
use crate::repository::index::{Index, IndexError};
use crate::repository::{
    CommitError, KeyError, ReadError, RecordLoadError, Repository, SessionError, WriteError,
};
use crate::store::StoreError;

/// A repository and its index.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What its index shows.
    pub index: &'a Index,
}

/// How to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Compression of what is encoded anew.
    pub effort: Effort,
    /// Threads that open and seal. 0 is taken as 1.
    pub workers: usize,
}

/// A snapshot that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// At the source.
    pub source: SnapshotId,
    /// At the target.
    pub target: SnapshotId,
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// Snapshots copied now.
    pub copied: Vec<Pair>,
    /// Snapshots that were there.
    pub already_there: Vec<Pair>,
    /// Snapshots withdrawn at the source meanwhile.
    pub withdrawn: Vec<SnapshotId>,
    /// Snapshots that are damaged at the source, and why; nothing of them is visible at the target.
    pub damaged: Vec<(SnapshotId, String)>,
    /// Chunks stored at the target.
    pub chunks: u64,
    /// Of those, deltas.
    pub chunks_delta: u64,
    /// Bytes fetched from packs of the source.
    pub bytes_fetched: u64,
    /// Bytes that the target grew by.
    pub bytes_stored: u64,
}

/// The copy could not go on. What was committed stays; what was stored is found by the next run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Source and target are the same repository.
    #[error("source and target are the same repository")]
    Same,
    /// An erasable domain's data would outlive its key.
    #[error(
        "domain {0:?} is erasable: a copy in a domain of another kind would outlive its destruction"
    )]
    Erasable(String),
    /// Reading the source failed.
    #[error("cannot read the source")]
    Read(#[source] ReadError),
    /// A record of the source cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// Writing the target failed.
    #[error("cannot write to the target")]
    Write(#[source] WriteError),
    /// A snapshot could not be committed.
    #[error("cannot commit at the target")]
    Commit(#[source] CommitError),
    /// A key is missing.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tree is nested deeper than any may be.
    #[error("the tree is deeper than any may be")]
    Depth,
    /// A worker thread panicked: a defect of this program.
    #[error("a worker thread of the copy failed")]
    Worker,
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<ReadError> for CopyError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<IndexError> for CopyError {
    fn from(error: IndexError) -> Self {
        Self::Read(error.into())
    }
}

impl From<WriteError> for CopyError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<SessionError> for CopyError {
    fn from(error: SessionError) -> Self {
        Self::Write(error.into())
    }
}
