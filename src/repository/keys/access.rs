//! An opened credential: which session keys it unwraps, which domains it names blobs in.

use crate::crypto::{IdKey, KemError, KemSecret, SecretKey, SigningKey, VerifyingKey};
use crate::format::certificate::Capabilities;
use crate::format::document::EpochStatement;
use crate::format::envelope::{
    Envelope, EpochPublic, KeyEntry, Recipient, SessionKey, UnwrapError, Unwrapper,
};
use crate::format::host_key::HostKey;
use crate::format::keyring::{Bundle, DomainSecret, EpochSecret, Keyring, RingKey};
use crate::format::record::Signer;
use crate::id::{DomainTag, EpochTag, KeyId, SlotId, WriterId};
use crate::repository::keys::KeyError;
use crate::repository::keys::memory::SignedStatement;
use crate::repository::keys::rights::Need;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most unwrapped session keys that are kept: one is unwrapped again in a tenth of a millisecond.
const CACHED_KEYS_MAX: usize = 4096;

/// A session key's domain, id and commitment.
type KeyName = (DomainTag, KeyId, [u8; 32]);

/// What an opened slot gives, ready for use.
#[derive(Debug)]
pub struct Access {
    pub(super) root: VerifyingKey,
    pub(super) slot: SlotId,
    pub(super) bundle: Bundle,
    pub(super) ring: Option<Keyring>,
    pub(super) statement: SignedStatement,
    /// The number of the statement that the repository shows, where a newer one is remembered.
    pub(super) replayed: Option<u64>,
    /// C_w, of a credential that may not open what it writes.
    pub(super) host: Option<HostKey>,
    id_keys: HashMap<DomainTag, IdKey>,
    unwrapped: Mutex<HashMap<KeyName, Arc<SessionKey>>>,
}

/// A domain as a writer uses it.
#[derive(Debug, Clone)]
pub struct DomainKeys {
    /// Its tag in envelopes.
    pub tag: DomainTag,
    /// Its name, for people.
    pub name: String,
    /// Where session keys are wrapped to.
    pub readers: EpochPublic,
    /// Names its blobs.
    pub ids: IdKey,
}

impl Access {
    pub(super) fn new(
        root: VerifyingKey,
        slot: SlotId,
        bundle: Bundle,
        ring: Option<Keyring>,
        statement: SignedStatement,
    ) -> Self {
        let ring_domains = ring.iter().flat_map(|ring| &ring.domains);
        let id_keys = ring_domains
            .chain(&bundle.domains)
            .filter_map(|domain| Some((domain.tag, IdKey::new(domain.id_key.clone()?))))
            .collect();
        Self {
            root,
            slot,
            bundle,
            ring,
            statement,
            replayed: None,
            host: None,
            id_keys,
            unwrapped: Mutex::default(),
        }
    }

    /// The repository's root key, as this credential pins it.
    pub fn root(&self) -> &VerifyingKey {
        &self.root
    }

    /// Who this credential writes as.
    pub fn writer(&self) -> WriterId {
        self.bundle.writer
    }

    /// The credential's name.
    pub fn label(&self) -> &str {
        &self.bundle.label
    }

    /// The slot that was opened.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// What the credential may do.
    pub fn capabilities(&self) -> Capabilities {
        self.bundle.certificate.capabilities()
    }

    /// The newest statement of epochs and revocations.
    pub fn statement(&self) -> &EpochStatement {
        &self.statement.content
    }

    /// Signs records as this credential.
    pub fn signer(&self) -> Signer {
        Signer {
            certificate: self.bundle.certificate.clone(),
            key: SigningKey::from_seed(self.bundle.signing.clone()),
        }
    }

    /// C_w, of a credential that may not open what it writes, once it was loaded.
    pub(in crate::repository) fn host_key(&self) -> Option<&HostKey> {
        self.host.as_ref()
    }

    /// The id key of a domain, if this credential holds it.
    pub fn id_key(&self, domain: DomainTag) -> Option<&IdKey> {
        self.id_keys.get(&domain)
    }

    /// The domains this credential knows by name.
    pub fn domains(&self) -> impl Iterator<Item = &DomainSecret> {
        let ring = self.ring.iter().flat_map(|ring| &ring.domains);
        // An erasable domain stands in the ring by name only; its bundle holds the secrets.
        let own = self.bundle.domains.iter();
        own.clone()
            .chain(ring.filter(move |r| !own.clone().any(|o| o.tag == r.tag)))
    }

    /// Whether what this credential writes would count, and be sealed to keys that are in use.
    pub(in crate::repository) fn check_standing(&self) -> Result<(), KeyError> {
        let statement = self.statement();
        let writer = self.writer();
        match self.replayed {
            Some(shown) => Err(KeyError::Replayed {
                shown,
                seen: statement.number,
            }),
            None if statement.revoked.contains(&writer) => Err(KeyError::Revoked(writer)),
            None => Ok(()),
        }
    }

    /// Whether this credential opens the content of a domain.
    pub fn may_read(&self, domain: DomainTag) -> bool {
        let opens = |secret: &DomainSecret| secret.tag == domain && !secret.epochs.is_empty();
        self.domains().any(opens)
    }

    /// For whom a record is sealed that belongs to no domain: who reads the credential's default
    /// domain, or the repository's where it holds none.
    pub(in crate::repository) fn record_domain(
        &self,
    ) -> Result<(DomainTag, &EpochPublic), KeyError> {
        self.check_standing()?;
        let own = self.domains().map(|secret| secret.tag);
        let all = self.statement().domains.iter().map(|public| public.tag);
        own.chain(all)
            .filter_map(|tag| self.statement().domain(tag))
            .find(|public| !public.erased)
            .map(|public| (public.tag, &public.current))
            .ok_or_else(|| KeyError::NoSuchDomain(String::new()))
    }

    /// The domain to write into: the named one, or the credential's default.
    pub fn domain(&self, name: Option<&str>) -> Result<DomainKeys, KeyError> {
        self.check_allowed(Need::Write, "writing")?;
        self.check_standing()?;
        let wanted = name.unwrap_or("");
        let missing = || KeyError::NoSuchDomain(wanted.to_owned());
        let secret = match name {
            Some(name) => self.domains().find(|domain| domain.name == name),
            None => match &self.ring {
                Some(ring) => ring.domains.first(),
                None => self.bundle.domains.first(),
            },
        }
        .ok_or_else(missing)?;
        let public = self.statement().domain(secret.tag).ok_or_else(missing)?;
        if public.erased {
            return Err(KeyError::Erased(secret.name.clone()));
        }
        Ok(DomainKeys {
            tag: secret.tag,
            name: secret.name.clone(),
            readers: public.current.clone(),
            ids: self.id_key(secret.tag).ok_or_else(missing)?.clone(),
        })
    }

    /// Maintenance's current public key.
    pub fn maintenance(&self) -> &EpochPublic {
        &self.statement().maintenance
    }

    /// M, of a full credential.
    pub(in crate::repository) fn ring_key(&self) -> Option<&RingKey> {
        self.bundle.ring.as_ref()
    }

    /// The keyring, for a change of it.
    pub(super) fn ring_to_change(&self) -> Result<Keyring, KeyError> {
        self.check_standing()?;
        self.full_ring().cloned()
    }

    pub(super) fn full_ring(&self) -> Result<&Keyring, KeyError> {
        self.check_allowed(Need::Administer, "what concerns all keys")?;
        self.ring.as_ref().ok_or(KeyError::Missing("keyring"))
    }

    fn domain_secret(&self, domain: DomainTag, epoch: EpochTag) -> Option<&KemSecret> {
        let ring = self.ring.iter().flat_map(|ring| &ring.domains);
        let domains = self.bundle.domains.iter().chain(ring);
        let epochs = domains
            .filter(|secret| secret.tag == domain)
            .flat_map(|secret| &secret.epochs);
        find_epoch(epochs, epoch)
    }

    fn maintenance_secret(&self, epoch: EpochTag) -> Option<&KemSecret> {
        let ring = self.ring.iter().flat_map(|ring| &ring.maintenance);
        find_epoch(self.bundle.maintenance.iter().chain(ring), epoch)
    }
}

impl Access {
    /// The key, where this credential is the recipient.
    fn unwrap_as(
        &self,
        recipient: &Recipient,
        envelope: &Envelope,
        entry: &KeyEntry,
    ) -> Option<Result<SecretKey, KemError>> {
        let (suite, context) = (envelope.suite, envelope.wrap_context(entry, recipient));
        Some(match recipient {
            Recipient::Domain(epoch, wrapped) => {
                let secret = self.domain_secret(envelope.domain, *epoch)?;
                secret.unwrap(suite, &context, wrapped)
            }
            Recipient::Maintenance(epoch, wrapped) => {
                let secret = self.maintenance_secret(*epoch)?;
                secret.unwrap(suite, &context, wrapped)
            }
            Recipient::Host(tag, wrapped) => {
                let host = self.host.as_ref().filter(|host| host.tag() == *tag)?;
                host.unwrap(suite, &context, wrapped)
            }
        })
    }
}

fn find_epoch<'a>(
    mut epochs: impl Iterator<Item = &'a EpochSecret>,
    epoch: EpochTag,
) -> Option<&'a KemSecret> {
    epochs
        .find(|secret| secret.epoch == epoch)
        .map(|secret| &secret.secret)
}

impl Unwrapper for Access {
    fn unwrap(
        &self,
        envelope: &Envelope,
        entry: &KeyEntry,
    ) -> Result<Arc<SessionKey>, UnwrapError> {
        // The commitment is part of the key: an entry that was tampered with can only miss.
        let name = (envelope.domain, entry.id, entry.commit);
        let cached = |cache: &HashMap<_, Arc<SessionKey>>| cache.get(&name).cloned();
        let lock = || {
            self.unwrapped
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(key) = cached(&lock()) {
            return Ok(key);
        }
        let unwrapped = entry
            .recipients
            .iter()
            .find_map(|recipient| self.unwrap_as(recipient, envelope, entry))
            .ok_or(UnwrapError::NotARecipient(entry.id))?;
        let key = unwrapped.map_err(|error| UnwrapError::Damaged(entry.id, error))?;
        let key = SessionKey::committed(entry, &key)
            .map(Arc::new)
            .ok_or(UnwrapError::Commitment(entry.id))?;
        let mut cache = lock();
        if cache.len() >= CACHED_KEYS_MAX {
            cache.clear();
        }
        cache.insert(name, Arc::clone(&key));
        Ok(key)
    }
}
