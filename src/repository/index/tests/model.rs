//! The index against the simplest thing that could be right.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{blob, everything, listings, options, pack, row, segment};
use crate::format::blob::Form;
use crate::format::segment::PackRows;
use crate::id::{BlobId, PackId, SegmentId};
use crate::monitor::Silent;
use crate::repository::index::{Index, Located};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SEGMENTS: u8 = 5;
const BLOBS: u32 = 12;

#[derive(Debug, Clone)]
enum Step {
    Load(u8),
    List(Vec<u8>),
    Reopen,
    Clear,
    Second,
}

fn form(number: u32) -> Form {
    match number % 3 {
        0 => Form::Full,
        1 => Form::Delta {
            base: blob(number + 1000),
            generation: number as u16,
        },
        _ => Form::Member {
            group: blob(number + 2000),
        },
    }
}

fn segments() -> impl Strategy<Value = Vec<Vec<PackRows>>> {
    let rows = prop::collection::vec((0..BLOBS, 0..9u32), 0..8);
    let pack = (0..6u8, rows).prop_map(|(number, rows)| {
        let rows = rows
            .into_iter()
            .map(|(id, kind)| row(blob(id), form(kind)))
            .collect();
        pack(number, rows)
    });
    prop::collection::vec(prop::collection::vec(pack, 0..4), usize::from(SEGMENTS))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..SEGMENTS).prop_map(Step::Load),
        3 => prop::collection::vec(0..SEGMENTS, 0..5).prop_map(Step::List),
        1 => Just(Step::Reopen),
        1 => Just(Step::Clear),
        1 => Just(Step::Second),
    ];
    prop::collection::vec(step, 1..14)
}

#[derive(Default)]
struct Model {
    loaded: BTreeSet<u8>,
    listed: BTreeSet<u8>,
}

impl Model {
    fn rows(&self, segments: &[Vec<PackRows>]) -> BTreeMap<BlobId, Vec<String>> {
        let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for number in self.loaded.intersection(&self.listed) {
            for pack in &segments[usize::from(*number)] {
                for row in &pack.rows {
                    let located = Located {
                        row: *row,
                        pack: pack.pack,
                        class: pack.class,
                        pack_length: pack.length,
                        author: pack.author,
                        segment: segment(*number),
                    };
                    rows.entry(row.id).or_default().push(text(&located));
                }
            }
        }
        rows.values_mut().for_each(|rows| rows.sort());
        rows
    }
}

fn text(located: &Located) -> String {
    format!("{located:?}")
}

fn sorted(located: &[Located]) -> Vec<String> {
    let mut texts: Vec<_> = located.iter().map(text).collect();
    texts.sort();
    texts
}

fn compare(index: &Index, model: &Model, segments: &[Vec<PackRows>]) {
    let expected = model.rows(segments);
    for number in 0..BLOBS {
        let id = blob(number);
        let found = index.lookup(&id).unwrap();
        let wanted = expected.get(&id).cloned().unwrap_or_default();
        assert_eq!(sorted(&found), wanted);
        assert_eq!(index.contains(&id).unwrap(), !wanted.is_empty());
        let order = |located: &Located| match located.row.form {
            Form::Full => 0,
            Form::Member { .. } => 1,
            Form::Delta { generation, .. } => 2 + u32::from(generation),
        };
        assert!(found.is_sorted_by_key(order));
    }
    let all = everything(index).unwrap();
    assert!(all.is_sorted_by_key(|located| located.row.id));
    assert_eq!(all.len(), expected.values().map(Vec::len).sum::<usize>());
    assert_eq!(index.stats().rows, all.len() as u64);
    let unlisted = (0..SEGMENTS)
        .filter(|number| !model.loaded.contains(number))
        .map(segment);
    let numbers: Vec<SegmentId> = (0..SEGMENTS).map(segment).collect();
    assert_eq!(index.missing(&numbers), unlisted.collect::<Vec<_>>());
    compare_packs(index, &all);
}

fn compare_packs(index: &Index, all: &[Located]) {
    let listings = listings(index);
    assert!(listings.is_sorted_by_key(|listing| listing.pack));
    let rows: u64 = listings.iter().map(|l| u64::from(l.rows)).sum();
    assert_eq!(rows, all.len() as u64);
    for number in 0..6 {
        let pack = PackId([number; 32]);
        let found = index.rows_of_pack(&pack).unwrap();
        let found: BTreeSet<_> = found.iter().map(|l| format!("{:?}", l.row)).collect();
        let expected = all.iter().filter(|located| located.pack == pack);
        let expected: BTreeSet<_> = expected.map(|l| format!("{:?}", l.row)).collect();
        assert_eq!(found, expected);
    }
}

fn run(segments: &[Vec<PackRows>], steps: &[Step], directory: Option<&std::path::Path>) {
    let options = options(directory);
    let mut index = Index::open(&options, &Silent);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Load(number) => {
                let packs = &segments[usize::from(*number)];
                index.load(segment(*number), packs).unwrap();
                model.loaded.insert(*number);
            }
            Step::List(numbers) => {
                let listed: Vec<_> = numbers.iter().map(|number| segment(*number)).collect();
                index.set_visible(&listed);
                model.listed = numbers.iter().copied().collect();
                model.loaded.retain(|number| numbers.contains(number));
            }
            Step::Reopen => {
                drop(index);
                index = Index::open(&options, &Silent);
                model.listed.clear();
                if directory.is_none() {
                    model.loaded.clear();
                }
            }
            Step::Clear => {
                index.clear();
                model = Model::default();
            }
            // A second process: what it loads and drops is its own business.
            Step::Second => {
                let second = Index::open(&options, &Silent);
                let numbers: Vec<_> = (0..SEGMENTS).map(segment).collect();
                second.set_visible(&numbers);
                for (number, packs) in (0..SEGMENTS).zip(segments) {
                    second.load(segment(number), packs).unwrap();
                }
                let full = Model {
                    loaded: (0..SEGMENTS).collect(),
                    listed: (0..SEGMENTS).collect(),
                };
                compare(&second, &full, segments);
            }
        }
        compare(&index, &model, segments);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn in_memory(segments in segments(), steps in steps()) {
        run(&segments, &steps, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn on_disk(segments in segments(), steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        run(&segments, &steps, Some(directory.path()));
    }
}
