//! `cat`: one file of a snapshot.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::ls::{Stop, member};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::entry::EntryKind;
use crate::format::blob::BlobKind;
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::SnapshotPath;
use crate::tree::{Node, for_each_piece, read_directory};
use clap::Args;

/// Zeros written at once for a hole, bytes.
const ZEROS: usize = 64 << 10;

/// Options of `cat`.
#[derive(Debug, Args)]
pub struct CatArguments {
    /// The snapshot and the file in it; of a snapshot of one file the path may be left out
    #[arg(value_name = "SNAP:PATH")]
    snapshot: SnapshotPath,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Writes a file's content to standard output. Every chunk is verified before it is written.
pub fn run(invocation: &Invocation, arguments: &CatArguments) -> CommandResult<Report> {
    if invocation.output.is_json() {
        return Err(CommandError::usage(
            "cat writes a file's bytes: --json has no place for them",
        ));
    }
    let copies = invocation.open_copies(Some(Need::Read), "cat")?;
    let open = &copies.first;
    let set = invocation.list_snapshots(&open.repository)?;
    let wanted = &arguments.snapshot;
    let snapshot = invocation.resolve_path(&set, wanted, &arguments.selection, "cat")?;
    let index = invocation.open_index(&open.repository)?;
    let others = copies.other_readers();
    let mut reader = Reader::new(&open.repository, &index);
    reader.fall_back_on(&others.iter().collect::<Vec<_>>());
    reader.follow(snapshot.id);
    let node = match wanted.path.as_deref() {
        Some(path) => member(&reader, snapshot, path)?,
        None => only_file(&reader, snapshot)?,
    };
    if !matches!(node.entry.entry.kind, EntryKind::File { .. }) {
        let name = text::path(node.name());
        return Err(CommandError::usage(format!("{name} is not a regular file"))
            .hint(format!("icecore ls {}:{name}", snapshot.id.short())));
    }
    let written = for_each_piece::<Stop>(&reader, node.child, &mut |piece| {
        invocation
            .cancel
            .check()
            .map_err(|error| Stop::Failed(error.into()))?;
        let heard = match piece.chunk {
            Some(id) => invocation.output.bytes(&reader.read(id, BlobKind::Chunk)?),
            None => hole(invocation, piece.length),
        };
        match heard {
            true => Ok(()),
            false => Err(Stop::Unheard),
        }
    });
    copies.tell_served(invocation, &reader.served());
    match written {
        Ok(()) | Err(Stop::Unheard) => Ok(Report::done()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The content of a small file.
pub fn content(reader: &Reader<'_>, node: &Node, bytes_max: usize) -> CommandResult<Vec<u8>> {
    let name = text::path(node.name());
    match node.entry.entry.kind {
        EntryKind::File { size } if size <= bytes_max as u64 => {}
        _ => {
            return Err(CommandError::failed(format!(
                "{name} is not what it should be"
            )));
        }
    }
    let mut content = Vec::new();
    for_each_piece::<CommandError>(reader, node.child, &mut |piece| {
        match piece.chunk {
            Some(id) => content.extend_from_slice(&reader.read(id, BlobKind::Chunk)?),
            None => content.resize(content.len() + piece.length as usize, 0),
        }
        Ok(())
    })?;
    Ok(content)
}

fn hole(invocation: &Invocation, length: u64) -> bool {
    let zeros = [0; ZEROS];
    let mut left = length;
    while left > 0 {
        let now = left.min(ZEROS as u64);
        if !invocation.output.bytes(&zeros[..now as usize]) {
            return false;
        }
        left -= now;
    }
    true
}

/// The one file of a snapshot that has only one.
fn only_file(reader: &Reader<'_>, snapshot: &Snapshot) -> CommandResult<Node> {
    let mut nodes = Vec::new();
    read_directory::<CommandError>(reader, snapshot.root, &mut |node| {
        nodes.push(node);
        Ok(())
    })?;
    match <[Node; 1]>::try_from(nodes) {
        Ok([node]) if !node.is_directory() => Ok(node),
        _ => {
            let id = snapshot.id.short();
            Err(
                CommandError::usage(format!("snapshot {id} is more than one file"))
                    .hint(format!("name one: icecore cat {id}:PATH"))
                    .hint(format!("icecore ls {id} shows what is in it")),
            )
        }
    }
}
