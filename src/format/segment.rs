//! Index segments: which pack holds which blobs. The index is the union of all listed segments.
//!
//! Spec: `format-spec/08-index.md`. The rows are the sealed part of a record of type segment.

use crate::format::blob::{BlobRow, decode_rows, encode_rows};
use crate::format::pack::PackClass;
use crate::format::wire::{FormatError, Reader};
use crate::id::{PackId, WriterId};
use crate::limits;

/// One pack's rows as a segment lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRows {
    /// The pack.
    pub pack: PackId,
    /// Its class.
    pub class: PackClass,
    /// Its length, bytes.
    pub length: u32,
    /// Who sealed its blobs, attested by the segment's signer.
    pub author: WriterId,
    /// What it holds.
    pub rows: Vec<BlobRow>,
}

/// Encodes the rows part of a segment: count 4, then for each pack its id 32, class 1, length 4,
/// author 16 and rows.
pub fn encode_segment(packs: &[PackRows]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(packs.len() as u32).to_le_bytes());
    for pack in packs {
        out.extend_from_slice(pack.pack.as_bytes());
        out.push(pack.class as u8);
        out.extend_from_slice(&pack.length.to_le_bytes());
        out.extend_from_slice(pack.author.as_bytes());
        encode_rows(&pack.rows, &mut out);
    }
    out
}

/// Decodes the rows part of a segment.
pub fn decode_segment(bytes: &[u8]) -> Result<Vec<PackRows>, FormatError> {
    let mut reader = Reader::new("index segment", bytes);
    let count = reader.count("packs", limits::SEGMENT_ROWS_MAX)?;
    let mut packs = Vec::new();
    let mut rows_left = limits::SEGMENT_ROWS_MAX;
    for _ in 0..count {
        let pack = PackId(reader.array()?);
        let class = reader.u8()?;
        let class = PackClass::from_number(class)
            .ok_or_else(|| reader.error(format!("unknown pack class {class}")))?;
        let length = reader.u32()?;
        let author = WriterId(reader.array()?);
        let rows = decode_rows(&mut reader, rows_left)?;
        let end = |row: &BlobRow| u64::from(row.offset) + u64::from(row.stored);
        let inside = |row: &BlobRow| row.stored == 0 || end(row) <= u64::from(length);
        if length as usize > limits::PACK_BYTES_MAX || !rows.iter().all(inside) {
            return Err(reader.error(format!(
                "pack {}: its rows reach past its end",
                pack.short()
            )));
        }
        rows_left -= rows.len();
        packs.push(PackRows {
            pack,
            class,
            length,
            author,
            rows,
        });
    }
    reader.end()?;
    Ok(packs)
}
