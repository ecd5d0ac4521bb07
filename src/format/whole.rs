//! Whether an object is what its key says, as far as that can be told without any secret.
//!
//! Spec: `format-spec/13-media.md`, bit rot.

use crate::format::document::Config;
use crate::format::layout;
use crate::format::record::checksum_holds;
use crate::id::ObjectId;

/// What makes an object whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wholeness {
    /// Its bytes hash to this.
    Named([u8; 32]),
    /// It ends with the hash of what is before.
    Summed,
    /// It is the config, which is signed by the root that it names.
    Config,
    /// Its being there is all that it says.
    Presence,
}

impl Wholeness {
    /// Of the object of this key; `None` where no object of a repository is called so.
    pub fn of(key: &str) -> Option<Self> {
        if let Some((_, pack)) = layout::parse_pack(key) {
            return Some(Self::Named(pack.0));
        }
        if let Some(audit) = layout::AuditName::parse(key) {
            return Some(Self::Named(audit.id.0));
        }
        let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
        let numbered = || layout::parse_numbered(name).map(|(_, id)| id);
        let named = |id: Option<ObjectId>| id.map(|id| Self::Named(id.0));
        match prefix {
            "" if name == layout::CONFIG => Some(Self::Config),
            layout::RINGS | layout::STATEMENTS => named(numbered()),
            layout::SESSIONS | layout::GC => match layout::parse_flag(name)?.1 {
                "fence" => Some(Self::Presence),
                _ => Some(Self::Summed),
            },
            layout::SLOTS
            | layout::SEGMENTS
            | layout::SNAPSHOTS
            | layout::SETS
            | layout::PROOFS
            | layout::HOLDS => named(name.parse().ok()),
            _ => None,
        }
    }

    /// What is wrong with the object's bytes, one sentence without its subject.
    pub fn fault(&self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Named(name) if blake3::hash(bytes).as_bytes() != name => {
                Some("its bytes do not hash to its name".to_owned())
            }
            Self::Summed if !checksum_holds(bytes) => Some("its checksum is wrong".to_owned()),
            Self::Config => Config::decode(bytes)
                .err()
                .map(|error| crate::explain::explain(&error)),
            _ => None,
        }
    }
}
