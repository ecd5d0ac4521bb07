//! Verifying the chains: edits, gaps, forks, and what somebody saw and is not there any more.

use crate::format::layout::{self, AuditName};
use crate::id::{ObjectId, SessionId, WriterId};
use crate::monitor::{Cancel, Interrupted, Monitor, Unit};
use crate::repository::audit::AuditEntry;
use crate::repository::{RecordLoadError, Repository};
use crate::store::{StoreError, StoreExt};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Who knew of a record that is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownBy {
    /// A later record of another chain, by its key.
    Record(String),
    /// This host.
    Host,
}

/// What is wrong with the chains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditFault {
    /// A record was changed, or is none.
    Edited {
        /// Its key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// A record between others is missing.
    Gap {
        /// The chain.
        chain: SessionId,
        /// Which one of it.
        number: u64,
    },
    /// There are two records of one number.
    Fork {
        /// The chain.
        chain: SessionId,
        /// Of which number.
        number: u64,
    },
    /// A record does not follow the one before it, or is another credential's.
    Broken {
        /// Its key.
        key: String,
    },
    /// A record that was seen is not there any more.
    Missing {
        /// The chain.
        chain: SessionId,
        /// Its number.
        number: u64,
        /// Its name.
        id: ObjectId,
        /// Whether nothing of its chain is left.
        whole_chain: bool,
        /// Who saw it.
        known_by: KnownBy,
    },
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { key, what } => write!(f, "{key} was changed: {what}"),
            Self::Gap { chain, number } => {
                write!(f, "record {number} of chain {} is missing", chain.short())
            }
            Self::Fork { chain, number } => write!(
                f,
                "chain {} has two records of number {number}: one of them was made up",
                chain.short()
            ),
            Self::Broken { key } => {
                write!(f, "{key} does not follow the record before it in its chain")
            }
            Self::Missing {
                chain,
                number,
                id,
                whole_chain,
                known_by,
            } => {
                let what = match whole_chain {
                    true => "the whole chain",
                    false => "the end of chain",
                };
                let who = match known_by {
                    KnownBy::Record(key) => format!("{key} names it"),
                    KnownBy::Host => "this host has seen it".to_owned(),
                };
                write!(
                    f,
                    "{what} {} was taken away: record {number} ({}) is not there, and {who}",
                    chain.short(),
                    id.short()
                )
            }
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Records that are whole.
    pub records: u64,
    /// Chains.
    pub chains: u64,
    /// Credentials that wrote them.
    pub writers: BTreeSet<WriterId>,
    /// Records of credentials that were revoked since.
    pub revoked: u64,
    /// Records that this host had seen before.
    pub remembered: u64,
    /// What is wrong.
    pub faults: Vec<AuditFault>,
}

/// The chains could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditVerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Repository {
    /// Reads every audit record with `workers` threads, and compares them with each other and with
    /// what this host has seen. What is whole is remembered.
    pub fn verify_audit(
        &self,
        workers: usize,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<AuditReport, AuditVerifyError> {
        Ok(self.read_and_verify_audit(workers, monitor, cancel)?.0)
    }

    /// As [`Repository::verify_audit`], and hands out the records that are whole, in no order.
    pub fn read_and_verify_audit(
        &self,
        workers: usize,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<(AuditReport, Vec<AuditEntry>), AuditVerifyError> {
        // Before the listing: what comes meanwhile is not missing.
        let memory = self.audit_memory.as_ref();
        let remembered = memory.map_or_else(|| Ok(BTreeSet::new()), |memory| memory.recall());
        let remembered = remembered.unwrap_or_else(|error| {
            monitor.warn(&format!(
                "cannot read which audit records this host has seen: {error}"
            ));
            BTreeSet::new()
        });
        let mut report = AuditReport::default();
        let mut names = Vec::new();
        for info in self.store.list_all(layout::AUDIT)? {
            match AuditName::parse(info.key.as_str()) {
                Some(name) => names.push(name),
                None => report.faults.push(AuditFault::Edited {
                    key: info.key.to_string(),
                    what: "no audit record is called so".to_owned(),
                }),
            }
        }
        monitor.phase("audit", Unit::Items, Some(names.len() as u64));
        let loaded = self.load_audits(&names, workers, monitor, cancel)?;
        let mut entries = Vec::new();
        for (name, result) in names.iter().zip(loaded) {
            match result {
                Ok(entry) => entries.push(entry),
                Err(error) => report.faults.push(AuditFault::Edited {
                    key: name.key(),
                    what: crate::explain::explain(&error),
                }),
            }
        }
        report.remembered = remembered.len() as u64;
        judge(&names, &entries, &remembered, &mut report);
        if let Some(memory) = memory {
            let whole = entries.iter().map(|entry| entry.name);
            let new: Vec<AuditName> = whole.filter(|name| !remembered.contains(name)).collect();
            if !new.is_empty()
                && let Err(error) = memory.add(&new)
            {
                monitor.warn(&format!("cannot remember what was verified: {error}"));
            }
        }
        Ok((report, entries))
    }

    /// Loads records with `workers` threads, in their order, each a second time before it is called
    /// damaged. The error is one of the store that blames no object.
    pub fn load_audits(
        &self,
        names: &[AuditName],
        workers: usize,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Vec<Result<AuditEntry, RecordLoadError>>, AuditVerifyError> {
        let next = AtomicUsize::new(0);
        let loaded = Mutex::new(Vec::new());
        let failed: Mutex<Option<StoreError>> = Mutex::new(None);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(name) = names.get(at) else { break };
                if cancel.is_cancelled() {
                    break;
                }
                let result = self.load_audit(name).or_else(|_| self.load_audit(name));
                monitor.advance(1);
                if let Err(RecordLoadError::Store(error)) = result {
                    if error.is_not_found() || error.blames_object() {
                        let entry = (at, Err(RecordLoadError::Store(error)));
                        lock(&loaded).push(entry);
                        continue;
                    }
                    *lock(&failed) = Some(error);
                    break;
                }
                lock(&loaded).push((at, result));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..workers.clamp(1, names.len().max(1)) {
                scope.spawn(work);
            }
        });
        cancel.check()?;
        if let Some(error) = lock(&failed).take() {
            return Err(error.into());
        }
        let mut loaded = loaded.into_inner().unwrap_or_else(PoisonError::into_inner);
        loaded.sort_by_key(|(at, _)| *at);
        Ok(loaded.into_iter().map(|(_, result)| result).collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compares the records with each other and with what is remembered.
fn judge(
    names: &[AuditName],
    entries: &[AuditEntry],
    remembered: &BTreeSet<AuditName>,
    report: &mut AuditReport,
) {
    let mut chains: BTreeMap<SessionId, Vec<&AuditEntry>> = BTreeMap::new();
    for entry in entries {
        report.records += 1;
        report.revoked += u64::from(entry.revoked);
        report.writers.insert(entry.writer);
        chains.entry(entry.name.chain).or_default().push(entry);
    }
    report.chains = chains.len() as u64;
    // A record that is there and damaged is told once, as edited.
    let there: BTreeSet<(SessionId, u64)> =
        names.iter().map(|name| (name.chain, name.number)).collect();
    for (chain, of_chain) in &mut chains {
        of_chain.sort_by_key(|entry| entry.name.number);
        judge_chain(*chain, of_chain, &there, &mut report.faults);
    }
    let ids: BTreeSet<ObjectId> = names.iter().map(|name| name.id).collect();
    let mut missing: BTreeMap<(SessionId, u64, ObjectId), KnownBy> = BTreeMap::new();
    for name in remembered.iter().filter(|name| !ids.contains(&name.id)) {
        missing.insert((name.chain, name.number, name.id), KnownBy::Host);
    }
    for entry in entries {
        for head in entry
            .place
            .heads
            .iter()
            .filter(|head| !ids.contains(&head.2))
        {
            let known_by = KnownBy::Record(entry.name.key());
            missing.entry(*head).or_insert(known_by);
        }
    }
    for ((chain, number, id), known_by) in missing {
        let told = AuditFault::Gap { chain, number };
        if report.faults.contains(&told) {
            continue;
        }
        report.faults.push(AuditFault::Missing {
            chain,
            number,
            id,
            whole_chain: !there.iter().any(|(of, _)| *of == chain),
            known_by,
        });
    }
    report.faults.sort();
    report.faults.dedup();
}

fn judge_chain(
    chain: SessionId,
    of_chain: &[&AuditEntry],
    there: &BTreeSet<(SessionId, u64)>,
    faults: &mut Vec<AuditFault>,
) {
    let mut before: Option<&AuditEntry> = None;
    for entry in of_chain {
        let number = entry.name.number;
        let last = before.map_or(0, |before| before.name.number);
        if number == last {
            faults.push(AuditFault::Fork { chain, number });
            continue;
        }
        // A number may be far out in a forged name: the first that is missing says enough of many.
        let mut absent = (last + 1..number).filter(|number| !there.contains(&(chain, *number)));
        let gap = absent.next();
        faults.extend(gap.map(|number| AuditFault::Gap { chain, number }));
        let follows = match before {
            Some(before) if number == last + 1 => {
                entry.place.previous == Some(before.name.id) && entry.writer == before.writer
            }
            _ => (number == 1) == entry.place.previous.is_none(),
        };
        if !follows {
            let key = entry.name.key();
            faults.push(AuditFault::Broken { key });
        }
        before = Some(entry);
    }
}
