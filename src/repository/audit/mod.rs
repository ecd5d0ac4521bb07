//! The audit chains: who did what, in records that nobody can change, leave out or roll back
//! unnoticed.
//!
//! Spec: `format-spec/17-audit.md`. Every process appends to a chain of its own, under the session
//! id that it draws for it, so that no two ever write the same record.

mod list;
mod memory;
#[cfg(test)]
mod tests;
mod verify;

pub use list::{AuditEntry, AuditTail};
pub(super) use memory::AuditMemory;
pub use verify::{AuditFault, AuditReport, AuditVerifyError, KnownBy};

use crate::env::Timestamp;
use crate::format::audit::{AUDIT_HEADS_MAX, AuditContent, AuditPlace};
use crate::format::envelope::ObjectType;
use crate::format::layout::{self, AuditName};
use crate::id::{ObjectId, SessionId};
use crate::monitor::Monitor;
use crate::repository::{LinkRecordError, Repository, put_named};
use crate::store::{StoreError, StoreExt};
use std::collections::BTreeMap;

/// How many days back the newest records of others are looked for before all are listed.
const DAYS_BACK: i64 = 8;

const DAY_NANOSECONDS: i64 = 86_400_000_000_000;

/// A chain that this process appends to.
#[derive(Debug, Clone)]
pub struct AuditChain {
    id: SessionId,
    /// Its newest record.
    newest: Option<(u64, ObjectId)>,
}

impl Repository {
    /// Begins a chain.
    pub fn begin_audit(&self) -> Result<AuditChain, LinkRecordError> {
        Ok(AuditChain {
            id: SessionId(self.entropy().array()?),
            newest: None,
        })
    }

    /// Appends a record to a chain, durably, and remembers it on this host.
    ///
    /// After an error the chain is given up: what was sent may still appear, and a second record of the
    /// same number would be a fork.
    pub fn append_audit(
        &self,
        chain: AuditChain,
        content: &AuditContent,
        monitor: &dyn Monitor,
    ) -> Result<AuditChain, LinkRecordError> {
        let created = self.clock.now();
        let heads = match chain.newest {
            None => self.audit_heads(created)?,
            Some(_) => Vec::new(),
        };
        let number = chain.newest.map_or(1, |(number, _)| number + 1);
        let place = AuditPlace {
            number,
            previous: chain.newest.map(|(_, id)| id),
            heads,
        };
        let made = (chain.id, created);
        let (plain, content) = (place.encode(), content.encode());
        let bytes = self.seal_link_record(ObjectType::Audit, made, &plain, &content)?;
        let name = AuditName {
            created: Timestamp(created.0.max(0)),
            chain: chain.id,
            number,
            id: ObjectId(*blake3::hash(&bytes).as_bytes()),
        };
        put_named(&*self.store, name.key(), &bytes)?;
        self.store.barrier()?;
        if let Some(memory) = &self.audit_memory
            && let Err(error) = memory.add(&[name])
        {
            monitor.warn(&format!(
                "cannot remember the audit record in {}: {error}; that it was taken away later \
                 would not be noticed here",
                memory.path().display()
            ));
        }
        Ok(AuditChain {
            id: chain.id,
            newest: Some((number, name.id)),
        })
    }

    /// The newest record of each of the chains that were written to last, by their names alone.
    fn audit_heads(&self, now: Timestamp) -> Result<Vec<(SessionId, u64, ObjectId)>, StoreError> {
        let mut names = Vec::new();
        for back in 0..DAYS_BACK {
            let day = Timestamp(now.0.saturating_sub(back * DAY_NANOSECONDS));
            names = self.audit_names(&layout::audit_day(day))?;
            if !names.is_empty() {
                break;
            }
        }
        if names.is_empty() {
            names = self.audit_names(layout::AUDIT)?;
        }
        names.sort_unstable();
        let mut newest: BTreeMap<SessionId, AuditName> = BTreeMap::new();
        for name in names.into_iter().rev() {
            if newest.len() == AUDIT_HEADS_MAX && !newest.contains_key(&name.chain) {
                break;
            }
            let known = newest.entry(name.chain).or_insert(name);
            if name.number > known.number {
                *known = name;
            }
        }
        let heads = newest.into_values();
        Ok(heads
            .map(|name| (name.chain, name.number, name.id))
            .collect())
    }

    /// The names of audit records below a prefix. Other keys are passed over here, not by a
    /// verification.
    fn audit_names(&self, prefix: &str) -> Result<Vec<AuditName>, StoreError> {
        let infos = self.store.list_all(prefix)?;
        let names = infos
            .iter()
            .filter_map(|info| AuditName::parse(info.key.as_str()));
        Ok(names.collect())
    }
}
