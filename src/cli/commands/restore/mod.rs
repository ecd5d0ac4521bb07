//! `restore`: bring a snapshot back. Without a target it shows the plan and what to type.

mod act;
mod chosen;
mod fallback;
mod place;
mod screen;
mod thaw;

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::ls::clean;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::event::{Activity, Ending, Status, Subject};
use crate::repository::{Need, Reader, Snapshot};
use crate::restorer::{RestoreOptions, Restored, Selection, Wanted, restore};
use crate::selector::SnapshotPath;
use crate::source::sqlite::Check;
use crate::target::files::{Overwrite, TargetOptions};
use chosen::Chosen;
use clap::Args;
use place::Place;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use thaw::{Frozen, ThawSpeed};

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The snapshot: an id, latest, latest~1, @TIME; and what in it after a colon. Without one, with
    /// --job and --to-origin, the newest of each source of that job
    #[arg(value_name = "SNAP[:PATH]", required_unless_present = "job")]
    snapshot: Option<SnapshotPath>,

    /// Where to: a directory for a tree, a path for a single file or database
    #[arg(long, value_name = "PATH", conflicts_with = "to_origin")]
    target: Option<PathBuf>,

    /// To where it was captured from, as one act: verify, keep what is there, stop, restore, start, ask
    ///
    /// All that is needed is read and verified before anything is touched. What is there is kept as a
    /// safety snapshot in the same repository, held for 7 days; what the job's restore.stop names is
    /// stopped, the origin replaced, restore.start run, restore.health asked. A tree becomes what the
    /// snapshot has: what else is there goes if the safety snapshot has it, and stays if snapshots of
    /// the source leave it out. The end says how to undo it; a failure in which state things are.
    #[arg(long)]
    to_origin: bool,

    /// With --to-origin: do not keep what is there; it is lost, and nothing can be undone
    #[arg(long, requires = "to_origin")]
    no_safety_snapshot: bool,

    /// Only what matches: a glob of a name, or with a slash of a path inside the snapshot
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Not what matches
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Leave off so many leading directories
    #[arg(long, value_name = "N", default_value_t = 0)]
    strip: usize,

    /// Keep the whole path things were captured from, below --target
    #[arg(long, requires = "target", conflicts_with = "strip")]
    absolute: bool,

    /// Replace what is there and differs
    #[arg(long)]
    overwrite: bool,

    /// Compare what is there piece by piece, and fetch only what differs
    ///
    /// A plain file is changed where it stands: stop what uses it first. An interruption leaves it
    /// with some pieces old and some new; the same command again compares everything anew and
    /// finishes. A database is refused while a program has it open, made anew beside itself from
    /// what is equal and what was fetched, checked, and renamed over the old one: it is never half
    /// one and half the other, and needs its size free on disk once more where the file system
    /// cannot share blocks. What is there and not in the snapshot stays.
    #[arg(long)]
    in_place: bool,

    /// Read every restored file back and compare it before it gets its name; exit code 6 if it is
    /// not what was written
    #[arg(long)]
    verify: bool,

    /// Take what is damaged from the newest older snapshot of the same source that has it whole
    ///
    /// Every such path is named, with the snapshot it comes from: it is older than the rest. The
    /// exit code stays that of damage, 4.
    #[arg(long)]
    fallback: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// As --yes and --overwrite
    #[arg(long)]
    force: bool,

    /// How a restored SQLite database is checked before it is put in place
    ///
    /// integrity: integrity_check, and rows counted and compared; quick: quick_check instead, which
    /// does not compare indexes with tables; none: every byte is verified to be the one captured,
    /// and nothing more. A check takes minutes for every hundred gigabytes.
    #[arg(long, value_enum, default_value_t = DatabaseCheck::Integrity)]
    database_check: DatabaseCheck,

    /// Put a database in place although its check fails
    #[arg(long)]
    accept_damage: bool,

    /// Ask for what lies in a storage class that cannot be read at once (GLACIER, DEEP_ARCHIVE), wait,
    /// and go on
    ///
    /// Without it such a restore ends with 2 and says what it would take; --dry-run says what that costs.
    /// Interrupted, the same command goes on waiting.
    #[arg(long, value_name = "SPEED")]
    thaw: Option<ThawSpeed>,

    /// How long what was asked for can be read, days
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=365))]
    thaw_days: u16,

    /// Only say what would be written
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Which check of the engine a restored database must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DatabaseCheck {
    Integrity,
    Quick,
    None,
}

impl From<DatabaseCheck> for Check {
    fn from(check: DatabaseCheck) -> Self {
        match check {
            DatabaseCheck::Integrity => Self::Integrity,
            DatabaseCheck::Quick => Self::Quick,
            DatabaseCheck::None => Self::None,
        }
    }
}

/// Restores.
pub fn run(invocation: &Invocation, arguments: &RestoreArguments) -> CommandResult<Report> {
    match (&arguments.snapshot, arguments.to_origin) {
        (_, true) => act::run(invocation, arguments),
        (Some(wanted), false) => to_target(invocation, arguments, wanted),
        (None, false) => Err(CommandError::usage(
            "a job is restored to its origin, and a snapshot anywhere",
        )
        .hint("add --to-origin, with --dry-run to see the plan")
        .hint("or name a snapshot: icecore restore latest --job JOB --target PATH")),
    }
}

/// Restores a snapshot to where the user wants it.
fn to_target(
    invocation: &Invocation,
    arguments: &RestoreArguments,
    wanted: &SnapshotPath,
) -> CommandResult<Report> {
    let copies = invocation.open_copies(Some(Need::Read), "restore")?;
    let open = &copies.first;
    let set = invocation.list_snapshots(&open.repository)?;
    let snapshot = invocation.resolve_path(&set, wanted, &arguments.selection, "restore")?;
    let index = invocation.open_index(&open.repository)?;
    let others = copies.other_readers();
    let mut reader = Reader::new(&open.repository, &index);
    reader.fall_back_on(&others.iter().collect::<Vec<_>>());
    let reader = reader;
    reader.follow(snapshot.id);
    let path = wanted.path.as_deref().map(clean).unwrap_or_default();
    let task = Task {
        invocation,
        arguments,
        reader: &reader,
        path: &path,
        in_place: arguments.in_place,
    };
    let chosen = match Chosen::new(invocation, &reader, snapshot, &path, arguments) {
        // Not even the entry can be read: all of it is taken from an older snapshot.
        Err(error) if task.falls_back(&error) => Err(error),
        other => Ok(other?),
    };
    let Some(places) = task.places(snapshot)? else {
        return plan(invocation, arguments, snapshot, &chosen?, &path);
    };
    let frozen = match (&open.bucket, &chosen) {
        (Some(bucket), Ok(chosen)) => {
            let is_wanted = |path: &[u8], is_directory| chosen.is_wanted(path, is_directory);
            let selection = Selection {
                path: path.clone(),
                wanted: &is_wanted,
            };
            Frozen::look(&task, bucket, snapshot, &selection)?
        }
        _ => None,
    };
    if let Some(frozen) = &frozen {
        frozen.tell(invocation, arguments.thaw_days);
    }
    if arguments.dry_run {
        let mut report = screen::dry_run(invocation, snapshot, &chosen?, &places)?;
        let cold = frozen.map(|frozen| ("cold".to_owned(), frozen.describe()));
        report.summary.extend(cold);
        return Ok(report);
    }
    match (frozen, arguments.thaw) {
        // Another copy may give at once what is cold here.
        (Some(_), None) if copies.has_others() => {}
        (Some(frozen), None) => return Err(frozen.choice()),
        (Some(frozen), Some(speed)) => frozen.wait(invocation, arguments, speed)?,
        (None, _) => {}
    }
    let started = Instant::now();
    let subject = Subject {
        location: Some(destination(arguments)),
        ..open.subject_of(snapshot)
    };
    let repository = &open.repository;
    let act = invocation.begin(repository, Activity::Restore, subject, Duty::Warn)?;
    let all = || {
        let mut restored = task.all(snapshot, chosen.as_ref(), &places)?;
        let fallbacks = match arguments.fallback && !restored.damaged.is_empty() {
            true => fallback::restore_older(&task, &set, snapshot, &mut restored)?,
            false => Vec::new(),
        };
        Ok((restored, fallbacks))
    };
    let (restored, fallbacks) = act.conclude(repository, all(), |(restored, _)| {
        ending(restored, !path.is_empty())
    })?;
    invocation.ui.clear();
    let result = screen::Result {
        snapshot,
        restored: &restored,
        places: &places,
        fallbacks: arguments.fallback.then_some(fallbacks.as_slice()),
        in_place: arguments.in_place,
        verify: arguments.verify,
        duration: started.elapsed(),
    };
    let mut report = screen::show(invocation, &result);
    let served = copies.tell_served(invocation, &reader.served());
    if served != json!([]) {
        report.summary.extend([("copies".to_owned(), served)]);
    }
    Ok(report)
}

/// Where a restore goes, without any name of a file inside the snapshot: others read it than may read
/// the snapshot.
fn destination(arguments: &RestoreArguments) -> String {
    let target = arguments.target.as_deref();
    target.map_or_else(
        || "its origin".to_owned(),
        |target| {
            let absolute = std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf());
            absolute.display().to_string()
        },
    )
}

/// What is to be done, from whichever snapshot.
#[derive(Clone, Copy)]
struct Task<'t> {
    invocation: &'t Invocation,
    arguments: &'t RestoreArguments,
    reader: &'t Reader<'t>,
    /// The path inside the snapshot that is wanted; empty for all.
    path: &'t [u8],
    /// Whether what is there is compared piece by piece.
    in_place: bool,
}

impl Task<'_> {
    /// Where a snapshot goes; `None` when nothing was said about it.
    fn places(&self, snapshot: &Snapshot) -> CommandResult<Option<Vec<Place>>> {
        let arguments = self.arguments;
        let body = || snapshot.body(self.reader.repository());
        Ok(match (&arguments.target, arguments.to_origin) {
            (Some(target), _) if arguments.absolute => {
                Some(place::absolute(&body()?, self.path, target)?)
            }
            (Some(target), _) => Some(vec![Place::new(self.path, target)]),
            (None, true) => Some(place::origins(&body()?, self.path)?),
            (None, false) => None,
        })
    }

    /// Whether a failure is damage that an older snapshot may make good.
    fn falls_back(&self, error: &CommandError) -> bool {
        self.arguments.fallback && error.kind == ErrorKind::Damage
    }

    /// Restores what was chosen to all places.
    fn all(
        &self,
        snapshot: &Snapshot,
        chosen: Result<&Chosen, &CommandError>,
        places: &[Place],
    ) -> CommandResult<Restored> {
        let mut restored = Restored::default();
        for place in places {
            let one = match chosen {
                Ok(chosen) => self.one(snapshot, place, &|path, is_directory| {
                    chosen.is_wanted(path, is_directory)
                }),
                Err(error) => Err(error.within("cannot look into the snapshot")),
            };
            match one {
                Ok(one) => restored.add(one),
                Err(error) if self.falls_back(&error) => {
                    let damaged = (place.path.clone(), error.message());
                    restored.damaged.push(damaged);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(restored)
    }

    /// Restores what is wanted to one place.
    fn one(
        &self,
        snapshot: &Snapshot,
        place: &Place,
        wanted: &Wanted<'_>,
    ) -> CommandResult<Restored> {
        let (invocation, arguments) = (self.invocation, self.arguments);
        let replaces =
            arguments.overwrite || arguments.force || arguments.to_origin || self.in_place;
        let options = RestoreOptions {
            target: TargetOptions {
                overwrite: match replaces {
                    true => Overwrite::IfDifferent,
                    false => Overwrite::Never,
                },
                ..TargetOptions::default()
            },
            workers: invocation.workers(),
            below: place.below.clone(),
            strip: arguments.strip,
            in_place: self.in_place,
            verify: arguments.verify,
            accept_damage: arguments.accept_damage,
            check: arguments.database_check.into(),
        };
        let selection = Selection {
            path: place.path.clone(),
            wanted,
        };
        let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
        Ok(restore(
            self.reader,
            snapshot,
            &selection,
            &place.target,
            &options,
            ui,
            cancel,
        )?)
    }
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

/// What the audit log says of a restore: that it was of a part, and not of which.
fn ending(restored: &Restored, is_part: bool) -> Ending {
    let what = match is_part {
        true => "a part of it",
        false => "",
    };
    let end = match exit(restored) {
        Exit::Done => Ending::success(what),
        Exit::Unproven => Ending::new(Status::Error, "not what was written"),
        _ => Ending::new(Status::Error, "some of it is damaged"),
    };
    end.bytes(restored.bytes_written)
        .verified(exit(restored) == Exit::Done)
}

/// What a restore ends with: what could not be proven weighs more than damage that was told.
fn exit(restored: &Restored) -> Exit {
    match (restored.unproven.is_empty(), restored.damaged.is_empty()) {
        (false, _) => Exit::Unproven,
        (true, false) => Exit::Damage,
        (true, true) => Exit::Done,
    }
}
