//! Whether a snapshot can still be kept, and showing a withdrawn one again.
//!
//! Spec: `format-spec/11-ordering.md`, hold and undo. Whoever keeps a snapshot raises its flag
//! first, durably, and then takes this look.

use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::record::Authorship;
use crate::id::{ObjectId, SessionId, SnapshotId};
use crate::planted::{self, Bug};
use crate::repository::{
    Flags, PruneRecord, RecordLoadError, Repository, SessionError, object_key,
};
use crate::store::StoreError;
use std::collections::BTreeSet;

/// A snapshot cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// A prune is about to delete it: it was forgotten before.
    #[error("snapshot {} was forgotten, and a prune is deleting it", .0.short())]
    Condemned(SnapshotId),
    /// There is no such snapshot (any more).
    #[error("there is no snapshot {}", .0.short())]
    Gone(SnapshotId),
    /// Its session is being closed, and may be closed without it.
    #[error(
        "a prune is just closing the unfinished session that wrote snapshot {}: whether the \
         snapshot counts is decided when that is done; try again then",
        .0.short()
    )]
    Undecided(SnapshotId),
    /// Storing or reading failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<StoreError> for KeepError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl From<RecordLoadError> for KeepError {
    fn from(error: RecordLoadError) -> Self {
        Self::Session(error.into())
    }
}

impl Repository {
    /// Looks whether a snapshot is there, counts whatever closers do, and is on no prune's list.
    pub(crate) fn look_to_keep(&self, id: SnapshotId, flags: &Flags) -> Result<(), KeepError> {
        let deletes =
            |record: &PruneRecord| record.is_delete && record.named.snapshots.contains(&id);
        let is_named = match planted::has(Bug::HoldLooksForDeleteOnly) {
            true => flags.prune_records.iter().any(deletes),
            false => flags.named_snapshots.contains(&id),
        };
        if is_named {
            return Err(KeepError::Condemned(id));
        }
        let key = object_key(layout::snapshot(&id))?;
        let record = match self.load_record(&key, ObjectType::Snapshot, Some(ObjectId(id.0))) {
            Ok(record) => record,
            Err(error) if error.is_not_found() => return Err(KeepError::Gone(id)),
            Err(error) => return Err(error.into()),
        };
        let Authorship {
            writer, session, ..
        } = record.authorship;
        if !flags.counts(writer, session, ObjectId(id.0)) {
            return Err(KeepError::Gone(id));
        }
        match self.is_undecided(session, flags)? {
            true => Err(KeepError::Undecided(id)),
            false => Ok(()),
        }
    }

    /// Of a snapshot that was seen before: whether somebody is closing its session, and may have
    /// looked for commits too early to find it. Where there is no fence yet, whoever raises one
    /// finds the snapshot.
    pub(crate) fn is_undecided(
        &self,
        session: SessionId,
        flags: &Flags,
    ) -> Result<bool, RecordLoadError> {
        let decided = flags.is_closed(session) || planted::has(Bug::HoldIgnoresFence);
        Ok(!decided && self.is_fenced(session)?)
    }

    /// Shows withdrawn snapshots again: first a record that no prune overlooks, then a look, then
    /// a second record that says the look went well. Only when this succeeds they stay.
    pub(crate) fn show_again(&self, ids: &[SnapshotId], flags: &Flags) -> Result<(), KeepError> {
        if ids.iter().any(|id| flags.is_hidden(*id)) {
            self.put_hide(ids.to_vec(), false, heads(flags, ids))?;
        }
        let flags = self.load_flags()?;
        for id in ids {
            self.look_to_keep(*id, &flags)?;
        }
        Ok(self.put_hide(ids.to_vec(), false, heads(&flags, ids))?)
    }
}

/// The hide records that a new one about these snapshots overrules.
pub(crate) fn heads(flags: &Flags, snapshots: &[SnapshotId]) -> Vec<ObjectId> {
    let heads: BTreeSet<_> = snapshots
        .iter()
        .flat_map(|id| flags.hide_heads(*id))
        .collect();
    heads.into_iter().collect()
}
