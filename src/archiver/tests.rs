#![allow(clippy::unwrap_used, clippy::expect_used)]
//! From a source to a tree and back, in memory.

use crate::archiver::{Parent, Run, SnapshotRequest};
use crate::codec::Effort;
use crate::crypto::{Argon2Parameters, SecretBytes, Suite};
use crate::entry::{Entry, EntryKind, Facts, Layout, Metadata};
use crate::env::{SystemClock, SystemEntropy};
use crate::format::slot::Unlock;
use crate::monitor::{Cancel, Silent};
use crate::repository::index::{Index, IndexOptions};
use crate::repository::{InitOptions, ReadError, Reader, Repository};
use crate::source::{
    CaptureError, Consistency, Content, ContentEnd, Context, Extent, Sink, Source, SourceError,
};
use crate::store::MemoryStore;
use crate::tree;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Path to content; a path with parts makes directories.
type Files = BTreeMap<String, (Layout, Vec<u8>)>;

struct MapSource(Files);

struct Bytes {
    layout: Layout,
    bytes: Vec<u8>,
    position: usize,
}

impl Content for Bytes {
    fn layout(&self) -> Layout {
        self.layout
    }
    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return Ok(Extent::End);
        }
        // Odd pieces: nothing may depend on how a source reads.
        let length = rest.len().min(buffer.len()).min(70_001);
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(Extent::Data(length))
    }
    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts: Facts::new(),
        })
    }
}

fn entry(name: &str, kind: EntryKind) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        kind,
        metadata: Metadata {
            mode: 0o644,
            ..Metadata::default()
        },
    }
}

impl Source for MapSource {
    fn capture(&mut self, _: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        let mut open: Vec<String> = Vec::new();
        for (path, (layout, bytes)) in &self.0 {
            let mut parts: Vec<&str> = path.split('/').collect();
            let name = parts.pop().unwrap();
            while !parts.starts_with(&open.iter().map(String::as_str).collect::<Vec<_>>()) {
                open.pop();
                sink.leave()?;
            }
            for part in &parts[open.len()..] {
                sink.enter(entry(part, EntryKind::Directory))?;
                open.push((*part).to_owned());
            }
            let size = bytes.len() as u64;
            sink.file(entry(name, EntryKind::File { size }), None, &mut || {
                Ok(Box::new(Bytes {
                    layout: *layout,
                    bytes: bytes.clone(),
                    position: 0,
                }))
            })?;
        }
        for _ in open {
            sink.leave()?;
        }
        Ok(())
    }
}

fn repository(store: &MemoryStore, suite: Suite) -> Repository {
    let options = InitOptions {
        suite,
        unlock: &key(),
        cost: Argon2Parameters::default(),
        label: "test".into(),
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

fn memory_index() -> Index {
    Index::open(&IndexOptions::default(), &Silent)
}

fn key() -> Unlock {
    Unlock::Key(SecretBytes::new(vec![7; 32]))
}

fn request() -> SnapshotRequest {
    SnapshotRequest {
        source: "files:test".into(),
        host: "here".into(),
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        job: None,
        captured: None,
        domain: None,
        roots: vec![],
        user: "tester".into(),
        parent: Parent::Newest,
        effort: Effort::Auto,
        workers: 2,
        strict: false,
    }
}

fn snapshot(repository: &Repository, index: &Index, files: &Files) -> super::Taken {
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
    let index = memory_index();
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
                let found = tree::find(&reader, root, path.as_bytes())?.unwrap();
                assert_eq!(found, *node);
                files.insert(path, (Layout::Stream, bytes));
            }
            Ok(tree::Descend::Into)
        },
        &mut |_, _| Ok(()),
    )?;
    Ok(files)
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
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
        let index = memory_index();
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
        snapshot(&repository, &memory_index(), &files).archived.root
    };
    let open = |unlock: &Unlock| {
        let store = Arc::new(store.clone());
        Repository::open(
            store,
            unlock,
            Arc::new(SystemEntropy),
            Arc::new(SystemClock),
        )
    };
    let again = open(&key()).unwrap();
    assert!(contents(&read_back(&again, root).unwrap()) == contents(&files));
    let wrong = Unlock::Key(SecretBytes::new(vec![8; 32]));
    assert!(open(&wrong).is_err());
}

#[test]
fn a_database_that_changes_a_little_costs_a_little_for_thirty_versions() {
    let store = MemoryStore::new();
    let repository = repository(&store, Suite::default());
    let index = memory_index();
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
    let taken = snapshot(&repository, &memory_index(), &files);
    assert_eq!(taken.label.totals.files, 110_000);
    assert!(contents(&read_back(&repository, taken.archived.root).unwrap()) == contents(&files));
}
