#![allow(clippy::unwrap_used, clippy::expect_used)]
//! From a source to a tree and back, in memory.

mod stat_cache;
mod streams;

use crate::archiver::{Run, Taken};
use crate::crypto::{Argon2Parameters, SecretBytes, Suite};
use crate::entry::Layout;
use crate::env::{SystemClock, SystemEntropy};
use crate::format::slot::Unlock;
use crate::monitor::{Cancel, Silent};
use crate::repository::index::Index;
use crate::repository::{InitOptions, ReadError, Reader, Repository};
use crate::source::Source;
use crate::store::MemoryStore;
use crate::testing_repository::{Files, MapSource, empty_index, noise, request, unlock};
use crate::tree;
use std::collections::BTreeMap;
use std::sync::Arc;

fn repository(store: &MemoryStore, suite: Suite) -> Repository {
    let options = InitOptions {
        suite,
        unlock: &unlock(),
        cost: Argon2Parameters::default(),
        label: "test".into(),
        settle: std::time::Duration::ZERO,
    };
    let store = Arc::new(store.clone());
    Repository::init(
        store,
        &options,
        Arc::new(SystemEntropy),
        Arc::new(SystemClock),
    )
    .unwrap()
}

fn snapshot(repository: &Repository, index: &Index, files: &Files) -> Taken {
    let mut run = Run::new(repository, index).unwrap();
    let mut open = || Ok(Box::new(MapSource(files.clone())) as Box<dyn Source>);
    let taken = run
        .snapshot(&request(), &mut open, &Silent, &Cancel::default())
        .unwrap();
    run.finish(true, &Silent).unwrap();
    taken
}

#[derive(Debug)]
struct Failed(#[allow(dead_code, reason = "shown by Debug when a test fails")] String);
impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(crate::explain::explain(&error))
    }
}

fn read_back(repository: &Repository, root: crate::id::BlobId) -> Result<Files, Failed> {
    let index = empty_index();
    repository.refresh_index(&index, &Silent)?;
    let reader = Reader::new(repository, &index);
    let mut files = Files::new();
    tree::walk::<Failed>(
        &reader,
        root,
        &Cancel::default(),
        &mut |path, node| {
            if !node.is_directory() {
                let mut bytes = Vec::new();
                tree::for_each_piece::<ReadError>(&reader, node.child, &mut |piece| {
                    let id = piece.chunk.unwrap();
                    bytes.extend(reader.read(id, crate::format::blob::BlobKind::Chunk)?);
                    Ok(())
                })?;
                let path = String::from_utf8(path.to_vec()).unwrap();
                // Each search reads a part of the directory: of very many files some are enough.
                if files.len() < 100 || files.len().is_multiple_of(100) {
                    let found = tree::find(&reader, root, path.as_bytes())?.unwrap();
                    assert_eq!(found, *node);
                }
                files.insert(path, (Layout::Stream, bytes));
            }
            Ok(tree::Descend::Into)
        },
        &mut |_, _| Ok(()),
    )?;
    Ok(files)
}

fn sample() -> Files {
    let mut files = Files::new();
    let mut add = |path: String, layout, bytes| files.insert(path, (layout, bytes));
    add("a.db".into(), Layout::Pages, noise(1, 24 << 20));
    add("empty".into(), Layout::Stream, vec![]);
    add(
        "sub/big.log".into(),
        Layout::Stream,
        b"a line of a log\n".repeat(400_000),
    );
    add("sub/noise".into(), Layout::Stream, noise(2, 4 << 20));
    for number in 0..6000 {
        let path = format!("many/{number:05}");
        add(
            path,
            Layout::Stream,
            format!("file {}", number / 2).into_bytes(),
        );
    }
    files
}

fn contents(files: &Files) -> BTreeMap<&String, &Vec<u8>> {
    files
        .iter()
        .map(|(path, (_, bytes))| (path, bytes))
        .collect()
}

#[test]
fn what_goes_in_comes_out_and_costs_nothing_twice() {
    for suite in [Suite::XChaCha20Poly1305, Suite::Xaes256Gcm] {
        let store = MemoryStore::new();
        let repository = repository(&store, suite);
        let index = empty_index();
        let mut files = sample();
        let first = snapshot(&repository, &index, &files);
        assert_eq!(first.label.totals.files, files.len() as u64);
        let back = read_back(&repository, first.archived.root).unwrap();
        assert!(contents(&back) == contents(&files), "the bytes differ");
        let second = snapshot(&repository, &index, &files);
        assert_eq!(second.archived.root, first.archived.root);
        assert_eq!(second.label.totals.chunks_new, 0);
        assert!(
            second.label.totals.bytes_stored < 20_000,
            "{:?}",
            second.label.totals
        );
        assert_eq!(second.parent, Some(first.id));

        let database = files.get_mut("a.db").unwrap();
        database.1[10 << 20] ^= 1;
        let third = snapshot(&repository, &index, &files);
        assert_eq!(third.label.totals.chunks_new, 1);
        assert_eq!(third.label.totals.chunks_delta, 1);
        assert!(
            third.label.totals.bytes_stored < 30_000,
            "{:?}",
            third.label.totals
        );
        let back = read_back(&repository, third.archived.root).unwrap();
        assert!(contents(&back) == contents(&files), "the bytes differ");
        assert_eq!(repository.list_snapshots().unwrap().0.visible.len(), 3);
    }
}

#[test]
fn another_process_finds_everything_with_the_key_alone() {
    let store = MemoryStore::new();
    let files: Files = [("x".to_owned(), (Layout::Stream, noise(3, 3 << 20)))].into();
    let root = {
        let repository = repository(&store, Suite::default());
        snapshot(&repository, &empty_index(), &files).archived.root
    };
    let open = |held: &Unlock| {
        let store = Arc::new(store.clone());
        Repository::open(store, held, Arc::new(SystemEntropy), Arc::new(SystemClock))
    };
    let again = open(&unlock()).unwrap();
    assert!(contents(&read_back(&again, root).unwrap()) == contents(&files));
    let wrong = Unlock::Key(SecretBytes::new(vec![8; 32]));
    assert!(open(&wrong).is_err());
}

#[test]
fn a_database_that_changes_a_little_costs_a_little_for_thirty_versions() {
    let store = MemoryStore::new();
    let repository = repository(&store, Suite::default());
    let index = empty_index();
    let mut files: Files = [("a.db".to_owned(), (Layout::Pages, noise(1, 4 << 20)))].into();
    let mut versions = Vec::new();
    for version in 0..30u8 {
        for chunk in 0..16 {
            let at = (chunk << 18) + usize::from(version) * 8000;
            files.get_mut("a.db").unwrap().1[at..at + 16].fill(version);
        }
        let taken = snapshot(&repository, &index, &files);
        if version > 0 {
            assert_eq!(taken.label.totals.chunks_delta, 16);
            assert!(
                taken.label.totals.bytes_stored < 60_000,
                "{:?}",
                taken.label.totals
            );
        }
        versions.push((taken.archived.root, files.clone()));
    }
    for (root, files) in versions {
        let back = read_back(&repository, root).unwrap();
        assert!(contents(&back) == contents(&files), "the bytes differ");
    }
}

/// Files of a few bytes: 512 KiB of them in one group had more rows than a pack or segment may
/// have, and the snapshot failed.
#[test]
fn tiny_files_do_not_overflow_a_table() {
    let store = MemoryStore::new();
    let repository = repository(&store, Suite::default());
    let tiny = |number: u32| {
        let content = (Layout::Stream, format!("{number:x}").into_bytes());
        (format!("{number}"), content)
    };
    let files: Files = (0..110_000).map(tiny).collect();
    let taken = snapshot(&repository, &empty_index(), &files);
    assert_eq!(taken.label.totals.files, 110_000);
    assert!(contents(&read_back(&repository, taken.archived.root).unwrap()) == contents(&files));
}
