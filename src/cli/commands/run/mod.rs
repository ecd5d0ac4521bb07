//! `run`: jobs of the configuration, now.

mod attempt;
mod copies;
mod maintain;
mod record;
mod sources;

use crate::cli::commands::config::zone_of;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::cli::output::{Report, error_object};
use crate::config::{Job, JobKind};
use crate::store::Pacing;
use attempt::{Done, attempt};
use clap::Args;
pub use record::Records;
use serde_json::{Value, json};
pub use sources::identities;
use std::time::{Duration, Instant};

/// Longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The jobs, by their names in the configuration
    #[arg(id = "job_names", value_name = "JOB", required_unless_present = "all")]
    jobs: Vec<String>,

    /// All jobs of the configuration, one after the other
    #[arg(long, conflicts_with = "job_names")]
    all: bool,

    /// Record this time instead of now: a back-fill, such as 2026-11-01
    #[arg(long, value_name = "TIME")]
    date: Option<String>,

    /// Only say what would be saved, and what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Does nothing: a run by hand is always now
    #[arg(long, hide = true)]
    now: bool,
}

/// Runs jobs, one after the other. One that fails does not stop the next.
pub fn run(invocation: &Invocation, arguments: &RunArguments) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let captured = super::snapshot::captured(invocation, arguments.date.as_deref())?;
    let mut jobs = Vec::new();
    for name in chosen(&configuration, arguments) {
        let job = configuration.job(&name)?;
        jobs.push((name, job));
    }
    let run = Run {
        invocation,
        configuration: &configuration,
        captured,
        dry_run: arguments.dry_run,
    };
    let mut outcomes = Vec::new();
    let mut worst = Exit::Done;
    for (name, job) in jobs {
        let (exit, fields) = run.job(&name, job)?;
        worst = worse(worst, exit);
        invocation.output.object("ran", fields.clone());
        outcomes.push(fields);
        if invocation.cancel.is_cancelled() {
            return Err(crate::monitor::Interrupted.into());
        }
    }
    Ok(Report::with(json!({ "dry_run": arguments.dry_run, "jobs": outcomes })).exit(worst))
}

fn chosen(configuration: &Configuration, arguments: &RunArguments) -> Vec<String> {
    match arguments.all {
        true => configuration.config.jobs.keys().cloned().collect(),
        false => arguments.jobs.clone(),
    }
}

/// A failure weighs more than something left out, that more than nothing.
fn worse(a: Exit, b: Exit) -> Exit {
    let weight = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Partial => 1,
        Exit::Attention => 1,
        Exit::Unproven => 2,
        _ => 3,
    };
    if weight(b) > weight(a) { b } else { a }
}

/// What all jobs of one call have in common.
struct Run<'a> {
    invocation: &'a Invocation,
    configuration: &'a Configuration,
    captured: Option<crate::env::Timestamp>,
    dry_run: bool,
}

impl Run<'_> {
    /// Runs a job to its end: attempts, record, metrics. An error is one of writing those down.
    fn job(&self, name: &str, job: &Job) -> CommandResult<(Exit, Value)> {
        let invocation = self.invocation;
        if self.dry_run {
            let done = attempt(self, &self.limited(job), name, job)?;
            return Ok((done.exit, done.fields(name)));
        }
        let records = Records::open(invocation, self.configuration)?;
        let _running = records.claim(name)?;
        let started = invocation.now();
        let limited = self.limited(job);
        let result = self.attempts(&limited, name, job);
        let result = result.map_err(|error| match limited.cancel.is_over() {
            true => CommandError::failed("it took longer than the job's timeout allows")
                .hint("nothing that was saved is harmed; give it more time"),
            false => error,
        });
        let finished = invocation.now();
        records.remember(name, (started, finished), &result)?;
        self.write_metrics(&records)?;
        Ok(match result {
            Ok(done) => (done.exit, done.fields(name)),
            Err(error) => {
                let error = error.within(&format!("job {name}"));
                invocation.ui.error(&error);
                let fields = json!({ "job": name, "ok": false, "error": error_object(&error) });
                (error.kind.exit(), fields)
            }
        })
    }

    /// The same invocation in the job's zone, which ends by itself when the job's time is over.
    fn limited(&self, job: &Job) -> Invocation {
        let mut limited = self.invocation.clone();
        limited.zone = zone_of(self.invocation, &self.configuration.config, job);
        let until = job
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(until) = until {
            limited.cancel = limited.cancel.until(until);
        }
        limited
    }

    fn attempts(&self, limited: &Invocation, name: &str, job: &Job) -> CommandResult<Done> {
        let mut wait = job.retry.wait;
        let mut left = job.retry.times;
        loop {
            let error = match attempt(self, limited, name, job) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if left == 0 || limited.cancel.is_cancelled() || !can_pass(&error) {
                return Err(error);
            }
            left -= 1;
            let again = crate::units::elapsed(wait);
            let warning = format!("job {name}: {}; again in {again}", error.message());
            limited.ui.warn_line(&warning);
            Pacing::system(limited.cancel.clone()).pause(wait)?;
            wait = wait.saturating_mul(2).min(WAIT_MAX);
        }
    }

    fn write_metrics(&self, records: &Records) -> CommandResult<()> {
        let observe = &self.configuration.config.observe;
        let Some(path) = &observe.metrics else {
            return Ok(());
        };
        let path = self.configuration.resolved(path);
        let prefix = observe.prefix.clone();
        let prefix = prefix.unwrap_or_else(|| record::prefix(self.configuration.name()));
        let all = records.all(&self.configuration.config);
        let text = crate::metrics::text(&prefix, &all, self.invocation.now());
        write_whole(&path, text.as_bytes(), 0o644)
    }
}

/// Whether trying again can help: not against a wrong key or a mistake in the file.
fn can_pass(error: &CommandError) -> bool {
    matches!(
        error.kind.exit(),
        Exit::Failed | Exit::NoRepository | Exit::Refused
    )
}

/// Whether a job takes snapshots.
fn captures(job: &Job) -> bool {
    job.kind == JobKind::Backup
}
