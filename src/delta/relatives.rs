//! Chunks of a file's parent, to be found by content that is like theirs.
//!
//! A window of pages slides along with the reading: memory is bounded however long the file is.

use crate::delta::sketch::Sketch;
use crate::id::BlobId;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Chunks of one page.
pub const PAGE_CHUNKS: usize = 4096;

/// Entries with one super-feature that are looked at on a page: what repeats more often than this
/// is found well enough by its other features, or by its place.
const ALIKE_MAX: usize = 32;

/// A chunk of the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relative {
    /// Where it began in the parent's file, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub length: u32,
    /// Its id.
    pub id: BlobId,
    /// Its sketch, where it has one.
    pub sketch: Option<Sketch>,
}

/// The pages of the window.
#[derive(Debug, Default)]
pub struct Relatives {
    pages: VecDeque<Page>,
}

#[derive(Debug)]
struct Page {
    chunks: Vec<Relative>,
    /// Super-feature and position, sorted.
    by_feature: Vec<(u32, u16)>,
    /// Beginning of the id and position, sorted.
    by_id: Vec<(u32, u16)>,
}

impl Relatives {
    /// Adds the next page; chunks beyond [`PAGE_CHUNKS`] are left out.
    pub fn push_page(&mut self, mut chunks: Vec<Relative>) {
        chunks.truncate(PAGE_CHUNKS);
        let numbered = || chunks.iter().zip(0u16..);
        let mut by_id: Vec<_> = numbered()
            .map(|(chunk, number)| (head(&chunk.id), number))
            .collect();
        let mut by_feature: Vec<_> = numbered()
            .filter_map(|(chunk, number)| Some((chunk.sketch?, number)))
            .flat_map(|(sketch, number)| sketch.0.map(|feature| (feature, number)))
            .collect();
        by_id.sort_unstable();
        by_feature.sort_unstable();
        self.pages.push_back(Page {
            chunks,
            by_feature,
            by_id,
        });
    }

    /// Forgets the oldest page.
    pub fn drop_page(&mut self) {
        self.pages.pop_front();
    }

    /// Pages in the window.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The chunk with this id; of several the one nearest to `place` in the parent's file.
    pub fn find(&self, id: &BlobId, place: u64) -> Option<Relative> {
        let found = self.pages.iter().flat_map(|page| {
            let chunks = equal(&page.by_id, head(id)).map(|number| page.chunks[number]);
            chunks.filter(|chunk| chunk.id == *id)
        });
        found.min_by_key(|chunk| chunk.offset.abs_diff(place))
    }

    /// The chunk that shares most super-features with `sketch`; of several the one nearest to
    /// `place` in the parent's file. `None` when none shares any.
    pub fn best(&self, sketch: &Sketch, place: u64) -> Option<Relative> {
        let alike = self.pages.iter().flat_map(|page| {
            let numbers = sketch.0.iter().flat_map(|feature| {
                let alike = equal(&page.by_feature, *feature);
                alike.take(ALIKE_MAX)
            });
            numbers.map(|number| page.chunks[number])
        });
        let ranked = alike.filter_map(|chunk| {
            let shared = chunk.sketch?.shared(sketch);
            let nearness = Reverse(chunk.offset.abs_diff(place));
            (shared > 0).then_some(((shared, nearness), chunk))
        });
        let best = ranked.max_by_key(|(rank, _)| *rank);
        best.map(|(_, chunk)| chunk)
    }
}

fn head(id: &BlobId) -> u32 {
    u32::from_le_bytes([id.0[0], id.0[1], id.0[2], id.0[3]])
}

/// Positions listed under a key.
fn equal(sorted: &[(u32, u16)], key: u32) -> impl Iterator<Item = usize> + '_ {
    let start = sorted.partition_point(|(other, _)| *other < key);
    let alike = sorted[start..]
        .iter()
        .take_while(move |(other, _)| *other == key);
    alike.map(|(_, number)| usize::from(*number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn chunk(number: u64, sketch: [u32; 4]) -> Relative {
        let mut id = BlobId::default();
        id.0[..8].copy_from_slice(&number.to_le_bytes());
        Relative {
            offset: number * 100,
            length: 100,
            id,
            sketch: Some(Sketch(sketch)),
        }
    }

    #[test]
    fn more_in_common_wins_then_the_nearest() {
        let mut relatives = Relatives::default();
        relatives.push_page(vec![chunk(1, [1, 2, 3, 4]), chunk(2, [1, 2, 9, 9])]);
        relatives.push_page(vec![chunk(3, [1, 2, 8, 8]), chunk(4, [5, 5, 5, 5])]);
        let best = |sketch, place| {
            let found = relatives.best(&Sketch(sketch), place);
            found.map(|chunk| chunk.offset / 100)
        };
        assert_eq!(best([1, 2, 3, 0], 1000), Some(1));
        assert_eq!(best([1, 2, 0, 0], 220), Some(2));
        assert_eq!(best([1, 2, 0, 0], 1000), Some(3));
        assert_eq!(best([2, 1, 0, 0], 0), None, "listed, but nothing shared");
        assert_eq!(best([7, 7, 7, 7], 0), None);
        assert_eq!(relatives.find(&chunk(4, [0; 4]).id, 0).unwrap().offset, 400);
        relatives.drop_page();
        assert_eq!(relatives.find(&chunk(1, [0; 4]).id, 0), None);
        assert_eq!(relatives.pages(), 1);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_of_all_finds(
            sketches in prop::collection::vec(prop::array::uniform4(0u32..40), 1..60),
            wanted in prop::array::uniform4(0u32..40),
            place in 0u64..6000,
        ) {
            let chunks: Vec<Relative> = (0..).zip(&sketches).map(|(n, s)| chunk(n, *s)).collect();
            let mut relatives = Relatives::default();
            for page in chunks.chunks(16) {
                relatives.push_page(page.to_vec());
            }
            let wanted = Sketch(wanted);
            let shared = |chunk: &Relative| chunk.sketch.unwrap().shared(&wanted);
            let most = chunks.iter().map(shared).max().unwrap();
            if most > 0 {
                prop_assert_eq!(shared(&relatives.best(&wanted, place).unwrap()), most);
            }
            let last = chunks.last().unwrap();
            prop_assert_eq!(relatives.find(&last.id, place), Some(*last));
        }
    }
}
