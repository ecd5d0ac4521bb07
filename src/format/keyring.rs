//! What credentials hold: the bundle in a slot, and the keyring of full credentials.
//!
//! Spec: `format-spec/04-keys.md`. These are secrets: decoded values wipe themselves.

use crate::crypto::{KemPublic, KemSecret, Role, SIGNATURE_LENGTH, SecretKey, SigningKey, Suite};
use crate::crypto::{SecretBytes, VerifyingKey, derive_role_key, key_commitment};
use crate::env::{Entropy, EntropyError, Timestamp};
use crate::format::certificate::{Capabilities, Certificate};
use crate::format::envelope::VERSION;
use crate::format::slot::{open_bytes, seal_bytes};
use crate::format::wire::{FormatError, Reader, from_cbor, to_cbor};
use crate::id::{DomainTag, EpochTag, RepositoryId, SlotId, WriterId};
use crate::limits;
use minicbor::{Decode, Encode};

/// The secret half of one epoch of a pair.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub struct EpochSecret {
    /// Which epoch.
    #[n(0)]
    pub epoch: EpochTag,
    /// The pair.
    #[n(1)]
    pub secret: KemSecret,
}

/// What readers and writers of a domain hold.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub struct DomainSecret {
    /// Its tag in envelopes.
    #[n(0)]
    pub tag: DomainTag,
    /// Its name, for people.
    #[n(1)]
    pub name: String,
    /// Whether its secrets live only in slots with an outside key.
    #[n(2)]
    pub erasable: bool,
    /// I(d). Absent in the keyring of an erasable domain.
    #[n(3)]
    pub id_key: Option<SecretKey>,
    /// D(d,·), oldest first. Empty for who may not read.
    #[n(4)]
    pub epochs: Vec<EpochSecret>,
}

/// What a slot gives to who opens it.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub struct Bundle {
    /// The credential's name, for people.
    #[n(0)]
    pub label: String,
    /// Its identity as a writer.
    #[n(1)]
    pub writer: WriterId,
    /// Its signing key.
    #[n(2)]
    pub signing: SecretKey,
    /// What the root says it may do.
    #[n(3)]
    pub certificate: Certificate,
    /// The keyring's key M and its generation: full credentials only.
    #[n(4)]
    pub ring: Option<RingKey>,
    /// Domains of a credential that has no keyring, or that are erasable.
    #[n(5)]
    pub domains: Vec<DomainSecret>,
    /// T(·) of a credential that has no keyring.
    #[n(6)]
    pub maintenance: Vec<EpochSecret>,
    /// The newest statement when this was sealed.
    #[n(7)]
    pub statement: u64,
}

/// M_n.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub struct RingKey {
    /// Drawn anew at each rotation.
    #[n(0)]
    pub generation: u64,
    /// The key.
    #[n(1)]
    pub key: SecretKey,
}

/// What is known of an issued credential without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CredentialRecord {
    /// Its slot.
    #[n(0)]
    pub slot: SlotId,
    /// Its identity as a writer.
    #[n(1)]
    pub writer: WriterId,
    /// Its name.
    #[n(2)]
    pub label: String,
    /// What it may do.
    #[n(3)]
    pub capabilities: Capabilities,
    /// In which domains; empty means all.
    #[n(4)]
    pub domains: Vec<DomainTag>,
    /// When it was issued.
    #[n(5)]
    pub created: Timestamp,
    /// Where bundles for it are sealed to.
    #[n(6)]
    pub public: KemPublic,
}

/// Everything that full credentials share.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub struct Keyring {
    /// Counts every change of the ring, from 1.
    #[n(0)]
    pub number: u64,
    /// The root's signing key.
    #[n(1)]
    pub root: SecretKey,
    /// Domains; the first is the default.
    #[n(2)]
    pub domains: Vec<DomainSecret>,
    /// T(·), oldest first.
    #[n(3)]
    pub maintenance: Vec<EpochSecret>,
    /// The credentials issued and not removed.
    #[n(4)]
    pub credentials: Vec<CredentialRecord>,
}

impl Bundle {
    /// Canonical CBOR, in memory that wipes itself.
    pub fn encode(&self) -> SecretBytes {
        SecretBytes::new(to_cbor(self))
    }

    /// Decodes what a slot held.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        from_cbor("bundle", bytes)
    }
}

const MAGIC: [u8; 8] = *b"ICERING\0";

impl Keyring {
    /// magic 8 ‖ version 1 ‖ suite 1 ‖ repository 16 ‖ generation 8 ‖ commit 32 ‖ length 4 ‖
    /// nonce, CBOR sealed under derive_key(M, keyring), tag ‖ suite 1 ‖ root signature 64.
    pub fn seal(
        &self,
        suite: Suite,
        repository: RepositoryId,
        ring: &RingKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, EntropyError> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[VERSION, suite.number()]);
        out.extend_from_slice(repository.as_bytes());
        out.extend_from_slice(&ring.generation.to_le_bytes());
        out.extend_from_slice(&key_commitment(&ring.key));
        let content = SecretBytes::new(to_cbor(self));
        let key = derive_role_key(&ring.key, Role::Keyring);
        seal_bytes(suite, &key, content.expose(), &mut out, entropy)?;
        out.push(1);
        let root = SigningKey::from_seed(self.root.clone());
        let signature = root.sign("keyring", &out);
        out.extend_from_slice(&signature);
        Ok(out)
    }

    /// Opens a keyring. `None` when it is sealed under another M: an older or newer generation.
    pub fn open(
        bytes: &[u8],
        suite: Suite,
        repository: RepositoryId,
        ring: &RingKey,
        root: &VerifyingKey,
    ) -> Result<Option<Self>, FormatError> {
        let sealed = SealedRing::decode(bytes, suite, repository, root)?;
        if key_commitment(&ring.key) != sealed.commit {
            return Ok(None);
        }
        let key = derive_role_key(&ring.key, Role::Keyring);
        let content = open_bytes(suite, &key, sealed.front, sealed.content)
            .map_err(|_| FormatError::new("keyring", "does not open"))?;
        from_cbor("keyring", content.expose()).map(Some)
    }

    /// The generation of the M that a ring is sealed under; what can be told without that.
    pub fn generation_of(
        bytes: &[u8],
        suite: Suite,
        repository: RepositoryId,
        root: &VerifyingKey,
    ) -> Result<u64, FormatError> {
        SealedRing::decode(bytes, suite, repository, root).map(|sealed| sealed.generation)
    }
}

/// A keyring whose signature holds, still sealed.
struct SealedRing<'a> {
    generation: u64,
    commit: [u8; 32],
    front: &'a [u8],
    content: &'a [u8],
}

impl<'a> SealedRing<'a> {
    fn decode(
        bytes: &'a [u8],
        suite: Suite,
        repository: RepositoryId,
        root: &VerifyingKey,
    ) -> Result<Self, FormatError> {
        let mut reader = Reader::new("keyring", bytes);
        if bytes.len() > limits::KEY_OBJECT_BYTES_MAX || reader.array()? != MAGIC {
            return Err(reader.error("not a keyring"));
        }
        if reader.array()? != [VERSION, suite.number()] || reader.array()? != repository.0 {
            return Err(reader.error("belongs to another repository"));
        }
        let generation = reader.u64()?;
        let commit: [u8; 32] = reader.array()?;
        let sealed_at = reader.position();
        let length = reader.count("sealed bytes", limits::KEY_OBJECT_BYTES_MAX)?;
        reader.take(length)?;
        if reader.u8()? != 1 {
            return Err(reader.error("unknown signature suite"));
        }
        let signed = reader.position();
        let signature: [u8; SIGNATURE_LENGTH] = reader.array()?;
        reader.end()?;
        root.verify("keyring", &bytes[..signed], &signature)
            .map_err(|error| reader.error(error.to_string()))?;
        Ok(Self {
            generation,
            commit,
            front: &bytes[..sealed_at],
            content: &bytes[sealed_at..signed - 1],
        })
    }
}
