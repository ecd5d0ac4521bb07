//! How much of the data one check reads.

use crate::id::PackId;
use crate::units::{Percent, UnitError, parse_percent, parse_size};
use std::fmt;
use std::str::FromStr;

/// A part of all packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    /// The `part`-th of `of` parts, from 1. Which part a pack is in follows from its name alone:
    /// all parts together are everything.
    Part {
        /// Which one.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// This share of all bytes, those packs first whose last proof is oldest.
    Share(Percent),
    /// At most this many bytes (but at least one pack), those first whose last proof is oldest.
    Bytes(u64),
}

/// A text that names no [`Subset`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubsetError {
    /// `n/m` with numbers that make no sense.
    #[error("{0:?} is no part of a whole: write 1/7 for the first of seven parts")]
    Part(String),
    /// Nothing would be read.
    #[error("{0:?} is nothing: a subset reads something")]
    Nothing(String),
    /// Not a share.
    #[error("{0:?} is no share")]
    Share(String, #[source] UnitError),
    /// Not a size.
    #[error("{0:?} is no subset: write a part (1/7), a share (5%) or a size (10G)")]
    Size(String, #[source] UnitError),
}

impl Subset {
    /// Whether a pack is in this part; shares and sizes are chosen by age instead.
    pub(crate) fn part_includes(part: u32, of: u32, pack: &PackId) -> bool {
        let mut front = [0; 8];
        front.copy_from_slice(&pack.0[..8]);
        u64::from_le_bytes(front) % u64::from(of.max(1)) == u64::from(part.saturating_sub(1))
    }
}

impl FromStr for Subset {
    type Err = SubsetError;

    fn from_str(text: &str) -> Result<Self, SubsetError> {
        let given = || text.chars().take(80).collect::<String>();
        if let Some((part, of)) = text.split_once('/') {
            let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
                true => digits.parse::<u32>().ok(),
                false => None,
            };
            return match (number(part), number(of)) {
                (Some(part), Some(of)) if part >= 1 && part <= of => Ok(Self::Part { part, of }),
                _ => Err(SubsetError::Part(given())),
            };
        }
        let subset = if text.trim_end().ends_with('%') {
            let share = parse_percent(text).map_err(|e| SubsetError::Share(given(), e))?;
            Self::Share(share)
        } else {
            Self::Bytes(parse_size(text).map_err(|e| SubsetError::Size(given(), e))?)
        };
        match subset {
            Self::Share(share) if share.millionths() == 0 => Err(SubsetError::Nothing(given())),
            Self::Bytes(0) => Err(SubsetError::Nothing(given())),
            subset => Ok(subset),
        }
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part { part, of } => write!(f, "{part}/{of}"),
            Self::Share(share) => share.fmt(f),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::check::{Subset, SubsetError};
    use crate::id::PackId;
    use crate::units::Percent;

    #[test]
    fn the_three_kinds_are_read() {
        let part = |part, of| Ok(Subset::Part { part, of });
        assert_eq!("1/7".parse(), part(1, 7));
        assert_eq!("7/7".parse(), part(7, 7));
        let five = Percent::new(5).unwrap();
        assert_eq!("5%".parse(), Ok(Subset::Share(five)));
        assert_eq!("10G".parse(), Ok(Subset::Bytes(10 << 30)));
        for text in ["1/7", "5%", "0.5%"] {
            assert_eq!(text.parse::<Subset>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["0/7", "8/7", "/7", "1/", "1/0", "+1/7", "a/b", "1/7/9"] {
            let error = text.parse::<Subset>().unwrap_err();
            assert!(matches!(error, SubsetError::Part(_)), "{text}: {error}");
        }
        for text in ["0%", "0", "0G"] {
            let error = text.parse::<Subset>().unwrap_err();
            assert!(matches!(error, SubsetError::Nothing(_)), "{text}: {error}");
        }
        assert!(matches!(
            "101%".parse::<Subset>(),
            Err(SubsetError::Share(..))
        ));
        assert!(matches!(
            "lots".parse::<Subset>(),
            Err(SubsetError::Size(..))
        ));
        assert!("".parse::<Subset>().is_err());
    }

    #[test]
    fn every_pack_is_in_exactly_one_part() {
        for seed in 0u32..100 {
            let pack = PackId(*blake3::hash(&seed.to_le_bytes()).as_bytes());
            let parts = (1..=7).filter(|part| Subset::part_includes(*part, 7, &pack));
            assert_eq!(parts.count(), 1);
        }
    }
}
