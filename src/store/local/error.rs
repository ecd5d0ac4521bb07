//! Why a call on a directory failed, and what that means to the caller.

use crate::store::{InvalidObjectKey, ObjectError, ObjectKey, StoreErrorKind};
use rustix::io::Errno;
use std::path::PathBuf;

/// The causes of a local store's errors.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    #[error(transparent)]
    System(#[from] Errno),
    /// A directory could not be made durable.
    #[error(transparent)]
    Sync(Errno),
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Told apart from a missing object: a vanished mount is not an empty repository.
    #[error("the directory {} is gone", .0.display())]
    RootGone(PathBuf),
    #[error("{0} is a symbolic link, which is not followed inside a store")]
    SymbolicLink(String),
    #[error("{0} is not a directory")]
    NotDirectory(String),
    #[error("it is not a regular file")]
    NotRegular,
    #[error("there is no memory for its {0} bytes")]
    NoMemory(u64),
    #[error(
        "an earlier attempt failed, and the system forgets what it could not write: {0}; open the \
         store anew and store everything since the last success again"
    )]
    DurabilityLost(Errno),
    #[error("no temporary name: {0}")]
    Entropy(#[from] crate::env::EntropyError),
}

impl From<std::io::Error> for LocalError {
    fn from(error: std::io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::System(errno),
            // Without a number it comes from the standard library: a file that ended too early.
            None => Self::System(Errno::IO),
        }
    }
}

impl From<InvalidObjectKey> for LocalError {
    fn from(error: InvalidObjectKey) -> Self {
        Self::Object(error.into())
    }
}

impl LocalError {
    pub(super) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::System(errno) | Self::Sync(errno) => kind_of(*errno),
            Self::Object(error) => error.kind(),
            // An object cannot be below another one, so it is not there.
            Self::NotDirectory(_) => StoreErrorKind::NotFound,
            _ => StoreErrorKind::Permanent,
        }
    }

    /// The kind for a put: "not found" has no meaning there. A directory or temporary that went
    /// away underneath is made anew by another attempt.
    pub(super) fn kind_of_put(&self) -> StoreErrorKind {
        match (self, self.kind()) {
            (Self::NotDirectory(_), _) => StoreErrorKind::Permanent,
            (_, StoreErrorKind::NotFound) => StoreErrorKind::Transient,
            (_, kind) => kind,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        self.kind() == StoreErrorKind::NotFound
    }
}

/// An input/output error stays permanent: a disk that lies once is to be looked at, not asked again.
fn kind_of(errno: Errno) -> StoreErrorKind {
    match errno {
        Errno::NOENT => StoreErrorKind::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => StoreErrorKind::PermissionDenied,
        Errno::NOSPC | Errno::DQUOT => StoreErrorKind::Full,
        Errno::INTR
        | Errno::AGAIN
        | Errno::BUSY
        | Errno::TIMEDOUT
        | Errno::STALE
        | Errno::MFILE
        | Errno::NFILE
        | Errno::CONNRESET
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH => StoreErrorKind::Transient,
        _ => StoreErrorKind::Permanent,
    }
}

/// A key's directory (empty for the root) and file name.
pub(super) fn split(key: &ObjectKey) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::store::StoreErrorKind;
    use crate::store::local::error::{LocalError, kind_of};
    use rustix::io::Errno;

    #[test]
    fn kinds() {
        for (errno, kind) in [
            (Errno::NOENT, StoreErrorKind::NotFound),
            (Errno::ACCESS, StoreErrorKind::PermissionDenied),
            (Errno::PERM, StoreErrorKind::PermissionDenied),
            (Errno::ROFS, StoreErrorKind::PermissionDenied),
            (Errno::NOSPC, StoreErrorKind::Full),
            (Errno::DQUOT, StoreErrorKind::Full),
            (Errno::INTR, StoreErrorKind::Transient),
            (Errno::STALE, StoreErrorKind::Transient),
            (Errno::TIMEDOUT, StoreErrorKind::Transient),
            (Errno::IO, StoreErrorKind::Permanent),
            (Errno::FBIG, StoreErrorKind::Permanent),
        ] {
            assert_eq!(kind_of(errno), kind, "{errno}");
        }
    }

    #[test]
    fn a_put_never_ends_as_not_found() {
        let gone = LocalError::System(Errno::NOENT);
        assert_eq!(gone.kind_of_put(), StoreErrorKind::Transient);
        let below_an_object = LocalError::NotDirectory("a".to_owned());
        assert_eq!(below_an_object.kind_of_put(), StoreErrorKind::Permanent);
    }
}
