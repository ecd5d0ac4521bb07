//! Issuing, changing and removing credentials. Needs a full credential.
//!
//! Every change writes a keyring with the next number before anything is deleted, so that a crash
//! anywhere leaves the old set whole.

use crate::crypto::{Argon2Parameters, SigningKey};
use crate::env::Timestamp;
use crate::format::certificate::Capabilities;
use crate::format::keyring::{Bundle, CredentialRecord, Keyring};
use crate::format::layout;
use crate::format::slot::{SlotOwner, Unlock};
use crate::id::{DomainTag, SlotId, WriterId};
use crate::repository::Repository;
use crate::repository::keys::create::{new_writer, put_ring, put_slot};
use crate::repository::keys::holdings::Holdings;
use crate::repository::keys::load::{ListedRing, listed_rings, slots};
use crate::repository::keys::{CredentialKind, KeyError, open_access};

/// A credential to be issued.
#[derive(Debug)]
pub struct NewCredential<'a> {
    /// Its name, for people; unique.
    pub label: String,
    /// What it is opened with.
    pub unlock: &'a Unlock,
    /// The cost, if that is a passphrase.
    pub cost: Argon2Parameters,
}

/// What a credential is issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Everything.
    Full,
    /// Saving snapshots in these domains, the first by default.
    WriteOnly(Vec<String>),
    /// Opening what these domains hold.
    Reader(Vec<String>),
    /// Forgetting, pruning, holding.
    Maintenance,
}

impl Grant {
    /// The kind of credential.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::Full => CredentialKind::Full,
            Self::WriteOnly(_) => CredentialKind::WriteOnly,
            Self::Reader(_) => CredentialKind::Reader,
            Self::Maintenance => CredentialKind::Maintenance,
        }
    }

    /// Its domains; none means that it is not bound to any.
    pub fn domains(&self) -> &[String] {
        match self {
            Self::WriteOnly(domains) | Self::Reader(domains) => domains,
            Self::Full | Self::Maintenance => &[],
        }
    }
}

/// A credential as `key list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSummary {
    /// Its slot.
    pub slot: SlotId,
    /// Whom its records are signed by.
    pub writer: WriterId,
    /// Its name.
    pub label: String,
    /// What it may do.
    pub capabilities: Capabilities,
    /// Names of its domains; empty means all.
    pub domains: Vec<String>,
    /// When it was issued.
    pub created: Timestamp,
    /// Whether it is the one in use.
    pub current: bool,
}

impl Repository {
    /// The credentials issued and not removed.
    pub fn credentials(&self) -> Result<Vec<CredentialSummary>, KeyError> {
        let ring = self.access.full_ring()?;
        let name_of = |tag: &DomainTag| {
            let domain = ring.domains.iter().find(|domain| domain.tag == *tag);
            domain.map_or_else(|| tag.short(), |domain| domain.name.clone())
        };
        let summary = |record: &CredentialRecord| CredentialSummary {
            slot: record.slot,
            writer: record.writer,
            label: record.label.clone(),
            capabilities: record.capabilities,
            domains: record.domains.iter().map(name_of).collect(),
            created: record.created,
            current: record.slot == self.access.slot,
        };
        Ok(ring.credentials.iter().map(summary).collect())
    }

    /// Fails where a change of keys would: this credential is not a full one, is revoked, or the
    /// repository shows an older statement than was seen. Changes nothing.
    pub fn check_key_change(&self) -> Result<(), KeyError> {
        self.access.ring_to_change().map(drop)
    }

    /// Fails where [`Repository::add_credential`] would for this name. Changes nothing.
    pub fn check_new_credential(&self, label: &str) -> Result<(), KeyError> {
        let ring = self.access.ring_to_change()?;
        match ring.credentials.iter().any(|other| other.label == label) {
            true => Err(KeyError::CredentialExists(label.to_owned())),
            false => Ok(()),
        }
    }

    /// Issues another full credential and proves that it opens the repository.
    pub fn add_credential(&mut self, new: &NewCredential<'_>) -> Result<SlotId, KeyError> {
        self.grant(new, &Grant::Full)
    }

    /// Issues a credential and proves that it opens the repository.
    pub fn grant(&mut self, new: &NewCredential<'_>, grant: &Grant) -> Result<SlotId, KeyError> {
        let tags = self.check_grant(grant)?;
        let capabilities = grant.kind().capabilities();
        let ring = self.access.full_ring()?;
        let key = self.access.ring_key().ok_or(KeyError::Missing("keyring"))?;
        let holdings = Holdings::of(capabilities, &tags, ring, key);
        self.issue(new, capabilities, tags, holdings)
    }

    /// The tags of a grant's domains; fails where [`Repository::grant`] would for them. Changes
    /// nothing.
    pub fn check_grant(&self, grant: &Grant) -> Result<Vec<DomainTag>, KeyError> {
        let ring = self.access.full_ring()?;
        let tag = |name: &String| {
            let found = ring.domains.iter().find(|domain| domain.name == *name);
            match found {
                None => Err(KeyError::NoSuchDomain(name.clone())),
                Some(domain) if domain.erasable => Err(KeyError::KeysOutside(name.clone())),
                Some(domain) => Ok(domain.tag),
            }
        };
        grant.domains().iter().map(tag).collect()
    }

    /// Fails where a secret opens a credential already: nobody could say which is meant.
    pub fn check_new_secret(&self, unlock: &Unlock) -> Result<(), KeyError> {
        match open_access(self.store(), &self.config, self.suite, unlock) {
            Ok(_) => Err(KeyError::SecretInUse),
            Err(KeyError::WrongKey { .. } | KeyError::NoSuchSlot { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Issues a credential with what its bundle is to hold.
    pub(super) fn issue(
        &mut self,
        new: &NewCredential<'_>,
        capabilities: Capabilities,
        tags: Vec<DomainTag>,
        holdings: Holdings,
    ) -> Result<SlotId, KeyError> {
        self.check_new_credential(&new.label)?;
        self.check_new_secret(new.unlock)?;
        let entropy = &*self.entropy;
        let mut ring = self.access.ring_to_change()?;
        let root = SigningKey::from_seed(ring.root.clone());
        let created = self.clock.now();
        let repository = self.config.repository;
        let (writer, signing, certificate) = new_writer(
            repository,
            capabilities,
            tags.clone(),
            created,
            &root,
            entropy,
        )?;
        let owner = SlotOwner::create(
            self.suite,
            repository,
            new.unlock,
            new.cost,
            self.access.root(),
            entropy,
        )?;
        let bundle = Bundle {
            label: new.label.clone(),
            writer,
            signing,
            certificate,
            ring: holdings.ring,
            domains: holdings.domains,
            maintenance: holdings.maintenance,
            statement: self.access.statement().number,
        };
        ring.credentials.push(CredentialRecord {
            slot: owner.id,
            writer,
            label: new.label.clone(),
            capabilities,
            domains: tags,
            created,
            public: owner.public().clone(),
        });
        let slot = owner.seal(self.suite, &bundle.encode(), &root, entropy)?;
        put_slot(self.store(), &slot)?;
        // Read back before it counts: a credential that does not open is worse than none.
        let opened = open_access(self.store(), &self.config, self.suite, new.unlock);
        match opened.and_then(|_| self.replace_ring(ring)) {
            Ok(()) => Ok(owner.id),
            Err(error) => {
                // Nobody would know of it.
                self.delete_slot(owner.id)?;
                Err(match error {
                    // This program's own one was there when it began.
                    KeyError::Missing("keyring") => KeyError::RotatedElsewhere,
                    error => error,
                })
            }
        }
    }

    /// Gives the credential in use another passphrase or key. Its old slot goes last.
    pub fn change_unlock(
        &mut self,
        unlock: &Unlock,
        cost: Argon2Parameters,
    ) -> Result<SlotId, KeyError> {
        let entropy = &*self.entropy;
        let old = self.access.slot;
        let mut ring = self.access.ring_to_change()?;
        let root = SigningKey::from_seed(ring.root.clone());
        let owner = SlotOwner::create(
            self.suite,
            self.config.repository,
            unlock,
            cost,
            self.access.root(),
            entropy,
        )?;
        let bundle = Bundle {
            statement: self.access.statement().number,
            ..self.access.bundle.clone()
        };
        let slot = owner.seal(self.suite, &bundle.encode(), &root, entropy)?;
        put_slot(self.store(), &slot)?;
        self.store().barrier()?;
        open_access(self.store(), &self.config, self.suite, unlock)?;
        for record in &mut ring.credentials {
            if record.slot == old {
                record.slot = owner.id;
                record.public = owner.public().clone();
            }
        }
        self.replace_ring(ring)?;
        self.delete_slot(old)?;
        self.access.slot = owner.id;
        self.access.bundle = bundle;
        Ok(owner.id)
    }

    /// Removes a credential by its name or the start of its slot's id. It takes back nothing that
    /// its holder has read or copied: `key rotate` draws new keys.
    pub fn remove_credential(&mut self, name: &str) -> Result<WriterId, KeyError> {
        let record = self.credential_to_remove(name)?;
        let mut ring = self.access.ring_to_change()?;
        ring.credentials.retain(|other| other.slot != record.slot);
        self.replace_ring(ring)?;
        self.delete_slot(record.slot)?;
        Ok(record.writer)
    }

    /// The credential that [`Repository::remove_credential`] would remove; fails where that would.
    /// Changes nothing.
    pub fn credential_to_remove(&self, name: &str) -> Result<CredentialRecord, KeyError> {
        let ring = self.access.ring_to_change()?;
        let matches = |record: &CredentialRecord| {
            record.label == name || name.len() >= 4 && record.slot.to_string().starts_with(name)
        };
        let mut found = ring.credentials.iter().filter(|record| matches(record));
        let record = match (found.next(), found.next()) {
            (Some(record), None) => record.clone(),
            _ => return Err(KeyError::NoSuchCredential(name.to_owned())),
        };
        let full = |record: &&CredentialRecord| record.capabilities == Capabilities::FULL;
        if full(&&record) && ring.credentials.iter().filter(full).count() == 1 {
            return Err(KeyError::LastCredential(record.label));
        }
        Ok(record)
    }

    /// Stores the next keyring, and deletes the older ones once it is durable. Of two at the same
    /// time one finds the other's ring and takes its own back.
    pub(super) fn replace_ring(&mut self, mut ring: Keyring) -> Result<(), KeyError> {
        let key = self.access.bundle.ring.clone();
        let key = key.ok_or(KeyError::Missing("keyring"))?;
        ring.number += 1;
        let repository = self.config.repository;
        let store = self.store();
        let id = put_ring(store, &ring, self.suite, repository, &key, &*self.entropy)?;
        store.barrier()?;
        let rings = listed_rings(store, &self.config, self.suite, self.access.root())?;
        let delete = |ring: &ListedRing| {
            let name = layout::numbered(layout::RINGS, ring.number, &ring.id);
            Ok::<_, KeyError>(store.delete(&crate::repository::object_key(name)?)?)
        };
        let is_rival = |other: &&ListedRing| other.number >= ring.number && other.id != id;
        if let Some(rival) = rings.iter().find(is_rival) {
            rings
                .iter()
                .filter(|own| own.id == id)
                .try_for_each(delete)?;
            return Err(match rival.generation > key.generation {
                true => KeyError::RotatedElsewhere,
                false => KeyError::Concurrent,
            });
        }
        // Those of another generation may be all that somebody opens while a rotation is unfinished.
        let is_older =
            |other: &&ListedRing| other.number < ring.number && other.generation == key.generation;
        rings.iter().filter(is_older).try_for_each(delete)?;
        self.access.ring = Some(ring);
        Ok(())
    }

    pub(super) fn delete_slot(&self, slot: SlotId) -> Result<(), KeyError> {
        for (key, found) in slots(self.store(), &self.config, self.suite)? {
            if found.id == slot {
                self.store().delete(&key)?;
            }
        }
        Ok(self.store().barrier()?)
    }
}
