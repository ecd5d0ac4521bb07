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
use crate::id::SnapshotId;
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::{Selector, is_own};
use crate::units::bytes;
use clap::Args;
use serde_json::json;
use std::collections::HashSet;
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
    /// The newest good one of each of these sources: name, identity.
    Of(&'w [(String, String)]),
}

/// Exports.
pub fn run(invocation: &Invocation, arguments: &ExportArguments) -> CommandResult<Report> {
    let wanted = match &arguments.snapshot {
        Some(selector) => Wanted::One(selector, &arguments.selection),
        None => Wanted::Newest(&arguments.selection),
    };
    let to = (arguments.target.as_path(), arguments.layout);
    let mut exported = Vec::new();
    export(invocation, &wanted, to, arguments.dry_run, &mut |one| {
        exported.push(one?);
        Ok(())
    })?;
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

/// Hears of each snapshot what came of it; an error of its own ends the export.
pub type Heard<'h> = &'h mut dyn FnMut(CommandResult<Exported>) -> CommandResult<()>;

/// Exports what is wanted of the repository to a directory. What is there already is left alone. Of a
/// dry run nothing is heard but what cannot be had.
pub fn export(
    invocation: &Invocation,
    wanted: &Wanted<'_>,
    (target, layout): (&Path, Layout),
    dry_run: bool,
    heard: Heard<'_>,
) -> CommandResult<()> {
    let copies = invocation.open_copies(Some(Need::Read), "export")?;
    let open = &copies.first;
    let set = invocation.list_snapshots(&open.repository)?;
    let mut snapshots = Vec::new();
    for snapshot in chosen(invocation, &set, wanted)? {
        match snapshot {
            Ok(snapshot) => snapshots.push(snapshot),
            Err(error) => heard(Err(error))?,
        }
    }
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
    }
    if dry_run || snapshots.is_empty() {
        return Ok(());
    }
    let index = invocation.open_index(&open.repository)?;
    let others = copies.other_readers();
    let mut reader = Reader::new(&open.repository, &index);
    reader.fall_back_on(&others.iter().collect::<Vec<_>>());
    let reader = reader;
    reader.follow_all(snapshots.iter().map(|one| one.id).collect());
    let exporter = Exporter::open(invocation, open, &reader, target, layout)?;
    let mut is_new = false;
    for snapshot in snapshots {
        let exported = exporter.export(snapshot);
        if let Ok(one) = &exported {
            tell(invocation, one);
            is_new |= !one.was_there;
        }
        heard(exported)?;
    }
    if is_new {
        invocation.output.remark(&format!(
            "What was exported is plaintext: whoever may read {} reads it",
            exporter.target().display()
        ));
    }
    Ok(())
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
) -> CommandResult<Vec<CommandResult<&'s Snapshot>>> {
    let none = || {
        CommandError::usage("there is no good snapshot to export").hint(
            "icecore snapshots shows what there is; name one by its id to export it all the same",
        )
    };
    let now = invocation.now();
    match wanted {
        Wanted::One(selector, selection) => {
            Ok(vec![invocation.resolve(set, selector, selection, "export")])
        }
        Wanted::Newest(selection) => {
            let filters = selection.filters();
            let passing = filters.select(set.summaries(), now, &invocation.zone);
            let passing: HashSet<SnapshotId> = passing.iter().map(|one| one.id).collect();
            let newest = set.newest_good(now, &|summary| {
                !is_own(&summary.source) && passing.contains(&summary.id)
            });
            match newest.is_empty() {
                true => Err(none()),
                false => Ok(newest.into_values().map(Ok).collect()),
            }
        }
        Wanted::Of(sources) => {
            let newest = set.newest_good(now, &|_| true);
            let each = sources.iter().map(|(name, identity)| {
                let found = newest.get(identity.as_str()).copied();
                found.ok_or_else(|| none().within(&format!("source {name}")))
            });
            Ok(each.collect())
        }
    }
}
