//! What is there and not in the snapshot. The rule: nothing goes that the safety snapshot does not
//! have, and nothing that snapshots of the source leave out.

use crate::cli::commands::restore::act::parts::Part;
use crate::cli::commands::restore::place::Place;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::diff::{Change, DiffOptions, Difference, Side, diff};
use crate::entry::{Entry, EntryKind};
use crate::monitor::Silent;
use crate::repository::{Reader, Snapshot};
use crate::target::files::{Overwrite, TargetOptions, TargetPath, TargetRoot};

/// What became of what the snapshot does not have.
#[derive(Debug, Default)]
pub struct Extra {
    /// How many were taken away.
    pub removed: u64,
    /// Paths that stay, changed since the safety snapshot or with something in them that is not in
    /// it.
    pub kept: Vec<Vec<u8>>,
}

/// An entry that the snapshot does not have, by its path inside the snapshot.
struct Surplus {
    path: Vec<u8>,
    entry: Entry,
}

/// Takes away what only the safety snapshot has. Before the restore, so that directories get their
/// times after it, and what became a directory makes way.
pub fn remove(
    invocation: &Invocation,
    reader: &Reader<'_>,
    part: &Part<'_>,
    safety: &Snapshot,
) -> CommandResult<Extra> {
    let surplus = surplus(invocation, reader, part, safety)?;
    let mut extra = Extra::default();
    for place in &part.places {
        let options = TargetOptions {
            overwrite: Overwrite::IfDifferent,
            ..TargetOptions::default()
        };
        let mut root: Option<TargetRoot> = None;
        // Deepest first: what is in a directory goes before it.
        for one in surplus.iter().rev().filter(|one| is_of(place, &one.path)) {
            invocation.cancel.check()?;
            let root = match &root {
                Some(root) => root,
                None => root.insert(TargetRoot::open(&place.target, options)?),
            };
            let target = target_path(root, place, &one.path)?;
            match root.remove(&target, &one.entry)? {
                true => extra.removed += 1,
                false => extra.kept.push(one.path.clone()),
            }
        }
    }
    Ok(extra)
}

/// Paths only in the safety snapshot, and directories where the snapshot has something else.
fn surplus(
    invocation: &Invocation,
    reader: &Reader<'_>,
    part: &Part<'_>,
    safety: &Snapshot,
) -> CommandResult<Vec<Surplus>> {
    let mut found = Vec::new();
    for place in &part.places {
        let name = place.path.rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default().to_vec();
        if !has(reader, safety, &name)? {
            continue;
        }
        let before = Side {
            snapshot: safety,
            path: name.clone(),
        };
        let after = Side {
            snapshot: part.snapshot,
            path: place.path.clone(),
        };
        let options = DiffOptions {
            metadata: false,
            rows: false,
        };
        let cancel = &invocation.cancel;
        let mut visit = |difference: Difference| -> Result<(), CommandError> {
            let Some(node) = difference.before else {
                return Ok(());
            };
            let entry = node.entry.entry;
            let is_directory = entry.kind == EntryKind::Directory;
            let path = match difference.change {
                Change::Removed => {
                    let below = difference.path.strip_prefix(name.as_slice());
                    [&place.path, below.unwrap_or_default()].concat()
                }
                Change::Kind if is_directory => difference.path,
                _ => return Ok(()),
            };
            if !part.is_left_out(&path) {
                found.push(Surplus { path, entry });
            }
            Ok(())
        };
        diff(
            reader,
            [&before, &after],
            options,
            &Silent,
            cancel,
            &mut visit,
        )?;
    }
    Ok(found)
}

fn has(reader: &Reader<'_>, snapshot: &Snapshot, path: &[u8]) -> CommandResult<bool> {
    let found = crate::tree::find(reader, snapshot.root, path);
    Ok(found.map(|node| node.is_some())?)
}

fn is_of(place: &Place, path: &[u8]) -> bool {
    let below = path.strip_prefix(place.path.as_slice());
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Where a path inside the snapshot lies below the place's target.
fn target_path(root: &TargetRoot, place: &Place, path: &[u8]) -> CommandResult<TargetPath> {
    let parents = place.path.iter().rposition(|byte| *byte == b'/');
    let below = &path[parents.map_or(0, |slash| slash + 1)..];
    let mut parts = below.split(|byte| *byte == b'/');
    let mut target = root.child(None, parts.next().unwrap_or_default())?;
    for part in parts {
        target = root.child(Some(&target), part)?;
    }
    Ok(target)
}
