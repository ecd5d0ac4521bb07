//! `ls`: what is in a snapshot.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::entry::EntryKind;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::SnapshotPath;
use crate::tree::{Descend, Node, TreeError, find, walk};
use crate::units::bytes;
use clap::Args;
use serde_json::{Value, json};

/// Options of `ls`.
#[derive(Debug, Args)]
pub struct LsArguments {
    /// The snapshot: an id, latest, latest~1, @TIME; and what in it after a colon
    #[arg(value_name = "SNAP[:PATH]", default_value = "latest")]
    snapshot: SnapshotPath,

    /// What is in directories too
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Lists entries.
pub fn run(invocation: &Invocation, arguments: &LsArguments) -> CommandResult<Report> {
    let copies = invocation.open_copies(Some(Need::Read), "ls")?;
    let open = &copies.first;
    let set = invocation.list_snapshots(&open.repository)?;
    let wanted = &arguments.snapshot;
    let snapshot = invocation.resolve_path(&set, wanted, &arguments.selection, "ls")?;
    let index = invocation.open_index(&open.repository)?;
    let others = copies.other_readers();
    let mut reader = Reader::new(&open.repository, &index);
    reader.fall_back_on(&others.iter().collect::<Vec<_>>());
    reader.follow(snapshot.id);
    let mut entries = 0u64;
    let mut total = 0u64;
    let mut show = |path: &[u8], node: &Node| -> Result<Descend, Stop> {
        entries += 1;
        if let EntryKind::File { size } = node.entry.entry.kind {
            total = total.saturating_add(size);
        }
        let heard = invocation.output.line(&line(invocation, path, node));
        if !heard || !invocation.output.object("entry", describe(path, node)) {
            return Err(Stop::Unheard);
        }
        Ok(match arguments.recursive {
            true => Descend::Into,
            false => Descend::Over,
        })
    };
    let (root, prefix) = match wanted.path.as_deref() {
        None => (Some(snapshot.root), Vec::new()),
        Some(path) => {
            let node = member(&reader, snapshot, path)?;
            match (node.is_directory(), &node.child) {
                (true, Child::Links { id, .. }) => (Some(*id), clean(path)),
                _ => {
                    // A reader that went away has seen enough.
                    let _stopped = show(&clean(path), &node);
                    (None, Vec::new())
                }
            }
        }
    };
    if let Some(root) = root {
        list(invocation, &reader, root, &prefix, &mut show)?;
    }
    copies.tell_served(invocation, &reader.served());
    Ok(Report::with(json!({
        "snapshot_id": snapshot.id.to_string(),
        "entries": entries,
        "bytes": total,
    })))
}

/// Why a listing ended early.
pub enum Stop {
    /// Nobody reads the output any more.
    Unheard,
    /// It failed.
    Failed(CommandError),
}

impl From<TreeError> for Stop {
    fn from(error: TreeError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<crate::repository::ReadError> for Stop {
    fn from(error: crate::repository::ReadError) -> Self {
        Self::Failed(error.into())
    }
}

/// Shows an entry.
type Show<'s> = dyn FnMut(&[u8], &Node) -> Result<Descend, Stop> + 's;

/// Walks with full paths; an output that nobody reads any more is no failure.
fn list(
    invocation: &Invocation,
    reader: &Reader<'_>,
    root: BlobId,
    prefix: &[u8],
    show: &mut Show<'_>,
) -> CommandResult<()> {
    let mut visit = |path: &[u8], node: &Node| match prefix.is_empty() {
        true => show(path, node),
        false => show(&[prefix, b"/", path].concat(), node),
    };
    let walked = walk::<Stop>(reader, root, &invocation.cancel, &mut visit, &mut |_, _| {
        Ok(())
    });
    match walked {
        Ok(()) | Err(Stop::Unheard) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// A path as typed, without superfluous slashes.
pub fn clean(path: &str) -> Vec<u8> {
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/").into_bytes()
}

/// The entry that a path names.
pub fn member(reader: &Reader<'_>, snapshot: &Snapshot, path: &str) -> CommandResult<Node> {
    find(reader, snapshot.root, &clean(path))?.ok_or_else(|| {
        let id = snapshot.id.short();
        let missing = format!("there is no {} in snapshot {id}", text::line(path));
        CommandError::usage(missing).hint(format!("icecore ls {id} shows what is in it"))
    })
}

fn line(invocation: &Invocation, path: &[u8], node: &Node) -> String {
    let entry = &node.entry.entry;
    let (kind, size) = match &entry.kind {
        EntryKind::Directory => ('d', String::new()),
        EntryKind::File { size } => ('-', bytes(*size)),
        EntryKind::Symlink { .. } => ('l', String::new()),
        EntryKind::Fifo => ('p', String::new()),
        EntryKind::Socket => ('s', String::new()),
        EntryKind::CharDevice { .. } => ('c', String::new()),
        EntryKind::BlockDevice { .. } => ('b', String::new()),
    };
    let metadata = &entry.metadata;
    let owner = metadata
        .user
        .as_deref()
        .map_or_else(|| metadata.uid.to_string(), text::line);
    let local = metadata
        .modified
        .to_jiff()
        .to_zoned(invocation.zone.clone());
    let mut line = format!(
        "{kind}{}  {owner:<8}  {size:>9}  {}  {}",
        permissions(metadata.mode),
        local.strftime("%Y-%m-%d %H:%M"),
        text::path(path),
    );
    if let EntryKind::Symlink { target } = &entry.kind {
        line.push_str(&format!(" -> {}", text::path(target)));
    }
    line
}

fn permissions(mode: u32) -> String {
    let bit = |shift: u32, letter: char| match mode >> shift & 1 {
        1 => letter,
        _ => '-',
    };
    (0..3)
        .rev()
        .flat_map(|who| {
            let shift = who * 3;
            [bit(shift + 2, 'r'), bit(shift + 1, 'w'), bit(shift, 'x')]
        })
        .collect()
}

/// An entry as JSON.
pub fn describe(path: &[u8], node: &Node) -> Value {
    let entry = &node.entry.entry;
    let mut object = path_fields(path);
    object["kind"] = json!(kind_name(&entry.kind));
    object["mode"] = json!(format!("{:04o}", entry.metadata.mode));
    object["uid"] = json!(entry.metadata.uid);
    object["gid"] = json!(entry.metadata.gid);
    object["modified"] = json!(entry.metadata.modified.to_rfc3339());
    if let EntryKind::File { size } = entry.kind {
        object["size"] = json!(size);
    }
    if let EntryKind::Symlink { target } = &entry.kind {
        object["target"] = path_value(target);
    }
    object
}

/// The path of an object: as shown, and exactly in hexadecimal where it is no text.
pub fn path_fields(path: &[u8]) -> Value {
    let mut object = json!({ "path": path_value(path) });
    if std::str::from_utf8(path).is_err() {
        let hexadecimal: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
        object["path_bytes"] = json!(hexadecimal);
    }
    object
}

/// A kind's name in lists and in JSON.
pub fn kind_name(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory => "directory",
        EntryKind::File { .. } => "file",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice { .. } => "char-device",
        EntryKind::BlockDevice { .. } => "block-device",
    }
}

fn path_value(path: &[u8]) -> Value {
    match std::str::from_utf8(path) {
        Ok(path) => json!(path),
        Err(_) => json!(text::path(path)),
    }
}
