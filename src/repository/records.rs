//! Loading and storing signed records.

use crate::crypto::{KemError, Role};
use crate::env::{EntropyError, Timestamp};
use crate::format::envelope::{Envelope, KeyKind, ObjectType, new_session_key};
use crate::format::layout;
use crate::format::record::{Authorship, PlainPart, Record, RecordError, encode_record};
use crate::format::wire::FormatError;
use crate::id::{DomainTag, ObjectId, SessionId};
use crate::limits;
use crate::repository::{KeyError, Repository, object_key, put_named};
use crate::store::{ObjectKey, StoreError};

/// A record could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RecordLoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is not what its name says.
    #[error("{key} is damaged: its bytes do not hash to its name")]
    Name {
        /// Which object.
        key: String,
    },
    /// The record is not good.
    #[error("{key} is damaged")]
    Record {
        /// Which object.
        key: String,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// What the record says is not good.
    #[error("{key} is damaged")]
    Content {
        /// Which object.
        key: String,
        /// Why.
        #[source]
        source: FormatError,
    },
}

impl RecordLoadError {
    /// Whether the object is simply not there any more.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }

    /// Whether what was read is wrong, rather than that it could not be read.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

/// A record with a sealed part could not be made or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkRecordError {
    /// The credential has no domain to seal it for, or its keys were rolled back.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Its key could not be wrapped.
    #[error("cannot wrap the record's key")]
    Wrap(#[from] KemError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Repository {
    /// Loads and verifies a record; `id` is given where the object is named by its bytes.
    pub(in crate::repository) fn load_record(
        &self,
        key: &ObjectKey,
        object_type: ObjectType,
        id: Option<ObjectId>,
    ) -> Result<Record, RecordLoadError> {
        let bytes = self.store.get(key, limits::RECORD_BYTES_MAX)?;
        if id.is_some_and(|id| blake3::hash(&bytes).as_bytes() != id.as_bytes()) {
            let key = key.to_string();
            return Err(RecordLoadError::Name { key });
        }
        Record::decode(&bytes, object_type, self.access.root()).map_err(|source| {
            RecordLoadError::Record {
                key: key.to_string(),
                source,
            }
        })
    }

    /// Encodes a record of this credential.
    pub(in crate::repository) fn seal_record(
        &self,
        envelope: &Envelope,
        session: SessionId,
        plain: &[u8],
        parts: &[PlainPart<'_>],
    ) -> Result<Vec<u8>, EntropyError> {
        let made = (session, self.clock.now());
        self.seal_record_made(envelope, made, plain, parts)
    }

    /// The same, of a moment that the caller knows.
    fn seal_record_made(
        &self,
        envelope: &Envelope,
        (session, created): (SessionId, Timestamp),
        plain: &[u8],
        parts: &[PlainPart<'_>],
    ) -> Result<Vec<u8>, EntropyError> {
        let authorship = Authorship {
            writer: self.access.writer(),
            session,
            statement: self.access.statement().number,
            created,
        };
        let signer = self.access.signer();
        encode_record(envelope, &authorship, plain, parts, &signer, &*self.entropy)
    }

    /// Seals `content` under a link key of its own, signs, and stores the record durably below
    /// `prefix`: for records that belong to no session and that maintenance may read.
    pub(in crate::repository) fn put_link_record(
        &self,
        object_type: ObjectType,
        prefix: &str,
        plain: &[u8],
        content: &[u8],
    ) -> Result<ObjectId, LinkRecordError> {
        let made = (SessionId::default(), self.clock.now());
        let bytes = self.seal_link_record(object_type, made, plain, content)?;
        let id = ObjectId(*blake3::hash(&bytes).as_bytes());
        put_named(&*self.store, layout::by_content(prefix, &id), &bytes)?;
        self.store.barrier()?;
        Ok(id)
    }

    /// Seals `content` under a link key of its own and signs the record, made in a session at a moment.
    pub(in crate::repository) fn seal_link_record(
        &self,
        object_type: ObjectType,
        made: (SessionId, Timestamp),
        plain: &[u8],
        content: &[u8],
    ) -> Result<Vec<u8>, LinkRecordError> {
        let (domain, readers) = self.access.record_domain()?;
        let (entry, key) = new_session_key(
            self.suite,
            self.config.repository,
            domain,
            KeyKind::Link,
            readers,
            self.access.maintenance(),
            self.entropy(),
        )?;
        let envelope = Envelope {
            object_type,
            suite: self.suite,
            repository: self.config.repository,
            domain,
            keys: vec![entry],
        };
        let part = PlainPart {
            role: Role::Record,
            key_number: 0,
            key: &key,
            content,
        };
        Ok(self.seal_record_made(&envelope, made, plain, &[part])?)
    }

    /// Encodes and stores a record that has nothing sealed: a flag of the protocol.
    pub(in crate::repository) fn put_flag(
        &self,
        key: String,
        object_type: ObjectType,
        session: SessionId,
        plain: &[u8],
    ) -> Result<(), FlagError> {
        self.access.check_standing()?;
        let envelope = Envelope {
            object_type,
            suite: self.suite,
            repository: self.config.repository,
            domain: DomainTag::default(),
            keys: Vec::new(),
        };
        let bytes = self.seal_record(&envelope, session, plain, &[])?;
        Ok(self.store.put(&object_key(key)?, &bytes)?)
    }
}

/// A flag could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// Nothing that this credential writes would count.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
