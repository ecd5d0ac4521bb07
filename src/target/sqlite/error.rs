//! Why a replacement failed, and what to do about it.

use crate::monitor::Interrupted;
use crate::source::SourceError;
use crate::source::sqlite::Occupant;
use crate::target::sqlite::ImageProof;
use std::io;
use std::path::Path;

/// Why a database was not replaced. Until [`ReplaceError::is_after_rename`] the old one is whole
/// and in place.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The image would have to be copied: a rename cannot cross directories here.
    #[error("{image} is not in the directory of {target}")]
    Elsewhere {
        /// The image's path.
        image: String,
        /// The target's path.
        target: String,
    },
    /// A directory, a symbolic link or a special file is in the way.
    #[error("{target} is not a regular file")]
    NotAFile {
        /// The target's path.
        target: String,
    },
    /// The image does not pass, or is not what was recorded.
    #[error("{image} is damaged: {first}", first = first_of(proof))]
    Damaged {
        /// The image's path.
        image: String,
        /// What is wrong.
        proof: Box<ImageProof>,
    },
    /// Somebody has the old database open.
    #[error("cannot replace {target}: {occupant}")]
    InUse {
        /// The target's path.
        target: String,
        /// Who.
        occupant: Occupant,
    },
    /// Commits were made after it was found closed: they would be lost unseen.
    #[error("{target} was written to while it was being replaced")]
    WrittenMeanwhile {
        /// The target's path.
        target: String,
    },
    /// A file operation failed.
    #[error("cannot {operation} {object}")]
    Files {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The path.
        object: String,
        /// The cause.
        source: io::Error,
    },
    /// The probe of the old database failed.
    #[error(transparent)]
    Probe(#[from] SourceError),
    /// SQLite failed.
    #[error("cannot {operation} {object}")]
    Engine {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The path.
        object: String,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The new database is in place, but the directory could not be synced: a crash now may bring
    /// the old one back.
    #[error("cannot make the replacement of {target} durable")]
    NotDurable {
        /// The target's path.
        target: String,
        /// The cause.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn first_of(proof: &ImageProof) -> &str {
    let first = proof.faults.first().or(proof.differences.first());
    first.map_or("", String::as_str)
}

impl ReplaceError {
    /// What to do about it, where there is something to say.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::InUse { .. } | Self::WrittenMeanwhile { .. } => Some(
                "stop the programs that use the database, then restore again (or restore to \
                 another path)",
            ),
            Self::Damaged { .. } => {
                Some("restore another snapshot, or accept the damage to salvage what is there")
            }
            Self::NotAFile { .. } => Some("give the path of the database itself"),
            Self::Probe(error) => error.remedy.as_deref(),
            _ => None,
        }
    }

    /// Whether the new database is in place all the same.
    pub fn is_after_rename(&self) -> bool {
        matches!(self, Self::NotDurable { .. })
    }
}

/// A failed file operation.
pub(crate) fn files(operation: &'static str, path: &Path, source: io::Error) -> ReplaceError {
    ReplaceError::Files {
        operation,
        object: path.display().to_string(),
        source,
    }
}

/// Somebody has the target open.
pub(crate) fn in_use(target: &Path, occupant: Occupant) -> ReplaceError {
    ReplaceError::InUse {
        target: target.display().to_string(),
        occupant,
    }
}
