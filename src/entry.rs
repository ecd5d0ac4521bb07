//! The vocabulary of trees: what a source yields, a tree node records and a target recreates.

use crate::env::Timestamp;
use std::collections::BTreeMap;

/// One file, directory or special file, without its content or children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last path component: raw bytes, not empty, no `/`, no NUL, not `.` or `..`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Mode, owner, times, attributes.
    pub metadata: Metadata,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file of `size` bytes (as read; holes counted).
    File {
        /// Length, bytes.
        size: u64,
    },
    /// A symbolic link and where it points, raw bytes.
    Symlink {
        /// The link's text.
        target: Vec<u8>,
    },
    /// A named pipe. Never opened.
    Fifo,
    /// A Unix socket. Recorded so that its absence is explained; not recreated.
    Socket,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// Everything about an entry that is not its name, kind or content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Owner's name where the system knows one.
    pub user: Option<String>,
    /// Group's name where the system knows one.
    pub group: Option<String>,
    /// Last modification.
    pub modified: Timestamp,
    /// Extended attributes by name, sorted; POSIX ACLs are `system.posix_acl_access` and
    /// `system.posix_acl_default`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Set when the file has several names: entries of one snapshot with equal values are one file.
    pub hard_link: Option<HardLink>,
}

/// Something about an entry that is not its name, kind or content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Permission bits.
    Mode,
    /// Owner or group, by number.
    Owner,
    /// Time of the last modification.
    Modified,
    /// Extended attributes.
    Attributes,
}

impl Aspect {
    /// Its name in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Modified => "time",
            Self::Attributes => "attributes",
        }
    }
}

impl Metadata {
    /// In what two entries of a kind differ. A directory's time says only that something in it came
    /// or went, and a symbolic link's mode says nothing: neither is compared.
    pub fn differences(&self, other: &Self, kind: &EntryKind) -> Vec<Aspect> {
        let is_directory = *kind == EntryKind::Directory;
        let is_symlink = matches!(kind, EntryKind::Symlink { .. });
        let pairs = [
            (Aspect::Mode, self.mode != other.mode && !is_symlink),
            (
                Aspect::Owner,
                (self.uid, self.gid) != (other.uid, other.gid),
            ),
            (
                Aspect::Modified,
                self.modified != other.modified && !is_directory,
            ),
            (Aspect::Attributes, self.xattrs != other.xattrs),
        ];
        let differing = pairs.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(aspect, _)| aspect).collect()
    }
}

/// Which file a name with siblings belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardLink {
    /// Device number on the captured host.
    pub device: u64,
    /// Inode number on the captured host.
    pub inode: u64,
}

/// What the file system said about a file when it was looked at: equal stamps mean that the
/// content need not be read again (never for databases, never within 2 s of the scan).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeStamp {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length, bytes.
    pub size: u64,
    /// Last modification of content.
    pub modified: Timestamp,
    /// Last change of content or inode.
    pub changed: Timestamp,
}

/// How a stream is cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A page-structured file: fixed pieces at file offsets.
    Pages,
    /// Anything else: content-defined.
    Stream,
}

/// Facts about a capture: engine, version, positions, counts. Keys are lower-case words with dots.
pub type Facts = BTreeMap<String, Fact>;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Fact {
    /// A text.
    Text(String),
    /// A count, size or version number.
    Integer(i64),
    /// Yes or no.
    Bool(bool),
    /// Named counts, such as rows by table.
    Counts(BTreeMap<String, u64>),
    /// Several texts.
    List(Vec<String>),
}
