//! Rows: what a pack holds, as its table of contents and index segments list it.
//!
//! Spec: `format-spec/06-pack.md`.

use crate::crypto::Role;
use crate::format::envelope::BlobBinding;
use crate::format::wire::{FormatError, Reader};
use crate::id::BlobId;
use crate::limits;

/// What a blob is. Content and metadata ids are drawn under different keys, so the kind is part of
/// the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// A chunk of content.
    Chunk,
    /// Several small chunks, compressed together.
    Group,
    /// Names, modes, times of a directory node.
    NodeBody,
    /// Child ids of a directory node, or a content list.
    NodeLinks,
}

impl BlobKind {
    /// The role under which it is sealed; its number is the kind's number in rows.
    pub fn role(self) -> Role {
        match self {
            Self::Chunk => Role::Chunk,
            Self::Group => Role::Group,
            Self::NodeBody => Role::NodeBody,
            Self::NodeLinks => Role::NodeLinks,
        }
    }

    /// The kind sealed under this role.
    pub fn from_role(role: Role) -> Option<Self> {
        match role {
            Role::Chunk => Some(Self::Chunk),
            Role::Group => Some(Self::Group),
            Role::NodeBody => Some(Self::NodeBody),
            Role::NodeLinks => Some(Self::NodeLinks),
            _ => None,
        }
    }

    /// Largest plaintext, bytes.
    pub fn plain_bytes_max(self) -> usize {
        match self {
            Self::Chunk | Self::Group => limits::CHUNK_BYTES_MAX,
            Self::NodeBody | Self::NodeLinks => limits::NODE_BYTES_MAX,
        }
    }

    /// Whether packs keep it apart from content.
    pub fn is_metadata(self) -> bool {
        matches!(self, Self::NodeBody | Self::NodeLinks)
    }
}

/// How a blob's stored bytes stand for its plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// By themselves.
    Full,
    /// As a difference to another blob's plaintext.
    Delta {
        /// The other blob.
        base: BlobId,
        /// 1 + the generation of the form that stood in its place before; the base is that or one
        /// of its ancestors.
        generation: u16,
    },
    /// As a slice of a group's plaintext; nothing is stored for the member itself.
    Member {
        /// The group.
        group: BlobId,
    },
}

impl Form {
    fn number(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::Delta { .. } => 1,
            Self::Member { .. } => 2,
        }
    }

    /// The blob it depends on.
    pub fn base(self) -> Option<BlobId> {
        match self {
            Self::Full => None,
            Self::Delta { base, .. } => Some(base),
            Self::Member { group } => Some(group),
        }
    }

    /// 0 for a full blob.
    pub fn generation(self) -> u16 {
        match self {
            Self::Delta { generation, .. } => generation,
            Self::Full | Self::Member { .. } => 0,
        }
    }
}

/// How the opened bytes become the plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// They are the plaintext.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One zstd frame with the base's plaintext as raw-content prefix.
    ZstdPrefix = 2,
    /// A bitmap of changed 4 KiB units, then one zstd frame of those units with the base's images
    /// of the same units as prefix.
    ZstdUnits = 3,
}

impl Codec {
    /// The codec of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            2 => Some(Self::ZstdPrefix),
            3 => Some(Self::ZstdUnits),
            _ => None,
        }
    }
}

/// One blob in one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobRow {
    /// Its id.
    pub id: BlobId,
    /// What it is.
    pub kind: BlobKind,
    /// How it is stored.
    pub form: Form,
    /// How it is encoded.
    pub codec: Codec,
    /// Position of its session key in the pack's envelope.
    pub key: u16,
    /// Offset of the sealed bytes in the pack; of a member, in its group's plaintext.
    pub offset: u32,
    /// Sealed length, bytes; 0 for a member.
    pub stored: u32,
    /// Plaintext length, bytes.
    pub plain: u32,
}

/// Bytes of a full blob's row.
pub const ROW_LENGTH_MIN: usize = 52;

impl BlobRow {
    /// What the seal binds of it.
    pub fn binding(&self) -> BlobBinding {
        BlobBinding {
            id: self.id,
            form: self.form.number(),
            codec: self.codec as u8,
            generation: self.form.generation(),
            base: self.form.base().unwrap_or_default(),
        }
    }

    /// Appends id 32 ‖ kind 1 ‖ form 1 ‖ codec 1 ‖ 0 ‖ key 2 ‖ generation 2 ‖ offset 4 ‖ stored 4
    /// ‖ plain 4, and base 32 unless the form is full.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&[
            self.kind.role().number(),
            self.form.number(),
            self.codec as u8,
            0,
        ]);
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.form.generation().to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&self.plain.to_le_bytes());
        if let Some(base) = self.form.base() {
            out.extend_from_slice(base.as_bytes());
        }
    }

    /// Reads one row and checks everything that can be checked without opening the blob.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let id = BlobId(reader.array()?);
        let [kind, form, codec, reserved] = reader.array()?;
        let key = reader.u16()?;
        let generation = reader.u16()?;
        let (offset, stored, plain) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let kind = Role::from_number(kind)
            .and_then(BlobKind::from_role)
            .ok_or_else(|| reader.error(format!("unknown blob kind {kind}")))?;
        let codec = Codec::from_number(codec)
            .ok_or_else(|| reader.error(format!("unknown codec {codec}")))?;
        let form = match form {
            0 => Form::Full,
            1 => Form::Delta {
                base: BlobId(reader.array()?),
                generation,
            },
            2 => Form::Member {
                group: BlobId(reader.array()?),
            },
            other => return Err(reader.error(format!("unknown blob form {other}"))),
        };
        let row = Self {
            id,
            kind,
            form,
            codec,
            key,
            offset,
            stored,
            plain,
        };
        match row.fault(generation, reserved) {
            None => Ok(row),
            Some(fault) => Err(reader.error(format!("blob {}: {fault}", id.short()))),
        }
    }

    fn fault(&self, generation: u16, reserved: u8) -> Option<&'static str> {
        let delta_codec = matches!(self.codec, Codec::ZstdPrefix | Codec::ZstdUnits);
        let (plain, stored) = (self.plain as usize, self.stored as usize);
        if reserved != 0 {
            return Some("the reserved byte is not zero");
        }
        if plain == 0 || plain > self.kind.plain_bytes_max() {
            return Some("its plain length is out of bounds");
        }
        let form_ok = match self.form {
            Form::Full => generation == 0 && !delta_codec,
            Form::Delta { base, .. } => {
                (1..=limits::DELTA_GENERATION_MAX).contains(&generation)
                    && delta_codec
                    && base != self.id
                    && self.kind == BlobKind::Chunk
            }
            Form::Member { group } => {
                generation == 0
                    && group != self.id
                    && self.codec == Codec::Raw
                    && stored == 0
                    && self.kind == BlobKind::Chunk
                    && self.offset as usize + plain <= limits::CHUNK_BYTES_MAX
            }
        };
        if !form_ok {
            return Some("its form, codec and generation do not go together");
        }
        let stored_ok = match self.form {
            Form::Member { .. } => true,
            _ if self.codec == Codec::Raw => stored == plain + SEALED,
            // An encoder never accepts what is not smaller than the plaintext.
            _ => stored > SEALED && stored < plain + SEALED,
        };
        (!stored_ok).then_some("its stored length is out of bounds")
    }
}

const SEALED: usize = crate::format::envelope::SEAL_OVERHEAD;

/// Appends a four-byte count and the rows.
pub fn encode_rows(rows: &[BlobRow], out: &mut Vec<u8>) {
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    rows.iter().for_each(|row| row.encode(out));
}

/// Reads a count and that many rows.
pub fn decode_rows(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<BlobRow>, FormatError> {
    let count = reader.count("rows", limit)?;
    // Bounded by what is there, not by what is claimed.
    let mut rows = Vec::with_capacity(count.min(reader.remaining() / ROW_LENGTH_MIN));
    for _ in 0..count {
        rows.push(BlobRow::decode(reader)?);
    }
    Ok(rows)
}
