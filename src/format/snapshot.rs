//! Snapshots: the commit objects of writers, sealed in three parts and signed.
//!
//! Spec: `format-spec/10-snapshot.md`. Links say what is reachable, the label what retention
//! needs, the body everything a person wants to know.

use crate::entry::{Fact, Facts};
use crate::env::Timestamp;
use crate::format::wire::cbor_structure;
use crate::id::{BlobId, SetId, SnapshotId};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// What anyone may read of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotPlain {
    /// The writer's previous commits: a missing one shows that the store rolled back.
    #[n(0)]
    pub heads: Vec<SnapshotId>,
}

/// The links part, under LK.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotLinks {
    /// The links blob of the root directory.
    #[n(0)]
    pub root: BlobId,
}

/// Sizes and counts of one capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Totals {
    /// Regular files.
    #[n(0)]
    pub files: u64,
    /// Directories.
    #[n(1)]
    pub directories: u64,
    /// Bytes of content, holes counted.
    #[n(2)]
    pub bytes: u64,
    /// Chunks referred to.
    #[n(3)]
    pub chunks: u64,
    /// Chunks that the repository did not have.
    #[n(4)]
    pub chunks_new: u64,
    /// Of those, stored as deltas.
    #[n(5)]
    pub chunks_delta: u64,
    /// Plaintext bytes that the repository did not have.
    #[n(6)]
    pub bytes_new: u64,
    /// Bytes that the repository grew by, metadata included.
    #[n(7)]
    pub bytes_stored: u64,
    /// How long it took, milliseconds.
    #[n(8)]
    pub milliseconds: u64,
}

/// The label part, under LK: what forget and prune need. No personal data, no path.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotLabel {
    /// Identity of the source: scheme and name, without user and password.
    #[n(0)]
    pub source: String,
    /// Host name.
    #[n(1)]
    pub host: String,
    /// When the capture was consistent, by the writer's clock.
    #[n(2)]
    pub captured: Timestamp,
    /// User's tags, key and value.
    #[n(3)]
    pub tags: BTreeMap<String, String>,
    /// The run it belongs to.
    #[n(4)]
    pub set: SetId,
    /// The snapshot it was compared with.
    #[n(5)]
    pub parent: Option<SnapshotId>,
    /// The job that made it.
    #[n(6)]
    pub job: Option<String>,
    /// Whether everything asked for is in it.
    #[n(7)]
    pub complete: bool,
    /// Whether an engine's check or an expectation found fault.
    #[n(8)]
    pub suspect: bool,
    /// Sizes.
    #[n(9)]
    pub totals: Totals,
    /// What was checked at capture: `quick_check`, for example.
    #[n(10)]
    pub checked: Option<String>,
}

/// The body part, under DK.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotBody {
    /// Names at the root of the tree and the paths they were captured from.
    #[n(0)]
    pub roots: Vec<(ByteVec, ByteVec)>,
    /// Facts by path inside the snapshot.
    #[n(1)]
    pub facts: Vec<(ByteVec, WireFacts)>,
    /// What was left out: path, rule, reason, bytes, files. At most [`REMARKS_MAX`].
    #[n(2)]
    pub exclusions: Vec<(ByteVec, String, Option<String>, u64, u64)>,
    /// What could not be read, path and message. At most [`REMARKS_MAX`].
    #[n(3)]
    pub problems: Vec<(ByteVec, String)>,
    /// Labels, such as sensitivity.
    #[n(4)]
    pub labels: BTreeMap<String, String>,
    /// Version of the writing program.
    #[n(5)]
    pub program: String,
    /// User name the program ran as.
    #[n(6)]
    pub user: String,
}

/// Most exclusions and problems that a snapshot names.
pub const REMARKS_MAX: usize = 10_000;

/// Facts as stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct WireFacts(#[n(0)] pub BTreeMap<String, WireFact>);

/// One fact as stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum WireFact {
    /// See [`Fact::Text`].
    #[n(0)]
    Text(#[n(0)] String),
    /// See [`Fact::Integer`].
    #[n(1)]
    Integer(#[n(0)] i64),
    /// See [`Fact::Bool`].
    #[n(2)]
    Bool(#[n(0)] bool),
    /// See [`Fact::Counts`].
    #[n(3)]
    Counts(#[n(0)] BTreeMap<String, u64>),
    /// See [`Fact::List`].
    #[n(4)]
    List(#[n(0)] Vec<String>),
}

impl From<&Facts> for WireFacts {
    fn from(facts: &Facts) -> Self {
        let wire = |fact: &Fact| match fact {
            Fact::Text(text) => WireFact::Text(text.clone()),
            Fact::Integer(number) => WireFact::Integer(*number),
            Fact::Bool(value) => WireFact::Bool(*value),
            Fact::Counts(counts) => WireFact::Counts(counts.clone()),
            Fact::List(texts) => WireFact::List(texts.clone()),
        };
        Self(facts.iter().map(|(k, v)| (k.clone(), wire(v))).collect())
    }
}

impl From<WireFacts> for Facts {
    fn from(wire: WireFacts) -> Self {
        let fact = |fact| match fact {
            WireFact::Text(text) => Fact::Text(text),
            WireFact::Integer(number) => Fact::Integer(number),
            WireFact::Bool(value) => Fact::Bool(value),
            WireFact::Counts(counts) => Fact::Counts(counts),
            WireFact::List(texts) => Fact::List(texts),
        };
        wire.0.into_iter().map(|(k, v)| (k, fact(v))).collect()
    }
}

cbor_structure!(SnapshotPlain, "snapshot head");
cbor_structure!(SnapshotLinks, "snapshot links");
cbor_structure!(SnapshotLabel, "snapshot label");
cbor_structure!(SnapshotBody, "snapshot body");
