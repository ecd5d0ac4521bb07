//! The head of every sealed object: what it is, and its session keys wrapped to those who may open.
//!
//! Spec: `format-spec/05-envelope.md`.

use crate::crypto::{
    KemError, KemPublic, NONCE_LENGTH, OpenError, Role, SecretKey, Suite, TAG_LENGTH,
    WRAPPED_LENGTH, derive_role_key, key_commitment,
};
use crate::env::{Entropy, EntropyError};
use crate::format::wire::{FormatError, Reader};
use crate::id::{BlobId, DomainTag, EpochTag, KeyId, RepositoryId};
use crate::limits;
use std::sync::Arc;

/// The format version this code reads and writes.
pub const VERSION: u8 = 1;

/// Bytes that a sealed part has beyond its plaintext.
pub const SEAL_OVERHEAD: usize = NONCE_LENGTH + TAG_LENGTH;

/// Bytes of an envelope without key entries.
pub const FIXED_LENGTH: usize = 46;

const MAGIC: [u8; 8] = *b"ICECORE\0";

/// What an envelope begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectType {
    /// A pack of blobs.
    Pack = 0,
    /// A snapshot: a commit object.
    Snapshot = 1,
    /// An index segment.
    Segment = 2,
    /// The snapshots of one run.
    Set = 3,
    /// What was verified or drilled.
    Proof = 4,
    /// A snapshot that may not be deleted.
    Hold = 5,
    /// An audit event.
    Audit = 6,
    /// A session begins.
    SessionOpen = 7,
    /// A session is alive.
    SessionBeat = 8,
    /// A session is finished, all its commits acknowledged.
    SessionEnd = 9,
    /// The commit objects of a closed session that count.
    Closed = 10,
    /// What a prune may delete.
    Condemn = 11,
    /// What a prune deletes: a commit object.
    Delete = 12,
    /// Snapshots withdrawn, or shown again.
    Hide = 13,
    /// A writer is being fenced.
    Fence = 14,
    /// Reserved: parity over packs.
    Parity = 15,
}

impl ObjectType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Pack,
        Self::Snapshot,
        Self::Segment,
        Self::Set,
        Self::Proof,
        Self::Hold,
        Self::Audit,
        Self::SessionOpen,
        Self::SessionBeat,
        Self::SessionEnd,
        Self::Closed,
        Self::Condemn,
        Self::Delete,
        Self::Hide,
        Self::Fence,
        Self::Parity,
    ];

    /// The name in the spec, in errors and as the context of signatures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Snapshot => "snapshot",
            Self::Segment => "segment",
            Self::Set => "set",
            Self::Proof => "proof",
            Self::Hold => "hold",
            Self::Audit => "audit",
            Self::SessionOpen => "session-open",
            Self::SessionBeat => "session-beat",
            Self::SessionEnd => "session-end",
            Self::Closed => "closed",
            Self::Condemn => "condemn",
            Self::Delete => "delete",
            Self::Hide => "hide",
            Self::Fence => "fence",
            Self::Parity => "parity",
        }
    }
}

/// Which of a session's two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// DK: content, names, facts.
    Data = 1,
    /// LK: what maintenance may see.
    Link = 2,
}

impl KeyKind {
    /// Whether a part of this role may be sealed under such a key: content under a link key would
    /// be open to maintenance.
    pub fn fits(self, role: Role) -> bool {
        role.uses_data_key() == (self == Self::Data)
    }
}

/// For whom a session key is wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// The domain's pair D(d,e).
    Domain(EpochTag, Box<[u8; WRAPPED_LENGTH]>),
    /// The maintenance pair T(e).
    Maintenance(EpochTag, Box<[u8; WRAPPED_LENGTH]>),
    /// The writing host's own symmetric key C_w: nonce, sealed key, tag.
    Host(EpochTag, [u8; SYMMETRIC_LENGTH]),
}

/// Bytes of a key wrapped under a symmetric key.
pub const SYMMETRIC_LENGTH: usize = NONCE_LENGTH + 32 + TAG_LENGTH;

impl Recipient {
    /// The number of [`Self::Host`].
    pub(in crate::format) const HOST: u8 = 3;

    /// Number in the encoding and in the wrap's context.
    pub fn number(&self) -> u8 {
        match self {
            Self::Domain(..) => 1,
            Self::Maintenance(..) => 2,
            Self::Host(..) => Self::HOST,
        }
    }

    /// Whose key pair.
    pub fn epoch(&self) -> EpochTag {
        match self {
            Self::Domain(epoch, _) | Self::Maintenance(epoch, _) | Self::Host(epoch, _) => *epoch,
        }
    }

    fn body(&self) -> &[u8] {
        match self {
            Self::Domain(_, wrapped) | Self::Maintenance(_, wrapped) => &wrapped[..],
            Self::Host(_, wrapped) => wrapped,
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let number = reader.u8()?;
        let epoch = EpochTag(reader.array()?);
        let length = usize::from(reader.u16()?);
        match (number, length) {
            (1, WRAPPED_LENGTH) => Ok(Self::Domain(epoch, Box::new(reader.array()?))),
            (2, WRAPPED_LENGTH) => Ok(Self::Maintenance(epoch, Box::new(reader.array()?))),
            (Self::HOST, SYMMETRIC_LENGTH) => Ok(Self::Host(epoch, reader.array()?)),
            _ => Err(reader.error(format!("unknown recipient {number} of {length} bytes"))),
        }
    }
}

/// A session key as an envelope carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key's name.
    pub id: KeyId,
    /// DK or LK.
    pub kind: KeyKind,
    /// What the unwrapped key must commit to.
    pub commit: [u8; 32],
    /// Who can unwrap it.
    pub recipients: Vec<Recipient>,
}

impl KeyEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.commit);
        out.push(self.recipients.len() as u8);
        for recipient in &self.recipients {
            out.push(recipient.number());
            out.extend_from_slice(recipient.epoch().as_bytes());
            out.extend_from_slice(&(recipient.body().len() as u16).to_le_bytes());
            out.extend_from_slice(recipient.body());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let id = KeyId(reader.array()?);
        let kind = match reader.u8()? {
            1 => KeyKind::Data,
            2 => KeyKind::Link,
            other => return Err(reader.error(format!("unknown key kind {other}"))),
        };
        let commit = reader.array()?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > limits::KEY_RECIPIENTS_MAX {
            return Err(reader.error(format!("a key has {count} recipients")));
        }
        let recipients = (0..count)
            .map(|_| Recipient::decode(reader))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            id,
            kind,
            commit,
            recipients,
        })
    }
}

/// The decoded head of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What follows.
    pub object_type: ObjectType,
    /// How it is sealed.
    pub suite: Suite,
    /// Whose it is.
    pub repository: RepositoryId,
    /// Its domain; zero for records that belong to none.
    pub domain: DomainTag,
    /// Its session keys; sealed parts name them by position.
    pub keys: Vec<KeyEntry>,
}

impl Envelope {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.push(self.suite.number());
        out.push(self.object_type as u8);
        out.push(0);
        out.extend_from_slice(self.repository.as_bytes());
        out.extend_from_slice(self.domain.as_bytes());
        out.extend_from_slice(&(self.keys.len() as u16).to_le_bytes());
        for key in &self.keys {
            key.encode(out);
        }
    }

    /// Reads the front of an object, whatever follows.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        if reader.array()? != MAGIC {
            return Err(reader.error("not an icecore object"));
        }
        let version = reader.u8()?;
        if version != VERSION {
            return Err(reader.error(format!(
                "format version {version}; this icecore reads version {VERSION}"
            )));
        }
        let suite = reader.u8()?;
        let suite = Suite::from_number(suite)
            .ok_or_else(|| reader.error(format!("unknown cipher suite {suite}")))?;
        let number = reader.u8()?;
        let object_type = *ObjectType::ALL
            .get(usize::from(number))
            .ok_or_else(|| reader.error(format!("unknown object type {number}")))?;
        if reader.u8()? != 0 {
            return Err(reader.error("the reserved byte is not zero"));
        }
        let repository = RepositoryId(reader.array()?);
        let domain = DomainTag(reader.array()?);
        let count = usize::from(reader.u16()?);
        if count > limits::ENVELOPE_KEYS_MAX {
            return Err(reader.error(format!("{count} key entries")));
        }
        let keys = (0..count)
            .map(|_| KeyEntry::decode(reader))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            object_type,
            suite,
            repository,
            domain,
            keys,
        })
    }

    /// What a wrap of `key` is bound to: repository, domain, key id, kind, recipient, epoch.
    pub fn wrap_context(&self, key: &KeyEntry, recipient: &Recipient) -> Vec<u8> {
        wrap_context(
            self.repository,
            self.domain,
            key.id,
            key.kind,
            recipient.number(),
            recipient.epoch(),
        )
    }
}

pub(in crate::format) fn wrap_context(
    repository: RepositoryId,
    domain: DomainTag,
    key: KeyId,
    kind: KeyKind,
    recipient: u8,
    epoch: EpochTag,
) -> Vec<u8> {
    let mut context = Vec::with_capacity(66);
    context.extend_from_slice(repository.as_bytes());
    context.extend_from_slice(domain.as_bytes());
    context.extend_from_slice(key.as_bytes());
    context.push(kind as u8);
    context.push(recipient);
    context.extend_from_slice(epoch.as_bytes());
    context
}

/// A public key that session keys are wrapped to.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct EpochPublic {
    /// Which epoch of the pair.
    #[n(0)]
    pub epoch: EpochTag,
    /// The pair's public half.
    #[n(1)]
    pub public: KemPublic,
}

/// An unwrapped, committed session key with the keys of all its roles.
pub struct SessionKey {
    id: KeyId,
    commit: [u8; 32],
    roles: Vec<SecretKey>,
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionKey({})", self.id)
    }
}

impl SessionKey {
    /// Derives the roles of an unwrapped key. `None` when it is not what `entry` commits to.
    pub fn committed(entry: &KeyEntry, key: &SecretKey) -> Option<Self> {
        (key_commitment(key) == entry.commit).then(|| Self::derive(entry.id, key))
    }

    fn derive(id: KeyId, key: &SecretKey) -> Self {
        Self {
            id,
            commit: key_commitment(key),
            roles: Role::ALL
                .iter()
                .map(|role| derive_role_key(key, *role))
                .collect(),
        }
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    fn role(&self, role: Role) -> &SecretKey {
        &self.roles[usize::from(role.number()) - 1]
    }
}

/// Draws a session key and wraps it: DK to the domain, LK to the domain and maintenance.
pub fn new_session_key(
    suite: Suite,
    repository: RepositoryId,
    domain: DomainTag,
    kind: KeyKind,
    readers: &EpochPublic,
    maintenance: &EpochPublic,
    entropy: &dyn Entropy,
) -> Result<(KeyEntry, SessionKey), KemError> {
    let drawn = draw_session_key(
        suite,
        repository,
        domain,
        kind,
        readers,
        maintenance,
        entropy,
    );
    drawn.map(|(entry, session_key, _)| (entry, session_key))
}

/// The same, with the key itself, for who has one more recipient to wrap it to.
pub(in crate::format) fn draw_session_key(
    suite: Suite,
    repository: RepositoryId,
    domain: DomainTag,
    kind: KeyKind,
    readers: &EpochPublic,
    maintenance: &EpochPublic,
    entropy: &dyn Entropy,
) -> Result<(KeyEntry, SessionKey, SecretKey), KemError> {
    let key = SecretKey::random(entropy).map_err(KemError::Entropy)?;
    let id = KeyId(entropy.array().map_err(KemError::Entropy)?);
    let wrap = |to: &EpochPublic, recipient: u8| {
        let context = wrap_context(repository, domain, id, kind, recipient, to.epoch);
        to.public.wrap(suite, &context, &key, entropy)
    };
    let mut recipients = vec![Recipient::Domain(readers.epoch, wrap(readers, 1)?)];
    if kind == KeyKind::Link {
        recipients.push(Recipient::Maintenance(
            maintenance.epoch,
            wrap(maintenance, 2)?,
        ));
    }
    let session_key = SessionKey::derive(id, &key);
    let entry = KeyEntry {
        id,
        kind,
        commit: session_key.commit,
        recipients,
    };
    Ok((entry, session_key, key))
}

/// How a blob's bytes stand for its plaintext. Zero in every other sealed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobBinding {
    /// The blob's id.
    pub id: BlobId,
    /// Number of its form.
    pub form: u8,
    /// Number of its codec.
    pub codec: u8,
    /// Generation of a delta.
    pub generation: u16,
    /// A delta's base.
    pub base: BlobId,
}

/// Everything a sealed part is bound to besides its key.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The suite.
    pub suite: Suite,
    /// The repository.
    pub repository: RepositoryId,
    /// The domain.
    pub domain: DomainTag,
    /// What the part is.
    pub role: Role,
    /// Which blob, if it is one.
    pub blob: BlobBinding,
    /// Bytes of the blob's plaintext chunk, or of the part.
    pub plain_length: u32,
}

/// Bytes of associated data.
const ASSOCIATED_LENGTH: usize = 139;

impl Binding {
    /// version ‖ suite ‖ repository ‖ domain ‖ role ‖ commit ‖ id ‖ form ‖ codec ‖ generation ‖
    /// plain length ‖ base. Not pack, not offset: a sealed blob can be moved.
    fn associated_data(&self, commit: &[u8; 32]) -> [u8; ASSOCIATED_LENGTH] {
        let mut data = [0; ASSOCIATED_LENGTH];
        let mut rest = &mut data[..];
        let mut put = |bytes: &[u8]| {
            let (front, back) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            front.copy_from_slice(bytes);
            rest = back;
        };
        put(&[VERSION, self.suite.number()]);
        put(self.repository.as_bytes());
        put(self.domain.as_bytes());
        put(&[self.role.number()]);
        put(commit);
        put(self.blob.id.as_bytes());
        put(&[self.blob.form, self.blob.codec]);
        put(&self.blob.generation.to_le_bytes());
        put(&self.plain_length.to_le_bytes());
        put(self.blob.base.as_bytes());
        data
    }

    /// Appends nonce ‖ ciphertext ‖ tag of `plain` to `out`.
    pub fn seal_into(
        &self,
        key: &SessionKey,
        plain: &[u8],
        out: &mut Vec<u8>,
        entropy: &dyn Entropy,
    ) -> Result<(), EntropyError> {
        let mut nonce = [0; NONCE_LENGTH];
        entropy.fill(&mut nonce)?;
        out.reserve(plain.len() + SEAL_OVERHEAD);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = self.suite.seal(
            key.role(self.role),
            &nonce,
            &self.associated_data(&key.commit),
            &mut out[start..],
        );
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens nonce ‖ ciphertext ‖ tag in place and returns the plaintext inside `sealed`.
    pub fn open_in_place<'a>(
        &self,
        key: &SessionKey,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        if sealed.len() < SEAL_OVERHEAD {
            return Err(OpenError);
        }
        let (nonce, rest) = sealed.split_at_mut(NONCE_LENGTH);
        let (data, tag) = rest.split_at_mut(rest.len() - TAG_LENGTH);
        let nonce: &[u8; NONCE_LENGTH] = (&*nonce).try_into().map_err(|_| OpenError)?;
        let tag: &[u8; TAG_LENGTH] = (&*tag).try_into().map_err(|_| OpenError)?;
        self.suite.open(
            key.role(self.role),
            nonce,
            &self.associated_data(&key.commit),
            data,
            tag,
        )?;
        Ok(data)
    }
}

/// Unwraps the session keys of envelopes: what a set of credentials can open.
pub trait Unwrapper: Send + Sync {
    /// The key of `entry`, checked against its commitment.
    fn unwrap(&self, envelope: &Envelope, entry: &KeyEntry)
    -> Result<Arc<SessionKey>, UnwrapError>;
}

/// A session key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum UnwrapError {
    /// The credential in use is not among the recipients.
    #[error("this credential cannot open session key {0}")]
    NotARecipient(KeyId),
    /// The wrap does not open: changed bytes.
    #[error("session key {0} does not unwrap")]
    Damaged(KeyId, #[source] KemError),
    /// The key is not the one that was committed to.
    #[error("session key {0} is not what its envelope commits to")]
    Commitment(KeyId),
}
