//! What a reader does when something is missing: look again before damage is believed.
//!
//! Spec: `format-spec/11-ordering.md`, reader. A prune moves blobs to other packs, and deletes
//! those of snapshots that were forgotten.

use crate::id::{ObjectId, SegmentId, SnapshotId};
use crate::monitor::Silent;
use crate::repository::index::Index;
use crate::repository::{ReadError, RecordLoadError, Repository, SessionError};
use crate::store::StoreErrorKind;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Looks in a row that show nothing new, after which damage is believed at once.
const IDLE_LOOKS_MAX: u32 = 8;

/// Follows what happens to snapshots while they are read.
#[derive(Debug, Default)]
pub(super) struct Follower {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is being read; none: nothing is followed.
    snapshots: Vec<SnapshotId>,
    /// How often a look showed other segments than before.
    generation: u64,
    idle_looks: u32,
}

impl Follower {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn follow(&self, snapshots: Vec<SnapshotId>) {
        self.state().snapshots = snapshots;
    }

    /// Changes whenever the index was brought up to date.
    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    /// After damage was met in an index of the `seen` generation: whether a new attempt is worth
    /// it, because the index shows something else now.
    ///
    /// Errors: a snapshot was withdrawn; the store could not be asked.
    pub(super) fn look_again(
        &self,
        repository: &Repository,
        index: &Index,
        seen: u64,
    ) -> Result<bool, ReadError> {
        let mut state = self.state();
        if state.snapshots.is_empty() {
            return Ok(false);
        }
        // Another thread has looked since.
        if state.generation != seen {
            return Ok(true);
        }
        if state.idle_looks >= IDLE_LOOKS_MAX {
            return Ok(false);
        }
        // Snapshots, then `gc/`, then the index: the order that readers owe.
        let withdrawn = withdrawn(repository, &state.snapshots)?;
        let before: HashSet<SegmentId> = index.visible();
        match repository.refresh_index(index, &Silent) {
            Ok(()) => {}
            Err(SessionError::Store(error)) => return Err(ReadError::Store(error)),
            Err(SessionError::Index(error)) => return Err(ReadError::Index(error)),
            // What was not read may be where the blob is now.
            Err(SessionError::Record(RecordLoadError::Store(error))) if !error.blames_object() => {
                return Err(ReadError::Store(error));
            }
            // Said by whoever lists records; here the blob is what matters.
            Err(_) => {}
        }
        if index.visible() != before {
            (state.generation, state.idle_looks) = (seen + 1, 0);
            return Ok(true);
        }
        if let Some(snapshot) = withdrawn {
            return Err(ReadError::Withdrawn(snapshot));
        }
        state.idle_looks += 1;
        Ok(false)
    }
}

/// The first of the snapshots that is not there, does not count or is hidden. One that is damaged is
/// taken for visible: that is what has to be said of it.
fn withdrawn(
    repository: &Repository,
    snapshots: &[SnapshotId],
) -> Result<Option<SnapshotId>, ReadError> {
    let mut found = Vec::with_capacity(snapshots.len());
    for snapshot in snapshots {
        found.push((*snapshot, repository.load_snapshot(*snapshot)));
    }
    let flags = match repository.load_flags() {
        Ok(flags) => flags,
        Err(RecordLoadError::Store(error)) => return Err(ReadError::Store(error)),
        Err(_) => return Ok(None),
    };
    for (snapshot, found) in found {
        let is_visible = match found {
            Ok(Some(found)) => {
                let counts = flags.counts(found.writer, found.session, ObjectId(snapshot.0));
                counts && !flags.is_hidden(snapshot)
            }
            Err(RecordLoadError::Store(error)) if error.kind == StoreErrorKind::NotFound => false,
            Err(RecordLoadError::Store(error)) => return Err(ReadError::Store(error)),
            Ok(None) | Err(_) => true,
        };
        if !is_visible {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}
