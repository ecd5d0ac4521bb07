//! Looking at everything but the data, until what is seen holds still.

use crate::check::CheckError;
use crate::check::findings::{Cause, Findings};
use crate::check::places::BadPlaces;
use crate::check::references::References;
use crate::check::view::{View, record_error_is_damage};
use crate::check::walk::Walk;
use crate::format::layout;
use crate::id::{PackId, SegmentId, SnapshotId};
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::index::Index;
use crate::repository::{Reader, Repository, Snapshot};
use crate::spill::Scratch;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Looks at a repository that keeps changing at most, before what was seen last is believed.
const LOOKS_MAX: usize = 6;

/// Surveys a repository, more than once if need be.
pub(super) struct Survey<'a> {
    repository: &'a Repository,
    index: &'a Index,
    /// Only these snapshots.
    chosen: Option<&'a [SnapshotId]>,
    /// Where references are sorted.
    scratch: &'a Scratch,
    verified: HashSet<SegmentId>,
}

/// What a survey saw.
pub(super) struct Surveyed {
    pub(super) view: View,
    pub(super) findings: Findings,
    /// Packs that the chosen snapshots need; `None` when none were chosen.
    pub(super) needed: Option<HashSet<PackId>>,
    pub(super) snapshots: u64,
    pub(super) counts: PackCounts,
}

/// What walking all trees gave.
struct Walked {
    findings: Findings,
    /// Packs that what was looked up rests on.
    needed: HashSet<PackId>,
    /// Visible snapshots that were walked.
    snapshots: u64,
    /// What was noted and is not resolved yet.
    references: Option<References>,
}

/// Packs that are no damage, and still not as they should be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PackCounts {
    /// There, and listed by no segment.
    pub(super) unindexed: u64,
    /// Listed, not there, and needed by nothing that can be restored or brought back.
    pub(super) absent: u64,
}

impl<'a> Survey<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        index: &'a Index,
        chosen: Option<&'a [SnapshotId]>,
        scratch: &'a Scratch,
    ) -> Self {
        Self {
            repository,
            index,
            chosen,
            scratch,
            verified: HashSet::new(),
        }
    }

    /// Looks once when all is well. Damage is believed when it was seen twice, and the lists made
    /// after the second time show the same snapshots and segments as those made before it: then
    /// nothing was withdrawn or moved to other packs meanwhile.
    pub(super) fn run(
        &mut self,
        bad: &BadPlaces,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Surveyed, CheckError> {
        let mut segments = Findings::default();
        let mut view = self.look(&mut segments, monitor, cancel)?;
        if let Some(missing) = self.not_visible(&view) {
            return Err(CheckError::NoSuchSnapshot(missing));
        }
        for number in 1.. {
            let walked = self.walk(&view, bad, monitor, cancel)?;
            let (mut findings, snapshots) = (walked.findings, walked.snapshots);
            let counts = self.compare_packs(&view, &mut findings)?;
            findings.merge(segments);
            segments = Findings::default();
            let needed = self.chosen.map(|_| walked.needed);
            let surveyed = |view, findings| Surveyed {
                view,
                findings,
                needed,
                snapshots,
                counts,
            };
            if findings.is_empty() {
                return Ok(surveyed(view, findings));
            }
            let next = self.look(&mut segments, monitor, cancel)?;
            if number >= LOOKS_MAX || number > 1 && next.agrees_with(&view) {
                return Ok(surveyed(view, findings));
            }
            view = next;
        }
        Err(CheckError::Worker)
    }

    fn look(
        &mut self,
        findings: &mut Findings,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<View, CheckError> {
        View::take(
            self.repository,
            self.index,
            &mut self.verified,
            findings,
            monitor,
            cancel,
        )
    }

    /// A chosen snapshot that is neither visible nor damaged.
    fn not_visible(&self, view: &View) -> Option<SnapshotId> {
        let known = |id: &&SnapshotId| {
            view.list.visible.iter().any(|s| s.id == **id)
                || view.list.damaged.iter().any(|(damaged, _)| damaged == *id)
        };
        self.chosen?.iter().find(|id| !known(id)).copied()
    }

    fn is_chosen(&self, id: &SnapshotId) -> bool {
        self.chosen.is_none_or(|chosen| chosen.contains(id))
    }

    /// Walks all trees. The packs that are needed are known only where snapshots were chosen.
    fn walk(
        &self,
        view: &View,
        bad: &BadPlaces,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Walked, CheckError> {
        let is_quick = self.chosen.is_none() && bad.is_empty();
        let references = is_quick.then(|| References::new(self.scratch));
        let mut walked = self.walk_trees(view, bad, references, monitor, cancel)?;
        if let Some(references) = walked.references.take() {
            let is_whole =
                walked.findings.is_empty() && references.all_resolve(self.index, view, cancel)?;
            if !is_whole {
                walked = self.walk_trees(view, bad, None, monitor, cancel)?;
            }
        }
        for (id, error) in &view.list.damaged {
            if self.is_chosen(id) && record_error_is_damage(error) {
                let cause = Cause {
                    object: layout::snapshot(id),
                    what: crate::explain::explain(error),
                    blob: None,
                };
                walked.findings.hurt_subtree(cause, *id, b"");
            }
        }
        if self.chosen.is_none() && view.flags.damaged.is_empty() {
            lost_snapshots(view, &mut walked.findings);
        }
        Ok(walked)
    }

    /// With `references`, chunks are noted there and not looked for.
    fn walk_trees(
        &self,
        view: &View,
        bad: &BadPlaces,
        references: Option<References>,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Walked, CheckError> {
        let reader = Reader::new(self.repository, self.index);
        let mut walk = Walk::new(reader, view, bad, cancel, references);
        let chosen = |snapshot: &&Snapshot| self.is_chosen(&snapshot.id);
        let snapshots: Vec<_> = view.list.visible.iter().filter(chosen).collect();
        let hidden: Vec<_> = match self.chosen {
            None => view.restorable_hidden().collect(),
            Some(_) => Vec::new(),
        };
        let all = snapshots.len() + hidden.len();
        monitor.phase("snapshots", Unit::Items, Some(all as u64));
        for snapshot in snapshots.iter().filter(|snapshot| snapshot.readable) {
            if let Err(error) = snapshot.body(self.repository) {
                walk.findings
                    .add_error(layout::snapshot(&snapshot.id), &error);
            }
        }
        walk.snapshots(&snapshots, monitor)?;
        let mut findings = std::mem::take(&mut walk.findings);
        walk.snapshots(&hidden, monitor)?;
        // What only hidden ones miss hurts no restore; a pack that is gone for good is named.
        findings.add_missing_packs(walk.findings);
        Ok(Walked {
            findings,
            needed: walk.needed,
            snapshots: snapshots.len() as u64,
            references: walk.references,
        })
    }

    /// Packs that segments list must be as long as they say. One that is not there is damage only
    /// where a snapshot needs it, which the walk has found out: otherwise a prune is at work or was
    /// interrupted, or a power loss took a pack of a run that never committed and left the segment.
    /// Writers pass such rows over, and a prune takes them away.
    fn compare_packs(
        &self,
        view: &View,
        findings: &mut Findings,
    ) -> Result<PackCounts, CheckError> {
        let (mut listed, mut absent) = (HashSet::new(), HashSet::new());
        self.index.packs(&mut |listing| {
            let what = match view.packs.get(&(listing.class, listing.pack)) {
                None if !findings.names(&layout::pack(listing.class, &listing.pack)) => {
                    absent.insert(listing.pack);
                    None
                }
                None => None,
                Some(stored) if stored.size != u64::from(listing.length) => Some(format!(
                    "has {} bytes instead of {}",
                    stored.size, listing.length
                )),
                Some(_) => None,
            };
            listed.insert(listing.pack);
            if let Some(what) = what {
                findings.add(Cause {
                    object: layout::pack(listing.class, &listing.pack),
                    what,
                    blob: None,
                });
            }
            ControlFlow::Continue(())
        })?;
        if self.chosen.is_some() {
            // Others may need them: nobody looked.
            absent.clear();
        }
        let unindexed = view.packs.keys().filter(|(_, id)| !listed.contains(id));
        Ok(PackCounts {
            unindexed: unindexed.count() as u64,
            absent: absent.len() as u64,
        })
    }
}

/// Snapshots that a later one of their writer names, that are not there, and that nobody withdrew:
/// withdrawing leaves a record for ever.
fn lost_snapshots(view: &View, findings: &mut Findings) {
    for snapshot in view.list.visible.iter().chain(&view.list.hidden) {
        for head in snapshot.heads().unwrap_or_default() {
            if view.snapshots.contains(&head) || view.flags.was_withdrawn(head) {
                continue;
            }
            let cause = Cause {
                object: layout::snapshot(&head),
                what: format!(
                    "is missing: snapshot {} followed it, and nobody withdrew it",
                    snapshot.id.short()
                ),
                blob: None,
            };
            findings.hurt_subtree(cause, head, b"");
        }
    }
}
