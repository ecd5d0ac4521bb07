//! Holds: snapshots that may not be deleted, whatever a policy says.
//!
//! Spec: `format-spec/11-ordering.md`, hold. Objects never change, so a hold is released by a
//! second record that names it.

use crate::crypto::{KemError, Role};
use crate::env::Timestamp;
use crate::format::certificate::Capabilities;
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::{Hold, HoldReason};
use crate::id::{ObjectId, SnapshotId, WriterId};
use crate::repository::gc::NotMaintainer;
use crate::repository::{
    KeepError, KeyError, LinkRecordError, RecordLoadError, Repository, SessionError, object_key,
};
use crate::store::StoreExt;

/// One hold as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldEntry {
    /// Its name: what releases it.
    pub id: ObjectId,
    /// What it holds.
    pub snapshot: SnapshotId,
    /// Until when; without one, until released.
    pub until: Option<Timestamp>,
    /// Why; `None` where this credential cannot open it.
    pub reason: Option<String>,
    /// Who asked for it.
    pub writer: WriterId,
    /// When, by that writer's clock.
    pub created: Timestamp,
    /// Whether somebody released it.
    pub released: bool,
}

impl HoldEntry {
    /// Whether it still holds at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        !self.released && self.until.is_none_or(|until| now < until)
    }
}

/// All holds, released and expired ones included.
#[derive(Debug, Default)]
pub struct Holds {
    /// Oldest first.
    pub entries: Vec<HoldEntry>,
    /// Records that could not be read: each may be a hold, so nothing is deleted meanwhile.
    pub damaged: Vec<RecordLoadError>,
}

impl Holds {
    /// Whether a hold names the snapshot at `now`.
    pub fn is_held(&self, snapshot: SnapshotId, now: Timestamp) -> bool {
        self.active(now).any(|hold| hold.snapshot == snapshot)
    }

    /// The holds that hold at `now`.
    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = &HoldEntry> {
        self.entries.iter().filter(move |hold| hold.is_active(now))
    }
}

/// A hold could not be placed or released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The credential may not.
    #[error(transparent)]
    NotMaintainer(#[from] NotMaintainer),
    /// The snapshot cannot be kept.
    #[error(transparent)]
    Keep(KeepError),
    /// There is no such hold.
    #[error("there is no hold {}", .0.short())]
    NoSuchHold(ObjectId),
    /// The default domain is missing.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The reason's key could not be wrapped.
    #[error("cannot wrap the hold's key")]
    Wrap(#[from] KemError),
    /// Storing or reading failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl HoldError {
    /// Whether another operation or the state of the snapshot stands against it.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Keep(_))
    }
}

impl From<KeepError> for HoldError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Session(error) => Self::Session(error),
            error => Self::Keep(error),
        }
    }
}

impl From<RecordLoadError> for HoldError {
    fn from(error: RecordLoadError) -> Self {
        Self::Session(error.into())
    }
}

impl From<LinkRecordError> for HoldError {
    fn from(error: LinkRecordError) -> Self {
        match error {
            LinkRecordError::Keys(error) => error.into(),
            LinkRecordError::Wrap(error) => error.into(),
            LinkRecordError::Entropy(error) => Self::Session(error.into()),
            LinkRecordError::Store(error) => Self::Session(error.into()),
        }
    }
}

impl Repository {
    /// Lists `holds/`.
    pub fn load_holds(&self) -> Result<Holds, RecordLoadError> {
        let mut holds = Holds::default();
        let mut released = Vec::new();
        for info in self.store.list_all(layout::HOLDS)? {
            let Ok(id) = info.key.file_name().parse::<ObjectId>() else {
                continue;
            };
            match self.load_hold(id) {
                Ok((_, Some(hold))) => released.push(hold),
                Ok((entry, None)) => holds.entries.push(entry),
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_damage() => holds.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        for entry in &mut holds.entries {
            entry.released = released.contains(&entry.id);
        }
        holds.entries.sort_by_key(|entry| (entry.created, entry.id));
        Ok(holds)
    }

    /// A hold, and the one it releases if it is a release.
    fn load_hold(&self, id: ObjectId) -> Result<(HoldEntry, Option<ObjectId>), RecordLoadError> {
        let key = object_key(layout::by_content(layout::HOLDS, &id))?;
        let record = self.load_record(&key, ObjectType::Hold, Some(id))?;
        let content = |source| RecordLoadError::Content {
            key: key.to_string(),
            source,
        };
        let hold = Hold::decode(&record.plain).map_err(content)?;
        let reason = match record.open_part(Role::Record, &self.access) {
            Ok(bytes) => Some(HoldReason::decode(&bytes).map_err(content)?.reason),
            // The reason is for people; the hold counts without it.
            Err(_) => None,
        };
        let entry = HoldEntry {
            id,
            snapshot: hold.snapshot,
            until: hold.until,
            reason,
            writer: record.authorship.writer,
            created: record.authorship.created,
            released: false,
        };
        Ok((entry, hold.releases))
    }

    /// Fails where [`Repository::add_hold`] would. Changes nothing.
    pub fn check_hold(&self, snapshot: SnapshotId) -> Result<(), HoldError> {
        self.require_maintain("hold snapshots")?;
        self.access.check_standing()?;
        Ok(self.look_to_keep(snapshot, &self.load_flags()?)?)
    }

    /// Fails where [`Repository::release_hold`] would for any hold. Changes nothing.
    pub fn check_release(&self) -> Result<(), HoldError> {
        self.require_maintain("release holds")?;
        Ok(self.access.check_standing()?)
    }

    /// Places a hold: first the record, durable, then a look at what a prune is doing. When this
    /// succeeds the snapshot is visible and stays until the hold ends. A hold that fails loudly
    /// is released again.
    pub fn add_hold(
        &self,
        snapshot: SnapshotId,
        until: Option<Timestamp>,
        reason: &str,
    ) -> Result<ObjectId, HoldError> {
        self.require_maintain("hold snapshots")?;
        let id = self.put_hold(
            &Hold {
                snapshot,
                until,
                releases: None,
            },
            reason,
        )?;
        let flags = self.load_flags()?;
        if let Err(error) = self.look_to_keep(snapshot, &flags) {
            self.release_hold(id, "it could not be placed")?;
            return Err(error.into());
        }
        if flags.was_withdrawn(snapshot) {
            self.show_again(&[snapshot], &flags)?;
        }
        Ok(id)
    }

    /// Ends a hold. Releasing twice is harmless.
    pub fn release_hold(&self, id: ObjectId, reason: &str) -> Result<(), HoldError> {
        self.require_maintain("release holds")?;
        let snapshot = match self.load_hold(id) {
            Ok((entry, None)) => entry.snapshot,
            Ok((_, Some(_))) => return Err(HoldError::NoSuchHold(id)),
            Err(error) if error.is_not_found() => return Err(HoldError::NoSuchHold(id)),
            Err(error) => return Err(error.into()),
        };
        let release = Hold {
            snapshot,
            until: None,
            releases: Some(id),
        };
        self.put_hold(&release, reason)?;
        Ok(())
    }

    /// Stores a hold record, durably. Its reason is sealed under a link key of its own.
    fn put_hold(&self, hold: &Hold, reason: &str) -> Result<ObjectId, HoldError> {
        let content = HoldReason {
            reason: reason.to_owned(),
        }
        .encode();
        Ok(self.put_link_record(ObjectType::Hold, layout::HOLDS, &hold.encode(), &content)?)
    }

    /// Refuses a credential without the right to maintain.
    pub fn require_maintain(&self, what: &'static str) -> Result<(), NotMaintainer> {
        match self.access.capabilities().includes(Capabilities::MAINTAIN) {
            true => Ok(()),
            false => Err(NotMaintainer(what)),
        }
    }
}
