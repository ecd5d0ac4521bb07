//! The snapshots of a repository: listing, visibility, opening.

use crate::crypto::Role;
use crate::env::Timestamp;
use crate::format::certificate::Capabilities;
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::record::Record;
use crate::format::snapshot::{SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain};
use crate::format::wire::FormatError;
use crate::id::{BlobId, DomainTag, ObjectId, SessionId, SnapshotId, WriterId};
use crate::repository::{Flags, RecordLoadError, Repository, object_key};
use crate::selector::Summary;
use crate::store::{ObjectInfo, StoreExt};
use std::collections::BTreeMap;

/// A snapshot whose signature holds and whose label was opened.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Who wrote it.
    pub writer: WriterId,
    /// In which session.
    pub session: SessionId,
    /// Its domain.
    pub domain: DomainTag,
    /// When the store took it, where the store tells.
    pub stored: Option<Timestamp>,
    /// Whether this credential opens its content. Maintenance sees labels only.
    pub readable: bool,
    /// The root directory's links blob.
    pub root: BlobId,
    /// What retention and people need to know.
    pub label: SnapshotLabel,
    record: Record,
}

impl Snapshot {
    /// What selectors and keep rules look at.
    pub fn summary(&self, hidden: bool, proven: bool) -> Summary {
        let label = &self.label;
        Summary {
            id: self.id,
            captured: label.captured,
            stored: self.stored,
            source: label.source.clone(),
            host: label.host.clone(),
            tags: label.tags.clone(),
            labels: BTreeMap::new(),
            job: label.job.clone(),
            set: Some(label.set),
            writer: self.writer,
            complete: label.complete,
            suspect: label.suspect,
            damaged: false,
            proven,
            hidden,
        }
    }

    /// The writer's previous commits, as it knew them.
    pub fn heads(&self) -> Result<Vec<SnapshotId>, RecordLoadError> {
        let plain = SnapshotPlain::decode(&self.record.plain);
        let plain = plain.map_err(|source| RecordLoadError::Content {
            key: layout::snapshot(&self.id),
            source,
        })?;
        Ok(plain.heads)
    }

    /// Opens the body: paths, facts, problems. Needs the right to read the domain.
    pub fn body(&self, repository: &Repository) -> Result<SnapshotBody, RecordLoadError> {
        let key = layout::snapshot(&self.id);
        let bytes = self
            .record
            .open_part(Role::SnapshotBody, &repository.access)
            .map_err(|source| RecordLoadError::Record {
                key: key.clone(),
                source,
            })?;
        SnapshotBody::decode(&bytes).map_err(|source| RecordLoadError::Content { key, source })
    }
}

/// What a listing of snapshots found.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// Visible snapshots, oldest first.
    pub visible: Vec<Snapshot>,
    /// Snapshots withdrawn by `forget`, oldest first.
    pub hidden: Vec<Snapshot>,
    /// Snapshot objects that are damaged.
    pub damaged: Vec<(SnapshotId, RecordLoadError)>,
    /// Snapshots in domains that this credential does not hold.
    pub foreign: usize,
    /// Snapshots that do not count: their session was closed before they appeared, or their writer
    /// is revoked and nobody closed it.
    pub void: Vec<SnapshotId>,
}

impl Repository {
    /// Lists `snapshots/`, then `gc/`, in the order that readers owe (spec, ordering).
    pub fn list_snapshots(&self) -> Result<(SnapshotList, Flags), RecordLoadError> {
        let infos = self.store.list_all(layout::SNAPSHOTS)?;
        let flags = self.load_flags()?;
        let mut list = SnapshotList::default();
        for info in infos {
            let Ok(id) = info.key.file_name().parse::<SnapshotId>() else {
                continue;
            };
            match self.open_snapshot(&info, id) {
                Ok(Some(snapshot))
                    if !flags.counts(snapshot.writer, snapshot.session, ObjectId(id.0)) =>
                {
                    list.void.push(id);
                }
                Ok(Some(snapshot)) if flags.is_hidden(id) => list.hidden.push(snapshot),
                Ok(Some(snapshot)) => list.visible.push(snapshot),
                Ok(None) => list.foreign += 1,
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_damage() => list.damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        let by_time = |snapshot: &Snapshot| (snapshot.label.captured, snapshot.id);
        list.visible.sort_by_key(by_time);
        list.hidden.sort_by_key(by_time);
        Ok((list, flags))
    }

    /// Opens one snapshot by id, visible or not.
    pub fn load_snapshot(&self, id: SnapshotId) -> Result<Option<Snapshot>, RecordLoadError> {
        let key = object_key(layout::snapshot(&id))?;
        let info = self.store.stat(&key)?;
        self.open_snapshot(&info, id)
    }

    /// `None` for a snapshot in a domain that this credential does not hold.
    fn open_snapshot(
        &self,
        info: &ObjectInfo,
        id: SnapshotId,
    ) -> Result<Option<Snapshot>, RecordLoadError> {
        let record = self.load_record(&info.key, ObjectType::Snapshot, Some(ObjectId(id.0)))?;
        let content = |source: FormatError| RecordLoadError::Content {
            key: info.key.to_string(),
            source,
        };
        let open = |role| match record.open_part(role, &self.access) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(crate::format::record::RecordError::Key(
                _,
                crate::format::envelope::UnwrapError::NotARecipient(_),
            )) => Ok(None),
            Err(source) => Err(RecordLoadError::Record {
                key: info.key.to_string(),
                source,
            }),
        };
        let (Some(label), Some(links)) = (open(Role::SnapshotLabel)?, open(Role::SnapshotLinks)?)
        else {
            return Ok(None);
        };
        let label = SnapshotLabel::decode(&label).map_err(content)?;
        let links = SnapshotLinks::decode(&links).map_err(content)?;
        let domain = record.envelope.domain;
        let reads = self.access.capabilities().includes(Capabilities::READ);
        if reads && self.access.id_key(domain).is_none() {
            return Ok(None);
        }
        Ok(Some(Snapshot {
            id,
            writer: record.authorship.writer,
            session: record.authorship.session,
            readable: self.access.may_read(domain),
            domain,
            stored: info.modified,
            root: links.root,
            label,
            record,
        }))
    }
}
