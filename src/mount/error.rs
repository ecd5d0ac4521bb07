//! Why nothing could be mounted.

use std::io;
use std::path::PathBuf;

/// A mount failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The kernel has no FUSE, or this process may not see it.
    #[error("cannot mount: there is no /dev/fuse here")]
    NoDevice,
    /// Without root a helper does the mounting.
    #[error("cannot mount: there is no fusermount3 here")]
    NoHelper,
    /// The place is not there, or no directory.
    #[error("cannot mount at {path}")]
    Place {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something is there that would be hidden.
    #[error("cannot mount at {0}: the directory is not empty")]
    NotEmpty(PathBuf),
    /// The system refused.
    #[error("cannot mount at {path}")]
    Refused {
        /// Where.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The connection to the kernel broke.
    #[error("the mount at {path} ended by itself")]
    Broken {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl MountError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoDevice => {
                "load the module (modprobe fuse), or give the container /dev/fuse: --device \
                 /dev/fuse --cap-add SYS_ADMIN; without it use icecore cat or icecore restore"
            }
            Self::NoHelper => "install the package fuse3, or run as root",
            Self::Place { .. } => "make the directory first, and mount there",
            Self::NotEmpty(_) => "mount at an empty directory",
            Self::Refused { .. } => {
                "without root the package fuse3 is needed; in a container: --device /dev/fuse \
                 --cap-add SYS_ADMIN"
            }
            Self::Broken { .. } => "free the directory with: fusermount3 -u DIR; then mount again",
        }
    }
}
