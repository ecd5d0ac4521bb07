#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::codec::{Compressor, Effort, apply, decode, encode_prefix, encode_units};
use crate::format::blob::Codec;
use proptest::prelude::*;

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn frames_round_trip_and_noise_is_left_alone() {
    let mut compressor = Compressor::new(Effort::Auto);
    let mut out = Vec::new();
    let text = b"a row of a table; ".repeat(5000);
    assert!(compressor.compress(&text, &mut out));
    assert_eq!(decode(Codec::Zstd, &out, text.len(), None).unwrap(), text);
    assert!(!compressor.compress(&noise(200_000), &mut out));
    assert!(!compressor.compress(&noise(100), &mut out));
    assert!(!Compressor::new(Effort::Off).compress(&text, &mut out));
}

#[test]
fn auto_tries_harder_where_there_is_little_to_do() {
    let text = |seed: u32| {
        let words =
            (0..40_000u32).map(|n| format!("{} ", (n.wrapping_mul(2_654_435_761) ^ seed) % 5000));
        words.collect::<String>().into_bytes()
    };
    let mut auto = Compressor::new(Effort::Auto);
    let mut lengths = Vec::new();
    let mut out = Vec::new();
    for seed in 0..120 {
        assert!(auto.compress(&text(seed), &mut out));
        lengths.push(out.len());
    }
    let of_level = |level, seed| {
        let mut out = Vec::new();
        assert!(Compressor::new(Effort::Level(level)).compress(&text(seed), &mut out));
        out.len()
    };
    assert_eq!(lengths[0], of_level(9, 0));
    assert_eq!(lengths[60], of_level(3, 60));
    assert_eq!(lengths[119], of_level(1, 119));
    assert!(lengths[0] < lengths[119]);
}

#[test]
fn a_frame_is_exactly_what_the_row_says() {
    let mut compressor = Compressor::new(Effort::Auto);
    let text = vec![b'x'; 10_000];
    let mut frame = Vec::new();
    assert!(compressor.compress(&text, &mut frame));
    assert!(
        decode(Codec::Zstd, &frame, 9_999, None).is_err(),
        "another length"
    );
    assert!(
        decode(
            Codec::Zstd,
            &[&frame[..], &frame[..]].concat(),
            10_000,
            None
        )
        .is_err()
    );
    assert!(decode(Codec::Zstd, &[&frame[..], &[0]].concat(), 10_000, None).is_err());
    assert!(decode(Codec::Zstd, &frame[..frame.len() - 1], 10_000, None).is_err());
    assert!(decode(Codec::Zstd, b"", 10_000, None).is_err());
    assert!(
        decode(Codec::ZstdPrefix, &frame, 10_000, None).is_err(),
        "no base"
    );
    assert!(decode(Codec::Raw, &text, 9_999, None).is_err());
}

proptest! {
    #[test]
    fn units_round_trip(
        base_length in 0usize..40_000,
        length in 1usize..40_000,
        edits in prop::collection::vec((0usize..40_000, any::<u8>()), 0..20),
    ) {
        let base = noise(base_length);
        let mut plain = noise(length);
        for (position, value) in edits {
            if let Some(byte) = plain.get_mut(position) {
                *byte = value;
            }
        }
        match encode_units(&plain, &base, 3) {
            None => prop_assert_eq!(&plain[..], &base[..length]),
            Some(encoded) => {
                let decoded = decode(Codec::ZstdUnits, &encoded, length, Some(&base));
                prop_assert_eq!(decoded.unwrap(), plain);
            }
        }
    }

    #[test]
    fn prefixes_round_trip(
        base in prop::collection::vec(any::<u8>(), 0..3000),
        plain in prop::collection::vec(any::<u8>(), 1..3000),
        at in 0usize..3000,
    ) {
        let plain = [&base[..at.min(base.len())], &plain, &base[at.min(base.len())..]].concat();
        let encoded = encode_prefix(&plain, &base, 1).unwrap();
        let decoded = decode(Codec::ZstdPrefix, &encoded, plain.len(), Some(&base));
        prop_assert_eq!(decoded.as_ref(), Ok(&plain));
        prop_assert_eq!(apply(Codec::ZstdPrefix, &encoded, plain.len(), base), Ok(plain));
    }

    #[test]
    fn hostile_units_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200),
                                 length in 0usize..100_000) {
        let _ = decode(Codec::ZstdUnits, &bytes, length, Some(&[0; 5000]));
        let _ = decode(Codec::Zstd, &bytes, length, None);
    }
}

#[test]
fn a_changed_page_costs_a_page() {
    let base = noise(256 << 10);
    let mut plain = base.clone();
    plain[100_000..100_010].fill(0);
    let encoded = encode_units(&plain, &base, 3).unwrap();
    assert!(encoded.len() < 100, "{}", encoded.len());
}

/// The fast levels once saw only the end of a prefix.
#[test]
fn all_of_a_large_prefix_is_used() {
    for length in [300_000, (1 << 20) - 100] {
        let base = noise(length);
        let mut plain = base.clone();
        for number in 0..20 {
            let at = number * length / 20;
            plain.splice(at..at, [1, 2, 3, 4]);
        }
        let encoded = encode_prefix(&plain, &base, 1).unwrap();
        assert!(encoded.len() < 1000, "{}", encoded.len());
        let decoded = apply(Codec::ZstdPrefix, &encoded, plain.len(), base);
        assert_eq!(decoded.unwrap(), plain);
    }
}

#[test]
fn nothing_does_not_shrink() {
    let mut out = Vec::new();
    assert!(!Compressor::new(Effort::Auto).compress(&[], &mut out));
}
