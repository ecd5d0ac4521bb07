//! Signed documents: the config and the numbered statements, which anyone may read.
//!
//! Spec: `format-spec/04-keys.md`.

use crate::crypto::{SIGNATURE_LENGTH, SigningKey, Suite, VerifyingKey};
use crate::env::Timestamp;
use crate::format::envelope::{EpochPublic, VERSION};
use crate::format::record::checksum_holds;
use crate::format::wire::{FormatError, Reader, from_cbor, to_cbor};
use crate::id::{DomainTag, RepositoryId, WriterId};
use crate::limits;
use minicbor::{Decode, Encode};

const MAGIC: [u8; 8] = *b"ICEDOCU\0";

/// `config`: what never changes about a repository.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Config {
    /// Its identity.
    #[n(0)]
    pub repository: RepositoryId,
    /// Its cipher suite.
    #[n(1)]
    pub suite: u8,
    /// When it was made.
    #[n(2)]
    pub created: Timestamp,
    /// The root key that every credential pins.
    #[n(3)]
    pub root: VerifyingKey,
    /// Smallest, average and largest content-defined chunk and the fixed chunk of page files,
    /// bytes.
    #[n(4)]
    pub chunks: [u32; 4],
    /// How long a LIST may lag behind a PUT on this store, milliseconds.
    #[n(5)]
    pub settle_milliseconds: u32,
}

impl Config {
    /// The suite, if this code knows it.
    pub fn suite(&self) -> Result<Suite, FormatError> {
        Suite::from_number(self.suite)
            .ok_or_else(|| FormatError::new("config", format!("unknown suite {}", self.suite)))
    }

    fn fault(&self) -> Option<&'static str> {
        let [min, average, max, page] = self.chunks.map(|bytes| bytes as usize);
        let ordered = 64 <= min && min < average && average < max && max <= limits::CHUNK_BYTES_MAX;
        if !ordered || !average.is_power_of_two() {
            return Some("its chunk sizes are out of order");
        }
        let page_ok = (limits::DELTA_UNIT_BYTES..=limits::CHUNK_BYTES_MAX).contains(&page)
            && page.is_multiple_of(limits::DELTA_UNIT_BYTES);
        (!page_ok).then_some("its fixed chunk size is out of bounds")
    }
}

/// A numbered statement: the complete current state of what changes. The highest number counts;
/// a lower one than was seen before is a replay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EpochStatement {
    /// Its number, from 1.
    #[n(0)]
    pub number: u64,
    /// When it was signed.
    #[n(1)]
    pub created: Timestamp,
    /// Maintenance's current public key.
    #[n(2)]
    pub maintenance: EpochPublic,
    /// The domains and their current public keys.
    #[n(3)]
    pub domains: Vec<DomainPublic>,
    /// Writers that are revoked: of their commit objects only those count that a `closed` record
    /// names. What a record says of its own age proves nothing.
    #[n(4)]
    pub revoked: Vec<WriterId>,
}

/// What everyone knows of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DomainPublic {
    /// Its tag in envelopes.
    #[n(0)]
    pub tag: DomainTag,
    /// Its current public key.
    #[n(1)]
    pub current: EpochPublic,
    /// Whether its secret was never in the keyring, so that it can be destroyed.
    #[n(2)]
    pub erasable: bool,
    /// Whether its secret was destroyed.
    #[n(3)]
    pub erased: bool,
}

/// A document's kind: the byte after the version, and the context of its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config = 1,
    Statement = 2,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Statement => "statement",
        }
    }
}

/// magic 8 ‖ version 1 ‖ kind 1 ‖ length 4 ‖ CBOR ‖ suite 1 ‖ signature 64 ‖ BLAKE3 32.
fn encode(kind: Kind, body: &[u8], root: &SigningKey) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[VERSION, kind as u8]);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    out.push(1);
    let signature = root.sign(kind.name(), &out);
    out.extend_from_slice(&signature);
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

/// A document whose signature was not looked at yet: the root to verify it with may be inside.
struct Unverified<'a> {
    kind: Kind,
    body: &'a [u8],
    signed: &'a [u8],
    signature: [u8; SIGNATURE_LENGTH],
}

impl<'a> Unverified<'a> {
    fn decode(kind: Kind, bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(kind.name(), bytes);
        if bytes.len() > limits::KEY_OBJECT_BYTES_MAX || !checksum_holds(bytes) {
            return Err(reader.error("its checksum is wrong"));
        }
        if reader.array()? != MAGIC {
            return Err(reader.error("not an icecore document"));
        }
        let version = reader.u8()?;
        if version != VERSION {
            return Err(reader.error(format!(
                "format version {version}; this icecore reads version {VERSION}"
            )));
        }
        if reader.u8()? != kind as u8 {
            return Err(reader.error("is another kind of document"));
        }
        let length = reader.count("bytes", limits::KEY_OBJECT_BYTES_MAX)?;
        let body = reader.take(length)?;
        if reader.u8()? != 1 {
            return Err(reader.error("unknown signature suite"));
        }
        let signed = &bytes[..reader.position()];
        let signature = reader.array()?;
        reader.take(32)?;
        reader.end()?;
        Ok(Self {
            kind,
            body,
            signed,
            signature,
        })
    }

    fn verify(&self, root: &VerifyingKey) -> Result<(), FormatError> {
        root.verify(self.kind.name(), self.signed, &self.signature)
            .map_err(|error| FormatError::new(self.kind.name(), error.to_string()))
    }
}

impl Config {
    /// Signs and encodes.
    pub fn encode(&self, root: &SigningKey) -> Vec<u8> {
        encode(Kind::Config, &to_cbor(self), root)
    }

    /// Decodes and verifies the signature by the root that the config itself names: enough to
    /// find the slots. Whoever has opened a credential calls [`Config::is_rooted_in`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let document = Unverified::decode(Kind::Config, bytes)?;
        let config: Self = from_cbor("config", document.body)?;
        document.verify(&config.root)?;
        match config.fault() {
            None => Ok(config),
            Some(fault) => Err(FormatError::new("config", fault)),
        }
    }

    /// Whether the root it names is the one that a credential pins.
    pub fn is_rooted_in(&self, pinned: &VerifyingKey) -> bool {
        self.root == *pinned
    }
}

impl EpochStatement {
    /// Signs and encodes.
    pub fn encode(&self, root: &SigningKey) -> Vec<u8> {
        encode(Kind::Statement, &to_cbor(self), root)
    }

    /// Decodes and verifies the signature of the pinned root.
    pub fn decode(bytes: &[u8], root: &VerifyingKey) -> Result<Self, FormatError> {
        let document = Unverified::decode(Kind::Statement, bytes)?;
        document.verify(root)?;
        from_cbor("statement", document.body)
    }

    /// The domain with this tag.
    pub fn domain(&self, tag: DomainTag) -> Option<&DomainPublic> {
        self.domains.iter().find(|domain| domain.tag == tag)
    }
}
