//! Domains: data that shares no key, id, delta or group with the rest.
//!
//! An erasable domain's secrets live only in a slot whose key is kept outside; destroying that key
//! erases the domain everywhere, in copies and locked versions too. Chosen at creation, not later.

use crate::crypto::SigningKey;
use crate::format::document::EpochStatement;
use crate::format::keyring::DomainSecret;
use crate::format::slot::Unlock;
use crate::id::DomainTag;
use crate::repository::Repository;
use crate::repository::keys::create::{new_domain, put_statement};
use crate::repository::keys::holdings::Holdings;
use crate::repository::keys::memory::SignedStatement;
use crate::repository::keys::{CredentialKind, KeyError, NewCredential};

/// A domain as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainName {
    /// Its name.
    pub name: String,
    /// Whether its key lives outside, so that it can be destroyed.
    pub erasable: bool,
    /// Whether it was destroyed.
    pub erased: bool,
    /// Whether the credential in use can open what is in it.
    pub readable: bool,
}

impl Repository {
    /// The domains of this repository that the credential in use knows by name.
    pub fn domain_names(&self) -> Vec<DomainName> {
        let statement = self.access.statement();
        let name = |secret: &DomainSecret| DomainName {
            name: secret.name.clone(),
            erasable: secret.erasable,
            erased: statement.domain(secret.tag).is_some_and(|d| d.erased),
            readable: !secret.epochs.is_empty(),
        };
        self.access.domains().map(name).collect()
    }

    /// Fails where making a domain would: its name is taken, or this credential may not. `outside`
    /// is what would open an erasable one. Changes nothing.
    pub fn check_new_domain(&self, name: &str, outside: Option<&Unlock>) -> Result<(), KeyError> {
        if matches!(outside, Some(Unlock::Passphrase(_))) {
            return Err(KeyError::PassphraseForErasable);
        }
        if self.access.domains().any(|domain| domain.name == name) {
            return Err(KeyError::DomainExists(name.to_owned()));
        }
        self.check_key_change()
    }

    /// Makes a domain whose secrets are in the keyring: every full credential opens it.
    pub fn create_domain(&mut self, name: &str) -> Result<(), KeyError> {
        self.check_new_domain(name, None)?;
        let (secret, public) = new_domain(name, false, &*self.entropy)?;
        let mut ring = self.access.ring_to_change()?;
        ring.domains.push(secret);
        let mut statement = self.access.statement().clone();
        statement.domains.push(public);
        self.publish(statement)?;
        self.replace_ring(ring)?;
        self.reopen_access()
    }

    /// Makes an erasable domain with its one credential, opened by `new.unlock` alone.
    pub fn create_erasable_domain(
        &mut self,
        name: &str,
        new: &NewCredential<'_>,
    ) -> Result<(), KeyError> {
        self.check_new_domain(name, Some(new.unlock))?;
        self.check_new_credential(&new.label)?;
        let mut ring = self.access.ring_to_change()?;
        let (secret, public) = new_domain(name, true, &*self.entropy)?;
        let mut statement = self.access.statement().clone();
        statement.domains.push(public);
        self.publish(statement)?;
        // The keyring learns the name and nothing else.
        ring.domains.push(DomainSecret {
            id_key: None,
            epochs: Vec::new(),
            ..secret.clone()
        });
        self.replace_ring(ring)?;
        let capabilities = CredentialKind::Domain.capabilities();
        let holdings = Holdings {
            domains: vec![secret.clone()],
            ..Holdings::default()
        };
        self.issue(new, capabilities, vec![secret.tag], holdings)?;
        self.reopen_access()
    }

    /// Destroys an erasable domain: its slots go, and a signed statement says so. The key outside
    /// must be destroyed too, by whoever keeps it: copies of the slots may exist.
    pub fn destroy_domain(&mut self, name: &str) -> Result<(), KeyError> {
        let tag = self.check_destruction(name)?;
        let mut ring = self.access.ring_to_change()?;
        let mut statement = self.access.statement().clone();
        let publics = statement.domains.iter_mut();
        publics
            .filter(|d| d.tag == tag)
            .for_each(|d| d.erased = true);
        let (gone, left) = ring
            .credentials
            .into_iter()
            .partition(|record| record.domains == [tag]);
        ring.credentials = left;
        self.publish(statement)?;
        self.replace_ring(ring)?;
        for record in gone {
            self.delete_slot(record.slot)?;
        }
        self.reopen_access()
    }

    /// The tag of the domain that [`Repository::destroy_domain`] would destroy; fails where that
    /// would. Changes nothing.
    pub fn check_destruction(&self, name: &str) -> Result<DomainTag, KeyError> {
        let ring = self.access.ring_to_change()?;
        let found = ring.domains.iter().find(|domain| domain.name == name);
        let domain = found.ok_or_else(|| KeyError::NoSuchDomain(name.to_owned()))?;
        match domain.erasable {
            true => Ok(domain.tag),
            false => Err(KeyError::NotErasable(name.to_owned())),
        }
    }

    /// Publishes the next statement, durably.
    pub(super) fn publish(&mut self, mut statement: EpochStatement) -> Result<(), KeyError> {
        let root = SigningKey::from_seed(self.access.ring_to_change()?.root.clone());
        statement.number += 1;
        statement.created = self.clock.now();
        let bytes = put_statement(self.store(), &statement, &root)?;
        self.store().barrier()?;
        self.access.statement = SignedStatement {
            content: statement,
            bytes,
        };
        self.remember_published();
        Ok(())
    }

    /// Derives what follows from the changed keyring and statement.
    fn reopen_access(&mut self) -> Result<(), KeyError> {
        let old = &self.access;
        self.access = crate::repository::keys::Access::new(
            old.root,
            old.slot,
            old.bundle.clone(),
            old.ring.clone(),
            old.statement.clone(),
        );
        Ok(())
    }
}
