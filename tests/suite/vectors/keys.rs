//! The fixed keys of the vectors: made from one seed, written into each vector, read from it.

use icecore::crypto::{IdKey, KemSecret, SecretKey, SigningKey, Suite, VerifyingKey};
use icecore::env::Timestamp;
use icecore::format::certificate::{Capabilities, Certificate, Statement};
use icecore::format::envelope::{
    Envelope, EpochPublic, KeyEntry, KeyKind, ObjectType, Recipient, SessionKey, UnwrapError,
    Unwrapper, new_session_key,
};
use icecore::format::record::Signer;
use icecore::id::{DomainTag, EpochTag, RepositoryId, WriterId};
use icecore::testing::SeededEntropy;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("no hex: {value}"));
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

pub fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

/// What a vector's reader holds.
pub struct Keys {
    pub root: VerifyingKey,
    pub id_key: Option<IdKey>,
    domain: DomainTag,
    /// D and T where the reader has them, by recipient number.
    secrets: Vec<(u8, EpochTag, KemSecret)>,
}

impl Keys {
    pub fn from_json(keys: &Value) -> Self {
        let mut secrets = Vec::new();
        for (number, epoch, seed) in [
            (1, "domain_epoch", "domain_seed"),
            (2, "maintenance_epoch", "maintenance_seed"),
        ] {
            if let Some(seed) = keys.get(seed) {
                let secret = KemSecret::from_seed(SecretKey::from_bytes(array(seed)));
                secrets.push((number, EpochTag(array(&keys[epoch])), secret));
            }
        }
        Self {
            root: VerifyingKey(array(&keys["root"])),
            id_key: keys
                .get("id_key")
                .map(|key| IdKey::new(SecretKey::from_bytes(array(key)))),
            domain: DomainTag(array(&keys["domain"])),
            secrets,
        }
    }
}

impl Unwrapper for Keys {
    fn unwrap(
        &self,
        envelope: &Envelope,
        entry: &KeyEntry,
    ) -> Result<Arc<SessionKey>, UnwrapError> {
        let found = entry.recipients.iter().find_map(|recipient| {
            let wrapped = match recipient {
                Recipient::Domain(_, wrapped) if envelope.domain == self.domain => wrapped,
                Recipient::Maintenance(_, wrapped) => wrapped,
                _ => return None,
            };
            let fits = |(number, epoch, _): &&(u8, EpochTag, KemSecret)| {
                (*number, *epoch) == (recipient.number(), recipient.epoch())
            };
            let (_, _, secret) = self.secrets.iter().find(fits)?;
            Some((recipient, secret, wrapped))
        });
        let (recipient, secret, wrapped) = found.ok_or(UnwrapError::NotARecipient(entry.id))?;
        let key = secret
            .unwrap(
                envelope.suite,
                &envelope.wrap_context(entry, recipient),
                wrapped,
            )
            .map_err(|error| UnwrapError::Damaged(entry.id, error))?;
        let key = SessionKey::committed(entry, &key);
        key.map(Arc::new).ok_or(UnwrapError::Commitment(entry.id))
    }
}

/// Everything that the generator seals and signs with.
pub struct Fixture {
    pub suite: Suite,
    pub repository: RepositoryId,
    pub domain: DomainTag,
    pub root: SigningKey,
    pub readers: (EpochTag, KemSecret),
    pub maintenance: (EpochTag, KemSecret),
    pub id_key: SecretKey,
    pub writer: Signer,
    pub maintainer: Signer,
    pub data: (KeyEntry, SessionKey),
    pub link: (KeyEntry, SessionKey),
}

/// When everything in the vectors happened: 2026-11-01T03:00:00.5Z.
pub const NOW: Timestamp = Timestamp(1_793_502_000_500_000_000);

impl Fixture {
    pub fn new(suite: Suite) -> Self {
        let entropy = &SeededEntropy::new("fixture");
        let array = |entropy: &SeededEntropy| -> [u8; 16] {
            let entropy: &dyn icecore::env::Entropy = entropy;
            entropy.array().unwrap()
        };
        let repository = RepositoryId(array(entropy));
        let domain = DomainTag(array(entropy));
        let root = SigningKey::random(entropy).unwrap();
        let pair = || {
            (
                EpochTag(array(entropy)),
                KemSecret::random(entropy).unwrap(),
            )
        };
        let (readers, maintenance) = (pair(), pair());
        let id_key = SecretKey::random(entropy).unwrap();
        let signer = |capabilities, domains| {
            let writer = WriterId(array(entropy));
            let key = SigningKey::random(entropy).unwrap();
            signer(repository, writer, key, capabilities, domains, &root)
        };
        let writer = signer(Capabilities::READ.with(Capabilities::WRITE), vec![domain]);
        let maintainer = signer(Capabilities::MAINTAIN, Vec::new());
        let public = |pair: &(EpochTag, KemSecret)| EpochPublic {
            epoch: pair.0,
            public: pair.1.public(),
        };
        let (d, t) = (public(&readers), public(&maintenance));
        let key = |kind| new_session_key(suite, repository, domain, kind, &d, &t, entropy).unwrap();
        let (data, link) = (key(KeyKind::Data), key(KeyKind::Link));
        Self {
            suite,
            repository,
            domain,
            root,
            readers,
            maintenance,
            id_key,
            writer,
            maintainer,
            data,
            link,
        }
    }

    pub fn ids(&self) -> IdKey {
        IdKey::new(self.id_key.clone())
    }

    pub fn envelope(&self, object_type: ObjectType) -> Envelope {
        Envelope {
            object_type,
            suite: self.suite,
            repository: self.repository,
            domain: self.domain,
            keys: vec![self.data.0.clone(), self.link.0.clone()],
        }
    }

    /// An envelope for a record that nothing is sealed in.
    pub fn bare(&self, object_type: ObjectType) -> Envelope {
        Envelope {
            domain: DomainTag::default(),
            keys: Vec::new(),
            ..self.envelope(object_type)
        }
    }

    /// What a reader of the domain holds.
    pub fn reader_json(&self) -> Value {
        json!({
            "suite": self.suite.number(),
            "repository": self.repository.to_string(),
            "root": hex(&self.root.verifying_key().0),
            "domain": self.domain.to_string(),
            "domain_epoch": self.readers.0.to_string(),
            "domain_seed": hex(self.readers.1.seed().expose()),
            "id_key": hex(self.id_key.expose()),
        })
    }

    /// What maintenance holds.
    pub fn maintenance_json(&self) -> Value {
        json!({
            "suite": self.suite.number(),
            "repository": self.repository.to_string(),
            "root": hex(&self.root.verifying_key().0),
            "domain": self.domain.to_string(),
            "maintenance_epoch": self.maintenance.0.to_string(),
            "maintenance_seed": hex(self.maintenance.1.seed().expose()),
        })
    }
}

pub fn signer(
    repository: RepositoryId,
    writer: WriterId,
    key: SigningKey,
    capabilities: Capabilities,
    domains: Vec<DomainTag>,
    root: &SigningKey,
) -> Signer {
    let statement = Statement {
        repository,
        writer,
        public_key: key.verifying_key(),
        capabilities,
        domains,
        issued: NOW,
    };
    Signer {
        certificate: Certificate::issue(statement, root),
        key,
    }
}
