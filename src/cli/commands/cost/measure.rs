//! What is in a repository as workloads: one for each source of each job.

use super::{CostArguments, STANDARD, Share, Subject};
use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::{Space, captures};
use crate::cli::commands::status::gather::interval;
use crate::cli::configuration::Configuration;
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::place::Place;
use crate::cli::tier;
use crate::config::{Job, JobKind};
use crate::cost::{EVERY_MIN, Workload};
use crate::retention::Policy;
use crate::selector::Filters;
use crate::stats::{Sample, pace};
use crate::units::DAY_SECONDS;
use std::collections::BTreeMap;
use std::time::Duration;

/// Every repository of the configuration, or the one that was given.
///
/// Exit code 3 where one could not be looked at.
pub fn subjects(
    invocation: &Invocation,
    arguments: &CostArguments,
) -> CommandResult<(Vec<Subject>, Exit)> {
    let configuration = invocation.configuration()?;
    invocation.look_at_each("in the estimate", |name, own| {
        subject(own, name, configuration.as_deref(), arguments)
    })
}

fn subject(
    invocation: &Invocation,
    name: &str,
    configuration: Option<&Configuration>,
    arguments: &CostArguments,
) -> CommandResult<Subject> {
    let configured = invocation.configured()?;
    let open = invocation.open_repository()?;
    let set = invocation.list_snapshots(&open.repository)?;
    let samples = set.samples(&Filters::default(), invocation);
    let bytes = Space::look(&open)?.bytes;
    let own = configured.and_then(|(_, _, repository)| repository.price);
    let mut shares = Vec::new();
    for (job_name, samples) in by_job(&samples) {
        let job = configuration
            .zip(job_name.as_ref())
            .and_then(|(configuration, job)| {
                configuration
                    .config
                    .jobs
                    .get(job)
                    .filter(|job| captures(job))
            });
        let policy = arguments
            .keep
            .clone()
            .or_else(|| policy_of(configuration?, name, job));
        shares.push(share(
            invocation,
            configuration,
            arguments,
            (job_name, job),
            policy,
            &samples,
        ));
    }
    spread(&mut shares, bytes);
    let class = arguments.class.clone().or(own).or_else(|| class_of(&open));
    Ok(Subject {
        name: name.to_owned(),
        place: Some(open.place.to_string()),
        bytes: Some(bytes),
        classes_now: classes_now(&open)?,
        class,
        shares,
    })
}

fn by_job(samples: &[Sample]) -> BTreeMap<Option<String>, Vec<Sample>> {
    let mut jobs: BTreeMap<Option<String>, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        jobs.entry(sample.job.clone())
            .or_default()
            .push(sample.clone());
    }
    jobs
}

/// The rules of whoever keeps a job's snapshots in a repository: the job, or a job that prunes there.
fn policy_of(configuration: &Configuration, repository: &str, job: Option<&Job>) -> Option<Policy> {
    let jobs = &configuration.config.jobs;
    let pruner = job.and_then(|job| job.prune_by.get(repository));
    if let (Some(job), None) = (job, pruner) {
        return job.keep.clone();
    }
    let prunes = |job: &&Job| job.kind == JobKind::Prune;
    let pruner = pruner.and_then(|name| jobs.get(name)).filter(prunes);
    let pruner = pruner.or_else(|| {
        let mut pruners = jobs.values().filter(prunes);
        pruners.find(|pruner| pruner.repositories.iter().any(|name| name == repository))
    });
    pruner.and_then(|pruner| pruner.keep.clone())
}

fn share(
    invocation: &Invocation,
    configuration: Option<&Configuration>,
    arguments: &CostArguments,
    (name, job): (Option<String>, Option<&Job>),
    policy: Option<Policy>,
    samples: &[Sample],
) -> Share {
    let zone = match (configuration, job) {
        (Some(configuration), Some(job)) => zone_of(invocation, &configuration.config, job),
        _ => invocation.zone.clone(),
    };
    let now = invocation.now();
    let planned = job.and_then(|job| interval(job.schedule.as_ref()?, &zone, now));
    let sources = Sample::by_source(samples);
    let many = sources.len().max(1) as u64;
    let mut known = true;
    let workloads = sources.iter().map(|of_source| {
        let pace = pace(of_source);
        known &= pace.measured || arguments.daily_change.is_some();
        let every = arguments.every.or(planned).or(pace.every);
        Workload {
            bytes: pace.bytes,
            // What was given is for all of the job.
            growth: arguments
                .daily_growth
                .map_or(pace.growth, |given| given / many),
            change: arguments
                .daily_change
                .map_or(pace.change, |given| given / many),
            every: every
                .unwrap_or(Duration::from_secs(DAY_SECONDS))
                .max(EVERY_MIN),
            past: of_source.iter().map(|sample| sample.taken).collect(),
            past_bytes: of_source.iter().map(|sample| sample.bytes_stored).sum(),
            policy: policy.clone(),
        }
    });
    Share {
        job: name,
        workloads: workloads.collect(),
        policy: policy.clone(),
        known,
        zone,
    }
}

/// Makes the parts what the repository really takes: first the newest states, then what only earlier
/// snapshots need, by what each source stored.
fn spread(shares: &mut [Share], actual: u64) {
    let mut all: Vec<&mut Workload> = shares
        .iter_mut()
        .flat_map(|share| &mut share.workloads)
        .collect();
    let newest: u64 = all.iter().map(|one| one.bytes).sum();
    let stored: u64 = all.iter().map(|one| one.past_bytes).sum();
    let part = |of: u64, whole: u64, share: u64| match whole {
        0 => 0,
        whole => (u128::from(of) * u128::from(share) / u128::from(whole)) as u64,
    };
    let old = actual.saturating_sub(newest);
    for workload in &mut all {
        workload.bytes = part(newest.min(actual), newest, workload.bytes);
        workload.past_bytes = part(old, stored, workload.past_bytes);
    }
}

/// The storage class that a bucket writes to.
fn class_of(open: &OpenRepository) -> Option<String> {
    match &open.place {
        Place::Directory(_) => None,
        Place::Bucket(location) => {
            let class = location.storage_class.clone();
            Some(class.unwrap_or_else(|| STANDARD.to_owned()))
        }
    }
}

fn classes_now(open: &OpenRepository) -> CommandResult<BTreeMap<String, u64>> {
    let mut now = BTreeMap::new();
    if let Some(bucket) = &open.bucket {
        for classed in tier::classes(bucket)?.into_values() {
            *now.entry(classed.class).or_default() += classed.size;
        }
    }
    Ok(now)
}
