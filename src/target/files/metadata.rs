//! Giving a restored file its mode, owner, attributes and times.

use crate::entry::Metadata;
use crate::env::Timestamp;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

/// Whether owners are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// Where this process is root.
    #[default]
    WhenRoot,
    /// Always tried; a failure is a warning.
    Always,
    /// Never: everything belongs to who restores it.
    Never,
}

/// How metadata is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) owners: Owners,
    /// Permission bits that may be set at most.
    pub(super) mode_mask: u32,
}

/// What kind of file gets the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Directory,
    Symlink,
    Other,
}

/// All permission bits, with setuid, setgid and sticky.
pub(super) const ALL_MODE_BITS: u32 = 0o7777;

/// What is held of the file whose metadata is set. Never a name: that could have been swapped for
/// a link to something else.
#[derive(Clone, Copy)]
pub(super) enum Handle<'f> {
    /// An opened file or directory.
    Open(&'f OwnedFd),
    /// A location (`O_PATH`), for what must not be opened.
    Location(&'f OwnedFd),
}

impl Handle<'_> {
    /// Leads the kernel to the very file, also where that is a symbolic link.
    fn path(self) -> String {
        let (Self::Open(descriptor) | Self::Location(descriptor)) = self;
        format!("/proc/self/fd/{}", descriptor.as_raw_fd())
    }

    fn set_owner(self, uid: Uid, gid: Gid) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fchown(file, Some(uid), Some(gid)),
            Self::Location(file) => {
                rustix::fs::chownat(file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            }
        }
    }

    fn set_mode(self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fchmod(file, mode),
            Self::Location(_) => rustix::fs::chmod(self.path(), mode),
        }
    }

    fn set_attribute(self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()),
            Self::Location(_) => {
                rustix::fs::setxattr(self.path(), name, value, XattrFlags::empty())
            }
        }
    }

    fn set_times(self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Self::Open(file) => rustix::fs::futimens(file, times),
            Self::Location(_) => {
                rustix::fs::utimensat(rustix::fs::CWD, self.path(), times, AtFlags::empty())
            }
        }
    }
}

/// Applies `metadata`. Returns what could not be done.
pub(super) fn apply(
    file: Handle<'_>,
    metadata: &Metadata,
    subject: Subject,
    policy: Policy,
) -> Vec<String> {
    let mut failures = Vec::new();
    // The order matters: a new owner clears setuid and capabilities, and an ACL rewrites the mode.
    let has_owner = set_owner(file, metadata, policy, &mut failures);
    set_attributes(file, metadata, policy, &mut failures);
    if subject != Subject::Symlink {
        let mode = restored_mode(metadata.mode, subject, policy, has_owner);
        if let Err(errno) = file.set_mode(Mode::from_raw_mode(mode)) {
            failures.push(told(&format!("cannot set mode {mode:04o}"), errno));
        }
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: timespec(metadata.modified),
    };
    if let Err(errno) = file.set_times(&times) {
        failures.push(told("cannot set the modification time", errno));
    }
    failures
}

fn told(what: &str, errno: Errno) -> String {
    format!("{what}: {}", std::io::Error::from(errno))
}

fn timespec(time: Timestamp) -> Timespec {
    Timespec {
        tv_sec: time.seconds(),
        tv_nsec: time.0.rem_euclid(1_000_000_000),
    }
}

/// A directory that may be read may be entered, whatever the mask says: a mask of 0600 makes
/// private files in directories of mode 0700. A file that runs as its owner must not run as
/// somebody else.
fn restored_mode(recorded: u32, subject: Subject, policy: Policy, has_owner: bool) -> u32 {
    let mask = match subject {
        Subject::Directory => policy.mode_mask | (policy.mode_mask & 0o444) >> 2,
        _ => policy.mode_mask,
    };
    let mode = recorded & ALL_MODE_BITS & mask;
    if has_owner || subject == Subject::Directory {
        mode
    } else {
        mode & !0o6000
    }
}

/// Whether the file now belongs to who it belonged to.
fn set_owner(
    file: Handle<'_>,
    metadata: &Metadata,
    policy: Policy,
    failures: &mut Vec<String>,
) -> bool {
    let effective = rustix::process::geteuid();
    let is_wanted = match policy.owners {
        Owners::WhenRoot => effective.is_root(),
        Owners::Always => true,
        Owners::Never => false,
    };
    let is_ours =
        metadata.uid == effective.as_raw() && metadata.gid == rustix::process::getegid().as_raw();
    if !is_wanted {
        return is_ours;
    }
    if metadata.uid == u32::MAX || metadata.gid == u32::MAX {
        failures.push("cannot set the owner: the recorded number is not one".to_owned());
        return false;
    }
    let owner = file.set_owner(Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
    match owner {
        Ok(()) => true,
        Err(errno) => {
            let (uid, gid) = (metadata.uid, metadata.gid);
            failures.push(told(&format!("cannot set the owner to {uid}:{gid}"), errno));
            false
        }
    }
}

fn set_attributes(
    file: Handle<'_>,
    metadata: &Metadata,
    policy: Policy,
    failures: &mut Vec<String>,
) {
    for (attribute, value) in &metadata.xattrs {
        // Where the mode is narrowed an ACL would widen it again.
        if attribute.starts_with(b"system.posix_acl") && policy.mode_mask != ALL_MODE_BITS {
            continue;
        }
        if let Err(errno) = file.set_attribute(attribute, value) {
            let attribute = String::from_utf8_lossy(attribute);
            failures.push(told(&format!("cannot set attribute {attribute}"), errno));
        }
    }
}
