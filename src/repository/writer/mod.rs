//! A write session: blobs in, packs and index segments out, snapshots committed last.
//!
//! Spec: `format-spec/11-ordering.md`, writer. Shared between threads: workers seal, the session
//! collects sealed blobs into packs, and a few threads store the packs meanwhile.

mod adopt;
mod commit;
mod packs;
mod reliance;
mod seal;

pub use commit::{CommitError, SnapshotParts};
pub use reliance::Carriers;
pub use seal::{PreparedBlob, Sealer};

use crate::chunker::{ChunkSizes, Chunker};
use crate::crypto::KemError;
use crate::env::EntropyError;
use crate::format::blob::BlobKind;
use crate::format::envelope::{
    Envelope, KeyEntry, KeyKind, ObjectType, SessionKey, new_session_key,
};
use crate::format::host_key::new_host_link_key;
use crate::format::protocol::SessionKind;
use crate::id::{BlobId, ObjectId, PackId};
use crate::monitor::Monitor;
use crate::planted::{self, Bug};
use crate::repository::index::{Index, IndexError};
use crate::repository::keys::DomainKeys;
use crate::repository::session::Session;
use crate::repository::{Flags, KeyError, ReadError, Reader, Repository, SessionError};
use crate::store::StoreError;
use packs::PackSink;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writing failed. Nothing that was saved before is touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A key is missing.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A session key could not be wrapped.
    #[error("cannot wrap the session's keys")]
    Wrap(#[from] KemError),
    /// The local index failed.
    #[error("cannot look up a blob")]
    Index(#[from] IndexError),
    /// A blob of another writer could not be read to verify it.
    #[error("cannot verify a blob")]
    Read(#[from] ReadError),
    /// A pack could not be stored earlier; its blobs are lost to this session.
    #[error("a pack could not be stored")]
    PackLost,
    /// A compressed blob did not decode to what was compressed.
    #[error("compression damaged blob {0}: this machine's memory or processor cannot be trusted")]
    Miscompressed(BlobId),
}

/// Sizes of what a session stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobStatistics {
    /// Plaintext bytes of new chunks.
    pub bytes_new: u64,
    /// New chunks.
    pub chunks_new: u64,
    /// Of those, stored as deltas.
    pub chunks_delta: u64,
    /// Bytes of packs, segments and records.
    pub bytes_stored: u64,
}

/// Whether a blob has to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is in the repository, or on its way there in this session.
    Yes,
    /// The caller now owes it to [`WriteSession::add`].
    No,
}

/// The two keys of a session, and how they are named in envelopes.
#[derive(Debug)]
struct SessionKeys {
    data: (KeyEntry, SessionKey),
    link: (KeyEntry, SessionKey),
}

/// Positions of the session's keys in its envelopes.
const DATA_KEY: u16 = 0;
const LINK_KEY: u16 = 1;

/// An open write session in one domain.
#[derive(Debug)]
pub struct WriteSession<'a> {
    reader: Reader<'a>,
    session: Session,
    domain: DomainKeys,
    keys: SessionKeys,
    flags: Flags,
    distrusted: HashSet<PackId>,
    state: Mutex<State>,
    packs: PackSink,
}

#[derive(Debug, Default)]
struct State {
    /// Blobs of this session that are not in the index yet.
    pending: HashMap<BlobId, BlobKind>,
    /// Packs of others, or of earlier sessions, that this one relies on.
    relied_on: HashSet<PackId>,
    /// Whether packs that were asked about as a whole can be relied on.
    own_packs: HashMap<PackId, bool>,
    /// Blobs on their way whose packs are of interest, and those packs once segments list them.
    awaited: HashMap<BlobId, Option<PackId>>,
    statistics: BlobStatistics,
    /// Index segments written so far.
    segments: u32,
    commits: Vec<ObjectId>,
}

impl<'a> WriteSession<'a> {
    /// Raises the flag, looks at `gc/`, brings the index up to date.
    ///
    /// Packs in `distrusted` are never relied on: those that a first attempt found gone.
    pub fn open(
        repository: &'a Repository,
        index: &'a Index,
        domain: DomainKeys,
        distrusted: HashSet<PackId>,
        monitor: &dyn Monitor,
    ) -> Result<Self, WriteError> {
        let look = || {
            let flags = repository.load_flags().map_err(SessionError::from)?;
            repository.refresh_index(index, monitor)?;
            Ok::<_, WriteError>(flags)
        };
        let early = match planted::has(Bug::LooksBeforeFlag) {
            true => Some(look()?),
            false => None,
        };
        let session = Session::open(repository, SessionKind::Write)?;
        let flags = match early {
            Some(flags) => flags,
            None => look()?,
        };
        let new_key = |kind| {
            new_session_key(
                repository.suite,
                repository.config.repository,
                domain.tag,
                kind,
                &domain.readers,
                repository.access.maintenance(),
                repository.entropy(),
            )
        };
        let link = match repository.access.host_key() {
            None => new_key(KeyKind::Link)?,
            Some(host) => new_host_link_key(
                repository.suite,
                repository.config.repository,
                domain.tag,
                &domain.readers,
                repository.access.maintenance(),
                host,
                repository.entropy(),
            )?,
        };
        let keys = SessionKeys {
            data: new_key(KeyKind::Data)?,
            link,
        };
        let mut write_session = Self {
            reader: Reader::new(repository, index),
            session,
            domain,
            keys,
            flags,
            distrusted,
            state: Mutex::default(),
            packs: PackSink::new(repository),
        };
        write_session
            .packs
            .set_envelope(write_session.envelope(ObjectType::Pack));
        Ok(write_session)
    }

    /// The repository.
    pub fn repository(&self) -> &'a Repository {
        self.reader.repository()
    }

    /// Reads what earlier sessions stored.
    pub fn reader(&self) -> &Reader<'a> {
        &self.reader
    }

    /// The domain written to.
    pub fn domain(&self) -> &DomainKeys {
        &self.domain
    }

    /// What was seen under `gc/` when the session was opened.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// A chunker with the repository's sizes and the domain's secret.
    pub fn chunker(&self) -> Chunker {
        let [min, average, max, page] = self.repository().config.chunks.map(|n| n as usize);
        let sizes = ChunkSizes {
            min,
            average,
            max,
            page,
        };
        Chunker::new(sizes, self.domain.ids.chunker_seed())
    }

    /// Sizes so far.
    pub fn statistics(&self) -> BlobStatistics {
        let mut statistics = self.state().statistics;
        statistics.bytes_stored += self.packs.bytes_stored();
        statistics
    }

    /// Decides whether a blob has to be stored. With [`Known::No`] this session counts it as its
    /// own from now on: exactly one caller is told so.
    pub fn claim(&self, id: BlobId, kind: BlobKind) -> Result<Known, WriteError> {
        // Also of a run that stores nothing new for hours.
        self.session.beat(self.repository())?;
        if self.state().pending.contains_key(&id) {
            return Ok(Known::Yes);
        }
        if self.rely_on(id, kind)? {
            return Ok(Known::Yes);
        }
        match self.state().pending.insert(id, kind) {
            None => Ok(Known::No),
            Some(_) => Ok(Known::Yes),
        }
    }

    /// The envelope of this session's objects.
    fn envelope(&self, object_type: ObjectType) -> Envelope {
        let repository = self.repository();
        Envelope {
            object_type,
            suite: repository.suite,
            repository: repository.config.repository,
            domain: self.domain.tag,
            keys: vec![self.keys.data.0.clone(), self.keys.link.0.clone()],
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
