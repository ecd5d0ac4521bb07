//! Executing a plan, in the order of the protocol: condemn, look, move, mark again, delete.
//!
//! Every round is a session of its own: packs that are wholly dead go in the first, so that a full
//! disk has space before live blobs are moved.

use crate::format::blob::BlobRow;
use crate::format::layout;
use crate::format::protocol::{Condemned, SessionKind};
use crate::format::segment::PackRows;
use crate::id::{DomainTag, PackId, SegmentId, SessionId, SnapshotId, WriterId};
use crate::monitor::Unit;
use crate::prune::inventory::{Catalog, Listing};
use crate::prune::mark::{Survey, mark};
use crate::prune::plan::{LiveRows, NAMED_PACKS_MAX, PrunePlan};
use crate::prune::sweep::{remove_own_session, sweep};
use crate::prune::{Context, PruneError, PruneOptions};
use crate::repository::gc::{BlobMover, Commit, MoveError, PackPlace, PackSource};
use crate::repository::{Repository, Session};
use crate::store::{ObjectKey, StoreError, StoreErrorKind};
use std::collections::{HashMap, HashSet};

/// What a prune did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Snapshots deleted.
    pub snapshots: u64,
    /// Packs deleted.
    pub packs: u64,
    /// Segments deleted.
    pub segments: u64,
    /// Bytes of deleted packs.
    pub bytes_freed: u64,
    /// Bytes of new packs and segments.
    pub bytes_written: u64,
}

impl PrunePlan<'_> {
    /// Condemns, moves, marks again and deletes. Errors before a deletion leave everything as it
    /// was, but for new packs that hold copies; the next prune takes those.
    pub fn execute(self, context: Context<'_>) -> Result<Pruned, PruneError> {
        let mut pruned = Pruned::default();
        let none = HashMap::new();
        let mut dead = self.dead.chunks(NAMED_PACKS_MAX);
        let first = dead.next().unwrap_or(&[]);
        // The first round also cleans up after others, so it is run in any case.
        if !first.is_empty() || self.moves.is_empty() {
            self.round(first, &none, context, &mut pruned)?;
        }
        for dead in dead {
            self.round(dead, &none, context, &mut pruned)?;
        }
        if !self.moves.is_empty() {
            self.round(&[], &self.moves, context, &mut pruned)?;
        }
        Ok(pruned)
    }

    fn round(
        &self,
        dead: &[PackId],
        moves: &HashMap<PackId, LiveRows>,
        context: Context<'_>,
        pruned: &mut Pruned,
    ) -> Result<(), PruneError> {
        let session = Session::open(self.repository, SessionKind::Prune)?;
        let round = Round {
            repository: self.repository,
            options: &self.options,
            context,
            session: &session,
            snapshots: &self.snapshots,
            dead,
            moves,
        };
        let mut stage = Stage::Revocable;
        match round.run(&mut stage, pruned) {
            Ok(()) => round.clean_up()?,
            Err(error) => {
                // What the user has to hear is why it failed, not why it could not tidy up.
                let _tidied = round.give_up(stage).map(|may_end| match may_end {
                    true => session.end(self.repository, Vec::new()),
                    false => Ok(()),
                });
                return Err(error);
            }
        }
        let id = session.id();
        session.end(self.repository, Vec::new())?;
        remove_own_session(self.repository, id)
    }
}

/// How far a round got: what may be taken back when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was committed.
    Revocable,
    /// The `delete` may be in the store or arrive there: only a closer can say.
    Unknown,
    /// The `delete` is acknowledged.
    Committed,
}

/// One condemn and one delete.
struct Round<'a> {
    repository: &'a Repository,
    options: &'a PruneOptions,
    context: Context<'a>,
    session: &'a Session,
    snapshots: &'a [SnapshotId],
    dead: &'a [PackId],
    moves: &'a HashMap<PackId, LiveRows>,
}

/// What was condemned, and where its packs lie.
struct Condemnation {
    record: Condemned,
    places: HashMap<PackId, PackPlace>,
}

impl<'a> Round<'a> {
    fn run(&self, stage: &mut Stage, pruned: &mut Pruned) -> Result<(), PruneError> {
        self.look(&self.options.fence)?;
        let condemned = self.condemnation()?;
        let Condemned {
            packs,
            segments,
            snapshots,
        } = &condemned.record;
        if packs.is_empty() && segments.is_empty() && snapshots.is_empty() {
            return Ok(());
        }
        let id = self.session.id();
        self.repository.put_condemn(id, &condemned.record)?;
        // Whoever opens a session from here on sees the record; whoever did before is seen here.
        self.look(&[])?;
        if !self.options.grace.is_zero() {
            self.wait_for_readers()?;
        }
        pruned.bytes_written += self.rewrite(&condemned)?;
        let delete = self.decide(&condemned)?;
        self.context.cancel.check()?;
        *stage = Stage::Unknown;
        self.repository.put_delete(id, &delete)?;
        *stage = Stage::Committed;
        if self.session.is_fenced(self.repository)? {
            *stage = Stage::Unknown;
            return Err(PruneError::Fenced(id));
        }
        self.delete(&delete, &condemned.places, pruned)
    }

    /// Refuses while anyone else is at work; closes who is judged dead or is in `fence`.
    fn look(&self, fence: &[SessionId]) -> Result<(), PruneError> {
        let sessions = self.repository.list_sessions()?;
        let flags = self.repository.load_flags()?;
        let own = self.session.id();
        // This session's own objects tell the store's time.
        let now = sessions.iter().find(|session| session.id == own);
        let now = now.and_then(|session| session.last_sign);
        let limit = i64::try_from(self.options.dead_after.as_nanos()).unwrap_or(i64::MAX);
        for session in sessions {
            if session.id == own || !session.is_open() || flags.is_closed(session.id) {
                continue;
            }
            let is_dead = match (now, session.last_sign) {
                (Some(now), Some(sign)) => now.0.saturating_sub(sign.0) > limit,
                _ => false,
            };
            if !is_dead && !fence.contains(&session.id) {
                return Err(PruneError::Busy(session.id));
            }
            self.repository.close_session(own, session.id)?;
        }
        Ok(())
    }

    fn wait_for_readers(&self) -> Result<(), PruneError> {
        let slice = std::time::Duration::from_secs(1);
        let mut left = self.options.grace;
        while !left.is_zero() {
            self.context.cancel.check()?;
            let pause = left.min(slice);
            self.context.sleeper.sleep(pause);
            self.session.beat(self.repository)?;
            left -= pause;
        }
        Ok(())
    }

    /// What the plan names and is still there, and the segments that list any of it or a pack
    /// that is gone.
    fn condemnation(&self) -> Result<Condemnation, PruneError> {
        let catalog = Catalog::load(self.repository, self.context, &mut |_, _, _| Ok(()))?;
        let wanted = self.dead.iter().chain(self.moves.keys());
        let places: HashMap<PackId, PackPlace> = wanted
            .filter_map(|pack| Some((*pack, catalog.packs[catalog.number(*pack)?].place)))
            .collect();
        let goes = |listing: &Listing| {
            catalog.number(listing.pack).is_none() || places.contains_key(&listing.pack)
        };
        let segments = catalog
            .segments
            .iter()
            .filter(|segment| segment.listings.is_empty() || segment.listings.iter().any(goes))
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

    /// Moves live blobs out of condemned packs, and lists again what stays of condemned segments.
    /// Returns the bytes written.
    fn rewrite(&self, condemned: &Condemnation) -> Result<u64, PruneError> {
        let going: HashSet<SegmentId> = condemned.record.segments.iter().copied().collect();
        let staying = self.staying_listings(&going)?;
        let mut done: HashSet<[u8; 32]> = staying;
        let mut mover = BlobMover::new(self.repository, self.session.id());
        let total = Some(self.moves.len() as u64);
        self.context
            .monitor
            .phase("moving live blobs", Unit::Items, total);
        let packs = self.packs_there()?;
        for segment in &condemned.record.segments {
            self.context.cancel.check()?;
            let Some((domain, listed)) = self.load_segment(*segment)? else {
                continue;
            };
            for pack in listed {
                if !packs.contains(&pack.pack) || !done.insert(Listing::of(&pack).digest) {
                    continue;
                }
                match (condemned.places.get(&pack.pack), self.moves.get(&pack.pack)) {
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

    fn load_segment(
        &self,
        id: SegmentId,
    ) -> Result<Option<(DomainTag, Vec<PackRows>)>, PruneError> {
        match self.repository.load_segment_of_domain(id) {
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

    /// Marks again, and takes from what is condemned only what nothing needs.
    fn decide(&self, condemned: &Condemnation) -> Result<Condemned, PruneError> {
        match self.decide_once(condemned) {
            // Before damage is believed, everything is listed again.
            Err(PruneError::Unresolved(_) | PruneError::Links(_)) => self.decide_once(condemned),
            other => other,
        }
    }

    fn decide_once(&self, condemned: &Condemnation) -> Result<Condemned, PruneError> {
        let record = &condemned.record;
        let survey = Survey::take(self.repository, self.context, Some(self.session.id()))?;
        self.session.beat(self.repository)?;
        let named: HashSet<SnapshotId> = record.snapshots.iter().copied().collect();
        // A snapshot that was hidden since is still needed: nobody condemned it.
        let is_live = |commit: &Commit| {
            survey.counts(commit) && !(named.contains(&commit.id) && survey.may_go(commit))
        };
        let avoided: HashSet<PackId> = record.packs.iter().copied().collect();
        let marks = mark(self.repository, self.context, &survey, &is_live, &avoided)?;
        let catalog = &survey.inventory.catalog;
        let needed: HashSet<PackId> = survey
            .inventory
            .rows
            .iter()
            .zip(&marks.is_live)
            .filter(|(_, is_live)| **is_live)
            .map(|(row, _)| catalog.packs[row.pack as usize].place.id)
            .collect();
        let mut packs = record.packs.clone();
        packs.retain(|pack| !needed.contains(pack));
        let going: HashSet<PackId> = packs.iter().copied().collect();
        Ok(Condemned {
            segments: free_segments(catalog, record, &going),
            snapshots: survey
                .commits
                .iter()
                .filter(|commit| named.contains(&commit.id) && !is_live(commit))
                .map(|commit| commit.id)
                .collect(),
            packs,
        })
    }

    fn delete(
        &self,
        delete: &Condemned,
        places: &HashMap<PackId, PackPlace>,
        pruned: &mut Pruned,
    ) -> Result<(), PruneError> {
        let store = self.repository.store();
        let total = Some(delete.packs.len() as u64);
        self.context
            .monitor
            .phase("deleting packs", Unit::Items, total);
        for snapshot in &delete.snapshots {
            store.delete(&key(layout::snapshot(snapshot))?)?;
            pruned.snapshots += 1;
        }
        store.barrier()?;
        for segment in &delete.segments {
            store.delete(&key(layout::segment(segment))?)?;
            pruned.segments += 1;
        }
        store.barrier()?;
        for pack in &delete.packs {
            let Some(place) = places.get(pack) else {
                continue;
            };
            self.context.cancel.check()?;
            self.session.beat(self.repository)?;
            store.delete(&key(layout::pack(place.class, pack))?)?;
            pruned.packs += 1;
            pruned.bytes_freed += u64::from(place.length);
            self.context.monitor.advance(1);
        }
        Ok(store.barrier()?)
    }

    /// After success: all that this round named is gone, and what others left may be too.
    fn clean_up(&self) -> Result<(), PruneError> {
        self.repository.remove_prune_records(self.session.id())?;
        sweep(self.repository, self.session.id(), self.context)
    }

    /// After a failure: takes the flags down, as far as that is known to be right. Whether the
    /// session may be ended: not where its commit may still arrive.
    fn give_up(&self, stage: Stage) -> Result<bool, PruneError> {
        match stage {
            Stage::Unknown => Ok(false),
            // The next prune condemns what is left.
            Stage::Committed => Ok(true),
            Stage::Revocable => {
                self.repository.remove_prune_records(self.session.id())?;
                Ok(true)
            }
        }
    }
}

fn listings(catalog: &Catalog, stays: &dyn Fn(SegmentId) -> bool) -> HashSet<[u8; 32]> {
    catalog
        .segments
        .iter()
        .filter(|segment| stays(segment.id))
        .flat_map(|segment| &segment.listings)
        .map(|listing| listing.digest)
        .collect()
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

/// Keys made by `layout` from ids are valid by construction; anything else is refused.
fn key(text: String) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(text).map_err(|invalid| {
        StoreError::new(
            StoreErrorKind::Permanent,
            "name",
            invalid.0.clone(),
            String::new(),
            invalid,
        )
    })
}
