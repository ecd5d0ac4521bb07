//! `restore`: bring a snapshot back. Without a target it shows the plan and what to type.

mod chosen;
mod place;
mod screen;

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::domain::confirm;
use crate::cli::commands::ls::clean;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::repository::{Reader, Snapshot};
use crate::restorer::{RestoreOptions, Restored, Selection, restore};
use crate::selector::SnapshotPath;
use crate::target::files::{Overwrite, TargetOptions};
use chosen::Chosen;
use clap::Args;
use place::Place;
use std::path::PathBuf;
use std::time::Instant;

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The snapshot: an id, latest, latest~1, @TIME; and what in it after a colon
    #[arg(value_name = "SNAP[:PATH]")]
    snapshot: SnapshotPath,

    /// Where to: a directory for a tree, a path for a single file or database
    #[arg(long, value_name = "PATH", conflicts_with = "to_origin")]
    target: Option<PathBuf>,

    /// To where it was captured from, replacing what is there
    #[arg(long)]
    to_origin: bool,

    /// Only what matches: a glob of a name, or with a slash of a path inside the snapshot
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Not what matches
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Leave off so many leading directories
    #[arg(long, value_name = "N", default_value_t = 0)]
    strip: usize,

    /// Replace what is there and differs
    #[arg(long)]
    overwrite: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// As --yes and --overwrite
    #[arg(long)]
    force: bool,

    /// Put a database in place although its check fails
    #[arg(long)]
    accept_damage: bool,

    /// Only say what would be written
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Restores.
pub fn run(invocation: &Invocation, arguments: &RestoreArguments) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let set = invocation.list_snapshots(&open.repository)?;
    let wanted = &arguments.snapshot;
    let snapshot = invocation.resolve_path(&set, wanted, &arguments.selection, "restore")?;
    let index = invocation.open_index(&open.repository)?;
    let reader = Reader::new(&open.repository, &index);
    let path = wanted.path.as_deref().map(clean).unwrap_or_default();
    let chosen = Chosen::new(invocation, &reader, snapshot, &path, arguments)?;
    let body = snapshot.body(&open.repository)?;
    let places = match (&arguments.target, arguments.to_origin) {
        (Some(target), _) => vec![Place {
            path,
            target: target.clone(),
        }],
        (None, true) => place::origins(&body, &path)?,
        (None, false) => return plan(invocation, arguments, snapshot, &chosen, &path),
    };
    if arguments.dry_run {
        return screen::dry_run(invocation, snapshot, &chosen, &places);
    }
    if arguments.to_origin && !arguments.yes && !arguments.force {
        let host = &snapshot.label.host;
        let consequence = format!(
            "This replaces {} with {} of {}.",
            screen::targets(&places),
            snapshot.id.short(),
            invocation.moment(snapshot.label.captured)
        );
        confirm(&consequence, &text::line(host))?;
    }
    let started = Instant::now();
    let mut restored = Restored::default();
    for place in &places {
        add(
            &mut restored,
            one(invocation, arguments, &reader, snapshot, &chosen, place)?,
        );
    }
    invocation.ui.clear();
    screen::show(invocation, snapshot, &restored, &places, started.elapsed())
}

fn one(
    invocation: &Invocation,
    arguments: &RestoreArguments,
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    chosen: &Chosen,
    place: &Place,
) -> CommandResult<Restored> {
    let replaces = arguments.overwrite || arguments.force || arguments.to_origin;
    let jobs = invocation.global.jobs.map(usize::from);
    let options = RestoreOptions {
        target: TargetOptions {
            overwrite: match replaces {
                true => Overwrite::IfDifferent,
                false => Overwrite::Never,
            },
            ..TargetOptions::default()
        },
        workers: jobs
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        strip: arguments.strip,
        accept_damage: arguments.accept_damage,
    };
    let selection = Selection {
        path: place.path.clone(),
        wanted: &|path, is_directory| chosen.is_wanted(path, is_directory),
    };
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let restored = restore(
        reader,
        snapshot,
        &selection,
        &place.target,
        &options,
        ui,
        cancel,
    );
    Ok(restored?)
}

fn add(total: &mut Restored, one: Restored) {
    total.files += one.files;
    total.directories += one.directories;
    total.bytes_fetched += one.bytes_fetched;
    total.bytes_written += one.bytes_written;
    total.bytes += one.bytes;
    total.damaged.extend(one.damaged);
    total.warnings.extend(one.warnings);
    total.databases.extend(one.databases);
}

/// No target: says what would be restored, and the commands that do it. Ends with 2, because a
/// choice is needed.
fn plan(
    invocation: &Invocation,
    arguments: &RestoreArguments,
    snapshot: &Snapshot,
    chosen: &Chosen,
    path: &[u8],
) -> CommandResult<Report> {
    let label = &snapshot.label;
    let output = &invocation.output;
    let shown = match path.is_empty() {
        true => String::new(),
        false => format!(":{}", text::path(path)),
    };
    output.line(&format!(
        "plan     {} of {} on {}, taken {} {}",
        snapshot.id.short(),
        text::short_source(&label.source),
        text::line(&label.host),
        invocation.moment(label.captured),
        text::offset(label.captured, &invocation.zone),
    ));
    output.line(&format!("restore  {}", chosen.summary()));
    output.line("target   none was given, so nothing was done. Choose:");
    let id = format!("{}{}", snapshot.id.short(), text::quoted_after(&shown));
    let name = place::suggestion(&label.source);
    let commands = [
        format!("icecore restore {id} --target {}", text::quoted(&name)),
        format!("icecore restore {id} --to-origin --dry-run"),
    ];
    let mut error = CommandError::new(ErrorKind::Choice, "restore needs --target or --to-origin");
    error.hints = commands.to_vec();
    if arguments.dry_run {
        output.line("(--dry-run needs a target too: what is there decides what would be done)");
    }
    Err(error)
}

/// What a restore with damage ends with.
fn exit(restored: &Restored) -> Exit {
    match restored.damaged.is_empty() {
        true => Exit::Done,
        false => Exit::Damage,
    }
}
