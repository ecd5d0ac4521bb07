//! A mirror: the objects of a repository, byte for byte, in another place. Needs no key.
//!
//! Spec: `format-spec/16-copies.md`, mirror. At every moment the target is a valid repository: what
//! withdraws or voids comes before snapshots, packs before the segments that list them, segments
//! before snapshots. Every object is compared with its name before it is stored.

mod lists;
mod transfer;

#[cfg(test)]
mod tests;

use crate::format::wire::FormatError;
use crate::monitor::{Cancel, Interrupted, Monitor, Unit};
use crate::repository::{OpenError, RecordLoadError};
use crate::store::{ObjectInfo, Store, StoreError};
use lists::{Listing, Target};
use transfer::Transfer;

/// A prune that deletes at the source makes a mirror look again; so often in a row, then it gives up.
const ROUNDS_MAX: usize = 8;

/// What a mirror did, or would do.
#[derive(Debug, Default, Clone)]
pub struct MirrorReport {
    /// Objects copied now.
    pub objects_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Objects that were there.
    pub objects_there: u64,
    /// Objects deleted at the target because a `delete` of the source that counts names them.
    pub objects_deleted: u64,
    /// Objects at the target that the source has no more, without such a record: they stay.
    pub objects_kept: u64,
    /// Their bytes.
    pub bytes_kept: u64,
    /// Of those, slots: credentials removed at the source that still open the mirror.
    pub slots_kept: u64,
    /// Objects of the source that are not what their names say, and why. They are not copied.
    pub damaged: Vec<(String, String)>,
}

/// The mirror could not be brought up to date. What was copied stays, and the target is valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The source is none, or its config is damaged.
    #[error(transparent)]
    Source(OpenError),
    /// Something else is at the target.
    #[error("the target at {0} is no mirror of this repository, and not empty")]
    Occupied(String),
    /// A record that says what counts cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// A record makes no sense.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Prunes at the source go on deleting.
    #[error("a prune kept deleting at the source while it was mirrored")]
    Restless,
    /// A worker thread panicked: a defect of this program.
    #[error("a worker thread of the mirror failed")]
    Worker,
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Both ends, and how.
#[derive(Debug, Clone, Copy)]
pub struct MirrorOptions {
    /// Objects copied at once: each takes 34 MiB at most. 0 is taken as 1.
    pub workers: usize,
    /// Only counts what would be copied and deleted.
    pub dry_run: bool,
}

/// Brings the target up to date with the source.
pub fn mirror(
    source: &dyn Store,
    target: &dyn Store,
    options: MirrorOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<MirrorReport, MirrorError> {
    let mut there = Target::look(source, target)?;
    let mut transfer = Transfer::new(source, target, options, monitor, cancel);
    for _ in 0..ROUNDS_MAX {
        let listing = Listing::take(source)?;
        let bytes = listing.classes.iter().flatten();
        let bytes = bytes.filter(|info| !there.has(info)).map(|info| info.size);
        monitor.phase("mirroring", Unit::Bytes, Some(bytes.sum()));
        let (last, before) = match listing.classes.split_last() {
            Some(split) => split,
            None => continue,
        };
        let mut whole = true;
        for class in before {
            whole &= transfer.copy(class, &mut there)?;
        }
        // Snapshots only when all that was there when they were listed has come along.
        let quiet = options.dry_run || whole && listing.is_undisturbed(source)?;
        if !quiet {
            monitor.warn("a prune deletes at the source; what is new there is looked for again");
            continue;
        }
        transfer.copy_snapshots(last, &mut there)?;
        return finish(source, &listing, there, transfer);
    }
    Err(MirrorError::Restless)
}

/// Deletes what the source's prunes have deleted, and counts what is only at the target.
fn finish(
    source: &dyn Store,
    listing: &Listing,
    there: Target,
    mut transfer: Transfer<'_>,
) -> Result<MirrorReport, MirrorError> {
    // The flags are listed just before anything is deleted.
    let deleted = lists::deleted(source)?;
    let (gone, kept): (Vec<ObjectInfo>, Vec<ObjectInfo>) = there
        .not_in(listing)
        .into_iter()
        .partition(|info| deleted.names(&info.key));
    transfer.delete(&gone)?;
    let mut report = transfer.report;
    let listed: usize = listing.classes.iter().map(Vec::len).sum();
    let not_there = report.objects_copied + report.damaged.len() as u64;
    report.objects_there = (listed as u64).saturating_sub(not_there);
    report.objects_kept = kept.len() as u64;
    report.bytes_kept = kept.iter().map(|info| info.size).sum();
    let slots = kept.iter().filter(|info| lists::is_slot(&info.key));
    report.slots_kept = slots.count() as u64;
    Ok(report)
}
