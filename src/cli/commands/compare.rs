//! `compare`: a snapshot beside what is live.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::diff::{entry_state, what};
use crate::cli::commands::ls::{clean, member, path_fields};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::compare::{
    CompareError, CompareOptions, Comparing, LiveChange, LiveDatabase, LiveDifference, LivePlace,
    LiveTotals, compare,
};
use crate::monitor::Monitor;
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::SnapshotPath;
use crate::tree::{Node, read_directory};
use crate::units::{bytes, count, seconds};
use clap::Args;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Most tables of one database, and unreadable paths, that a screen shows.
const SHOWN_MAX: usize = 20;

/// Options of `compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when everything is the same, with 5 when something differs, \
    with 3 when something could not be read and the rest is the same"
)]
pub struct CompareArguments {
    /// The snapshot, and what in it
    #[arg(value_name = "SNAP[:PATH]", default_value = "latest")]
    snapshot: SnapshotPath,

    /// Compare with what is here instead of where it came from: as restore --target puts it, or
    /// the tree itself
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,

    /// Pass over what differs in mode, owner, time or attributes only
    #[arg(long)]
    content_only: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Compares, reading what is live and of the repository only the tree.
pub fn run(invocation: &Invocation, arguments: &CompareArguments) -> CommandResult<Report> {
    let open = invocation.open_repository_to(Need::Read, "compare")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let wanted = &arguments.snapshot;
    let snapshot = invocation.resolve_path(&set, wanted, &arguments.selection, "compare")?;
    let index = invocation.open_index(&open.repository)?;
    let reader = Reader::new(&open.repository, &index);
    let path = wanted.path.as_deref().map_or_else(Vec::new, clean);
    let places = match &arguments.to {
        None => origins(&reader, snapshot, &path)?,
        Some(target) => below(&reader, snapshot, &path, target)?,
    };
    let started = Instant::now();
    let comparing = Comparing {
        reader: &reader,
        snapshot,
        options: CompareOptions {
            metadata: !arguments.content_only,
        },
        clock: Arc::clone(&invocation.clock),
        monitor: &*invocation.ui,
        cancel: &invocation.cancel,
    };
    let mut tell = |difference: LiveDifference| show(invocation, &difference);
    let compared = compare(&comparing, &places, &mut tell);
    invocation.ui.clear();
    let totals = compared?;
    for problem in totals.problems.iter().take(SHOWN_MAX) {
        let (path, why) = (text::path(&problem.path), text::line(&problem.message));
        invocation.ui.warn(&format!("not compared: {path}: {why}"));
    }
    let read = bytes(totals.bytes_read);
    let duration = started.elapsed();
    let id = snapshot.id.short();
    let taken = invocation.moment(snapshot.label.captured);
    invocation.output.line(&format!(
        "{}   with {id} ({taken}), read {read} in {}",
        conclusion(&totals),
        seconds(duration)
    ));
    let exit = match (totals.is_same(), totals.problems.is_empty()) {
        (false, _) => Exit::Attention,
        (true, false) => Exit::Partial,
        (true, true) => Exit::Done,
    };
    Ok(Report::with(json!({
        "snapshot_id": snapshot.id.to_string(),
        "same": totals.same,
        "different": totals.different,
        "missing": totals.missing,
        "extra": totals.extra,
        "kinds": totals.kinds,
        "metadata": totals.metadata,
        "unreadable": totals.problems.len(),
        "bytes_read": totals.bytes_read,
        "bytes_fetched": open.traffic.downloaded_bytes(),
        "duration_seconds": duration.as_secs_f64(),
    }))
    .exit(exit))
}

fn conclusion(totals: &LiveTotals) -> String {
    let mut parts = vec![format!("{} the same", count(totals.same))];
    for (number, what) in [
        (totals.different, "different"),
        (totals.missing, "missing"),
        (totals.extra, "extra"),
        (totals.kinds, "of another kind"),
        (totals.metadata, "with other metadata"),
        (totals.problems.len() as u64, "unreadable"),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    }
    parts.join(", ")
}

/// Where everything, or the one path that is wanted, was captured from.
fn origins(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    wanted: &[u8],
) -> CommandResult<Vec<LivePlace>> {
    let body = snapshot.body(reader.repository())?;
    let places = body.roots.iter().filter_map(|(name, origin)| {
        let (name, origin) = (name.as_slice(), OsString::from_vec(origin.to_vec()));
        let origin = PathBuf::from(origin);
        let (path, live) = match wanted.strip_prefix(name) {
            _ if wanted.is_empty() => (name.to_vec(), origin),
            Some([]) => (name.to_vec(), origin),
            Some([b'/', rest @ ..]) => (wanted.to_vec(), origin.join(OsStr::from_bytes(rest))),
            _ => return None,
        };
        Some(LivePlace { path, live })
    });
    let places: Vec<_> = places.collect();
    let id = snapshot.id.short();
    match (body.roots.is_empty(), places.is_empty()) {
        (true, _) => Err(CommandError::usage(
            "the snapshot came from a stream or the environment: nothing live stands for it",
        )
        .hint(format!("icecore compare {id} --to PATH"))),
        (false, true) => {
            let wanted = text::path(wanted);
            Err(
                CommandError::usage(format!("there is no {wanted} in snapshot {id}"))
                    .hint(format!("icecore ls {id} shows what is in it")),
            )
        }
        (false, false) => Ok(places),
    }
}

/// Where `restore --target` would put it; a directory also stands for the one tree itself.
fn below(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    wanted: &[u8],
    target: &Path,
) -> CommandResult<Vec<LivePlace>> {
    let target = target
        .canonicalize()
        .map_err(|error| CommandError::file("open", target, &error))?;
    let mut nodes: Vec<Node> = Vec::new();
    if wanted.is_empty() {
        read_directory::<CommandError>(reader, snapshot.root, &mut |node| {
            nodes.push(node);
            Ok(())
        })?;
    } else {
        nodes.push(member(reader, snapshot, &String::from_utf8_lossy(wanted))?);
    }
    let is_only = nodes.len() == 1;
    let place = |node: &Node| {
        let within = target.join(OsStr::from_bytes(node.name()));
        let is_there = within.symlink_metadata().is_ok();
        let live = match is_only && (!target.is_dir() || node.is_directory() && !is_there) {
            true => target.clone(),
            false => within,
        };
        let path = match wanted.is_empty() {
            true => node.name().to_vec(),
            false => wanted.to_vec(),
        };
        LivePlace { path, live }
    };
    Ok(nodes.iter().map(place).collect())
}

fn show(invocation: &Invocation, difference: &LiveDifference) -> bool {
    let output = &invocation.output;
    if output.is_json() {
        return output.object("difference", describe(difference));
    }
    let change = match difference.change {
        LiveChange::Missing => "missing   ",
        LiveChange::Extra => "extra     ",
        LiveChange::Content => "different ",
        LiveChange::Kind => "kind      ",
        LiveChange::Metadata => "metadata  ",
    };
    let (before, after) = (difference.before.as_ref(), difference.after.as_ref());
    let what = what(before, after, &difference.aspects);
    let path = text::path(&difference.path);
    let heard = output.line(format!("{change}{path}  {what}").trim_end());
    let mut database = difference.database.iter().flat_map(database_lines);
    heard && database.all(|line| output.line(&line))
}

fn database_lines(database: &LiveDatabase) -> Vec<String> {
    let mut lines = Vec::new();
    if database.chunks > 0 {
        let (different, all) = (count(database.chunks_different), count(database.chunks));
        lines.push(format!("          {different} of {all} chunks differ"));
    }
    if database.schema_same == Some(false) {
        lines.push("          the schema differs".to_owned());
    }
    let rows = |rows: Option<u64>| rows.map_or_else(|| "-".to_owned(), count);
    let shown = database.tables.iter().take(SHOWN_MAX);
    let tables: Vec<_> = shown
        .map(|table| {
            let (before, after) = (rows(table.before), rows(table.after));
            vec![text::line(&table.name), format!("{before} -> {after} rows")]
        })
        .collect();
    let tables = text::table(&tables, &[false]);
    lines.extend(tables.into_iter().map(|line| format!("          {line}")));
    if database.tables.len() > SHOWN_MAX {
        let more = database.tables.len() - SHOWN_MAX;
        lines.push(format!("          and {more} more tables: see --json"));
    }
    if database.tables_same > 0 {
        let same = text::counted(database.tables_same, "table");
        lines.push(format!("          {same} with as many rows"));
    }
    if let Some(remark) = &database.remark {
        lines.push(format!("          {remark}"));
    }
    lines
}

fn describe(difference: &LiveDifference) -> Value {
    let change = match difference.change {
        LiveChange::Missing => "missing",
        LiveChange::Extra => "extra",
        LiveChange::Content => "content",
        LiveChange::Kind => "kind",
        LiveChange::Metadata => "metadata",
    };
    let mut object = path_fields(&difference.path);
    object["change"] = json!(change);
    object["before"] = json!(difference.before.as_ref().map(entry_state));
    object["after"] = json!(difference.after.as_ref().map(entry_state));
    let aspects = difference.aspects.iter().map(|aspect| aspect.name());
    object["aspects"] = json!(aspects.collect::<Vec<_>>());
    object["database"] = json!(difference.database.as_ref().map(describe_database));
    object
}

fn describe_database(database: &LiveDatabase) -> Value {
    let tables = database.tables.iter().map(|table| {
        json!({
            "name": table.name,
            "rows_before": table.before,
            "rows_after": table.after,
        })
    });
    json!({
        "schema": null,
        "schema_same": database.schema_same,
        "chunks": database.chunks,
        "chunks_different": database.chunks_different,
        "tables": tables.collect::<Vec<_>>(),
        "tables_same": database.tables_same,
        "remark": database.remark,
    })
}

impl From<CompareError> for CommandError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Record(error) => error.into(),
            CompareError::Read(error) => error.into(),
            CompareError::Tree(error) => error.into(),
            CompareError::Source(error) => error.into(),
            CompareError::Interrupted(error) => error.into(),
            error @ CompareError::NoSuchPath { .. } => {
                Self::usage(error).hint("icecore ls SNAP shows what is in it")
            }
            error => Self::failed(error),
        }
    }
}
