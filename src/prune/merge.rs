//! Which small packs and segments are written together, so that they do not accumulate: every run
//! of a writer leaves a few.

use crate::id::SegmentId;
use crate::limits;
use crate::prune::inventory::Catalog;
use std::collections::{BTreeMap, HashSet};

/// Fewest that are merged at once.
const MERGE_MIN: usize = 8;

/// What a pack's keys count for beside its bytes: a pack is full of either.
const BYTES_PER_KEY: u64 = (limits::PACK_BYTES_TARGET / limits::ENVELOPE_KEYS_MAX) as u64;

/// A pack is small up to a quarter of what fills one, in bytes and keys.
const SMALL_PACK: u64 = limits::PACK_BYTES_TARGET as u64 / 4;

/// A segment is small up to a quarter of what fills one, in rows.
const SMALL_SEGMENT: u64 = limits::SEGMENT_ROWS_MAX as u64 / 4;

/// Whether a pack of this length may be small enough to be merged.
pub(super) fn is_small(length: u32) -> bool {
    u64::from(length) < SMALL_PACK * 2
}

/// How large a pack with these live bytes and keys is to merging.
pub(super) fn pack_size(live: u64, keys: usize) -> u64 {
    live.max(keys as u64 * BYTES_PER_KEY)
}

/// Of packs that could become one, with their sizes, those that are worth it, smallest first.
pub(super) fn packs_worth_merging(packs: Vec<(u64, usize)>) -> Vec<usize> {
    worth_merging(packs, SMALL_PACK)
}

/// Segments that are worth being written as fewer.
pub(super) fn segments_worth_merging(catalog: &Catalog) -> HashSet<SegmentId> {
    // What is sealed for a host is not listed together with what is not.
    let mut groups: BTreeMap<_, Vec<(u64, SegmentId)>> = BTreeMap::new();
    for segment in &catalog.segments {
        let rows = segment.rows as u64;
        let group = groups.entry((segment.domain, segment.host)).or_default();
        group.push((rows, segment.id));
    }
    let groups = groups.into_values();
    groups
        .flat_map(|segments| worth_merging(segments, SMALL_SEGMENT))
        .collect()
}

/// The longest run of the smallest in which none is larger than all before it together, if it is
/// long enough. What comes out is then twice as large as the largest that went in, so nothing is
/// moved more often than sizes can double.
fn worth_merging<T: Ord + Copy>(mut sizes: Vec<(u64, T)>, small: u64) -> Vec<T> {
    sizes.retain(|(size, _)| *size < small);
    sizes.sort_unstable();
    let (mut run, mut sum) = (0, 0);
    for (place, (size, _)) in sizes.iter().enumerate() {
        if *size <= sum {
            run = place + 1;
        }
        sum += size;
    }
    match run >= MERGE_MIN {
        true => sizes[..run].iter().map(|(_, which)| *which).collect(),
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::prune::merge::{SMALL_PACK, pack_size, packs_worth_merging};

    fn merged(sizes: &[u64]) -> usize {
        let numbered = sizes.iter().copied().zip(0..).collect();
        packs_worth_merging(numbered).len()
    }

    #[test]
    fn many_of_one_size_are_merged_and_few_are_not() {
        assert_eq!(merged(&[1000; 7]), 0);
        assert_eq!(merged(&[1000; 8]), 8);
        assert_eq!(merged(&[SMALL_PACK; 100]), 0);
    }

    #[test]
    fn a_large_one_waits_until_the_others_weigh_as_much() {
        let mut sizes = vec![1000; 10];
        sizes.push(10_001);
        assert_eq!(merged(&sizes), 10);
        sizes.push(1);
        assert_eq!(merged(&sizes), 12);
    }

    #[test]
    fn a_pack_full_of_keys_is_not_small() {
        assert!(pack_size(1000, 127) < SMALL_PACK);
        assert!(pack_size(1000, 128) >= SMALL_PACK);
        assert_eq!(merged(&[pack_size(1000, 200); 20]), 0);
    }

    /// As runs leave them, one after another: no byte is moved more than a few times.
    #[test]
    fn what_accumulates_is_moved_a_logarithmic_number_of_times() {
        let (mut packs, mut written): (Vec<u64>, u64) = (Vec::new(), 0);
        for _ in 0..4000 {
            packs.push(1000);
            let chosen = packs_worth_merging(packs.iter().copied().zip(0..).collect());
            let sum: u64 = chosen.iter().map(|number| packs[*number]).sum();
            let mut number = 0;
            packs.retain(|_| {
                number += 1;
                !chosen.contains(&(number - 1))
            });
            if sum > 0 {
                packs.push(sum);
                written += sum;
            }
        }
        assert!(packs.len() < 24, "{packs:?}");
        assert!(written < 12 * 4_000_000, "{written}");
    }
}
