//! Reading blobs: find, fetch, open, decode, verify.
//!
//! A blob counts as read when its plaintext hashes to its id under the domain's id key. Anything
//! else is damage, and says which pack it is in.

mod chain;
mod encoded;
mod head;
mod others;
mod stretches;

pub use encoded::Encoded;
pub use head::PackKeys;
pub(in crate::repository) use head::fetch_range;
pub use others::Served;
pub use stretches::Stretches;

use crate::codec::{self, DecodeError};
use crate::crypto::OpenError;
use crate::format::blob::{BlobKind, Form};
use crate::format::envelope::{Envelope, UnwrapError};
use crate::format::pack::{PackClass, decode_envelope};
use crate::format::wire::FormatError;
use crate::id::{BlobId, PackId, SnapshotId};
use crate::limits;
use crate::repository::Repository;
use crate::repository::follow::Follower;
use crate::repository::index::{Index, IndexError, Located};
use crate::store::StoreError;
use chain::Near;
use head::{HEAD_BYTES, unseal};
use others::Other;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A blob could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No index row names it.
    #[error("blob {} is in no pack", .0.short())]
    Missing(BlobId),
    /// Its pack is not there, or shorter than the row says.
    #[error("pack {} is missing or cut off", .pack.short())]
    Pack {
        /// Which pack.
        pack: PackId,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The store failed: says nothing about the blob.
    #[error(transparent)]
    Store(StoreError),
    /// The pack's head is damaged.
    #[error("the head of pack {} is damaged", .pack.short())]
    Head {
        /// Which pack.
        pack: PackId,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// The pack's session key cannot be had.
    #[error("pack {} cannot be opened", .pack.short())]
    Key {
        /// Which pack.
        pack: PackId,
        /// Why.
        #[source]
        source: UnwrapError,
    },
    /// The seal does not open.
    #[error("blob {} in pack {} is damaged", .blob.short(), .pack.short())]
    Seal {
        /// Which blob.
        blob: BlobId,
        /// In which pack.
        pack: PackId,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The opened bytes do not decode.
    #[error("blob {} in pack {} does not decode", .blob.short(), .pack.short())]
    Decode {
        /// Which blob.
        blob: BlobId,
        /// In which pack.
        pack: PackId,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The plaintext is not what the id names.
    #[error("blob {} in pack {} is another than its id says", .blob.short(), .pack.short())]
    Identity {
        /// Which blob.
        blob: BlobId,
        /// In which pack.
        pack: PackId,
    },
    /// It is another kind of blob than it was referred to as.
    #[error("blob {} is not a {expected:?}", .blob.short())]
    Kind {
        /// Which blob.
        blob: BlobId,
        /// What was expected.
        expected: BlobKind,
    },
    /// What the blob says is not good.
    #[error("blob {} makes no sense", .blob.short())]
    Content {
        /// Which blob.
        blob: BlobId,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// Its chain of deltas is too deep or a circle.
    #[error("the deltas of blob {} are too deep", .0.short())]
    Depth(BlobId),
    /// What is missing belongs to a snapshot that is not visible any more.
    #[error("snapshot {} was withdrawn meanwhile: it was forgotten, and a prune deletes it", .0.short())]
    Withdrawn(SnapshotId),
    /// The local index failed.
    #[error("cannot look up a blob")]
    Index(#[from] IndexError),
}

impl ReadError {
    /// Whether the stored bytes are wrong or gone, rather than that they could not be fetched.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Index(_) | Self::Withdrawn(_))
    }

    /// The pack that is damaged, where it is known.
    pub fn pack(&self) -> Option<PackId> {
        match self {
            Self::Pack { pack, .. }
            | Self::Head { pack, .. }
            | Self::Key { pack, .. }
            | Self::Seal { pack, .. }
            | Self::Decode { pack, .. }
            | Self::Identity { pack, .. } => Some(*pack),
            _ => None,
        }
    }
}

/// Heads and groups kept: a restore walks packs in order and needs few at a time.
const HEADS_MAX: usize = 256;
const GROUPS_MAX: usize = 8;

/// Rows tried for one blob, its bases included: without a bound a hostile index, in which every id
/// has many damaged forms, would be searched for ever.
const ROWS_MAX: u32 = 1024;

/// Looks at a repository that keeps changing at most for one blob.
const LOOKS_MAX: usize = 4;

/// How far one reading may still go.
#[derive(Clone, Copy)]
struct Bounds<'b> {
    depth: u32,
    rows: &'b Cell<u32>,
}

impl<'b> Bounds<'b> {
    fn new(rows: &'b Cell<u32>) -> Self {
        Self {
            depth: limits::DELTA_DEPTH_MAX,
            rows,
        }
    }

    fn deeper(self, blob: BlobId) -> Result<Self, ReadError> {
        let depth = self.depth.checked_sub(1).ok_or(ReadError::Depth(blob))?;
        Ok(Self { depth, ..self })
    }

    fn spend(self, blob: BlobId) -> Result<(), ReadError> {
        let left = self.rows.get().checked_sub(1);
        self.rows.set(left.ok_or(ReadError::Depth(blob))?);
        Ok(())
    }
}

/// Reads blobs through an index. Shared between threads.
#[derive(Debug)]
pub struct Reader<'a> {
    repository: &'a Repository,
    index: &'a Index,
    heads: Mutex<HashMap<PackId, Arc<PackKeys>>>,
    groups: Mutex<VecDeque<(BlobId, Arc<Vec<u8>>)>>,
    /// Bytes fetched so far.
    fetched: AtomicU64,
    follower: Follower,
    near: Near,
    others: Vec<Other<'a>>,
}

impl<'a> Reader<'a> {
    /// Reads from `repository` what `index` shows.
    pub fn new(repository: &'a Repository, index: &'a Index) -> Self {
        Self {
            repository,
            index,
            heads: Mutex::default(),
            groups: Mutex::default(),
            fetched: AtomicU64::new(0),
            follower: Follower::default(),
            near: Near::default(),
            others: Vec::new(),
        }
    }

    /// Bytes fetched from packs so far: data, bases of deltas, metadata and heads.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// The index.
    pub fn index(&self) -> &'a Index {
        self.index
    }

    /// The repository.
    pub fn repository(&self) -> &'a Repository {
        self.repository
    }

    /// Says which snapshot is read from now on. What is missing then is looked for again: a prune
    /// may have moved it, or the snapshot may have been withdrawn. Without this the index stays
    /// as it is.
    pub fn follow(&self, snapshot: SnapshotId) {
        self.follow_all(vec![snapshot]);
    }

    /// The same for several snapshots that are read together.
    pub fn follow_all(&self, snapshots: Vec<SnapshotId>) {
        self.follower.follow(snapshots);
    }

    /// Repeats what met damage where another look at the repository shows something new.
    fn following<T>(&self, attempt: impl Fn() -> Result<T, ReadError>) -> Result<T, ReadError> {
        for _ in 0..LOOKS_MAX {
            let seen = self.follower.generation();
            match attempt() {
                Err(error) if error.is_damage() => {
                    let (repository, index) = (self.repository, self.index);
                    if !self.follower.look_again(repository, index, seen)? {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
        attempt()
    }

    /// Where a blob of this kind is, the form of least depth first.
    pub fn locate(&self, id: BlobId, kind: BlobKind) -> Result<Vec<Located>, ReadError> {
        self.following(|| self.locate_now(id, kind))
    }

    fn locate_now(&self, id: BlobId, kind: BlobKind) -> Result<Vec<Located>, ReadError> {
        let located = self.index.lookup(&id)?;
        if located.is_empty() {
            return Err(ReadError::Missing(id));
        }
        let fitting: Vec<_> = located.into_iter().filter(|l| l.row.kind == kind).collect();
        match fitting.is_empty() {
            true => Err(ReadError::Kind {
                blob: id,
                expected: kind,
            }),
            false => Ok(fitting),
        }
    }

    /// Reads a blob's plaintext, from whichever of its places is whole.
    pub fn read(&self, id: BlobId, kind: BlobKind) -> Result<Vec<u8>, ReadError> {
        let read = self.following(|| self.read_within(id, kind, Bounds::new(&Cell::new(ROWS_MAX))));
        match read {
            Err(error) if self.may_be_elsewhere(&error) => self.read_elsewhere(id, kind, error),
            read => read,
        }
    }

    fn read_within(
        &self,
        id: BlobId,
        kind: BlobKind,
        bounds: Bounds<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let mut first_error = None;
        for located in self.locate_now(id, kind)? {
            bounds.spend(id)?;
            match self.read_located(&located, bounds) {
                Ok(plain) => return Ok(plain),
                Err(error) if error.is_damage() => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first_error.unwrap_or(ReadError::Missing(id)))
    }

    /// Reads a blob from this one of its places; its base or group from whichever is whole.
    pub fn read_at(&self, located: &Located) -> Result<Vec<u8>, ReadError> {
        self.read_located(located, Bounds::new(&Cell::new(ROWS_MAX)))
    }

    fn read_located(&self, located: &Located, bounds: Bounds<'_>) -> Result<Vec<u8>, ReadError> {
        let row = &located.row;
        if let Form::Member { group } = row.form {
            let plain = self.read_group(group, bounds)?;
            return self.member(located, &plain);
        }
        let mut sealed = vec![0; row.stored as usize];
        self.fetch(
            located.pack,
            located.class,
            u64::from(row.offset),
            &mut sealed,
        )?;
        self.open_fetched(located, &mut sealed, bounds)
    }

    /// Opens, decodes and verifies a blob whose sealed bytes were fetched.
    pub fn open_sealed(&self, located: &Located, sealed: &mut [u8]) -> Result<Vec<u8>, ReadError> {
        self.open_fetched(located, sealed, Bounds::new(&Cell::new(ROWS_MAX)))
    }

    /// The same of a delta whose base was read and verified before: `base` is its plaintext.
    pub fn open_over(
        &self,
        located: &Located,
        sealed: &mut [u8],
        base: &[u8],
    ) -> Result<Vec<u8>, ReadError> {
        let head = self.head(located)?;
        let encoded = unseal(&head, located, sealed)?;
        self.decode_verified(located, encoded, Some(base.to_vec()))
    }

    /// Opens and decodes a blob whose sealed bytes were fetched, over its base if it is a delta.
    /// The seal is checked, the id is not: that of what is made of it will be.
    pub fn open_unverified(
        &self,
        located: &Located,
        sealed: &mut [u8],
        base: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, ReadError> {
        let head = self.head(located)?;
        let encoded = unseal(&head, located, sealed)?;
        self.decode(located, encoded, base)
    }

    /// Whether plaintext is what the id of a row names. Errors: it is not.
    pub fn verify_plain(&self, located: &Located, plain: &[u8]) -> Result<(), ReadError> {
        self.verify(located, self.head(located)?.envelope(), plain)
    }

    fn open_fetched(
        &self,
        located: &Located,
        sealed: &mut [u8],
        bounds: Bounds<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let head = self.head(located)?;
        let encoded = unseal(&head, located, sealed)?;
        let Form::Delta { base, .. } = located.row.form else {
            return self.decode_verified(located, encoded, None);
        };
        match self.read_below(base, bounds) {
            Ok(plain) => match self.decode_verified(located, encoded, Some(plain)) {
                Err(error) if error.is_damage() => {}
                decoded => return decoded,
            },
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        // Slower: every base is verified, and looked for in all of its places.
        let bounds = bounds.deeper(located.row.id)?;
        let plain = self.read_within(base, located.row.kind, bounds)?;
        self.decode_verified(located, encoded, Some(plain))
    }

    fn decode(
        &self,
        located: &Located,
        encoded: &[u8],
        base: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, ReadError> {
        let row = &located.row;
        let decoded = match base {
            Some(base) => codec::apply(row.codec, encoded, row.plain as usize, base),
            None => codec::decode(row.codec, encoded, row.plain as usize, None),
        };
        decoded.map_err(|source| ReadError::Decode {
            blob: row.id,
            pack: located.pack,
            source,
        })
    }

    fn decode_verified(
        &self,
        located: &Located,
        encoded: &[u8],
        base: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, ReadError> {
        let plain = self.decode(located, encoded, base)?;
        let head = self.head(located)?;
        self.verify(located, head.envelope(), &plain)?;
        Ok(plain)
    }

    /// A member's slice of its group's plaintext.
    pub fn member(&self, located: &Located, group: &[u8]) -> Result<Vec<u8>, ReadError> {
        let row = &located.row;
        let (start, length) = (row.offset as usize, row.plain as usize);
        let identity = ReadError::Identity {
            blob: row.id,
            pack: located.pack,
        };
        let Some(plain) = group.get(start..start + length) else {
            return Err(identity);
        };
        let head = self.head(located)?;
        self.verify(located, head.envelope(), plain)?;
        Ok(plain.to_vec())
    }

    fn verify(
        &self,
        located: &Located,
        envelope: &Envelope,
        plain: &[u8],
    ) -> Result<(), ReadError> {
        let row = &located.row;
        let ids = self.repository.access.id_key(envelope.domain);
        match ids.map(|ids| ids.blob_id(row.kind.role(), plain)) {
            Some(id) if id == row.id => Ok(()),
            _ => Err(ReadError::Identity {
                blob: row.id,
                pack: located.pack,
            }),
        }
    }

    /// A group's plaintext; the last few are kept, because its members are asked for together.
    fn read_group(&self, group: BlobId, bounds: Bounds<'_>) -> Result<Arc<Vec<u8>>, ReadError> {
        let lock = || self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plain)) = lock().iter().find(|(id, _)| *id == group) {
            return Ok(Arc::clone(plain));
        }
        let bounds = bounds.deeper(group)?;
        let plain = Arc::new(self.read_within(group, BlobKind::Group, bounds)?);
        let mut groups = lock();
        if groups.len() >= GROUPS_MAX {
            groups.pop_front();
        }
        groups.push_back((group, Arc::clone(&plain)));
        Ok(plain)
    }

    /// Fetches bytes of a pack.
    pub fn fetch(
        &self,
        pack: PackId,
        class: PackClass,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), ReadError> {
        fetch_range(self.repository, pack, class, offset, buffer)
            .map_err(|error| self.lost(pack, error))?;
        let length = buffer.len() as u64;
        self.fetched.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn head(&self, located: &Located) -> Result<Arc<PackKeys>, ReadError> {
        let lock = || self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = lock().get(&located.pack) {
            return Ok(Arc::clone(head));
        }
        let head = Arc::new(self.fetch_head(located)?);
        let mut heads = lock();
        if heads.len() >= HEADS_MAX {
            heads.clear();
        }
        heads.insert(located.pack, Arc::clone(&head));
        Ok(head)
    }

    /// Takes a pack's head from its bytes, so that it need not be fetched: `bytes` begin the pack
    /// and were verified by its name.
    pub fn adopt_head(&self, pack: PackId, bytes: &[u8]) -> Result<(), ReadError> {
        let (envelope, _) =
            decode_envelope(bytes).map_err(|source| ReadError::Head { pack, source })?;
        let head = Arc::new(PackKeys::unwrap(self.repository, pack, envelope)?);
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() >= HEADS_MAX {
            heads.clear();
        }
        heads.insert(pack, head);
        Ok(())
    }

    fn fetch_head(&self, located: &Located) -> Result<PackKeys, ReadError> {
        let (pack, class, length) = (located.pack, located.class, located.pack_length);
        let keys = PackKeys::load(self.repository, pack, class, length)
            .map_err(|error| self.lost(pack, error))?;
        let length = HEAD_BYTES.min(length as usize) as u64;
        self.fetched.fetch_add(length, Ordering::Relaxed);
        Ok(keys)
    }
}
