//! The grammar below every structure: little-endian integers, canonical CBOR, Padmé padding.
//!
//! Spec: `format-spec/02-notation.md`.

/// Bytes that are not what the format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad {structure}: {problem}")]
pub struct FormatError {
    /// Which structure, as the spec calls it.
    pub structure: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl FormatError {
    /// Names the structure and what is wrong.
    pub fn new(structure: &'static str, problem: impl Into<String>) -> Self {
        Self {
            structure,
            problem: problem.into(),
        }
    }
}

/// Reads fixed-width fields from the front of a slice; never past its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    structure: &'static str,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the front; `structure` names it in errors.
    pub fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            structure,
            bytes,
            position: 0,
        }
    }

    /// An error about this structure.
    pub fn error(&self, problem: impl Into<String>) -> FormatError {
        FormatError::new(self.structure, problem)
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.position..];
        let taken = rest
            .get(..length)
            .ok_or_else(|| self.error(format!("ends {} bytes early", length - rest.len())))?;
        self.position += length;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// An unsigned byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A four-byte count of at most `limit`.
    pub fn count(&mut self, what: &str, limit: usize) -> Result<usize, FormatError> {
        let count = self.u32()? as usize;
        if count > limit {
            return Err(self.error(format!("{count} {what}, at most {limit} are allowed")));
        }
        Ok(count)
    }

    /// Fails unless everything was read.
    pub fn end(&self) -> Result<(), FormatError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(format!("{left} bytes too many"))),
        }
    }
}

/// Encodes a CBOR value, deterministically: shortest integers, definite lengths, integer keys
/// ascending, text keys in the order of their bytes.
pub fn to_cbor<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    // The only error source of this writer is a value's own Encode, and ours never fail.
    minicbor::to_vec(value).unwrap_or_default()
}

/// Decodes a CBOR value that must be exactly what [`to_cbor`] writes for it: unknown fields, other
/// lengths of integers and trailing bytes are errors, so that one value has one encoding.
pub fn from_cbor<'b, T>(structure: &'static str, bytes: &'b [u8]) -> Result<T, FormatError>
where
    T: minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let value: T =
        minicbor::decode(bytes).map_err(|error| FormatError::new(structure, error.to_string()))?;
    if to_cbor(&value) != bytes {
        return Err(FormatError::new(structure, "is not canonically encoded"));
    }
    Ok(value)
}

/// Gives a structure that is canonical CBOR its `encode` and `decode`; the name is for errors.
macro_rules! cbor_structure {
    ($type:ident, $name:literal) => {
        impl $type {
            /// Canonical CBOR.
            pub fn encode(&self) -> Vec<u8> {
                $crate::format::wire::to_cbor(self)
            }

            /// Decodes canonical CBOR.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::format::wire::FormatError> {
                $crate::format::wire::from_cbor($name, bytes)
            }
        }
    };
}

pub(in crate::format) use cbor_structure;

/// The padded size of `length`: Padmé rounds up so that at most log2(log2(length)) bits of the
/// length stay visible, for less than 12 % more (Nikitin et al., PURBs, PETS 2019).
pub fn padded_length(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let significant = exponent.ilog2() + 1;
    let mask = (1u64 << exponent.saturating_sub(significant)) - 1;
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reader_stops_at_the_end() {
        let mut reader = Reader::new("thing", &[1, 0, 0, 0, 9]);
        assert_eq!(reader.u32().unwrap(), 1);
        assert!(reader.end().is_err());
        assert!(reader.u16().is_err());
        assert_eq!(reader.u8().unwrap(), 9);
        assert!(reader.end().is_ok());
    }

    #[test]
    fn one_value_has_one_encoding() {
        assert_eq!(from_cbor::<u64>("n", &[0x05]).unwrap(), 5);
        assert!(from_cbor::<u64>("n", &[0x18, 0x05]).is_err(), "long form");
        assert!(from_cbor::<u64>("n", &[0x05, 0x00]).is_err(), "trailing");
    }

    proptest! {
        #[test]
        fn padding_costs_under_twelve_per_cent(length in 1u64..1 << 40) {
            let padded = padded_length(length);
            prop_assert!(padded >= length);
            prop_assert!(padded - length <= length * 12 / 100 + 1);
            prop_assert_eq!(padded_length(padded), padded);
        }
    }
}
