//! What is remembered of jobs between runs, on this host: for metrics, for `jobs`, for the schedule,
//! and so that one job or source never runs twice at once.
//!
//! On this host and not in a repository, because it is about this host: which run is due here must be
//! known where the repository is away, cannot be read with the host's credential, or is shared.

use crate::claim::Claim;
use crate::cli::commands::run::attempt::Done;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::config::{Config, Job};
use crate::env::Timestamp;
use crate::metrics::{DrillRecord, JobRecord, SourceRecord};
use crate::schedule::agenda::Trigger;
use crate::store::Pacing;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// File in which is written since when the daemon knows each task.
const KNOWN: &str = "daemon.state";

/// How much later than its time a run may begin.
pub const LATE_MAX: Duration = Duration::from_secs(15 * 60);

/// How often somebody else's claim is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The records of one configuration's jobs.
pub struct Records {
    /// Of the jobs of this configuration.
    own: PathBuf,
    /// Of all configurations: whose sources may be the same.
    shared: PathBuf,
}

/// One run of a job, for its record.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Why it was run.
    pub trigger: Trigger,
}

impl Records {
    /// Where they are, for a configuration: by its path.
    pub fn open(invocation: &Invocation, configuration: &Configuration) -> CommandResult<Self> {
        let root = invocation.cache_root().ok_or_else(|| {
            CommandError::usage("there is nowhere to remember what jobs did")
                .hint("set HOME, or give --cache-dir")
        })?;
        let path = configuration.path.as_os_str().as_encoded_bytes();
        let name = blake3::hash(path).to_hex();
        let jobs = root.join("jobs");
        let records = Self {
            own: jobs.join(&name[..16]),
            shared: jobs.join("sources"),
        };
        for directory in [&records.own, &records.shared] {
            let made = std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory);
            made.map_err(|error| CommandError::file("create", directory, &error))?;
        }
        Ok(records)
    }

    /// Where the records of restores to the origin lie, of whatever configuration or none: whoever
    /// restores may have no configuration yet. `None` where there is nowhere to remember anything.
    pub fn of_restores(invocation: &Invocation) -> Option<PathBuf> {
        Some(invocation.cache_root()?.join("jobs").join("restores"))
    }

    /// Takes a job for oneself.
    pub fn claim(&self, job: &str) -> CommandResult<Claim> {
        self.claim_own(
            &format!("{job}.lock"),
            &format!("job {job} is running already"),
        )
    }

    /// Takes what a file of this configuration stands for.
    pub fn claim_own(&self, file: &str, refusal: &str) -> CommandResult<Claim> {
        take(&self.own.join(file))?.ok_or_else(|| {
            CommandError::new(ErrorKind::Refused, refusal.to_owned())
                .hint("wait for it, or look for the process that runs it")
        })
    }

    /// Takes sources for oneself, by their names and identities: no other run captures them meanwhile,
    /// of whatever configuration.
    pub fn claim_sources(&self, sources: &[(String, String)]) -> CommandResult<Vec<Claim>> {
        // One source under two names of a job is not in its own way.
        let distinct: BTreeMap<&String, &String> = sources
            .iter()
            .map(|(name, identity)| (identity, name))
            .collect();
        let claims = distinct.into_iter().map(|(identity, name)| {
            let file = blake3::hash(identity.as_bytes()).to_hex();
            let path = self.shared.join(format!("{}.lock", &file[..32]));
            take(&path)?.ok_or_else(|| {
                let taken = format!("source {name} is being captured by another run");
                CommandError::new(ErrorKind::Refused, taken)
                    .hint("wait for it, or look for the process that runs it")
            })
        });
        claims.collect()
    }

    /// Waits until nobody else of this host looks after a repository, and takes that for oneself.
    pub fn claim_care(&self, repository: &str, invocation: &Invocation) -> CommandResult<Claim> {
        let path = self.own.join(format!("{repository}.care"));
        let pacing = Pacing::system(invocation.cancel.clone());
        loop {
            match take(&path)? {
                Some(claim) => return Ok(claim),
                None => pacing.pause(LOOK)?,
            }
        }
    }

    /// What the last run of a job left. A record that cannot be read counts as none.
    pub fn of(&self, job: &str) -> Option<JobRecord> {
        self.read(&format!("{job}.json"))
    }

    /// Those of all jobs that have ever run.
    pub fn all(&self, config: &Config) -> Vec<JobRecord> {
        config.jobs.keys().filter_map(|job| self.of(job)).collect()
    }

    /// What the last drill of a job left.
    pub fn drill_of(&self, job: &str) -> Option<DrillRecord> {
        self.read(&format!("{job}.drill"))
    }

    /// Those of all jobs that were ever drilled.
    pub fn all_drills(&self, config: &Config) -> Vec<DrillRecord> {
        let jobs = config.jobs.keys();
        jobs.filter_map(|job| self.drill_of(job)).collect()
    }

    /// Since when the daemon knows tasks, by their names.
    pub fn known(&self) -> BTreeMap<String, Timestamp> {
        let known: BTreeMap<String, i64> = self.read(KNOWN).unwrap_or_default();
        let known = known.into_iter();
        known
            .map(|(name, since)| (name, Timestamp(since)))
            .collect()
    }

    /// Writes down since when the daemon knows tasks.
    pub fn remember_known(&self, known: &BTreeMap<String, Timestamp>) -> CommandResult<()> {
        let known = known.iter().map(|(name, since)| (name, since.0));
        self.write(KNOWN, &known.collect::<BTreeMap<_, _>>())
    }

    /// When a job is due by its schedule, or was, if it counts: since its last run or, if it never ran,
    /// since the daemon saw it first.
    pub fn due(&self, name: &str, job: &Job, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let schedule = job.schedule.as_ref().filter(|_| job.enabled)?;
        let last = self.of(name).map(|record| record.last());
        let last = last.or_else(|| self.known().get(name).copied());
        schedule.due(last, now, zone)
    }

    /// Where a file of this configuration lies.
    pub fn path(&self, file: &str) -> PathBuf {
        self.own.join(file)
    }

    /// Reads a file of this configuration; one that cannot be read counts as none.
    pub fn read<T: DeserializeOwned>(&self, file: &str) -> Option<T> {
        let text = std::fs::read(self.own.join(file)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes a file of this configuration.
    pub fn write<T: Serialize>(&self, file: &str, value: &T) -> CommandResult<()> {
        let text = serde_json::to_vec(value).map_err(CommandError::failed)?;
        write_whole(&self.own.join(file), &text, 0o600)
    }

    /// Writes down what came of a run.
    pub fn remember(&self, job: &str, ran: Ran, result: &CommandResult<Done>) -> CommandResult<()> {
        let mut record = self.begun(job, ran);
        record.error = match result {
            Ok(done) => done.problem(),
            Err(error) => Some(error.message()),
        };
        let stopped = |error: &CommandError| error.kind == ErrorKind::Interrupted;
        record.interrupted = result.as_ref().err().is_some_and(stopped);
        if let Ok(done) = result {
            take_sources(&mut record.sources, &done.sources);
            for (name, written) in &done.repositories {
                let known = record.repositories.entry(name.clone()).or_default();
                let verified = known.verified.max(written.verified);
                *known = written.clone();
                known.verified = verified;
            }
        }
        self.close(record)
    }

    /// Writes down a run that could not tell itself what came of it, and whether it was asked to stop.
    pub fn remember_lost(
        &self,
        job: &str,
        ran: Ran,
        (problem, interrupted): (String, bool),
    ) -> CommandResult<()> {
        let mut record = self.begun(job, ran);
        record.error = Some(problem);
        record.interrupted = interrupted;
        self.close(record)
    }

    /// The same of a drill.
    pub fn remember_lost_drill(
        &self,
        job: &str,
        ran: Ran,
        (problem, interrupted): (String, bool),
    ) -> CommandResult<()> {
        let mut record = self.drill_of(job).unwrap_or_default();
        record.job = job.to_owned();
        (record.started, record.finished) = (ran.started.0, ran.finished.0);
        (record.success, record.interrupted) = (false, interrupted);
        record.error = Some(problem);
        self.remember_drill(&record)
    }

    /// Writes down what came of a drill.
    pub fn remember_drill(&self, record: &DrillRecord) -> CommandResult<()> {
        self.write(&format!("{}.drill", record.job), record)
    }

    /// The record of a run of which nothing is known yet but that it was.
    fn begun(&self, job: &str, ran: Ran) -> JobRecord {
        let mut record = self.of(job).unwrap_or_default();
        record.job = job.to_owned();
        record.started = ran.started.0;
        record.finished = ran.finished.0;
        if ran.trigger != Trigger::BackFill {
            record.present = ran.started.0;
        }
        record.trigger = ran.trigger.name().to_owned();
        for source in record.sources.values_mut() {
            source.success = false;
        }
        for repository in record.repositories.values_mut() {
            repository.success = false;
        }
        record
    }

    fn close(&self, mut record: JobRecord) -> CommandResult<()> {
        record.success = record.error.is_none();
        match record.success {
            true => {
                record.last_success = record.finished;
                record.failures = 0;
            }
            false => record.failures += 1,
        }
        self.write(&format!("{}.json", record.job), &record)
    }
}

/// What was captured now, but for a past date that was filled in: it does not become the newest.
fn take_sources(
    known: &mut BTreeMap<String, SourceRecord>,
    captured: &BTreeMap<String, SourceRecord>,
) {
    for (name, source) in captured {
        match known.get_mut(name) {
            Some(known) if known.taken > source.taken => known.success = source.success,
            _ => drop(known.insert(name.clone(), source.clone())),
        }
    }
}

fn take(path: &Path) -> CommandResult<Option<Claim>> {
    Claim::take(path).map_err(|error| CommandError::file("open", path, &error))
}

/// The beginning of metric names out of a configuration's name.
pub fn prefix(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let prefix: String = name.chars().map(letter).collect();
    match prefix.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => prefix,
        false => format!("icecore_{prefix}"),
    }
}
