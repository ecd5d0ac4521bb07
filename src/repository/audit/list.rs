//! Reading audit records.

use crate::crypto::Role;
use crate::env::Timestamp;
use crate::format::audit::{AuditContent, AuditPlace};
use crate::format::envelope::{ObjectType, UnwrapError};
use crate::format::layout::{self, AuditName};
use crate::format::record::RecordError;
use crate::format::wire::FormatError;
use crate::id::WriterId;
use crate::repository::{RecordLoadError, Repository, object_key};
use crate::store::StoreError;
use std::collections::BTreeSet;

/// An audit record whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its name.
    pub name: AuditName,
    /// The credential that signed it.
    pub writer: WriterId,
    /// Whether that was revoked since: what it signed may have been made up.
    pub revoked: bool,
    /// Its place in its chain.
    pub place: AuditPlace,
    /// What it says; `None` where this credential cannot open it.
    pub content: Option<AuditContent>,
}

/// Where somebody who follows the chains is.
#[derive(Debug, Clone, Default)]
pub struct AuditTail {
    seen: BTreeSet<AuditName>,
}

impl Repository {
    /// The names of all audit records, oldest first.
    pub fn list_audit(&self) -> Result<Vec<AuditName>, StoreError> {
        let mut names = self.audit_names(layout::AUDIT)?;
        names.sort_unstable();
        Ok(names)
    }

    /// Loads an audit record, and compares it with its name.
    pub fn load_audit(&self, name: &AuditName) -> Result<AuditEntry, RecordLoadError> {
        let key = object_key(name.key())?;
        let record = self.load_record(&key, ObjectType::Audit, Some(name.id))?;
        let content = |source| RecordLoadError::Content {
            key: key.to_string(),
            source,
        };
        let place = AuditPlace::decode(&record.plain).map_err(content)?;
        let made = &record.authorship;
        let named = (name.chain, name.number, name.created);
        let signed = (made.session, place.number, Timestamp(made.created.0.max(0)));
        if named != signed {
            let other = "its chain, number or time is not that of its name";
            return Err(content(FormatError::new("audit place", other)));
        }
        let opened = match record.open_part(Role::Record, &self.access) {
            Ok(opened) => Some(AuditContent::decode(&opened).map_err(content)?),
            Err(RecordError::Key(_, UnwrapError::NotARecipient(_))) => None,
            Err(source) => {
                let key = key.to_string();
                return Err(RecordLoadError::Record { key, source });
            }
        };
        Ok(AuditEntry {
            name: *name,
            writer: made.writer,
            revoked: self.access.statement().revoked.contains(&made.writer),
            place,
            content: opened,
        })
    }

    /// The names of records that came since the last call with the same tail, oldest first. Looks at
    /// the day of `now` and the one before.
    pub fn new_audit(
        &self,
        tail: &mut AuditTail,
        now: Timestamp,
    ) -> Result<Vec<AuditName>, StoreError> {
        let before = Timestamp(now.0.saturating_sub(super::DAY_NANOSECONDS));
        let mut names = self.audit_names(&layout::audit_day(before))?;
        names.extend(self.audit_names(&layout::audit_day(now))?);
        names.sort_unstable();
        names.retain(|name| tail.seen.insert(*name));
        Ok(names)
    }
}

impl AuditTail {
    /// Takes names as seen.
    pub fn skip(&mut self, names: impl IntoIterator<Item = AuditName>) {
        self.seen.extend(names);
    }
}
