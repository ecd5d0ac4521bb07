//! The sources of a report: what was due and taken, over all repositories.

use super::collect::Collected;
use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::{captures, identities};
use crate::cli::commands::status::gather::Gathered;
use crate::cli::configuration::Configuration;
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::config::Job;
use crate::env::Timestamp;
use crate::event::{Activity, Status};
use crate::report::{Month, Source, Taken, days};
use crate::selector::is_own;
use crate::stats::{Figures, Sample, pace};
use crate::units::DAY_SECONDS;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most runs of a month that are looked at one by one: more than one each minute is none's.
const DUE_MAX: usize = 50_000;

/// A source that is captured this often, and has no schedule, is expected every day.
const DAILY: Duration = Duration::from_secs(DAY_SECONDS + 3600);

/// A source that is looked for in the repositories.
struct Wanted<'c> {
    name: String,
    identity: String,
    job: Option<(&'c str, &'c Job)>,
}

/// The sources of all jobs, else of all that the repository holds.
pub fn sources(
    invocation: &Invocation,
    configuration: Option<&Configuration>,
    collected: &[Collected],
    gathered: &Gathered,
    (month, until): (Month, Timestamp),
) -> Vec<Source> {
    let zone = &gathered.zone;
    let wanted = match configuration {
        Some(configuration) => of_jobs(configuration),
        None => of_repositories(collected),
    };
    let describe = |wanted: &Wanted<'_>| {
        let own: Vec<&Collected> = match wanted.job {
            Some((_, job)) => {
                let own = |one: &&Collected| job.repositories.contains(&one.repository.name);
                collected.iter().filter(own).collect()
            }
            None => collected.iter().collect(),
        };
        let samples = samples(&own, &wanted.identity);
        let samples: Vec<&Sample> = samples.values().copied().collect();
        let first = samples.first().map(|sample| sample.taken);
        let due = match (configuration, wanted.job) {
            (Some(configuration), Some((_, job))) => {
                let own = zone_of(invocation, &configuration.config, job);
                due(job, &own, (month, until, zone), first)
            }
            _ => every_day(&samples, (month, zone)),
        };
        let (from, to) = (month.start(zone), month.end(zone));
        let within = samples.iter().filter(|sample| sample.is_within(from, to));
        let points = within.map(|sample| {
            let took = Duration::from_millis(sample.milliseconds);
            (sample.taken, sample.bytes, took)
        });
        let known = gathered
            .sources
            .iter()
            .find(|source| source.name == wanted.name);
        let newest = known.and_then(|known| known.newest.as_ref());
        let copies = gathered.copies.get(&wanted.name).cloned();
        Source {
            name: text::line(&wanted.name),
            job: wanted.job.map(|(name, _)| name.to_owned()),
            days: days(month, zone, &due, &taken(&own, wanted, &samples), until),
            points: points.collect(),
            figures: Figures::of(&samples, from, to),
            read_back: newest.and_then(|newest| newest.read_back),
            drill: known.and_then(|known| known.drill),
            rto: known.and_then(|known| known.rto),
            copies: copies
                .unwrap_or_else(|| own.iter().map(|one| one.repository.name.clone()).collect()),
        }
    };
    wanted.iter().map(describe).collect()
}

fn of_jobs(configuration: &Configuration) -> Vec<Wanted<'_>> {
    let jobs = configuration
        .config
        .jobs
        .iter()
        .filter(|(_, job)| captures(job));
    let sources = jobs.flat_map(|(job_name, job)| {
        let sources = identities(configuration, job).into_iter();
        sources.map(move |(name, identity)| Wanted {
            name,
            identity,
            job: Some((job_name.as_str(), job)),
        })
    });
    sources.collect()
}

fn of_repositories(collected: &[Collected]) -> Vec<Wanted<'_>> {
    let samples = collected.iter().flat_map(|one| &one.samples);
    let identities: BTreeSet<&String> = samples.map(|sample| &sample.source).collect();
    let sources = identities.into_iter().filter(|name| !is_own(name));
    let wanted = sources.map(|identity| Wanted {
        name: text::short_source(identity),
        identity: identity.clone(),
        job: None,
    });
    wanted.collect()
}

/// The snapshots of a source by their time: copies of one count once.
fn samples<'c>(own: &[&'c Collected], identity: &str) -> BTreeMap<Timestamp, &'c Sample> {
    let samples = own.iter().flat_map(|one| &one.samples);
    let own = samples.filter(|sample| sample.source == identity);
    own.map(|sample| (sample.taken, sample)).collect()
}

/// When the job was due from the source's first snapshot on, and once after the month.
fn due(
    job: &Job,
    own: &TimeZone,
    (month, until, zone): (Month, Timestamp, &TimeZone),
    first: Option<Timestamp>,
) -> Vec<Timestamp> {
    let (Some(first), Some(schedule)) = (first, job.schedule.as_ref().filter(|_| job.enabled))
    else {
        return Vec::new();
    };
    let start = first.max(month.start(zone));
    let mut due: Vec<Timestamp> = Vec::new();
    let mut at = Timestamp(start.0 - 1);
    while let Some(next) = schedule.next(at, own) {
        let is_over = due.last().is_some_and(|last| *last >= until);
        if is_over || next <= at || due.len() == DUE_MAX {
            break;
        }
        due.push(next);
        at = next;
    }
    due
}

/// The beginnings of days, and of the one after the month, where snapshots usually come every day.
fn every_day(samples: &[&Sample], (month, zone): (Month, &TimeZone)) -> Vec<Timestamp> {
    let usual = pace(samples).every.is_some_and(|every| every <= DAILY);
    let Some(first) = samples.first().filter(|_| usual) else {
        return Vec::new();
    };
    let starts = month.days().map(|date| Timestamp::start_of(date, zone));
    let starts = starts.chain([month.end(zone)]);
    starts
        .filter(|start| start.after(Duration::from_secs(DAY_SECONDS)) > first.taken)
        .collect()
}

/// Snapshots that are there, those that are gone since, and attempts that failed.
fn taken(own: &[&Collected], wanted: &Wanted<'_>, samples: &[&Sample]) -> Vec<(Timestamp, Taken)> {
    let there = samples.iter().map(|sample| {
        let taken = Taken::Snapshot {
            good: sample.is_good,
        };
        (sample.taken, taken)
    });
    let mut taken: Vec<(Timestamp, Taken)> = there.collect();
    for one in own {
        let ends = one
            .events
            .iter()
            .filter(|happened| happened.ends(Activity::Create));
        for happened in ends {
            let event = &happened.event;
            if event.source.as_ref() != Some(&wanted.identity) {
                continue;
            }
            let is_known = |id| own.iter().any(|one| one.known.contains(id));
            match (happened.status(), &event.snapshot) {
                (Status::Error, _) => taken.push((event.time, Taken::Failure)),
                (status, Some(id)) if !is_known(id) => {
                    let good = status == Status::Success;
                    taken.push((event.time, Taken::Snapshot { good }));
                }
                _ => {}
            }
        }
    }
    taken.sort_by_key(|(time, _)| *time);
    taken
}
