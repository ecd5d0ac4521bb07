//! What figures look like: for people, and for scripts.

use super::{Row, Section};
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::stats::{Figures, change, sparkline};
use crate::units::{Span, bytes, count, ratio, seconds};
use serde_json::{Value, json};
use std::time::Duration;

/// What lies further ahead is not worth a line, days.
const OUTLOOK_MAX: u64 = 3650;

/// Shows a repository.
pub fn show(invocation: &Invocation, section: &Section, last: Span) {
    let output = &invocation.output;
    let mut title = vec![
        text::line(&section.name),
        text::line(&section.place),
        text::counted(section.snapshots, "snapshot"),
        bytes(section.bytes),
    ];
    title.extend(section.free.map(|free| format!("{} free", bytes(free))));
    title.push(format!("last {last} against the {last} before"));
    output.line(&title.join(" · "));
    if section.rows.is_empty() {
        output.line("no snapshots");
        return;
    }
    let several = section.rows.len() > 1;
    let all = |pick: fn(&Row) -> &Figures| {
        let mut sum = Figures::default();
        section.rows.iter().for_each(|row| sum.add(pick(row)));
        sum
    };
    let head = [
        "SOURCE",
        "SNAPSHOTS",
        "READ",
        "NEW",
        "STORED",
        "DEDUP",
        "COMPR",
        "RATIO",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &section.rows {
        rows.push(amounts(&name(section, row), &row.now));
        rows.extend(has_before(row).then(|| amounts("  before", &row.before)));
    }
    rows.extend(several.then(|| amounts("all", &all(|row| &row.now))));
    let before = all(|row| &row.before);
    let is_shown = several && before.snapshots > 0;
    rows.extend(is_shown.then(|| amounts("  before", &before)));
    for line in text::table(&rows, &[false, true, true, true, true, true, true, true]) {
        output.line(&line);
    }
    let head = [
        "SOURCE", "SIZE", "CHANGE", "TREND", "A DAY", "TOOK", "SLOWEST", "FAILED",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &section.rows {
        let failures = |pick: fn((u64, u64)) -> u64| {
            row.failures
                .map_or_else(|| "?".to_owned(), |both| pick(both).to_string())
        };
        rows.push(pace(
            &name(section, row),
            &row.now,
            (percent(row.size_change()), sparkline(&row.trend)),
            row.daily.0,
            failures(|both| both.0),
        ));
        rows.extend(has_before(row).then(|| {
            let nothing = (String::new(), String::new());
            pace(
                "  before",
                &row.before,
                nothing,
                row.daily.1,
                failures(|both| both.1),
            )
        }));
    }
    for line in text::table(&rows, &[false, true, true, false, true, true, true, true]) {
        output.line(&line);
    }
    for line in section.outlook() {
        output.line(&line);
    }
}

fn has_before(row: &Row) -> bool {
    row.before.snapshots > 0 || row.failures.is_some_and(|(_, before)| before > 0)
}

/// A source, with its host where another one has the same.
fn name(section: &Section, row: &Row) -> String {
    let same = section
        .rows
        .iter()
        .filter(|other| other.source == row.source);
    let short = text::short_source(&row.source);
    match same.count() > 1 {
        true => format!("{short} on {}", text::line(&row.host)),
        false => short,
    }
}

fn amounts(name: &str, figures: &Figures) -> Vec<String> {
    vec![
        name.to_owned(),
        match figures.flawed {
            0 => count(figures.snapshots),
            flawed => format!("{} ({flawed} flawed)", count(figures.snapshots)),
        },
        bytes(figures.bytes_read),
        bytes(figures.bytes_new),
        bytes(figures.bytes_stored),
        ratio(figures.bytes_read, figures.bytes_new),
        match figures.bytes_new {
            // What is stored of nothing new is no sign of how well it was compressed.
            0 => "-".to_owned(),
            new => ratio(new, figures.bytes_stored),
        },
        ratio(figures.bytes_read, figures.bytes_stored),
    ]
}

fn pace(
    name: &str,
    figures: &Figures,
    (change, trend): (String, String),
    daily: u64,
    failures: String,
) -> Vec<String> {
    let took = |milliseconds: Option<u64>| {
        let shown = milliseconds.map(|one| seconds(Duration::from_millis(one)));
        shown.unwrap_or_else(|| "-".to_owned())
    };
    let is_any = figures.snapshots > 0;
    vec![
        name.to_owned(),
        if is_any {
            bytes(figures.bytes)
        } else {
            "-".to_owned()
        },
        change,
        trend,
        bytes(daily),
        took(figures.milliseconds_mean()),
        took(is_any.then_some(figures.milliseconds_max)),
        failures,
    ]
}

fn percent(tenths: Option<i64>) -> String {
    match tenths {
        None => "-".to_owned(),
        Some(tenths) => {
            let sign = if tenths < 0 { '-' } else { '+' };
            let tenths = tenths.unsigned_abs();
            format!("{sign}{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

impl Row {
    /// By how much the size differs from that of the stretch before, in tenths of a per cent.
    fn size_change(&self) -> Option<i64> {
        match self.now.snapshots {
            0 => None,
            _ => change(self.before.bytes, self.now.bytes),
        }
    }
}

impl Section {
    /// What all of it grows by in a day, bytes.
    fn daily(&self) -> u64 {
        self.rows.iter().map(|row| row.daily.0).sum()
    }

    /// Days until something of `left` bytes is used up; `None` where nothing grows.
    fn days_left(&self, left: u64) -> Option<u64> {
        left.checked_div(self.daily())
    }

    fn days_to_max(&self) -> Option<u64> {
        self.days_left(self.max_size?.saturating_sub(self.bytes))
    }

    fn days_of_disk(&self) -> Option<u64> {
        self.days_left(self.free?)
    }

    /// When room ends, if nothing is pruned: sentences.
    fn outlook(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let day = |days: u64| text::counted(days, "day");
        let pace = format!("at {} a day, if nothing is pruned,", bytes(self.daily()));
        let max = self.days_to_max().filter(|days| *days <= OUTLOOK_MAX);
        lines.extend(max.map(|days| format!("{pace} its max_size is reached in {}", day(days))));
        let disk = self.days_of_disk().filter(|days| *days <= OUTLOOK_MAX);
        lines.extend(disk.map(|days| format!("{pace} its disk is full in {}", day(days))));
        lines
    }
}

/// A source for scripts.
pub fn describe(section: &Section, row: &Row) -> Value {
    json!({
        "repository": section.name,
        "source": row.source,
        "host": row.host,
        "jobs": row.jobs,
        "now": figures(&row.now, row.daily.0, row.failures.map(|both| both.0)),
        "before": figures(&row.before, row.daily.1, row.failures.map(|both| both.1)),
        "size_change_percent": row.size_change().map(|tenths| tenths as f64 / 10.0),
        "trend": row.trend,
    })
}

fn figures(figures: &Figures, daily: u64, failures: Option<u64>) -> Value {
    let ratio = |whole: u64, part: u64| (part > 0).then(|| whole as f64 / part as f64);
    let mean = figures.milliseconds_mean();
    json!({
        "snapshots": figures.snapshots,
        "flawed": figures.flawed,
        "failures": failures,
        "bytes": figures.bytes,
        "bytes_read": figures.bytes_read,
        "bytes_new": figures.bytes_new,
        "bytes_stored": figures.bytes_stored,
        "bytes_stored_daily": daily,
        "deduplication": ratio(figures.bytes_read, figures.bytes_new),
        "compression": ratio(figures.bytes_new, figures.bytes_stored).filter(|_| figures.bytes_new > 0),
        "ratio": ratio(figures.bytes_read, figures.bytes_stored),
        "duration_seconds_mean": mean.map(|mean| mean as f64 / 1000.0),
        "duration_seconds_max": figures.milliseconds_max as f64 / 1000.0,
    })
}

/// A repository for scripts.
pub fn describe_repository(section: &Section) -> Value {
    json!({
        "repository": section.name,
        "location": section.place,
        "snapshots": section.snapshots,
        "damaged": section.damaged,
        "bytes": section.bytes,
        "bytes_stored_daily": section.daily(),
        "max_size": section.max_size,
        "bytes_free": section.free,
        "days_to_max_size": section.days_to_max(),
        "days_of_disk": section.days_of_disk(),
    })
}
