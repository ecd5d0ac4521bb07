//! The snapshots of a repository, as commands list and choose them.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::env::Timestamp;
use crate::format::protocol::{Proof, ProofKind};
use crate::format::snapshot::Totals;
use crate::id::{DomainTag, SnapshotId};
use crate::monitor::Monitor;
use crate::repository::{CredentialKind, Repository, Snapshot};
use crate::selector::{Filters, Summary, is_own};
use crate::stats::Sample;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

impl Invocation {
    /// Lists snapshots; damaged ones and those of other domains are mentioned.
    pub fn list_snapshots(&self, repository: &Repository) -> CommandResult<SnapshotSet> {
        let (list, flags) = repository.list_snapshots()?;
        for (id, _) in &list.damaged {
            self.ui.warn(&format!(
                "snapshot {} is damaged: icecore check",
                id.short()
            ));
        }
        for record in &flags.damaged {
            self.ui
                .warn(&format!("{record}; nothing is deleted because of it"));
        }
        if list.foreign > 0 {
            let why = match repository.access().kind() {
                Some(CredentialKind::WriteOnly) => {
                    "of others, or from before this host lost its key"
                }
                _ => "in domains that this credential does not hold",
            };
            let foreign = text::counted(list.foreign as u64, "snapshot");
            self.ui.warn(&format!("{foreign} {why}: not shown"));
        }
        let listed = list.visible.iter().chain(&list.hidden);
        let domains = listed.map(|snapshot| (snapshot.id, snapshot.domain));
        let proofs = self.proofs(repository, &domains.collect())?;
        let hidden = list.hidden.into_iter().map(|snapshot| (snapshot, true));
        let visible = list.visible.into_iter().map(|snapshot| (snapshot, false));
        let (snapshots, summaries) = visible
            .chain(hidden)
            .map(|(snapshot, hidden)| {
                let proven = proofs.get(&snapshot.id);
                let proven = proven.is_some_and(|proven| proven.read_back.is_some());
                let summary = snapshot.summary(hidden, proven);
                (snapshot, summary)
            })
            .unzip();
        Ok(SnapshotSet {
            snapshots,
            summaries,
            proofs,
            damaged: list.damaged.len(),
        })
    }

    /// What was proven of each snapshot, by somebody who can read it. A proof from the future is a
    /// wrong clock's, and would stand for ever.
    fn proofs(
        &self,
        repository: &Repository,
        domains: &HashMap<SnapshotId, DomainTag>,
    ) -> CommandResult<HashMap<SnapshotId, Proven>> {
        let list = repository.load_proofs()?;
        for error in &list.damaged {
            self.ui.warn(&error.to_string());
        }
        let now = self.now();
        let mut proofs: HashMap<SnapshotId, Proven> = HashMap::new();
        for signed in list.proofs {
            if !signed.credible || signed.proof.finished > now {
                continue;
            }
            let is_read = |id: &&SnapshotId| {
                let domain = domains.get(id);
                domain.is_some_and(|domain| signed.vouches_for(*domain))
            };
            for snapshot in signed.proof.snapshots.iter().filter(is_read) {
                proofs.entry(*snapshot).or_default().add(&signed.proof);
            }
        }
        Ok(proofs)
    }
}

/// A proof of a snapshot, after it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotProof {
    /// How.
    pub kind: ProofKind,
    /// When.
    pub finished: Timestamp,
}

impl SnapshotProof {
    /// Stronger ones are greater, of equal strength newer ones.
    fn rank(&self) -> (u8, Timestamp) {
        let strength = match self.kind {
            ProofKind::Structure => 0,
            ProofKind::ReadData => 1,
            ProofKind::Drill => 2,
        };
        (strength, self.finished)
    }
}

/// All that was proven of a snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proven {
    /// By the strongest and then newest proof.
    pub strongest: Option<SnapshotProof>,
    /// When all of it was last read back: by a check, or by a drill.
    pub read_back: Option<Timestamp>,
    /// When a restore was last tried with success, and how long it took.
    pub drill: Option<(Timestamp, Duration)>,
}

impl Proven {
    fn add(&mut self, proof: &Proof) {
        let new = SnapshotProof {
            kind: proof.kind,
            finished: proof.finished,
        };
        let rank = |proof: SnapshotProof| proof.rank();
        if self.strongest.map(rank) < Some(new.rank()) {
            self.strongest = Some(new);
        }
        if proof.kind != ProofKind::Structure {
            self.read_back = self.read_back.max(Some(proof.finished));
        }
        if proof.kind == ProofKind::Drill {
            let took = Duration::from_millis(proof.milliseconds);
            self.drill = self.drill.max(Some((proof.finished, took)));
        }
    }
}

/// The snapshots of a repository, as objects and as selectors see them.
pub struct SnapshotSet {
    snapshots: Vec<Snapshot>,
    summaries: Vec<Summary>,
    proofs: HashMap<SnapshotId, Proven>,
    /// How many snapshot objects are damaged.
    pub damaged: usize,
}

impl SnapshotSet {
    /// As selectors see them.
    pub fn summaries(&self) -> &[Summary] {
        &self.summaries
    }

    /// All of them, forgotten ones too.
    pub fn all(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter()
    }

    /// The visible ones: as selectors see them, their figures, what was proven of them.
    pub fn visible(&self) -> impl Iterator<Item = (&Summary, &Totals, Proven)> {
        let all = self.summaries.iter().zip(&self.snapshots);
        let visible = all.filter(|(summary, _)| !summary.hidden);
        visible.map(|(summary, snapshot)| {
            let proven = self.proofs.get(&summary.id).copied().unwrap_or_default();
            (summary, &snapshot.label.totals, proven)
        })
    }

    /// The figures of those visible ones that pass the filters. What icecore keeps for itself is left out: what
    /// it takes is not worth a line.
    pub fn samples(&self, filters: &Filters, invocation: &Invocation) -> Vec<Sample> {
        let now = invocation.now();
        let chosen = filters.select(&self.summaries, now, &invocation.zone);
        let chosen: HashSet<SnapshotId> = chosen.iter().map(|summary| summary.id).collect();
        let all = self.summaries.iter().zip(&self.snapshots);
        let shown =
            all.filter(|(summary, _)| chosen.contains(&summary.id) && !is_own(&summary.source));
        let samples = shown.map(|(summary, snapshot)| {
            let totals = &snapshot.label.totals;
            Sample {
                source: summary.source.clone(),
                host: summary.host.clone(),
                job: summary.job.clone(),
                taken: summary.effective_time(now),
                bytes: totals.bytes,
                bytes_new: totals.bytes_new,
                bytes_stored: totals.bytes_stored,
                milliseconds: totals.milliseconds,
                is_whole: snapshot.label.parent.is_none(),
                is_good: summary.complete && !summary.suspect,
            }
        });
        samples.collect()
    }

    /// The newest visible snapshot of each source that has no flaw and is wanted.
    pub fn newest_good(
        &self,
        now: Timestamp,
        is_wanted: &dyn Fn(&Summary) -> bool,
    ) -> BTreeMap<&str, &Snapshot> {
        let mut newest: BTreeMap<&str, (_, &Snapshot)> = BTreeMap::new();
        let all = self.summaries.iter().zip(&self.snapshots);
        let good = all.filter(|(summary, _)| !summary.hidden && summary.flaw().is_none());
        for (summary, snapshot) in good.filter(|(summary, _)| is_wanted(summary)) {
            let taken = (summary.effective_time(now), summary.id);
            let known = newest.entry(&summary.source).or_insert((taken, snapshot));
            if known.0 < taken {
                *known = (taken, snapshot);
            }
        }
        let newest = newest.into_iter();
        newest
            .map(|(source, (_, snapshot))| (source, snapshot))
            .collect()
    }

    /// The strongest proof of a snapshot.
    pub fn proof(&self, id: SnapshotId) -> Option<SnapshotProof> {
        self.proofs.get(&id)?.strongest
    }

    /// Those that somebody has proven.
    pub fn proven(&self) -> HashSet<SnapshotId> {
        let proven = self.summaries.iter().filter(|summary| summary.proven);
        proven.map(|summary| summary.id).collect()
    }

    /// Those that pass the filters, oldest first.
    pub fn select(
        &self,
        selection: &SelectionArguments,
        invocation: &Invocation,
    ) -> Vec<&Snapshot> {
        let now = invocation.now();
        let passing = selection
            .filters()
            .select(&self.summaries, now, &invocation.zone);
        passing
            .into_iter()
            .filter_map(|summary| self.by_id(summary).ok())
            .collect()
    }

    /// The object of one that selectors have chosen.
    pub fn by_id(&self, summary: &Summary) -> CommandResult<&Snapshot> {
        let mut snapshots = self.snapshots.iter();
        snapshots
            .find(|snapshot| snapshot.id == summary.id)
            .ok_or_else(|| CommandError::failed("the snapshot went away meanwhile"))
    }
}
