#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{blob, on_both, pack, row, segment};
use crate::format::blob::{BlobKind, BlobRow, Form};
use crate::id::{BlobId, WriterId};
use crate::limits;
use crate::repository::index::{Index, Located};

fn delta(id: u32, base: u32) -> BlobRow {
    row(
        blob(id),
        Form::Delta {
            base: blob(base),
            generation: 1,
        },
    )
}

fn load(index: &Index, number: u8, rows: Vec<BlobRow>) {
    index.load(segment(number), &[pack(number, rows)]).unwrap();
    let listed: Vec<_> = (0..=number).map(segment).collect();
    index.set_visible(&listed);
}

fn depth(index: &Index, id: u32) -> Option<u32> {
    index.depth(&blob(id), &|_| true).unwrap()
}

fn ids(chain: Option<Vec<Located>>) -> Vec<BlobId> {
    chain.unwrap().iter().map(|row| row.row.id).collect()
}

#[test]
fn depth_counts_deltas_by_the_shortest_way() {
    on_both(|index| {
        load(
            index,
            0,
            vec![
                row(blob(0), Form::Full),
                delta(1, 0),
                delta(2, 1),
                delta(3, 2),
                delta(9, 8),
            ],
        );
        assert_eq!(depth(index, 0), Some(0));
        assert_eq!(depth(index, 3), Some(3));
        assert_eq!(depth(index, 9), None, "its base is nowhere");
        assert_eq!(depth(index, 77), None);
        load(index, 1, vec![delta(3, 1)]);
        assert_eq!(depth(index, 3), Some(2));
        let chain = index.chain(&blob(3), &|_| true).unwrap();
        assert_eq!(ids(chain), [blob(3), blob(1), blob(0)]);
        load(index, 2, vec![row(blob(3), Form::Full)]);
        assert_eq!(depth(index, 3), Some(0), "a full form is preferred");
    });
}

#[test]
fn only_acceptable_rows_carry() {
    on_both(|index| {
        load(index, 0, vec![row(blob(0), Form::Full), delta(1, 0)]);
        load(index, 1, vec![row(blob(1), Form::Full)]);
        let trusted = |row: &Located| row.author == WriterId([0; 16]);
        assert_eq!(index.depth(&blob(1), &trusted).unwrap(), Some(1));
        let other = |row: &Located| row.author == WriterId([1; 16]);
        assert_eq!(index.depth(&blob(0), &other).unwrap(), None);
    });
}

#[test]
fn a_member_needs_its_group() {
    on_both(|index| {
        let member = Form::Member { group: blob(5) };
        load(index, 0, vec![row(blob(1), member), delta(2, 1)]);
        assert_eq!(depth(index, 1), None);
        let group = BlobRow {
            kind: BlobKind::Group,
            ..row(blob(5), Form::Full)
        };
        load(index, 1, vec![group]);
        assert_eq!(depth(index, 1), Some(0));
        assert_eq!(depth(index, 2), Some(1));
        let chain = index.chain(&blob(2), &|_| true).unwrap();
        assert_eq!(ids(chain), [blob(2), blob(1), blob(5)]);
    });
}

#[test]
fn cycles_and_endless_chains_end() {
    on_both(|index| {
        load(index, 0, vec![delta(1, 2), delta(2, 3), delta(3, 1)]);
        assert_eq!(depth(index, 1), None);
        let deepest = limits::DELTA_DEPTH_MAX;
        let mut rows = vec![row(blob(100), Form::Full)];
        rows.extend((101..=101 + deepest).map(|id| delta(id, id - 1)));
        load(index, 1, rows);
        assert_eq!(depth(index, 100 + deepest), Some(deepest));
        assert_eq!(depth(index, 101 + deepest), None);
        load(index, 2, vec![delta(3, 100)]);
        assert_eq!(depth(index, 1), Some(3), "a cycle with a way out");
    });
}

#[test]
fn a_web_of_deltas_costs_little() {
    on_both(|index| {
        let level = |level: u32| 1000 * level..1000 * level + 60;
        let rows = (1..40)
            .flat_map(|upper| {
                level(upper).flat_map(move |id| {
                    level(upper + 1)
                        .step_by(10)
                        .map(move |base| delta(id, base))
                })
            })
            .collect();
        load(index, 0, rows);
        assert_eq!(depth(index, 1000), None);
    });
}
