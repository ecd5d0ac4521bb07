//! Why a comparison failed.

use crate::monitor::Interrupted;
use crate::repository::{ReadError, RecordLoadError};
use crate::source::{SinkError, SourceError};
use crate::tree::TreeError;

/// A snapshot could not be compared with what is live.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The path is not in the snapshot.
    #[error("snapshot {snapshot} has no {path}")]
    NoSuchPath {
        /// Which snapshot.
        snapshot: String,
        /// Which path.
        path: String,
    },
    /// The credential does not hold the snapshot's domain.
    #[error("the key that names this snapshot's content is not at hand")]
    NoKey,
    /// The snapshot's own record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// The snapshot's tree cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is missing cannot be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Nothing live could be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source broke the order of entries.
    #[error("the source is defective")]
    Defect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody wants to hear of more differences.
    #[error("nobody listens any more")]
    Unheard,
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl CompareError {
    /// Wraps it for its way through the source.
    pub(super) fn into_sink(self) -> SinkError {
        SinkError(Box::new(self))
    }

    /// Takes apart what was wrapped.
    pub(super) fn from_sink(error: SinkError) -> Self {
        match error.0.downcast::<Self>() {
            Ok(error) => *error,
            Err(other) => Self::Defect(other),
        }
    }
}
