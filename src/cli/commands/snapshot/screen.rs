//! How a taken snapshot is shown.

use crate::archiver::Taken;
use crate::cli::text;
use crate::entry::{Fact, Facts};
use crate::source::Exclusion;
use crate::source::sqlite::keys;
use crate::units::{bytes, count, ratio, seconds};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most problems and left-out rules that are spelled out.
const SHOWN_MAX: usize = 20;

/// The summary line, and with `detail` what was left out, rule by rule.
pub fn lines(taken: &Taken, detail: bool) -> Vec<String> {
    let totals = &taken.label.totals;
    let duration = Duration::from_millis(totals.milliseconds);
    let size = match totals.files {
        1 => bytes(totals.bytes),
        files => format!("{}, {}", text::counted(files, "file"), bytes(totals.bytes)),
    };
    let mut parts = vec![
        format!("snapshot {}", taken.id.short()),
        text::short_source(&taken.label.source),
        format!("{size} in {}", seconds(duration)),
    ];
    let stored = bytes(totals.bytes_stored);
    match taken.parent {
        None => parts.push(format!(
            "stored {stored} ({})",
            ratio(totals.bytes, totals.bytes_stored)
        )),
        Some(_) => {
            let full = totals.chunks_new.saturating_sub(totals.chunks_delta);
            parts.push(format!("stored {stored}"));
            if totals.chunks > 0 {
                parts.push(format!(
                    "{} of {} known or stored as a difference",
                    count(totals.chunks.saturating_sub(full)),
                    text::counted(totals.chunks, "chunk"),
                ));
            }
        }
    }
    if let [(_, facts)] = taken.archived.facts.as_slice() {
        parts.extend(database(facts));
    }
    let exclusions = &taken.archived.exclusions;
    if let Some(left_out) = left_out(exclusions) {
        parts.push(left_out);
    }
    let mut lines = vec![parts.join("   ")];
    if detail {
        let shown = exclusions.iter().take(SHOWN_MAX);
        lines.extend(shown.map(|exclusion| {
            let reason = exclusion.reason.as_deref().unwrap_or("-");
            format!(
                "  left out {}   {}   rule {}   {}",
                text::path(&exclusion.path),
                bytes(exclusion.bytes),
                text::line(&exclusion.rule),
                text::line(reason),
            )
        }));
    }
    lines
}

/// `quick_check ok` and `41 tables, 3,812,044 rows`.
fn database(facts: &Facts) -> Vec<String> {
    let mut parts = Vec::new();
    if let (Some(Fact::Text(check)), Some(Fact::Text(result))) =
        (facts.get(keys::CHECK), facts.get(keys::CHECK_RESULT))
    {
        parts.push(format!("{check} {}", text::line(result)));
    }
    let number = |key| match facts.get(key) {
        Some(Fact::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    if let (Some(tables), Some(rows)) = (number(keys::TABLE_COUNT), number(keys::ROWS)) {
        parts.push(format!(
            "{}, {}",
            text::counted(tables, "table"),
            text::counted(rows, "row")
        ));
    }
    parts
}

/// `left out 517 MB (node_modules: npm ci)`: the largest rules first.
pub fn left_out(exclusions: &[Exclusion]) -> Option<String> {
    if exclusions.is_empty() {
        return None;
    }
    let mut by_rule: BTreeMap<(&str, Option<&str>), u64> = BTreeMap::new();
    for exclusion in exclusions {
        let rule = (exclusion.rule.as_str(), exclusion.reason.as_deref());
        *by_rule.entry(rule).or_default() += exclusion.bytes;
    }
    let total: u64 = by_rule.values().sum();
    let mut rules: Vec<_> = by_rule.into_iter().collect();
    rules.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let more = rules.len().saturating_sub(3);
    let mut names: Vec<String> = rules
        .into_iter()
        .take(3)
        .map(|((rule, reason), _)| match reason {
            Some(reason) => format!("{}: {}", text::line(rule), text::line(reason)),
            None => text::line(rule),
        })
        .collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    Some(format!("left out {} ({})", bytes(total), names.join(", ")))
}

/// What could not be read, and what is not as expected, one line each.
pub fn problems(taken: &Taken) -> Vec<String> {
    let unmet = &taken.archived.unmet;
    let mut lines = Vec::new();
    if !unmet.is_empty() {
        let id = taken.id.short();
        lines.push(format!("SUSPECT  {id} is kept, and is not as expected:"));
        lines.extend(unmet.iter().map(|line| format!("  {}", text::line(line))));
    }
    lines.extend(unreadable(taken));
    lines
}

fn unreadable(taken: &Taken) -> Vec<String> {
    let problems = &taken.archived.problems;
    if problems.is_empty() {
        return Vec::new();
    }
    let number = text::counted(problems.len() as u64, "item");
    let id = taken.id.short();
    let mut lines = vec![format!(
        "{number} could not be read and not saved whole in {id}:"
    )];
    let shown = problems.iter().take(SHOWN_MAX);
    lines.extend(shown.map(|problem| {
        format!(
            "  {}: {}",
            text::path(&problem.path),
            text::line(&problem.message)
        )
    }));
    if problems.len() > SHOWN_MAX {
        lines.push(format!("  and {} more", problems.len() - SHOWN_MAX));
    }
    lines
}

/// A snapshot for scripts.
pub fn describe(taken: &Taken) -> Value {
    let label = &taken.label;
    let totals = &label.totals;
    let problems =
        taken.archived.problems.iter().map(
            |problem| json!({ "path": text::path(&problem.path), "message": problem.message }),
        );
    let left_out = taken.archived.exclusions.iter();
    json!({
        "snapshot_id": taken.id.to_string(),
        "parent_id": taken.parent.map(|parent| parent.to_string()),
        "source": label.source,
        "host": label.host,
        "taken": label.captured.to_rfc3339(),
        "complete": label.complete,
        "suspect": label.suspect,
        "checked": label.checked,
        "unmet": taken.archived.unmet,
        "files": totals.files,
        "directories": totals.directories,
        "bytes_read": totals.bytes,
        "bytes_new": totals.bytes_new,
        "bytes_stored": totals.bytes_stored,
        "bytes_left_out": left_out.map(|exclusion| exclusion.bytes).sum::<u64>(),
        "chunks_total": totals.chunks,
        "chunks_new": totals.chunks_new,
        "chunks_delta": totals.chunks_delta,
        "capture_seconds": taken.archived.capture.as_secs_f64(),
        "duration_seconds": totals.milliseconds as f64 / 1000.0,
        "problems": problems.collect::<Vec<_>>(),
    })
}
