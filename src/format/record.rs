//! Records: every signed object that is not a pack. One grammar for snapshots, segments, proofs,
//! holds, audit events and the protocol's flags.
//!
//! Spec: `format-spec/07-record.md`.

use crate::crypto::VerifyingKey;
use crate::crypto::{Role, SIGNATURE_LENGTH, SigningKey};
use crate::env::{Entropy, EntropyError, Timestamp};
use crate::format::certificate::{Capabilities, Certificate, CertificateError};
use crate::format::envelope::{
    Binding, BlobBinding, Envelope, ObjectType, SEAL_OVERHEAD, SessionKey, UnwrapError, Unwrapper,
};
use crate::format::wire::{FormatError, Reader, padded_length};
use crate::id::{ObjectId, SessionId, WriterId};
use crate::limits;

/// Ed25519's number; the only signature suite of version 1.
const SIGNATURE_SUITE: u8 = 1;

/// Most sealed parts of a record.
const PARTS_MAX: usize = 4;

/// Who wrote a record, in which session, when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorship {
    /// The credential.
    pub writer: WriterId,
    /// Its session; zero outside one.
    pub session: SessionId,
    /// The highest statement the writer had seen.
    pub statement: u64,
    /// The writer's clock.
    pub created: Timestamp,
}

/// A sealed part, still closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// What it is.
    pub role: Role,
    /// Which session key, by position in the envelope.
    pub key: u16,
    sealed: Vec<u8>,
}

/// A record whose signature holds. Its parts are still sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its head.
    pub envelope: Envelope,
    /// Who wrote it.
    pub authorship: Authorship,
    /// What anyone may read: canonical CBOR, its meaning given by the object type.
    pub plain: Vec<u8>,
    /// What only some may read.
    pub parts: Vec<SealedPart>,
    /// The writer's certificate.
    pub certificate: Certificate,
    /// BLAKE3 of the whole record: its name, where it is named by content.
    pub id: ObjectId,
}

/// A record is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes break the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Who signed it had no right to.
    #[error("its certificate is not good")]
    Certificate(#[from] CertificateError),
    /// The signature is wrong.
    #[error("its signature does not verify")]
    Signature,
    /// A part cannot be opened by this credential, or was changed.
    #[error("its {0:?} part cannot be opened")]
    Key(Role, #[source] UnwrapError),
    /// A part's seal does not open.
    #[error("its {0:?} part does not open")]
    Seal(Role),
}

/// A part to be sealed: its role, the position and the key it is sealed under, its content.
#[derive(Debug)]
pub struct PlainPart<'a> {
    /// What it is.
    pub role: Role,
    /// Position of `key` in the envelope.
    pub key_number: u16,
    /// The session key.
    pub key: &'a SessionKey,
    /// The content; padded before it is sealed.
    pub content: &'a [u8],
}

/// Who signs records: a certificate and the key it speaks of.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The certificate that goes into every record.
    pub certificate: Certificate,
    /// The key.
    pub key: SigningKey,
}

/// Seals and signs a record.
pub fn encode_record(
    envelope: &Envelope,
    authorship: &Authorship,
    plain: &[u8],
    parts: &[PlainPart<'_>],
    signer: &Signer,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, EntropyError> {
    let mut out = Vec::new();
    envelope.encode(&mut out);
    out.extend_from_slice(authorship.writer.as_bytes());
    out.extend_from_slice(authorship.session.as_bytes());
    out.extend_from_slice(&authorship.statement.to_le_bytes());
    out.extend_from_slice(&authorship.created.0.to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    out.extend_from_slice(plain);
    out.push(parts.len() as u8);
    for part in parts {
        let content = pad(part.content);
        out.push(part.role.number());
        out.extend_from_slice(&part.key_number.to_le_bytes());
        out.extend_from_slice(&((content.len() + SEAL_OVERHEAD) as u32).to_le_bytes());
        part_binding(envelope, part.role, content.len())
            .seal_into(part.key, &content, &mut out, entropy)?;
    }
    let certificate = signer.certificate.encode();
    out.extend_from_slice(&(certificate.len() as u16).to_le_bytes());
    out.extend_from_slice(&certificate);
    out.push(SIGNATURE_SUITE);
    let signature = signer.key.sign(envelope.object_type.name(), &out);
    out.extend_from_slice(&signature);
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    Ok(out)
}

/// length 4 ‖ content ‖ zeros, to a padded length.
fn pad(content: &[u8]) -> Vec<u8> {
    let length = padded_length((content.len() + 4) as u64) as usize;
    let mut padded = Vec::with_capacity(length);
    padded.extend_from_slice(&(content.len() as u32).to_le_bytes());
    padded.extend_from_slice(content);
    padded.resize(length, 0);
    padded
}

fn unpad(role: Role, padded: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut reader = Reader::new("padded part", padded);
    let length = reader.count("bytes", limits::RECORD_BYTES_MAX)?;
    let content = reader.take(length)?.to_vec();
    if reader.take(reader.remaining())?.iter().any(|b| *b != 0) {
        return Err(reader.error(format!("{role:?}: its fill is not zero")));
    }
    Ok(content)
}

fn part_binding(envelope: &Envelope, role: Role, length: usize) -> Binding {
    Binding {
        suite: envelope.suite,
        repository: envelope.repository,
        domain: envelope.domain,
        role,
        blob: BlobBinding::default(),
        plain_length: length as u32,
    }
}

/// Checks only that the bytes are whole: what anyone can scrub without a key.
pub fn checksum_holds(bytes: &[u8]) -> bool {
    bytes
        .split_last_chunk::<32>()
        .is_some_and(|(body, sum)| blake3::hash(body).as_bytes() == sum)
}

impl Record {
    /// Decodes a record of the expected type and verifies checksum, certificate chain up to the
    /// pinned root, capability and signature. Nothing is opened.
    pub fn decode(
        bytes: &[u8],
        expected: ObjectType,
        root: &VerifyingKey,
    ) -> Result<Self, RecordError> {
        let name = expected.name();
        let bad = |problem: String| RecordError::Format(FormatError::new(name, problem));
        if bytes.len() > limits::RECORD_BYTES_MAX {
            return Err(bad(format!("{} bytes are too many", bytes.len())));
        }
        if !checksum_holds(bytes) {
            return Err(bad("its checksum is wrong".into()));
        }
        let body = &bytes[..bytes.len() - 32];
        let mut reader = Reader::new(name, body);
        let envelope = Envelope::decode(&mut reader)?;
        if envelope.object_type != expected {
            return Err(bad(format!("is a {}", envelope.object_type.name())));
        }
        let authorship = Authorship {
            writer: WriterId(reader.array()?),
            session: SessionId(reader.array()?),
            statement: reader.u64()?,
            created: Timestamp(i64::from_le_bytes(reader.array()?)),
        };
        let plain_length = reader.count("plain bytes", limits::RECORD_BYTES_MAX)?;
        let plain = reader.take(plain_length)?.to_vec();
        let parts = decode_parts(&mut reader, &envelope)?;
        let certificate_length = usize::from(reader.u16()?);
        let certificate = Certificate::decode(reader.take(certificate_length)?)?;
        if reader.u8()? != SIGNATURE_SUITE {
            return Err(bad("unknown signature suite".into()));
        }
        let signed = &body[..reader.position()];
        let signature: [u8; SIGNATURE_LENGTH] = reader.array()?;
        reader.end()?;
        certificate.verify(&envelope.repository, root)?;
        let same_writer = certificate.writer() == authorship.writer;
        let in_domain = envelope.domain.is_zero() || certificate.covers(envelope.domain);
        if !same_writer || !in_domain || !may_sign(certificate.capabilities(), expected) {
            return Err(CertificateError::Capability(authorship.writer).into());
        }
        certificate
            .public_key()
            .verify(name, signed, &signature)
            .map_err(|_| RecordError::Signature)?;
        Ok(Self {
            envelope,
            authorship,
            plain,
            parts,
            certificate,
            id: ObjectId(*blake3::hash(bytes).as_bytes()),
        })
    }

    /// Opens the part with this role.
    pub fn open_part(&self, role: Role, unwrapper: &dyn Unwrapper) -> Result<Vec<u8>, RecordError> {
        let missing = || FormatError::new(self.envelope.object_type.name(), format!("no {role:?}"));
        let part = self
            .parts
            .iter()
            .find(|part| part.role == role)
            .ok_or_else(missing)?;
        let entry = &self.envelope.keys[usize::from(part.key)];
        let key = unwrapper
            .unwrap(&self.envelope, entry)
            .map_err(|error| RecordError::Key(role, error))?;
        let mut sealed = part.sealed.clone();
        let length = sealed.len() - SEAL_OVERHEAD;
        let plain = part_binding(&self.envelope, role, length)
            .open_in_place(&key, &mut sealed)
            .map_err(|_| RecordError::Seal(role))?;
        Ok(unpad(role, plain)?)
    }
}

fn decode_parts(
    reader: &mut Reader<'_>,
    envelope: &Envelope,
) -> Result<Vec<SealedPart>, FormatError> {
    let count = usize::from(reader.u8()?);
    if count > PARTS_MAX {
        return Err(reader.error(format!("{count} parts")));
    }
    let mut parts: Vec<SealedPart> = Vec::with_capacity(count);
    for _ in 0..count {
        let number = reader.u8()?;
        let role = Role::from_number(number)
            .ok_or_else(|| reader.error(format!("unknown role {number}")))?;
        let key = reader.u16()?;
        let entry = envelope.keys.get(usize::from(key));
        let fits = entry.is_some_and(|entry| entry.kind.fits(role));
        if !fits || parts.iter().any(|p| p.role == role) {
            return Err(reader.error(format!("{role:?}: no such key, the wrong kind, or twice")));
        }
        let length = reader.count("sealed bytes", limits::RECORD_BYTES_MAX)?;
        if length < SEAL_OVERHEAD {
            return Err(reader.error(format!("{role:?} is too short")));
        }
        let sealed = reader.take(length)?.to_vec();
        parts.push(SealedPart { role, key, sealed });
    }
    Ok(parts)
}

/// Whether a signer with these capabilities may have its record of this type count.
fn may_sign(capabilities: Capabilities, object_type: ObjectType) -> bool {
    let write = capabilities.includes(Capabilities::WRITE);
    let maintain = capabilities.includes(Capabilities::MAINTAIN);
    match object_type {
        ObjectType::Condemn
        | ObjectType::Delete
        | ObjectType::Closed
        | ObjectType::Fence
        | ObjectType::Hide
        | ObjectType::Hold => maintain,
        ObjectType::Snapshot | ObjectType::Set => write,
        ObjectType::Segment
        | ObjectType::SessionOpen
        | ObjectType::SessionBeat
        | ObjectType::SessionEnd => write || maintain,
        ObjectType::Proof | ObjectType::Audit => true,
        // Not records.
        ObjectType::Pack | ObjectType::Parity => false,
    }
}
