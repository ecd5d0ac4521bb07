//! What the protocol's records say in the clear, and the contents of sets, proofs and holds.
//!
//! Spec: `format-spec/11-ordering.md` and `07-record.md`.

use crate::env::Timestamp;
use crate::format::wire::cbor_structure;
use crate::id::{ObjectId, PackId, SegmentId, SessionId, SetId, SnapshotId};
use minicbor::{Decode, Encode};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SessionKind {
    /// Writes snapshots.
    #[n(0)]
    Write,
    /// Prunes.
    #[n(1)]
    Prune,
}

/// `sessions/S.open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionOpen {
    /// What it is for.
    #[n(0)]
    pub kind: SessionKind,
}

/// `sessions/S.beat.n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionBeat {
    /// The n-th sign of life.
    #[n(0)]
    pub number: u64,
}

/// `sessions/S.end`: finished, all commit PUTs acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct SessionEnd {
    /// The session's commits.
    #[n(0)]
    pub commits: Vec<ObjectId>,
}

/// `gc/S.closed.K`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Closed {
    /// The session that is closed.
    #[n(0)]
    pub session: SessionId,
    /// Those of its commit objects that count.
    #[n(1)]
    pub commits: Vec<ObjectId>,
}

/// `gc/R.condemn` and `gc/R.delete`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Condemned {
    /// Packs.
    #[n(0)]
    pub packs: Vec<PackId>,
    /// Segments.
    #[n(1)]
    pub segments: Vec<SegmentId>,
    /// Snapshots.
    #[n(2)]
    pub snapshots: Vec<SnapshotId>,
}

/// `gc/F.hide`: withdraws snapshots, or shows them again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hide {
    /// Which.
    #[n(0)]
    pub snapshots: Vec<SnapshotId>,
    /// Whether they are hidden by this record or shown again. Of the records about a snapshot
    /// only those count that no other one names in `after`; it is hidden when all of these say so.
    #[n(1)]
    pub hidden: bool,
    /// The hide records about these snapshots that the writer had seen.
    #[n(2)]
    pub after: Vec<ObjectId>,
}

/// The sealed part of a set: all snapshots of one run, written last.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Set {
    /// The run.
    #[n(0)]
    pub id: SetId,
    /// Its snapshots.
    #[n(1)]
    pub snapshots: Vec<SnapshotId>,
    /// Whether every source asked for has one.
    #[n(2)]
    pub complete: bool,
}

/// What kind of proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ProofKind {
    /// Every byte of these packs was read, opened, decoded and compared.
    #[n(0)]
    ReadData,
    /// Every reference of these snapshots resolves.
    #[n(1)]
    Structure,
    /// The snapshot was restored and its engine's checks passed.
    #[n(2)]
    Drill,
}

/// The sealed part of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Proof {
    /// What was done.
    #[n(0)]
    pub kind: ProofKind,
    /// When it was finished.
    #[n(1)]
    pub finished: Timestamp,
    /// Packs proven, each with BLAKE3 of its encoded rows.
    #[n(2)]
    pub packs: Vec<(PackId, ObjectId)>,
    /// Snapshots proven.
    #[n(3)]
    pub snapshots: Vec<SnapshotId>,
    /// How long it took, milliseconds: of a drill, the measured RTO.
    #[n(4)]
    pub milliseconds: u64,
    /// What was found, for people.
    #[n(5)]
    pub remark: String,
}

/// The plain part of a hold: prune must see it without any key but its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hold {
    /// What may not be deleted.
    #[n(0)]
    pub snapshot: SnapshotId,
    /// Until when; without one, until released.
    #[n(1)]
    pub until: Option<Timestamp>,
    /// The hold this one releases.
    #[n(2)]
    pub releases: Option<ObjectId>,
}

/// The sealed part of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HoldReason {
    /// Why, for people.
    #[n(0)]
    pub reason: String,
}

cbor_structure!(SessionOpen, "session open");
cbor_structure!(SessionBeat, "session beat");
cbor_structure!(SessionEnd, "session end");
cbor_structure!(Closed, "closed");
cbor_structure!(Condemned, "condemn or delete");
cbor_structure!(Hide, "hide");
cbor_structure!(Set, "set");
cbor_structure!(Proof, "proof");
cbor_structure!(Hold, "hold");
cbor_structure!(HoldReason, "hold reason");
