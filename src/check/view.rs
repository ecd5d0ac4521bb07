//! One look at a repository: snapshots, then `gc/`, then segments, then packs.
//!
//! Spec: `format-spec/11-ordering.md`, readers.

use crate::check::CheckError;
use crate::check::findings::Findings;
use crate::env::Timestamp;
use crate::format::layout;
use crate::format::pack::PackClass;
use crate::id::{PackId, SegmentId, SnapshotId};
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::index::Index;
use crate::repository::{Flags, RecordLoadError, Repository, Snapshot, SnapshotList};
use crate::store::StoreExt;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

/// A pack as the store lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredPack {
    pub(super) size: u64,
    pub(super) modified: Option<Timestamp>,
}

/// What one round of lists showed.
#[derive(Debug)]
pub(super) struct View {
    pub(super) list: SnapshotList,
    pub(super) flags: Flags,
    /// All names under `snapshots/`, foreign and damaged ones too.
    pub(super) snapshots: HashSet<SnapshotId>,
    pub(super) segments: BTreeSet<SegmentId>,
    pub(super) packs: HashMap<(PackClass, PackId), StoredPack>,
}

/// Whether a failed read says that a record is bad, rather than that the store could not answer.
pub(super) fn record_error_is_damage(error: &RecordLoadError) -> bool {
    match error {
        RecordLoadError::Store(error) => error.blames_object(),
        _ => true,
    }
}

impl View {
    /// Lists everything in the order that readers owe. Segments that are not in `verified` are
    /// fetched and verified; afterwards `index` shows exactly the good ones.
    pub(super) fn take(
        repository: &Repository,
        index: &Index,
        verified: &mut HashSet<SegmentId>,
        findings: &mut Findings,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Self, CheckError> {
        let store = repository.store();
        let mut snapshots: HashSet<SnapshotId> = store
            .list_all(layout::SNAPSHOTS)?
            .iter()
            .filter_map(|info| info.key.file_name().parse().ok())
            .collect();
        let (list, flags) = repository.list_snapshots()?;
        snapshots.extend(list.visible.iter().chain(&list.hidden).map(|s| s.id));
        let segments: BTreeSet<SegmentId> = store
            .list_all(layout::SEGMENTS)?
            .iter()
            .filter_map(|info| info.key.file_name().parse().ok())
            .collect();
        monitor.phase("index", Unit::Items, Some(segments.len() as u64));
        let mut good = Vec::with_capacity(segments.len());
        for segment in &segments {
            cancel.check()?;
            let known = verified.contains(segment) && index.missing(&[*segment]).is_empty();
            if known || load_segment(repository, index, *segment, findings)? {
                verified.insert(*segment);
                good.push(*segment);
            }
            monitor.advance(1);
        }
        index.set_visible(&good);
        Ok(Self {
            packs: list_packs(repository)?,
            list,
            flags,
            snapshots,
            segments,
        })
    }

    /// Whether another look showed the same snapshots and segments: nothing was withdrawn or moved
    /// between the two.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let visible = |view: &Self| view.list.visible.iter().map(|s| s.id).collect::<Vec<_>>();
        let hidden = |view: &Self| view.restorable_hidden().map(|s| s.id).collect::<Vec<_>>();
        self.segments == other.segments
            && visible(self) == visible(other)
            && hidden(self) == hidden(other)
    }

    /// Forgotten snapshots that can be brought back: no prune has named them.
    pub(super) fn restorable_hidden(&self) -> impl Iterator<Item = &Snapshot> {
        let is_named = |snapshot: &Snapshot| self.flags.named_snapshots.contains(&snapshot.id);
        let hidden = self.list.hidden.iter();
        hidden.filter(move |snapshot| !is_named(snapshot))
    }
}

fn list_packs(
    repository: &Repository,
) -> Result<HashMap<(PackClass, PackId), StoredPack>, CheckError> {
    let mut packs = HashMap::new();
    repository.store().list(layout::PACKS, &mut |info| {
        if let Some(pack) = layout::parse_pack(info.key.as_str()) {
            let stored = StoredPack {
                size: info.size,
                modified: info.modified,
            };
            packs.insert(pack, stored);
        }
        ControlFlow::Continue(())
    })?;
    Ok(packs)
}

/// Verifies a segment and loads its rows. False: it is damaged, or gone meanwhile.
fn load_segment(
    repository: &Repository,
    index: &Index,
    segment: SegmentId,
    findings: &mut Findings,
) -> Result<bool, CheckError> {
    // A damaged one is read twice: once may have been the line's fault.
    let mut loaded = repository.load_segment(segment);
    if loaded.as_ref().is_err_and(record_error_is_damage) {
        loaded = repository.load_segment(segment);
    }
    match loaded {
        Ok(Some(packs)) => {
            if !index.missing(&[segment]).is_empty() {
                index.load(segment, &packs)?;
            }
            Ok(true)
        }
        // Of a domain that this credential does not hold.
        Ok(None) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) if record_error_is_damage(&error) => {
            findings.add_error(layout::segment(&segment), &error);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
