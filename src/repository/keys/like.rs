//! Siblings: repositories that share id keys, so that the same content has the same ids in both.
//!
//! Spec: `format-spec/04-keys.md`, siblings. Nothing that opens or signs is shared.

use crate::id::DomainTag;
use crate::repository::Repository;
use crate::repository::keys::{Access, KeyError, SharedDomain};
use std::fmt;

/// What two domains have in common exactly when they share their id key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lineage([u8; 32]);

impl Lineage {
    /// Its first eight digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Access {
    /// The lineage of a domain; `None` where this credential does not hold its id key.
    pub fn lineage(&self, domain: DomainTag) -> Option<Lineage> {
        self.id_key(domain).map(|ids| Lineage(ids.lineage()))
    }

    /// The domain of this lineage.
    pub fn domain_of(&self, lineage: Lineage) -> Option<DomainTag> {
        let mut domains = self.domains().map(|domain| domain.tag);
        domains.find(|tag| self.lineage(*tag) == Some(lineage))
    }
}

impl Repository {
    /// The domains that a repository made like this one takes over: those whose id key the credential
    /// in use holds. An erasable domain stays where it is: its secrets leave its own slots never.
    pub fn shared_domains(&self) -> Result<Vec<SharedDomain>, KeyError> {
        let statement = self.access.statement();
        let may_share = |tag| {
            let public = statement.domain(tag);
            public.is_some_and(|public| !public.erasable && !public.erased)
        };
        let shared: Vec<SharedDomain> = self
            .access
            .domains()
            .filter(|domain| may_share(domain.tag))
            .filter_map(|domain| {
                Some(SharedDomain {
                    name: domain.name.clone(),
                    id_key: domain.id_key.clone()?,
                })
            })
            .collect();
        match shared.is_empty() {
            true => Err(KeyError::NothingToShare),
            false => Ok(shared),
        }
    }

    /// The lineage of the default domain, as `repo info` shows it.
    pub fn lineage(&self) -> Option<Lineage> {
        let first = self.access.domains().find(|domain| !domain.erasable)?;
        self.access.lineage(first.tag)
    }
}
