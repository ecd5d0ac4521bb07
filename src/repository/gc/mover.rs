//! Moving blobs byte for byte into new packs, and writing the segments that go with it.
//!
//! A blob's seal binds neither pack nor offset, so it moves with its session's key entry. What is
//! drawn anew is a link key for the new table of contents and segments.

use crate::crypto::{KemError, Role};
use crate::env::EntropyError;
use crate::format::blob::{BlobRow, Form};
use crate::format::envelope::{
    Envelope, KeyEntry, KeyKind, ObjectType, SessionKey, UnwrapError, new_session_key,
};
use crate::format::layout;
use crate::format::pack::{PackBuilder, PackClass};
use crate::format::record::PlainPart;
use crate::format::segment::{PackRows, encode_segment};
use crate::id::{DomainTag, KeyId, SegmentId, SessionId, WriterId};
use crate::limits;
use crate::repository::gc::PackSource;
use crate::repository::{HostLink, ReadError, Repository, put_named};
use crate::store::StoreError;
use std::collections::BTreeMap;

/// Position of the prune's own link key in its envelopes; the sources' keys follow.
const LINK_KEY: u16 = 0;

/// Blobs could not be moved. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A blob could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key could not be wrapped.
    #[error("cannot wrap the prune's link key")]
    Wrap(#[from] KemError),
    /// The newest statement does not name a domain that has packs.
    #[error("domain {0} is not in the repository's statement")]
    UnknownDomain(DomainTag),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Bytes of new packs and segments.
    pub bytes_written: u64,
    /// New packs.
    pub packs: u64,
    /// New segments.
    pub segments: u64,
}

/// A row and its sealed bytes; none for a member of a group.
type FetchedBlob = (BlobRow, Vec<u8>);

/// Blobs of one domain, class and author, waiting to fill a pack.
#[derive(Debug, Default)]
struct Waiting<'a> {
    sources: Vec<(PackSource<'a>, Vec<FetchedBlob>)>,
    bytes: u64,
    rows: usize,
    keys: usize,
}

/// Moves blobs for one prune session.
#[derive(Debug)]
pub struct BlobMover<'a> {
    repository: &'a Repository,
    session: SessionId,
    keys: BTreeMap<DomainTag, (KeyEntry, SessionKey)>,
    waiting: BTreeMap<(DomainTag, PackClass, WriterId), Waiting<'a>>,
    /// Link keys of write-only hosts, by whose rows they seal.
    hosts: BTreeMap<(DomainTag, WriterId), HostLink>,
    /// Packs to be listed; those of a write-only host apart.
    listings: BTreeMap<Listed, Vec<PackRows>>,
    moved: Moved,
}

/// A domain, and whose host's link key a segment is sealed under, if anybody's.
type Listed = (DomainTag, Option<WriterId>);

impl<'a> BlobMover<'a> {
    /// A mover for the prune session `session`.
    pub fn new(repository: &'a Repository, session: SessionId) -> Self {
        Self {
            repository,
            session,
            keys: BTreeMap::new(),
            waiting: BTreeMap::new(),
            hosts: BTreeMap::new(),
            listings: BTreeMap::new(),
            moved: Moved::default(),
        }
    }

    /// Moves `rows` of a pack, all sealed by `author`. Members must come with their group. Blobs
    /// are read before anything is written; a damaged one fails the call and moves nothing.
    pub fn add(
        &mut self,
        source: PackSource<'a>,
        author: WriterId,
        rows: Vec<BlobRow>,
    ) -> Result<(), MoveError> {
        let place = (source.envelope().domain, source.place().class, author);
        let bytes: u64 = rows.iter().map(|row| u64::from(row.stored)).sum();
        let keys = source.envelope().keys.len();
        let rows = fetch_all(&source, rows)?;
        let waiting = self.waiting.entry(place).or_default();
        let full = waiting.bytes + bytes > limits::PACK_BYTES_TARGET as u64
            || waiting.rows + rows.len() > limits::PACK_ROWS_MAX
            || waiting.keys + keys >= limits::ENVELOPE_KEYS_MAX;
        if full && waiting.rows > 0 {
            let full = std::mem::take(waiting);
            self.build(place, full)?;
        }
        let waiting = self.waiting.entry(place).or_default();
        waiting.bytes += bytes;
        waiting.rows += rows.len();
        waiting.keys += keys;
        waiting.sources.push((source, rows));
        Ok(())
    }

    /// Keeps a host's link key: its rows are listed under that, for the host to find them. The newest
    /// one counts, because a host that lost its own key opens none before.
    pub fn keep_host_link(&mut self, domain: DomainTag, host: HostLink) {
        let kept = self.hosts.entry((domain, host.author));
        let kept = kept.or_insert_with(|| host.clone());
        if kept.created < host.created {
            *kept = host;
        }
    }

    /// Lists a pack that stays in one of the new segments, because its old one goes.
    pub fn list_again(&mut self, domain: DomainTag, pack: PackRows) -> Result<(), MoveError> {
        let is_hosts = self.hosts.contains_key(&(domain, pack.author));
        let listed = (domain, is_hosts.then_some(pack.author));
        let listings = self.listings.entry(listed).or_default();
        let rows: usize = listings.iter().map(|pack| pack.rows.len()).sum();
        if rows + pack.rows.len() > limits::SEGMENT_ROWS_MAX {
            let full = std::mem::take(listings);
            self.write_segment(listed, &full)?;
        }
        self.listings.entry(listed).or_default().push(pack);
        Ok(())
    }

    /// Stores what is left, and makes everything durable.
    pub fn finish(mut self) -> Result<Moved, MoveError> {
        for (place, waiting) in std::mem::take(&mut self.waiting) {
            if waiting.rows > 0 {
                self.build(place, waiting)?;
            }
        }
        // Packs before the segments that list them.
        self.repository.store().barrier()?;
        for (listed, packs) in std::mem::take(&mut self.listings) {
            if !packs.is_empty() {
                self.write_segment(listed, &packs)?;
            }
        }
        self.repository.store().barrier()?;
        Ok(self.moved)
    }

    fn build(
        &mut self,
        (domain, class, author): (DomainTag, PackClass, WriterId),
        waiting: Waiting<'a>,
    ) -> Result<(), MoveError> {
        let mut keys = vec![self.link_key(domain)?.0.clone()];
        for (source, rows) in &waiting.sources {
            for (row, _) in rows {
                if let Some(entry) = source.envelope().keys.get(usize::from(row.key))
                    && !keys.contains(entry)
                {
                    keys.push(entry.clone());
                }
            }
        }
        let mut builder = PackBuilder::new(self.envelope(ObjectType::Pack, domain, keys.clone()));
        for (source, rows) in &waiting.sources {
            push_rows(&mut builder, source, rows, &keys);
        }
        let repository = self.repository;
        let link = &self.link_key(domain)?.1;
        let pack = builder.finish(link, LINK_KEY, repository.entropy())?;
        put_named(
            repository.store(),
            layout::pack(class, &pack.id),
            &pack.bytes,
        )?;
        self.moved.bytes_written += pack.bytes.len() as u64;
        self.moved.packs += 1;
        let listing = PackRows {
            pack: pack.id,
            class,
            length: pack.bytes.len() as u32,
            author,
            rows: pack.rows,
        };
        self.list_again(domain, listing)
    }

    fn write_segment(
        &mut self,
        (domain, host): Listed,
        packs: &[PackRows],
    ) -> Result<(), MoveError> {
        // Packs before the segment that lists them.
        self.repository.store().barrier()?;
        let content = encode_segment(packs);
        let (session, repository) = (self.session, self.repository);
        let host = host.and_then(|author| self.hosts.get(&(domain, author)).cloned());
        let entry = match &host {
            Some(host) => host.entry.clone(),
            None => self.link_key(domain)?.0.clone(),
        };
        let envelope = self.envelope(ObjectType::Segment, domain, vec![entry]);
        let part = PlainPart {
            role: Role::Segment,
            key_number: LINK_KEY,
            key: match &host {
                Some(host) => &host.key,
                None => &self.link_key(domain)?.1,
            },
            content: &content,
        };
        let bytes = repository.seal_record(&envelope, session, &[], &[part])?;
        let id = SegmentId(*blake3::hash(&bytes).as_bytes());
        put_named(repository.store(), layout::segment(&id), &bytes)?;
        self.moved.bytes_written += bytes.len() as u64;
        self.moved.segments += 1;
        Ok(())
    }

    fn envelope(
        &self,
        object_type: ObjectType,
        domain: DomainTag,
        keys: Vec<KeyEntry>,
    ) -> Envelope {
        Envelope {
            object_type,
            suite: self.repository.suite,
            repository: self.repository.config.repository,
            domain,
            keys,
        }
    }

    /// The session's link key of a domain, drawn when it is first needed.
    fn link_key(&mut self, domain: DomainTag) -> Result<&(KeyEntry, SessionKey), MoveError> {
        use std::collections::btree_map::Entry;
        let repository = self.repository;
        match self.keys.entry(domain) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let public = repository
                    .access
                    .statement()
                    .domain(domain)
                    .ok_or(MoveError::UnknownDomain(domain))?;
                Ok(entry.insert(new_session_key(
                    repository.suite,
                    repository.config.repository,
                    domain,
                    KeyKind::Link,
                    &public.current,
                    repository.access.maintenance(),
                    repository.entropy(),
                )?))
            }
        }
    }
}

/// Fetches what is to be moved and proves it whole, as far as this credential can.
fn fetch_all(source: &PackSource<'_>, rows: Vec<BlobRow>) -> Result<Vec<FetchedBlob>, ReadError> {
    let fetch = |row: BlobRow| {
        let sealed = match row.form {
            Form::Member { .. } => Vec::new(),
            _ => source.fetch_intact(&row)?,
        };
        match usize::from(row.key) < source.envelope().keys.len() {
            true => Ok((row, sealed)),
            false => Err(ReadError::Key {
                pack: source.place().id,
                source: UnwrapError::NotARecipient(KeyId::default()),
            }),
        }
    };
    rows.into_iter().map(fetch).collect()
}

/// Appends rows with their keys' new positions.
fn push_rows(
    builder: &mut PackBuilder,
    source: &PackSource<'_>,
    rows: &[FetchedBlob],
    keys: &[KeyEntry],
) {
    for (row, sealed) in rows {
        let entry = source.envelope().keys.get(usize::from(row.key));
        let mut moved = *row;
        if let Some(place) = keys.iter().position(|key| Some(key) == entry) {
            moved.key = place as u16;
        }
        match row.form {
            Form::Member { .. } => builder.push_member(moved),
            _ => builder.push(moved, sealed),
        }
    }
}
