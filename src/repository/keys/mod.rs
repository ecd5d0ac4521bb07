//! Credentials: what an opened slot can do, and how slots, keyring and statements are changed.
//!
//! Spec: `format-spec/04-keys.md`. One writing path for every credential: a write-only host is one
//! without private keys.

mod access;
mod create;
mod domains;
mod holdings;
mod host;
mod issue;
mod like;
mod load;
mod memory;
mod revoke;
mod rights;
mod rotate;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod tests;

pub use access::{Access, DomainKeys};
pub use create::{NewKeys, SharedDomain, create_keys};
pub use domains::DomainName;
pub use host::HOST_KEYS;
pub use issue::{CredentialSummary, Grant, NewCredential};
pub use like::Lineage;
pub use load::open_access;
pub(in crate::repository) use memory::StatementMemory;
pub use rights::{CredentialKind, Lack, Need};
pub use rotate::{KeysDrawn, Rotation};

use crate::crypto::{KdfError, KemError};
use crate::env::EntropyError;
use crate::format::slot::{SealSlotError, SlotError};
use crate::format::wire::FormatError;
use crate::id::WriterId;
use crate::store::StoreError;

/// A key operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// What was given opens no slot of this repository.
    #[error("the passphrase or key opens no slot of this repository ({slots} tried)")]
    WrongKey {
        /// Slots tried, of the kind that fits what was given.
        slots: usize,
    },
    /// No slot of the kind that fits (passphrase or key) is there at all.
    #[error("no slot of this repository takes a {kind}; it has {others} of another kind")]
    NoSuchSlot {
        /// `passphrase` or `key`.
        kind: &'static str,
        /// Slots of the other kind.
        others: usize,
    },
    /// A slot opened, but something in it was changed.
    #[error("a slot was changed since it was sealed")]
    Slot(#[source] SlotError),
    /// The config's root is not the one that the credential pins.
    #[error("the repository's config names another root than this credential pins")]
    ForeignRoot,
    /// Keyring, statement or slot cannot be read.
    #[error("cannot read the {0}")]
    Format(&'static str, #[source] FormatError),
    /// There is no keyring or statement that this credential opens.
    #[error("the repository has no {0} that this credential opens")]
    Missing(&'static str),
    /// The repository shows an older statement than one that was seen before.
    #[error("the repository shows statement {shown} of its keys, but {seen} was seen before")]
    Replayed {
        /// The number of the newest statement there.
        shown: u64,
        /// The highest number that this machine or the credential knows of.
        seen: u64,
    },
    /// The credential was revoked: nothing that it signs counts.
    #[error("this credential was revoked ({0}): what it writes does not count")]
    Revoked(WriterId),
    /// A credential that revoked itself could not finish.
    #[error("the credential in use cannot revoke itself")]
    RevokesItself,
    /// Another change of keys happened at the same time.
    #[error("another change of keys is going on")]
    Concurrent,
    /// The credential may not do this.
    #[error("{0}")]
    Lacks(Box<Lack>),
    /// Another full credential began a rotation, or finished one meanwhile.
    #[error("the keys are being rotated, or were rotated meanwhile, with another credential")]
    RotatedElsewhere,
    /// A credential cannot be given new keys.
    #[error("the slot of credential {0:?} is missing or damaged")]
    SlotMissing(String),
    /// The secret opens another credential already.
    #[error("this passphrase or key opens another credential already")]
    SecretInUse,
    /// Nobody but who holds an erasable domain's own key can hand on its secrets.
    #[error("domain {0:?} is erasable: its keys are in its own credential and nowhere else")]
    KeysOutside(String),
    /// No credential fits the given name.
    #[error("no credential is called {0:?}")]
    NoSuchCredential(String),
    /// A credential with this name exists.
    #[error("there is a credential called {0:?} already")]
    CredentialExists(String),
    /// The last full credential cannot be removed.
    #[error("{0:?} is the last full credential: without it nobody could open the repository")]
    LastCredential(String),
    /// No domain has this name, or this credential does not hold it.
    #[error("this credential holds no domain called {0:?}")]
    NoSuchDomain(String),
    /// A repository cannot be made like this one.
    #[error("this credential holds no id key that another repository may share")]
    NothingToShare,
    /// A domain with this name exists.
    #[error("there is a domain called {0:?} already")]
    DomainExists(String),
    /// The domain's key was in the keyring.
    #[error(
        "domain {0:?} is not erasable: its key was in the keyring, and copies of that may exist"
    )]
    NotErasable(String),
    /// The domain was destroyed.
    #[error("domain {0:?} was destroyed")]
    Erased(String),
    /// A passphrase cannot guard an erasable domain.
    #[error("an erasable domain needs a key that lives outside: a key file or a command")]
    PassphraseForErasable,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A slot could not be sealed.
    #[error("cannot seal a slot")]
    Seal(#[from] SealSlotError),
    /// A key could not be derived.
    #[error("cannot derive a key")]
    Derive(#[from] KdfError),
    /// A key could not be wrapped.
    #[error("cannot wrap a key")]
    Wrap(#[from] KemError),
}
