//! Packs: sealed blobs, padding, a sealed table of contents, a fixed trailer.
//!
//! Spec: `format-spec/06-pack.md`. A pack is self-describing: the index can be rebuilt from packs.

use crate::crypto::Role;
use crate::env::{Entropy, EntropyError};
use crate::format::blob::{BlobRow, decode_rows, encode_rows};
use crate::format::envelope::{
    Binding, BlobBinding, Envelope, ObjectType, SEAL_OVERHEAD, SessionKey, UnwrapError, Unwrapper,
};
use crate::format::wire::{FormatError, Reader, padded_length};
use crate::id::PackId;
use crate::limits;
use std::sync::Arc;

/// Which prefix a pack lives under. Prune, caching and insurance differ by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PackClass {
    /// Chunks and groups in full: the small, stable part that everything rests on.
    Full = 0,
    /// Deltas.
    Delta = 1,
    /// Nodes and content lists.
    Metadata = 2,
}

impl PackClass {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Full, Self::Delta, Self::Metadata];

    /// The name in object keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
            Self::Metadata => "meta",
        }
    }

    /// The class with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Bytes of the trailer.
pub const TRAILER_LENGTH: usize = 96;

const TRAILER_SEALED: usize = 16 + SEAL_OVERHEAD;

/// A pack, its key or its rows are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The bytes break the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The table of contents cannot be opened with this credential, or was changed.
    #[error("the pack's table of contents does not open")]
    Key(#[source] UnwrapError),
    /// A seal does not open.
    #[error("the {0} of the pack does not open")]
    Seal(&'static str),
}

/// A pack under construction: blobs are appended sealed.
#[derive(Debug)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    rows: Vec<BlobRow>,
    envelope: Envelope,
}

impl PackBuilder {
    /// Starts a pack. `envelope` is of type pack and names the session keys that rows refer to.
    pub fn new(envelope: Envelope) -> Self {
        let mut bytes = Vec::with_capacity(limits::PACK_BYTES_TARGET + limits::CHUNK_BYTES_MAX);
        envelope.encode(&mut bytes);
        Self {
            bytes,
            rows: Vec::new(),
            envelope,
        }
    }

    /// Bytes so far.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Rows so far.
    pub fn rows(&self) -> &[BlobRow] {
        &self.rows
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends sealed bytes; the row's offset and stored length are set here.
    pub fn push(&mut self, mut row: BlobRow, sealed: &[u8]) {
        row.offset = self.bytes.len() as u32;
        row.stored = sealed.len() as u32;
        self.bytes.extend_from_slice(sealed);
        self.rows.push(row);
    }

    /// Adds a row that stores nothing of its own: a member of a group in this pack.
    pub fn push_member(&mut self, row: BlobRow) {
        self.rows.push(row);
    }

    /// Pads, seals the table of contents under `link` (key number `link_key`) and ends the pack.
    pub fn finish(
        mut self,
        link: &SessionKey,
        link_key: u16,
        entropy: &dyn Entropy,
    ) -> Result<FinishedPack, EntropyError> {
        let mut toc = Vec::new();
        encode_rows(&self.rows, &mut toc);
        let fixed = SEAL_OVERHEAD + toc.len() + SEAL_OVERHEAD + TRAILER_LENGTH;
        let unpadded = (self.bytes.len() + fixed) as u64;
        let pad = vec![0; (padded_length(unpadded) - unpadded) as usize];
        part_binding(&self.envelope, Role::Pad, pad.len()).seal_into(
            link,
            &pad,
            &mut self.bytes,
            entropy,
        )?;
        let toc_offset = self.bytes.len() as u64;
        part_binding(&self.envelope, Role::Toc, toc.len()).seal_into(
            link,
            &toc,
            &mut self.bytes,
            entropy,
        )?;
        let toc_length = self.bytes.len() as u64 - toc_offset;
        let place = [toc_offset.to_le_bytes(), toc_length.to_le_bytes()].concat();
        let trailer = self.bytes.len();
        self.bytes.extend_from_slice(&link_key.to_le_bytes());
        part_binding(&self.envelope, Role::Trailer, place.len()).seal_into(
            link,
            &place,
            &mut self.bytes,
            entropy,
        )?;
        self.bytes.resize(trailer + TRAILER_LENGTH, 0);
        Ok(FinishedPack {
            id: PackId(*blake3::hash(&self.bytes).as_bytes()),
            bytes: self.bytes,
            rows: self.rows,
        })
    }
}

/// A pack ready to be stored.
#[derive(Debug)]
pub struct FinishedPack {
    /// Its name: BLAKE3 of its bytes.
    pub id: PackId,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its rows, in the order of their offsets.
    pub rows: Vec<BlobRow>,
}

fn part_binding(envelope: &Envelope, role: Role, length: usize) -> Binding {
    Binding {
        suite: envelope.suite,
        repository: envelope.repository,
        domain: envelope.domain,
        role,
        blob: BlobBinding::default(),
        plain_length: length as u32,
    }
}

/// What a blob of this row is bound to, in a pack with this envelope.
pub fn blob_binding(envelope: &Envelope, row: &BlobRow) -> Binding {
    Binding {
        suite: envelope.suite,
        repository: envelope.repository,
        domain: envelope.domain,
        role: row.kind.role(),
        blob: row.binding(),
        plain_length: row.plain,
    }
}

/// Reads the envelope at the front of a pack (or of the first bytes of one).
pub fn decode_envelope(bytes: &[u8]) -> Result<(Envelope, usize), FormatError> {
    let mut reader = Reader::new("pack", bytes);
    let envelope = Envelope::decode(&mut reader)?;
    if envelope.object_type != ObjectType::Pack {
        return Err(reader.error(format!("is a {}", envelope.object_type.name())));
    }
    Ok((envelope, reader.position()))
}

/// A pack whose table of contents was opened.
#[derive(Debug)]
pub struct OpenedPack {
    /// Its head.
    pub envelope: Envelope,
    /// Its rows, checked to lie inside it and not to overlap.
    pub rows: Vec<BlobRow>,
}

/// Opens the table of contents of a whole pack.
pub fn open_pack(bytes: &[u8], unwrapper: &dyn Unwrapper) -> Result<OpenedPack, PackError> {
    let (envelope, body) = decode_envelope(bytes)?;
    let bad = |problem: &str| PackError::Format(FormatError::new("pack", problem));
    if bytes.len() > limits::PACK_BYTES_MAX {
        return Err(bad("is larger than a pack may be"));
    }
    let trailer = bytes
        .len()
        .checked_sub(TRAILER_LENGTH)
        .filter(|start| *start >= body)
        .ok_or_else(|| bad("is too short for a trailer"))?;
    let (key, toc_offset, toc_length) = open_trailer(&envelope, &bytes[trailer..], unwrapper)?;
    if toc_offset < body || toc_offset.checked_add(toc_length) != Some(trailer) {
        return Err(bad("the table of contents is not where the trailer says"));
    }
    let mut toc = bytes[toc_offset..trailer].to_vec();
    let length = toc_length
        .checked_sub(SEAL_OVERHEAD)
        .ok_or_else(|| bad("the table of contents is too short"))?;
    let plain = part_binding(&envelope, Role::Toc, length)
        .open_in_place(&key, &mut toc)
        .map_err(|_| PackError::Seal("table of contents"))?;
    let mut reader = Reader::new("table of contents", plain);
    let rows = decode_rows(&mut reader, limits::PACK_ROWS_MAX)?;
    reader.end()?;
    check_rows(&rows, &envelope, body, toc_offset)?;
    Ok(OpenedPack { envelope, rows })
}

fn open_trailer(
    envelope: &Envelope,
    trailer: &[u8],
    unwrapper: &dyn Unwrapper,
) -> Result<(Arc<SessionKey>, usize, usize), PackError> {
    let mut reader = Reader::new("pack trailer", trailer);
    let key = usize::from(reader.u16()?);
    let mut sealed = reader.take(TRAILER_SEALED)?.to_vec();
    if reader.take(reader.remaining())?.iter().any(|b| *b != 0) {
        return Err(reader.error("its fill is not zero").into());
    }
    let entry = envelope
        .keys
        .get(key)
        .filter(|entry| entry.kind.fits(Role::Trailer))
        .ok_or_else(|| reader.error(format!("names key {key}, which is no link key here")))?;
    let key = unwrapper.unwrap(envelope, entry).map_err(PackError::Key)?;
    let place = part_binding(envelope, Role::Trailer, 16)
        .open_in_place(&key, &mut sealed)
        .map_err(|_| PackError::Seal("trailer"))?;
    let mut reader = Reader::new("pack trailer", place);
    let bounded = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let (offset, length) = (bounded(reader.u64()?), bounded(reader.u64()?));
    Ok((key, offset, length))
}

/// Rows lie between the head and the table of contents, in order, without overlap.
fn check_rows(
    rows: &[BlobRow],
    envelope: &Envelope,
    start: usize,
    end: usize,
) -> Result<(), FormatError> {
    let mut position = start as u64;
    for row in rows {
        let bad = |problem: &str| {
            let text = format!("blob {}: {problem}", row.id.short());
            Err(FormatError::new("table of contents", text))
        };
        let Some(key) = envelope.keys.get(usize::from(row.key)) else {
            return bad("names a key that is not there");
        };
        if !key.kind.fits(row.kind.role()) {
            return bad("is sealed under the wrong kind of key");
        }
        if row.stored == 0 {
            continue;
        }
        if u64::from(row.offset) != position {
            return bad("does not follow the one before");
        }
        position += u64::from(row.stored);
        if position > end as u64 {
            return bad("reaches beyond the blobs");
        }
    }
    Ok(())
}
