//! Codecs: what a stored blob decodes to, and frames that are not what the row says.

use super::{Maker, stream_json};
use crate::vectors::describe;
use crate::vectors::read::stream;
use icecore::codec::encode_units;
use serde_json::{Value, json};
use zstd::zstd_safe::{CCtx, CParameter};

fn frame(plain: &[u8], prefix: Option<&[u8]>, parameters: &[CParameter]) -> Vec<u8> {
    let mut context = CCtx::create();
    let usual = [CParameter::WindowLog(21), CParameter::ChecksumFlag(false)];
    for parameter in usual.iter().chain(parameters) {
        context.set_parameter(*parameter).unwrap();
    }
    if let Some(prefix) = prefix {
        context.ref_prefix(prefix).unwrap();
    }
    let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut frame, plain).unwrap();
    frame
}

/// Codec 1.
pub fn zstd_frame(plain: &[u8]) -> Vec<u8> {
    frame(plain, None, &[])
}

/// Codec 2.
pub fn prefix_frame(plain: &[u8], base: &[u8]) -> Vec<u8> {
    frame(plain, Some(base), &[])
}

/// Codec 3.
pub fn units(plain: &[u8], base: &[u8]) -> Vec<u8> {
    encode_units(plain, base, 3).unwrap()
}

pub fn make() -> Vec<Maker> {
    vec![raw(), zstd(), prefix(), unit_deltas()]
}

fn input(codec: u8, plain_length: usize) -> Value {
    json!({ "codec": codec, "plain_length": plain_length })
}

fn raw() -> Maker {
    let mut maker = Maker::new("codec-raw", "codec");
    let plain = b"as it is".to_vec();
    let expect = describe::plain(&plain);
    maker.good(
        "raw",
        "the plaintext itself",
        input(0, 8),
        plain.clone(),
        expect,
    );
    maker.bad("length", "one byte short", input(0, 9), plain, "codec");
    maker
}

fn zstd() -> Maker {
    let mut maker = Maker::new("codec-zstd", "codec");
    let plain = b"the same again and again, ".repeat(100);
    let input = || input(1, plain.len());
    let good = zstd_frame(&plain);
    maker.good(
        "frame",
        "one frame",
        input(),
        good.clone(),
        describe::plain(&plain),
    );
    let large = vec![7; 3 << 20];
    let expect = describe::plain(&large);
    let why = "3 MiB of metadata in a window of 2 MiB";
    maker.good(
        "window_2_mib",
        why,
        super::codecs::input(1, large.len()),
        zstd_frame(&large),
        expect,
    );
    let why = "a window of 4 MiB";
    let wide = frame(&large, None, &[CParameter::WindowLog(22)]);
    maker.bad(
        "window_4_mib",
        why,
        super::codecs::input(1, large.len()),
        wide,
        "codec",
    );
    let mut bad = |name, why, bytes| maker.bad(name, why, input(), bytes, "codec");
    bad(
        "trailing",
        "a byte follows the frame",
        [&good[..], &[0]].concat(),
    );
    bad("two_frames", "two frames", {
        let half = plain.len() / 2;
        [zstd_frame(&plain[..half]), zstd_frame(&plain[half..])].concat()
    });
    bad(
        "cut_off",
        "the frame ends early",
        good[..good.len() - 1].to_vec(),
    );
    bad(
        "other_length",
        "holds less than the row says",
        zstd_frame(&plain[1..]),
    );
    let unsized_frame = frame(&plain, None, &[CParameter::ContentSizeFlag(false)]);
    bad(
        "no_content_size",
        "does not state its length",
        unsized_frame,
    );
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..], &good].concat();
    bad("skippable", "a skippable frame before it", skippable);
    // A dictionary id of one byte, 1, between the window descriptor or head and the content size.
    let mut dictionary = good.clone();
    let at = if dictionary[4] & 0x20 != 0 { 5 } else { 6 };
    dictionary[4] |= 1;
    dictionary.insert(at, 1);
    bad("dictionary_id", "names a dictionary", dictionary);
    let mut zero = good.clone();
    zero[4] |= 1;
    zero.insert(at, 0);
    bad("dictionary_id_zero", "has a field for a dictionary", zero);
    let mut reserved = good.clone();
    reserved[4] |= 8;
    bad("reserved_bit", "sets the reserved bit", reserved);
    bad("empty", "nothing", Vec::new());
    maker
}

fn based(codec: u8, plain_length: usize, seed: &str, base_length: usize) -> Value {
    json!({
        "codec": codec,
        "plain_length": plain_length,
        "base": stream_json(seed, base_length),
    })
}

fn prefix() -> Maker {
    let mut maker = Maker::new("codec-prefix", "codec");
    let base = stream(&stream_json("base", 9000));
    let mut plain = base[100..8000].to_vec();
    plain.extend_from_slice(b"and something new");
    let bytes = prefix_frame(&plain, &base);
    assert!(bytes.len() < 100);
    let good = based(2, plain.len(), "base", 9000);
    let expect = describe::plain(&plain);
    maker.good(
        "prefix",
        "the base as raw-content prefix",
        good.clone(),
        bytes.clone(),
        expect,
    );
    let cut = based(2, plain.len(), "base", 50);
    maker.bad(
        "base_too_short",
        "the frame copies from before the base",
        cut,
        bytes.clone(),
        "codec",
    );
    maker.bad(
        "no_base",
        "without its base",
        input(2, plain.len()),
        bytes,
        "codec",
    );
    maker
}

fn unit_deltas() -> Maker {
    let mut maker = Maker::new("units", "codec");
    const UNIT: usize = 4096;
    let base = stream(&stream_json("base", 10 * UNIT));
    let same = based(3, 10 * UNIT, "base", 10 * UNIT);
    let mut plain = base.clone();
    plain[5] ^= 1;
    plain[9 * UNIT + 7] ^= 1;
    let good = units(&plain, &base);
    assert_eq!(good[..2], [0b0000_0001, 0b0000_0010]);
    let expect = describe::plain(&plain);
    maker.good(
        "two_units",
        "units 0 and 9 of 10",
        same.clone(),
        good.clone(),
        expect,
    );
    let grown = [&plain[..], &[1; 100]].concat();
    let expect = describe::plain(&grown);
    let input = based(3, grown.len(), "base", 10 * UNIT);
    let why = "a short unit beyond the base's end";
    maker.good("grown", why, input.clone(), units(&grown, &base), expect);
    let short_base = &base[..9 * UNIT + 50];
    let short = based(3, 10 * UNIT, "base", 9 * UNIT + 50);
    let expect = describe::plain(&plain);
    let why = "the base's last unit is short: it is the prefix as far as it goes";
    maker.good(
        "short_base",
        why,
        short.clone(),
        units(&plain, short_base),
        expect,
    );
    let shrunk = &plain[..9 * UNIT + 20];
    let expect = describe::plain(shrunk);
    let shorter = based(3, shrunk.len(), "base", 10 * UNIT);
    let why = "the last unit is shorter than the base's";
    maker.good("shrunk", why, shorter, units(shrunk, &base), expect);
    let mut bad = |name, why, input: &Value, bytes| {
        maker.bad(name, why, input.clone(), bytes, "codec");
    };
    let bitmap = |bits: [u8; 2]| [&bits[..], &good[2..]].concat();
    bad(
        "bitmap_tail_bits",
        "marks unit 10 of 10",
        &same,
        bitmap([1, 0b0000_0110]),
    );
    bad("bitmap_cut", "one byte of two", &same, good[..1].to_vec());
    bad(
        "nothing_changed",
        "no unit is marked",
        &same,
        bitmap([0, 0]),
    );
    bad(
        "unit_too_many",
        "marks more than the frame holds",
        &same,
        bitmap([3, 2]),
    );
    bad(
        "unit_too_few",
        "marks less than the frame holds",
        &same,
        bitmap([1, 0]),
    );
    let beyond = bitmap([1, 2]);
    bad(
        "unchanged_beyond_base",
        "unit 10 is in no base",
        &input,
        beyond,
    );
    let only_first = {
        let changed = &plain[..UNIT];
        let frame = prefix_frame(changed, &base[..UNIT]);
        [&[1, 0][..], &frame].concat()
    };
    bad(
        "unchanged_short_in_base",
        "unit 9 is shorter in the base",
        &short,
        only_first,
    );
    bad(
        "trailing",
        "a byte follows the frame",
        &same,
        [&good[..], &[0]].concat(),
    );
    maker
}
