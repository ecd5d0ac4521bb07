//! Which base a changed chunk is stored against, and when it is stored in full.
//!
//! Pure functions. Spec: `format-spec/06-pack.md`, deltas. Skip deltas: the base is an ancestor
//! that lies back by a power of eight, so that depth grows with the logarithm of the number of
//! versions, and dropping old versions never makes a newer one unreadable.

use crate::id::BlobId;
use crate::limits;

/// A form of the parent's chunk and of its bases, from the parent's own down to the full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor {
    /// The blob.
    pub id: BlobId,
    /// Its form's generation; 0 for a full one.
    pub generation: u16,
}

/// What to store a changed chunk as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// By itself.
    Full,
    /// As a difference to this base, with this generation.
    Delta {
        /// The base.
        base: BlobId,
        /// The new form's generation.
        generation: u16,
    },
}

/// Generations over which forced rewrites in full are spread by chunk id, so that a database does
/// not store all of its chunks in full in one run.
const STAGGER: u16 = 64;

/// Chooses the base for a chunk that takes the place of `chain[0]`. `chain` leads from there to a
/// full form; the new chunk's id spreads forced rewrites.
pub fn choose(id: &BlobId, chain: &[Ancestor]) -> Choice {
    let Some(parent) = chain.first() else {
        return Choice::Full;
    };
    let generation = parent.generation.saturating_add(1);
    let last = limits::DELTA_GENERATION_MAX - u16::from(id.0[0]) % STAGGER;
    if generation > last {
        return Choice::Full;
    }
    let newest = generation - skip(generation);
    let position = chain
        .iter()
        .position(|ancestor| ancestor.generation <= newest);
    match position {
        // As many deltas as lie below the base have to be applied before this one.
        Some(position) if (chain.len() - position) as u32 <= limits::DELTA_DEPTH_MAX => {
            Choice::Delta {
                base: chain[position].id,
                generation,
            }
        }
        _ => Choice::Full,
    }
}

/// 8^k, k the position of the lowest octal digit of `generation` that is not zero.
fn skip(generation: u16) -> u16 {
    let digit = generation.trailing_zeros() / 3;
    8u16.saturating_pow(digit)
}

/// Whether a delta of `delta` bytes is worth it beside a full form of about `full` bytes: above
/// half of it, reading the base costs more than it saves.
pub fn is_worth_it(delta: usize, full: usize) -> bool {
    delta <= full / 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(number: u16) -> BlobId {
        let mut id = BlobId::default();
        id.0[30..].copy_from_slice(&number.to_be_bytes());
        id
    }

    /// Depth of each version when every one changes the chunk.
    fn depths(versions: u16) -> Vec<usize> {
        let mut chains: Vec<Vec<Ancestor>> = vec![vec![Ancestor {
            id: id(0),
            generation: 0,
        }]];
        for version in 1..versions {
            let parent = chains.last().unwrap().clone();
            let chain = match choose(&id(version), &parent) {
                Choice::Full => vec![Ancestor {
                    id: id(version),
                    generation: 0,
                }],
                Choice::Delta { base, generation } => {
                    let position = parent.iter().position(|a| a.id == base).unwrap();
                    let own = Ancestor {
                        id: id(version),
                        generation,
                    };
                    std::iter::once(own)
                        .chain(parent[position..].iter().copied())
                        .collect()
                }
            };
            chains.push(chain);
        }
        chains.iter().map(|chain| chain.len() - 1).collect()
    }

    #[test]
    fn depth_grows_with_the_logarithm() {
        let depths = depths(513);
        let deepest = |count: usize| depths[..count].iter().max().copied().unwrap();
        assert!(deepest(24) <= 9, "{}", deepest(24));
        assert!(deepest(64) <= 14, "{}", deepest(64));
        assert!(deepest(512) <= 21, "{}", deepest(512));
    }

    #[test]
    fn old_chains_end() {
        let depths = depths(2000);
        assert!(depths.iter().all(|depth| *depth <= 32));
        assert!(
            depths[1..].contains(&0),
            "some version is stored in full again"
        );
    }

    #[test]
    fn nothing_to_rest_on_means_full() {
        assert_eq!(choose(&id(1), &[]), Choice::Full);
        let old = Ancestor {
            id: id(0),
            generation: limits::DELTA_GENERATION_MAX,
        };
        assert_eq!(choose(&id(1), &[old]), Choice::Full);
    }

    #[test]
    fn half_is_the_bound() {
        assert!(is_worth_it(50, 100));
        assert!(!is_worth_it(51, 100));
    }
}
