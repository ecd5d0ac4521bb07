//! `prune`: free the space of what no snapshot needs.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::output::Report;
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::env::SystemSleeper;
use crate::event::{Activity, Ending, Subject};
use crate::id::SessionId;
use crate::prune::{Context, PruneCost, PruneOptions, PrunePlan};
use crate::repository::{Need, Repository};
use crate::spill::Scratch;
use crate::units::{Percent, bytes, parse_duration, parse_percent, parse_size, seconds};
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// Fewest digits that name a session.
const DIGITS_MIN: usize = 8;

/// How long running backups are waited for where space is short.
const WAIT_FOR_SPACE: Duration = Duration::from_secs(300);

/// Options of `prune`.
#[derive(Debug, Default, Args)]
pub struct PruneArguments {
    /// How much waste may stay inside packs before they are written anew [default: 5%]
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    max_unused: Option<Percent>,

    /// Write at most this much anew, such as 10G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_repack: Option<u64>,

    /// Leave what is deleted this long for restores and checks that are running [default: 0s]
    ///
    /// No data depends on it: without a grace, one that reads a snapshot which was forgotten
    /// before says that it was withdrawn meanwhile, and ends. All others are not touched.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    grace: Option<Duration>,

    /// Wait at most this long for backups that are running [default: 24h]
    ///
    /// When it is over nothing is deleted (exit code 11). Backups never wait for a prune, and one
    /// that begins later is not waited for.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,

    /// Close a backup that has given no sign of life for this long [default: 24h]
    ///
    /// If it lives after all, it sees that and begins again.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    dead_after: Option<Duration>,

    /// Close this session now, such as that of a machine that is gone
    ///
    /// What it has saved counts; if it lives after all, it sees that and begins again. Eight
    /// digits, as shown where a prune waits, are enough.
    #[arg(long, value_name = "ID")]
    fence_writer: Vec<String>,

    /// Only say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl PruneArguments {
    fn options(&self, repository: &Repository, scratch: Scratch) -> CommandResult<PruneOptions> {
        let default = PruneOptions::default();
        let unused = self
            .max_unused
            .map(|percent| f64::from(percent.millionths()) / 1e6);
        Ok(PruneOptions {
            max_unused: unused.unwrap_or(default.max_unused),
            max_repack: self.max_repack.unwrap_or(default.max_repack),
            grace: self.grace.unwrap_or(default.grace),
            wait: self.wait.unwrap_or(default.wait),
            dead_after: self.dead_after.unwrap_or(default.dead_after),
            fence: open_sessions(repository, &self.fence_writer)?,
            scratch,
            ..default
        })
    }
}

/// The open sessions that the beginnings of their names mean.
fn open_sessions(repository: &Repository, named: &[String]) -> CommandResult<Vec<SessionId>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = repository.list_sessions()?;
    let flags = repository.load_flags()?;
    let open: Vec<SessionId> = sessions
        .iter()
        .filter(|session| session.is_open() && !flags.is_closed(session.id))
        .map(|session| session.id)
        .collect();
    let find = |name: &String| {
        let mut found = open.iter().filter(|id| id.to_string().starts_with(name));
        match (found.next(), found.next()) {
            (Some(id), None) if name.len() >= DIGITS_MIN => Ok(*id),
            _ => Err(no_session(name, &open)),
        }
    };
    named.iter().map(find).collect()
}

fn no_session(name: &str, open: &[SessionId]) -> CommandError {
    let names: Vec<String> = open.iter().map(SessionId::short).collect();
    let error = CommandError::usage(format!("{name:?} does not name one open session"));
    match names.is_empty() {
        true => error.hint("no session is open: leave --fence-writer out"),
        false => error.hint(format!("open are {}", names.join(", "))),
    }
}

impl PruneArguments {
    /// As where space is short: leaves no waste, and does not wait long.
    pub fn for_space() -> Self {
        Self {
            max_unused: parse_percent("0%").ok(),
            wait: Some(WAIT_FOR_SPACE),
            ..Self::default()
        }
    }
}

/// Prunes.
pub fn run(invocation: &Invocation, arguments: &PruneArguments) -> CommandResult<Report> {
    let open = invocation.open_repository_to(Need::Maintain, "prune")?;
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
    let scratch = invocation.scratch(&open.repository);
    let options = arguments.options(&open.repository, scratch)?;
    let plan = PrunePlan::new(&open.repository, options, context)?;
    let cost = plan.cost();
    invocation.ui.clear();
    let is_nothing = cost.snapshots + cost.packs_dead + cost.packs_moved == 0;
    match arguments.dry_run {
        true => {
            invocation.output.line(&plan_line(&cost));
        }
        false if is_nothing => {}
        false => invocation.output.say(&plan_line(&cost)),
    }
    if arguments.dry_run {
        invocation.output.say("nothing was deleted");
        return Ok(Report::with(json!({
            "dry_run": true,
            "snapshots": cost.snapshots,
            "packs": cost.packs_dead + cost.packs_moved,
            "packs_merged": cost.packs_merged,
            "segments_merged": cost.segments_merged,
            "bytes_freed": cost.bytes_freed,
            "bytes_written": cost.bytes_written,
            "bytes_unused_left": cost.bytes_unused_left,
        })));
    }
    let subject = Subject {
        location: Some(open.place.to_string()),
        ..Subject::default()
    };
    let repository = &open.repository;
    let act = invocation.begin(repository, Activity::Prune, subject, Duty::Refuse)?;
    let pruned = plan.execute(context).map_err(CommandError::from);
    let pruned = act.conclude(repository, pruned, |pruned| {
        let snapshots = text::counted(pruned.snapshots, "forgotten snapshot");
        let packs = text::counted(pruned.packs, "pack");
        Ending::success(format!("deleted {snapshots} and {packs}")).bytes(pruned.bytes_freed)
    })?;
    invocation.ui.clear();
    let duration = started.elapsed();
    let written = match pruned.bytes_written {
        0 => String::new(),
        written => format!(", wrote {} anew", bytes(written)),
    };
    let waited = match pruned.waited.is_zero() {
        true => String::new(),
        false => format!(", {} of it for running backups", seconds(pruned.waited)),
    };
    invocation.output.say(&format!(
        "pruned {} and {} in {}{waited}: freed {}{written}",
        text::counted(pruned.snapshots, "forgotten snapshot"),
        text::counted(pruned.packs, "pack"),
        seconds(duration),
        bytes(pruned.bytes_freed),
    ));
    if pruned.leftovers > 0 {
        let leftovers = text::counted(pruned.leftovers, "leftover");
        let of = "of writers that were killed more than a day ago";
        invocation.output.say(&format!("removed {leftovers} {of}"));
    }
    Ok(Report::with(json!({
        "snapshots": pruned.snapshots,
        "packs": pruned.packs,
        "segments": pruned.segments,
        "bytes_freed": pruned.bytes_freed,
        "bytes_written": pruned.bytes_written,
        "leftovers_removed": pruned.leftovers,
        "waited_seconds": pruned.waited.as_secs_f64(),
        "duration_seconds": duration.as_secs_f64(),
    })))
}

/// What a prune is about to do, and what that costs.
fn plan_line(cost: &PruneCost) -> String {
    format!(
        "plan  delete {} and {} ({}), write {} anew from {} ({} of them small), leave {} of waste",
        text::counted(cost.snapshots, "forgotten snapshot"),
        text::counted(cost.packs_dead, "pack"),
        bytes(cost.bytes_freed),
        bytes(cost.bytes_written),
        text::counted(cost.packs_moved, "pack"),
        cost.packs_merged,
        bytes(cost.bytes_unused_left),
    )
}
