//! `prune`: free the space of what no snapshot needs.

use crate::cli::error::CommandResult;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::output::Report;
use crate::cli::text;
use crate::env::SystemSleeper;
use crate::prune::{Context, PruneOptions, PrunePlan};
use crate::units::{Percent, bytes, parse_duration, parse_percent, parse_size, seconds};
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// Options of `prune`.
#[derive(Debug, Default, Args)]
pub struct PruneArguments {
    /// How much waste may stay inside packs before they are written anew [default: 5%]
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    max_unused: Option<Percent>,

    /// Write at most this much anew, such as 10G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_repack: Option<u64>,

    /// Wait this long before deleting, for restores that are running [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    grace: Option<Duration>,

    /// Close a backup that has given no sign of life for this long [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    dead_after: Option<Duration>,

    /// Only say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl PruneArguments {
    fn options(&self) -> PruneOptions {
        let default = PruneOptions::default();
        let unused = self
            .max_unused
            .map(|percent| f64::from(percent.millionths()) / 1e6);
        PruneOptions {
            max_unused: unused.unwrap_or(default.max_unused),
            max_repack: self.max_repack.unwrap_or(default.max_repack),
            grace: self.grace.unwrap_or(default.grace),
            dead_after: self.dead_after.unwrap_or(default.dead_after),
            fence: Vec::new(),
        }
    }
}

/// Prunes.
pub fn run(invocation: &Invocation, arguments: &PruneArguments) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    execute(invocation, &open, arguments)
}

/// Prunes a repository that is open.
pub fn execute(
    invocation: &Invocation,
    open: &OpenRepository,
    arguments: &PruneArguments,
) -> CommandResult<Report> {
    let started = Instant::now();
    let context = Context {
        monitor: &*invocation.ui,
        cancel: &invocation.cancel,
        sleeper: &SystemSleeper,
    };
    let plan = PrunePlan::new(&open.repository, arguments.options(), context)?;
    let cost = plan.cost();
    invocation.ui.clear();
    if arguments.dry_run || invocation.global.verbose > 0 {
        invocation.output.line(&format!(
            "plan  delete {} and {} ({}), write {} anew from {}, leave {} of waste",
            text::counted(cost.snapshots, "forgotten snapshot"),
            text::counted(cost.packs_dead, "pack"),
            bytes(cost.bytes_freed),
            bytes(cost.bytes_written),
            text::counted(cost.packs_moved, "pack"),
            bytes(cost.bytes_unused_left),
        ));
    }
    if arguments.dry_run {
        invocation.output.say("nothing was deleted");
        return Ok(Report::with(json!({
            "dry_run": true,
            "snapshots": cost.snapshots,
            "packs": cost.packs_dead + cost.packs_moved,
            "bytes_freed": cost.bytes_freed,
            "bytes_written": cost.bytes_written,
            "bytes_unused_left": cost.bytes_unused_left,
        })));
    }
    let pruned = plan.execute(context)?;
    invocation.ui.clear();
    let duration = started.elapsed();
    let written = match pruned.bytes_written {
        0 => String::new(),
        written => format!(", wrote {} anew", bytes(written)),
    };
    invocation.output.say(&format!(
        "pruned {} and {} in {}: freed {}{written}",
        text::counted(pruned.snapshots, "forgotten snapshot"),
        text::counted(pruned.packs, "pack"),
        seconds(duration),
        bytes(pruned.bytes_freed),
    ));
    Ok(Report::with(json!({
        "snapshots": pruned.snapshots,
        "packs": pruned.packs,
        "segments": pruned.segments,
        "bytes_freed": pruned.bytes_freed,
        "bytes_written": pruned.bytes_written,
        "duration_seconds": duration.as_secs_f64(),
    })))
}
