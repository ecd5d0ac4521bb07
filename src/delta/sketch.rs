//! Similarity sketches: a few numbers that two chunks share when most of their content is the same.
//!
//! Source: Zou et al., "Odess: Speeding up Resemblance Detection for Redundancy Elimination by Fast
//! Content-Defined Sampling", ICDE 2021. A gear hash runs over the chunk; where its upper bits are
//! zero the position is a sample, and only samples go through the linear transforms whose maxima
//! make the super-features. Keyed by a secret of the domain: a sketch tells nothing without it.

/// Super-features of a sketch.
pub const FEATURES: usize = 4;

/// Maxima in each of them. More of them would miss chunks that changed much, fewer would name
/// chunks that are too far away.
const MAXIMA: usize = 3;

/// Bytes that the gear hash depends on.
const WINDOW: usize = 32;

/// Positions whose hash has these bits zero are samples: one in 128.
const SAMPLE_MASK: u32 = 0x7f << 25;

/// Chunks with fewer samples have no sketch: their maxima would say little.
const SAMPLES_MIN: usize = 16;

/// Samples kept at most; a chunk that gives more is the same few bytes over and over.
const SAMPLES_MAX: usize = 64 << 10;

/// Parts of a chunk that are hashed side by side: one hash alone waits for its own last step.
const LANES: usize = 4;

/// Super-features of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sketch(pub [u32; FEATURES]);

impl Sketch {
    /// Super-features that both have, 0 to [`FEATURES`].
    pub fn shared(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count()
    }
}

/// Makes sketches under one secret.
pub struct Sketcher {
    gear: [u32; 256],
    /// Factor (odd) and summand of each linear transform.
    transforms: [(u32, u32); FEATURES * MAXIMA],
}

impl std::fmt::Debug for Sketcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sketcher(..)")
    }
}

impl Sketcher {
    /// Draws the tables from a secret.
    pub fn new(seed: &[u8; 32]) -> Self {
        let mut stream = blake3::Hasher::new_keyed(seed).finalize_xof();
        let mut draw = || {
            let mut bytes = [0; 4];
            stream.fill(&mut bytes);
            u32::from_le_bytes(bytes)
        };
        Self {
            gear: std::array::from_fn(|_| draw()),
            transforms: std::array::from_fn(|_| (draw() | 1, draw())),
        }
    }

    /// The sketch of a chunk; `None` for one that is too short or too uniform to have one.
    pub fn sketch(&self, chunk: &[u8]) -> Option<Sketch> {
        let samples = self.samples(chunk);
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let mut maxima = [0u32; FEATURES * MAXIMA];
        for sample in samples {
            for (maximum, (factor, summand)) in maxima.iter_mut().zip(&self.transforms) {
                let value = sample.wrapping_mul(*factor).wrapping_add(*summand);
                *maximum = (*maximum).max(value);
            }
        }
        let mut features = [0; FEATURES];
        for (feature, maxima) in features.iter_mut().zip(maxima.chunks(MAXIMA)) {
            let mixed = maxima.iter().fold(0u64, |mixed, maximum| {
                (mixed ^ u64::from(*maximum))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
            });
            *feature = (mixed >> 32) as u32;
        }
        Some(Sketch(features))
    }

    /// Hashes at the sampled positions, in no particular order.
    fn samples(&self, chunk: &[u8]) -> Vec<u32> {
        let Some(positions) = chunk.len().checked_sub(WINDOW - 1) else {
            return Vec::new();
        };
        let mut samples = Vec::with_capacity(positions / 64);
        let lane = positions / LANES;
        // Every lane begins with the window before its first position.
        let lanes: [&[u8]; LANES] =
            std::array::from_fn(|n| &chunk[n * lane..n * lane + lane + WINDOW - 1]);
        let mut hashes = lanes.map(|bytes| self.roll(0, &bytes[..WINDOW - 1]));
        let [a, b, c, d] = lanes.map(|bytes| &bytes[WINDOW - 1..]);
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            let mut sampled = false;
            for (hash, byte) in hashes.iter_mut().zip([a, b, c, d]) {
                *hash = (*hash << 1).wrapping_add(self.gear[usize::from(*byte)]);
                sampled |= *hash & SAMPLE_MASK == 0;
            }
            if sampled {
                samples.extend(hashes.iter().filter(|hash| **hash & SAMPLE_MASK == 0));
                if samples.len() > SAMPLES_MAX {
                    break;
                }
            }
        }
        samples
    }

    fn roll(&self, hash: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(hash, |hash, byte| {
            (hash << 1).wrapping_add(self.gear[usize::from(*byte)])
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut stream = blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof();
        stream.fill(&mut bytes);
        bytes
    }

    fn sketcher(seed: u8) -> Sketcher {
        Sketcher::new(&[seed; 32])
    }

    #[test]
    fn it_is_a_function_of_content_and_key() {
        let chunk = noise(1, 256 << 10);
        let sketch = sketcher(1).sketch(&chunk).unwrap();
        assert_eq!(sketcher(1).sketch(&chunk), Some(sketch));
        let other = sketcher(2).sketch(&chunk).unwrap();
        assert_eq!(sketch.shared(&other), 0, "the key matters");
        let unlike = sketcher(1).sketch(&noise(2, 256 << 10)).unwrap();
        assert_eq!(sketch.shared(&unlike), 0);
    }

    #[test]
    fn what_is_short_or_uniform_has_none() {
        for chunk in [&[][..], &[7; 31], &[7; 32], &[0; 1 << 20]] {
            let sketch = sketcher(1).sketch(chunk);
            assert!(sketch.is_none() || chunk.len() == 1 << 20, "{sketch:?}");
        }
    }

    /// Windows are counted once each, wherever lanes begin.
    #[test]
    fn samples_do_not_depend_on_where_the_chunk_begins() {
        let sketcher = sketcher(3);
        let chunk = noise(3, 100_000);
        let mut whole = sketcher.samples(&chunk);
        whole.sort_unstable();
        let mut later = sketcher.samples(&chunk[1000..]);
        later.retain(|sample| whole.binary_search(sample).is_err());
        assert!(later.is_empty(), "{} new ones", later.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// One row in a hundred changed, bytes put in and taken out: in no case of many does a
        /// chunk lose all of its super-features.
        #[test]
        fn small_edits_keep_a_feature(seed in any::<u64>(), rows in 1usize..=20, shift in 0usize..200) {
            let sketcher = sketcher(9);
            let chunk = noise(seed, 200_000);
            let mut edited = chunk.clone();
            for row in 0..rows {
                let at = (row * 9_973 + seed as usize % 9_000) % (edited.len() - 100);
                edited[at..at + 12].fill(row as u8);
            }
            let at = seed as usize % edited.len();
            edited.splice(at..at, noise(!seed, shift));
            let before = sketcher.sketch(&chunk).unwrap();
            let after = sketcher.sketch(&edited).unwrap();
            prop_assert!(before.shared(&after) >= 1, "{before:?} {after:?}");
        }
    }
}
