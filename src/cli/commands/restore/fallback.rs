//! `restore --fallback`: what is damaged comes from the newest older snapshot that has it whole.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::restore::Task;
use crate::cli::commands::restore::chosen::Chosen;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::listing::SnapshotSet;
use crate::env::Timestamp;
use crate::id::SnapshotId;
use crate::repository::{ReadError, Snapshot};
use crate::restorer::Restored;
use crate::tree;

/// Paths inside snapshots.
type Paths = Vec<Vec<u8>>;

/// A path that was restored from another snapshot than was asked for.
pub struct Fallback {
    /// Path inside both snapshots; empty for all of it.
    pub path: Vec<u8>,
    /// The snapshot it comes from.
    pub snapshot: SnapshotId,
    /// When that was captured.
    pub captured: Timestamp,
}

/// Restores what is damaged in `snapshot` from older ones, newest first. What they restore is added
/// to `restored`; the damage stays in it.
pub fn restore_older(
    task: &Task<'_>,
    set: &SnapshotSet,
    snapshot: &Snapshot,
    restored: &mut Restored,
) -> CommandResult<Vec<Fallback>> {
    let mut fallbacks = Vec::new();
    let damaged = restored.damaged.iter();
    let mut missing: Paths = damaged.map(|(path, _)| path.clone()).collect();
    for older in older_snapshots(task, set, snapshot) {
        if missing.is_empty() {
            break;
        }
        let (there, not_there) = partition(task, older, missing)?;
        missing = not_there;
        if there.is_empty() {
            continue;
        }
        let mut one = match restore_paths(task, older, &there) {
            Ok(one) => one,
            Err(error) if is_passed_over(&error) => {
                missing.extend(there);
                continue;
            }
            Err(error) => return Err(error),
        };
        let still_damaged = std::mem::take(&mut one.damaged);
        restored.add(one);
        for path in there {
            let below = still_damaged
                .iter()
                .filter(|(damaged, _)| is_at_or_below(damaged, &path));
            let below: Vec<_> = below.map(|(damaged, _)| damaged.clone()).collect();
            if !below.contains(&path) {
                fallbacks.push(Fallback {
                    path,
                    snapshot: older.id,
                    captured: older.label.captured,
                });
            }
            missing.extend(below);
        }
    }
    Ok(fallbacks)
}

/// Visible snapshots of the same source and host that were captured before, newest first; those
/// that `latest` passes over are passed over here too.
fn older_snapshots<'s>(
    task: &Task<'_>,
    set: &'s SnapshotSet,
    snapshot: &Snapshot,
) -> Vec<&'s Snapshot> {
    let mut all = set.select(&SelectionArguments::default(), task.invocation);
    all.retain(|other| {
        let (label, chosen) = (&other.label, &snapshot.label);
        label.source == chosen.source
            && label.host == chosen.host
            && other.domain == snapshot.domain
            && (label.captured, other.id) < (chosen.captured, snapshot.id)
            && label.complete
            && !label.suspect
    });
    all.reverse();
    all
}

/// The paths that a snapshot has, and those that it has not or cannot show.
fn partition(task: &Task<'_>, snapshot: &Snapshot, paths: Paths) -> CommandResult<(Paths, Paths)> {
    let (mut there, mut not_there) = (Vec::new(), Vec::new());
    for path in paths {
        let found = match path.is_empty() {
            true => Ok(true),
            false => tree::find(task.reader, snapshot.root, &path).map(|node| node.is_some()),
        };
        let found = found.or_else(|error: ReadError| match error.is_damage() {
            true => Ok(false),
            false => Err(CommandError::from(error)),
        })?;
        match found {
            true => there.push(path),
            false => not_there.push(path),
        }
    }
    Ok((there, not_there))
}

/// Restores these paths to where they belong.
fn restore_paths(
    task: &Task<'_>,
    snapshot: &Snapshot,
    paths: &[Vec<u8>],
) -> CommandResult<Restored> {
    let (invocation, reader, arguments) = (task.invocation, task.reader, task.arguments);
    let chosen = Chosen::new(invocation, reader, snapshot, task.path, arguments)?;
    let mut restored = Restored::default();
    for place in task.places(snapshot)?.unwrap_or_default() {
        let is_related = |path: &[u8]| {
            paths
                .iter()
                .any(|wanted| is_at_or_below(path, wanted) || is_at_or_below(wanted, path))
        };
        if !is_related(&place.path) {
            continue;
        }
        let wanted = |path: &[u8], is_directory: bool| {
            is_related(path) && chosen.is_wanted(path, is_directory)
        };
        restored.add(task.one(snapshot, &place, &wanted)?);
    }
    Ok(restored)
}

/// An older snapshot that is damaged too, or has nothing of what is wanted.
fn is_passed_over(error: &CommandError) -> bool {
    matches!(error.kind, ErrorKind::Damage | ErrorKind::Usage)
}

fn is_at_or_below(path: &[u8], ancestor: &[u8]) -> bool {
    match path.strip_prefix(ancestor) {
        Some(rest) => rest.is_empty() || ancestor.is_empty() || rest[0] == b'/',
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_at_or_below;

    #[test]
    fn below_is_below_whole_names() {
        for (path, ancestor, expected) in [
            ("a/b", "a", true),
            ("a", "a", true),
            ("a/b", "", true),
            ("ab", "a", false),
            ("a", "a/b", false),
            ("", "", true),
        ] {
            let found = is_at_or_below(path.as_bytes(), ancestor.as_bytes());
            assert_eq!(found, expected, "{path:?} below {ancestor:?}");
        }
    }
}
