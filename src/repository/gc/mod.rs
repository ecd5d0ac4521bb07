//! What forget and prune store and see: their records, sessions as others see them, commits by
//! their roots, blobs that are moved without being opened.
//!
//! Spec: `format-spec/11-ordering.md`.

mod blobs;
mod mover;
mod sessions;

pub use blobs::{PackPlace, PackSource};
pub use mover::{BlobMover, MoveError, Moved};
pub use sessions::SessionState;

use crate::crypto::Role;
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::{Condemned, Hide};
use crate::format::snapshot::SnapshotLinks;
use crate::id::{BlobId, ObjectId, SessionId, SnapshotId, WriterId};
use crate::repository::{RecordLoadError, Repository, SessionError, object_key};
use crate::store::StoreExt;

/// The credential has no right to maintain the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this credential may not {0}; it needs the maintenance capability")]
pub struct NotMaintainer(pub &'static str);

/// A snapshot as prune sees it: no label, no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The snapshot.
    pub id: SnapshotId,
    /// Who wrote it.
    pub writer: WriterId,
    /// In which session.
    pub session: SessionId,
    /// Its root directory's links blob.
    pub root: BlobId,
}

impl Repository {
    /// Lists `snapshots/` and opens the links of each. Needs no domain's keys but maintenance's.
    /// One that cannot be opened is an error: what it needs is not known.
    pub fn list_commits(&self) -> Result<Vec<Commit>, RecordLoadError> {
        let mut commits = Vec::new();
        for info in self.store.list_all(layout::SNAPSHOTS)? {
            let Ok(id) = info.key.file_name().parse::<SnapshotId>() else {
                continue;
            };
            let name = Some(ObjectId(id.0));
            let record = match self.load_record(&info.key, ObjectType::Snapshot, name) {
                Ok(record) => record,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let key = info.key.to_string();
            let links = match record.open_part(Role::SnapshotLinks, &self.access) {
                Ok(links) => links,
                Err(source) => return Err(RecordLoadError::Record { key, source }),
            };
            let links = SnapshotLinks::decode(&links)
                .map_err(|source| RecordLoadError::Content { key, source })?;
            commits.push(Commit {
                id,
                writer: record.authorship.writer,
                session: record.authorship.session,
                root: links.root,
            });
        }
        Ok(commits)
    }

    /// Stores a hide record or its counter-record, durably.
    pub fn put_hide(
        &self,
        snapshots: Vec<SnapshotId>,
        hidden: bool,
        after: Vec<ObjectId>,
    ) -> Result<(), SessionError> {
        let name = SessionId(self.entropy().array()?);
        let plain = Hide {
            snapshots,
            hidden,
            after,
        }
        .encode();
        let key = layout::gc(&name, "hide");
        self.put_flag(key, ObjectType::Hide, SessionId::default(), &plain)?;
        Ok(self.store.barrier()?)
    }

    /// Stores `gc/R.condemn`, durably.
    pub fn put_condemn(&self, prune: SessionId, named: &Condemned) -> Result<(), SessionError> {
        let key = layout::gc(&prune, "condemn");
        self.put_flag(key, ObjectType::Condemn, prune, &named.encode())?;
        Ok(self.store.barrier()?)
    }

    /// Stores `gc/R.delete`, durably: the commit of a prune.
    pub fn put_delete(&self, prune: SessionId, named: &Condemned) -> Result<(), SessionError> {
        let key = layout::gc(&prune, "delete");
        self.put_flag(key, ObjectType::Delete, prune, &named.encode())?;
        Ok(self.store.barrier()?)
    }

    /// Removes what says that a session was closed: a planted mistake.
    pub(crate) fn remove_closed(&self, session: SessionId) -> Result<(), SessionError> {
        let closed = format!("{session}.closed.");
        for info in self.store.list_all(layout::GC)? {
            if info.key.file_name().starts_with(&closed) {
                self.store.delete(&info.key)?;
            }
        }
        Ok(())
    }

    /// Removes the records of a prune that is done, or that never will delete.
    pub fn remove_prune_records(&self, prune: SessionId) -> Result<(), SessionError> {
        for what in ["condemn", "delete"] {
            self.store.delete(&object_key(layout::gc(&prune, what))?)?;
        }
        Ok(self.store.barrier()?)
    }
}
