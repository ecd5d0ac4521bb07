//! A repository of many tiny blobs, made as fast as they can be sealed: packs with as many rows as
//! real ones have, a third of the chunks in full and the others in chains of deltas, and two
//! snapshots whose files share half of their content.

use icecore::codec::{Compressor, Effort, encode_units};
use icecore::crypto::{Argon2Parameters, Suite};
use icecore::entry::{Entry, EntryKind, Metadata};
use icecore::env::{Clock, SystemClock, SystemEntropy};
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::entry::{Condition, TreeEntry, encode_entries};
use icecore::format::envelope::{
    Envelope, KeyEntry, KeyKind, ObjectType, SessionKey, new_session_key,
};
use icecore::format::layout;
use icecore::format::node::{Child, Links, NodeKind};
use icecore::format::pack::{PackBuilder, PackClass, blob_binding};
use icecore::format::segment::PackRows;
use icecore::format::slot::Unlock;
use icecore::format::snapshot::{SnapshotBody, SnapshotLabel, Totals};
use icecore::id::{BlobId, SessionId, SetId};
use icecore::monitor::Silent;
use icecore::repository::gc::BlobMover;
use icecore::repository::index::{Index, IndexOptions};
use icecore::repository::{DomainKeys, InitOptions, Repository, SnapshotParts, WriteSession};
use icecore::store::{LocalStore, ObjectKey};
use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rows of one pack: what 16 MiB of chunks of a database come to.
const ROWS_PER_PACK: usize = 128;

/// Bytes of a chunk: one unit of a page file, zeros but for its number.
const CHUNK_BYTES: usize = 4096;

/// Chunks of which the first is full and each other one a delta on the one before.
const CHAIN: u64 = 3;

/// Most chunks that wait in memory to be sealed.
const FILE_CHUNKS_MIN: u64 = 1024;
const FILE_CHUNKS_MAX: u64 = 16_000;

/// Positions of the keys in envelopes.
const DATA_KEY: u16 = 0;
const LINK_KEY: u16 = 1;

/// How many files there are, and how many chunks each has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) files: u64,
    pub(crate) chunks_per_file: u64,
}

impl Size {
    /// About so many blobs.
    pub(crate) fn of(blobs: u64) -> Self {
        let chunks_per_file = (blobs / 8192).clamp(FILE_CHUNKS_MIN, FILE_CHUNKS_MAX);
        Self {
            files: (blobs / chunks_per_file).max(2),
            chunks_per_file,
        }
    }

    pub(crate) fn blobs(self) -> u64 {
        self.files * (self.chunks_per_file + 1) + 4
    }
}

/// Packs under construction, one of each class.
struct Packs<'a> {
    repository: &'a Repository,
    domain: &'a DomainKeys,
    keys: [(KeyEntry, SessionKey); 2],
    open: [PackBuilder; 3],
    mover: BlobMover<'a>,
}

impl<'a> Packs<'a> {
    fn new(repository: &'a Repository, domain: &'a DomainKeys) -> Outcome<Self> {
        let key = |kind| {
            new_session_key(
                repository.suite(),
                repository.config().repository,
                domain.tag,
                kind,
                &domain.readers,
                repository.access().maintenance(),
                repository.entropy(),
            )
        };
        let keys = [key(KeyKind::Data)?, key(KeyKind::Link)?];
        let envelope = envelope(repository, domain, &keys);
        Ok(Self {
            repository,
            domain,
            open: [(); 3].map(|()| PackBuilder::new(envelope.clone())),
            keys,
            mover: BlobMover::new(repository, SessionId([1; 16])),
        })
    }

    fn add(
        &mut self,
        class: PackClass,
        kind: BlobKind,
        form: Form,
        codec: Codec,
        plain: &[u8],
        encoded: &[u8],
    ) -> Outcome<BlobId> {
        let key = match kind.role().uses_data_key() {
            true => DATA_KEY,
            false => LINK_KEY,
        };
        let row = BlobRow {
            id: self.domain.ids.blob_id(kind.role(), plain),
            kind,
            form,
            codec,
            key,
            offset: 0,
            stored: 0,
            plain: plain.len() as u32,
        };
        let envelope = envelope(self.repository, self.domain, &self.keys);
        let mut sealed = Vec::with_capacity(encoded.len() + 64);
        blob_binding(&envelope, &row).seal_into(
            &self.keys[usize::from(key)].1,
            encoded,
            &mut sealed,
            self.repository.entropy(),
        )?;
        let pack = &mut self.open[class as usize];
        pack.push(row, &sealed);
        if pack.rows().len() >= ROWS_PER_PACK {
            self.store(class)?;
        }
        Ok(row.id)
    }

    fn store(&mut self, class: PackClass) -> Outcome<()> {
        let envelope = envelope(self.repository, self.domain, &self.keys);
        let full = std::mem::replace(&mut self.open[class as usize], PackBuilder::new(envelope));
        if full.is_empty() {
            return Ok(());
        }
        let pack = full.finish(&self.keys[1].1, LINK_KEY, self.repository.entropy())?;
        let key = ObjectKey::new(layout::pack(class, &pack.id))?;
        self.repository.store().put(&key, &pack.bytes)?;
        let rows = PackRows {
            pack: pack.id,
            class,
            length: pack.bytes.len() as u32,
            author: self.repository.access().writer(),
            rows: pack.rows,
        };
        self.mover.list_again(self.domain.tag, rows)?;
        Ok(())
    }

    fn finish(mut self) -> Outcome<()> {
        for class in PackClass::ALL {
            self.store(class)?;
        }
        self.mover.finish()?;
        Ok(())
    }

    /// The chunk of this number, after the one before it.
    fn chunk(&mut self, number: u64, encoder: &mut Encoder) -> Outcome<BlobId> {
        let mut plain = vec![0; CHUNK_BYTES];
        plain[..8].copy_from_slice(&number.to_le_bytes());
        let delta = match &encoder.before {
            Some((base, before)) if !number.is_multiple_of(CHAIN) => {
                encode_units(&plain, before, 1).map(|encoded| (*base, encoded))
            }
            _ => None,
        };
        let id = match delta {
            Some((base, encoded)) => {
                let generation = (number % CHAIN) as u16;
                let form = Form::Delta { base, generation };
                let codec = Codec::ZstdUnits;
                self.add(
                    PackClass::Delta,
                    BlobKind::Chunk,
                    form,
                    codec,
                    &plain,
                    &encoded,
                )?
            }
            None => self.full(PackClass::Full, BlobKind::Chunk, &plain, encoder)?,
        };
        encoder.before = Some((id, plain));
        Ok(id)
    }

    fn full(
        &mut self,
        class: PackClass,
        kind: BlobKind,
        plain: &[u8],
        encoder: &mut Encoder,
    ) -> Outcome<BlobId> {
        let mut encoded = Vec::new();
        match encoder.compressor.compress(plain, &mut encoded) {
            true => self.add(class, kind, Form::Full, Codec::Zstd, plain, &encoded),
            false => self.add(class, kind, Form::Full, Codec::Raw, plain, plain),
        }
    }

    fn node(&mut self, links: &Links, encoder: &mut Encoder) -> Outcome<BlobId> {
        self.full(
            PackClass::Metadata,
            BlobKind::NodeLinks,
            &links.encode(),
            encoder,
        )
    }

    /// A directory of these files.
    fn directory(&mut self, files: &[(u64, Child)], encoder: &mut Encoder) -> Outcome<BlobId> {
        let entries: Vec<TreeEntry> = files
            .iter()
            .map(|(number, content)| TreeEntry {
                entry: Entry {
                    name: format!("file-{number:08}").into_bytes(),
                    kind: EntryKind::File {
                        size: content.length(),
                    },
                    metadata: Metadata::default(),
                },
                condition: Condition::Whole,
            })
            .collect();
        let plain = encode_entries(&entries);
        let body = self.full(PackClass::Metadata, BlobKind::NodeBody, &plain, encoder)?;
        let links = Links {
            kind: NodeKind::Directory,
            height: 0,
            body,
            children: files.iter().map(|(_, content)| *content).collect(),
        };
        self.node(&links, encoder)
    }
}

/// What it takes to encode one chunk after the other.
struct Encoder {
    compressor: Compressor,
    before: Option<(BlobId, Vec<u8>)>,
}

fn envelope(
    repository: &Repository,
    domain: &DomainKeys,
    keys: &[(KeyEntry, SessionKey); 2],
) -> Envelope {
    Envelope {
        object_type: ObjectType::Pack,
        suite: repository.suite(),
        repository: repository.config().repository,
        domain: domain.tag,
        keys: keys.iter().map(|(entry, _)| entry.clone()).collect(),
    }
}

/// Makes the repository. Its older snapshot has all files, its newer one every second of them.
pub(crate) fn make(directory: &Path, cache: &Path, unlock: &Unlock, size: Size) -> Outcome<()> {
    let options = InitOptions {
        suite: Suite::XChaCha20Poly1305,
        unlock,
        cost: Argon2Parameters::default(),
        label: "bench".to_owned(),
        settle: std::time::Duration::ZERO,
    };
    let store = Arc::new(LocalStore::create(directory)?);
    let (entropy, clock) = (Arc::new(SystemEntropy), Arc::new(SystemClock));
    let repository = Repository::init(store, &options, entropy, clock)?;
    let domain = repository.access().domain(None)?;
    let mut packs = Packs::new(&repository, &domain)?;
    let mut encoder = Encoder {
        compressor: Compressor::new(Effort::Level(1)),
        before: None,
    };
    let mut files = Vec::new();
    for file in 0..size.files {
        let first = file * size.chunks_per_file;
        let mut children = Vec::new();
        for number in first..first + size.chunks_per_file {
            let id = packs.chunk(number, &mut encoder)?;
            let length = CHUNK_BYTES as u64;
            children.push(Child::Chunk { id, length });
        }
        let list = Links {
            kind: NodeKind::Content,
            height: 0,
            body: BlobId::default(),
            children,
        };
        let (id, length) = (packs.node(&list, &mut encoder)?, list.content_length());
        files.push((file, Child::Links { id, length }));
    }
    let all = packs.directory(&files, &mut encoder)?;
    files.retain(|(number, _)| number % 2 == 0);
    let half = packs.directory(&files, &mut encoder)?;
    packs.finish()?;
    let options = IndexOptions {
        directory: Some(cache.join(repository.config().repository.to_string())),
        ..IndexOptions::default()
    };
    let index = Index::open(&options, &Silent);
    let session = WriteSession::open(&repository, &index, domain, HashSet::new(), &Silent)?;
    for root in [all, half] {
        session.commit(parts(root))?;
    }
    session.end()?;
    Ok(())
}

fn parts(root: BlobId) -> SnapshotParts {
    SnapshotParts {
        root,
        label: SnapshotLabel {
            source: "synthetic".to_owned(),
            host: "bench".to_owned(),
            captured: SystemClock.now(),
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
    }
}
