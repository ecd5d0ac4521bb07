#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Small repositories in memory, for the tests of everything that works on a whole repository.

use crate::archiver::{Parent, Run, SnapshotRequest};
use crate::codec::Effort;
use crate::crypto::{Argon2Parameters, SecretBytes, Suite};
use crate::entry::{ChangeStamp, Entry, EntryKind, Facts, Layout, Metadata};
use crate::env::{Clock, Timestamp};
use crate::format::slot::Unlock;
use crate::id::SnapshotId;
use crate::monitor::{Cancel, Silent};
use crate::repository::index::{Index, IndexOptions};
use crate::repository::{InitOptions, OpenError, Repository};
use crate::source::{
    CaptureError, Consistency, Content, ContentEnd, Context, Extent, Sink, Source, SourceError,
};
use crate::store::{MemoryStore, Store, StoreExt};
use crate::testing::SeededEntropy;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files by path, parts joined by `/`; parts make directories.
pub type Files = BTreeMap<String, (Layout, Vec<u8>)>;

/// A source that yields files from memory.
#[derive(Debug, Clone)]
pub struct MapSource(pub Files);

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
        capture(&self.0, sink, &|_| None, &AtomicUsize::default())
    }
}

/// Like [`MapSource`], with stamps: files are taken for unchanged as long as they are.
#[derive(Debug, Clone, Default)]
pub struct StampedSource {
    /// What it yields.
    pub files: Files,
    /// How many files were opened.
    pub opened: Arc<AtomicUsize>,
}

impl Source for StampedSource {
    fn capture(&mut self, _: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        let stamp = |bytes: &[u8]| {
            let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
            Some(ChangeStamp {
                device: 1,
                inode: u64::from(u32::from_le_bytes([a, b, c, d])),
                size: bytes.len() as u64,
                modified: Timestamp(1),
                changed: Timestamp(2),
            })
        };
        capture(&self.files, sink, &stamp, &self.opened)
    }
}

fn capture(
    files: &Files,
    sink: &mut dyn Sink,
    stamp: &dyn Fn(&[u8]) -> Option<ChangeStamp>,
    opened: &AtomicUsize,
) -> Result<(), CaptureError> {
    let mut open: Vec<String> = Vec::new();
    for (path, (layout, bytes)) in files {
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
        sink.file(
            entry(name, EntryKind::File { size }),
            stamp(bytes),
            &mut || {
                opened.fetch_add(1, Ordering::Relaxed);
                Ok(Box::new(Bytes {
                    layout: *layout,
                    bytes: bytes.clone(),
                    position: 0,
                }))
            },
        )?;
    }
    for _ in open {
        sink.leave()?;
    }
    Ok(())
}

/// What test repositories are opened with.
pub fn unlock() -> Unlock {
    Unlock::Key(SecretBytes::new(vec![7; 32]))
}

/// What test repositories are made like.
pub fn init_options(unlock: &Unlock) -> InitOptions<'_> {
    InitOptions {
        suite: Suite::XChaCha20Poly1305,
        unlock,
        cost: Argon2Parameters::default(),
        label: "test".into(),
        settle: std::time::Duration::ZERO,
    }
}

/// Makes a repository whose keys, nonces and names follow from `seed`.
pub fn create(store: Arc<dyn Store>, seed: &str, clock: Arc<dyn Clock>) -> Repository {
    let (unlock, entropy) = (unlock(), Arc::new(SeededEntropy::new(seed)));
    Repository::init(store, &init_options(&unlock), entropy, clock).unwrap()
}

/// Opens one that [`create`] made. `seed` must be another than any used in it before.
pub fn open(
    store: Arc<dyn Store>,
    seed: &str,
    clock: Arc<dyn Clock>,
) -> Result<Repository, OpenError> {
    Repository::open(store, &unlock(), Arc::new(SeededEntropy::new(seed)), clock)
}

/// An index in memory that holds nothing yet.
pub fn empty_index() -> Index {
    Index::open(&IndexOptions::default(), &Silent)
}

/// Takes a snapshot of `files` in a session of its own.
pub fn take(repository: &Repository, files: &Files) -> SnapshotId {
    take_set(repository, std::slice::from_ref(files))[0]
}

/// What the snapshots of test repositories ask for.
pub fn request() -> SnapshotRequest {
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
        expectations: Vec::new(),
    }
}

/// Takes several snapshots in one run.
pub fn take_set(repository: &Repository, all: &[Files]) -> Vec<SnapshotId> {
    let index = empty_index();
    let mut run = Run::new(repository, &index).unwrap();
    let mut take = |files: &Files| {
        let mut source = || Ok(Box::new(MapSource(files.clone())) as Box<dyn Source>);
        let taken = run.snapshot(&request(), &mut source, &Silent, &Cancel::default());
        taken.unwrap().id
    };
    let ids = all.iter().map(&mut take).collect();
    run.finish(true, &Silent).unwrap();
    ids
}

/// A store of its own with the same objects.
pub fn copy(store: &MemoryStore, clock: Arc<dyn Clock>) -> MemoryStore {
    let copy = MemoryStore::with_clock(clock);
    for info in store.list_all("").unwrap() {
        let bytes = store.get(&info.key, usize::MAX).unwrap();
        copy.put(&info.key, &bytes).unwrap();
    }
    copy
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut stream = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    stream.fill(&mut bytes);
    bytes
}
