//! `hold`: snapshots that nothing may delete.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::output::Report;
use crate::cli::reporting::{Act, Duty};
use crate::cli::text;
use crate::env::Timestamp;
use crate::event::{Activity, Ending};
use crate::repository::{HoldEntry, Need, Snapshot};
use crate::selector::{Selector, Visibility};
use clap::Subcommand;
use serde_json::json;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Keep a snapshot, whatever the rules say
    Add {
        /// Which
        #[arg(value_name = "SNAP")]
        snapshot: Selector,
        /// Until this day or time; without it, until it is released
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Why; sealed
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Whether anything is done.
        #[command(flatten)]
        dry_run: DryRunArgument,
    },
    /// List holds
    List,
    /// End the holds of a snapshot
    Release {
        /// Which
        #[arg(value_name = "SNAP")]
        snapshot: Selector,
        /// Why; sealed
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Whether anything is done.
        #[command(flatten)]
        dry_run: DryRunArgument,
    },
}

/// Runs a subcommand.
pub fn run(invocation: &Invocation, command: &HoldCommand) -> CommandResult<Report> {
    match command {
        HoldCommand::Add {
            snapshot,
            until,
            reason,
            dry_run,
        } => add(
            invocation,
            snapshot,
            until.as_deref(),
            reason,
            dry_run.dry_run,
        ),
        HoldCommand::List => list(invocation),
        HoldCommand::Release {
            snapshot,
            reason,
            dry_run,
        } => release(invocation, snapshot, reason, dry_run.dry_run),
    }
}

/// A time to come.
fn until(invocation: &Invocation, text: &str) -> CommandResult<Timestamp> {
    let Ok(Selector::At(asked)) = format!("@{text}").parse::<Selector>() else {
        return Err(CommandError::usage(format!("{text:?} is not a time"))
            .hint("write 2027-03-31 or 2027-03-31T12:00+06:00"));
    };
    let moment = asked
        .resolve(invocation.now(), &invocation.zone)
        .map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    match moment.timestamp > invocation.now() {
        true => Ok(moment.timestamp),
        false => Err(CommandError::usage(format!("{moment} is over already"))),
    }
}

fn add(
    invocation: &Invocation,
    selector: &Selector,
    end: Option<&str>,
    reason: &str,
    dry_run: bool,
) -> CommandResult<Report> {
    let end = end.map(|text| until(invocation, text)).transpose()?;
    let open = invocation.open_repository_to(Need::Maintain, "hold add")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let everything = SelectionArguments::default();
    let (all, command) = (Visibility::All, "hold add");
    let snapshot = invocation.resolve_among(&set, selector, &everything, all, command)?;
    let shown = end.map_or_else(
        || "until it is released".to_owned(),
        |end| format!("until {}", invocation.moment(end)),
    );
    if dry_run {
        open.repository.check_hold(snapshot.id)?;
        let id = snapshot.id.short();
        invocation.output.say(&format!("would hold {id} {shown}"));
        return Ok(Report::with(json!({
            "dry_run": true,
            "snapshot_id": snapshot.id.to_string(),
            "until": end.map(Timestamp::to_rfc3339),
        })));
    }
    let act = begin(invocation, &open, snapshot)?;
    let added = open.repository.add_hold(snapshot.id, end, reason);
    let id = act.conclude(&open.repository, added.map_err(CommandError::from), |_| {
        let until = end.map_or_else(
            || "until released".to_owned(),
            |end| format!("until {}", end.to_rfc3339()),
        );
        Ending::success(format!("held {until}"))
    })?;
    invocation
        .output
        .say(&format!("{} is held {shown}", snapshot.id.short()));
    Ok(Report::with(json!({
        "hold_id": id.to_string(),
        "snapshot_id": snapshot.id.to_string(),
        "until": end.map(Timestamp::to_rfc3339),
    })))
}

fn list(invocation: &Invocation) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let holds = open.repository.load_holds()?;
    let active: Vec<&HoldEntry> = holds.active(invocation.now()).collect();
    let mut rows = vec![
        ["SNAPSHOT", "SINCE", "UNTIL", "REASON"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for hold in &active {
        let reason = hold.reason.as_deref().filter(|reason| !reason.is_empty());
        rows.push(vec![
            hold.snapshot.short(),
            invocation.moment(hold.created),
            hold.until
                .map_or_else(|| "released".to_owned(), |end| invocation.moment(end)),
            text::line(reason.unwrap_or("-")),
        ]);
        invocation.output.object(
            "hold",
            json!({
                "hold_id": hold.id.to_string(),
                "snapshot_id": hold.snapshot.to_string(),
                "created": hold.created.to_rfc3339(),
                "until": hold.until.map(Timestamp::to_rfc3339),
                "reason": hold.reason,
            }),
        );
    }
    match active.is_empty() {
        true => {
            invocation.output.line("no holds");
        }
        false => {
            for line in text::table(&rows, &[]) {
                invocation.output.line(&line);
            }
        }
    }
    Ok(Report::with(
        json!({ "holds": active.len(), "damaged": holds.damaged.len() }),
    ))
}

fn begin<'i>(
    invocation: &'i Invocation,
    open: &OpenRepository,
    snapshot: &Snapshot,
) -> CommandResult<Act<'i>> {
    let subject = open.subject_of(snapshot);
    invocation.begin(&open.repository, Activity::Hold, subject, Duty::Refuse)
}

fn release(
    invocation: &Invocation,
    selector: &Selector,
    reason: &str,
    dry_run: bool,
) -> CommandResult<Report> {
    let open = invocation.open_repository_to(Need::Maintain, "hold release")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let everything = SelectionArguments::default();
    let (all, command) = (Visibility::All, "hold release");
    let snapshot = invocation.resolve_among(&set, selector, &everything, all, command)?;
    let holds = open.repository.load_holds()?;
    let of_snapshot = holds
        .active(invocation.now())
        .filter(|hold| hold.snapshot == snapshot.id);
    let ids: Vec<_> = of_snapshot.map(|hold| hold.id).collect();
    if ids.is_empty() {
        let id = snapshot.id.short();
        return Err(
            CommandError::usage(format!("no hold names snapshot {id}")).hint("icecore hold list")
        );
    }
    let verb = match dry_run {
        true => {
            open.repository.check_release()?;
            "would release"
        }
        false => {
            let act = begin(invocation, &open, snapshot)?;
            let mut released = ids
                .iter()
                .map(|id| open.repository.release_hold(*id, reason));
            let released = released.try_for_each(|released| released.map(drop));
            let released = released.map_err(CommandError::from);
            act.conclude(&open.repository, released, |()| Ending::success("released"))?;
            "released"
        }
    };
    let number = text::counted(ids.len() as u64, "hold");
    invocation
        .output
        .say(&format!("{verb} {number} of {}", snapshot.id.short()));
    Ok(Report::with(json!({
        "dry_run": dry_run,
        "snapshot_id": snapshot.id.to_string(),
        "released": ids.len(),
    })))
}
