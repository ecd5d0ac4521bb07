//! What a record of an audit chain says: its place in the chain in the clear, its events sealed.
//!
//! Spec: `format-spec/17-audit.md`.

use crate::env::Timestamp;
use crate::event::{Actor, Event, Phase, Status};
use crate::format::wire::cbor_structure;
use crate::id::{ObjectId, SessionId, SnapshotId};
use minicbor::{Decode, Encode};

/// Most heads of other chains that one record names.
pub const AUDIT_HEADS_MAX: usize = 64;

/// Most events of one record that is written.
pub const AUDIT_EVENTS_MAX: usize = 256;

/// A record's place in its chain: anyone may verify it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditPlace {
    /// From 1, without gaps.
    #[n(0)]
    pub number: u64,
    /// The record before it in its chain; none for the first.
    #[n(1)]
    pub previous: Option<ObjectId>,
    /// The newest records of other chains that its writer had seen: chain, number, id.
    #[n(2)]
    pub heads: Vec<(SessionId, u64, ObjectId)>,
}

/// The sealed part: who did what.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditContent {
    /// The user the program ran as.
    #[n(0)]
    pub user: String,
    /// The host.
    #[n(1)]
    pub host: String,
    /// The process.
    #[n(2)]
    pub process: u32,
    /// The program and its version.
    #[n(3)]
    pub program: String,
    /// Seconds that the writer's zone is ahead of UTC.
    #[n(4)]
    pub offset: i32,
    /// What was done, in order.
    #[n(5)]
    pub events: Vec<AuditEvent>,
}

/// One event. Names are text, so that a later program's events can still be read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditEvent {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// Its name, such as `backup_create_start`.
    #[n(1)]
    pub name: String,
    /// What came of it.
    #[n(2)]
    pub status: AuditStatus,
    /// In words.
    #[n(3)]
    pub details: String,
    /// The snapshot.
    #[n(4)]
    pub snapshot: Option<SnapshotId>,
    /// The source's identity.
    #[n(5)]
    pub source: Option<String>,
    /// The job.
    #[n(6)]
    pub job: Option<String>,
    /// Where.
    #[n(7)]
    pub location: Option<String>,
    /// How much, bytes.
    #[n(8)]
    pub bytes: Option<u64>,
    /// Whether what was written or read is what it should be, where that was looked at.
    #[n(9)]
    pub verified: Option<bool>,
}

/// [`Status`] by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum AuditStatus {
    /// Nothing yet.
    #[n(0)]
    Info,
    /// Done.
    #[n(1)]
    Success,
    /// Done, and something about it is not as it should be.
    #[n(2)]
    Warning,
    /// Not done, or what was found is bad.
    #[n(3)]
    Error,
}

impl From<Status> for AuditStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Info => Self::Info,
            Status::Success => Self::Success,
            Status::Warning => Self::Warning,
            Status::Error => Self::Error,
        }
    }
}

impl From<AuditStatus> for Status {
    fn from(status: AuditStatus) -> Self {
        match status {
            AuditStatus::Info => Self::Info,
            AuditStatus::Success => Self::Success,
            AuditStatus::Warning => Self::Warning,
            AuditStatus::Error => Self::Error,
        }
    }
}

impl From<&Event> for AuditEvent {
    fn from(event: &Event) -> Self {
        Self {
            time: event.time,
            name: event.name(),
            status: event.status.into(),
            details: event.details.clone(),
            snapshot: event.subject.snapshot,
            source: event.subject.source.clone(),
            job: event.subject.job.clone(),
            location: event.subject.location.clone(),
            bytes: event.bytes,
            verified: event.verified,
        }
    }
}

impl AuditEvent {
    /// Whether it tells of a beginning, by its name.
    pub fn phase(&self) -> Phase {
        match self.name.ends_with("_start") {
            true => Phase::Start,
            false => Phase::Complete,
        }
    }
}

impl AuditContent {
    /// What an actor did, in a zone that is so many seconds ahead of UTC.
    pub fn new(actor: &Actor, program: String, offset: i32, events: &[Event]) -> Self {
        Self {
            user: actor.user.clone(),
            host: actor.host.clone(),
            process: actor.process,
            program,
            offset,
            events: events.iter().map(AuditEvent::from).collect(),
        }
    }
}

cbor_structure!(AuditPlace, "audit place");
cbor_structure!(AuditContent, "audit content");
