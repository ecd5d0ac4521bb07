//! How a restore is shown.

use crate::cli::commands::restore::chosen::Chosen;
use crate::cli::commands::restore::exit;
use crate::cli::commands::restore::place::Place;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::monitor::Monitor;
use crate::repository::Snapshot;
use crate::restorer::Restored;
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
        match (place.path.is_empty(), name) {
            (false, Some(name)) if places.len() > 1 || place.target.is_dir() => {
                format!("{}/{}", place.target.display(), text::path(name))
            }
            _ => place.target.display().to_string(),
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

/// The summary: what was written where, and what was proven.
pub fn show(
    invocation: &Invocation,
    snapshot: &Snapshot,
    restored: &Restored,
    places: &[Place],
    duration: Duration,
) -> CommandResult<Report> {
    let place = targets(places);
    let damaged = !restored.damaged.is_empty();
    let mut parts = vec![match restored.files {
        // What is damaged never gets its name.
        0 if damaged => format!("no file was put at {place}"),
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
    if let [(_, report)] = restored.databases.as_slice() {
        parts.extend(proof(report));
    } else if !restored.databases.is_empty() {
        let number = restored.databases.len() as u64;
        parts.push(format!(
            "{} integrity_check ok",
            text::counted(number, "database")
        ));
    }
    invocation.output.say(&parts.join("   "));
    tell_damage(invocation, snapshot, restored);
    for warning in restored.warnings.iter().take(SHOWN_MAX) {
        let path = text::path(&warning.path);
        invocation.ui.warn(&format!("{path}: {}", warning.message));
    }
    if restored.warnings.len() > SHOWN_MAX {
        let more = restored.warnings.len() - SHOWN_MAX;
        invocation.ui.warn(&format!("and {more} more of this kind"));
    }
    let damaged = restored.damaged.iter();
    let damaged: Vec<Value> = damaged
        .map(|(path, why)| json!({ "path": text::path(path), "message": why }))
        .collect();
    Ok(Report::with(json!({
        "snapshot_id": snapshot.id.to_string(),
        "target": targets(places),
        "files": restored.files,
        "directories": restored.directories,
        "bytes": restored.bytes,
        "bytes_written": restored.bytes_written,
        "bytes_fetched": restored.bytes_fetched,
        "duration_seconds": duration.as_secs_f64(),
        "databases": restored.databases.iter().map(|(path, report)| json!({
            "path": path.display().to_string(),
            "sound": report.proof.is_sound(),
            "replaced": report.replaced,
            "tables_compared": report.proof.tables_compared,
            "rows_compared": report.proof.rows_compared,
            "faults": report.proof.faults,
            "differences": report.proof.differences,
        })).collect::<Vec<_>>(),
        "damaged": damaged,
    }))
    .exit(exit(restored)))
}

fn proof(report: &ReplacementReport) -> Vec<String> {
    let proof = &report.proof;
    let mut parts = Vec::new();
    match (&proof.check_not_possible, proof.faults.first()) {
        (Some(why), _) => parts.push(format!("integrity_check not possible: {}", text::line(why))),
        (None, Some(fault)) => parts.push(format!("integrity_check FAILED: {}", text::line(fault))),
        (None, None) => parts.push("integrity_check ok".to_owned()),
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

fn tell_damage(invocation: &Invocation, snapshot: &Snapshot, restored: &Restored) {
    if restored.damaged.is_empty() {
        return;
    }
    let number = text::counted(restored.damaged.len() as u64, "item");
    let id = snapshot.id.short();
    let ui = &invocation.ui;
    ui.warn_line(&format!("DAMAGE  {number} of {id} could not be restored:"));
    for (path, why) in restored.damaged.iter().take(SHOWN_MAX) {
        ui.warn_line(&format!("  {}: {}", text::path(path), text::line(why)));
    }
    if restored.damaged.len() > SHOWN_MAX {
        ui.warn_line(&format!(
            "  and {} more",
            restored.damaged.len() - SHOWN_MAX
        ));
    }
    ui.warn_line("  try: an older snapshot (icecore snapshots), or icecore check --read-data");
}
