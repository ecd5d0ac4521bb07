//! The page delta: which 4 KiB units changed, and those units against their old images.
//!
//! Spec: `format-spec/06-pack.md`, codec 3. Twice as cheap to encode as a whole-chunk prefix and
//! as small, because a unit's old image stands where its new one does.

use crate::codec::compress::prepare;
use crate::codec::{DecodeError, decode_frame};
use crate::format::blob::Codec;
use crate::limits::DELTA_UNIT_BYTES;
use zstd::zstd_safe::{self, CCtx};

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
    let mut context = CCtx::try_create()?;
    prepare(&mut context, level)?;
    context.ref_prefix(&images).ok()?;
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(changed.len()));
    context.compress2(&mut frame, &changed).ok()?;
    bitmap.extend_from_slice(&frame);
    Some(bitmap)
}

/// The unit's bytes in a chunk; shorter or empty at and past its end.
fn unit_of(chunk: &[u8], number: usize) -> &[u8] {
    let start = (number * DELTA_UNIT_BYTES).min(chunk.len());
    &chunk[start..(start + DELTA_UNIT_BYTES).min(chunk.len())]
}

pub(in crate::codec) fn decode_units(
    encoded: &[u8],
    plain_length: usize,
    base: &[u8],
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
    for number in (0..units).filter(|number| changed(*number)) {
        images.extend_from_slice(unit_of(base, number));
        changed_length += length_of(number);
    }
    if changed_length == 0 {
        return Err(bad("nothing is marked as changed"));
    }
    let content = decode_frame(Codec::ZstdUnits, frame, changed_length, Some(&images))?;
    let mut content = content.as_slice();
    let mut plain = Vec::with_capacity(plain_length);
    for number in 0..units {
        if changed(number) {
            let (unit, rest) = content.split_at(length_of(number));
            plain.extend_from_slice(unit);
            content = rest;
        } else {
            let unit = unit_of(base, number);
            if unit.len() != length_of(number) {
                return Err(bad("an unchanged unit is not in the base"));
            }
            plain.extend_from_slice(unit);
        }
    }
    Ok(plain)
}
