//! Step 6: the second mark, and what of the condemned may go by it.

use crate::format::protocol::Condemned;
use crate::id::{PackId, SegmentId, SnapshotId};
use crate::planted::{self, Bug};
use crate::prune::PruneError;
use crate::prune::condemn::Condemnation;
use crate::prune::execute::Round;
use crate::prune::inventory::{Catalog, Listing};
use crate::prune::mark::{Survey, looking_again, mark};
use crate::repository::gc::Commit;
use std::collections::HashSet;

impl Round<'_> {
    /// Marks again, and takes from what is condemned only what nothing needs.
    pub(super) fn decide(&self, condemned: &Condemnation) -> Result<Condemned, PruneError> {
        looking_again(&|| self.decide_once(condemned))
    }

    fn decide_once(&self, condemned: &Condemnation) -> Result<Condemned, PruneError> {
        let record = &condemned.record;
        let survey = Survey::take(
            self.repository,
            self.context,
            Some(self.session.id()),
            self.options,
        )?;
        self.session.beat(self.repository)?;
        let named: HashSet<SnapshotId> = record.snapshots.iter().copied().collect();
        // A snapshot that was hidden since is still needed: nobody condemned it.
        let is_live = |commit: &Commit| {
            let is_named = named.contains(&commit.id) || planted::has(Bug::HiddenAfterCondemn);
            !(survey.is_gone(commit) || is_named && survey.may_go(commit))
        };
        let avoided: HashSet<PackId> = record.packs.iter().copied().collect();
        let marks = mark(self.repository, self.context, &survey, &is_live, &avoided)?;
        let catalog = &survey.inventory.catalog;
        let needed = marks.packs(&survey.inventory)?;
        let is_needed = |pack| {
            let number = catalog.number(pack);
            number.is_some_and(|number| needed.get(number))
        };
        let mut packs = record.packs.clone();
        packs.retain(|pack| !is_needed(*pack));
        let (packs, segments) = going_together(catalog, record, packs);
        Ok(Condemned {
            segments,
            snapshots: survey
                .commits
                .iter()
                .filter(|commit| named.contains(&commit.id) && !is_live(commit))
                .map(|commit| commit.id)
                .collect(),
            packs,
        })
    }
}

/// What the segments that `stays` accepts list.
pub(super) fn listings(catalog: &Catalog, stays: &dyn Fn(SegmentId) -> bool) -> HashSet<[u8; 32]> {
    catalog
        .segments
        .iter()
        .filter(|segment| stays(segment.id))
        .flat_map(|segment| &segment.listings)
        .map(|listing| listing.digest)
        .collect()
}

/// Of packs that nothing needs, those that go, and the segments that go with them. A pack stays as
/// long as a segment stays that lists it: one that a writer relied on meanwhile keeps its segment,
/// and a segment that lists what is gone would look like damage. The next prune takes the rest.
fn going_together(
    catalog: &Catalog,
    condemned: &Condemned,
    mut packs: Vec<PackId>,
) -> (Vec<PackId>, Vec<SegmentId>) {
    loop {
        let going: HashSet<PackId> = packs.iter().copied().collect();
        let segments = free_segments(catalog, condemned, &going);
        let freed: HashSet<SegmentId> = segments.iter().copied().collect();
        let stays = catalog.segments.iter().filter(|s| !freed.contains(&s.id));
        let listed: HashSet<PackId> = stays
            .flat_map(|segment| &segment.listings)
            .map(|listing| listing.pack)
            .collect();
        packs.retain(|pack| !listed.contains(pack));
        if packs.len() == going.len() {
            return (packs, segments);
        }
    }
}

/// Condemned segments that list nothing which would then be listed nowhere.
fn free_segments(
    catalog: &Catalog,
    condemned: &Condemned,
    going: &HashSet<PackId>,
) -> Vec<SegmentId> {
    let named: HashSet<SegmentId> = condemned.segments.iter().copied().collect();
    let elsewhere = listings(catalog, &|id| !named.contains(&id));
    let is_free = |listing: &Listing| {
        going.contains(&listing.pack)
            || catalog.number(listing.pack).is_none()
            || elsewhere.contains(&listing.digest)
    };
    catalog
        .segments
        .iter()
        .filter(|segment| named.contains(&segment.id) && segment.listings.iter().all(is_free))
        .map(|segment| segment.id)
        .collect()
}
