//! Forgetting: snapshots are hidden by policy or by name, reversibly until a prune deletes them.
//!
//! First a plan that says of every snapshot why it stays or goes, then one signed record.
//! Spec: `format-spec/11-ordering.md`, hide.

#[cfg(test)]
mod tests;

use crate::id::SnapshotId;
use crate::repository::gc::NotMaintainer;
use crate::repository::{Flags, KeepError, RecordLoadError, Repository, SessionError, heads};
use crate::retention::{self, Candidate, GroupBy, GroupKey, GroupPlan, Policy, PolicyError};
use crate::selector::{Filters, Summary};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Snapshots were not forgotten, or not brought back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// The credential may not.
    #[error(transparent)]
    NotMaintainer(#[from] NotMaintainer),
    /// The policy cannot be meant.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A hold names them: release it first.
    #[error("{} {} on hold", list(.0), if .0.len() == 1 { "is" } else { "are" })]
    Held(Vec<SnapshotId>),
    /// More than half of a group would go.
    #[error(
        "that would forget {forgotten} of {all} snapshots of {group}, more than half; force it if \
         you mean it"
    )]
    WantsForce {
        /// Which group.
        group: Box<GroupKey>,
        /// How many would go.
        forgotten: usize,
        /// How many there are.
        all: usize,
    },
    /// No visible snapshot has this name.
    #[error("there is no snapshot {} to forget", .0.short())]
    NotFound(SnapshotId),
    /// It is not forgotten.
    #[error("snapshot {} is not forgotten", .0.short())]
    NotForgotten(SnapshotId),
    /// It cannot be brought back.
    #[error(transparent)]
    Keep(KeepError),
    /// A record that decides about hiding cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// Storing or reading failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl ForgetError {
    /// Whether a hold or another operation stands against it.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Keep(_))
    }

    /// Whether `force` would have done it.
    pub fn wants_force(&self) -> bool {
        matches!(self, Self::WantsForce { .. })
    }
}

impl From<KeepError> for ForgetError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Session(error) => Self::Session(error),
            error => Self::Keep(error),
        }
    }
}

fn list(snapshots: &[SnapshotId]) -> String {
    let names: Vec<String> = snapshots.iter().map(SnapshotId::short).collect();
    let noun = if names.len() == 1 {
        "snapshot"
    } else {
        "snapshots"
    };
    format!("{noun} {}", names.join(", "))
}

/// What a policy is applied to.
#[derive(Debug, Clone)]
pub struct PolicyRequest<'a> {
    /// What is to be kept.
    pub policy: &'a Policy,
    /// Which snapshots compete.
    pub group_by: GroupBy,
    /// Which are looked at; others stay, and count for nothing.
    pub filters: &'a Filters,
    /// Snapshots that a drill or a full verification has proven.
    pub proven: &'a HashSet<SnapshotId>,
    /// Whose days and weeks count.
    pub zone: &'a TimeZone,
}

/// Why snapshots go.
#[derive(Debug, Clone)]
pub enum Decided {
    /// By a policy: every snapshot looked at, with the reasons.
    ByPolicy(Vec<GroupPlan>),
    /// By name: for each group how many go, and how many there are.
    ByName(BTreeMap<GroupKey, (usize, usize)>),
}

/// What forgetting would do.
#[derive(Debug)]
pub struct ForgetPlan<'a> {
    repository: &'a Repository,
    decided: Decided,
    forgotten: Vec<SnapshotId>,
}

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Hidden now.
    pub snapshots: Vec<SnapshotId>,
}

impl<'a> ForgetPlan<'a> {
    /// Applies a policy to the visible snapshots. Held ones stay.
    pub fn by_policy(
        repository: &'a Repository,
        request: &PolicyRequest<'_>,
    ) -> Result<Self, ForgetError> {
        let (snapshots, flags) = repository.list_snapshots()?;
        refuse_damage(flags)?;
        let holds = repository.load_holds()?;
        let now = repository.clock().now();
        let summaries: Vec<Summary> = snapshots
            .visible
            .iter()
            .map(|snapshot| snapshot.summary(false, request.proven.contains(&snapshot.id)))
            .collect();
        let candidates: Vec<Candidate> = request
            .filters
            .select(&summaries, now, request.zone)
            .into_iter()
            .map(|summary| {
                let held = holds.is_held(summary.id, now);
                Candidate::new(summary, request.group_by, held)
            })
            .collect();
        let groups = retention::plan(request.policy, &candidates, now, request.zone)?;
        let forgotten = groups.iter().flat_map(GroupPlan::forgotten).collect();
        Ok(Self {
            repository,
            decided: Decided::ByPolicy(groups),
            forgotten,
        })
    }

    /// Takes the named visible snapshots. Errors: one is on hold, or is not there.
    pub fn by_name(
        repository: &'a Repository,
        named: &[SnapshotId],
        group_by: GroupBy,
    ) -> Result<Self, ForgetError> {
        let named: BTreeSet<SnapshotId> = named.iter().copied().collect();
        let (snapshots, flags) = repository.list_snapshots()?;
        refuse_damage(flags)?;
        let there: HashSet<SnapshotId> = snapshots.visible.iter().map(|s| s.id).collect();
        if let Some(missing) = named.iter().find(|id| !there.contains(id)) {
            return Err(ForgetError::NotFound(*missing));
        }
        let mut groups: BTreeMap<GroupKey, (usize, usize)> = BTreeMap::new();
        for snapshot in &snapshots.visible {
            let key = group_by.key(&snapshot.summary(false, false));
            let counts = groups.entry(key).or_default();
            counts.0 += usize::from(named.contains(&snapshot.id));
            counts.1 += 1;
        }
        groups.retain(|_, (forgotten, _)| *forgotten > 0);
        let plan = Self {
            repository,
            decided: Decided::ByName(groups),
            forgotten: named.into_iter().collect(),
        };
        plan.refuse_held()?;
        Ok(plan)
    }

    /// The decisions and their reasons, to be shown.
    pub fn decided(&self) -> &Decided {
        &self.decided
    }

    /// What would be hidden.
    pub fn forgotten(&self) -> &[SnapshotId] {
        &self.forgotten
    }

    /// A group that loses more than half: executing the plan wants force then.
    pub fn check_force(&self) -> Result<(), ForgetError> {
        let counts: Vec<(&GroupKey, usize, usize)> = match &self.decided {
            Decided::ByPolicy(groups) => groups
                .iter()
                .map(|group| {
                    let forgotten = group.forgotten().count();
                    (&group.key, forgotten, group.decisions.len())
                })
                .collect(),
            Decided::ByName(groups) => groups
                .iter()
                .map(|(key, (forgotten, all))| (key, *forgotten, *all))
                .collect(),
        };
        match counts
            .iter()
            .find(|(_, forgotten, all)| forgotten * 2 > *all)
        {
            None => Ok(()),
            Some((group, forgotten, all)) => Err(ForgetError::WantsForce {
                group: Box::new((*group).clone()),
                forgotten: *forgotten,
                all: *all,
            }),
        }
    }

    /// Hides the snapshots with one record. A hold that was placed meanwhile wins: the record is
    /// taken back for what is held.
    pub fn execute(self, force: bool) -> Result<Forgotten, ForgetError> {
        self.repository.require_maintain("forget snapshots")?;
        if !force {
            self.check_force()?;
        }
        self.refuse_held()?;
        let snapshots = self.forgotten.clone();
        if snapshots.is_empty() {
            return Ok(Forgotten { snapshots });
        }
        let flags = refuse_damage(self.repository.load_flags()?)?;
        let after = heads(&flags, &snapshots);
        self.repository.put_hide(snapshots.clone(), true, after)?;
        if let Err(ForgetError::Held(held)) = self.refuse_held() {
            let flags = self.repository.load_flags()?;
            let shown = self.repository.show_again(&held, &flags);
            // Where one cannot be kept, its hold fails too and says so.
            if let Err(error @ KeepError::Session(_)) = shown {
                return Err(error.into());
            }
            return Err(ForgetError::Held(held));
        }
        Ok(Forgotten { snapshots })
    }

    fn refuse_held(&self) -> Result<(), ForgetError> {
        let holds = self.repository.load_holds()?;
        let now = self.repository.clock().now();
        let mut held = self.forgotten.clone();
        held.retain(|id| holds.is_held(*id, now));
        match held.is_empty() {
            true => Ok(()),
            false => Err(ForgetError::Held(held)),
        }
    }
}

/// Brings forgotten snapshots back. Only when this succeeds they stay.
pub fn undo(repository: &Repository, snapshots: &[SnapshotId]) -> Result<(), ForgetError> {
    repository.require_maintain("bring snapshots back")?;
    let (list, flags) = repository.list_snapshots()?;
    let flags = refuse_damage(flags)?;
    for id in snapshots {
        let mut listed = list.visible.iter().chain(&list.hidden);
        let Some(snapshot) = listed.find(|snapshot| snapshot.id == *id) else {
            return Err(ForgetError::NotFound(*id));
        };
        // One that is visible may have been left half brought back.
        if !flags.was_withdrawn(*id) {
            return Err(ForgetError::NotForgotten(*id));
        }
        // While it is only condemned, the record that is written below may still save it.
        if flags.is_deleted(*id) {
            return Err(KeepError::Condemned(*id).into());
        }
        if repository.is_undecided(snapshot.session, &flags)? {
            return Err(KeepError::Undecided(*id).into());
        }
    }
    Ok(repository.show_again(snapshots, &flags)?)
}

/// A hide record that cannot be read would be overruled unseen.
fn refuse_damage(mut flags: Flags) -> Result<Flags, ForgetError> {
    match flags.damaged.pop() {
        Some(error) => Err(error.into()),
        None => Ok(flags),
    }
}
