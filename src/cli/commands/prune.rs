//! `prune`: free the space of what no snapshot needs.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::locks;
use crate::cli::output::Report;
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::cli::tier::{self, TierRule, tier_rule};
use crate::env::{SystemSleeper, Timestamp};
use crate::event::{Activity, Ending};
use crate::id::{PackId, SessionId};
use crate::prune::{Context, PruneCost, PruneOptions, PrunePlan, Pruned};
use crate::repository::Need;
use crate::spill::Scratch;
use crate::store::{Bucket, Custody};
use crate::units::{Percent, bytes, parse_duration, parse_percent, parse_size, seconds};
use clap::Args;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewest digits that name a session.
const DIGITS_MIN: usize = 8;

/// How long a job waits for running backups before it prunes.
const WAIT_OF_JOB: Duration = Duration::from_secs(300);

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

    /// In a bucket that keeps earlier versions, leave those of what is deleted to its own rules
    ///
    /// Otherwise they are deleted too, where the credentials may: only that frees the space.
    #[arg(long)]
    keep_versions: bool,

    /// Move packs that no snapshot of so many days needs to this storage class of the bucket, such as
    /// STANDARD_IA=90d; may be given several times
    ///
    /// What the newest snapshot of each source needs stays where it is, and so does metadata, which
    /// every command reads. What lies in GLACIER or DEEP_ARCHIVE must be asked for before it can be
    /// read (restore --thaw), which takes hours and costs.
    #[arg(long, value_name = "CLASS=AGE", value_parser = tier_rule)]
    tier: Vec<TierRule>,

    /// Only say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl PruneArguments {
    fn options(&self, open: &OpenRepository, scratch: Scratch) -> CommandResult<PruneOptions> {
        let repository = &open.repository;
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
            unreadable: match &open.bucket {
                Some(bucket) => frozen(bucket)?,
                None => default.unreadable,
            },
            custody: open
                .bucket
                .clone()
                .map(|bucket| Arc::new(bucket) as Arc<dyn Custody>),
            scratch,
            ..default
        })
    }
}

/// The open sessions that the beginnings of their names mean.
fn open_sessions(
    repository: &crate::repository::Repository,
    named: &[String],
) -> CommandResult<Vec<SessionId>> {
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
    /// As a job prunes: what is due next must not wait long for what runs now.
    pub fn of_job() -> Self {
        Self {
            wait: Some(WAIT_OF_JOB),
            ..Self::default()
        }
    }

    /// The same where space is short: leaves no waste.
    pub fn for_space() -> Self {
        Self {
            max_unused: parse_percent("0%").ok(),
            ..Self::of_job()
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
    let options = arguments.options(open, scratch)?;
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
    if cost.packs_locked > 0 {
        invocation.output.say(&format!(
            "{} ({}) that nothing needs are locked and stay until that ends",
            text::counted(cost.packs_locked, "pack"),
            bytes(cost.bytes_locked),
        ));
    }
    if arguments.dry_run {
        let tiered = tier::apply(invocation, open, &plan, &arguments.tier, context, true)?;
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
            "packs_locked": cost.packs_locked,
            "bytes_locked": cost.bytes_locked,
            "packs_tiered": tiered.packs,
            "bytes_tiered": tiered.bytes,
        })));
    }
    if let Some(bucket) = open.bucket.as_ref().filter(|_| !arguments.keep_versions) {
        bucket.store().delete_for_good();
    }
    let pruned = carry_out(invocation, open, &plan, context)?;
    let tiered = tier::apply(invocation, open, &plan, &arguments.tier, context, false);
    // Locks must not lapse because a class could not be changed.
    let locked = plan.extend_locks(context)?;
    let tiered = tiered?;
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
    let kept = versions_kept(invocation, open);
    if let Some(locked) = &locked {
        locks::tell_extended(invocation, locked);
    }
    let mut report = Report::with(json!({
        "snapshots": pruned.snapshots,
        "packs": pruned.packs,
        "segments": pruned.segments,
        "bytes_freed": pruned.bytes_freed,
        "bytes_written": pruned.bytes_written,
        "leftovers_removed": pruned.leftovers,
        "versions_kept": kept.0,
        "versions_kept_bytes": kept.1,
        "packs_locked": cost.packs_locked,
        "bytes_locked": cost.bytes_locked,
        "packs_tiered": tiered.packs,
        "bytes_tiered": tiered.bytes,
        "waited_seconds": pruned.waited.as_secs_f64(),
        "duration_seconds": duration.as_secs_f64(),
    }));
    if let Some(locked) = locked {
        let described = json!({
            "objects": locked.objects,
            "extended": locked.extended,
            "refused": locked.refused,
            "locked_until": locked.soonest.map(Timestamp::to_rfc3339),
        });
        report.summary.extend([("locks".to_owned(), described)]);
        if locked.refused > 0 {
            return Ok(report.exit(Exit::Attention));
        }
    }
    Ok(report)
}

/// Does what was planned, and reports it: nothing is deleted that the audit log does not tell.
pub fn carry_out(
    invocation: &Invocation,
    open: &OpenRepository,
    plan: &PrunePlan<'_>,
    context: Context<'_>,
) -> CommandResult<Pruned> {
    let repository = &open.repository;
    let act = invocation.begin(repository, Activity::Prune, open.subject(), Duty::Refuse)?;
    let pruned = plan.execute(context).map_err(CommandError::from);
    act.conclude(repository, pruned, |pruned| {
        let snapshots = text::counted(pruned.snapshots, "forgotten snapshot");
        let packs = text::counted(pruned.packs, "pack");
        Ending::success(format!("deleted {snapshots} and {packs}")).bytes(pruned.bytes_freed)
    })
}

/// Packs that lie in a class from which nothing can be read at once.
fn frozen(bucket: &Bucket) -> CommandResult<HashSet<PackId>> {
    let classes = tier::classes(bucket)?.into_iter();
    let frozen = classes.filter(|(_, classed)| classed.is_frozen());
    Ok(frozen.map(|(id, _)| id).collect())
}

/// Extends the locks of what snapshots need, where objects are locked and nothing was pruned.
pub fn extend_locks(invocation: &Invocation, open: &OpenRepository) -> CommandResult<()> {
    let locks = open.bucket.as_ref().and_then(|bucket| bucket.lock());
    if locks.is_none() {
        return Ok(());
    }
    let context = Context {
        monitor: &*invocation.ui,
        cancel: &invocation.cancel,
        sleeper: &SystemSleeper,
    };
    let scratch = invocation.scratch(&open.repository);
    let options = PruneArguments::default().options(open, scratch)?;
    let plan = PrunePlan::new(&open.repository, options, context)?;
    let locked = plan.extend_locks(context)?;
    invocation.ui.clear();
    if let Some(locked) = locked {
        locks::tell_extended(invocation, &locked);
    }
    Ok(())
}

/// Objects that the bucket keeps as earlier versions although they are deleted, and their bytes.
fn versions_kept(invocation: &Invocation, open: &OpenRepository) -> (u64, u64) {
    let refused = open
        .bucket
        .as_ref()
        .map(|bucket| bucket.store().removal().refused());
    let (objects, held) = refused.unwrap_or_default();
    if objects > 0 {
        invocation.output.remark(&format!(
            "The bucket keeps {} ({}) as earlier versions: a lock holds them, or these credentials \
             may not delete versions (s3:ListBucketVersions, s3:DeleteObjectVersion). That space comes \
             back when a rule of the bucket ends them, or by a prune that may",
            text::counted(objects, "deleted object"),
            bytes(held),
        ));
    }
    (objects, held)
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
