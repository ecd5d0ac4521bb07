//! Directory bodies: canonical CBOR of entries, converted to and from [`crate::entry`].
//!
//! Spec: `format-spec/09-tree.md`.

use crate::entry::{Entry, EntryKind, HardLink, Metadata};
use crate::env::Timestamp;
use crate::format::wire::{FormatError, from_cbor, to_cbor};
use crate::limits;
use minicbor::bytes::{ByteSlice, ByteVec};
use minicbor::{Decode, Encode};

/// An entry of a snapshot's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Name, kind, metadata.
    pub entry: Entry,
    /// How sure the content is.
    pub condition: Condition,
}

/// Whether an entry's content is one consistent state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// It is.
    #[default]
    Whole,
    /// The file kept changing while it was read.
    Torn,
    /// The engine's own check found fault with it.
    Suspect,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireEntry {
    #[n(0)]
    name: ByteVec,
    #[n(1)]
    kind: u8,
    #[n(2)]
    mode: u32,
    #[n(3)]
    uid: u32,
    #[n(4)]
    gid: u32,
    #[n(5)]
    user: Option<String>,
    #[n(6)]
    group: Option<String>,
    #[n(7)]
    modified: Timestamp,
    #[n(8)]
    size: Option<u64>,
    #[n(9)]
    target: Option<ByteVec>,
    #[n(10)]
    device: Option<(u32, u32)>,
    #[n(11)]
    hard_link: Option<(u64, u64)>,
    #[n(12)]
    xattrs: Option<Vec<(ByteVec, ByteVec)>>,
    #[n(13)]
    condition: Option<u8>,
}

impl From<&TreeEntry> for WireEntry {
    fn from(tree_entry: &TreeEntry) -> Self {
        let Entry {
            name,
            kind,
            metadata,
        } = &tree_entry.entry;
        let (number, size, target, device) = match kind {
            EntryKind::Directory => (0, None, None, None),
            EntryKind::File { size } => (1, Some(*size), None, None),
            EntryKind::Symlink { target } => (2, None, Some(target.clone().into()), None),
            EntryKind::Fifo => (3, None, None, None),
            EntryKind::Socket => (4, None, None, None),
            EntryKind::CharDevice { major, minor } => (5, None, None, Some((*major, *minor))),
            EntryKind::BlockDevice { major, minor } => (6, None, None, Some((*major, *minor))),
        };
        let xattrs: Vec<(ByteVec, ByteVec)> = metadata
            .xattrs
            .iter()
            .map(|(name, value)| (name.clone().into(), value.clone().into()))
            .collect();
        Self {
            name: name.clone().into(),
            kind: number,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            user: metadata.user.clone(),
            group: metadata.group.clone(),
            modified: metadata.modified,
            size,
            target,
            device,
            hard_link: metadata.hard_link.map(|link| (link.device, link.inode)),
            xattrs: (!xattrs.is_empty()).then_some(xattrs),
            condition: match tree_entry.condition {
                Condition::Whole => None,
                Condition::Torn => Some(1),
                Condition::Suspect => Some(2),
            },
        }
    }
}

impl TryFrom<WireEntry> for TreeEntry {
    type Error = &'static str;

    fn try_from(wire: WireEntry) -> Result<Self, &'static str> {
        let name: Vec<u8> = wire.name.into();
        if !name_is_valid(&name) {
            return Err("a name that no file can have");
        }
        let kind = match (wire.kind, wire.size, wire.target, wire.device) {
            (0, None, None, None) => EntryKind::Directory,
            (1, Some(size), None, None) if size <= limits::FILE_BYTES_MAX => {
                EntryKind::File { size }
            }
            (2, None, Some(target), None) if target.len() <= limits::SYMLINK_BYTES_MAX => {
                EntryKind::Symlink {
                    target: target.into(),
                }
            }
            (3, None, None, None) => EntryKind::Fifo,
            (4, None, None, None) => EntryKind::Socket,
            (5, None, None, Some((major, minor))) => EntryKind::CharDevice { major, minor },
            (6, None, None, Some((major, minor))) => EntryKind::BlockDevice { major, minor },
            _ => return Err("a kind that does not go with its fields"),
        };
        if wire.mode > 0o7777 {
            return Err("mode bits that are none");
        }
        if wire.xattrs.as_ref().is_some_and(Vec::is_empty) {
            return Err("a list of no extended attributes");
        }
        let mut xattrs = std::collections::BTreeMap::new();
        for (name, value) in wire.xattrs.unwrap_or_default() {
            let (name, value): (Vec<u8>, Vec<u8>) = (name.into(), value.into());
            let sorted = xattrs.last_key_value().is_none_or(|(last, _)| *last < name);
            if !sorted || name.len() > limits::NAME_BYTES_MAX || name.contains(&0) {
                return Err("extended attributes that are unsorted or misnamed");
            }
            if value.len() > limits::XATTR_BYTES_MAX {
                return Err("an extended attribute that is too large");
            }
            xattrs.insert(name, value);
        }
        let condition = match wire.condition {
            None => Condition::Whole,
            Some(1) => Condition::Torn,
            Some(2) => Condition::Suspect,
            Some(_) => return Err("an unknown condition"),
        };
        let metadata = Metadata {
            mode: wire.mode,
            uid: wire.uid,
            gid: wire.gid,
            user: wire.user,
            group: wire.group,
            modified: wire.modified,
            xattrs,
            hard_link: wire
                .hard_link
                .map(|(device, inode)| HardLink { device, inode }),
        };
        Ok(Self {
            entry: Entry {
                name,
                kind,
                metadata,
            },
            condition,
        })
    }
}

/// Whether a name can stand in a directory: not empty, no `/`, no NUL, not `.` or `..`.
pub fn name_is_valid(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= limits::NAME_BYTES_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Encodes the body of a directory node. Entries are sorted by name.
pub fn encode_entries(entries: &[TreeEntry]) -> Vec<u8> {
    let wire: Vec<WireEntry> = entries.iter().map(WireEntry::from).collect();
    to_cbor(&wire)
}

/// Decodes the body of a directory node; names are valid, sorted and unique.
pub fn decode_entries(bytes: &[u8]) -> Result<Vec<TreeEntry>, FormatError> {
    let bad = |problem: &str| FormatError::new("directory body", problem);
    let wire: Vec<WireEntry> = from_cbor("directory body", bytes)?;
    if wire.len() > limits::NODE_CHILDREN_MAX {
        return Err(bad("it has too many entries"));
    }
    let entries = wire
        .into_iter()
        .map(|entry| TreeEntry::try_from(entry).map_err(bad))
        .collect::<Result<Vec<_>, _>>()?;
    if entries
        .windows(2)
        .any(|pair| pair[0].entry.name >= pair[1].entry.name)
    {
        return Err(bad("its names are not sorted"));
    }
    Ok(entries)
}

/// Encodes the body of a directory index: the first name of each child.
pub fn encode_first_names(names: &[Vec<u8>]) -> Vec<u8> {
    let wire: Vec<&ByteSlice> = names.iter().map(|name| name.as_slice().into()).collect();
    to_cbor(&wire)
}

/// Decodes the body of a directory index; the names are sorted and unique.
pub fn decode_first_names(bytes: &[u8]) -> Result<Vec<Vec<u8>>, FormatError> {
    let wire: Vec<ByteVec> = from_cbor("directory index body", bytes)?;
    let names: Vec<Vec<u8>> = wire.into_iter().map(Into::into).collect();
    let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    if !sorted || !names.iter().all(|name| name_is_valid(name)) {
        let problem = "its names are not sorted or not valid";
        return Err(FormatError::new("directory index body", problem));
    }
    Ok(names)
}
