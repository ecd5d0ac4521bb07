//! `snapshot`: capture sources into the repository, one snapshot each, one set for all.

pub mod capture;
pub mod dry_run;
mod keep_configuration;
pub mod plan;
mod screen;
pub mod verify;

use crate::archiver::Parent;
use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::output::{Report, error_object};
use crate::env::Timestamp;
use crate::repository::Need;
use crate::selector::{SKEW_SECONDS, Selector, TagPattern};
use capture::{Captured, Common, capture, host_name, warn_same_disk};
use clap::Args;
use plan::plans;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Options of `snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArguments {
    /// Paths (all of them are one snapshot), sqlite:PATH, env:NAME,…, or - for standard input
    #[arg(value_name = "SOURCE", required_unless_present = "exec")]
    sources: Vec<OsString>,

    /// Run the command after -- and save what it writes, as a file of this name
    #[arg(long, value_name = "NAME", requires = "command")]
    exec: Option<String>,

    /// The command of --exec; it is run without a shell, and its failure fails the snapshot
    #[arg(last = true, value_name = "COMMAND", requires = "exec")]
    command: Vec<OsString>,

    /// Remember this with the snapshot, for selecting and keeping
    #[arg(long, value_name = "KEY[=VALUE]")]
    tag: Vec<TagPattern>,

    /// Describe the data, such as sensitivity=personal; sealed like the data
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,

    /// Host name to record [default: this host's]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// Name of the source, instead of its path; of - the file's name
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,

    /// Write into this domain
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,

    /// Which files are left out.
    #[command(flatten)]
    exclude: ExcludeArguments,

    /// Compare with this snapshot, or none [default: the newest of the same source and host]
    #[arg(long, value_name = "SNAP|none")]
    parent: Option<String>,

    /// Record this time instead of now: a back-fill, such as 2026-11-01
    #[arg(long, value_name = "TIME")]
    date: Option<String>,

    /// Save SQLite databases as VACUUM would leave them
    #[arg(long)]
    compact: bool,

    /// Read back all that the new snapshots need and nobody has read back yet, at least what was
    /// stored now; exit code 6 if it is not whole
    #[arg(long)]
    verify_after: bool,

    /// Only say what would be saved
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Which files are left out.
#[derive(Debug, Args)]
pub struct ExcludeArguments {
    /// Leave out what matches; the last rule that matches decides, ! in front takes back in
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Leave out by a file of globs; a reason may follow each after " # "
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// Leave out directories that hold a file of this name
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<OsString>,

    /// Leave out directories marked with CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Stay on the file system of each path
    #[arg(long)]
    one_file_system: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Takes snapshots.
pub fn run(invocation: &Invocation, arguments: &SnapshotArguments) -> CommandResult<Report> {
    let moment = captured(invocation, arguments.date.as_deref())?;
    let mut plans = plans(invocation, arguments)?;
    if arguments.dry_run {
        return dry_run::run(invocation, &mut plans);
    }
    let open = invocation.open_repository_to_capture("snapshot")?;
    if arguments.verify_after {
        let access = open.repository.access();
        access.check_allowed(Need::Read, "snapshot --verify-after")?;
    }
    let common = Common {
        host: arguments.host.clone().unwrap_or_else(host_name),
        tags: tags(arguments),
        labels: arguments.label.iter().cloned().collect(),
        job: None,
        domain: arguments.domain.clone(),
        captured: moment,
        parent: parent(invocation, &open, arguments.parent.as_deref())?,
        planned_all: true,
        is_told: true,
    };
    warn_same_disk(invocation, &open, &plans);
    let index = invocation.open_stale_index(&open.repository);
    let done = capture(invocation, &open, &index, &mut plans, &common)?;
    let taken = done.ids();
    let verification = match arguments.verify_after && !taken.is_empty() {
        true => Some(verify::run(invocation, &open.repository, &index, &taken)),
        false => None,
    };
    let report = report(done)?;
    Ok(match verification {
        Some(verification) => verification.added_to(report),
        None => report,
    })
}

fn tags(arguments: &SnapshotArguments) -> BTreeMap<String, String> {
    let tags = arguments.tag.iter();
    tags.map(|tag| (tag.key.clone(), tag.value.clone().unwrap_or_default()))
        .collect()
}

/// The moment of a back-fill.
pub fn captured(invocation: &Invocation, date: Option<&str>) -> CommandResult<Option<Timestamp>> {
    let Some(date) = date else {
        return Ok(None);
    };
    let Ok(Selector::At(asked)) = format!("@{date}").parse::<Selector>() else {
        return Err(CommandError::usage(format!("{date:?} is not a time"))
            .hint("write 2026-11-01, 2026-11-01T03:00 or 2026-11-01T03:00+06:00"));
    };
    let now = invocation.now();
    let moment = asked
        .resolve(now, &invocation.zone)
        .map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    if moment.timestamp.seconds() > now.seconds() + SKEW_SECONDS {
        return Err(CommandError::usage(format!("{moment} is still to come"))
            .hint("--date is for data of the past"));
    }
    Ok(Some(moment.timestamp))
}

fn parent(
    invocation: &Invocation,
    open: &OpenRepository,
    parent: Option<&str>,
) -> CommandResult<Parent> {
    let selector = match parent {
        None => return Ok(Parent::Newest),
        Some("none") => return Ok(Parent::Without),
        Some(text) => text
            .parse::<Selector>()
            .map_err(|error| CommandError::new(ErrorKind::Usage, error))?,
    };
    let set = invocation.list_snapshots(&open.repository)?;
    let everything = SelectionArguments::default();
    let snapshot = invocation.resolve(&set, &selector, &everything, "snapshot … --parent")?;
    Ok(Parent::Given(snapshot.id))
}

fn report(captured: Captured) -> CommandResult<Report> {
    let mut snapshots = Vec::new();
    let mut failures = Vec::new();
    let mut first_error = None;
    let mut exit = Exit::Done;
    let (set, uploaded) = (captured.set.to_string(), captured.bytes_uploaded);
    for outcome in captured.outcomes {
        match outcome.result {
            Ok(taken) => {
                if !taken.label.complete || !taken.archived.unmet.is_empty() {
                    exit = Exit::Partial;
                }
                snapshots.push(screen::describe(&taken));
            }
            Err(error) => {
                failures.push(json!({ "source": outcome.source, "error": error_object(&error) }));
                first_error.get_or_insert(error);
            }
        }
    }
    let error = match first_error {
        // Told already, each by itself; without any snapshot the first one is the result.
        Some(error) if snapshots.is_empty() || error.kind == ErrorKind::Interrupted => {
            return Err(error.told());
        }
        other => other,
    };
    let mut summary = json!({ "set_id": set, "bytes_uploaded": uploaded });
    if let Some(spool) = captured.spool {
        summary["bytes_spooled"] = json!(spool.bytes);
        summary["bytes_spooled_peak"] = json!(spool.bytes_peak);
        summary["objects_resumed"] = json!(spool.resumed);
    }
    if let [single] = snapshots.as_slice()
        && let (Value::Object(flat), Value::Object(summary)) = (single.clone(), &mut summary)
    {
        summary.extend(flat);
    }
    summary["snapshots"] = json!(snapshots);
    if let Some(error) = error {
        exit = Exit::Partial;
        summary["error"] = error_object(&error);
        summary["failures"] = json!(failures);
    }
    Ok(Report::with(summary).exit(exit))
}
