//! What kinds of credentials there are, what operations need of them, and what is told to one that
//! may not.

use crate::format::certificate::Capabilities;
use crate::repository::keys::{Access, KeyError};
use std::fmt;

/// What an operation needs of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To open what a domain holds.
    Read,
    /// To sign snapshots.
    Write,
    /// To sign what hides, holds and deletes.
    Maintain,
    /// To see what refers to what: as who reads, or as maintenance.
    Structure,
    /// To issue and revoke credentials.
    Administer,
}

impl Need {
    fn is_met_by(self, held: Capabilities) -> bool {
        match self {
            Self::Read => held.includes(Capabilities::READ),
            Self::Write => held.includes(Capabilities::WRITE),
            Self::Maintain => held.includes(Capabilities::MAINTAIN),
            Self::Structure => {
                held.includes(Capabilities::READ) || held.includes(Capabilities::MAINTAIN)
            }
            Self::Administer => held.includes(Capabilities::ADMINISTER),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "a full credential or a reader of the domain",
            Self::Write => "a full or a write-only credential",
            Self::Maintain => "a full or a maintenance credential",
            Self::Structure => "a full credential, a reader or one for maintenance",
            Self::Administer => "a full credential",
        })
    }
}

/// The kinds of credentials that are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// Everything.
    Full,
    /// Saves snapshots, and opens nothing.
    WriteOnly,
    /// Opens its domains.
    Reader,
    /// Forgets, prunes and holds.
    Maintenance,
    /// Reads and writes its domains: the one credential of an erasable domain.
    Domain,
}

impl CredentialKind {
    /// Which kind these capabilities make. None: no kind that is issued.
    pub fn of(capabilities: Capabilities) -> Option<Self> {
        let all = [
            Self::Full,
            Self::WriteOnly,
            Self::Reader,
            Self::Maintenance,
            Self::Domain,
        ];
        all.into_iter()
            .find(|kind| kind.capabilities() == capabilities)
    }

    /// What its certificate says.
    pub fn capabilities(self) -> Capabilities {
        match self {
            Self::Full => Capabilities::FULL,
            Self::WriteOnly => Capabilities::WRITE,
            Self::Reader => Capabilities::READ,
            Self::Maintenance => Capabilities::MAINTAIN,
            Self::Domain => Capabilities::READ.with(Capabilities::WRITE),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::WriteOnly => "write-only",
            Self::Reader => "reader",
            Self::Maintenance => "maintenance",
            Self::Domain => "domain",
        }
    }

    /// What it can and cannot do, after "it is".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Full => "full: it does everything",
            Self::WriteOnly => "write-only: it saves snapshots and opens nothing that is stored",
            Self::Reader => "a reader: it opens what its domains hold and changes nothing",
            Self::Maintenance => {
                "for maintenance: it sees labels and sizes, forgets and prunes, and opens no data, \
                 names or file lists"
            }
            Self::Domain => "that of one domain: it reads and writes there",
        }
    }
}

/// What a credential was asked for and may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    what: String,
    need: Need,
    label: String,
    kind: Option<CredentialKind>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = self
            .kind
            .map_or("of another kind", CredentialKind::describe);
        let Self {
            what, need, label, ..
        } = self;
        write!(f, "{what} needs {need}; {label:?} is {is}")
    }
}

impl Access {
    /// Which kind of credential this is.
    pub fn kind(&self) -> Option<CredentialKind> {
        CredentialKind::of(self.capabilities())
    }

    /// Fails where this credential may not do what `what` names.
    pub fn check_allowed(&self, need: Need, what: &str) -> Result<(), KeyError> {
        match need.is_met_by(self.capabilities()) {
            true => Ok(()),
            false => Err(KeyError::Lacks(Box::new(Lack {
                what: what.to_owned(),
                need,
                label: self.label().to_owned(),
                kind: self.kind(),
            }))),
        }
    }
}
