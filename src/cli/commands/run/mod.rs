//! `run`: jobs of the configuration, now.

mod attempt;
mod copies;
mod export;
mod maintain;
mod record;
mod sources;
mod space;

use crate::claim::Claim;
use crate::cli::commands::config::zone_of;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::cli::output::{Report, error_object};
use crate::cli::text;
use crate::codec::Effort;
use crate::config::{Job, JobKind, Severity};
use crate::env::Timestamp;
use crate::metrics::{JobDue, Observed};
use crate::notice::{COMPLETED, Notice, RUN_STARTED};
use crate::schedule::agenda::Trigger;
use crate::store::Pacing;
use attempt::{Done, attempt};
use clap::Args;
pub use export::last_export;
pub use maintain::own;
use record::prefix;
pub use record::{LATE_MAX, Ran, Records};
use serde_json::{Value, json};
pub use sources::{exclusions, identities, plans};
pub use space::Space;
use std::time::{Duration, Instant};

/// Longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The jobs, by their names in the configuration
    #[arg(id = "job_names", value_name = "JOB", required_unless_present = "all")]
    jobs: Vec<String>,

    /// All jobs of the configuration that are not disabled, one after the other
    #[arg(long, conflicts_with = "job_names")]
    all: bool,

    /// Record this time instead of now, in the zone of each job: a back-fill, such as 2026-11-01.
    /// Commands that are sources find the day in ICECORE_DATE, with or without this
    #[arg(long, value_name = "TIME")]
    date: Option<String>,

    /// Only say what would be saved, and what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// What to record as the reason of the run: hand, schedule, catch-up, on-change or back-fill
    /// [default: hand, or back-fill with --date]
    #[arg(long, value_name = "NAME", value_parser = trigger)]
    trigger: Option<Trigger>,

    /// Does nothing: a run by hand is always now
    #[arg(long, hide = true)]
    now: bool,
}

fn trigger(text: &str) -> Result<Trigger, String> {
    let found = Trigger::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, trigger)| *trigger).ok_or_else(|| {
        let names = Trigger::ALL.map(|(name, _)| name);
        format!("it is one of {}", names.join(", "))
    })
}

/// Runs jobs, one after the other. One that fails does not stop the next.
pub fn run(invocation: &Invocation, arguments: &RunArguments) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    configuration.tell_overrides(invocation);
    let mut jobs = Vec::new();
    for name in chosen(invocation, &configuration, arguments) {
        let job = configuration.job(&name)?;
        if arguments.date.is_some() && !captures(job) {
            return Err(CommandError::usage(format!(
                "job {name} takes no snapshots: it has no date"
            ))
            .hint("leave --date out, or the job"));
        }
        let mut zoned = invocation.clone();
        zoned.zone = zone_of(invocation, &configuration.config, job);
        let captured = super::snapshot::captured(&zoned, arguments.date.as_deref())?;
        jobs.push((name, job, captured));
    }
    let usual = match arguments.date {
        Some(_) => Trigger::BackFill,
        None => Trigger::Hand,
    };
    let mut outcomes = Vec::new();
    let mut worst = Exit::Done;
    for (name, job, captured) in jobs {
        let run = Run {
            invocation,
            configuration: &configuration,
            captured,
            trigger: arguments.trigger.unwrap_or(usual),
            dry_run: arguments.dry_run,
        };
        let (exit, fields) = run.job(&name, job)?;
        worst = worse(worst, exit);
        invocation.output.object("ran", fields.clone());
        outcomes.push(fields);
        if invocation.cancel.is_cancelled() {
            return Err(crate::monitor::Interrupted.into());
        }
    }
    if !arguments.dry_run {
        invocation.tell_what_status_finds();
    }
    Ok(Report::with(json!({ "dry_run": arguments.dry_run, "jobs": outcomes })).exit(worst))
}

fn chosen(
    invocation: &Invocation,
    configuration: &Configuration,
    arguments: &RunArguments,
) -> Vec<String> {
    if !arguments.all {
        return arguments.jobs.clone();
    }
    let (enabled, disabled): (Vec<_>, Vec<_>) = configuration
        .config
        .jobs
        .iter()
        .partition(|(_, job)| job.enabled);
    for (name, _) in disabled {
        let said = format!("job {name} is disabled in the configuration, and left out");
        invocation.ui.warn_line(&said);
    }
    enabled.into_iter().map(|(name, _)| name.clone()).collect()
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

/// A job that is run.
struct Run<'a> {
    invocation: &'a Invocation,
    configuration: &'a Configuration,
    captured: Option<Timestamp>,
    trigger: Trigger,
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
        let _claims = match self.claim(&records, name, job) {
            Ok(claims) => claims,
            Err(error) if error.kind == ErrorKind::Refused => return Ok(self.failed(name, &error)),
            Err(error) => return Err(error),
        };
        let started = invocation.now();
        let limited = self.limited(job);
        invocation.tell(began(name));
        let result = self.attempts(&limited, name, job);
        // Whatever it broke: the cause is the request to stop.
        let is_stopped = limited.cancel.is_cancelled()
            && !matches!(&result, Ok(done) if done.problem().is_none());
        let result = match is_stopped {
            false => result,
            true if limited.cancel.is_over() => Err(CommandError::failed(
                "it took longer than the job's timeout allows",
            )
            .hint("nothing that was saved is harmed; give it more time")),
            true => Err(crate::monitor::Interrupted.into()),
        };
        let ran = Ran {
            started,
            finished: invocation.now(),
            trigger: self.trigger,
        };
        records.remember(name, ran, &result)?;
        write_metrics(invocation, self.configuration, &records)?;
        if let Ok(done) = &result
            && done.problem().is_none()
        {
            invocation.tell(completed(name, done));
        }
        Ok(match result {
            Ok(done) => (done.exit, done.fields(name)),
            Err(error) => self.failed(name, &error),
        })
    }

    /// The job and its sources, for this run alone.
    fn claim(&self, records: &Records, name: &str, job: &Job) -> CommandResult<Vec<Claim>> {
        let mut claims = vec![records.claim(name)?];
        if job.kind == JobKind::Export {
            return Ok(claims);
        }
        claims.extend(records.claim_sources(&identities(self.configuration, job))?);
        Ok(claims)
    }

    /// Tells of a run that came to nothing.
    fn failed(&self, name: &str, error: &CommandError) -> (Exit, Value) {
        let error = error.within(&format!("job {name}"));
        self.invocation.ui.error(&error);
        let fields = json!({ "job": name, "ok": false, "error": error_object(&error) });
        (error.kind.exit(), fields)
    }

    /// The same invocation in the job's zone, which ends by itself when the job's time is over.
    fn limited(&self, job: &Job) -> Invocation {
        let mut limited = self.invocation.clone();
        limited.zone = zone_of(self.invocation, &self.configuration.config, job);
        let effort = self.configuration.overrides.compression.as_ref();
        if let (Effort::Auto, Some(Ok(effort))) =
            (limited.global.compression, effort.map(|text| text.parse()))
        {
            limited.global.compression = effort;
        }
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
}

/// What is known of all jobs, in Prometheus' text format.
pub fn metrics_text(
    invocation: &Invocation,
    configuration: &Configuration,
    records: &Records,
) -> String {
    let config = &configuration.config;
    let own = config.observe.prefix.clone();
    let prefix = own.unwrap_or_else(|| prefix(configuration.name()));
    let now = invocation.now();
    let due = config.jobs.iter().map(|(name, job)| JobDue {
        job: name.clone(),
        enabled: job.enabled,
        due: records.due(name, job, &zone_of(invocation, config, job), now),
    });
    let observed = Observed {
        jobs: records.all(config),
        drills: records.all_drills(config),
        due: due.collect(),
    };
    crate::metrics::text(&prefix, &observed, now)
}

/// Writes the metrics where the configuration wants them, if it does.
pub fn write_metrics(
    invocation: &Invocation,
    configuration: &Configuration,
    records: &Records,
) -> CommandResult<()> {
    let Some(path) = &configuration.config.observe.metrics else {
        return Ok(());
    };
    let text = metrics_text(invocation, configuration, records);
    write_whole(&configuration.resolved(path), text.as_bytes(), 0o644)
}

fn began(job: &str) -> Notice {
    let message = "a run begins".to_owned();
    Notice::news(RUN_STARTED, job, Severity::Completed, message)
}

fn completed(job: &str, done: &Done) -> Notice {
    let snapshots = text::counted(done.snapshots().len() as u64, "snapshot");
    Notice {
        snapshot: done.snapshots().last().cloned(),
        ..Notice::news(
            COMPLETED,
            job,
            Severity::Completed,
            format!("the run did all it should: {snapshots}"),
        )
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
pub fn captures(job: &Job) -> bool {
    job.kind == JobKind::Backup
}
