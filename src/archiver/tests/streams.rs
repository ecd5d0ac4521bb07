//! Streams that change a little: dumps, exports, logs.

use crate::archiver::tests::{contents, read_back, snapshot};
use crate::entry::Layout;
use crate::env::SystemClock;
use crate::id::BlobId;
use crate::repository::index::Index;
use crate::repository::{ReadError, Reader, Repository};
use crate::store::MemoryStore;
use crate::testing_repository::{Files, create, empty_index, noise};
use crate::tree;
use std::sync::Arc;

/// The same secrets in every run: where chunks end depends on them.
fn repository() -> Repository {
    create(
        Arc::new(MemoryStore::new()),
        "streams",
        Arc::new(SystemClock),
    )
}

/// Rows of a dump that compress to about half, as text: some of each row is the same everywhere.
fn dump(rows: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    let row = |number: u64| {
        let random = blake3::hash(&number.to_le_bytes()).to_hex();
        format!("INSERT INTO orders VALUES ({number}, 'open', '{random}');\n").into_bytes()
    };
    rows.map(row).collect()
}

/// One row in a hundred changed, a few taken out, a few put in.
fn edit(rows: &mut Vec<Vec<u8>>, version: u64) {
    for number in (version as usize % 100..rows.len()).step_by(100) {
        rows[number] = format!("UPDATE of {number} in {version};\n").into_bytes();
    }
    for number in 0..5 {
        let at = (version as usize * 7_919 + number * 4_001) % rows.len();
        rows.remove(at);
        let at = (version as usize * 104_729 + number * 3_001) % rows.len();
        let new = dump(version * 1_000_000..version * 1_000_000 + 7);
        rows.splice(at..at, new);
    }
}

fn file(content: Vec<u8>) -> Files {
    [("dump.sql".to_owned(), (Layout::Stream, content))].into()
}

/// The deepest chain of deltas below a tree.
fn deepest(repository: &Repository, index: &Index, root: BlobId) -> u32 {
    let reader = Reader::new(repository, index);
    let node = tree::find(&reader, root, b"dump.sql").unwrap().unwrap();
    let mut deepest = 0;
    tree::for_each_piece::<ReadError>(&reader, node.child, &mut |piece| {
        let depth = index.depth(&piece.chunk.unwrap(), &|_| true)?;
        deepest = deepest.max(depth.unwrap());
        Ok(())
    })
    .unwrap();
    deepest
}

#[test]
fn a_dump_that_changes_a_little_costs_a_little_for_thirty_versions() {
    let repository = repository();
    let index = empty_index();
    let mut rows = dump(0..30_000);
    let (mut versions, mut added, mut full, mut chunks) = (Vec::new(), 0, 0, 0);
    for version in 0..30 {
        if version > 0 {
            edit(&mut rows, version);
        }
        let files = file(rows.concat());
        let taken = snapshot(&repository, &index, &files);
        let totals = &taken.label.totals;
        if version > 0 {
            added += totals.bytes_stored;
            chunks += totals.chunks_new;
            full += totals.chunks_new - totals.chunks_delta;
        }
        versions.push((taken.archived.root, files));
    }
    // A cut may fall elsewhere: what is cut in two is like what it was, what grew by its neighbour
    // may be half new.
    assert!(full * 10 <= chunks, "{full} of {chunks} chunks in full");
    assert!(added / 29 < 200_000, "{added} bytes in 29 versions");
    let last = versions.last().unwrap().0;
    let depth = deepest(&repository, &index, last);
    assert!((3..=10).contains(&depth), "depth {depth}");
    for (root, files) in versions.iter().step_by(7).chain(versions.last()) {
        let back = read_back(&repository, *root).unwrap();
        assert!(contents(&back) == contents(files), "the bytes differ");
    }
}

/// The cache of sketches is a hint: without it the place says enough where rows keep their order.
#[test]
fn without_its_sketches_a_dump_is_found_by_place() {
    let repository = repository();
    let mut rows = dump(0..150_000);
    snapshot(&repository, &empty_index(), &file(rows.concat()));
    edit(&mut rows, 1);
    // A third of a megabyte at the front moves everything: until one chunk is found, none is.
    rows.splice(0..0, dump(900_000..903_000));
    let files = file(rows.concat());
    let taken = snapshot(&repository, &empty_index(), &files);
    let totals = &taken.label.totals;
    assert!(totals.chunks_new >= 20, "{totals:?}");
    assert!(totals.chunks_delta * 2 >= totals.chunks_new, "{totals:?}");
    let back = read_back(&repository, taken.archived.root).unwrap();
    assert!(contents(&back) == contents(&files), "the bytes differ");
}

#[test]
fn what_moved_is_found_by_likeness() {
    let repository = repository();
    let index = empty_index();
    let mut rows = dump(0..60_000);
    snapshot(&repository, &index, &file(rows.concat()));
    edit(&mut rows, 1);
    rows.rotate_left(25_000);
    let files = file(rows.concat());
    let taken = snapshot(&repository, &index, &files);
    let totals = &taken.label.totals;
    let full = totals.chunks_new - totals.chunks_delta;
    assert!(full * 4 <= totals.chunks_new, "{totals:?}");
    let back = read_back(&repository, taken.archived.root).unwrap();
    assert!(contents(&back) == contents(&files), "the bytes differ");
}

#[test]
fn insertions_into_noise_cost_what_was_inserted() {
    let repository = repository();
    let index = empty_index();
    let mut content = noise(5, 8 << 20);
    snapshot(&repository, &index, &file(content.clone()));
    for number in 0..10u64 {
        let at = number as usize * 790_001;
        content.splice(at..at, noise(number, 100));
    }
    let files = file(content);
    let taken = snapshot(&repository, &index, &files);
    let totals = &taken.label.totals;
    assert!((8..=12).contains(&totals.chunks_new), "{totals:?}");
    assert_eq!(totals.chunks_delta, totals.chunks_new);
    assert!(totals.bytes_stored < 30_000, "{totals:?}");
    let back = read_back(&repository, taken.archived.root).unwrap();
    assert!(contents(&back) == contents(&files), "the bytes differ");
}

/// A file that is another one under the same name: nothing to gain, and nothing wrong.
#[test]
fn what_is_not_alike_is_stored_in_full() {
    let repository = repository();
    let index = empty_index();
    snapshot(&repository, &index, &file(noise(1, 6 << 20)));
    let files = file(noise(2, 6 << 20));
    let taken = snapshot(&repository, &index, &files);
    assert_eq!(taken.label.totals.chunks_delta, 0);
    let back = read_back(&repository, taken.archived.root).unwrap();
    assert!(contents(&back) == contents(&files), "the bytes differ");
}
