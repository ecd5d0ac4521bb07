//! A repository in memory, a source of small files, and a reference of what must be readable.

use crate::archiver::{ArchiveOptions, archive};
use crate::codec::Effort;
use crate::crypto::{Argon2Parameters, SecretBytes, Suite};
use crate::entry::{Entry, EntryKind, Facts, Layout, Metadata};
use crate::env::{Clock, Entropy, EntropyError, Timestamp};
use crate::format::blob::BlobKind;
use crate::format::slot::Unlock;
use crate::format::snapshot::{SnapshotBody, SnapshotLabel, Totals};
use crate::id::{BlobId, SetId, SnapshotId};
use crate::monitor::{Cancel, Silent};
use crate::prune::{Context, PruneError, PruneOptions, PrunePlan, Pruned};
use crate::repository::index::Index;
use crate::repository::{
    CommitError, InitOptions, Reader, Repository, SnapshotParts, WriteSession,
};
use crate::source::{
    CaptureError, Consistency, Content, ContentEnd, Extent, Sink, Source, SourceError,
};
use crate::store::{ManualTime, MemoryStore, Store, StoreExt};
use crate::tree::{Descend, TreeError, for_each_piece, walk};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Names and contents.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A repeatable stream of numbers and bytes.
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<blake3::OutputReader>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        let reader = blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof();
        Self(Mutex::new(reader))
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.lock().unwrap().fill(&mut bytes);
        (u64::from_le_bytes(bytes) % bound as u64) as usize
    }

    pub(crate) fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.lock().unwrap().fill(&mut bytes);
        bytes
    }
}

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        self.0.lock().unwrap().fill(buffer);
        Ok(())
    }
}

/// A store in memory whose time only tests move, and the repositories in it.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) time: ManualTime,
    seed: std::cell::Cell<u64>,
}

fn unlock() -> Unlock {
    Unlock::Key(SecretBytes::new(vec![7; 32]))
}

impl World {
    pub(crate) fn new() -> Self {
        let time = ManualTime::default();
        time.advance(Duration::from_secs(1_700_000_000));
        let world = Self {
            store: MemoryStore::with_clock(Arc::new(time.clone())),
            time,
            seed: std::cell::Cell::new(0),
        };
        let options = InitOptions {
            suite: Suite::XChaCha20Poly1305,
            unlock: &unlock(),
            cost: Argon2Parameters::default(),
            label: "first".to_owned(),
            settle: std::time::Duration::ZERO,
        };
        let store = Arc::new(world.store.clone());
        Repository::init(
            store,
            &options,
            world.entropy(),
            Arc::new(world.time.clone()),
        )
        .unwrap();
        world
    }

    /// The same objects in a store of its own: cheaper than making them again.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self {
            store: MemoryStore::with_clock(Arc::new(self.time.clone())),
            time: self.time.clone(),
            seed: self.seed.clone(),
        };
        for info in self.store.list_all("").unwrap() {
            let bytes = self.store.get(&info.key, usize::MAX).unwrap();
            copy.store.put(&info.key, &bytes).unwrap();
        }
        copy
    }

    /// The same store, as another process sees it.
    pub(crate) fn copy_handle(&self) -> Self {
        Self {
            store: self.store.clone(),
            time: self.time.clone(),
            seed: std::cell::Cell::new(self.seed.get() + 1_000_000),
        }
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        self.seed.set(self.seed.get() + 1);
        Arc::new(Seeded::new(self.seed.get()))
    }

    /// Opens the repository as another process would.
    pub(crate) fn open(&self) -> Repository {
        self.open_through(Arc::new(self.store.clone()))
    }

    pub(crate) fn open_through(&self, store: Arc<dyn Store>) -> Repository {
        let clock = Arc::new(self.time.clone());
        Repository::open(store, &unlock(), self.entropy(), clock).unwrap()
    }

    pub(crate) fn snapshot(&self, source: &str, files: &Files) -> SnapshotId {
        self.time.advance(Duration::from_secs(60));
        let repository = self.open();
        snapshot(&repository, source, files).unwrap()
    }

    pub(crate) fn prune(&self, options: PruneOptions) -> Result<Pruned, PruneError> {
        self.time.advance(Duration::from_secs(60));
        prune(&self.open(), options)
    }

    pub(crate) fn visible(&self) -> Vec<SnapshotId> {
        let (list, _) = self.open().list_snapshots().unwrap();
        list.visible.iter().map(|snapshot| snapshot.id).collect()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.store.list_all(prefix).unwrap().len()
    }

    /// Bytes under a prefix.
    pub(crate) fn size(&self, prefix: &str) -> u64 {
        let objects = self.store.list_all(prefix).unwrap();
        objects.iter().map(|info| info.size).sum()
    }

    /// Reads every byte of a snapshot.
    pub(crate) fn read(&self, id: SnapshotId) -> Files {
        read(&self.open(), id)
    }
}

/// Everything is waste, and waste is not tolerated.
pub(crate) fn thorough() -> PruneOptions {
    PruneOptions {
        max_unused: 0.0,
        ..PruneOptions::default()
    }
}

pub(crate) fn prune(repository: &Repository, options: PruneOptions) -> Result<Pruned, PruneError> {
    with_context(|context| PrunePlan::new(repository, options, context)?.execute(context))
}

pub(crate) fn with_context<T>(run: impl FnOnce(Context<'_>) -> T) -> T {
    let sleeper = ManualTime::default();
    run(Context {
        monitor: &Silent,
        cancel: &Cancel::default(),
        sleeper: &sleeper,
    })
}

pub(crate) fn snapshot(
    repository: &Repository,
    source: &str,
    files: &Files,
) -> Result<SnapshotId, CommitError> {
    let index = Index::default();
    let session = open_session(repository, &index);
    let id = commit(&session, source, files)?;
    session.end()?;
    Ok(id)
}

pub(crate) fn open_session<'a>(repository: &'a Repository, index: &'a Index) -> WriteSession<'a> {
    let domain = repository.access().domain(None).unwrap();
    WriteSession::open(repository, index, domain, HashSet::new(), &Silent).unwrap()
}

pub(crate) fn commit(
    session: &WriteSession<'_>,
    source: &str,
    files: &Files,
) -> Result<SnapshotId, CommitError> {
    let options = ArchiveOptions {
        effort: Effort::default(),
        workers: 1,
        source: source.to_owned(),
        strict: true,
        use_cache: false,
        parent: None,
    };
    let mut tree = FileSource(files.clone());
    let archived = archive(session, &mut tree, &options, &Silent, &Cancel::default()).unwrap();
    let committed = session.commit(SnapshotParts {
        root: archived.root,
        label: SnapshotLabel {
            source: source.to_owned(),
            host: "host".to_owned(),
            captured: session.repository().clock().now(),
            tags: BTreeMap::new(),
            set: SetId::default(),
            parent: None,
            job: None,
            complete: true,
            suspect: false,
            totals: Totals::default(),
            checked: None,
        },
        body: SnapshotBody::default(),
        heads: Vec::new(),
    })?;
    Ok(committed.0)
}

pub(crate) fn read(repository: &Repository, id: SnapshotId) -> Files {
    let index = Index::default();
    repository.refresh_index(&index, &Silent).unwrap();
    let snapshot = repository.load_snapshot(id).unwrap().unwrap();
    read_through(&Reader::new(repository, &index), snapshot.root).unwrap()
}

/// Reads every byte below a root.
pub(crate) fn read_through(reader: &Reader<'_>, root: BlobId) -> Result<Files, TreeError> {
    let mut files = Files::new();
    let mut visit = |path: &[u8], node: &crate::tree::Node| {
        let mut content = Vec::new();
        for_each_piece::<TreeError>(reader, node.child, &mut |piece| {
            let chunk = piece.chunk.unwrap();
            content.extend(reader.read(chunk, BlobKind::Chunk)?);
            Ok(())
        })?;
        files.insert(String::from_utf8(path.to_vec()).unwrap(), content);
        Ok::<_, TreeError>(Descend::Into)
    };
    let mut leave = |_: &[u8], _: &crate::tree::Node| Ok(());
    walk(reader, root, &Cancel::default(), &mut visit, &mut leave)?;
    Ok(files)
}

/// Files of one directory.
struct FileSource(Files);

impl Source for FileSource {
    fn capture(
        &mut self,
        _: &crate::source::Context<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), CaptureError> {
        for (name, content) in &self.0 {
            let entry = Entry {
                name: name.clone().into_bytes(),
                kind: EntryKind::File {
                    size: content.len() as u64,
                },
                metadata: Metadata {
                    modified: Timestamp::from_seconds(1),
                    ..Metadata::default()
                },
            };
            sink.file(entry, None, &mut || {
                Ok(Box::new(Bytes {
                    content: content.clone(),
                    position: 0,
                }))
            })?;
        }
        Ok(())
    }
}

struct Bytes {
    content: Vec<u8>,
    position: usize,
}

impl Content for Bytes {
    fn layout(&self) -> Layout {
        Layout::Stream
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        let rest = &self.content[self.position..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(match length {
            0 => Extent::End,
            _ => Extent::Data(length),
        })
    }

    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts: Facts::new(),
        })
    }
}

/// Now, for holds.
pub(crate) fn now(world: &World) -> Timestamp {
    world.time.now()
}
