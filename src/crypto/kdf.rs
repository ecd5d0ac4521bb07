//! Key derivation: roles of one key, identities of blobs, and keys from what a person holds.
//!
//! Derivation only goes downwards inside one lifetime (BLAKE3 `derive_key` with a context per
//! role); whatever is rotated or destroyed by itself is random. Spec: `format-spec/04-keys.md`.

use crate::crypto::secret::SecretKey;
use crate::id::{BlobId, SlotId};
use crate::limits;
use std::sync::OnceLock;

/// What a sealed part is. Bound into its key and into its associated data: nothing opens in
/// another role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// A chunk of content.
    Chunk = 1,
    /// Several small chunks in one blob.
    Group = 2,
    /// The names, modes and times of a directory node.
    NodeBody = 3,
    /// The child ids of a directory node, or a content list.
    NodeLinks = 4,
    /// A pack's table of contents.
    Toc = 5,
    /// A pack's trailer.
    Trailer = 6,
    /// A pack's padding.
    Pad = 7,
    /// An index segment's rows.
    Segment = 8,
    /// A snapshot's body: paths, facts, problems.
    SnapshotBody = 9,
    /// A snapshot's links: the root and what it holds.
    SnapshotLinks = 10,
    /// A snapshot's label: what retention needs.
    SnapshotLabel = 11,
    /// Proofs, holds, sets and audit records.
    Record = 12,
    /// The keyring.
    Keyring = 13,
    /// A slot's secret and its credential bundle.
    Slot = 14,
    /// Entries of the local cache.
    Cache = 15,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Chunk,
        Self::Group,
        Self::NodeBody,
        Self::NodeLinks,
        Self::Toc,
        Self::Trailer,
        Self::Pad,
        Self::Segment,
        Self::SnapshotBody,
        Self::SnapshotLinks,
        Self::SnapshotLabel,
        Self::Record,
        Self::Keyring,
        Self::Slot,
        Self::Cache,
    ];

    /// The role with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The role's number in associated data.
    pub fn number(self) -> u8 {
        self as u8
    }

    fn context(self) -> &'static str {
        match self {
            Self::Chunk => "icecore 1 chunk",
            Self::Group => "icecore 1 group",
            Self::NodeBody => "icecore 1 node-body",
            Self::NodeLinks => "icecore 1 node-links",
            Self::Toc => "icecore 1 toc",
            Self::Trailer => "icecore 1 trailer",
            Self::Pad => "icecore 1 pad",
            Self::Segment => "icecore 1 segment",
            Self::SnapshotBody => "icecore 1 snapshot-body",
            Self::SnapshotLinks => "icecore 1 snapshot-links",
            Self::SnapshotLabel => "icecore 1 snapshot-label",
            Self::Record => "icecore 1 record",
            Self::Keyring => "icecore 1 keyring",
            Self::Slot => "icecore 1 slot",
            Self::Cache => "icecore 1 cache",
        }
    }
}

/// role key = BLAKE3.derive_key("icecore 1 " role, key).
pub fn derive_role_key(key: &SecretKey, role: Role) -> SecretKey {
    SecretKey::from_bytes(blake3::derive_key(role.context(), key.expose()))
}

/// commit = BLAKE3.derive_key("icecore 1 commit", key): published beside a wrapped key and checked
/// before anything is opened with it, so that no ciphertext opens under two keys.
pub fn key_commitment(key: &SecretKey) -> [u8; 32] {
    blake3::derive_key("icecore 1 commit", key.expose())
}

/// KEK of a high-entropy secret (key file, command output):
/// BLAKE3.derive_key("icecore 1 slot secret", slot id ‖ secret). Never for a passphrase.
pub fn slot_key_from_secret(slot: &SlotId, secret: &[u8]) -> SecretKey {
    let mut hasher = blake3::Hasher::new_derive_key("icecore 1 slot secret");
    hasher.update(slot.as_bytes());
    hasher.update(secret);
    SecretKey::from_bytes(*hasher.finalize().as_bytes())
}

/// Cost of turning a passphrase into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Parameters {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Argon2Parameters {
    /// 256 MiB, 4 passes, 1 lane: about a second here, and more than a guesser likes to pay.
    fn default() -> Self {
        Self {
            memory_kib: 256 << 10,
            passes: 4,
            lanes: 1,
        }
    }
}

/// A passphrase could not be turned into a key.
#[derive(Debug, thiserror::Error)]
pub enum KdfError {
    /// A slot asks for more work than any reader does.
    #[error(
        "the slot asks for {memory_kib} KiB and {passes} passes of Argon2id, more than is accepted"
    )]
    TooExpensive {
        /// KiB asked for.
        memory_kib: u32,
        /// Passes asked for.
        passes: u32,
    },
    /// The parameters make no sense to Argon2id.
    #[error("the slot's Argon2id parameters are invalid: {0}")]
    Invalid(String),
}

/// KEK of a passphrase: Argon2id (RFC 9106, version 0x13) over the passphrase's bytes.
pub fn passphrase_key(
    passphrase: &[u8],
    salt: &[u8; 16],
    cost: Argon2Parameters,
) -> Result<SecretKey, KdfError> {
    if cost.memory_kib > limits::ARGON2_KIB_MAX
        || cost.passes > limits::ARGON2_PASSES_MAX
        || cost.lanes > limits::ARGON2_LANES_MAX
    {
        return Err(KdfError::TooExpensive {
            memory_kib: cost.memory_kib,
            passes: cost.passes,
        });
    }
    let invalid = |error: argon2::Error| KdfError::Invalid(error.to_string());
    let parameters =
        argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(invalid)?;
    let argon2 = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        parameters,
    );
    let mut key = zeroize::Zeroizing::new([0; 32]);
    argon2
        .hash_password_into(passphrase, salt, key.as_mut())
        .map_err(invalid)?;
    Ok(SecretKey::from_bytes(*key))
}

/// A domain's id key I(d): names its blobs, seeds its chunker and its similarity sketches.
///
/// Its roles are derived once; an id confirms a guess only to who holds this key.
#[derive(Debug)]
pub struct IdKey {
    key: SecretKey,
    data: SecretKey,
    group: SecretKey,
    metadata: SecretKey,
    chunker: OnceLock<u64>,
}

impl Clone for IdKey {
    fn clone(&self) -> Self {
        Self::new(self.key.clone())
    }
}

impl IdKey {
    /// Derives the roles of I(d).
    pub fn new(key: SecretKey) -> Self {
        let role = |context| SecretKey::from_bytes(blake3::derive_key(context, key.expose()));
        Self {
            data: role("icecore 1 data id"),
            group: role("icecore 1 group id"),
            metadata: role("icecore 1 metadata id"),
            key,
            chunker: OnceLock::new(),
        }
    }

    /// I(d) itself, for sealing into the keyring or a bundle.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// id = BLAKE3.keyed_hash(derive_key("icecore 1 data id", I(d)), plaintext) for chunks;
    /// "icecore 1 group id" for groups, so that a group of one has another id than its member;
    /// "icecore 1 metadata id" for nodes and content lists.
    pub fn blob_id(&self, role: Role, plaintext: &[u8]) -> BlobId {
        let key = match role {
            Role::Chunk => &self.data,
            Role::Group => &self.group,
            _ => &self.metadata,
        };
        BlobId(*blake3::keyed_hash(key.expose(), plaintext).as_bytes())
    }

    /// The secret seed of FastCDC's gear table: the first eight bytes, little endian, of
    /// derive_key("icecore 1 chunker", I(d)).
    pub fn chunker_seed(&self) -> u64 {
        *self.chunker.get_or_init(|| {
            let bytes = blake3::derive_key("icecore 1 chunker", self.key.expose());
            let mut seed = [0; 8];
            seed.copy_from_slice(&bytes[..8]);
            u64::from_le_bytes(seed)
        })
    }

    /// What two domains have in common exactly when they share this key, so that the same content
    /// has the same id in both: derive_key("icecore 1 lineage", I(d)). Tells nothing else of it.
    pub fn lineage(&self) -> [u8; 32] {
        blake3::derive_key("icecore 1 lineage", self.key.expose())
    }

    /// The secret of similarity sketches, which never leave the host: derive_key("icecore 1
    /// sketch", I(d)).
    pub fn sketch_seed(&self) -> [u8; 32] {
        blake3::derive_key("icecore 1 sketch", self.key.expose())
    }
}
