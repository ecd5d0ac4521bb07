//! Cutting a stream of bytes into chunks: fixed pieces for page files, FastCDC for the rest.
//!
//! Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
//! Storage Systems", IEEE TPDS 2020. The gear table is masked by a secret of the domain, a nuisance
//! to who wants to recognise a known file by its chunk sizes, not a guarantee.

use crate::entry::Layout;
use fastcdc::v2020::{Normalization, cut_gear, get_gear_with_seed, select_masks};
use std::borrow::Cow;
use std::fmt;

/// Chunk sizes, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// Smallest content-defined chunk but for a stream's last.
    pub min: usize,
    /// Average content-defined chunk, a power of two.
    pub average: usize,
    /// Largest content-defined chunk.
    pub max: usize,
    /// Every chunk of a page file but its last.
    pub page: usize,
}

/// Finds where chunks end. Cheap to share between files.
pub struct Chunker {
    sizes: ChunkSizes,
    masks: (u64, u64),
    gear: (Cow<'static, [u64]>, Cow<'static, [u64]>),
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunker")
            .field("sizes", &self.sizes)
            .finish_non_exhaustive()
    }
}

impl Chunker {
    /// Prepares the tables for these sizes and this secret.
    pub fn new(sizes: ChunkSizes, secret: u64) -> Self {
        Self {
            sizes,
            masks: select_masks(sizes.average, Normalization::Level1),
            gear: get_gear_with_seed(secret),
        }
    }

    /// Bytes that [`Chunker::cut`] needs to see at once, unless the stream ends before.
    pub fn window(&self, layout: Layout) -> usize {
        match layout {
            Layout::Pages => self.sizes.page,
            Layout::Stream => self.sizes.max,
        }
    }

    /// Length of the chunk at the front of `bytes`, which are not empty and are at least a window
    /// long unless they end the stream.
    pub fn cut(&self, layout: Layout, bytes: &[u8]) -> usize {
        match layout {
            Layout::Pages => bytes.len().min(self.sizes.page),
            Layout::Stream => {
                let (mask_s, mask_l) = self.masks;
                let (_, length) = cut_gear(
                    &bytes[..bytes.len().min(self.sizes.max)],
                    self.sizes.min,
                    self.sizes.average,
                    self.sizes.max,
                    mask_s,
                    mask_l,
                    mask_s << 1,
                    mask_l << 1,
                    &self.gear.0,
                    &self.gear.1,
                );
                length
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    const SIZES: ChunkSizes = ChunkSizes {
        min: limits::CHUNK_BYTES_MIN,
        average: limits::CHUNK_BYTES_AVERAGE,
        max: limits::CHUNK_BYTES_MAX,
        page: limits::CHUNK_BYTES_AVERAGE,
    };

    fn cuts(chunker: &Chunker, layout: Layout, mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let length = chunker.cut(layout, bytes);
            lengths.push(length);
            bytes = &bytes[length..];
        }
        lengths
    }

    fn noise(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new()
            .update(&[seed])
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    #[test]
    fn chunks_are_within_bounds_and_find_themselves_again() {
        let chunker = Chunker::new(SIZES, 99);
        let bytes = noise(1, 20 << 20);
        let lengths = cuts(&chunker, Layout::Stream, &bytes);
        let all_but_last = &lengths[..lengths.len() - 1];
        assert!(
            all_but_last
                .iter()
                .all(|n| (SIZES.min..=SIZES.max).contains(n))
        );
        let average = bytes.len() / lengths.len();
        assert!((128 << 10..512 << 10).contains(&average), "{average}");
        let shifted = [&noise(2, 12_345), &bytes[..]].concat();
        let ends = |lengths: &[usize], less: usize| -> std::collections::BTreeSet<usize> {
            let mut end = 0;
            let sums = lengths.iter().map(|n| {
                end += n;
                end
            });
            sums.filter_map(|end| end.checked_sub(less)).collect()
        };
        let before = ends(&lengths, 0);
        let after = ends(&cuts(&chunker, Layout::Stream, &shifted), 12_345);
        assert!(before.intersection(&after).count() > before.len() - 4);
        let other = Chunker::new(SIZES, 100);
        assert_ne!(
            cuts(&other, Layout::Stream, &bytes),
            lengths,
            "the secret matters"
        );
    }

    #[test]
    fn pages_are_cut_at_offsets() {
        let chunker = Chunker::new(SIZES, 1);
        let lengths = cuts(&chunker, Layout::Pages, &noise(1, (1 << 20) + 512));
        assert_eq!(lengths, [256 << 10, 256 << 10, 256 << 10, 256 << 10, 512]);
    }
}
