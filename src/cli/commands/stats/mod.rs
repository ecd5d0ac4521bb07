//! `stats`: what was read, new and stored, how fast that grows, how long it took; each beside the same
//! stretch of time before.

mod screen;

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::run::Space;
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::history::History;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::env::Timestamp;
use crate::event::{Activity, Status};
use crate::stats::{Figures, Sample, sizes};
use crate::units::{DAY_SECONDS, Span};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;

/// Points of a trend.
const POINTS: u32 = 14;

/// Options of `stats`.
#[derive(Debug, Args)]
#[command(
    after_help = "DEDUP is how many times less was new than was read, COMPR how many times less was \
    stored than was new, RATIO both. Failures are counted from the audit log, so those of a host that \
    could not reach the repository are not among them"
)]
pub struct StatsArguments {
    /// The stretch of time, such as 7d or 1mo; shown beside the same before
    #[arg(long, value_name = "AGE", default_value = "7d")]
    last: Span,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Two stretches of time of one length: from `before` to `from` to `to`.
#[derive(Debug, Clone, Copy)]
struct Periods {
    before: Timestamp,
    from: Timestamp,
    to: Timestamp,
}

/// What one source came to.
struct Row {
    source: String,
    host: String,
    jobs: BTreeSet<String>,
    now: Figures,
    before: Figures,
    /// Failed attempts now and before; `None` where this credential does not see them.
    failures: Option<(u64, u64)>,
    /// Sizes over both stretches of time, bytes.
    trend: Vec<u64>,
    /// What it made the repository grow by in a day, now and before, bytes.
    daily: (u64, u64),
}

/// One repository.
struct Section {
    name: String,
    place: String,
    /// Visible snapshots at all.
    snapshots: u64,
    damaged: u64,
    /// Its size, bytes.
    bytes: u64,
    /// The size to stay below, bytes.
    max_size: Option<u64>,
    /// What its disk has left, bytes.
    free: Option<u64>,
    rows: Vec<Row>,
}

/// Shows the figures.
pub fn run(invocation: &Invocation, arguments: &StatsArguments) -> CommandResult<Report> {
    let to = invocation.now();
    let from = arguments.last.before(to, &invocation.zone);
    let periods = Periods {
        before: arguments.last.before(from, &invocation.zone),
        from,
        to,
    };
    let look = |name: &str, own: &Invocation| section(own, name, arguments, periods);
    let (sections, mut exit) = invocation.look_at_each("in the figures", look)?;
    invocation.ui.clear();
    let mut repositories = Vec::new();
    for section in &sections {
        screen::show(invocation, section, arguments.last);
        for row in &section.rows {
            invocation
                .output
                .object("stats", screen::describe(section, row));
        }
        repositories.push(screen::describe_repository(section));
        if section.damaged > 0 {
            exit = Exit::Damage;
        }
    }
    Ok(Report::with(json!({
        "last": arguments.last.to_string(),
        "from": periods.from.to_rfc3339(),
        "until": periods.to.to_rfc3339(),
        "before_from": periods.before.to_rfc3339(),
        "repositories": repositories,
    }))
    .exit(exit))
}

fn section(
    invocation: &Invocation,
    name: &str,
    arguments: &StatsArguments,
    periods: Periods,
) -> CommandResult<Section> {
    let open = invocation.open_repository()?;
    let set = invocation.list_snapshots(&open.repository)?;
    let samples = set.samples(&arguments.selection.filters(), invocation);
    let history = invocation.history(&open.repository, periods.before, periods.to)?;
    let space = Space::look(&open)?;
    let configured = invocation.configured()?;
    let sources = Sample::by_source(&samples);
    let rows = sources
        .iter()
        .map(|of_source| row(of_source, periods, &history));
    Ok(Section {
        name: name.to_owned(),
        place: open.place.to_string(),
        snapshots: set.visible().count() as u64,
        damaged: set.damaged as u64,
        bytes: space.bytes,
        max_size: configured.and_then(|(_, _, repository)| repository.max_size),
        free: space.disk.map(|(free, _)| free),
        rows: rows.collect(),
    })
}

/// What one source came to: `samples` are all of it, oldest first.
fn row(samples: &[&Sample], periods: Periods, history: &History) -> Row {
    let (source, host) = samples
        .first()
        .map(|first| (first.source.clone(), first.host.clone()))
        .unwrap_or_default();
    let Periods { before, from, to } = periods;
    let first = samples.first().map_or(to, |sample| sample.taken);
    let now = Figures::of(samples, from, to);
    let earlier = Figures::of(samples, before, from);
    let daily = |stored: u64, since: Timestamp, until: Timestamp| {
        let seconds = until.since(since.max(first)).as_secs().max(DAY_SECONDS);
        let a_day = u128::from(stored) * u128::from(DAY_SECONDS) / u128::from(seconds);
        u64::try_from(a_day).unwrap_or(u64::MAX)
    };
    let failed = |since: Timestamp, until: Timestamp| {
        let own = history.events.iter().filter(|happened| {
            let event = &happened.event;
            event.source.as_ref() == Some(&source)
                && happened.host == host
                && (since..until).contains(&event.time)
        });
        let failed = own.filter(|one| one.ends(Activity::Create) && one.status() == Status::Error);
        failed.count() as u64
    };
    let is_known = history.sealed == 0;
    Row {
        jobs: samples
            .iter()
            .filter_map(|sample| sample.job.clone())
            .collect(),
        failures: is_known.then(|| (failed(from, to), failed(before, from))),
        trend: sizes(samples, before, to, POINTS),
        daily: (
            daily(now.bytes_stored, from, to),
            daily(earlier.bytes_stored, before, from),
        ),
        now,
        before: earlier,
        source,
        host,
    }
}
