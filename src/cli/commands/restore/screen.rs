//! How a restore is shown.

use crate::cli::commands::restore::chosen::Chosen;
use crate::cli::commands::restore::exit;
use crate::cli::commands::restore::fallback::Fallback;
use crate::cli::commands::restore::place::Place;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::monitor::Monitor;
use crate::repository::Snapshot;
use crate::restorer::Restored;
use crate::source::sqlite::Check;
use crate::target::sqlite::ReplacementReport;
use crate::units::{bytes, rate, seconds};
use serde_json::{Value, json};
use std::time::Duration;

/// Most damaged paths and warnings that are spelled out.
const SHOWN_MAX: usize = 20;

/// The targets in one line.
pub fn targets(places: &[Place]) -> String {
    let shown = places.iter().map(|place| {
        let name = place.path.rsplit(|byte| *byte == b'/').next();
        let into = place.into();
        match (place.path.is_empty(), name) {
            (false, Some(name)) if places.len() > 1 || into.is_dir() => {
                format!("{}/{}", into.display(), text::path(name))
            }
            _ => into.display().to_string(),
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Says what would be written.
pub fn dry_run(
    invocation: &Invocation,
    snapshot: &Snapshot,
    chosen: &Chosen,
    places: &[Place],
) -> CommandResult<Report> {
    invocation.output.line(&format!(
        "would restore {} of {} to {}",
        chosen.summary(),
        snapshot.id.short(),
        targets(places),
    ));
    invocation.output.say("nothing was written");
    Ok(Report::with(json!({
        "dry_run": true,
        "snapshot_id": snapshot.id.to_string(),
        "files": chosen.files,
        "bytes": chosen.bytes,
    })))
}

/// What was done, and how it was asked for.
pub struct Result<'r> {
    /// The chosen snapshot.
    pub snapshot: &'r Snapshot,
    /// What was restored, from it and others.
    pub restored: &'r Restored,
    /// Where to.
    pub places: &'r [Place],
    /// What came from other snapshots; `None` when that was not asked for.
    pub fallbacks: Option<&'r [Fallback]>,
    /// Whether what was there was compared.
    pub in_place: bool,
    /// Whether what was written was read back.
    pub verify: bool,
    /// How long it took.
    pub duration: Duration,
}

/// The summary: what was written where, and what was proven.
pub fn show(invocation: &Invocation, result: &Result<'_>) -> Report {
    let restored = result.restored;
    invocation.output.say(&summary_line(result));
    tell(invocation, result);
    Report::with(summary(result)).exit(exit(restored))
}

/// What went wrong, and what could not be made as it was.
pub fn tell(invocation: &Invocation, result: &Result<'_>) {
    let restored = result.restored;
    tell_damage(invocation, result);
    tell_unproven(invocation, restored);
    for warning in restored.warnings.iter().take(SHOWN_MAX) {
        let path = text::path(&warning.path);
        invocation.ui.warn(&format!("{path}: {}", warning.message));
    }
    if restored.warnings.len() > SHOWN_MAX {
        let more = restored.warnings.len() - SHOWN_MAX;
        invocation.ui.warn(&format!("and {more} more of this kind"));
    }
}

fn summary_line(result: &Result<'_>) -> String {
    let (restored, duration) = (result.restored, result.duration);
    let place = targets(result.places);
    let failed = !restored.damaged.is_empty() || !restored.unproven.is_empty();
    let mut parts = vec![match restored.files {
        // In place what is damaged keeps its name, and what could be had of it is new.
        0 if failed && result.in_place => format!("no file at {place} is whole"),
        // What is damaged never gets its name.
        0 if failed => format!("no file was put at {place}"),
        0 => format!("nothing to do: {place} has all of it already"),
        _ => format!(
            "restored {} in {} ({}) to {place}",
            bytes(restored.bytes),
            seconds(duration),
            rate(restored.bytes, duration),
        ),
    }];
    if restored.files > 1 {
        parts.push(text::counted(restored.files, "file"));
    }
    if result.in_place {
        let (differed, all) = (bytes(restored.bytes_differed), bytes(restored.bytes));
        parts.push(format!("{differed} of {all} differed"));
    }
    if result.verify && restored.unproven.is_empty() {
        let verified = bytes(restored.bytes_verified);
        parts.push(format!("read back {verified}, all as written"));
    }
    if let [(_, report)] = restored.databases.as_slice() {
        parts.extend(proof(report));
    } else if !restored.databases.is_empty() {
        let number = restored.databases.len() as u64;
        let check = restored
            .databases
            .first()
            .map(|(_, report)| report.proof.check);
        let said = match check.and_then(Check::name) {
            Some(check) => format!("{check} ok"),
            None => "not checked".to_owned(),
        };
        parts.push(format!("{} {said}", text::counted(number, "database")));
    }
    parts.join("   ")
}

/// For scripts.
pub fn summary(result: &Result<'_>) -> Value {
    let restored = result.restored;
    let items = |items: &[(Vec<u8>, String)]| {
        let described = items
            .iter()
            .map(|(path, why)| json!({ "path": text::path(path), "message": why }));
        described.collect::<Vec<_>>()
    };
    let fallbacks = result.fallbacks.unwrap_or_default();
    let fallbacks = fallbacks.iter().map(|fallback| {
        json!({
            "path": text::path(&fallback.path),
            "snapshot_id": fallback.snapshot.to_string(),
            "taken": fallback.captured.to_rfc3339(),
        })
    });
    json!({
        "snapshot_id": result.snapshot.id.to_string(),
        "target": targets(result.places),
        "files": restored.files,
        "directories": restored.directories,
        "bytes": restored.bytes,
        "bytes_written": restored.bytes_written,
        "bytes_fetched": restored.bytes_fetched,
        "bytes_differed": restored.bytes_differed,
        "bytes_verified": restored.bytes_verified,
        "duration_seconds": result.duration.as_secs_f64(),
        "databases": restored.databases.iter().map(|(path, report)| json!({
            "path": path.display().to_string(),
            "sound": report.proof.is_sound(),
            "check": report.proof.check.name(),
            "replaced": report.replaced,
            "tables_compared": report.proof.tables_compared,
            "rows_compared": report.proof.rows_compared,
            "faults": report.proof.faults,
            "differences": report.proof.differences,
        })).collect::<Vec<_>>(),
        "damaged": items(&restored.damaged),
        "unproven": items(&restored.unproven),
        "fallbacks": fallbacks.collect::<Vec<_>>(),
    })
}

/// What was proven of a database, for a line.
pub fn proof(report: &ReplacementReport) -> Vec<String> {
    let proof = &report.proof;
    let mut parts = Vec::new();
    let check = proof.check.name().unwrap_or("the database");
    match (&proof.check_not_possible, proof.faults.first()) {
        (Some(why), _) => parts.push(format!("{check} not possible: {}", text::line(why))),
        (None, Some(fault)) => parts.push(format!("{check} FAILED: {}", text::line(fault))),
        (None, None) if proof.check == Check::None => {
            parts.push("every byte as captured, the database not checked".to_owned());
        }
        (None, None) => parts.push(format!("{check} ok")),
    }
    match proof.differences.first() {
        Some(difference) => parts.push(text::line(difference)),
        None if proof.tables_compared > 0 => parts.push(format!(
            "{} = recorded",
            text::counted(proof.rows_compared, "row")
        )),
        None => {}
    }
    parts
}

fn tell_damage(invocation: &Invocation, result: &Result<'_>) {
    let (restored, ui) = (result.restored, &invocation.ui);
    if restored.damaged.is_empty() {
        return;
    }
    let number = text::counted(restored.damaged.len() as u64, "item");
    let id = result.snapshot.id.short();
    ui.warn_line(&format!("DAMAGE  {number} of {id} could not be restored:"));
    tell_items(invocation, &restored.damaged);
    let fallbacks = result.fallbacks.unwrap_or_default();
    for fallback in fallbacks.iter().take(SHOWN_MAX) {
        let path = match fallback.path.is_empty() {
            true => "all of it".to_owned(),
            false => text::path(&fallback.path),
        };
        let (other, taken) = (
            fallback.snapshot.short(),
            invocation.moment(fallback.captured),
        );
        ui.warn_line(&format!(
            "FALLBACK  {path}: older than the rest, from {other} of {taken}"
        ));
    }
    if fallbacks.len() > SHOWN_MAX {
        let more = fallbacks.len() - SHOWN_MAX;
        ui.warn_line(&format!("  and {more} more, from older snapshots"));
    }
    match result.fallbacks {
        None => ui.warn_line(
            "  try: --fallback, which takes it from an older snapshot, or icecore check --read-data",
        ),
        Some([]) => ui.warn_line("  no older snapshot of the source has it whole"),
        Some(_) => {}
    }
}

fn tell_unproven(invocation: &Invocation, restored: &Restored) {
    if restored.unproven.is_empty() {
        return;
    }
    let number = text::counted(restored.unproven.len() as u64, "item");
    invocation.ui.warn_line(&format!(
        "NOT PROVEN  {number} could not be read back as written:"
    ));
    tell_items(invocation, &restored.unproven);
    invocation
        .ui
        .warn_line("  try: look at the disk and the memory of this machine, restore elsewhere");
}

fn tell_items(invocation: &Invocation, items: &[(Vec<u8>, String)]) {
    for (path, why) in items.iter().take(SHOWN_MAX) {
        let (path, why) = (text::path(path), text::line(why));
        invocation.ui.warn_line(&format!("  {path}: {why}"));
    }
    if items.len() > SHOWN_MAX {
        let more = items.len() - SHOWN_MAX;
        invocation.ui.warn_line(&format!("  and {more} more"));
    }
}
