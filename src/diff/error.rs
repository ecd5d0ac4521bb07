//! Why a comparison failed.

use crate::diff::database::RegisterError;
use crate::monitor::Interrupted;
use crate::repository::{ReadError, RecordLoadError};

/// Two snapshots could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// Neither has anything at the path.
    #[error("neither snapshot has {0}")]
    NoSuchPath(String),
    /// A snapshot's own record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// A directory or content cannot be read.
    #[error("cannot compare {path}")]
    Read {
        /// Which, as text.
        path: String,
        /// Why.
        #[source]
        source: Box<ReadError>,
    },
    /// Part of a database cannot be read.
    #[error("cannot read the database")]
    Database(#[source] Box<ReadError>),
    /// A tree is nested deeper than any may be.
    #[error(
        "the tree is deeper than {} directories",
        crate::limits::DIRECTORY_DEPTH_MAX
    )]
    Depth,
    /// Databases cannot be compared in this process.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
