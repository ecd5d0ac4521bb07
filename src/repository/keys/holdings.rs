//! What a credential's bundle holds, by its rights.

use crate::format::certificate::Capabilities;
use crate::format::keyring::{DomainSecret, EpochSecret, Keyring, RingKey};
use crate::id::DomainTag;

/// The secrets of a bundle, beside its own signing key.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) ring: Option<RingKey>,
    pub(super) domains: Vec<DomainSecret>,
    pub(super) maintenance: Vec<EpochSecret>,
}

impl Holdings {
    /// What these rights in these domains come to. `ring` is the keyring that `key` opens.
    pub(super) fn of(
        capabilities: Capabilities,
        domains: &[DomainTag],
        ring: &Keyring,
        key: &RingKey,
    ) -> Self {
        if capabilities == Capabilities::FULL {
            return Self {
                ring: Some(key.clone()),
                ..Self::default()
            };
        }
        let held = |tag: &DomainTag| ring.domains.iter().find(|domain| domain.tag == *tag);
        let reads = capabilities.includes(Capabilities::READ);
        let without_epochs = |domain: &DomainSecret| DomainSecret {
            epochs: match reads {
                true => domain.epochs.clone(),
                false => Vec::new(),
            },
            ..domain.clone()
        };
        Self {
            ring: None,
            domains: domains
                .iter()
                .filter_map(held)
                .map(without_epochs)
                .collect(),
            maintenance: match capabilities.includes(Capabilities::MAINTAIN) {
                true => ring.maintenance.clone(),
                false => Vec::new(),
            },
        }
    }
}
