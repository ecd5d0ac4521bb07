//! Rows, segments and compressed chunks.

use super::assert_canonical;
use icecore::codec::{Compressor, Effort, decode, encode_units};
use icecore::format::blob::{BlobRow, Codec, decode_rows, encode_rows};
use icecore::format::segment::{decode_segment, encode_segment};
use icecore::format::wire::Reader;
use icecore::limits;

/// A table of rows, as packs and segments hold them.
pub fn rows(data: &[u8]) {
    let mut reader = Reader::new("fuzz", data);
    if let Ok(row) = BlobRow::decode(&mut reader) {
        let mut again = Vec::new();
        row.encode(&mut again);
        assert_eq!(again, data[..reader.position()], "one row, two encodings");
    }
    let mut reader = Reader::new("fuzz", data);
    if let Ok(rows) = decode_rows(&mut reader, limits::PACK_ROWS_MAX) {
        let mut again = Vec::new();
        encode_rows(&rows, &mut again);
        assert_eq!(again, data[..reader.position()], "one table, two encodings");
    }
}

/// The rows part of an index segment.
pub fn segment(data: &[u8]) {
    assert_canonical(decode_segment(data), data, |packs| encode_segment(packs));
}

/// All four codecs: codec 1 ‖ plain length 4 ‖ base length 2 ‖ base ‖ encoded.
pub fn codec(data: &[u8]) {
    let Some((head, rest)) = data.split_at_checked(7) else {
        return;
    };
    let codec = match head[0] % 4 {
        0 => Codec::Raw,
        1 => Codec::Zstd,
        2 => Codec::ZstdPrefix,
        _ => Codec::ZstdUnits,
    };
    let stated = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let base_length = usize::from(u16::from_le_bytes([head[5], head[6]])).min(rest.len());
    let (base, encoded) = rest.split_at(base_length);
    for length in [stated, stated % (1 << 16)] {
        if let Ok(plain) = decode(codec, encoded, length, Some(base)) {
            assert_eq!(plain.len(), length);
        }
    }
    round_trip(rest, base);
}

fn round_trip(plain: &[u8], base: &[u8]) {
    let mut compressed = Vec::new();
    if Compressor::new(Effort::Auto).compress(plain, &mut compressed) {
        let back = decode(Codec::Zstd, &compressed, plain.len(), None);
        assert_eq!(back.as_deref(), Ok(plain));
    }
    if let Some(units) = encode_units(plain, base, 3) {
        let back = decode(Codec::ZstdUnits, &units, plain.len(), Some(base));
        assert_eq!(back.as_deref(), Ok(plain));
    }
}
