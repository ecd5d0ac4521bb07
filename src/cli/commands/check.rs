//! `check`: is everything there, and does it read back?

mod repair;

use crate::check::{
    CheckOptions, CheckReport, Damage, Extent, ReadData, ScrubReport, Subset, check, scrub,
};
use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::place::Place;
use crate::cli::reporting::{Duty, INTERRUPTED, WHOLE};
use crate::cli::text;
use crate::event::{Activity, Ending, Status, Subject};
use crate::id::SnapshotId;
use crate::monitor::Monitor;
use crate::repository::index::Index;
use crate::repository::{Need, Repository};
use crate::selector::Selector;
use crate::units::{bytes, parse_duration, seconds};
use clap::Args;
use repair::RepairArguments;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Most damaged objects, and paths of each snapshot, that are spelled out.
const SHOWN_MAX: usize = 20;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Only these snapshots, and what they need
    #[arg(value_name = "SNAP")]
    snapshots: Vec<Selector>,

    /// Read, decrypt and compare every byte too
    #[arg(long, visible_alias = "all")]
    read_data: bool,

    /// Read only a part: 1/7 (another part every day), 5% or 10G
    #[arg(long, value_name = "PART", requires = "read_data")]
    subset: Option<Subset>,

    /// Pass over what was read back within this time
    #[arg(long, value_name = "AGE", requires = "read_data", value_parser = parse_duration)]
    older_than: Option<Duration>,

    /// Without any key: compare every object with its name and checksums
    #[arg(long, conflicts_with_all = ["snapshots", "read_data"])]
    no_key: bool,

    /// Bringing back what is damaged.
    #[command(flatten)]
    repair: RepairArguments,
}

/// Checks the repository.
pub fn run(invocation: &Invocation, arguments: &CheckArguments) -> CommandResult<Report> {
    match arguments.no_key {
        true => without_key(invocation),
        false => with_key(invocation, arguments),
    }
}

fn with_key(invocation: &Invocation, arguments: &CheckArguments) -> CommandResult<Report> {
    let (need, what) = match arguments.read_data {
        true => (Need::Read, "check --read-data"),
        false => (Need::Structure, "check"),
    };
    let open = invocation.open_repository_to(need, what)?;
    let index = invocation.open_stale_index(&open.repository);
    let options = CheckOptions {
        read_data: match (arguments.read_data, arguments.subset) {
            (false, _) => ReadData::No,
            (true, None) => ReadData::All,
            (true, Some(subset)) => ReadData::Subset(subset),
        },
        older_than: arguments.older_than,
        snapshots: chosen(invocation, &open.repository, &arguments.snapshots)?,
        workers: invocation.workers(),
        scratch: invocation.scratch(&open.repository),
    };
    let (report, duration) = look(invocation, &open.repository, &index, &options)?;
    show(invocation, arguments, &report, duration);
    let from = match &arguments.repair.from {
        Some(from) if !report.damage.is_empty() && !arguments.repair.dry_run => from,
        _ => {
            suggest_repair(invocation, arguments, &open.place, &report);
            return Ok(summary(&report, duration));
        }
    };
    let repaired = repair::run(invocation, &arguments.repair, from, &open, &index, &report)?;
    let (report, duration) = look(invocation, &open.repository, &index, &options)?;
    show(invocation, arguments, &report, duration);
    let mut summary = summary(&report, duration);
    summary
        .summary
        .extend([("repaired".to_owned(), repaired.describe())]);
    Ok(summary)
}

fn look(
    invocation: &Invocation,
    repository: &Repository,
    index: &Index,
    options: &CheckOptions,
) -> CommandResult<(CheckReport, Duration)> {
    let looked = check_and_prove(invocation, repository, index, options)?;
    invocation.ui.clear();
    invocation.cancel.check()?;
    Ok(looked)
}

/// Says what a check found.
fn show(
    invocation: &Invocation,
    arguments: &CheckArguments,
    report: &CheckReport,
    duration: Duration,
) {
    let result = match report.damage.is_empty() {
        true => "no damage".to_owned(),
        false => format!(
            "{} damaged",
            text::counted(report.damage.len() as u64, "object")
        ),
    };
    let read = match arguments.read_data {
        true => format!(
            "read {} in {}, {} of {}, ",
            bytes(report.bytes_read),
            seconds(duration),
            report.packs_checked,
            text::counted(report.packs_total, "pack"),
        ),
        false => format!("checked structure in {}, ", seconds(duration)),
    };
    let snapshots = text::counted(report.snapshots_checked, "snapshot");
    invocation
        .output
        .line(&format!("{read}{snapshots}, {result}"));
    if report.snapshots_foreign > 0 {
        invocation.ui.warn(&format!(
            "{} in domains that this credential does not hold: not looked into",
            text::counted(report.snapshots_foreign, "snapshot"),
        ));
    }
    if report.packs_absent > 0 {
        invocation.ui.warn(&format!(
            "the index lists {} that {} not there and that no snapshot needs; the next prune \
             clears that up",
            text::counted(report.packs_absent, "pack"),
            if report.packs_absent == 1 {
                "is"
            } else {
                "are"
            },
        ));
    }
    tell(invocation, report);
}

/// Names the command that mends it, where it was not given.
fn suggest_repair(
    invocation: &Invocation,
    arguments: &CheckArguments,
    place: &Place,
    report: &CheckReport,
) {
    if !report.damage.is_empty() && !arguments.repair.repair {
        let place = text::quoted(&place.to_string());
        invocation.output.line(&format!(
            "repair: icecore check --repair --from COPY -r {place}, where COPY is a sibling or a mirror"
        ));
    }
}

/// Checks, and where all data was read remembers the snapshots that turn out whole as read back.
/// Those that are taken meanwhile are not among them.
pub fn check_and_prove(
    invocation: &Invocation,
    repository: &Repository,
    index: &Index,
    options: &CheckOptions,
) -> CommandResult<(CheckReport, Duration)> {
    let subject = Subject {
        location: invocation.place().ok().map(|place| place.to_string()),
        ..Subject::default()
    };
    let act = invocation.begin(repository, Activity::Check, subject, Duty::Warn)?;
    let checked = check_unreported(invocation, repository, index, options);
    act.conclude(repository, checked, |(report, _)| ending(report, options))
}

/// What the audit log says of a check.
fn ending(report: &CheckReport, options: &CheckOptions) -> Ending {
    let what = match (options.read_data, report.complete) {
        (_, false) => INTERRUPTED,
        (ReadData::No, _) => "structure",
        (ReadData::All, _) if options.snapshots.is_none() && options.older_than.is_none() => WHOLE,
        (ReadData::All, _) => "every byte",
        (ReadData::Subset(_), _) => "a part of the data",
    };
    let snapshots = text::counted(report.snapshots_checked, "snapshot");
    let damaged = text::counted(report.damage.len() as u64, "damaged object");
    let details = match report.complete {
        true => format!("{what}, {snapshots}: {damaged}"),
        false => what.to_owned(),
    };
    let is_good = report.damage.is_empty();
    let end = match (is_good, report.complete) {
        (false, _) => Ending::new(Status::Error, details),
        (true, false) => Ending::new(Status::Warning, details),
        (true, true) => Ending::success(details),
    };
    let end = end.bytes(report.bytes_read).verified(is_good);
    match hurt_snapshots(&report.damage).first() {
        Some(hurt) => end.snapshot(*hurt),
        None => end,
    }
}

fn check_unreported(
    invocation: &Invocation,
    repository: &Repository,
    index: &Index,
    options: &CheckOptions,
) -> CommandResult<(CheckReport, Duration)> {
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let mut whole = match (options.read_data, &options.snapshots) {
        // What was not read is not proven.
        (ReadData::No | ReadData::Subset(_), _) => Vec::new(),
        (ReadData::All, Some(chosen)) => chosen.clone(),
        (ReadData::All, None) => {
            let (list, _) = repository.list_snapshots()?;
            list.visible.iter().map(|snapshot| snapshot.id).collect()
        }
    };
    let started = Instant::now();
    let report = check(repository, index, options, ui, cancel)?;
    let duration = started.elapsed();
    let hurt = hurt_snapshots(&report.damage);
    whole.retain(|id| !hurt.contains(id));
    if !report.complete || report.hurts_unlisted > 0 || whole.is_empty() {
        return Ok((report, duration));
    }
    let remark = match options.older_than {
        Some(_) => "what had been read before was not read again",
        None => "",
    };
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if let Err(error) = repository.prove_read_back(&whole, milliseconds, remark) {
        let why = crate::explain::explain(&error);
        ui.warn(&format!("what was read is not remembered: {why}"));
    }
    Ok((report, duration))
}

/// The snapshots that were named.
fn chosen(
    invocation: &Invocation,
    repository: &Repository,
    selectors: &[Selector],
) -> CommandResult<Option<Vec<SnapshotId>>> {
    if selectors.is_empty() {
        return Ok(None);
    }
    let set = invocation.list_snapshots(repository)?;
    let everything = SelectionArguments::default();
    let ids = selectors.iter().map(|selector| {
        let snapshot = invocation.resolve(&set, selector, &everything, "check")?;
        Ok(snapshot.id)
    });
    ids.collect::<CommandResult<Vec<_>>>().map(Some)
}

/// What is damaged, and whom it hurts.
fn tell(invocation: &Invocation, report: &CheckReport) {
    for damage in report.damage.iter().take(SHOWN_MAX) {
        for line in lines(damage) {
            invocation.output.line(&line);
        }
    }
    if report.damage.len() > SHOWN_MAX {
        let more = report.damage.len() - SHOWN_MAX;
        invocation
            .output
            .line(&format!("and {more} more damaged objects"));
    }
    for damage in &report.damage {
        invocation.output.object("damage", describe(damage));
    }
    if !report.damage.is_empty() {
        let hurt: BTreeSet<_> = hurt_snapshots(&report.damage);
        let whole = report.snapshots_checked.saturating_sub(hurt.len() as u64);
        let whole = text::counted(whole, "snapshot");
        invocation.output.line(&format!(
            "{whole} whole. Without a copy: take new snapshots, they store again what is missing"
        ));
    }
}

/// The snapshots that damage hurts.
fn hurt_snapshots(damage: &[Damage]) -> BTreeSet<SnapshotId> {
    let hurts = damage.iter().flat_map(|damage| &damage.hurts);
    hurts.map(|hurt| hurt.snapshot).collect()
}

/// Whether nothing hurts any of these snapshots, as far as a check looked, which went to its end.
pub fn are_whole(report: &CheckReport, snapshots: &[SnapshotId]) -> bool {
    let hurt = hurt_snapshots(&report.damage);
    report.complete && !snapshots.iter().any(|id| hurt.contains(id))
}

fn lines(damage: &Damage) -> Vec<String> {
    let mut lines = vec![format!(
        "DAMAGE  {}  {}",
        text::line(&damage.object),
        text::line(&damage.what)
    )];
    let mut by_snapshot: BTreeMap<SnapshotId, Vec<String>> = BTreeMap::new();
    for hurt in &damage.hurts {
        let path = match hurt.path.is_empty() {
            true => "all of it".to_owned(),
            false => text::path(&hurt.path),
        };
        let extent = match &hurt.extent {
            Extent::Subtree => " (with all below it)".to_owned(),
            Extent::Content(ranges) => match (ranges.first(), ranges.last()) {
                (Some(first), Some(last)) => {
                    format!(" (offset {} - {})", bytes(first.start), bytes(last.end))
                }
                _ => String::new(),
            },
        };
        let paths = by_snapshot.entry(hurt.snapshot).or_default();
        paths.push(format!("{path}{extent}"));
    }
    if by_snapshot.is_empty() {
        lines.push(
            "  hurts no visible snapshot: it is stored elsewhere too, or none needs it".to_owned(),
        );
    }
    for (snapshot, paths) in by_snapshot {
        let more = paths.len().saturating_sub(SHOWN_MAX);
        let mut shown = paths
            .into_iter()
            .take(SHOWN_MAX)
            .collect::<Vec<_>>()
            .join(", ");
        if more > 0 {
            shown.push_str(&format!(" and {more} more"));
        }
        lines.push(format!("  hurts {}: {shown}", snapshot.short()));
    }
    lines
}

fn describe(damage: &Damage) -> Value {
    let hurts = damage.hurts.iter().map(|hurt| {
        let ranges = match &hurt.extent {
            Extent::Subtree => Value::Null,
            Extent::Content(ranges) => {
                let ranges = ranges.iter().map(|range| json!([range.start, range.end]));
                json!(ranges.collect::<Vec<_>>())
            }
        };
        json!({
            "snapshot_id": hurt.snapshot.to_string(),
            "path": text::path(&hurt.path),
            "ranges": ranges,
        })
    });
    json!({
        "object": damage.object,
        "what": damage.what,
        "blobs": damage.blobs.len(),
        "hurts": hurts.collect::<Vec<_>>(),
    })
}

fn summary(report: &CheckReport, duration: Duration) -> Report {
    Report::with(json!({
        "packs_checked": report.packs_checked,
        "packs_total": report.packs_total,
        "packs_unindexed": report.packs_unindexed,
        "packs_absent": report.packs_absent,
        "bytes_read": report.bytes_read,
        "snapshots_checked": report.snapshots_checked,
        "snapshots_hurt": hurt_snapshots(&report.damage).len(),
        "complete": report.complete,
        "damage": report.damage.iter().map(describe).collect::<Vec<_>>(),
        "duration_seconds": duration.as_secs_f64(),
    }))
    .exit(exit(&report.damage))
}

fn exit(damage: &[Damage]) -> Exit {
    match damage.is_empty() {
        true => Exit::Done,
        false => Exit::Damage,
    }
}

/// Compares objects with their names and checksums: what a machine without any key can do.
fn without_key(invocation: &Invocation) -> CommandResult<Report> {
    let opened = invocation.open_store()?;
    Repository::config_of(&*opened.store)?;
    let started = Instant::now();
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let report: ScrubReport = scrub(&*opened.store, invocation.workers(), ui, cancel)?;
    ui.clear();
    cancel.check()?;
    let result = match report.damage.is_empty() {
        true => "no damage".to_owned(),
        false => format!(
            "{} damaged",
            text::counted(report.damage.len() as u64, "object")
        ),
    };
    invocation.output.line(&format!(
        "read {} in {} without a key, {}, {result}",
        bytes(report.bytes_read),
        seconds(started.elapsed()),
        text::counted(report.objects_checked, "object"),
    ));
    for damage in report.damage.iter().take(SHOWN_MAX) {
        let (object, what) = (text::line(&damage.object), text::line(&damage.what));
        invocation.output.line(&format!("DAMAGE  {object}  {what}"));
    }
    for damage in &report.damage {
        invocation.output.object("damage", describe(damage));
    }
    Ok(Report::with(json!({
        "objects_checked": report.objects_checked,
        "bytes_read": report.bytes_read,
        "complete": report.complete,
        "damage": report.damage.iter().map(describe).collect::<Vec<_>>(),
    }))
    .exit(exit(&report.damage)))
}
