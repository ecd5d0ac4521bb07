//! How a blob's plaintext becomes the bytes that are sealed, and back.
//!
//! Spec: `format-spec/06-pack.md`, codecs. Encoders never accept a result that is not smaller than
//! the plaintext; decoders allocate exactly the authenticated plain length.

mod compress;
mod units;

pub use compress::{Compressor, Effort, encode_prefix};
pub use units::encode_units;

use crate::format::blob::Codec;
use crate::limits;
use std::cell::RefCell;
use zstd::zstd_safe::{self, DCtx, DParameter, SafeResult};

/// What zstd calls a failed allocation: `ZSTD_error_memory_allocation`, as its functions return it.
const NO_MEMORY: usize = 0usize.wrapping_sub(64);

/// Bytes that are no encoding of a plaintext of the stated length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {codec:?} encoding is bad: {problem}")]
pub struct DecodeError {
    /// Which codec.
    pub codec: Codec,
    /// What is wrong.
    pub problem: String,
}

impl DecodeError {
    fn new(codec: Codec, problem: impl Into<String>) -> Self {
        Self {
            codec,
            problem: problem.into(),
        }
    }
}

/// Decodes `encoded` to exactly `plain_length` bytes. `base` is the base's plaintext, which the
/// two delta codecs need.
pub fn decode(
    codec: Codec,
    encoded: &[u8],
    plain_length: usize,
    base: Option<&[u8]>,
) -> Result<Vec<u8>, DecodeError> {
    match (codec, base) {
        (Codec::ZstdUnits, Some(base)) => apply(codec, encoded, plain_length, base.to_vec()),
        (Codec::ZstdPrefix, Some(base)) => {
            check_length(codec, plain_length)?;
            decode_frame(codec, encoded, plain_length, Some(base))
        }
        _ => decode_alone(codec, encoded, plain_length),
    }
}

/// Like [`decode`] of a delta, with a base that is needed no longer: units are replaced in place,
/// so that a delta costs what it changes.
pub fn apply(
    codec: Codec,
    encoded: &[u8],
    plain_length: usize,
    base: Vec<u8>,
) -> Result<Vec<u8>, DecodeError> {
    check_length(codec, plain_length)?;
    match codec {
        Codec::ZstdUnits => units::decode_units(encoded, plain_length, base),
        _ => decode(codec, encoded, plain_length, Some(&base)),
    }
}

fn decode_alone(codec: Codec, encoded: &[u8], plain_length: usize) -> Result<Vec<u8>, DecodeError> {
    check_length(codec, plain_length)?;
    match codec {
        Codec::Raw if encoded.len() == plain_length => Ok(encoded.to_vec()),
        Codec::Raw => Err(DecodeError::new(codec, "the length differs")),
        Codec::Zstd => decode_frame(codec, encoded, plain_length, None),
        Codec::ZstdPrefix | Codec::ZstdUnits => Err(DecodeError::new(codec, "the base is missing")),
    }
}

fn check_length(codec: Codec, plain_length: usize) -> Result<(), DecodeError> {
    match plain_length <= limits::NODE_BYTES_MAX {
        true => Ok(()),
        false => Err(DecodeError::new(codec, "the plain length is out of bounds")),
    }
}

/// Decodes one zstd frame that states its content size, fills the input and stays in the window.
fn decode_frame(
    codec: Codec,
    frame: &[u8],
    plain_length: usize,
    prefix: Option<&[u8]>,
) -> Result<Vec<u8>, DecodeError> {
    let bad = |problem: &str| DecodeError::new(codec, problem);
    let failed = |code| DecodeError::new(codec, zstd_safe::get_error_name(code));
    if frame.get(..4) != Some(&zstd_safe::MAGICNUMBER.to_le_bytes()) {
        return Err(bad("not a zstd frame"));
    }
    check_frame_head(&frame[4..], plain_length).map_err(bad)?;
    let stated = zstd_safe::get_frame_content_size(frame).map_err(|_| bad("not a zstd frame"))?;
    if stated != Some(plain_length as u64) {
        return Err(bad("the frame states another length"));
    }
    if zstd_safe::find_frame_compressed_size(frame).map_err(failed)? != frame.len() {
        return Err(bad("something follows the frame"));
    }
    let mut plain = Vec::with_capacity(plain_length);
    let length = decompress(prefix, frame, &mut plain).map_err(failed)?;
    if length != plain_length {
        return Err(bad("the frame holds another length"));
    }
    Ok(plain)
}

thread_local! {
    /// Kept between frames. One that has a prefix is bound to it and cannot be kept.
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Decompresses a frame, alone or after a prefix. Errors: zstd's own; memory, mostly.
fn decompress(prefix: Option<&[u8]>, frame: &[u8], out: &mut Vec<u8>) -> SafeResult {
    let prepared = || {
        let mut context = DCtx::try_create()?;
        let window = DParameter::WindowLogMax(limits::ZSTD_WINDOW_LOG_MAX);
        context.set_parameter(window).ok()?;
        Some(context)
    };
    if let Some(prefix) = prefix {
        let mut context = prepared().ok_or(NO_MEMORY)?;
        context.ref_prefix(prefix)?;
        return context.decompress(out, frame);
    }
    DECODER.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = prepared();
        }
        let context = kept.as_mut().ok_or(NO_MEMORY)?;
        context.decompress(out, frame)
    })
}

/// Checks what one-shot decompression does not: no dictionary id, a window of at most 2 MiB. A
/// frame without a window descriptor is a single segment: its window is its content.
fn check_frame_head(head: &[u8], plain_length: usize) -> Result<(), &'static str> {
    let (Some(descriptor), Some(window)) = (head.first(), head.get(1)) else {
        return Err("not a zstd frame");
    };
    if descriptor & 0b1011 != 0 {
        return Err("the frame names a dictionary, or sets a reserved bit");
    }
    let window_bytes = if descriptor & 0b10_0000 != 0 {
        plain_length as u64
    } else {
        let (exponent, mantissa) = (u32::from(window >> 3), u64::from(window & 7));
        (8 + mantissa) << (7 + exponent)
    };
    if window_bytes > 1 << limits::ZSTD_WINDOW_LOG_MAX {
        return Err("the frame asks for too large a window");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
