//! The newest commit of this credential.

use crate::id::SnapshotId;
use crate::repository::{Flags, RecordLoadError, Repository, SnapshotList};

impl Repository {
    /// What the next snapshot of this credential names as its previous commits: the newest that no
    /// other of them names. One whose session is just being closed may turn out never to have counted.
    pub fn own_heads(
        &self,
        list: &SnapshotList,
        flags: &Flags,
    ) -> Result<Vec<SnapshotId>, RecordLoadError> {
        let writer = self.access().writer();
        for own in list.visible.iter().rev().filter(|s| s.writer == writer) {
            if !self.is_undecided(own.session, flags)? {
                return Ok(vec![own.id]);
            }
        }
        Ok(Vec::new())
    }
}
