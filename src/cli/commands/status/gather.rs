//! What `status` judges: read from the repositories, the configuration, and this host's records.

use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::{LATE_MAX, Records, Space, identities, last_export};
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::listing::{Proven, SnapshotSet};
use crate::cli::locks;
use crate::cli::text;
use crate::config::{IfAbsent, Job, JobKind, Verify};
use crate::env::Timestamp;
use crate::format::snapshot::Totals;
use crate::repository::{Need, Repository};
use crate::schedule::Schedule;
use crate::selector::{Summary, is_own};
use crate::status::{JobFacts, LockFacts, Newest, RepositoryFacts, SourceFacts};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// How old the newest snapshot may be where nothing says more.
const AGE_MAX: Duration = Duration::from_secs(25 * 3600);

/// The snapshots whose changes make the median.
const MEDIAN_OF: Duration = Duration::from_secs(14 * 24 * 3600);

/// Fewest snapshots that make a median.
const MEDIAN_MIN: usize = 3;

/// Days that are looked at for missing ones.
const MISSING_DAYS_OF: usize = 14;

/// The longest day: one hour is given back in autumn.
const DAY: Duration = Duration::from_secs(25 * 3600);

/// Everything in reach.
pub struct Gathered {
    /// Title.
    pub name: String,
    /// Zone of what is shown.
    pub zone: TimeZone,
    /// Sources, by name.
    pub sources: Vec<SourceFacts>,
    /// Jobs.
    pub jobs: Vec<JobFacts>,
    /// Repositories.
    pub repositories: Vec<RepositoryFacts>,
    /// The repositories that hold a source's newest snapshot, or one as new.
    pub copies: BTreeMap<String, Vec<String>>,
    /// What lies in readable files, outside of all repositories.
    pub plaintext: Vec<Plaintext>,
}

/// What a job that exports writes, as far as this host knows.
pub struct Plaintext {
    /// The job.
    pub job: String,
    /// The directory.
    pub to: PathBuf,
    /// When it wrote last.
    pub last: Option<Timestamp>,
}

/// The visible snapshots of one repository, their sizes, and what was proven of them.
struct Looked {
    name: String,
    snapshots: Vec<(Summary, Totals, Proven)>,
}

/// What is done with each repository while it is open and listed. An error makes it count as out of reach.
pub type Visit<'v> =
    dyn FnMut(&Invocation, &str, &OpenRepository, &SnapshotSet) -> CommandResult<()> + 'v;

/// Looks at the repositories of the configuration, or at the one that was given.
pub fn gather(invocation: &Invocation, max_age: Option<Duration>) -> CommandResult<Gathered> {
    gather_visiting(invocation, max_age, &mut |_, _, _, _| Ok(()))
}

/// The same, and lets somebody else look too.
pub fn gather_visiting(
    invocation: &Invocation,
    max_age: Option<Duration>,
    visit: &mut Visit<'_>,
) -> CommandResult<Gathered> {
    let given = invocation.global.repo.is_some();
    match invocation.configuration()? {
        Some(configuration) if !given => of_jobs(invocation, &configuration, max_age, visit),
        _ => of_repository(invocation, max_age, visit),
    }
}

fn of_repository(
    invocation: &Invocation,
    max_age: Option<Duration>,
    visit: &mut Visit<'_>,
) -> CommandResult<Gathered> {
    let open = invocation.open_repository()?;
    let (looked, facts) = look(invocation, "repository", &open, visit)?;
    let mut names: Vec<String> = looked
        .snapshots
        .iter()
        .map(|(s, ..)| s.source.clone())
        .collect();
    names.retain(|name| !is_own(name));
    names.sort();
    names.dedup();
    let now = invocation.now();
    let sources = names.iter().map(|identity| SourceFacts {
        name: text::short_source(identity),
        rpo: Some(max_age.unwrap_or(AGE_MAX)),
        ..of_source(&[&looked], identity, now)
    });
    Ok(Gathered {
        name: open.place.to_string(),
        zone: invocation.zone.clone(),
        sources: sources.collect(),
        jobs: Vec::new(),
        repositories: vec![facts],
        copies: BTreeMap::new(),
        plaintext: Vec::new(),
    })
}

fn of_jobs(
    invocation: &Invocation,
    configuration: &Configuration,
    max_age: Option<Duration>,
    visit: &mut Visit<'_>,
) -> CommandResult<Gathered> {
    let config = &configuration.config;
    let mut looked = Vec::new();
    let mut repositories = Vec::new();
    for (name, repository) in &config.repositories {
        let own = invocation.with_repository(name);
        let found = own.open_repository().and_then(|open| {
            let (looked, mut facts) = look(&own, name, &open, visit)?;
            if repository.max_size.is_some() {
                facts.max_size = repository.max_size;
                facts.bytes = Space::look(&open)?.bytes;
            }
            Ok((looked, facts))
        });
        match found {
            Ok((one, facts)) => {
                looked.push(one);
                repositories.push(facts);
            }
            Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
            Err(error) => repositories.push(RepositoryFacts {
                name: name.clone(),
                unreachable: Some(error.message()),
                may_be_absent: repository.if_absent == IfAbsent::Warn,
                ..RepositoryFacts::default()
            }),
        }
    }
    let now = invocation.now();
    let records = Records::open(invocation, configuration)?;
    let (mut sources, mut jobs, mut plaintext) = (Vec::new(), Vec::new(), Vec::new());
    let mut copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (job_name, job) in &config.jobs {
        let zone = zone_of(invocation, config, job);
        jobs.push(of_job(&records, job_name, job, &zone, now));
        if let Some(plan) = &job.export {
            plaintext.push(Plaintext {
                job: job_name.clone(),
                to: configuration.resolved(&plan.to),
                last: last_export(&records, job_name).map(|last| Timestamp(last.finished)),
            });
        }
        if job.kind != JobKind::Backup {
            continue;
        }
        let own = looked
            .iter()
            .filter(|one| job.repositories.contains(&one.name));
        let own: Vec<&Looked> = own.collect();
        for (name, identity) in identities(configuration, job) {
            let every = |schedule: &Option<Schedule>| interval(schedule.as_ref()?, &zone, now);
            let facts = SourceFacts {
                name: name.clone(),
                rpo: max_age
                    .or(job.goals.rpo)
                    .or_else(|| usual_age(job, &zone, now)),
                rto: job.goals.rto,
                wants_read_back: job.verify == Verify::ReadBack,
                drill_every: job.drill.as_ref().and_then(|drill| every(&drill.schedule)),
                missing_days: missing_days(&own, &identity, every(&job.schedule), &zone, now),
                is_partial: own.len() < job.repositories.len(),
                ..of_source(&own, &identity, now)
            };
            let newest = facts.newest.as_ref().map(|newest| newest.taken);
            let holds = own.iter().filter(|one| {
                let mut of = one.snapshots.iter().filter(|(s, ..)| s.source == identity);
                of.any(|(summary, ..)| Some(summary.captured) == newest)
            });
            copies.insert(name, holds.map(|one| one.name.clone()).collect());
            sources.push(facts);
        }
    }
    Ok(Gathered {
        name: configuration.name().to_owned(),
        zone: config
            .timezone
            .clone()
            .unwrap_or_else(|| invocation.zone.clone()),
        sources,
        jobs,
        repositories,
        copies,
        plaintext,
    })
}

/// The time between two runs, as the schedule has it now.
pub fn interval(schedule: &Schedule, zone: &TimeZone, now: Timestamp) -> Option<Duration> {
    let first = schedule.next(now, zone)?;
    let second = schedule.next(first, zone)?;
    Some(second.since(first))
}

/// What the schedule gives, and an hour for the run itself; a change tells by itself when it comes.
fn usual_age(job: &Job, zone: &TimeZone, now: Timestamp) -> Option<Duration> {
    match &job.schedule {
        None => Some(AGE_MAX),
        Some(Schedule::OnChange) => None,
        Some(schedule) => {
            let every = interval(schedule, zone, now)?;
            Some(every + Duration::from_secs(3600))
        }
    }
}

fn of_job(records: &Records, name: &str, job: &Job, zone: &TimeZone, now: Timestamp) -> JobFacts {
    let drill = records.drill_of(name);
    let facts = JobFacts {
        name: name.to_owned(),
        disabled: !job.enabled && job.schedule.is_some(),
        drill_error: drill.and_then(|drill| drill.error),
        ..JobFacts::default()
    };
    let record = records.of(name);
    let due = records.due(name, job, zone, now);
    let (error, failures) = match record {
        Some(record) => (record.error, record.failures),
        None => (None, 0),
    };
    JobFacts {
        error,
        failures,
        missed: due.filter(|due| due.after(LATE_MAX) < now),
        ..facts
    }
}

fn of_source(looked: &[&Looked], identity: &str, now: Timestamp) -> SourceFacts {
    let mut facts = SourceFacts::default();
    let mut newest: Option<(Timestamp, Newest)> = None;
    for one in looked {
        let mut own: Vec<_> = one
            .snapshots
            .iter()
            .filter(|(s, ..)| s.source == identity)
            .collect();
        own.sort_by_key(|(summary, ..)| (summary.effective_time(now), summary.id));
        for (summary, _, proven) in &own {
            if summary.complete && !summary.suspect {
                facts.good = facts.good.max(Some(summary.effective_time(now)));
            }
            facts.drill = facts.drill.max(proven.drill);
        }
        let [before @ .., (summary, totals, proven)] = own.as_slice() else {
            continue;
        };
        let at = summary.effective_time(now);
        if newest.as_ref().is_some_and(|(known, _)| *known >= at) {
            continue;
        }
        newest = Some((
            at,
            Newest {
                id: summary.id.short(),
                taken: summary.captured,
                complete: summary.complete,
                suspect: summary.suspect,
                read_back: proven.read_back,
                bytes: totals.bytes,
                bytes_before: before.last().map(|(_, totals, _)| totals.bytes),
                changed: totals.bytes_new,
                changed_median: median_change(before, at, now),
            },
        ));
    }
    facts.newest = newest.map(|(_, newest)| newest);
    facts
}

/// The median of what was new among the snapshots of the 14 days before `at`, where there are some. The
/// very first of a source is all new, and says nothing.
fn median_change(
    before: &[&(Summary, Totals, Proven)],
    at: Timestamp,
    now: Timestamp,
) -> Option<u64> {
    let after_first = before.get(1..).unwrap_or_default().iter();
    let recent = after_first.filter(|(summary, ..)| {
        let age = at.0.saturating_sub(summary.effective_time(now).0);
        u128::try_from(age).is_ok_and(|age| age <= MEDIAN_OF.as_nanos())
    });
    let mut changed: Vec<u64> = recent.map(|(_, totals, _)| totals.bytes_new).collect();
    changed.sort_unstable();
    (changed.len() >= MEDIAN_MIN).then(|| changed[changed.len() / 2])
}

/// The days of the two weeks before the newest snapshot of a source that have none, although its job runs
/// at least once a day; those after it are told by its age.
fn missing_days(
    looked: &[&Looked],
    identity: &str,
    every: Option<Duration>,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<String> {
    if every.is_none_or(|every| every > DAY) {
        return Vec::new();
    }
    let day = |moment: Timestamp| moment.to_jiff().to_zoned(zone.clone()).date();
    let snapshots = looked.iter().flat_map(|one| &one.snapshots);
    let own = snapshots.filter(|(summary, ..)| summary.source == identity);
    let days: BTreeSet<_> = own
        .map(|(summary, ..)| day(summary.effective_time(now)))
        .collect();
    let (Some(first), Some(mut at)) = (days.first().copied(), days.last().copied()) else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    for _ in 0..MISSING_DAYS_OF {
        let Ok(before) = at.yesterday() else { break };
        at = before;
        if at <= first {
            break;
        }
        if !days.contains(&at) {
            missing.push(at.to_string());
        }
    }
    missing.reverse();
    missing
}

/// When the keys of a repository were drawn, where this credential sees that.
pub fn keys_drawn(repository: &Repository) -> Option<Timestamp> {
    let access = repository.access();
    access.check_allowed(Need::Administer, "").ok()?;
    Some(repository.keys_drawn().ok()?.since)
}

fn look(
    invocation: &Invocation,
    name: &str,
    open: &OpenRepository,
    visit: &mut Visit<'_>,
) -> CommandResult<(Looked, RepositoryFacts)> {
    let set = invocation.list_snapshots(&open.repository)?;
    visit(invocation, name, open, &set)?;
    let visible = set.visible();
    let looked = Looked {
        name: name.to_owned(),
        snapshots: visible
            .map(|(summary, totals, proven)| (summary.clone(), *totals, proven))
            .collect(),
    };
    let locks = locks::look(open, &mut set.visible().map(|(summary, ..)| summary.id))?;
    let facts = RepositoryFacts {
        name: name.to_owned(),
        locks: locks.map(|locks| LockFacts {
            soonest: locks.soonest,
            least: locks::alarm(locks.lock),
        }),
        damaged: set.damaged as u64,
        disk: Space::of_disk(open),
        keys_drawn: keys_drawn(&open.repository),
        ..RepositoryFacts::default()
    };
    Ok((looked, facts))
}
