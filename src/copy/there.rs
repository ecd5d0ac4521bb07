//! What the target has already: copies are known by what they say of themselves, so that a copy of a
//! copy is known too.

use crate::copy::{CopyError, Pair};
use crate::env::Timestamp;
use crate::format::layout;
use crate::format::snapshot::Totals;
use crate::id::{BlobId, DomainTag, SetId, SnapshotId};
use crate::repository::{Lineage, Repository, Snapshot, SnapshotList};
use crate::store::StoreExt;
use std::collections::{HashMap, HashSet};

/// What a capture is known by, wherever it is: the run, the source, the host, the moment, the size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Capture {
    set: SetId,
    source: String,
    host: String,
    captured: Timestamp,
    size: [u64; 3],
}

impl Capture {
    fn of(snapshot: &Snapshot) -> Self {
        let label = &snapshot.label;
        let Totals {
            files,
            directories,
            bytes,
            ..
        } = label.totals;
        Self {
            set: label.set,
            source: label.source.clone(),
            host: label.host.clone(),
            captured: label.captured,
            size: [files, directories, bytes],
        }
    }
}

/// A snapshot of the target.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: SnapshotId,
    root: BlobId,
    domain: DomainTag,
}

/// The snapshots of a target.
#[derive(Debug, Default)]
pub(super) struct There {
    seen: HashSet<SnapshotId>,
    known: HashMap<Capture, Vec<Known>>,
}

impl There {
    pub(super) fn of(list: &SnapshotList) -> Self {
        let mut there = Self::default();
        for snapshot in list.visible.iter().chain(&list.hidden) {
            there.add(snapshot);
        }
        there.seen.extend(&list.void);
        there.seen.extend(list.damaged.iter().map(|(id, _)| *id));
        there
    }

    pub(super) fn add(&mut self, snapshot: &Snapshot) {
        self.seen.insert(snapshot.id);
        let known = Known {
            id: snapshot.id,
            root: snapshot.root,
            domain: snapshot.domain,
        };
        let same = self.known.entry(Capture::of(snapshot)).or_default();
        same.push(known);
    }

    /// Looks for snapshots that came since: another copy may run beside this one.
    pub(super) fn look_again(&mut self, target: &Repository) -> Result<(), CopyError> {
        for info in target.store().list_all(layout::SNAPSHOTS)? {
            let Ok(id) = info.key.file_name().parse::<SnapshotId>() else {
                continue;
            };
            if !self.seen.insert(id) {
                continue;
            }
            match target.load_snapshot(id) {
                Ok(Some(snapshot)) => self.add(&snapshot),
                Ok(None) => {}
                Err(error) if error.is_not_found() || error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The copy of a snapshot in the domain that it would be copied to. Between siblings the tree
    /// itself is compared.
    pub(super) fn find(&self, snapshot: &Snapshot, to: &Destination) -> Option<SnapshotId> {
        let same = self.known.get(&Capture::of(snapshot))?;
        let found = same.iter().find(|known| {
            known.domain == to.domain && (!to.is_sibling || known.root == snapshot.root)
        });
        found.map(|known| known.id)
    }
}

/// The domain of the target that a domain of the source is copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) domain: DomainTag,
    pub(super) name: String,
    /// Whether ids mean the same there.
    pub(super) is_sibling: bool,
}

/// Finds the domain to copy to: of the same lineage, or of the same name, or the default one.
pub(super) fn domain_for(
    source: &Repository,
    target: &Repository,
    domain: DomainTag,
) -> Result<Destination, CopyError> {
    let (from, to) = (source.access(), target.access());
    let lineage: Option<Lineage> = from.lineage(domain);
    let own = from.domains().find(|secret| secret.tag == domain);
    let sibling = lineage.and_then(|lineage| to.domain_of(lineage));
    let found = match sibling {
        Some(tag) => to.domains().find(|secret| secret.tag == tag),
        None => own.and_then(|own| {
            let same = |secret: &&_| is_alike(own, secret);
            to.domains().find(same)
        }),
    };
    let name = match found {
        Some(found) => found.name.clone(),
        None => to.domain(None)?.name,
    };
    let keys = to.domain(Some(&name))?;
    let erasable = |secret: &crate::format::keyring::DomainSecret| secret.erasable;
    let into_erasable = to
        .domains()
        .find(|d| d.tag == keys.tag)
        .is_some_and(erasable);
    if let Some(own) = own.filter(|own| own.erasable && !into_erasable) {
        return Err(CopyError::Erasable(own.name.clone()));
    }
    Ok(Destination {
        domain: keys.tag,
        name,
        is_sibling: sibling == Some(keys.tag),
    })
}

fn is_alike(
    own: &crate::format::keyring::DomainSecret,
    other: &crate::format::keyring::DomainSecret,
) -> bool {
    own.name == other.name && own.erasable == other.erasable
}

/// What a copy would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Snapshots that are at the target.
    pub already_there: Vec<Pair>,
    /// Snapshots that are not, oldest first.
    pub missing: Vec<SnapshotId>,
    /// Of those, how many go to a domain with other ids: decoded and named anew.
    pub renamed: usize,
}

/// Compares snapshots of the source with what the target has.
pub fn plan(
    source: &Repository,
    target: &Repository,
    snapshots: &[&Snapshot],
) -> Result<Plan, CopyError> {
    if source.config().repository == target.config().repository {
        return Err(CopyError::Same);
    }
    let (list, _) = target.list_snapshots()?;
    let there = There::of(&list);
    let mut plan = Plan::default();
    let mut domains: HashMap<DomainTag, Destination> = HashMap::new();
    for snapshot in snapshots {
        let into = match domains.get(&snapshot.domain) {
            Some(into) => into.clone(),
            None => domain_for(source, target, snapshot.domain)?,
        };
        match there.find(snapshot, &into) {
            Some(id) => plan.already_there.push(Pair {
                source: snapshot.id,
                target: id,
            }),
            None => {
                plan.missing.push(snapshot.id);
                plan.renamed += usize::from(!into.is_sibling);
            }
        }
        domains.insert(snapshot.domain, into);
    }
    Ok(plan)
}
