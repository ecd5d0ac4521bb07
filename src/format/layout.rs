//! Object keys: where each object lives in a store.
//!
//! Spec: `format-spec/03-layout.md`.

use crate::env::Timestamp;
use crate::format::pack::PackClass;
use crate::id::{ObjectId, PackId, SegmentId, SessionId, SnapshotId};
use std::fmt::Display;

/// The repository's parameters.
pub const CONFIG: &str = "config";
/// Slots: sealed credentials.
pub const SLOTS: &str = "keys/slots";
/// Keyrings.
pub const RINGS: &str = "keys/rings";
/// Numbered statements: epochs, revocations.
pub const STATEMENTS: &str = "keys/statements";
/// Packs of all classes.
pub const PACKS: &str = "packs";
/// Index segments.
pub const SEGMENTS: &str = "index";
/// Snapshots.
pub const SNAPSHOTS: &str = "snapshots";
/// Sets.
pub const SETS: &str = "sets";
/// Sessions.
pub const SESSIONS: &str = "sessions";
/// The protocol's records.
pub const GC: &str = "gc";
/// Proofs.
pub const PROOFS: &str = "proofs";
/// Holds.
pub const HOLDS: &str = "holds";
/// Audit chains.
pub const AUDIT: &str = "audit";

/// `packs/CLASS/XX/ID`: 256 directories a class, so that none grows too large.
pub fn pack(class: PackClass, id: &PackId) -> String {
    let name = id.to_string();
    format!("{PACKS}/{}/{}/{name}", class.name(), &name[..2])
}

/// The class and id of a pack's key.
pub fn parse_pack(key: &str) -> Option<(PackClass, PackId)> {
    let mut parts = key.split('/').skip(1);
    let class = parts.next()?;
    let class = PackClass::ALL.into_iter().find(|c| c.name() == class)?;
    let id: PackId = parts.nth(1)?.parse().ok()?;
    (pack(class, &id) == key).then_some((class, id))
}

/// `index/ID`.
pub fn segment(id: &SegmentId) -> String {
    format!("{SEGMENTS}/{id}")
}

/// `snapshots/ID`.
pub fn snapshot(id: &SnapshotId) -> String {
    format!("{SNAPSHOTS}/{id}")
}

/// `PREFIX/ID` for objects named by their bytes: sets, proofs, holds, slots.
pub fn by_content(prefix: &str, id: &ObjectId) -> String {
    format!("{prefix}/{id}")
}

/// `PREFIX/NUMBER-ID` for rings and statements: sixteen digits, so that names sort by number.
pub fn numbered(prefix: &str, number: u64, id: &ObjectId) -> String {
    format!("{prefix}/{number:016x}-{id}")
}

/// The number and id of a ring's or statement's file name.
pub fn parse_numbered(file_name: &str) -> Option<(u64, ObjectId)> {
    let (digits, id) = file_name.split_once('-')?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    // Signs and upper case parse too, but one number has one name.
    (digits == format!("{number:016x}")).then_some((number, id.parse().ok()?))
}

/// `sessions/S.WHAT`.
pub fn session(id: &SessionId, what: impl Display) -> String {
    format!("{SESSIONS}/{id}.{what}")
}

/// `gc/S.WHAT`.
pub fn gc(id: &SessionId, what: impl Display) -> String {
    format!("{GC}/{id}.{what}")
}

/// The id and the rest of a file name `ID.WHAT` under `sessions/` or `gc/`.
pub fn parse_flag(file_name: &str) -> Option<(SessionId, &str)> {
    let (id, what) = file_name.split_once('.')?;
    Some((id.parse().ok()?, what))
}

/// The name of an audit record: `audit/DAY/TIME.CHAIN.NUMBER.ID`. DAY is the UTC date and TIME the
/// nanoseconds since 1970 of its `created`, so that names sort by time and a day lists by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditName {
    /// When its writer made it; nothing before 1970.
    pub created: Timestamp,
    /// Its chain.
    pub chain: SessionId,
    /// Its number in the chain, from 1.
    pub number: u64,
    /// Hash of its bytes.
    pub id: ObjectId,
}

impl AuditName {
    /// The key.
    pub fn key(&self) -> String {
        let day = audit_day(self.created);
        let time = u64::try_from(self.created.0).unwrap_or(0);
        let Self {
            chain, number, id, ..
        } = self;
        format!("{day}/{time:016x}.{chain}.{number}.{id}")
    }

    /// The name that a key means.
    pub fn parse(key: &str) -> Option<Self> {
        let (_, name) = key.rsplit_once('/')?;
        let mut parts = name.split('.');
        let time = u64::from_str_radix(parts.next()?, 16).ok()?;
        let parsed = Self {
            created: Timestamp(i64::try_from(time).ok()?),
            chain: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
        };
        (parsed.number > 0 && parsed.key() == key).then_some(parsed)
    }
}

/// Prefix of the audit records of the UTC day of a moment.
pub fn audit_day(moment: Timestamp) -> String {
    let moment = Timestamp(moment.0.max(0)).to_jiff();
    format!("{AUDIT}/{}", moment.strftime("%Y-%m-%d"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::ObjectKey;

    #[test]
    fn an_audit_record_has_one_name() {
        let name = AuditName {
            created: Timestamp(1_795_000_000_123_456_789),
            chain: SessionId([7; 16]),
            number: 12,
            id: ObjectId([9; 32]),
        };
        let key = ObjectKey::new(name.key()).unwrap();
        assert!(key.as_str().starts_with("audit/2026-11-1"), "{key}");
        assert_eq!(AuditName::parse(key.as_str()), Some(name));
        let other = key.as_str().replace(".12.", ".012.");
        assert_eq!(AuditName::parse(&other), None);
        let other = key.as_str().replace("2026", "2025");
        assert_eq!(AuditName::parse(&other), None, "another day");
        assert_eq!(AuditName::parse("audit/2026-11-18/x"), None);
    }

    #[test]
    fn keys_are_valid_and_parse_back() {
        let id = PackId([0xab; 32]);
        for class in PackClass::ALL {
            let key = ObjectKey::new(pack(class, &id)).unwrap();
            assert_eq!(parse_pack(key.as_str()), Some((class, id)));
        }
        assert_eq!(parse_pack("packs/full/00/abab"), None);
        let key = ObjectKey::new(numbered(RINGS, 7, &ObjectId([1; 32]))).unwrap();
        assert_eq!(
            parse_numbered(key.file_name()),
            Some((7, ObjectId([1; 32])))
        );
        for other in ["+00000000000000a", "000000000000000A", "a"] {
            let name = format!("{other}-{}", ObjectId([1; 32]));
            assert_eq!(parse_numbered(&name), None, "{other}");
        }
        let key = ObjectKey::new(session(&SessionId([2; 16]), "open")).unwrap();
        assert_eq!(
            parse_flag(key.file_name()),
            Some((SessionId([2; 16]), "open"))
        );
    }
}
