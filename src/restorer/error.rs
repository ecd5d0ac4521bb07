//! Why a restore failed.

use crate::monitor::Interrupted;
use crate::repository::{ReadError, RecordLoadError};
use crate::restorer::batch::BatchError;
use crate::target::files::TargetError;
use crate::target::sqlite::ReplaceError;
use crate::tree::TreeError;

/// A restore failed. What it had finished stays; unfinished files have temporary names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The path is not in the snapshot.
    #[error("snapshot {snapshot} has no {path}")]
    NoSuchPath {
        /// Which snapshot.
        snapshot: String,
        /// Which path.
        path: String,
    },
    /// What is wanted is a single file, and the target is a directory without a name for it.
    #[error("{0} has no directory to be restored into")]
    NoParent(String),
    /// A database is there, and replacing was not asked for.
    #[error("{0} exists, and replacing was not asked for")]
    Exists(String),
    /// The snapshot's own record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// The tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The repository failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A database could not be put in place.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<BatchError> for RestoreError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Read(error) => Self::Read(error),
            BatchError::Target(error) => Self::Target(error),
            BatchError::Interrupted(error) => Self::Interrupted(error),
        }
    }
}
