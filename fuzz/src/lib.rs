//! What the fuzzers run: one function for each decoder and parser, over any bytes.
//!
//! A body returns, or panics where a promise is broken: a decoder never panics, what it accepts
//! encodes to the same bytes, what a parser accepts prints as something that it accepts. The
//! bodies run in two places: under libFuzzer (`fuzz_targets/`), and in the test suite, which
//! includes this file and mutates seeds for a bounded time (`tests/suite/fuzz/`).

mod codecs;
mod keys;
mod objects;
mod policies;
mod sealed;
mod texts;
mod trees;

pub use codecs::{codec, rows, segment};
pub use keys::{certificate, config, keyring, slot, statement};
pub use objects::{names_of_objects, protocol, snapshot};
pub use policies::retention;
pub use sealed::{envelope, pack, record, tampered};
pub use texts::{dotenv, exclude, selector, units};
pub use trees::{entries, first_names, links, restore_paths};

/// A body.
pub type Body = fn(&[u8]);

/// Every body by its name, which is also its fuzz target's.
pub const BODIES: &[(&str, Body)] = &[
    ("certificate", certificate),
    ("codec", codec),
    ("config", config),
    ("dotenv", dotenv),
    ("entries", entries),
    ("envelope", envelope),
    ("exclude", exclude),
    ("first_names", first_names),
    ("keyring", keyring),
    ("links", links),
    ("names_of_objects", names_of_objects),
    ("pack", pack),
    ("protocol", protocol),
    ("record", record),
    ("restore_paths", restore_paths),
    ("retention", retention),
    ("rows", rows),
    ("segment", segment),
    ("selector", selector),
    ("slot", slot),
    ("snapshot", snapshot),
    ("statement", statement),
    ("tampered", tampered),
    ("units", units),
];

/// Fails for some inputs: proves that whatever runs the bodies notices.
pub fn canary(data: &[u8]) {
    let is_caught = data.len() > 4 && data[0] == b'c' && data[1] != b'a';
    assert!(!is_caught, "the canary died, as it should");
}

/// What a decoder accepts must encode to the very bytes it was given.
fn assert_canonical<T, E>(
    decoded: Result<T, E>,
    bytes: &[u8],
    encode: impl FnOnce(&T) -> Vec<u8>,
) -> Option<T> {
    let value = decoded.ok()?;
    assert_eq!(encode(&value), bytes, "one value, two encodings");
    Some(value)
}
