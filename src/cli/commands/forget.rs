//! `forget`: withdraw snapshots by name or by policy, or bring them back.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::prune;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::listing::SnapshotSet;
use crate::cli::output::Report;
use crate::cli::reporting::{Act, Duty};
use crate::cli::text;
use crate::event::{Activity, Ending};
use crate::forget::{Decided, ForgetPlan, PolicyRequest, undo};
use crate::id::SnapshotId;
use crate::monitor::Monitor;
use crate::repository::Need;
use crate::retention::{Decision, GroupBy, Policy, Verdict};
use crate::selector::{Filters, Selector, TagPattern, Visibility};
use crate::units::Span;
use clap::Args;
use serde_json::json;

/// Options of `forget`.
#[derive(Debug, Args)]
pub struct ForgetArguments {
    /// These snapshots, by name; without any, the rules decide
    #[arg(value_name = "SNAP", conflicts_with = "undo")]
    snapshots: Vec<Selector>,

    /// Bring a forgotten snapshot back, until the next prune
    #[arg(long, value_name = "SNAP")]
    undo: Vec<Selector>,

    /// What is kept.
    #[command(flatten)]
    rules: RuleArguments,

    /// What competes for a place: some of writer,host,source,tags,job, or none
    #[arg(long, value_name = "FIELDS", default_value = "writer,host,source")]
    group_by: GroupBy,

    /// Delete what is not needed any more at once
    #[arg(long)]
    prune: bool,

    /// Even if more than half of a group goes
    #[arg(long)]
    force: bool,

    /// Only say what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Which snapshots the rules look at.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Options of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArguments {
    /// Forget everything older
    #[arg(long, value_name = "AGE")]
    older_than: Span,

    /// Delete what is not needed any more at once
    #[arg(long)]
    prune: bool,

    /// Even if more than half of a source's snapshots go
    #[arg(long)]
    force: bool,

    /// Only say what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What is kept. A snapshot stays when one rule wants it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rules")]
struct RuleArguments {
    /// The newest N
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// The newest of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    keep_hourly: Option<u32>,
    /// Of each of the last N days
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Of each of the last N weeks
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Of each of the last N months
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// Of each of the last N years
    #[arg(long, value_name = "N")]
    keep_yearly: Option<u32>,
    /// Everything within this time before the newest, such as 30d
    #[arg(long, value_name = "SPAN")]
    keep_within: Option<Span>,
    /// Everything with this tag
    #[arg(long, value_name = "KEY[=VALUE]")]
    keep_tag: Vec<TagPattern>,
    /// Nothing younger is ever forgotten
    #[arg(long, value_name = "SPAN")]
    min: Option<Span>,
    /// Nothing older is kept, but for a hold
    #[arg(long, value_name = "SPAN")]
    max: Option<Span>,
}

impl RuleArguments {
    fn policy(&self) -> Policy {
        Policy {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within,
            keep_tags: self.keep_tag.clone(),
            min: self.min,
            max: self.max,
            ..Policy::default()
        }
    }

    fn is_empty(&self) -> bool {
        self.policy() == Policy::default()
    }
}

/// How a plan is carried out.
struct Mode {
    prune: bool,
    /// Whether a job wants it, which sees to the space itself.
    by_job: bool,
    force: bool,
    dry_run: bool,
}

/// Forgets, or brings back.
pub fn run(invocation: &Invocation, arguments: &ForgetArguments) -> CommandResult<Report> {
    let by_name = !arguments.snapshots.is_empty();
    let chosen = usize::from(by_name) + usize::from(!arguments.undo.is_empty());
    match (chosen, arguments.rules.is_empty()) {
        (0, true) => {
            return Err(CommandError::usage("forget needs snapshots or rules")
                .hint("icecore forget SNAP")
                .hint("icecore forget --keep-daily 14 --keep-monthly 12 --dry-run"));
        }
        (1, false) => {
            return Err(CommandError::usage("give snapshots or rules, not both"));
        }
        _ => {}
    }
    let open = invocation.open_repository_to(Need::Maintain, "forget")?;
    if !arguments.undo.is_empty() {
        let named = (&arguments.undo[..], &arguments.selection);
        return bring_back(invocation, &open, named, arguments.dry_run);
    }
    let mode = Mode {
        prune: arguments.prune,
        by_job: false,
        force: arguments.force,
        dry_run: arguments.dry_run,
    };
    let set = invocation.list_snapshots(&open.repository)?;
    if by_name {
        let named = (&arguments.snapshots[..], &arguments.selection);
        let ids = resolve(invocation, &set, named, Visibility::Visible)?;
        let plan = ForgetPlan::by_name(&open.repository, &ids, arguments.group_by)?;
        return carry_out(invocation, &open, &set, plan, &mode);
    }
    let policy = arguments.rules.policy();
    by_policy(invocation, &open, &set, &policy, arguments, &mode)
}

fn by_policy(
    invocation: &Invocation,
    open: &OpenRepository,
    set: &SnapshotSet,
    policy: &Policy,
    arguments: &ForgetArguments,
    mode: &Mode,
) -> CommandResult<Report> {
    let filters = arguments.selection.filters();
    let plan = planned(
        invocation,
        open,
        set,
        policy,
        (arguments.group_by, &filters),
    )?;
    carry_out(invocation, open, set, plan, mode)
}

/// What a policy forgets.
fn planned<'o>(
    invocation: &Invocation,
    open: &'o OpenRepository,
    set: &SnapshotSet,
    policy: &Policy,
    (group_by, filters): (GroupBy, &Filters),
) -> CommandResult<ForgetPlan<'o>> {
    let proven = set.proven();
    let request = PolicyRequest {
        policy,
        group_by,
        filters,
        proven: &proven,
        zone: &invocation.zone,
    };
    Ok(ForgetPlan::by_policy(&open.repository, &request)?)
}

/// Forgets by the rules of a job, and frees the space if `prune`. Returns how many snapshots went.
pub fn retain(
    invocation: &Invocation,
    open: &OpenRepository,
    (policy, filters): (&Policy, &Filters),
    prune: bool,
    dry_run: bool,
) -> CommandResult<u64> {
    let set = invocation.list_snapshots(&open.repository)?;
    let plan = planned(
        invocation,
        open,
        &set,
        policy,
        (GroupBy::default(), filters),
    )?;
    let number = plan.forgotten().len() as u64;
    if number == 0 {
        return Ok(0);
    }
    let mode = Mode {
        prune: prune && dry_run,
        by_job: true,
        force: false,
        dry_run,
    };
    carry_out(invocation, open, &set, plan, &mode)?;
    if prune && !dry_run {
        let pruned = prune::execute(invocation, open, &prune::PruneArguments::of_job());
        match pruned {
            // Others are at work. It is not lost: the next run that forgets something frees this too.
            Err(error) if error.kind == ErrorKind::Refused => {
                let said = format!("its space is freed another time: {}", error.message());
                invocation.ui.warn(&said);
                // What a prune would have done first.
                prune::extend_locks(invocation, open)?;
            }
            other => drop(other?),
        }
    }
    Ok(number)
}

/// Forgets everything older than an age.
pub fn cleanup(invocation: &Invocation, arguments: &CleanupArguments) -> CommandResult<Report> {
    let open = invocation.open_repository_to(Need::Maintain, "cleanup")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let policy = Policy {
        max: Some(arguments.older_than),
        ..Policy::default()
    };
    let everything = (GroupBy::default(), &Filters::default());
    let plan = planned(invocation, &open, &set, &policy, everything)?;
    let mode = Mode {
        prune: arguments.prune,
        by_job: false,
        force: arguments.force,
        dry_run: arguments.dry_run,
    };
    carry_out(invocation, &open, &set, plan, &mode)
}

/// Snapshots by their names, among those that the options select.
fn resolve(
    invocation: &Invocation,
    set: &SnapshotSet,
    (selectors, among): (&[Selector], &SelectionArguments),
    visibility: Visibility,
) -> CommandResult<Vec<SnapshotId>> {
    let ids = selectors.iter().map(|selector| {
        let found = invocation.resolve_among(set, selector, among, visibility, "forget")?;
        Ok(found.id)
    });
    ids.collect()
}

fn bring_back(
    invocation: &Invocation,
    open: &OpenRepository,
    named: (&[Selector], &SelectionArguments),
    dry_run: bool,
) -> CommandResult<Report> {
    let set = invocation.list_snapshots(&open.repository)?;
    let ids = resolve(invocation, &set, named, Visibility::All)?;
    if !dry_run {
        let act = begin(invocation, open)?;
        let undone = undo(&open.repository, &ids).map_err(CommandError::from);
        act.conclude(&open.repository, undone, |_| {
            Ending::success(format!("brought back {}", listed(&ids)))
        })?;
    }
    let names: Vec<String> = ids.iter().map(SnapshotId::short).collect();
    let verb = match dry_run {
        true => "would bring back",
        false => "brought back",
    };
    invocation
        .output
        .say(&format!("{verb} {}", names.join(", ")));
    Ok(Report::with(json!({
        "dry_run": dry_run,
        "brought_back": ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })))
}

fn begin<'i>(invocation: &'i Invocation, open: &OpenRepository) -> CommandResult<Act<'i>> {
    invocation.begin(
        &open.repository,
        Activity::Forget,
        open.subject(),
        Duty::Refuse,
    )
}

/// The snapshots by their short ids, as many as a line of the audit log takes.
fn listed(ids: &[SnapshotId]) -> String {
    let names: Vec<String> = ids.iter().map(SnapshotId::short).collect();
    let number = text::counted(names.len() as u64, "snapshot");
    match names.is_empty() {
        true => number,
        false => format!("{number}: {}", names.join(" ")),
    }
}

fn carry_out(
    invocation: &Invocation,
    open: &OpenRepository,
    set: &SnapshotSet,
    plan: ForgetPlan<'_>,
    mode: &Mode,
) -> CommandResult<Report> {
    show(invocation, set, &plan, mode.dry_run);
    let ids: Vec<String> = plan.forgotten().iter().map(ToString::to_string).collect();
    let number = text::counted(ids.len() as u64, "snapshot");
    let kept = set.summaries().iter().filter(|summary| !summary.hidden);
    let kept = (kept.count() as u64).saturating_sub(ids.len() as u64);
    let mut fields = json!({ "dry_run": mode.dry_run, "forgotten": ids, "kept": kept });
    if mode.dry_run {
        let refused = match mode.force {
            true => None,
            false => plan.check_force().err(),
        };
        if let Some(error) = refused {
            invocation.ui.warn(&error.to_string());
        }
        invocation
            .output
            .line(&format!("would forget {number}, keep {kept}"));
        if mode.prune {
            invocation
                .output
                .say("then a prune would free what no other snapshot needs");
        }
        return Ok(Report::with(fields));
    }
    let act = begin(invocation, open)?;
    let forgotten = listed(plan.forgotten());
    let executed = plan.execute(mode.force).map_err(CommandError::from);
    act.conclude(&open.repository, executed, |_| {
        Ending::success(format!("forgot {forgotten}"))
    })?;
    invocation
        .output
        .say(&format!("forgot {number}, kept {kept}"));
    if mode.prune {
        let pruned = prune::execute(invocation, open, &prune::PruneArguments::default())?;
        fields["pruned"] = json!(pruned.summary);
    } else if !ids.is_empty() && !mode.by_job {
        invocation.output.say(
            "They can be brought back (icecore forget --undo SNAP) until icecore prune frees \
             their space",
        );
    }
    Ok(Report::with(fields))
}

/// Says what goes and why; with `-v` or a dry run also what stays.
fn show(invocation: &Invocation, set: &SnapshotSet, plan: &ForgetPlan<'_>, dry_run: bool) {
    match plan.decided() {
        Decided::ByName(_) => {}
        Decided::ByPolicy(groups) => {
            let everything = dry_run || invocation.global.verbose > 0;
            for group in groups {
                invocation.output.say(&text::line(&group.key.to_string()));
                for decision in &group.decisions {
                    if everything || !decision.is_kept() {
                        invocation.output.say(&line(invocation, decision));
                    }
                }
                if let Some(lost) = group.lost_proof() {
                    invocation.output.remark(&format!(
                        "{} was the newest proven snapshot of its group: prove another one",
                        lost.short()
                    ));
                }
            }
        }
    }
    for id in plan.forgotten() {
        let of = set.summaries().iter().find(|summary| summary.id == *id);
        let source = of.map(|summary| summary.source.clone());
        let fields = json!({ "snapshot_id": id.to_string(), "source": source });
        invocation.output.object("forgotten", fields);
    }
}

fn line(invocation: &Invocation, decision: &Decision) -> String {
    let (verb, reasons) = match &decision.verdict {
        Verdict::Keep(reasons) => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            ("keep  ", reasons.join(", "))
        }
        Verdict::Forget(reason) => ("forget", reason.to_string()),
    };
    format!(
        "  {verb}  {}  {:<20}  {}",
        decision.id.short(),
        invocation.moment(decision.taken),
        text::line(&reasons)
    )
}
