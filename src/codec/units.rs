//! The page delta: which 4 KiB units changed, and those units against their old images.
//!
//! Spec: `format-spec/06-pack.md`, codec 3. Twice as cheap to encode as a whole-chunk prefix and
//! as small, because a unit's old image stands where its new one does.

use crate::codec::compress::frame_after;
use crate::codec::{DecodeError, decode_frame};
use crate::format::blob::Codec;
use crate::limits::DELTA_UNIT_BYTES;

/// Encodes `plain` against `base`: a bitmap of changed units, then their frame. `None` when
/// nothing changed or no context could be had.
pub fn encode_units(plain: &[u8], base: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut bitmap = vec![0u8; plain.len().div_ceil(DELTA_UNIT_BYTES).div_ceil(8)];
    let mut changed = Vec::new();
    let mut images = Vec::new();
    for (number, unit) in plain.chunks(DELTA_UNIT_BYTES).enumerate() {
        let image = unit_of(base, number);
        if unit != image {
            bitmap[number / 8] |= 1 << (number % 8);
            changed.extend_from_slice(unit);
            images.extend_from_slice(image);
        }
    }
    if changed.is_empty() {
        return None;
    }
    let frame = frame_after(&images, &changed, level)?;
    bitmap.extend_from_slice(&frame);
    Some(bitmap)
}

/// The unit's bytes in a chunk; shorter or empty at and past its end.
fn unit_of(chunk: &[u8], number: usize) -> &[u8] {
    let start = (number * DELTA_UNIT_BYTES).min(chunk.len());
    &chunk[start..(start + DELTA_UNIT_BYTES).min(chunk.len())]
}

/// Decodes to `plain_length` bytes: what is marked replaces the base's units in place.
pub(in crate::codec) fn decode_units(
    encoded: &[u8],
    plain_length: usize,
    base: Vec<u8>,
) -> Result<Vec<u8>, DecodeError> {
    let bad = |problem: &str| DecodeError::new(Codec::ZstdUnits, problem);
    let units = plain_length.div_ceil(DELTA_UNIT_BYTES);
    let (bitmap, frame) = encoded
        .split_at_checked(units.div_ceil(8))
        .ok_or_else(|| bad("the bitmap is cut off"))?;
    let changed = |number: usize| bitmap[number / 8] >> (number % 8) & 1 == 1;
    if (units..bitmap.len() * 8).any(changed) {
        return Err(bad("the bitmap marks units past the end"));
    }
    let length_of = |number: usize| DELTA_UNIT_BYTES.min(plain_length - number * DELTA_UNIT_BYTES);
    let mut images = Vec::new();
    let mut changed_length = 0;
    for number in 0..units {
        let image = unit_of(&base, number);
        if changed(number) {
            images.extend_from_slice(image);
            changed_length += length_of(number);
        } else if image.len() != length_of(number) {
            return Err(bad("an unchanged unit is not in the base"));
        }
    }
    if changed_length == 0 {
        return Err(bad("nothing is marked as changed"));
    }
    let content = decode_frame(Codec::ZstdUnits, frame, changed_length, Some(&images))?;
    let mut content = content.as_slice();
    let mut plain = base;
    plain.resize(plain_length, 0);
    for number in (0..units).filter(|number| changed(*number)) {
        let (unit, rest) = content.split_at(length_of(number));
        let start = number * DELTA_UNIT_BYTES;
        plain[start..start + unit.len()].copy_from_slice(unit);
        content = rest;
    }
    Ok(plain)
}
