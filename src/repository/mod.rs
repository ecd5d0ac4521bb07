//! A repository: a store, its config, and an opened credential.
//!
//! Only this layer touches keys and packs. Reading goes through [`Reader`], writing through
//! [`WriteSession`]; both follow `format-spec/11-ordering.md`.

mod audit;
mod flags;
mod follow;
pub mod gc;
mod heads;
mod holds;
pub mod index;
mod keeping;
mod keyless;
mod keys;
mod proofs;
mod reader;
mod records;
mod segments;
mod session;
mod snapshots;
mod spool;
mod verify;
mod writer;

pub use audit::{
    AuditChain, AuditEntry, AuditFault, AuditReport, AuditTail, AuditVerifyError, KnownBy,
};
pub use flags::{Flags, PruneRecord};
pub use holds::{HoldEntry, HoldError, Holds};
pub use keeping::KeepError;
pub(crate) use keeping::heads;
pub use keys::{
    Access, CredentialKind, CredentialSummary, DomainKeys, DomainName, Grant, HOST_KEYS, KeyError,
    KeysDrawn, Lack, Lineage, Need, NewCredential, NewKeys, Rotation, SharedDomain,
};
pub use proofs::{PROOF_PACKS_MAX, ProofList, SignedProof};
pub use reader::{Encoded, PackKeys, ReadError, Reader, Served, Stretches};
pub use records::{LinkRecordError, RecordLoadError};
pub use segments::{HostLink, MovedSegment};
pub use session::{Session, SessionError};
pub use snapshots::{Snapshot, SnapshotList};
pub use verify::ObjectFault;
pub use writer::{
    BlobStatistics, Carriers, CommitError, Known, PreparedBlob, Sealer, SnapshotParts, WriteError,
    WriteSession,
};

use crate::crypto::{Argon2Parameters, Suite};
use crate::env::{Clock, Entropy, EntropyError};
use crate::format::document::Config;
use crate::format::layout;
use crate::format::slot::Unlock;
use crate::format::wire::FormatError;
use crate::id::RepositoryId;
use crate::limits;
use crate::monitor::Cancel;
use crate::store::{
    ObjectKey, Pacing, SettlingStore, Store, StoreError, StoreErrorKind, StoreExt, StoreResult,
};
use std::sync::Arc;
use std::time::Duration;

/// An open repository.
#[derive(Debug)]
pub struct Repository {
    store: Arc<dyn Store>,
    config: Config,
    suite: Suite,
    access: Access,
    memory: Option<keys::StatementMemory>,
    audit_memory: Option<audit::AuditMemory>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
}

/// A repository could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing there is a repository.
    #[error("there is no repository at {0}")]
    NotFound(String),
    /// There is one already.
    #[error("there is a repository at {0} already")]
    Exists(String),
    /// The config was changed or is of another version.
    #[error("cannot read the repository's config")]
    Config(#[source] FormatError),
    /// The credential does not open it.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What `repo init` chooses.
#[derive(Debug)]
pub struct InitOptions<'a> {
    /// The cipher suite.
    pub suite: Suite,
    /// What the first credential is opened with.
    pub unlock: &'a Unlock,
    /// The cost, if that is a passphrase.
    pub cost: Argon2Parameters,
    /// The first credential's name.
    pub label: String,
    /// How long a listing may lag behind a put on this store.
    pub settle: Duration,
}

/// Smallest, average and largest content-defined chunk, and the fixed chunk of page files.
const CHUNKS: [u32; 4] = [
    limits::CHUNK_BYTES_MIN as u32,
    limits::CHUNK_BYTES_AVERAGE as u32,
    limits::CHUNK_BYTES_MAX as u32,
    limits::CHUNK_BYTES_AVERAGE as u32,
];

/// With the waits that a store whose listings lag needs.
fn settled(store: Arc<dyn Store>, settle: Duration) -> Arc<dyn Store> {
    match settle {
        Duration::ZERO => store,
        settle => {
            let pacing = Pacing::system(Cancel::default());
            Arc::new(SettlingStore::new(store, settle, pacing))
        }
    }
}

impl Repository {
    /// Makes a repository in an empty store. The config is written last: without it there is none,
    /// so that a crash leaves at worst a few unused key objects.
    pub fn init(
        store: Arc<dyn Store>,
        options: &InitOptions<'_>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::init_like(store, options, None, entropy, clock)
    }

    /// The same, as a sibling of `like`: sizes of chunks and id keys are taken over, so that the same
    /// content has the same ids in both. Everything that opens or signs is new.
    ///
    /// Errors: [`KeyError::NothingToShare`] where the credential in use holds no id key that may be
    /// taken over.
    pub fn init_like(
        store: Arc<dyn Store>,
        options: &InitOptions<'_>,
        like: Option<&Self>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let bare = store;
        let store = settled(Arc::clone(&bare), options.settle);
        let key = object_key(layout::CONFIG.to_owned())?;
        if store.exists(&key)? {
            return Err(OpenError::Exists(store.location()));
        }
        let created = clock.now();
        let new = NewKeys {
            repository: RepositoryId(entropy.array()?),
            suite: options.suite,
            unlock: options.unlock,
            cost: options.cost,
            label: options.label.clone(),
            created,
            shared: like.map_or_else(|| Ok(Vec::new()), Self::shared_domains)?,
        };
        let (root, _) = keys::create_keys(&*store, &new, &*entropy)?;
        store.barrier()?;
        let config = Config {
            repository: new.repository,
            suite: options.suite.number(),
            created,
            root: root.verifying_key(),
            chunks: like.map_or(CHUNKS, |like| like.config.chunks),
            settle_milliseconds: u32::try_from(options.settle.as_millis()).unwrap_or(u32::MAX),
        };
        store.put(&key, &config.encode(&root))?;
        store.barrier()?;
        // Read back what was written, with what will be used to read it.
        Self::open(bare, options.unlock, entropy, clock)
    }

    /// Opens a repository with a passphrase or key.
    pub fn open(
        store: Arc<dyn Store>,
        unlock: &Unlock,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let config = Self::config_of(&*store)?;
        let suite = config.suite().map_err(OpenError::Config)?;
        let access = keys::open_access(&*store, &config, suite, unlock)?;
        let settle = Duration::from_millis(u64::from(config.settle_milliseconds));
        let store = settled(store, settle);
        Ok(Self {
            store,
            config,
            suite,
            access,
            memory: None,
            audit_memory: None,
            entropy,
            clock,
        })
    }

    /// Reads the config alone: what can be known without a key.
    pub fn config_of(store: &dyn Store) -> Result<Config, OpenError> {
        let key = object_key(layout::CONFIG.to_owned())?;
        let bytes = match store.get(&key, limits::KEY_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => {
                return Err(OpenError::NotFound(store.location()));
            }
            Err(error) => return Err(error.into()),
        };
        Config::decode(&bytes).map_err(OpenError::Config)
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The cipher suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The credential in use.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }
}

/// Object keys made by `layout` from ids are valid by construction; anything else is refused.
pub(in crate::repository) fn object_key(text: String) -> StoreResult<ObjectKey> {
    ObjectKey::new(text).map_err(|invalid| StoreError {
        kind: StoreErrorKind::Permanent,
        operation: "name",
        object: invalid.0.clone(),
        location: String::new(),
        source: Box::new(invalid),
    })
}

/// Stores an object under a key that `layout` made.
pub(in crate::repository) fn put_named(
    store: &dyn Store,
    key: String,
    bytes: &[u8],
) -> StoreResult<()> {
    store.put(&object_key(key)?, bytes)
}

impl std::fmt::Debug for dyn Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

impl std::fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
