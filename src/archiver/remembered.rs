//! The form of an entry of the stat cache.

use crate::archiver::stat_cache::CARRIERS_MAX;
use crate::entry::ChangeStamp;
use crate::env::Timestamp;
use crate::format::node::Child;
use crate::format::wire::{FormatError, Reader};
use crate::id::{BlobId, PackId};

/// What is remembered of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    /// When it had this content.
    pub(super) stamp: ChangeStamp,
    pub(super) child: Child,
    /// The packs that hold all of it; none where they are not known.
    pub(super) carriers: Vec<PackId>,
}

/// Device, inode, size, times of change (8 bytes each), kind of child 1, length 8, id 32, then the
/// packs.
pub(super) fn encode(stamp: &ChangeStamp, child: Child, carriers: &[PackId]) -> Vec<u8> {
    let mut out = Vec::with_capacity(81 + 32 * carriers.len());
    for field in [stamp.device, stamp.inode, stamp.size] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&stamp.modified.0.to_le_bytes());
    out.extend_from_slice(&stamp.changed.0.to_le_bytes());
    let (tag, id) = match child {
        Child::Nothing => (0, BlobId::default()),
        Child::Hole { .. } => (3, BlobId::default()),
        Child::Chunk { id, .. } => (1, id),
        Child::Links { id, .. } => (2, id),
    };
    out.push(tag);
    out.extend_from_slice(&child.length().to_le_bytes());
    out.extend_from_slice(id.as_bytes());
    for pack in carriers {
        out.extend_from_slice(pack.as_bytes());
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Remembered, FormatError> {
    let mut reader = Reader::new("stat cache entry", bytes);
    let stamp = ChangeStamp {
        device: reader.u64()?,
        inode: reader.u64()?,
        size: reader.u64()?,
        modified: Timestamp(i64::from_le_bytes(reader.array()?)),
        changed: Timestamp(i64::from_le_bytes(reader.array()?)),
    };
    let (tag, length, id) = (reader.u8()?, reader.u64()?, BlobId(reader.array()?));
    let mut carriers = Vec::new();
    while reader.remaining() > 0 && carriers.len() < CARRIERS_MAX {
        carriers.push(PackId(reader.array()?));
    }
    reader.end()?;
    let child = match tag {
        0 => Child::Nothing,
        1 => Child::Chunk { id, length },
        2 => Child::Links { id, length },
        3 => Child::Hole { length },
        other => return Err(reader.error(format!("unknown child {other}"))),
    };
    Ok(Remembered {
        stamp,
        child,
        carriers,
    })
}
