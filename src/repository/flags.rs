//! The state of `gc/`: what is hidden, condemned, closed and fenced.
//!
//! Spec: `format-spec/11-ordering.md`. Read anew by every operation; nothing here is remembered.

use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::{Closed, Condemned, Hide};
use crate::format::record::Record;
use crate::format::wire::FormatError;
use crate::id::{ObjectId, PackId, SessionId, SnapshotId, WriterId};
use crate::repository::keyless::flag_type;
use crate::repository::{RecordLoadError, Repository};
use crate::store::{ObjectKey, StoreExt};
use std::collections::{HashMap, HashSet};

/// What the records under `gc/` say.
#[derive(Debug, Default)]
pub struct Flags {
    /// Packs that a `condemn` or `delete` names, void or not.
    pub named_packs: HashSet<PackId>,
    /// Snapshots that one names.
    pub named_snapshots: HashSet<SnapshotId>,
    /// For closed sessions, the commits that every `closed` record names.
    closed: HashMap<SessionId, HashSet<ObjectId>>,
    /// Writers whose commits count only where a `closed` record names them.
    revoked: HashSet<WriterId>,
    hides: Vec<(ObjectId, Hide)>,
    /// The `condemn` and `delete` records themselves.
    pub prune_records: Vec<PruneRecord>,
    /// Records that could not be read: damage to report, never a reason to delete.
    pub damaged: Vec<RecordLoadError>,
}

/// A `condemn` or `delete` of one prune.
#[derive(Debug, Clone)]
pub struct PruneRecord {
    /// Where it is.
    pub key: ObjectKey,
    /// BLAKE3 of it: the commit's name, if it is a `delete`.
    pub id: ObjectId,
    /// The prune's session.
    pub session: SessionId,
    /// Who prunes.
    pub writer: WriterId,
    /// A `delete`: a commit object.
    pub is_delete: bool,
    /// What it names.
    pub named: Condemned,
}

impl Flags {
    /// What the `delete` records that count name: it counts as absent already.
    pub fn deleted_packs(&self) -> HashSet<PackId> {
        self.counting_deletes()
            .flat_map(|record| record.named.packs.iter().copied())
            .collect()
    }

    /// The `delete` records that count.
    pub fn counting_deletes(&self) -> impl Iterator<Item = &PruneRecord> {
        let records = self.prune_records.iter();
        records.filter(|record| record.is_delete && self.counts_prune(record))
    }

    /// Whether a commit object that `writer` signed in a session counts: every `closed` record of
    /// the session names it, and if the writer is revoked there is one.
    pub fn counts(&self, writer: WriterId, session: SessionId, commit: ObjectId) -> bool {
        match self.closed.get(&session) {
            Some(commits) => commits.contains(&commit),
            None => !self.revoked.contains(&writer),
        }
    }

    /// Whether a prune's `delete` counts.
    pub fn counts_prune(&self, delete: &PruneRecord) -> bool {
        self.counts(delete.writer, delete.session, delete.id)
    }

    /// Whether a session was closed by somebody.
    pub fn is_closed(&self, session: SessionId) -> bool {
        self.closed.contains_key(&session)
    }

    /// Whether a `delete` that counts names a snapshot: it is as good as gone, whatever was raised
    /// for it since. Who holds it or brings it back finds that record, and fails.
    pub fn is_deleted(&self, snapshot: SnapshotId) -> bool {
        self.named_snapshots.contains(&snapshot)
            && self
                .counting_deletes()
                .any(|record| record.named.snapshots.contains(&snapshot))
    }

    /// Whether a snapshot is withdrawn: all of its last hide records say so, or it is deleted.
    pub fn is_hidden(&self, snapshot: SnapshotId) -> bool {
        if self.is_deleted(snapshot) {
            return true;
        }
        let mut any = false;
        for (_, hide) in self.last_hides(snapshot) {
            if !hide.hidden {
                return false;
            }
            any = true;
        }
        any
    }

    /// Whether the last word about a snapshot is that it was withdrawn, or that it is shown again
    /// without the record which says that this came in time: if it is gone, a prune took it.
    pub fn was_withdrawn(&self, snapshot: SnapshotId) -> bool {
        let shows = |hide: &Hide| !hide.hidden && hide.snapshots.contains(&snapshot);
        let mut any = false;
        for (_, last) in self.last_hides(snapshot) {
            let overrules = |(id, hide): &(ObjectId, Hide)| shows(hide) && last.after.contains(id);
            if shows(last) && self.hides.iter().any(overrules) {
                return false;
            }
            any = true;
        }
        any
    }

    /// The ids of the records that decide about a snapshot: a new one names them in `after`.
    pub fn hide_heads(&self, snapshot: SnapshotId) -> Vec<ObjectId> {
        self.last_hides(snapshot).map(|(id, _)| *id).collect()
    }

    fn last_hides(&self, snapshot: SnapshotId) -> impl Iterator<Item = &(ObjectId, Hide)> {
        let about = move |hide: &Hide| hide.snapshots.contains(&snapshot);
        self.hides.iter().filter(move |(id, hide)| {
            let overruled =
                |(_, other): &(ObjectId, Hide)| about(other) && other.after.contains(id);
            about(hide) && !self.hides.iter().any(overruled)
        })
    }

    fn add_closed(&mut self, closed: Closed) {
        let commits: HashSet<_> = closed.commits.into_iter().collect();
        self.closed
            .entry(closed.session)
            .and_modify(|all| all.retain(|commit| commits.contains(commit)))
            .or_insert(commits);
    }

    fn add_named(&mut self, record: PruneRecord) {
        self.named_packs.extend(&record.named.packs);
        self.named_snapshots.extend(&record.named.snapshots);
        self.prune_records.push(record);
    }
}

impl Repository {
    /// Lists and reads `gc/`. A record that is deleted meanwhile belonged to a finished prune.
    pub fn load_flags(&self) -> Result<Flags, RecordLoadError> {
        self.load_flags_of(&|_, _| true)
    }

    /// Lists `gc/` and reads the records that `is_wanted` accepts by their session and ending.
    pub(super) fn load_flags_of(
        &self,
        is_wanted: &dyn Fn(SessionId, &str) -> bool,
    ) -> Result<Flags, RecordLoadError> {
        let mut flags = Flags::revoking(self.access.statement().revoked.clone());
        for info in self.store.list_all(layout::GC)? {
            let name = info.key.file_name();
            let Some((session, what)) = layout::parse_flag(name) else {
                continue;
            };
            if !is_wanted(session, what) {
                continue;
            }
            let Some(object_type) = flag_type(what) else {
                continue;
            };
            match self.load_record(&info.key, object_type, None) {
                Ok(record) => {
                    let added = flags.add(object_type, &info.key, &record);
                    if let Err(source) = added {
                        let key = info.key.to_string();
                        flags.damaged.push(RecordLoadError::Content { key, source });
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_damage() => flags.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(flags)
    }
}

impl Flags {
    /// Where these writers are revoked.
    pub(super) fn revoking(revoked: Vec<WriterId>) -> Self {
        Self {
            revoked: revoked.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(super) fn add(
        &mut self,
        kind: ObjectType,
        key: &ObjectKey,
        record: &Record,
    ) -> Result<(), FormatError> {
        // A record copied to another session's key must not speak for that session.
        let bad = || FormatError::new(kind.name(), "its key names another session");
        let session = record.authorship.session;
        let (named, what) = layout::parse_flag(key.file_name()).ok_or_else(bad)?;
        match kind {
            ObjectType::Closed => {
                let closed = Closed::decode(&record.plain)?;
                if closed.session != named || what != format!("closed.{session}") {
                    return Err(bad());
                }
                self.add_closed(closed);
            }
            ObjectType::Condemn | ObjectType::Delete if named != session => return Err(bad()),
            ObjectType::Hide => self.hides.push((record.id, Hide::decode(&record.plain)?)),
            _ => self.add_named(PruneRecord {
                key: key.clone(),
                id: record.id,
                session: record.authorship.session,
                writer: record.authorship.writer,
                is_delete: kind == ObjectType::Delete,
                named: Condemned::decode(&record.plain)?,
            }),
        }
        Ok(())
    }
}
