//! `copy`: snapshots to another repository, verified on arrival.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::arguments::twins::ToUnlockArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::listing::SnapshotSet;
use crate::cli::output::Report;
use crate::cli::reporting::Duty;
use crate::cli::second::End;
use crate::cli::text;
use crate::copy::{CopyOptions, CopyReport, Pair, Plan, Side, copy, plan};
use crate::event::{Ending, Status};
use crate::id::SnapshotId;
use crate::monitor::Monitor;
use crate::repository::{Need, Snapshot};
use crate::selector::Selector;
use crate::units::{bytes, seconds};
use clap::Args;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Instant;

/// Options of `copy`.
#[derive(Debug, Args)]
pub struct CopyArguments {
    /// Which snapshots; without any, all that are visible and pass the filters
    #[arg(value_name = "SNAP")]
    snapshots: Vec<Selector>,

    /// The repository to copy to: a directory or s3://BUCKET/PREFIX; a sibling (repo init --like)
    /// keeps chunks and deltas as they are
    #[arg(long, value_name = "REPO")]
    to: String,

    /// How it is unlocked.
    #[command(flatten)]
    unlock: ToUnlockArguments,

    /// Narrowing.
    #[command(flatten)]
    selection: SelectionArguments,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// Copies snapshots.
pub fn run(invocation: &Invocation, arguments: &CopyArguments) -> CommandResult<Report> {
    let source = invocation.open_repository_to(Need::Read, "copy")?;
    let set = invocation.list_snapshots(&source.repository)?;
    let chosen = chosen(invocation, &set, arguments)?;
    let target = invocation.open_second(&arguments.to, End::To, arguments.unlock.given())?;
    target
        .repository
        .access()
        .check_allowed(Need::Write, "copy --to")?;
    let planned = plan(&source.repository, &target.repository, &chosen)?;
    if planned.renamed > 0 {
        invocation.ui.warn(&format!(
            "{} is no sibling of {}: data is decoded and named anew; icecore repo init --like makes \
             a sibling, which keeps it as it is",
            target.place, source.place
        ));
    }
    if arguments.dry_run.dry_run {
        return Ok(would_copy(invocation, &target, &chosen, &planned));
    }
    let started = Instant::now();
    let subject = target.subject();
    let activity = target.place.activity();
    // The source's log says what left it, the target's what came.
    let left = invocation.begin(&source.repository, activity, subject.clone(), Duty::Warn)?;
    let came = invocation.begin(&target.repository, activity, subject, Duty::Miss)?;
    let copied = copy_chosen(invocation, (&source, &target), (&set, &chosen));
    let copied = left.conclude(&source.repository, copied, ending);
    let report = came.conclude(&target.repository, copied, ending)?;
    tell(invocation, &target, &report, started);
    for pair in &report.copied {
        let snapshot = chosen.iter().find(|snapshot| snapshot.id == pair.source);
        if let Some(snapshot) = snapshot {
            invocation
                .output
                .object("copied", describe(*pair, snapshot));
        }
    }
    Ok(summary(&target, &report, started))
}

fn ending(report: &CopyReport) -> Ending {
    let copied = text::counted(report.copied.len() as u64, "snapshot");
    let damaged = text::counted(report.damaged.len() as u64, "damaged snapshot");
    let end = match report.damaged.is_empty() {
        true => Ending::success(format!("copied {copied}, verified on arrival")),
        false => Ending::new(
            Status::Error,
            format!("copied {copied}, left out {damaged}"),
        ),
    };
    end.bytes(report.bytes_stored)
        .verified(report.damaged.is_empty())
}

fn copy_chosen(
    invocation: &Invocation,
    (source, target): (&OpenRepository, &OpenRepository),
    (set, chosen): (&SnapshotSet, &[&Snapshot]),
) -> CommandResult<CopyReport> {
    let (from, to) = (
        invocation.open_index(&source.repository)?,
        invocation.open_stale_index(&target.repository),
    );
    let options = CopyOptions {
        effort: invocation.global.compression,
        workers: invocation.workers(),
    };
    let all: Vec<&Snapshot> = set.all().collect();
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let (source_side, target_side) = (
        Side {
            repository: &source.repository,
            index: &from,
        },
        Side {
            repository: &target.repository,
            index: &to,
        },
    );
    let copied = copy(
        source_side,
        target_side,
        (chosen, &all),
        options,
        ui,
        cancel,
    );
    ui.clear();
    copied.map_err(|error| {
        CommandError::from(error).hint("run it again: what is there already is not copied again")
    })
}

/// The snapshots that were named, or all that pass; oldest first.
fn chosen<'a>(
    invocation: &Invocation,
    set: &'a SnapshotSet,
    arguments: &CopyArguments,
) -> CommandResult<Vec<&'a Snapshot>> {
    let mut passing = set.select(&arguments.selection, invocation);
    let found = passing.len();
    passing.retain(|snapshot| snapshot.readable);
    if passing.len() < found {
        invocation.ui.warn(&format!(
            "{} that this credential cannot open: not copied",
            text::counted((found - passing.len()) as u64, "snapshot")
        ));
    }
    if arguments.snapshots.is_empty() {
        return Ok(passing);
    }
    let mut named: HashSet<SnapshotId> = HashSet::new();
    for selector in &arguments.snapshots {
        let to = text::quoted(&arguments.to);
        let command = format!("copy --to {to}");
        let snapshot = invocation.resolve(set, selector, &arguments.selection, &command)?;
        named.insert(snapshot.id);
    }
    Ok(passing
        .into_iter()
        .filter(|s| named.contains(&s.id))
        .collect())
}

fn would_copy(
    invocation: &Invocation,
    target: &OpenRepository,
    chosen: &[&Snapshot],
    planned: &Plan,
) -> Report {
    let missing: HashSet<SnapshotId> = planned.missing.iter().copied().collect();
    let content = chosen.iter().filter(|s| missing.contains(&s.id));
    let content: u64 = content.map(|s| s.label.totals.bytes).sum();
    invocation.output.line(&format!(
        "would copy {} with {} of content to {}; {} there already",
        text::counted(planned.missing.len() as u64, "snapshot"),
        bytes(content),
        target.place,
        planned.already_there.len(),
    ));
    Report::with(json!({
        "dry_run": true,
        "snapshots_to_copy": planned.missing.len(),
        "snapshots_already_there": planned.already_there.len(),
        "to": place(target),
    }))
}

fn tell(invocation: &Invocation, target: &OpenRepository, report: &CopyReport, started: Instant) {
    invocation.output.line(&format!(
        "copied {} to {} ({} there already): {} stored, {} fetched, {} chunks, {} of them deltas, in {}",
        text::counted(report.copied.len() as u64, "snapshot"),
        target.place,
        report.already_there.len(),
        bytes(report.bytes_stored),
        bytes(report.bytes_fetched),
        report.chunks,
        report.chunks_delta,
        seconds(started.elapsed()),
    ));
    for id in &report.withdrawn {
        invocation.ui.warn(&format!(
            "snapshot {} was withdrawn meanwhile: it is not copied",
            id.short()
        ));
    }
    for (id, what) in &report.damaged {
        invocation.output.line(&format!(
            "DAMAGE  snapshot {} is not copied: {}",
            id.short(),
            text::line(what)
        ));
    }
    if !report.damaged.is_empty() {
        let next = "Next: icecore check --read-data shows what else is damaged";
        invocation.output.line(next);
    }
}

fn describe(pair: Pair, snapshot: &Snapshot) -> Value {
    json!({
        "snapshot_id": pair.target.to_string(),
        "copied_from": pair.source.to_string(),
        "source": snapshot.label.source,
        "host": snapshot.label.host,
        "taken": snapshot.label.captured.to_rfc3339(),
    })
}

fn place(target: &OpenRepository) -> Value {
    json!({
        "repository_id": target.repository.config().repository.to_string(),
        "location": target.place.to_string(),
    })
}

fn summary(target: &OpenRepository, report: &CopyReport, started: Instant) -> Report {
    let damaged = report.damaged.iter();
    let damaged = damaged.map(|(id, what)| json!({ "snapshot_id": id.to_string(), "what": what }));
    let summary = Report::with(json!({
        "to": place(target),
        "snapshots_copied": report.copied.len(),
        "snapshots_already_there": report.already_there.len(),
        "snapshots_withdrawn": report.withdrawn.len(),
        "snapshots_damaged": damaged.collect::<Vec<_>>(),
        "chunks_new": report.chunks,
        "chunks_delta": report.chunks_delta,
        "bytes_fetched": report.bytes_fetched,
        "bytes_stored": report.bytes_stored,
        "duration_seconds": started.elapsed().as_secs_f64(),
    }));
    match report.damaged.is_empty() {
        true => summary,
        false => summary.exit(Exit::Damage),
    }
}
