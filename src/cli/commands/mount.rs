//! `mount`: snapshots as a read-only file system.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::ls::{clean, member};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::listing::SnapshotSet;
use crate::cli::output::Report;
use crate::cli::text;
use crate::env::Timestamp;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::mount::{MountError, MountOptions, Object, mount};
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::SnapshotPath;
use crate::units::parse_size;
use clap::Args;
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;

/// Digits by which a snapshot's directory is called, unless that is not enough.
const ID_DIGITS: usize = 8;

/// Options of `mount`.
#[derive(Debug, Args)]
#[command(
    override_usage = "icecore mount [OPTIONS] SNAP[:PATH] DIR\n       icecore mount [OPTIONS] --all DIR",
    after_help = "Ctrl-C ends it, and so does: fusermount3 -u DIR. Needs FUSE (/dev/fuse), and without \
        root the package fuse3. A database is opened where it is: \
        sqlite3 'file:DIR/app.db?immutable=1'"
)]
pub struct MountArguments {
    /// The snapshot, and a directory in it; then the empty directory to mount at
    #[arg(value_name = "SNAP[:PATH] DIR", num_args = 1..=2, required = true)]
    words: Vec<PathBuf>,

    /// Every snapshot, by id and by time, as there are now
    #[arg(long)]
    all: bool,

    /// Other users may look too, as modes and owners allow
    #[arg(long)]
    allow_other: bool,

    /// Keep up to this much of what was read
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    cache_size: u64,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Mounts, and stays until it is unmounted.
pub fn run(invocation: &Invocation, arguments: &MountArguments) -> CommandResult<Report> {
    let (wanted, place) = words(arguments)?;
    let open = invocation.open_repository_to(Need::Read, "mount")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let index = invocation.open_index(&open.repository)?;
    let reader = Reader::new(&open.repository, &index);
    let (root, what) = match &wanted {
        Some(wanted) => one(invocation, arguments, &set, wanted, &reader)?,
        None => all(invocation, arguments, &set, &reader)?,
    };
    let options = MountOptions {
        allow_other: arguments.allow_other,
        cache_bytes: arguments.cache_size,
        workers: invocation.global.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(2, usize::from),
            usize::from,
        ),
    };
    let ready = || {
        let shown = place.display();
        let quoted = text::quoted(&place.to_string_lossy());
        invocation
            .output
            .say(&format!("mounted {what} at {shown}, read-only"));
        invocation
            .output
            .say(&format!("Ctrl-C ends it, or: fusermount3 -u {quoted}"));
        invocation
            .output
            .object("mounted", json!({ "at": shown.to_string() }));
        invocation.output.flush();
    };
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    mount(&reader, root, &place, options, ui, cancel, &ready)?;
    Ok(Report::with(json!({
        "at": place.display().to_string(),
        "bytes_fetched": open.traffic.downloaded_bytes(),
    })))
}

/// What is mounted, unless that is everything, and where.
fn words(arguments: &MountArguments) -> CommandResult<(Option<SnapshotPath>, PathBuf)> {
    match (arguments.words.as_slice(), arguments.all) {
        ([place], true) => Ok((None, place.clone())),
        ([snapshot, place], false) => {
            let snapshot = snapshot.to_string_lossy();
            let wanted = snapshot.parse().map_err(CommandError::usage)?;
            Ok((Some(wanted), place.clone()))
        }
        (_, true) => Err(CommandError::usage("with --all only a directory is given")
            .hint("icecore mount --all DIR")),
        (_, false) => Err(
            CommandError::usage("mount needs a snapshot and a directory")
                .hint("icecore mount latest DIR")
                .hint("icecore mount --all DIR"),
        ),
    }
}

/// One snapshot, or a directory in it.
fn one(
    invocation: &Invocation,
    arguments: &MountArguments,
    set: &SnapshotSet,
    wanted: &SnapshotPath,
    reader: &Reader<'_>,
) -> CommandResult<(Object, String)> {
    let snapshot = invocation.resolve_path(set, wanted, &arguments.selection, "mount")?;
    reader.follow(snapshot.id);
    let what = |path: &str| {
        let taken = invocation.moment(snapshot.label.captured);
        let source = text::short_source(&snapshot.label.source);
        let id = snapshot.id.short();
        format!("{id}{path} of {source} ({taken})")
    };
    let tree = |root: BlobId| Object::tree(b"", root, snapshot.label.captured);
    let Some(path) = wanted.path.as_deref() else {
        return Ok((tree(snapshot.root), what("")));
    };
    let node = member(reader, snapshot, path)?;
    match node.child {
        Child::Links { id, .. } if node.is_directory() => {
            let path = text::path(&clean(path));
            Ok((tree(id), what(&format!(":{path}"))))
        }
        _ => {
            let (id, path) = (snapshot.id.short(), text::line(path));
            Err(CommandError::usage(format!("{path} is not a directory"))
                .hint(format!("icecore mount {id} DIR, and look at DIR/{path}"))
                .hint(format!("icecore cat {id}:{path}")))
        }
    }
}

/// Every snapshot that passes the filters: `ids/ID`, and `times/TIME-ID` that point there.
fn all(
    invocation: &Invocation,
    arguments: &MountArguments,
    set: &SnapshotSet,
    reader: &Reader<'_>,
) -> CommandResult<(Object, String)> {
    let chosen = set.select(&arguments.selection, invocation);
    reader.follow_all(chosen.iter().map(|snapshot| snapshot.id).collect());
    let now = invocation.now();
    let names = names(&chosen);
    let mut ids = Vec::with_capacity(chosen.len());
    let mut times = Vec::with_capacity(chosen.len());
    for (snapshot, name) in chosen.iter().zip(&names) {
        let taken = snapshot.label.captured;
        ids.push(Object::tree(name.as_bytes(), snapshot.root, taken));
        let time = format!("{}-{name}", second(taken));
        let target = format!("../ids/{name}");
        times.push(Object::link(time.as_bytes(), target.as_bytes(), taken));
    }
    let what = text::counted(chosen.len() as u64, "snapshot");
    let directories = vec![
        Object::directory(b"ids", ids, now),
        Object::directory(b"times", times, now),
    ];
    Ok((Object::directory(b"", directories, now), what))
}

/// To the second, in UTC: such as `2026-11-20T14:02:11Z`.
fn second(moment: Timestamp) -> String {
    moment.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first digits of each id, as many as it takes to tell them apart.
fn names(snapshots: &[&Snapshot]) -> Vec<String> {
    let ids: Vec<String> = snapshots.iter().map(|s| s.id.to_string()).collect();
    let mut digits = ID_DIGITS;
    loop {
        let name = |id: &String| id.chars().take(digits).collect::<String>();
        let names: Vec<String> = ids.iter().map(name).collect();
        let mut numbers: HashMap<&String, u32> = HashMap::new();
        names
            .iter()
            .for_each(|name| *numbers.entry(name).or_default() += 1);
        if numbers.values().all(|number| *number == 1) || digits >= 64 {
            return names;
        }
        digits += 4;
    }
}

impl From<MountError> for CommandError {
    fn from(error: MountError) -> Self {
        let remedy = error.remedy();
        Self::failed(error).hint(remedy)
    }
}
