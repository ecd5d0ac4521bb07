//! Step 3: what this round wants to delete, named in one record.

use crate::format::protocol::Condemned;
use crate::id::{PackId, SnapshotId};
use crate::prune::PruneError;
use crate::prune::execute::Round;
use crate::prune::inventory::{Catalog, ListedSegment, Listing};
use crate::prune::merge::segments_worth_merging;
use crate::repository::gc::PackPlace;
use std::collections::{HashMap, HashSet};

/// What was condemned, and where its packs lie.
pub(super) struct Condemnation {
    pub(super) record: Condemned,
    pub(super) places: HashMap<PackId, PackPlace>,
}

impl Condemnation {
    /// Whether there is nothing to delete.
    pub(super) fn is_empty(&self) -> bool {
        let Condemned {
            packs,
            segments,
            snapshots,
        } = &self.record;
        packs.is_empty() && segments.is_empty() && snapshots.is_empty()
    }
}

impl Round<'_> {
    /// What the plan names and is still there, and the segments that list any of it or a pack
    /// that is gone; in the last round also small segments that become fewer.
    pub(super) fn condemnation(&self) -> Result<Condemnation, PruneError> {
        let catalog = Catalog::load(self.repository, self.context, &mut |_, _, _| Ok(()))?;
        let wanted = self.dead.iter().chain(self.moves.packs());
        let places: HashMap<PackId, PackPlace> = wanted
            .filter_map(|pack| Some((*pack, catalog.packs[catalog.number(*pack)?].place)))
            .collect();
        let goes = |listing: &Listing| {
            catalog.number(listing.pack).is_none() || places.contains_key(&listing.pack)
        };
        let merged = match self.is_last {
            true => segments_worth_merging(&catalog),
            false => HashSet::new(),
        };
        let is_named = |segment: &&ListedSegment| {
            let listings = &segment.listings;
            merged.contains(&segment.id) || listings.is_empty() || listings.iter().any(goes)
        };
        let segments = catalog
            .segments
            .iter()
            .filter(is_named)
            .map(|segment| segment.id)
            .collect();
        let listed: HashSet<SnapshotId> = self
            .repository
            .list_commits()?
            .iter()
            .map(|commit| commit.id)
            .collect();
        let mut snapshots = self.snapshots.to_vec();
        snapshots.retain(|id| listed.contains(id));
        let mut packs: Vec<PackId> = places.keys().copied().collect();
        packs.sort_unstable();
        Ok(Condemnation {
            record: Condemned {
                packs,
                segments,
                snapshots,
            },
            places,
        })
    }
}
