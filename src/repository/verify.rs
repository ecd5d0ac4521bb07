//! Whether a small object (anything but a pack) is what its name says.

use crate::crypto::Role;
use crate::format::document::{Config, EpochStatement};
use crate::format::envelope::{ObjectType, UnwrapError};
use crate::format::keyring::Keyring;
use crate::format::layout;
use crate::format::protocol::{
    Closed, Condemned, Hide, Hold, HoldReason, Proof, SessionBeat, SessionEnd, SessionOpen, Set,
};
use crate::format::record::{Record, RecordError};
use crate::format::segment::decode_segment;
use crate::format::slot::Slot;
use crate::format::snapshot::{SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain};
use crate::format::wire::FormatError;
use crate::id::{ObjectId, SessionId};
use crate::repository::Repository;
use crate::store::ObjectKey;

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectFault {
    /// No object of a repository is called this.
    #[error("its name is none that an object has")]
    Unknown,
    /// Its bytes are not those it was named by.
    #[error("its bytes do not hash to its name")]
    Name,
    /// It belongs under another name.
    #[error("it belongs to another session than its name says")]
    Session,
    /// Its bytes break the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It is no good record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is whole, and another repository's: what an `init` that did not finish leaves behind.
    #[error("it belongs to another repository")]
    Foreign,
    /// The root did not sign it.
    #[error("it is not signed by this repository's root")]
    Root,
}

impl Repository {
    /// Verifies an object that is no pack: its name, its signature, everything in it that this
    /// credential can open.
    pub fn verify_object(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), ObjectFault> {
        let (prefix, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
        match prefix {
            "" if name == layout::CONFIG => self.verify_config(bytes),
            layout::SLOTS => {
                check_name(bytes, name.parse().ok())?;
                self.check_repository(bytes)?;
                let slot = Slot::decode(bytes, self.suite, self.config.repository)?;
                match slot.is_signed_by(self.access.root()) {
                    true => Ok(()),
                    false => Err(ObjectFault::Root),
                }
            }
            layout::RINGS => {
                check_name(bytes, layout::parse_numbered(name).map(|(_, id)| id))?;
                self.check_repository(bytes)?;
                self.verify_ring(name, bytes)
            }
            layout::STATEMENTS => {
                check_name(bytes, layout::parse_numbered(name).map(|(_, id)| id))?;
                // It names no repository: only the root that signed it tells whose it is.
                let statement = EpochStatement::decode(bytes, self.access.root())
                    .map_err(|_| ObjectFault::Foreign)?;
                check_number(name, statement.number)
            }
            layout::SESSIONS | layout::GC => self.verify_flag(name, bytes),
            _ => {
                check_name(bytes, name.parse().ok())?;
                self.verify_record(prefix, bytes)
            }
        }
    }

    /// Slots and rings have magic 8 ‖ version 1 ‖ suite 1 ‖ repository 16 in front.
    fn check_repository(&self, bytes: &[u8]) -> Result<(), ObjectFault> {
        match bytes.get(10..26) {
            Some(named) if named != self.config.repository.as_bytes() => Err(ObjectFault::Foreign),
            _ => Ok(()),
        }
    }

    fn verify_config(&self, bytes: &[u8]) -> Result<(), ObjectFault> {
        let config = Config::decode(bytes)?;
        match config.is_rooted_in(self.access.root()) && config == self.config {
            true => Ok(()),
            false => Err(ObjectFault::Root),
        }
    }

    /// A ring under another generation's key is verified as far as its signature goes.
    fn verify_ring(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectFault> {
        let Some(key) = self.access.ring_key() else {
            return Ok(());
        };
        let (suite, repository) = (self.suite, self.config.repository);
        match Keyring::open(bytes, suite, repository, key, self.access.root())? {
            Some(ring) => check_number(name, ring.number),
            None => Ok(()),
        }
    }

    fn verify_flag(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectFault> {
        let (session, what) = layout::parse_flag(name).ok_or(ObjectFault::Unknown)?;
        let (kind, rest) = what.split_once('.').unwrap_or((what, ""));
        let object_type = match kind {
            // Its being there is all that it says.
            "fence" => return Ok(()),
            "open" => ObjectType::SessionOpen,
            "beat" => ObjectType::SessionBeat,
            "end" => ObjectType::SessionEnd,
            "closed" => ObjectType::Closed,
            "condemn" => ObjectType::Condemn,
            "delete" => ObjectType::Delete,
            "hide" => ObjectType::Hide,
            _ => return Err(ObjectFault::Unknown),
        };
        let record = Record::decode(bytes, object_type, self.access.root())?;
        let plain = &record.plain;
        let author = match object_type {
            ObjectType::SessionOpen => SessionOpen::decode(plain).map(|_| session),
            ObjectType::SessionBeat => {
                SessionBeat::decode(plain).map(|beat| match rest.parse() == Ok(beat.number) {
                    true => session,
                    false => SessionId::default(),
                })
            }
            ObjectType::SessionEnd => SessionEnd::decode(plain).map(|_| session),
            ObjectType::Closed => {
                let closed = Closed::decode(plain)?;
                let same = closed.session == session;
                Ok(rest.parse().ok().filter(|_| same).unwrap_or_default())
            }
            // Withdrawing needs no session: its name is only a random one.
            ObjectType::Hide => Hide::decode(plain).map(|_| record.authorship.session),
            _ => Condemned::decode(plain).map(|_| session),
        }?;
        match record.authorship.session == author {
            true => Ok(()),
            false => Err(ObjectFault::Session),
        }
    }

    fn verify_record(&self, prefix: &str, bytes: &[u8]) -> Result<(), ObjectFault> {
        let decode = |object_type| Record::decode(bytes, object_type, self.access.root());
        match prefix {
            layout::SEGMENTS => {
                let record = decode(ObjectType::Segment)?;
                self.verify_part(&record, Role::Segment, |rows| {
                    decode_segment(rows).map(drop)
                })
            }
            layout::SNAPSHOTS => {
                let record = decode(ObjectType::Snapshot)?;
                SnapshotPlain::decode(&record.plain)?;
                self.verify_part(&record, Role::SnapshotBody, |body| {
                    SnapshotBody::decode(body).map(drop)
                })?;
                self.verify_part(&record, Role::SnapshotLabel, |label| {
                    SnapshotLabel::decode(label).map(drop)
                })?;
                self.verify_part(&record, Role::SnapshotLinks, |links| {
                    SnapshotLinks::decode(links).map(drop)
                })
            }
            layout::SETS => {
                let record = decode(ObjectType::Set)?;
                self.verify_part(&record, Role::Record, |set| Set::decode(set).map(drop))
            }
            layout::PROOFS => {
                let record = decode(ObjectType::Proof)?;
                self.verify_part(&record, Role::Record, |proof| {
                    Proof::decode(proof).map(drop)
                })
            }
            layout::HOLDS => {
                let record = decode(ObjectType::Hold)?;
                Hold::decode(&record.plain)?;
                match record.parts.is_empty() {
                    true => Ok(()),
                    false => self.verify_part(&record, Role::Record, |reason| {
                        HoldReason::decode(reason).map(drop)
                    }),
                }
            }
            _ => Err(ObjectFault::Unknown),
        }
    }

    /// Opens and decodes a part. One that is sealed for others is taken as it is.
    fn verify_part(
        &self,
        record: &Record,
        role: Role,
        decode: impl FnOnce(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), ObjectFault> {
        match record.open_part(role, &self.access) {
            Ok(plain) => Ok(decode(&plain)?),
            Err(RecordError::Key(_, UnwrapError::NotARecipient(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn check_name(bytes: &[u8], id: Option<ObjectId>) -> Result<(), ObjectFault> {
    let id = id.ok_or(ObjectFault::Unknown)?;
    match blake3::hash(bytes).as_bytes() == id.as_bytes() {
        true => Ok(()),
        false => Err(ObjectFault::Name),
    }
}

fn check_number(name: &str, number: u64) -> Result<(), ObjectFault> {
    match layout::parse_numbered(name).is_some_and(|(named, _)| named == number) {
        true => Ok(()),
        false => Err(ObjectFault::Name),
    }
}
