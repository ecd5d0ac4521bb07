//! What one repository contributes: its log, its snapshots, what the keep rules make of them.

use super::Stretch;
use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::{Space, identities, own};
use crate::cli::commands::status::gather::keys_drawn;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::history::{Happened, History};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::listing::SnapshotSet;
use crate::cli::place::Place;
use crate::cli::text;
use crate::event::{Activity, Phase};
use crate::id::SnapshotId;
use crate::report::{Act, Repository, Retention};
use crate::retention::{
    Candidate, ForgetReason, GroupBy, GroupPlan, KeepReason, Policy, Verdict, plan,
};
use crate::selector::{Filters, Visibility};
use crate::stats::Sample;
use std::collections::{BTreeMap, HashSet};

/// What was done by people and jobs, and belongs into a report as a line of its own.
const ACTS: [Activity; 9] = [
    Activity::Check,
    Activity::Drill,
    Activity::Restore,
    Activity::Export,
    Activity::Forget,
    Activity::Prune,
    Activity::Key,
    Activity::Hold,
    Activity::Config,
];

/// What is known of one repository.
pub struct Collected {
    /// Its figures and its log.
    pub repository: Repository,
    /// Where it is.
    pub place: Place,
    /// Its snapshots, forgotten ones too.
    pub samples: Vec<Sample>,
    /// The names of these.
    pub known: HashSet<SnapshotId>,
    /// What happened in the month.
    pub events: Vec<Happened>,
    /// What keep rules come to.
    pub retention: Vec<Retention>,
}

/// Looks at a repository that is open.
pub fn collect(
    invocation: &Invocation,
    configuration: Option<&Configuration>,
    (name, open, set): (&str, &OpenRepository, &SnapshotSet),
    (from, until): Stretch,
) -> CommandResult<Collected> {
    let repository = &open.repository;
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let read = repository.read_and_verify_audit(invocation.workers(), ui, cancel);
    ui.clear();
    let (verified, entries) = read?;
    let history = History::of(entries, from, until);
    let everything = Filters {
        visibility: Visibility::All,
        ..Filters::default()
    };
    let faults = verified.faults.iter();
    Ok(Collected {
        repository: Repository {
            name: name.to_owned(),
            place: text::line(&open.place.to_string()),
            cipher: repository.suite().name().to_owned(),
            snapshots: set.visible().count() as u64,
            bytes: Space::look(open)?.bytes,
            damaged: set.damaged as u64,
            keys_drawn: keys_drawn(repository),
            records: verified.records,
            chains: verified.chains,
            faults: faults.map(|fault| text::line(&fault.to_string())).collect(),
            sealed: history.sealed,
        },
        place: open.place.clone(),
        samples: set.samples(&everything, invocation),
        known: set.summaries().iter().map(|summary| summary.id).collect(),
        events: history.events,
        retention: retention(invocation, configuration, (name, open, set))?,
    })
}

/// What the rules of each job that keeps here would forget now.
fn retention(
    invocation: &Invocation,
    configuration: Option<&Configuration>,
    (name, open, set): (&str, &OpenRepository, &SnapshotSet),
) -> CommandResult<Vec<Retention>> {
    let mut kept = Vec::new();
    let Some(configuration) = configuration else {
        return Ok(kept);
    };
    let holds = open.repository.load_holds()?;
    let now = invocation.now();
    for (job_name, job) in &configuration.config.jobs {
        let is_here = job.repositories.iter().any(|own| own == name);
        let Some(policy) = job.keep.as_ref().filter(|_| is_here) else {
            continue;
        };
        let zone = zone_of(invocation, &configuration.config, job);
        let filters = own(job_name, job);
        let looked_at = filters.select(set.summaries(), now, &zone);
        let candidates: Vec<Candidate> = looked_at
            .into_iter()
            .map(|summary| {
                let held = holds.is_held(summary.id, now);
                Candidate::new(summary, GroupBy::default(), held)
            })
            .collect();
        let groups = plan(policy, &candidates, now, &zone).map_err(CommandError::usage)?;
        kept.extend(groups.iter().map(|group| Retention {
            job: job_name.clone(),
            repository: name.to_owned(),
            ..of_group(policy, group)
        }));
    }
    Ok(kept)
}

fn of_group(policy: &Policy, group: &GroupPlan) -> Retention {
    let verdicts = || group.decisions.iter().map(|decision| &decision.verdict);
    let past =
        |verdict: &&Verdict| matches!(verdict, Verdict::Forget(ForgetReason::Maximum { .. }));
    let counts = policy.counts().into_iter().filter(|(_, want)| *want > 0);
    let counts = counts.map(|(period, want)| {
        let wanted = KeepReason::Count(period);
        let has = |verdict: &&Verdict| match verdict {
            Verdict::Keep(reasons) => reasons.contains(&wanted),
            Verdict::Forget(_) => false,
        };
        (
            period,
            verdicts().filter(has).count() as u64,
            u64::from(want),
        )
    });
    Retention {
        job: String::new(),
        repository: String::new(),
        source: text::short_source(group.key.source.as_deref().unwrap_or_default()),
        policy: policy.to_string(),
        kept: group
            .decisions
            .iter()
            .filter(|decision| decision.is_kept())
            .count() as u64,
        overdue: group.forgotten().count() as u64,
        past_maximum: verdicts().filter(past).count() as u64,
        counts: counts.collect(),
    }
}

/// What was done, each with the time since its beginning.
pub fn acts(collected: &Collected, configuration: Option<&Configuration>) -> Vec<Act> {
    let goals = goals(configuration);
    let mut begun: BTreeMap<(Activity, &str, Option<SnapshotId>, Option<&str>), _> =
        BTreeMap::new();
    let mut acts = Vec::new();
    for happened in &collected.events {
        let event = &happened.event;
        let (base, is_end) = match event.phase() {
            Phase::Start => (event.name.strip_suffix("_start"), false),
            Phase::Complete => (event.name.strip_suffix("_complete"), true),
        };
        let activity = ACTS
            .into_iter()
            .find(|activity| base == Some(activity.name()));
        let Some(activity) = activity else { continue };
        let key = |snapshot| {
            (
                activity,
                happened.host.as_str(),
                snapshot,
                event.source.as_deref(),
            )
        };
        if !is_end {
            begun.insert(key(event.snapshot), event.time);
            continue;
        }
        // The end of a check names a snapshot that the beginning did not know.
        let start = begun
            .remove(&key(event.snapshot))
            .or_else(|| begun.remove(&key(None)));
        let goal = event
            .source
            .as_ref()
            .and_then(|source| goals.get(source))
            .copied();
        acts.push(Act {
            time: event.time,
            activity,
            repository: collected.repository.name.clone(),
            by: text::line(&format!("{}@{}", happened.user, happened.host)),
            revoked: happened.revoked,
            subject: subject(happened, activity),
            status: happened.status(),
            details: text::line(&event.details),
            bytes: event.bytes,
            took: start.map(|start| event.time.since(start)),
            goal: goal.filter(|_| activity == Activity::Drill),
        });
    }
    acts
}

/// The longest a restore may take, by identity of the source.
fn goals(configuration: Option<&Configuration>) -> BTreeMap<String, std::time::Duration> {
    let mut goals = BTreeMap::new();
    if let Some(configuration) = configuration {
        for job in configuration.config.jobs.values() {
            for (_, identity) in identities(configuration, job) {
                goals.extend(job.goals.rto.map(|rto| (identity, rto)));
            }
        }
    }
    goals
}

fn subject(happened: &Happened, activity: Activity) -> String {
    let event = &happened.event;
    let mut parts = Vec::new();
    parts.extend(
        event
            .job
            .as_ref()
            .map(|job| format!("job {}", text::line(job))),
    );
    parts.extend(event.source.as_deref().map(text::short_source));
    parts.extend(event.snapshot.map(|snapshot| snapshot.short()));
    if activity == Activity::Restore {
        parts.extend(
            event
                .location
                .as_ref()
                .map(|to| format!("to {}", text::line(to))),
        );
    }
    match parts.is_empty() {
        true => "-".to_owned(),
        false => parts.join(", "),
    }
}
