//! What can go wrong below a target.

use crate::target::files::path::PathError;
use rustix::io::Errno;

/// What a failure means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetErrorKind {
    /// Something is there that the policy does not allow to replace.
    Exists,
    /// A component of the path is a symbolic link or no directory.
    NotBeneath,
    /// No space, quota or inodes left.
    Full,
    /// No right to do this.
    PermissionDenied,
    /// Anything else.
    Other,
}

/// A failed step of a restore: what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}")]
pub struct TargetError {
    /// What it means.
    pub kind: TargetErrorKind,
    /// The step, as a verb: `create`, `write`, `replace`.
    pub operation: &'static str,
    /// The path, with the target's.
    pub object: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Something that could not be made as it was, without harm to the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Path below the target, raw bytes.
    pub path: Vec<u8>,
    /// One sentence, no final stop.
    pub message: String,
}

/// Result of a step.
pub type TargetResult<T> = Result<T, TargetError>;

/// Why something in the way stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("it exists, and replacing was not asked for")]
    Exists,
    #[error("a directory is there, and directories are never replaced")]
    Directory,
    #[error("it is there and is not a directory")]
    NotDirectory,
    #[error("a part of its path is a symbolic link or not a directory")]
    NotBeneath,
}

pub(super) fn obstacle(operation: &'static str, object: String, cause: Obstacle) -> TargetError {
    TargetError {
        kind: match cause {
            Obstacle::NotBeneath => TargetErrorKind::NotBeneath,
            _ => TargetErrorKind::Exists,
        },
        operation,
        object,
        source: Box::new(cause),
    }
}

pub(super) fn failed(operation: &'static str, object: String, errno: Errno) -> TargetError {
    let kind = match errno {
        Errno::EXIST => return obstacle(operation, object, Obstacle::Exists),
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => {
            return obstacle(operation, object, Obstacle::NotBeneath);
        }
        Errno::NOSPC | Errno::DQUOT => TargetErrorKind::Full,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => TargetErrorKind::PermissionDenied,
        _ => TargetErrorKind::Other,
    };
    TargetError {
        kind,
        operation,
        object,
        source: Box::new(std::io::Error::from(errno)),
    }
}

pub(super) fn refused(operation: &'static str, object: String, cause: PathError) -> TargetError {
    TargetError {
        kind: TargetErrorKind::NotBeneath,
        operation,
        object,
        source: Box::new(cause),
    }
}
