//! Certificates: what the root says a writer may do.
//!
//! Spec: `format-spec/04-keys.md`.

use crate::crypto::{SIGNATURE_LENGTH, SigningKey, VerifyingKey};
use crate::env::Timestamp;
use crate::format::wire::{FormatError, from_cbor, to_cbor};
use crate::id::{DomainTag, RepositoryId, WriterId};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

/// What a credential may do, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Capabilities(#[n(0)] pub u8);

impl Capabilities {
    /// Nothing beyond being known.
    pub const NONE: Self = Self(0);
    /// Open what its domains hold.
    pub const READ: Self = Self(1);
    /// Write snapshots into its domains.
    pub const WRITE: Self = Self(2);
    /// Forget, prune, hold.
    pub const MAINTAIN: Self = Self(4);
    /// Issue and revoke credentials.
    pub const ADMINISTER: Self = Self(8);
    /// Everything.
    pub const FULL: Self = Self(15);

    /// Whether all of `other` is included.
    pub fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Statement {
    /// For which repository.
    #[n(0)]
    pub repository: RepositoryId,
    /// Of whom.
    #[n(1)]
    pub writer: WriterId,
    /// With which key.
    #[n(2)]
    pub public_key: VerifyingKey,
    /// What it may do.
    #[n(3)]
    pub capabilities: Capabilities,
    /// In which domains; empty means all.
    #[n(4)]
    pub domains: Vec<DomainTag>,
    /// When it was issued.
    #[n(5)]
    pub issued: Timestamp,
}

impl<C> Encode<C> for Timestamp {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.i64(self.0)?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Timestamp {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.i64().map(Self)
    }
}

/// A statement with the root's signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Certificate {
    #[n(0)]
    statement: Statement,
    #[n(1)]
    signature: ByteArray<SIGNATURE_LENGTH>,
}

/// A certificate does not allow what it is used for.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The bytes break the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Another repository's.
    #[error("the certificate belongs to repository {0}")]
    Repository(RepositoryId),
    /// Not signed by the root that this credential pins.
    #[error("the certificate is not signed by this repository's root")]
    Root,
    /// It does not go that far.
    #[error("the certificate of writer {0} does not allow this")]
    Capability(WriterId),
}

impl Certificate {
    /// Signs a statement with the root key.
    pub fn issue(statement: Statement, root: &SigningKey) -> Self {
        let signature = root.sign("certificate", &to_cbor(&statement));
        Self {
            statement,
            signature: signature.into(),
        }
    }

    /// Canonical CBOR.
    pub fn encode(&self) -> Vec<u8> {
        to_cbor(self)
    }

    /// Decodes without verifying.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let certificate: Self = from_cbor("certificate", bytes)?;
        if !Capabilities::FULL.includes(certificate.capabilities()) {
            return Err(FormatError::new("certificate", "unknown capabilities"));
        }
        Ok(certificate)
    }

    /// Whose it is.
    pub fn writer(&self) -> WriterId {
        self.statement.writer
    }

    /// The writer's key.
    pub fn public_key(&self) -> VerifyingKey {
        self.statement.public_key
    }

    /// What it may do.
    pub fn capabilities(&self) -> Capabilities {
        self.statement.capabilities
    }

    /// When it was issued, by the clock of who did.
    pub fn issued(&self) -> Timestamp {
        self.statement.issued
    }

    /// In which domains it may do that; none means all.
    pub fn domains(&self) -> &[DomainTag] {
        &self.statement.domains
    }

    /// Whether it speaks for this domain.
    pub fn covers(&self, domain: DomainTag) -> bool {
        self.statement.domains.is_empty() || self.statement.domains.contains(&domain)
    }

    /// Checks that the root of this repository signed it.
    pub fn verify(
        &self,
        repository: &RepositoryId,
        root: &VerifyingKey,
    ) -> Result<(), CertificateError> {
        if self.statement.repository != *repository {
            return Err(CertificateError::Repository(self.statement.repository));
        }
        root.verify("certificate", &to_cbor(&self.statement), &self.signature)
            .map_err(|_| CertificateError::Root)
    }
}
