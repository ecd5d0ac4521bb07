//! The bytes of the index cache's entries. Local and disposable: no part of the repository format.
//!
//! Keys hold numbers big-endian, values little-endian. Segments are numbered as they are loaded; a
//! number is never given twice in one cache, so what a crashed load left behind belongs to nobody.

use crate::format::blob::BlobRow;
use crate::format::pack::PackClass;
use crate::format::wire::{FormatError, Reader};
use crate::id::{BlobId, PackId, WriterId};
use crate::repository::index::engine::segment_number;
use crate::repository::index::{Listing, Place};

/// Of everything below; another one on disk means: start over.
pub(crate) const VERSION: u32 = 1;

/// The place of a pack: segment number, position.
pub(crate) fn place_key(place: Place) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&place.segment.to_be_bytes());
    key[4..].copy_from_slice(&place.pack.to_be_bytes());
    key
}

/// An id, then two numbers: keys of blobs (segment, row) and of listings (segment, position).
pub(crate) fn id_key(id: &[u8; 32], segment: u32, number: u32) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(id);
    key[32..36].copy_from_slice(&segment.to_be_bytes());
    key[36..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Takes a key of [`id_key`] apart.
pub(crate) fn parse_id_key(key: &[u8]) -> Result<([u8; 32], u32, u32), FormatError> {
    let fail = || FormatError::new("index cache key", format!("has {} bytes", key.len()));
    let id = key.first_chunk().filter(|_| key.len() == 40);
    let segment = segment_number(key, 32).ok_or_else(fail)?;
    let number = segment_number(key, 36).ok_or_else(fail)?;
    Ok((*id.ok_or_else(fail)?, segment, number))
}

/// A blob's value: position of its pack in the segment, then the row without its id.
pub(crate) fn blob_value(row: &BlobRow, pack: u32) -> Vec<u8> {
    let mut value = Vec::with_capacity(56);
    row.encode(&mut value);
    // The id is in the key: the pack's position takes its place.
    value.drain(..BlobId::LENGTH - 4);
    value[..4].copy_from_slice(&pack.to_le_bytes());
    value
}

/// Reads what [`blob_value`] wrote: the row and its pack's position.
pub(crate) fn parse_blob(id: &[u8; 32], value: &[u8]) -> Result<(BlobRow, u32), FormatError> {
    let mut reader = Reader::new("index cache row", value);
    let pack = reader.u32()?;
    let rest = reader.take(reader.remaining())?;
    // A row is at most id 32, fixed fields 20, base 32.
    let mut bytes = [0; 84];
    let length = BlobId::LENGTH + rest.len();
    let whole = bytes
        .get_mut(..length)
        .ok_or_else(|| reader.error(format!("has {length} bytes")))?;
    whole[..BlobId::LENGTH].copy_from_slice(id);
    whole[BlobId::LENGTH..].copy_from_slice(rest);
    let mut reader = Reader::new("index cache row", whole);
    let row = BlobRow::decode(&mut reader)?;
    reader.end()?;
    Ok((row, pack))
}

/// A pack's facts: class 1, length 4, author 16, rows 4; after the pack's id where `with_id`.
pub(crate) fn listing_value(listing: &Listing, with_id: bool) -> Vec<u8> {
    let mut value = Vec::with_capacity(57);
    if with_id {
        value.extend_from_slice(listing.pack.as_bytes());
    }
    value.push(listing.class as u8);
    value.extend_from_slice(&listing.length.to_le_bytes());
    value.extend_from_slice(listing.author.as_bytes());
    value.extend_from_slice(&listing.rows.to_le_bytes());
    value
}

/// Reads what [`listing_value`] wrote; the id comes from the key where it is not in the value.
pub(crate) fn parse_listing(
    place: Place,
    id: Option<[u8; 32]>,
    value: &[u8],
) -> Result<Listing, FormatError> {
    let mut reader = Reader::new("index cache pack", value);
    let pack = PackId(match id {
        Some(id) => id,
        None => reader.array()?,
    });
    let class = reader.u8()?;
    let class = PackClass::from_number(class)
        .ok_or_else(|| reader.error(format!("unknown pack class {class}")))?;
    let listing = Listing {
        pack,
        class,
        length: reader.u32()?,
        author: WriterId(reader.array()?),
        rows: reader.u32()?,
        place,
    };
    reader.end()?;
    Ok(listing)
}

/// A pack's contents: number of its first row, then the ids in order.
pub(crate) fn contents_value(first_row: u32, rows: &[BlobRow]) -> Vec<u8> {
    let mut value = Vec::with_capacity(4 + BlobId::LENGTH * rows.len());
    value.extend_from_slice(&first_row.to_le_bytes());
    for row in rows {
        value.extend_from_slice(row.id.as_bytes());
    }
    value
}

/// Reads what [`contents_value`] wrote: the keys of the pack's rows.
pub(crate) fn parse_contents(segment: u32, value: &[u8]) -> Result<Vec<[u8; 40]>, FormatError> {
    let mut reader = Reader::new("index cache contents", value);
    let first_row = reader.u32()?;
    let mut keys = Vec::with_capacity(reader.remaining() / BlobId::LENGTH);
    while reader.remaining() > 0 {
        let number = first_row.wrapping_add(keys.len() as u32);
        keys.push(id_key(&reader.array()?, segment, number));
    }
    Ok(keys)
}

/// Numbers in a row, as segments and meta entries have them.
pub(crate) fn numbers_value<const N: usize>(numbers: [u32; N]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// Reads what [`numbers_value`] wrote.
pub(crate) fn parse_numbers<const N: usize>(value: &[u8]) -> Result<[u32; N], FormatError> {
    let mut reader = Reader::new("index cache numbers", value);
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = reader.u32()?;
    }
    reader.end()?;
    Ok(numbers)
}
