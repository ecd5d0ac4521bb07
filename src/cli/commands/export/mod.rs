//! `export`: snapshots as plain files that people and other programs read, ordered by year and month.
//!
//! What leaves the repository this way is not encrypted any more: it happens when it is asked for, by
//! this command or a job of kind "export", is in the audit log before it begins, and is marked as
//! plaintext wherever it shows.

mod write;

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::listing::SnapshotSet;
use crate::cli::output::Report;
use crate::cli::text;
use crate::config::Layout;
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::{Selector, is_own};
use crate::units::bytes;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
pub use write::Exported;
use write::Exporter;

/// Options of `export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every month by itself: a job with kind = \"export\" and to = \"DIR\", see docs/jobs.md"
)]
pub struct ExportArguments {
    /// The snapshot: an id, latest, @TIME [default: the newest good one of each source]
    #[arg(value_name = "SNAP")]
    snapshot: Option<Selector>,

    /// The directory to write into, made if it is not there; nothing in it is replaced
    #[arg(long, value_name = "DIR")]
    target: PathBuf,

    /// The directories below it, by the day of the snapshot: year/month, year, year/month/day or flat
    #[arg(long, value_name = "LAYOUT", default_value = "year/month")]
    layout: Layout,

    /// Only say what would be written
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// What is to be exported.
pub enum Wanted<'w> {
    /// This snapshot.
    One(&'w Selector, &'w SelectionArguments),
    /// The newest good one of each source that passes.
    Newest(&'w SelectionArguments),
    /// The newest good one of each of these sources: identity, name.
    Of(&'w [(String, String)]),
}

/// Exports.
pub fn run(invocation: &Invocation, arguments: &ExportArguments) -> CommandResult<Report> {
    let wanted = match &arguments.snapshot {
        Some(selector) => Wanted::One(selector, &arguments.selection),
        None => Wanted::Newest(&arguments.selection),
    };
    let to = (arguments.target.as_path(), arguments.layout);
    let exported = export(invocation, &wanted, to, arguments.dry_run)?;
    Ok(Report::with(summary(&exported, arguments.dry_run)))
}

/// For scripts.
fn summary(exported: &[Exported], dry_run: bool) -> serde_json::Value {
    let new = || exported.iter().filter(|one| !one.was_there);
    json!({
        "dry_run": dry_run,
        "plaintext": true,
        "snapshots": exported.iter().map(|one| one.snapshot.to_string()).collect::<Vec<_>>(),
        "files": new().map(|one| one.files).sum::<u64>(),
        "bytes_written": new().map(|one| one.bytes).sum::<u64>(),
    })
}

/// Exports what is wanted of the repository to a directory. What is there already is left alone.
pub fn export(
    invocation: &Invocation,
    wanted: &Wanted<'_>,
    (target, layout): (&Path, Layout),
    dry_run: bool,
) -> CommandResult<Vec<Exported>> {
    let copies = invocation.open_copies(Some(Need::Read), "export")?;
    let open = &copies.first;
    let set = invocation.list_snapshots(&open.repository)?;
    let snapshots = chosen(invocation, &set, wanted)?;
    if dry_run {
        for snapshot in &snapshots {
            let place = write::directory(target, layout, snapshot, &invocation.zone);
            invocation.output.say(&format!(
                "would export {} of {} ({}) to {}",
                snapshot.id.short(),
                text::short_source(&snapshot.label.source),
                bytes(snapshot.label.totals.bytes),
                place.display(),
            ));
        }
        return Ok(Vec::new());
    }
    let index = invocation.open_index(&open.repository)?;
    let others = copies.other_readers();
    let mut reader = Reader::new(&open.repository, &index);
    reader.fall_back_on(&others.iter().collect::<Vec<_>>());
    let reader = reader;
    reader.follow_all(snapshots.iter().map(|one| one.id).collect());
    let exporter = Exporter::open(invocation, open, &reader, target, layout)?;
    let mut exported = Vec::new();
    for snapshot in snapshots {
        let one = exporter.export(snapshot)?;
        tell(invocation, &one);
        exported.push(one);
    }
    if exported.iter().any(|one| !one.was_there) {
        invocation.output.remark(&format!(
            "What was exported is plaintext: whoever may read {} reads it",
            exporter.target().display()
        ));
    }
    Ok(exported)
}

fn tell(invocation: &Invocation, one: &Exported) {
    let (id, path) = (one.snapshot.short(), one.path.display());
    let source = text::short_source(&one.source);
    invocation.output.say(&match one.was_there {
        true => format!("{id} of {source} is there already: {path}"),
        false => format!(
            "exported {id} of {source} as plaintext, {} in {}, to {path}",
            bytes(one.bytes),
            text::counted(one.files, "file"),
        ),
    });
    invocation.output.object("exported", one.describe());
}

fn chosen<'s>(
    invocation: &Invocation,
    set: &'s SnapshotSet,
    wanted: &Wanted<'_>,
) -> CommandResult<Vec<&'s Snapshot>> {
    let none = || {
        CommandError::usage("there is no good snapshot to export").hint(
            "icecore snapshots shows what there is; name one by its id to export it all the same",
        )
    };
    match wanted {
        Wanted::One(selector, selection) => Ok(vec![
            invocation.resolve(set, selector, selection, "export")?,
        ]),
        Wanted::Newest(selection) => {
            let passing = set.select(selection, invocation);
            let newest = newest(invocation, set, |snapshot| {
                !is_own(&snapshot.label.source) && passing.iter().any(|one| one.id == snapshot.id)
            });
            match newest.is_empty() {
                true => Err(none()),
                false => Ok(newest.into_values().collect()),
            }
        }
        Wanted::Of(sources) => {
            let newest = newest(invocation, set, |snapshot| {
                sources
                    .iter()
                    .any(|(identity, _)| *identity == snapshot.label.source)
            });
            let each = sources.iter().map(|(identity, name)| {
                let found = newest.get(identity.as_str()).copied();
                found.ok_or_else(|| none().within(&format!("source {name}")))
            });
            each.collect()
        }
    }
}

/// The newest good snapshot of each source.
fn newest<'s>(
    invocation: &Invocation,
    set: &'s SnapshotSet,
    is_wanted: impl Fn(&Snapshot) -> bool,
) -> BTreeMap<&'s str, &'s Snapshot> {
    let now = invocation.now();
    let mut newest: BTreeMap<&str, (_, &Snapshot)> = BTreeMap::new();
    for (summary, ..) in set
        .visible()
        .filter(|(summary, ..)| summary.flaw().is_none())
    {
        let Ok(snapshot) = set.by_id(summary) else {
            continue;
        };
        let taken = (summary.effective_time(now), summary.id);
        let known = newest.get(snapshot.label.source.as_str());
        if is_wanted(snapshot) && known.is_none_or(|(before, _)| *before < taken) {
            newest.insert(&snapshot.label.source, (taken, snapshot));
        }
    }
    let newest = newest.into_iter();
    newest
        .map(|(source, (_, snapshot))| (source, snapshot))
        .collect()
}
