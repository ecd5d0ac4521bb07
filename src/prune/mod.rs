//! Pruning: what no visible or held snapshot needs is deleted, under the protocol's protection.
//!
//! Spec: `format-spec/11-ordering.md`, pruner. [`PrunePlan`] marks what is reachable and says what
//! deleting the rest costs; it is a guess. [`PrunePlan::execute`] condemns it, waits for the writers
//! that were running, moves live blobs, marks again, and deletes only what is still not needed.
//!
//! Memory: rows are sorted in [`PruneOptions::scratch`]. Beyond what that keeps in memory, a byte a
//! row of the index, and 150 bytes a pack.

mod condemn;
mod decide;
mod delete;
mod depth;
mod execute;
mod inventory;
mod locks;
mod mark;
mod merge;
mod moves;
mod plan;
mod repack;
mod rows;
mod sweep;
mod tier;
mod wait;

#[cfg(test)]
pub(crate) mod tests;

pub use execute::Pruned;
pub use locks::{LOCKED_BESIDE_PACKS, Locked};
pub use plan::{PruneCost, PrunePlan};
pub use wait::OpenWriter;

use crate::env::Sleeper;
use crate::id::{BlobId, PackId, SegmentId, SessionId};
use crate::monitor::{Cancel, Interrupted, Monitor};
use crate::repository::gc::{MoveError, NotMaintainer};
use crate::repository::{ReadError, RecordLoadError, SessionError};
use crate::spill::{Scratch, SpillError};
use crate::store::{Custody, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What a prune chooses.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Which share of the packs' blobs may be waste before live blobs are moved; 0.05 by default.
    pub max_unused: f64,
    /// Most bytes of live blobs that are moved; without a bound by default.
    pub max_repack: u64,
    /// How long what is condemned is left for readers that began before; 0 by default, which is
    /// right where no other process restores meanwhile. A reader that loses a pack says that its
    /// snapshot was withdrawn; safety never depends on this.
    pub grace: Duration,
    /// How long writers that were running when the prune condemned are waited for in all; 24 h by
    /// default. When it is over the prune takes its condemn back and deletes nothing.
    pub wait: Duration,
    /// A session without a sign of life for longer, by the store's time, is closed; 24 h by
    /// default, while live ones beat every 15 minutes. A wrong judgement costs that session a
    /// repetition.
    pub dead_after: Duration,
    /// Sessions that are closed whatever their age: their writers capture again.
    pub fence: Vec<SessionId>,
    /// Packs known to be damaged. With any, what they hold counts as lost, only they are deleted,
    /// and no snapshot is: what snapshots need of them must have been stored elsewhere before.
    pub damaged: HashSet<PackId>,
    /// What holds objects fast in the store, where something does: packs that are locked stay, and
    /// what is needed stays locked.
    pub custody: Option<Arc<dyn Custody>>,
    /// Packs that cannot be read now: nothing is moved out of them.
    pub unreadable: HashSet<PackId>,
    /// Where rows are sorted; by default in memory.
    pub scratch: Scratch,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: 0.05,
            max_repack: u64::MAX,
            grace: Duration::ZERO,
            wait: Duration::from_secs(24 * 60 * 60),
            dead_after: Duration::from_secs(24 * 60 * 60),
            fence: Vec::new(),
            damaged: HashSet::new(),
            custody: None,
            unreadable: HashSet::new(),
            scratch: Scratch::default(),
        }
    }
}

/// What a prune works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where progress and remarks go.
    pub monitor: &'a dyn Monitor,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// Lets time pass while writers and readers are waited for.
    pub sleeper: &'a dyn Sleeper,
}

/// Nothing, or not everything, was pruned. What visible snapshots need was not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The credential may not.
    #[error(transparent)]
    NotMaintainer(#[from] NotMaintainer),
    /// Another prune is at work.
    #[error("another prune is running: session {}", .0.short())]
    Busy(SessionId),
    /// Writers that were running did not end in the time given. Nothing was deleted, and nothing
    /// is condemned any more.
    #[error("nothing was deleted: {}", running(.0))]
    WritersOpen(Vec<OpenWriter>),
    /// Somebody closed this prune's session as dead before it deleted anything.
    #[error("prune session {} was closed by another process as dead", .0.short())]
    Fenced(SessionId),
    /// A blob that a snapshot needs is in no pack that is there.
    #[error("blob {} is needed and in no pack; nothing was deleted, check the repository", .0.short())]
    Unresolved(BlobId),
    /// A links blob cannot be read, so what it needs is not known.
    #[error("what a snapshot needs is not known; nothing was deleted, check the repository")]
    Links(#[source] ReadError),
    /// A segment of a domain that this credential cannot maintain.
    #[error("index segment {} cannot be opened with this credential", .0.short())]
    Foreign(SegmentId),
    /// The index is larger than this can mark.
    #[error("the index has too many rows to be marked at once")]
    TooLarge,
    /// Rows could not be sorted.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// Sorted rows were read back otherwise than they were written.
    #[error("sorted rows of the index came back changed: this machine cannot be trusted")]
    Mangled,
    /// A record cannot be read: it may protect something.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// Blobs could not be moved.
    #[error("cannot move live blobs")]
    Move(#[from] MoveError),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn running(writers: &[OpenWriter]) -> String {
    let named: Vec<String> = writers.iter().map(OpenWriter::to_string).collect();
    let is = match named.len() {
        1 => "a backup is still running",
        _ => "backups are still running",
    };
    format!("{is} ({})", named.join("; "))
}

impl From<StoreError> for PruneError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl PruneError {
    /// Whether another operation stands against it: try again when that is done.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::WritersOpen(_) | Self::Fenced(_))
    }

    /// Whether damage was found.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Unresolved(_) => true,
            Self::Links(error) => error.is_damage(),
            Self::Record(error) => error.is_damage(),
            _ => false,
        }
    }
}
