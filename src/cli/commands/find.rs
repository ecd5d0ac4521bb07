//! `find`: which snapshots have a file.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::ls::{Stop, describe};
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::patterns::Patterns;
use crate::cli::text;
use crate::entry::EntryKind;
use crate::repository::{Need, Reader, Snapshot};
use crate::tree::{Descend, Node, walk};
use crate::units::bytes;
use clap::Args;
use serde_json::json;

/// Options of `find`.
#[derive(Debug, Args)]
pub struct FindArguments {
    /// Globs: of a name, or with a slash of a path inside the snapshot
    #[arg(value_name = "GLOB", required = true)]
    patterns: Vec<String>,

    /// Upper and lower case are the same
    #[arg(short, long)]
    ignore_case: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Looks for names in snapshots, oldest first.
pub fn run(invocation: &Invocation, arguments: &FindArguments) -> CommandResult<Report> {
    let patterns = Patterns::new(&arguments.patterns, arguments.ignore_case)?;
    let open = invocation.open_repository_to(Need::Read, "find")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let chosen = set.select(&arguments.selection, invocation);
    let index = invocation.open_index(&open.repository)?;
    let reader = Reader::new(&open.repository, &index);
    let mut found = 0u64;
    for snapshot in &chosen {
        reader.follow(snapshot.id);
        let mut visit = |path: &[u8], node: &Node| {
            if patterns.match_path(path) {
                found += 1;
                if !show(invocation, snapshot, path, node) {
                    return Err(Stop::Unheard);
                }
            }
            Ok(Descend::Into)
        };
        let cancel = &invocation.cancel;
        match walk::<Stop>(&reader, snapshot.root, cancel, &mut visit, &mut |_, _| {
            Ok(())
        }) {
            Ok(()) => {}
            Err(Stop::Unheard) => break,
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    if found == 0 {
        let looked = text::counted(chosen.len() as u64, "snapshot");
        invocation.output.say(&format!("nothing found in {looked}"));
    }
    Ok(Report::with(
        json!({ "found": found, "snapshots": chosen.len() }),
    ))
}

fn show(invocation: &Invocation, snapshot: &Snapshot, path: &[u8], node: &Node) -> bool {
    let size = match node.entry.entry.kind {
        EntryKind::File { size } => bytes(size),
        _ => "-".to_owned(),
    };
    let line = format!(
        "{}  {:<20}  {size:>9}  {}",
        snapshot.id.short(),
        invocation.moment(snapshot.label.captured),
        text::path(path)
    );
    let mut object = describe(path, node);
    object["snapshot_id"] = json!(snapshot.id.to_string());
    invocation.output.line(&line) && invocation.output.object("entry", object)
}
