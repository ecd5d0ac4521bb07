//! The plan: what could go, and what deleting it costs. A guess until it is marked again.

use crate::id::{PackId, SnapshotId};
use crate::prune::inventory::{Inventory, StoredPack};
use crate::prune::locks::{Locked, extend, locked_packs};
use crate::prune::mark::{Marks, Survey, looking_again, mark};
use crate::prune::merge;
use crate::prune::moves::Moves;
use crate::prune::{Context, PruneError, PruneOptions};
use crate::repository::Repository;
use crate::repository::gc::{Commit, PackPlace};
use crate::spill::Bits;
use std::collections::{BTreeMap, HashSet};

/// Most packs that one `condemn` names: keeps the record below its bound.
pub(super) const NAMED_PACKS_MAX: usize = 200_000;

/// What a prune would do, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneCost {
    /// Forgotten snapshots, and ones that never counted, that go.
    pub snapshots: u64,
    /// Packs that go as they are.
    pub packs_dead: u64,
    /// Packs whose live blobs are moved first.
    pub packs_moved: u64,
    /// Of those, small ones that become fewer.
    pub packs_merged: u64,
    /// Small index segments that become fewer.
    pub segments_merged: u64,
    /// Bytes read to move live blobs.
    pub bytes_read: u64,
    /// Bytes written, about: the live blobs, without padding and segments.
    pub bytes_written: u64,
    /// Bytes of all packs that go.
    pub bytes_freed: u64,
    /// Bytes of all packs now.
    pub bytes_stored: u64,
    /// Bytes of dead blobs that stay, tolerated or beyond the budget.
    pub bytes_unused_left: u64,
    /// Packs that would go and are locked: they stay until their locks end.
    pub packs_locked: u64,
    /// Their bytes.
    pub bytes_locked: u64,
}

/// A plan to show, and to execute.
#[derive(Debug)]
pub struct PrunePlan<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: PruneOptions,
    pub(super) snapshots: Vec<SnapshotId>,
    pub(super) dead: Vec<PackId>,
    pub(super) moves: Moves,
    /// Packs that snapshots need and that stay.
    pub(super) needed: Vec<PackPlace>,
    cost: PruneCost,
}

impl<'a> PrunePlan<'a> {
    /// Lists, marks and counts. Writes nothing: the dry run ends here.
    pub fn new(
        repository: &'a Repository,
        options: PruneOptions,
        context: Context<'_>,
    ) -> Result<Self, PruneError> {
        repository.require_maintain("prune")?;
        let survey = |repository| Survey::take(repository, context, None, &options);
        let (survey, marks) = marked(survey, repository, context)?;
        let snapshots = match options.damaged.is_empty() {
            true => going(&survey),
            false => Vec::new(),
        };
        let mut plan = Self {
            repository,
            options,
            snapshots,
            dead: Vec::new(),
            moves: Moves::default(),
            needed: Vec::new(),
            cost: PruneCost::default(),
        };
        match plan.options.damaged.is_empty() {
            true => plan.choose(&survey.inventory, &marks, context)?,
            false => plan.choose_damaged(&survey.inventory),
        }
        plan.cost.snapshots = plan.snapshots.len() as u64;
        Ok(plan)
    }

    /// What it would do and cost.
    pub fn cost(&self) -> PruneCost {
        self.cost
    }

    /// Forgotten snapshots, and ones that never counted, that would go.
    pub fn snapshots(&self) -> &[SnapshotId] {
        &self.snapshots
    }

    /// Only what is damaged goes.
    fn choose_damaged(&mut self, inventory: &Inventory) {
        for stored in &inventory.catalog.packs {
            self.cost.bytes_stored += u64::from(stored.place.length);
            if self.options.damaged.contains(&stored.place.id) {
                self.dead.push(stored.place.id);
                self.cost.packs_dead += 1;
                self.cost.bytes_freed += u64::from(stored.place.length);
            }
        }
    }

    fn choose(
        &mut self,
        inventory: &Inventory,
        marks: &Marks,
        context: Context<'_>,
    ) -> Result<(), PruneError> {
        let usage = usage(inventory, marks)?;
        let locked = self.locked(inventory, &usage, context)?;
        let id = |number: usize| inventory.catalog.packs[number].place.id;
        let is_locked = |number: usize| locked.contains(&id(number));
        let unreadable = self.options.unreadable.clone();
        let is_movable = |number: usize| !is_locked(number) && !unreadable.contains(&id(number));
        let mut partly_dead = Vec::new();
        let (mut bytes_live, mut movable_unused) = (0, 0);
        for (number, used) in usage.iter().enumerate() {
            let stored = &inventory.catalog.packs[number];
            self.cost.bytes_stored += u64::from(stored.place.length);
            bytes_live += used.live;
            if used.live_rows > 0 {
                self.cost.bytes_unused_left += used.dead;
                if used.dead > 0 && is_movable(number) {
                    movable_unused += used.dead;
                    partly_dead.push(number);
                }
            } else if is_locked(number) {
                self.cost.packs_locked += 1;
                self.cost.bytes_locked += u64::from(stored.place.length);
            } else if used.rows > 0 || self.is_old(stored.modified) {
                self.dead.push(stored.place.id);
                self.cost.packs_dead += 1;
                self.cost.bytes_freed += u64::from(stored.place.length);
            }
        }
        let tolerated = (bytes_live as f64 * self.options.max_unused.max(0.0)) as u64;
        partly_dead.sort_by_key(|number| {
            let used = &usage[*number];
            // The deadest first, in millionths; equal ones in the order of their names.
            let share = u128::from(used.dead) * 1_000_000 / u128::from(used.dead + used.live);
            (std::cmp::Reverse(share), *number)
        });
        let mut moved = Bits::new(usage.len());
        for number in partly_dead {
            // What cannot be moved is no reason to move more of the rest.
            if movable_unused <= tolerated {
                break;
            }
            if self.move_pack(number, inventory, &usage, &mut moved) {
                movable_unused -= usage[number].dead;
            }
        }
        for mut group in mergeable(inventory, &usage, &moved) {
            group.retain(|(_, number)| is_movable(*number));
            for number in merge::packs_worth_merging(group) {
                let is_moved = self.move_pack(number, inventory, &usage, &mut moved);
                self.cost.packs_merged += u64::from(is_moved);
            }
        }
        let merged = merge::segments_worth_merging(&inventory.catalog);
        self.cost.segments_merged = merged.len() as u64;
        self.moves = Moves::collect(inventory, marks, &moved)?;
        let packs = inventory.catalog.packs.iter().zip(&usage).enumerate();
        let stays = packs.filter(|(number, (_, used))| used.live_rows > 0 && !moved.get(*number));
        self.needed = stays.map(|(_, (stored, _))| stored.place).collect();
        Ok(())
    }

    /// Of the packs that might go or be moved, those that the store holds fast: their space would
    /// not come back, and what is moved would be there twice.
    fn locked(
        &self,
        inventory: &Inventory,
        usage: &[Usage],
        context: Context<'_>,
    ) -> Result<HashSet<PackId>, PruneError> {
        let Some(custody) = &self.options.custody else {
            return Ok(HashSet::new());
        };
        let packs = inventory.catalog.packs.iter().zip(usage);
        let may_go = |stored: &StoredPack, used: &Usage| {
            used.dead > 0 || used.live_rows == 0 || merge::is_small(stored.place.length)
        };
        let asked: Vec<PackPlace> = packs
            .filter(|(stored, used)| may_go(stored, used))
            .map(|(stored, _)| stored.place)
            .collect();
        locked_packs(&**custody, &asked, self.repository.clock().now(), context)
    }

    /// Extends the locks of what snapshots need, where objects are locked. What this plan writes is
    /// locked when it is written, what it deletes no more.
    pub fn extend_locks(&self, context: Context<'_>) -> Result<Option<Locked>, PruneError> {
        let Some(custody) = &self.options.custody else {
            return Ok(None);
        };
        let Some(lock) = custody.lock() else {
            return Ok(None);
        };
        let locked = extend(&**custody, lock, self.repository, &self.needed, context)?;
        Ok(Some(locked))
    }

    /// Plans to move a pack's live rows, if the budget allows.
    fn move_pack(
        &mut self,
        number: usize,
        inventory: &Inventory,
        usage: &[Usage],
        moved: &mut Bits,
    ) -> bool {
        let used = &usage[number];
        if self.cost.bytes_read + used.live > self.options.max_repack {
            return false;
        }
        let place = inventory.catalog.packs[number].place;
        self.cost.bytes_unused_left -= used.dead;
        self.cost.bytes_read += used.live;
        self.cost.bytes_written += used.live;
        self.cost.bytes_freed += u64::from(place.length);
        self.cost.packs_moved += 1;
        moved.set(number);
        true
    }

    /// A pack without rows may be a living writer's; one older than any living session is not.
    fn is_old(&self, modified: Option<crate::env::Timestamp>) -> bool {
        let now = self.repository.clock().now();
        let age = modified.map(|modified| now.0.saturating_sub(modified.0));
        let limit = i64::try_from(self.options.dead_after.as_nanos()).unwrap_or(i64::MAX);
        age.is_some_and(|age| age > limit)
    }
}

/// Takes a survey and marks.
fn marked<'r>(
    survey: impl Fn(&'r Repository) -> Result<Survey, PruneError>,
    repository: &'r Repository,
    context: Context<'_>,
) -> Result<(Survey, Marks), PruneError> {
    let attempt = || {
        let survey = survey(repository)?;
        let is_live = |commit: &Commit| !survey.may_go(commit);
        let marks = mark(repository, context, &survey, &is_live, &HashSet::new())?;
        Ok((survey, marks))
    };
    looking_again(&attempt)
}

fn going(survey: &Survey) -> Vec<SnapshotId> {
    let going = survey.commits.iter().filter(|commit| survey.may_go(commit));
    going.map(|commit| commit.id).collect()
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    rows: u32,
    live_rows: u32,
    live: u64,
    dead: u64,
    /// Keys that rows name.
    keys: usize,
}

/// Packs that stay, with their sizes, grouped by what may share a pack.
fn mergeable(inventory: &Inventory, usage: &[Usage], moved: &Bits) -> Vec<Vec<(u64, usize)>> {
    let mut groups: BTreeMap<_, Vec<(u64, usize)>> = BTreeMap::new();
    for (number, used) in usage.iter().enumerate() {
        let stored = &inventory.catalog.packs[number];
        let stays = used.live_rows > 0 && !moved.get(number);
        if let (Some((domain, author)), true) = (stored.owner, stays) {
            let group = groups.entry((domain, stored.place.class, author));
            let size = merge::pack_size(used.live, used.keys);
            group.or_default().push((size, number));
        }
    }
    groups.into_values().collect()
}

fn usage(inventory: &Inventory, marks: &Marks) -> Result<Vec<Usage>, PruneError> {
    let mut usage = vec![Usage::default(); inventory.catalog.packs.len()];
    inventory.for_each(&mut |number, row| {
        let used = &mut usage[row.pack as usize];
        used.rows += 1;
        used.keys = used.keys.max(usize::from(row.key) + 1);
        match marks.is_live(number) {
            true => {
                used.live_rows += 1;
                used.live += u64::from(row.stored);
            }
            false => used.dead += u64::from(row.stored),
        }
        Ok(())
    })?;
    Ok(usage)
}
