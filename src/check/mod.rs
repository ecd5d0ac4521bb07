//! Checking a repository: without data, with data, without a key.
//!
//! Damage is data: it is collected and reported, and the check goes on. Nothing is called damage
//! that was withdrawn meanwhile by forget and prune, or that reads well a second time.

mod chains;
mod data;
mod findings;
mod objects;
mod places;
mod references;
mod scrub;
mod select;
mod subset;
mod survey;
mod view;
mod walk;

#[cfg(test)]
mod tests;

pub use findings::{Damage, Extent, Hurt};
pub use scrub::{ScrubReport, scrub};
pub use subset::{Subset, SubsetError};

use crate::check::data::PackReader;
use crate::check::findings::Findings;
use crate::check::places::BadPlaces;
use crate::check::survey::Survey;
use crate::id::{ObjectId, SnapshotId};
use crate::monitor::{Cancel, Interrupted, Monitor};
use crate::repository::index::{Index, IndexError};
use crate::repository::{ReadError, RecordLoadError, Repository};
use crate::spill::{Scratch, SpillError};
use crate::store::StoreError;
use std::time::Duration;

/// How much data is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadData {
    /// None: every reference resolves, every object has the right name and size.
    #[default]
    No,
    /// All packs.
    All,
    /// Some.
    Subset(Subset),
}

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// How much data is read.
    pub read_data: ReadData,
    /// Passes over packs that were proven within this time and were not touched since.
    pub older_than: Option<Duration>,
    /// Only these snapshots and the packs they need; all visible ones without.
    pub snapshots: Option<Vec<SnapshotId>>,
    /// Packs read at once: each takes one pack of memory, 34 MiB at most. 0 is taken as 1.
    pub workers: usize,
    /// Where what trees name, and deltas by what they rest on, are sorted; by default in memory.
    pub scratch: Scratch,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Packs that were read whole.
    pub packs_checked: u64,
    /// Packs there are, or that the chosen snapshots need.
    pub packs_total: u64,
    /// Packs that no index segment lists: left by a crash, or just being written. No damage.
    pub packs_unindexed: u64,
    /// Packs that a segment lists, that are not there, and that no snapshot needs: left by a run
    /// that never committed, or a prune is at work. No damage; a prune takes them off the list.
    pub packs_absent: u64,
    /// Bytes of the packs that were read.
    pub bytes_read: u64,
    /// Snapshots whose trees were walked.
    pub snapshots_checked: u64,
    /// Snapshots in domains that this credential does not hold: not looked into.
    pub snapshots_foreign: u64,
    /// Whether everything asked for was done. False after an interruption: what is listed then is
    /// true, but not all, and not located.
    pub complete: bool,
    /// What is damaged, by object.
    pub damage: Vec<Damage>,
    /// Hurts that are not listed, because there are more than a million.
    pub hurts_unlisted: u64,
    /// Proofs that were written of what was read.
    pub proofs: Vec<ObjectId>,
}

/// The check could not be done. Says nothing about the repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record could not be fetched.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// A blob could not be fetched.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The local index failed.
    #[error("cannot update the local index")]
    Index(#[from] IndexError),
    /// A chosen snapshot is not there, or was withdrawn.
    #[error("there is no snapshot {0}")]
    NoSuchSnapshot(SnapshotId),
    /// Deltas could not be sorted.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// A worker thread panicked: a defect of this program.
    #[error("a worker thread of the check failed")]
    Worker,
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Checks a repository.
///
/// All segments of the index are fetched and verified; those that `index` lacks are loaded, those
/// that are damaged do not count. Memory: 10 to 20 MB per million distinct tree nodes, 200 bytes a
/// pack, one pack per worker, and the report.
pub fn check(
    repository: &Repository,
    index: &Index,
    options: &CheckOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<CheckReport, CheckError> {
    let mut objects = Findings::default();
    objects::check_objects(repository, &mut objects, monitor, cancel)?;
    let chosen = options.snapshots.as_deref();
    let mut survey = Survey::new(repository, index, chosen, &options.scratch);
    let mut surveyed = survey.run(&BadPlaces::default(), monitor, cancel)?;
    let selected = select::select(repository, &surveyed, options)?;
    let mut report = CheckReport {
        packs_total: selected.total,
        snapshots_foreign: surveyed.view.list.foreign as u64,
        snapshots_checked: surveyed.snapshots,
        packs_unindexed: surveyed.counts.unindexed,
        packs_absent: surveyed.counts.absent,
        ..CheckReport::default()
    };
    let reading = PackReader::new(repository, index, &options.scratch, monitor, cancel);
    let read = reading.read(&selected.packs, options.workers)?;
    report.packs_checked = read.packs;
    report.bytes_read = read.bytes;
    report.proofs = read.proofs;
    report.complete = !cancel.is_cancelled();
    if report.complete && (read.vanished || !read.bad.is_empty()) {
        surveyed = survey.run(&read.bad, monitor, cancel)?;
        report.packs_absent = surveyed.counts.absent;
    }
    let mut findings = read.findings;
    findings.merge(surveyed.findings);
    findings.merge(objects);
    (report.damage, report.hurts_unlisted) = findings.finish();
    Ok(report)
}
