//! What is remembered of jobs between runs, on this host: for metrics, for `jobs`, and so that one
//! job never runs twice at once.

use crate::claim::Claim;
use crate::cli::commands::run::attempt::Done;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::config::Config;
use crate::env::Timestamp;
use crate::metrics::JobRecord;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// The records of one configuration's jobs.
pub struct Records(PathBuf);

impl Records {
    /// Where they are, for a configuration: by its path.
    pub fn open(invocation: &Invocation, configuration: &Configuration) -> CommandResult<Self> {
        let root = invocation.cache_root().ok_or_else(|| {
            CommandError::usage("there is nowhere to remember what jobs did")
                .hint("set HOME, or give --cache-dir")
        })?;
        let path = configuration.path.as_os_str().as_encoded_bytes();
        let name = blake3::hash(path).to_hex();
        let directory = root.join("jobs").join(&name[..16]);
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.map_err(|error| CommandError::file("create", &directory, &error))?;
        Ok(Self(directory))
    }

    /// Takes a job for oneself.
    pub fn claim(&self, job: &str) -> CommandResult<Claim> {
        let path = self.0.join(format!("{job}.lock"));
        let claim =
            Claim::take(&path).map_err(|error| CommandError::file("open", &path, &error))?;
        claim.ok_or_else(|| {
            CommandError::new(ErrorKind::Refused, format!("job {job} is running already"))
                .hint("wait for it, or look for the process that runs it")
        })
    }

    /// What the last run of a job left. A record that cannot be read counts as none.
    pub fn of(&self, job: &str) -> Option<JobRecord> {
        let text = std::fs::read(self.0.join(format!("{job}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Those of all jobs that have ever run.
    pub fn all(&self, config: &Config) -> Vec<JobRecord> {
        config.jobs.keys().filter_map(|job| self.of(job)).collect()
    }

    /// Writes down what came of a run.
    pub fn remember(
        &self,
        job: &str,
        (started, finished): (Timestamp, Timestamp),
        result: &CommandResult<Done>,
    ) -> CommandResult<()> {
        let mut record = self.of(job).unwrap_or_default();
        record.job = job.to_owned();
        record.started = started.0;
        record.finished = finished.0;
        for source in record.sources.values_mut() {
            source.success = false;
        }
        for repository in record.repositories.values_mut() {
            repository.success = false;
        }
        record.error = match result {
            Ok(done) => done.problem(),
            Err(error) => Some(error.message()),
        };
        if let Ok(done) = result {
            record.sources.extend(done.sources.clone());
            for (name, written) in &done.repositories {
                let known = record.repositories.entry(name.clone()).or_default();
                let verified = known.verified.max(written.verified);
                *known = written.clone();
                known.verified = verified;
            }
        }
        record.success = record.error.is_none();
        match record.success {
            true => {
                record.last_success = finished.0;
                record.failures = 0;
            }
            false => record.failures += 1,
        }
        let text = serde_json::to_vec(&record).map_err(CommandError::failed)?;
        write_whole(&self.0.join(format!("{job}.json")), &text, 0o600)
    }
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
