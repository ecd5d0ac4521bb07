//! Step 5: live blobs leave condemned packs, and what stays of condemned segments is listed anew.

use crate::format::blob::BlobRow;
use crate::format::layout;
use crate::id::{PackId, SegmentId, WriterId};
use crate::monitor::Unit;
use crate::prune::PruneError;
use crate::prune::condemn::Condemnation;
use crate::prune::decide::listings;
use crate::prune::execute::Round;
use crate::prune::inventory::{Catalog, Listing};
use crate::repository::MovedSegment;
use crate::repository::gc::{BlobMover, MoveError, PackPlace, PackSource};
use std::collections::HashSet;

impl<'a> Round<'a> {
    /// Moves live blobs out of condemned packs, and lists again what stays of condemned segments.
    /// Returns the bytes written.
    pub(super) fn rewrite(&self, condemned: &Condemnation) -> Result<u64, PruneError> {
        let going: HashSet<SegmentId> = condemned.record.segments.iter().copied().collect();
        let staying = self.staying_listings(&going)?;
        let mut done: HashSet<[u8; 32]> = staying;
        let mut mover = BlobMover::new(self.repository, self.session.id());
        let total = Some(self.moves.packs().len() as u64);
        self.context
            .monitor
            .phase("moving live blobs", Unit::Items, total);
        let packs = self.packs_there()?;
        for segment in &condemned.record.segments {
            self.context.cancel.check()?;
            let Some(loaded) = self.load_segment(*segment)? else {
                continue;
            };
            let (domain, listed) = (loaded.domain, loaded.packs);
            if let Some(host) = loaded.host {
                mover.keep_host_link(domain, host);
            }
            for pack in listed {
                if !packs.contains(&pack.pack) || !done.insert(Listing::of(&pack).digest) {
                    continue;
                }
                let live = self.moves.live_rows(&pack.pack)?;
                match (condemned.places.get(&pack.pack), live) {
                    (Some(place), Some(live)) => {
                        let is_live = |row: &BlobRow| live.contains(&(row.id, pack.author));
                        let rows = pack.rows.into_iter().filter(is_live).collect();
                        self.move_rows(&mut mover, *place, pack.author, rows)?;
                    }
                    (Some(_), None) => {}
                    (None, _) => mover.list_again(domain, pack)?,
                }
            }
            self.session.beat(self.repository)?;
        }
        Ok(mover.finish()?.bytes_written)
    }

    /// Moves a pack's live rows. One that is damaged stays where it is: the second mark finds
    /// that it is needed.
    fn move_rows<'m>(
        &self,
        mover: &mut BlobMover<'m>,
        place: PackPlace,
        author: WriterId,
        rows: Vec<BlobRow>,
    ) -> Result<(), PruneError>
    where
        'a: 'm,
    {
        let moved = PackSource::open(self.repository, place)
            .map_err(MoveError::from)
            .and_then(|source| mover.add(source, author, rows));
        self.context.monitor.advance(1);
        match moved {
            Err(MoveError::Read(error)) if error.is_damage() => {
                let text = crate::explain::explain(&error);
                self.context.monitor.warn(&format!(
                    "pack {} is left as it is: {text}",
                    place.id.short()
                ));
                Ok(())
            }
            other => Ok(other?),
        }
    }

    fn load_segment(&self, id: SegmentId) -> Result<Option<MovedSegment>, PruneError> {
        match self.repository.load_segment_to_move(id) {
            Ok(Some(content)) => Ok(Some(content)),
            Ok(None) => Err(PruneError::Foreign(id)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn packs_there(&self) -> Result<HashSet<PackId>, PruneError> {
        let mut packs = HashSet::new();
        self.repository.store().list(layout::PACKS, &mut |info| {
            packs.extend(layout::parse_pack(info.key.as_str()).map(|(_, pack)| pack));
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(packs)
    }

    /// What the segments that are not condemned list already.
    fn staying_listings(
        &self,
        going: &HashSet<SegmentId>,
    ) -> Result<HashSet<[u8; 32]>, PruneError> {
        let catalog = Catalog::load(self.repository, self.context, &mut |_, _, _| Ok(()))?;
        Ok(listings(&catalog, &|id| !going.contains(&id)))
    }
}
