//! Typed identifiers. No bare byte array crosses a module: the type says what the bytes name.
//!
//! 32-byte ids are BLAKE3 values (keyed for blobs, of the stored bytes for objects); 16-byte ids
//! are random. Spec: `format-spec/01-terms.md`.

use std::fmt;
use std::str::FromStr;

/// A textual id that is not the expected number of hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// How many digits the id has.
    pub digits: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let fail = || ParseIdError {
        text: text.chars().take(80).collect(),
        digits: N * 2,
    };
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(fail());
    }
    let mut bytes = [0u8; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = hex_value(pair[0]).ok_or_else(fail)?;
        let low = hex_value(pair[1]).ok_or_else(fail)?;
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

/// Only lower case: an object has exactly one name.
fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Encodes a newtype of a fixed number of bytes as just these.
macro_rules! cbor_bytes {
    ($name:ident, $length:literal) => {
        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?;
                Ok(())
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                <[u8; $length]>::try_from(bytes).map(Self).map_err(|_| {
                    minicbor::decode::Error::message(concat!(
                        stringify!($name),
                        " has the wrong length"
                    ))
                })
            }
        }
    };
}

pub(crate) use cbor_bytes;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// All bytes zero: where a field means "none".
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $length]
            }

            /// The first eight hexadecimal digits, as shown to people.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }

        cbor_bytes!($name, $length);
    };
}

identifier!(
    /// A blob's name: keyed BLAKE3 of its plaintext, under a key of its domain.
    BlobId, 32);
identifier!(
    /// A pack's name: BLAKE3 of its bytes.
    PackId, 32);
identifier!(
    /// An index segment's name: BLAKE3 of its bytes.
    SegmentId, 32);
identifier!(
    /// A snapshot's name: BLAKE3 of its bytes.
    SnapshotId, 32);
identifier!(
    /// The name of any other object named by the BLAKE3 of its bytes (slots, proofs, holds, sets).
    ObjectId, 32);
identifier!(
    /// A repository's identity: random, part of everything that is sealed or signed in it.
    RepositoryId, 16);
identifier!(
    /// A domain's identity: random. Domains share no ids, keys, deltas or groups.
    DomainTag, 16);
identifier!(
    /// One epoch of a domain's or of maintenance's key pair: random.
    EpochTag, 16);
identifier!(
    /// A session key's (DK's or LK's) name inside envelopes: random.
    KeyId, 16);
identifier!(
    /// A credential's identity as a writer: random.
    WriterId, 16);
identifier!(
    /// A session's name: random.
    SessionId, 16);
identifier!(
    /// A slot's identity: random, kept when the slot is sealed anew.
    SlotId, 16);
identifier!(
    /// The snapshots of one run: random.
    SetId, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let id = BlobId(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(id.to_string().parse::<BlobId>(), Ok(id));
        assert_eq!(id.short().len(), 8);
    }

    #[test]
    fn one_name_each() {
        assert!("AB".repeat(32).parse::<PackId>().is_err(), "upper case");
        assert!("ab".repeat(31).parse::<PackId>().is_err(), "short");
        assert!("zz".repeat(32).parse::<PackId>().is_err(), "not hex");
        assert!("é".repeat(32).parse::<PackId>().is_err(), "not ASCII");
    }
}
