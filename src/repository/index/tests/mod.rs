#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chain;
mod damage;
mod model;

use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
use crate::format::pack::PackClass;
use crate::format::segment::PackRows;
use crate::id::{BlobId, PackId, SegmentId, WriterId};
use crate::monitor::{Monitor, Silent, Unit};
use crate::repository::index::{
    CACHE_ENTRY_BYTES_MAX, Cache, Index, IndexError, IndexMode, IndexOptions, Listing, Located,
};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

/// Rows from which a segment becomes a table; see `shelf.rs`.
const MANY: u32 = 20_000;

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Monitor for Warnings {
    fn phase(&self, _: &'static str, _: Unit, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn current(&self, _: &str) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

fn options(directory: Option<&Path>) -> IndexOptions {
    IndexOptions {
        directory: directory.map(Path::to_path_buf),
        memory_bytes: 4 << 20,
        free_bytes_min: 0,
    }
}

fn blob(number: u32) -> BlobId {
    BlobId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn segment(number: u8) -> SegmentId {
    SegmentId([number; 32])
}

fn row(id: BlobId, form: Form) -> BlobRow {
    let codec = match form {
        Form::Full => Codec::Zstd,
        Form::Delta { .. } => Codec::ZstdPrefix,
        Form::Member { .. } => Codec::Raw,
    };
    let member = matches!(form, Form::Member { .. });
    BlobRow {
        id,
        kind: BlobKind::Chunk,
        form,
        codec,
        key: 3,
        offset: 4096,
        stored: if member { 0 } else { 1000 },
        plain: 2000,
    }
}

fn pack(number: u8, rows: Vec<BlobRow>) -> PackRows {
    PackRows {
        pack: PackId([number; 32]),
        class: PackClass::Full,
        length: 1 << 20,
        author: WriterId([number; 16]),
        rows,
    }
}

fn full_pack(number: u8, blobs: std::ops::Range<u32>) -> PackRows {
    pack(
        number,
        blobs.map(|number| row(blob(number), Form::Full)).collect(),
    )
}

fn everything(index: &Index) -> Result<Vec<Located>, IndexError> {
    let mut all = Vec::new();
    index.for_each_sorted(&mut |located| {
        all.push(located);
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

fn listings(index: &Index) -> Vec<Listing> {
    let mut all = Vec::new();
    let result = index.packs(&mut |listing| {
        all.push(listing);
        ControlFlow::Continue(())
    });
    result.unwrap();
    all
}

/// Runs a test on an index in memory and on one on disk.
fn on_both(test: impl Fn(&Index)) {
    test(&Index::open(&options(None), &Silent));
    let directory = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    let index = Index::open(&options(Some(directory.path())), &warnings);
    assert_eq!(index.stats().mode, IndexMode::Disk);
    test(&index);
    assert_eq!(warnings.take(), Vec::<String>::new());
}

#[test]
fn a_row_counts_when_loaded_and_listed() {
    on_both(|index| {
        let listed = [segment(1), segment(2)];
        assert_eq!(index.missing(&listed), listed);
        index.load(segment(1), &[full_pack(1, 0..10)]).unwrap();
        assert_eq!(index.missing(&listed), [segment(2)]);
        assert!(!index.contains(&blob(3)).unwrap(), "not listed yet");
        index.set_visible(&listed);
        assert!(index.contains(&blob(3)).unwrap());
        assert!(!index.contains(&blob(10)).unwrap());
        index.load(segment(2), &[full_pack(2, 5..20)]).unwrap();
        assert_eq!(
            index.lookup(&blob(7)).unwrap().len(),
            2,
            "none hides another"
        );
        let only = &index.lookup(&blob(12)).unwrap()[0];
        assert_eq!(only.row, row(blob(12), Form::Full));
        assert_eq!((only.pack, only.segment), (PackId([2; 32]), segment(2)));
        assert_eq!(
            (only.author, only.pack_length),
            (WriterId([2; 16]), 1 << 20)
        );
        assert_eq!((index.stats().rows, index.stats().packs), (25, 2));
        index.load(segment(3), &[full_pack(3, 90..95)]).unwrap();
        assert!(!index.contains(&blob(90)).unwrap());
        index.show(segment(3));
        assert!(index.contains(&blob(90)).unwrap(), "shown by itself");
        index.set_visible(&[segment(2)]);
        assert!(!index.contains(&blob(3)).unwrap(), "no longer listed");
        assert_eq!(index.lookup(&blob(7)).unwrap().len(), 1);
        assert_eq!(index.missing(&listed), [segment(1)]);
        assert_eq!((index.stats().rows, index.stats().segments), (15, 1));
    });
}

#[test]
fn large_segments_are_as_small_ones() {
    on_both(|index| {
        let packs: Vec<_> = (0..20)
            .map(|number: u8| {
                let first = u32::from(number) * (MANY / 20);
                full_pack(number, first..first + MANY / 20)
            })
            .collect();
        index.set_visible(&[segment(1), segment(2)]);
        index.load(segment(1), &packs).unwrap();
        index.load(segment(2), &packs[..1]).unwrap();
        assert_eq!(index.lookup(&blob(0)).unwrap().len(), 2);
        assert_eq!(index.lookup(&blob(MANY - 1)).unwrap().len(), 1);
        let all = everything(index).unwrap();
        assert_eq!(all.len() as u32, MANY + MANY / 20);
        assert!(all.is_sorted_by_key(|located| located.row.id));
        let rows = index.rows_of_pack(&PackId([0; 32])).unwrap();
        let ids: Vec<_> = rows.iter().map(|located| located.row.id).collect();
        let expected: Vec<_> = (0..MANY / 20).map(blob).collect();
        assert_eq!(ids, expected, "in the pack's order, once each");
        let listings = listings(index);
        assert_eq!(listings.len(), 21);
        assert!(listings.is_sorted_by_key(|listing| listing.pack));
    });
}

#[test]
fn too_many_rows_are_refused() {
    on_both(|index| {
        let rows = vec![row(blob(1), Form::Full); crate::limits::SEGMENT_ROWS_MAX + 1];
        let result = index.load(segment(1), &[pack(1, rows)]);
        assert!(matches!(result, Err(IndexError::TooManyRows { .. })));
    });
}

#[test]
fn walks_end_when_the_visitor_says_so() {
    on_both(|index| {
        index.set_visible(&[segment(1)]);
        index.load(segment(1), &[full_pack(1, 0..10)]).unwrap();
        let mut seen = 0;
        let visited = index.for_each_sorted(&mut |_| {
            seen += 1;
            ControlFlow::Break(())
        });
        visited.unwrap();
        assert_eq!(seen, 1);
    });
}

#[test]
fn small_caches_keep_replace_and_remove() {
    on_both(|index| {
        let put = |cache, value: Option<&[u8]>| {
            let key = b"key".to_vec();
            match value {
                Some(value) => index.cache_put(cache, &[(key, value.to_vec())]),
                None => index.cache_remove(cache, &[key]),
            }
        };
        put(Cache::Stat, Some(b"one"));
        put(Cache::Parent, Some(b"two"));
        assert_eq!(index.cache_get(Cache::Stat, b"key").unwrap(), b"one");
        assert_eq!(index.cache_get(Cache::Parent, b"key").unwrap(), b"two");
        assert_eq!(index.cache_get(Cache::State, b"key"), None);
        put(Cache::Stat, Some(b"three"));
        put(Cache::Parent, None);
        assert_eq!(index.cache_get(Cache::Stat, b"key").unwrap(), b"three");
        assert_eq!(index.cache_get(Cache::Parent, b"key"), None);
        put(Cache::Verified, Some(&vec![0; CACHE_ENTRY_BYTES_MAX]));
        assert_eq!(index.cache_get(Cache::Verified, b"key"), None, "too long");
        index.clear();
        assert_eq!(index.cache_get(Cache::Stat, b"key"), None);
    });
}

#[test]
fn cache_entries_in_memory_are_bounded() {
    let index = Index::open(&options(None), &Silent);
    for number in 0..64u8 {
        index.cache_put(Cache::Stat, &[(vec![number], vec![0; 64 << 10])]);
    }
    let kept = (0..64u8).filter(|number| index.cache_get(Cache::Stat, &[*number]).is_some());
    assert_eq!(kept.count(), 15, "a quarter of 4 MiB");
}

#[test]
fn clearing_makes_room_for_the_same_segments() {
    on_both(|index| {
        for _ in 0..2 {
            index.set_visible(&[segment(1), segment(2)]);
            index.load(segment(1), &[full_pack(1, 0..MANY)]).unwrap();
            index.load(segment(2), &[full_pack(2, 0..5)]).unwrap();
            assert_eq!(everything(index).unwrap().len() as u32, MANY + 5);
            index.clear();
            assert_eq!(everything(index).unwrap(), []);
            assert_eq!(index.missing(&[segment(1)]), [segment(1)]);
        }
    });
}

#[test]
fn reopening_keeps_rows_and_entries() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("deep").join("index");
    let options = options(Some(&place));
    for round in 0..3u8 {
        let index = Index::open(&options, &Silent);
        let listed: Vec<_> = (0..=round).map(segment).collect();
        assert_eq!(index.missing(&listed), [segment(round)], "round {round}");
        index.set_visible(&listed);
        let packs = [full_pack(round, 0..if round == 1 { MANY } else { 100 })];
        index.load(segment(round), &packs).unwrap();
        let found = index.lookup(&blob(50)).unwrap();
        assert_eq!(found.len(), usize::from(round) + 1);
        index.cache_put(Cache::State, &[(vec![round], vec![round])]);
    }
    let index = Index::open(&options, &Silent);
    assert_eq!(index.cache_get(Cache::State, &[1]), Some(vec![1]));
    let mode = std::fs::metadata(&place).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn threads_load_and_look_up_together() {
    on_both(|index| {
        let listed: Vec<_> = (0..8).map(segment).collect();
        index.set_visible(&listed);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                scope.spawn(move || {
                    for number in 0..8 {
                        // Each segment is loaded by two threads; it counts once.
                        if number % 2 == thread % 2 {
                            let blobs = 0..if number < 2 { MANY } else { 50 };
                            index
                                .load(segment(number), &[full_pack(number, blobs)])
                                .unwrap();
                        }
                        assert!(index.lookup(&blob(7)).unwrap().len() <= 8);
                    }
                });
            }
        });
        assert_eq!(index.lookup(&blob(7)).unwrap().len(), 8);
        assert_eq!(everything(index).unwrap().len() as u32, 2 * MANY + 300);
    });
}
