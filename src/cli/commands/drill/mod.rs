//! `drill`: restores into scratch, opens what comes back, asks it, and records that it was proven.

mod scratch;
mod trial;

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::{Records, identities, write_metrics};
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::config::Drill;
use crate::env::Timestamp;
use crate::event::{Activity, Ending, Status};
use crate::format::protocol::{Proof, ProofKind};
use crate::repository::{Need, Snapshot};
use crate::selector::Selector;
use crate::units::seconds;
use clap::Args;
use scratch::Scratch;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use trial::{Trial, try_snapshot};

/// Options of `drill`.
#[derive(Debug, Args)]
pub struct DrillArguments {
    /// The snapshot: an id, latest, @TIME; without one, with --job, the newest of each source of
    /// that job, with the queries and the command of its configuration
    #[arg(value_name = "SNAP", required_unless_present = "job")]
    snapshot: Option<Selector>,

    /// Ask every restored database this; its first value must be true
    #[arg(long, value_name = "SQL")]
    query: Vec<String>,

    /// Restore into this directory [default: in the cache]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// A command after -- that must end with 0; ICECORE_DRILL_DIR tells it where everything is
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,

    /// Only say what would be tried
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What is tried, and how.
struct Attempt<'s> {
    snapshot: &'s Snapshot,
    queries: Vec<String>,
}

/// Tries restores. Exit code 6 if one does not prove itself.
pub fn run(invocation: &Invocation, arguments: &DrillArguments) -> CommandResult<Report> {
    let name = match (&arguments.snapshot, arguments.selection.job.as_slice()) {
        (None, [name]) if !arguments.dry_run => name,
        _ => return drill(invocation, arguments),
    };
    let configuration = invocation.needed_configuration()?;
    let job = configuration.job(name)?;
    let records = Records::open(invocation, &configuration)?;
    let busy = format!("job {name} is being drilled already");
    let _drilling = records.claim_own(&format!("{name}.drilling"), &busy)?;
    let started = invocation.now();
    let mut own = match (&invocation.global.repo, job.repositories.first()) {
        (None, Some(first)) => invocation.with_repository(first),
        _ => invocation.clone(),
    };
    own.zone = zone_of(invocation, &configuration.config, job);
    let result = drill(&own, arguments).map_err(|error| match invocation.cancel.is_cancelled() {
        true => crate::monitor::Interrupted.into(),
        false => error,
    });
    let remembered = remember(&records, (name, started, invocation.now()), &result)
        .and_then(|()| write_metrics(invocation, &configuration, &records));
    // What came of the drill is the news, whatever could not be written down.
    let report = result?;
    remembered.map(|()| report)
}

/// Writes down what came of a job's drill, for its schedule, `status` and metrics.
fn remember(
    records: &Records,
    (job, started, finished): (&str, Timestamp, Timestamp),
    result: &CommandResult<Report>,
) -> CommandResult<()> {
    let mut record = records.drill_of(job).unwrap_or_default();
    record.job = job.to_owned();
    (record.started, record.finished) = (started.0, finished.0);
    record.interrupted = false;
    record.error = match result {
        Ok(report) if report.exit == Exit::Done => None,
        Ok(report) => Some(failures(report)),
        Err(error) => {
            record.interrupted = error.kind == ErrorKind::Interrupted;
            Some(error.message())
        }
    };
    record.success = record.error.is_none();
    if let (true, Ok(report)) = (record.success, result) {
        record.last_success = finished.0;
        let drills = report.summary.get("drills").and_then(Value::as_array);
        let each = drills.into_iter().flatten();
        let seconds = each.filter_map(|drill| drill["rto_seconds"].as_f64());
        record.milliseconds = (seconds.sum::<f64>() * 1000.0) as u64;
    }
    records.remember_drill(&record)
}

/// What did not prove itself, in one sentence.
fn failures(report: &Report) -> String {
    let drills = report.summary.get("drills").and_then(Value::as_array);
    let told = drills.into_iter().flatten().filter_map(|drill| {
        let failures = drill["failures"].as_array()?;
        let first = failures.first()?.as_str()?;
        let source = drill["source"].as_str().unwrap_or_default();
        Some(format!("{}: {first}", text::short_source(source)))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn drill(invocation: &Invocation, arguments: &DrillArguments) -> CommandResult<Report> {
    let (job, queries, command) = configured(invocation, arguments)?;
    let open = invocation.open_repository_to(Need::Read, "drill")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let attempts: Vec<Attempt<'_>> = match (&arguments.snapshot, &job) {
        (Some(selector), _) => {
            let snapshot = invocation.resolve(&set, selector, &arguments.selection, "drill")?;
            vec![Attempt {
                snapshot,
                queries: arguments.query.clone(),
            }]
        }
        (None, Some(job)) => {
            let mut newest: BTreeMap<&str, &Snapshot> = BTreeMap::new();
            for snapshot in set.select(&arguments.selection, invocation) {
                let label = &snapshot.label;
                let is_own = label.job.as_ref() == Some(job) && label.complete && !label.suspect;
                // A configuration is nothing that is opened.
                if is_own && queries.contains_key(&label.source) {
                    newest.insert(&label.source, snapshot);
                }
            }
            let attempts = newest.into_iter().map(|(source, snapshot)| {
                let own = queries.get(source).into_iter().flatten();
                Attempt {
                    snapshot,
                    queries: own.chain(&arguments.query).cloned().collect(),
                }
            });
            attempts.collect()
        }
        (None, None) => Vec::new(),
    };
    if attempts.is_empty() {
        return Err(CommandError::usage("there is no snapshot to be tried")
            .hint("icecore snapshots shows what there is"));
    }
    if arguments.dry_run {
        for attempt in &attempts {
            let (id, source) = (attempt.snapshot.id.short(), &attempt.snapshot.label.source);
            invocation
                .output
                .say(&format!("would try {id} of {}", text::line(source)));
        }
        return Ok(Report::with(
            json!({ "dry_run": true, "drills": attempts.len() }),
        ));
    }
    let scratch = Scratch::new(invocation, arguments.scratch.as_deref())?;
    let mut drills = Vec::new();
    let mut exit = Exit::Done;
    for attempt in &attempts {
        let target = scratch.target();
        let mut subject = open.subject_of(attempt.snapshot);
        subject.job = job.clone().or(subject.job);
        let repository = &open.repository;
        let act = invocation.begin(repository, Activity::Drill, subject, Duty::Warn)?;
        let tried = try_snapshot(invocation, repository, attempt, &target, &command);
        let tried = act.conclude(repository, tried, ending);
        invocation.ui.clear();
        invocation.cancel.check()?;
        let removed = std::fs::remove_dir_all(&target);
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(CommandError::file("remove", &target, &error));
        }
        let tried = tried.unwrap_or_else(Trial::failed);
        if tried.failures.is_empty() {
            record(invocation, &open.repository, attempt, &tried)?;
        } else {
            exit = Exit::Unproven;
        }
        tell(invocation, attempt, &tried);
        let fields = fields(attempt, &tried);
        invocation.output.object("drill", fields.clone());
        drills.push(fields);
    }
    Ok(Report::with(json!({ "drills": drills })).exit(exit))
}

fn ending(tried: &Trial) -> Ending {
    let end = match tried.failures.is_empty() {
        true => Ending::success(format!("passed in {}", seconds(tried.duration))),
        false => Ending::new(Status::Error, "failed").error(tried.failures.join("; ")),
    };
    end.verified(tried.failures.is_empty())
}

/// The job, its queries by identity of the source, and the command.
#[expect(clippy::type_complexity, reason = "taken apart at once")]
fn configured(
    invocation: &Invocation,
    arguments: &DrillArguments,
) -> CommandResult<(Option<String>, BTreeMap<String, Vec<String>>, Vec<OsString>)> {
    let mut command = arguments.command.clone();
    let name = match (&arguments.snapshot, arguments.selection.job.as_slice()) {
        (None, [name]) => name,
        (None, _) => return Err(CommandError::usage("give one job, or a snapshot")),
        (Some(_), _) => return Ok((None, BTreeMap::new(), command)),
    };
    let configuration = invocation.needed_configuration()?;
    let job = configuration.job(name)?;
    let nothing = Drill::default();
    let drill = job.drill.as_ref().unwrap_or(&nothing);
    let mut queries = BTreeMap::new();
    for (source, identity) in identities(&configuration, job) {
        queries.insert(
            identity,
            drill.query.get(&source).cloned().into_iter().collect(),
        );
    }
    if command.is_empty() {
        command = drill.command.iter().map(OsString::from).collect();
    }
    Ok((Some(name.clone()), queries, command))
}

/// Writes down that a snapshot was proven, by whom, and how long it took.
fn record(
    invocation: &Invocation,
    repository: &crate::repository::Repository,
    attempt: &Attempt<'_>,
    tried: &Trial,
) -> CommandResult<()> {
    let milliseconds = u64::try_from(tried.duration.as_millis()).unwrap_or(u64::MAX);
    let proof = Proof {
        kind: ProofKind::Drill,
        finished: invocation.now(),
        packs: Vec::new(),
        snapshots: vec![attempt.snapshot.id],
        milliseconds,
        remark: tried.summary(),
    };
    repository
        .put_proof(&proof)
        .map_err(|error| CommandError::failed(error).within("the drill passed, and"))?;
    Ok(())
}

fn tell(invocation: &Invocation, attempt: &Attempt<'_>, tried: &Trial) {
    let id = attempt.snapshot.id.short();
    let took = seconds(tried.duration);
    if tried.failures.is_empty() {
        let summary = tried.summary();
        let line = format!("drill passed in {took}: {summary}. {id} is now PROVEN");
        invocation.output.say(&line);
        return;
    }
    let source = text::line(&attempt.snapshot.label.source);
    let ui = &invocation.ui;
    ui.warn_line(&format!("drill FAILED after {took}: {id} of {source}"));
    for failure in &tried.failures {
        ui.warn_line(&format!("  {}", text::line(failure)));
    }
    ui.warn_line("  the snapshot stays as it is; try: icecore check --read-data, or an older one");
}

fn fields(attempt: &Attempt<'_>, tried: &Trial) -> Value {
    json!({
        "snapshot_id": attempt.snapshot.id.to_string(),
        "source": attempt.snapshot.label.source,
        "passed": tried.failures.is_empty(),
        "failures": tried.failures,
        "rto_seconds": tried.duration.as_secs_f64(),
        "phases": tried.phases.iter().map(|(name, took)| json!({ "name": name, "seconds": took.as_secs_f64() })).collect::<Vec<_>>(),
        "databases": tried.databases,
        "tables_compared": tried.tables,
        "rows_compared": tried.rows,
        "queries": tried.answers.iter().map(|answer| json!({ "sql": answer.sql, "value": answer.value })).collect::<Vec<_>>(),
    })
}
