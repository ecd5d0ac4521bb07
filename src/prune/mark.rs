//! Marking: which rows visible and held snapshots need.
//!
//! Of every author one row of each needed blob is kept: another writer's row is a claim that was
//! not verified here, and must not displace the row that its snapshot's writer relied on.
//!
//! Trees are walked node by node; what they name is collected, sorted, and merged with the sorted
//! rows, and so is what those stand on, a step down at a time. In memory are a few bits a row.

use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links};
use crate::id::{BlobId, ObjectId, PackId, SessionId, SnapshotId};
use crate::planted::{self, Bug};
use crate::prune::depth::UNUSABLE;
use crate::prune::inventory::Inventory;
use crate::prune::rows::{KEY, Row, RowCursor, blob_key, parse_blob_key};
use crate::prune::{Context, PruneError, PruneOptions};
use crate::repository::gc::{Commit, PackSource};
use crate::repository::{Flags, Holds, ReadError, Repository};
use crate::spill::{Bits, Column, ColumnCursor, Sorted, Sorter};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Heads of metadata packs kept while marking.
const HEADS_MAX: usize = 256;

/// Looks before damage is believed. One may fail because the store did, and one because another
/// prune deleted between two of its lists.
const LOOKS: usize = 3;

/// Repeats a look, lists and all, in which an id did not resolve.
pub(super) fn looking_again<T>(look: &dyn Fn() -> Result<T, PruneError>) -> Result<T, PruneError> {
    for _ in 1..LOOKS {
        match look() {
            Err(PruneError::Unresolved(_) | PruneError::Links(_)) => {}
            other => return other,
        }
    }
    look()
}

/// Everything a decision rests on, listed in the order that the protocol wants: snapshots, holds,
/// gc, index.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) commits: Vec<Commit>,
    pub(super) flags: Flags,
    pub(super) held: HashSet<SnapshotId>,
    pub(super) inventory: Inventory,
}

impl Survey {
    /// Looks. A record that cannot be read may protect something: it ends the prune.
    pub(super) fn take(
        repository: &Repository,
        context: Context<'_>,
        own: Option<SessionId>,
        options: &PruneOptions,
    ) -> Result<Self, PruneError> {
        let commits = repository.list_commits()?;
        let held = held(repository.load_holds()?, repository)?;
        let mut flags = repository.load_flags()?;
        if let Some(error) = flags.damaged.pop() {
            return Err(error.into());
        }
        let mut absent = absent_packs(&flags, own);
        absent.extend(&options.damaged);
        let inventory = Inventory::load(repository, context, &absent, &options.scratch)?;
        Ok(Self {
            commits,
            flags,
            held,
            inventory,
        })
    }

    fn counts(&self, commit: &Commit) -> bool {
        let Commit {
            id,
            writer,
            session,
            ..
        } = *commit;
        self.flags.counts(writer, session, ObjectId(id.0))
    }

    /// Whether a snapshot is gone: void, or named by another prune's `delete` that counts. It needs
    /// nothing, though it may still be listed.
    pub(super) fn is_gone(&self, commit: &Commit) -> bool {
        let is_deleted =
            || self.flags.is_deleted(commit.id) && !planted::has(Bug::DeleteOfOthersIgnored);
        !self.counts(commit) || is_deleted()
    }

    /// Whether a snapshot may be deleted: it is gone, or hidden and on no hold.
    pub(super) fn may_go(&self, commit: &Commit) -> bool {
        self.is_gone(commit) || self.flags.is_hidden(commit.id) && !self.held.contains(&commit.id)
    }
}

fn held(mut holds: Holds, repository: &Repository) -> Result<HashSet<SnapshotId>, PruneError> {
    if let Some(error) = holds.damaged.pop() {
        return Err(error.into());
    }
    let now = repository.clock().now();
    Ok(holds.active(now).map(|hold| hold.snapshot).collect())
}

/// What a `delete` of another prune that counts names: absent, though it may still be listed.
fn absent_packs(flags: &Flags, own: Option<SessionId>) -> HashSet<PackId> {
    if planted::has(Bug::DeleteOfOthersIgnored) {
        return HashSet::new();
    }
    let mut packs = flags.deleted_packs();
    let own = flags
        .prune_records
        .iter()
        .filter(|record| Some(record.session) == own);
    for pack in own.flat_map(|record| &record.named.packs) {
        packs.remove(pack);
    }
    packs
}

/// Rows that are needed, by number.
pub(super) struct Marks {
    live: Bits,
}

impl Marks {
    /// Whether a row is needed.
    pub(super) fn is_live(&self, number: usize) -> bool {
        self.live.get(number)
    }

    /// Packs with rows that are needed, by number.
    pub(super) fn packs(&self, inventory: &Inventory) -> Result<Bits, PruneError> {
        let mut packs = Bits::new(inventory.catalog.packs.len());
        inventory.for_each(&mut |number, row| {
            if self.is_live(number) {
                packs.set(row.pack as usize);
            }
            Ok(())
        })?;
        Ok(packs)
    }
}

/// Marks what the commits that `is_live` accepts need, from rows outside the `avoided` packs
/// where there are such rows.
pub(super) fn mark(
    repository: &Repository,
    context: Context<'_>,
    survey: &Survey,
    is_live: &dyn Fn(&Commit) -> bool,
    avoided: &HashSet<PackId>,
) -> Result<Marks, PruneError> {
    let inventory = &survey.inventory;
    let any = inventory.depths(&|_| false)?;
    let outside = match avoided.is_empty() {
        true => None,
        false => {
            let packs = inventory.catalog.packs.iter();
            let is_avoided: Vec<bool> = packs
                .map(|stored| avoided.contains(&stored.place.id))
                .collect();
            Some(inventory.depths(&|pack| is_avoided[pack as usize])?)
        }
    };
    let mut walk = Walk {
        repository,
        inventory,
        rows: inventory.cursor(),
        any: any.cursor(),
        walked: Bits::new(inventory.rows.len()),
        reached: Sorter::new(&inventory.scratch),
        stack: Vec::new(),
        heads: HashMap::new(),
    };
    for commit in survey.commits.iter().filter(|commit| is_live(commit)) {
        walk.stack.push(commit.root);
        while let Some(id) = walk.stack.pop() {
            context.cancel.check()?;
            walk.visit(id)?;
        }
        context.monitor.advance(1);
    }
    let reached = walk.reached.finish()?;
    let mut closure = Closure {
        inventory,
        any: &any,
        outside: outside.as_ref(),
        seen: [(); 2].map(|()| Bits::new(inventory.rows.len())),
        live: Bits::new(inventory.rows.len()),
    };
    let mut wanted = closure.step(context, &reached, true)?;
    while !wanted.is_empty() {
        wanted = closure.step(context, &wanted, false)?;
    }
    Ok(Marks { live: closure.live })
}

/// Bytes of a blob that is wanted: its key, and the way it was reached.
const WANTED: usize = KEY + 1;

/// Reached through rows outside the avoided packs, or by a tree: any row will do.
const FREELY: u8 = 0;
/// Reached through a row that itself was taken for want of one outside.
const BY_ANY: u8 = 1;

fn wanted(id: BlobId, kind: BlobKind, way: u8) -> [u8; WANTED] {
    let mut record = [way; WANTED];
    record[..KEY].copy_from_slice(&blob_key(id, kind));
    record
}

/// Walks trees, every node once.
struct Walk<'a> {
    repository: &'a Repository,
    inventory: &'a Inventory,
    rows: RowCursor<'a>,
    any: ColumnCursor<'a>,
    /// Nodes that were walked, by their first rows.
    walked: Bits,
    /// All that the trees name.
    reached: Sorter<WANTED>,
    stack: Vec<BlobId>,
    heads: HashMap<PackId, PackSource<'a>>,
}

impl Walk<'_> {
    fn visit(&mut self, id: BlobId) -> Result<(), PruneError> {
        if !self.rows.seek(id, BlobKind::NodeLinks)? {
            return Err(PruneError::Unresolved(id));
        }
        let first = self.rows.position();
        if !self.walked.set(first) {
            return Ok(());
        }
        self.reached.push(wanted(id, BlobKind::NodeLinks, FREELY))?;
        self.follow(id)
    }

    /// Notes what a links blob names. Every author's copy counts until one was verified.
    fn follow(&mut self, id: BlobId) -> Result<(), PruneError> {
        let key = blob_key(id, BlobKind::NodeLinks);
        let mut usable = false;
        let mut read_one = false;
        let mut failure = None;
        while let Some((number, row)) = self.rows.next_of(&key)? {
            if self.any.get(number)?.unwrap_or(UNUSABLE) == UNUSABLE {
                continue;
            }
            usable = true;
            match self.read_links(&row) {
                Ok((links, is_verified)) => {
                    self.note_children(&links)?;
                    read_one = true;
                    if is_verified {
                        return Ok(());
                    }
                }
                Err(error) if error.is_damage() => {
                    failure.get_or_insert(error);
                }
                Err(error) => return Err(PruneError::Links(error)),
            }
        }
        match (usable, read_one) {
            (false, _) => Err(PruneError::Unresolved(id)),
            (true, true) => Ok(()),
            (true, false) => Err(PruneError::Links(failure.unwrap_or(ReadError::Missing(id)))),
        }
    }

    fn read_links(&mut self, row: &Row) -> Result<(Links, bool), ReadError> {
        let place = self.inventory.catalog.packs[row.pack as usize].place;
        if !self.heads.contains_key(&place.id) {
            if self.heads.len() >= HEADS_MAX {
                self.heads.clear();
            }
            let source = PackSource::open(self.repository, place)?;
            self.heads.insert(place.id, source);
        }
        match self.heads.get(&place.id) {
            Some(source) => source.read_links(&row.full_row()),
            None => Err(ReadError::Missing(row.id)),
        }
    }

    fn note_children(&mut self, links: &Links) -> Result<(), PruneError> {
        if !links.body.is_zero() {
            let body = wanted(links.body, BlobKind::NodeBody, FREELY);
            self.reached.push(body)?;
        }
        for child in &links.children {
            match child {
                Child::Chunk { id, .. } => {
                    self.reached.push(wanted(*id, BlobKind::Chunk, FREELY))?;
                }
                Child::Links { id, .. } => self.stack.push(*id),
                Child::Nothing | Child::Hole { .. } => {}
            }
        }
        Ok(())
    }
}

/// Follows what is wanted down to what is stored in full.
struct Closure<'a> {
    inventory: &'a Inventory,
    /// Depths through all packs.
    any: &'a Column,
    /// Depths through packs that are not avoided; none where all are the same.
    outside: Option<&'a Column>,
    /// Blobs that were kept, for each way, by their first rows.
    seen: [Bits; 2],
    live: Bits,
}

/// The best rows of a blob, of every author: number, depth, itself.
type Best = BTreeMap<u16, (usize, u8, Row)>;

impl Closure<'_> {
    /// Keeps a row of every author of each wanted blob. Returns what these rows stand on. Where
    /// they must `resolve`, a blob without a usable row is an error.
    fn step(
        &mut self,
        context: Context<'_>,
        blobs: &Sorted<WANTED>,
        resolve: bool,
    ) -> Result<Sorted<WANTED>, PruneError> {
        let mut next = Sorter::new(&self.inventory.scratch);
        let mut rows = self.inventory.cursor();
        let mut any = self.any.cursor();
        let mut outside = self.outside.map(Column::cursor);
        let mut blobs = blobs.cursor();
        while let Some(record) = blobs.take()? {
            context.cancel.check()?;
            let (id, kind) = parse_blob_key(&record).ok_or(PruneError::Mangled)?;
            let way = record[KEY];
            let unresolved = || match resolve {
                true => Err(PruneError::Unresolved(id)),
                false => Ok(()),
            };
            if !rows.seek(id, kind)? {
                unresolved()?;
                continue;
            }
            if !self.seen[usize::from(way.min(BY_ANY))].set(rows.position()) {
                continue;
            }
            let key = blob_key(id, kind);
            let (mut of_any, mut of_outside) = (Best::new(), Best::new());
            while let Some((number, row)) = rows.next_of(&key)? {
                note_best(&mut of_any, number, any.get(number)?, row);
                if let Some(outside) = outside.as_mut().filter(|_| way == FREELY) {
                    note_best(&mut of_outside, number, outside.get(number)?, row);
                }
            }
            if of_any.is_empty() {
                unresolved()?;
            }
            // A chain that was begun through all packs is followed so: mixing the two could go
            // round in a circle.
            of_any.retain(|author, _| !of_outside.contains_key(author));
            for (chosen, way) in [(of_outside, FREELY), (of_any, BY_ANY)] {
                for (number, _, row) in chosen.into_values() {
                    self.live.set(number);
                    if let Some((base, kind)) = row.base {
                        next.push(wanted(base, kind, way))?;
                    }
                }
            }
        }
        Ok(next.finish()?)
    }
}

/// Keeps an author's row of least depth, of equal ones the first.
fn note_best(best: &mut Best, number: usize, depth: Option<u8>, row: Row) {
    let Some(depth) = depth.filter(|depth| *depth != UNUSABLE) else {
        return;
    };
    let entry = best.entry(row.author).or_insert((number, depth, row));
    if depth < entry.1 {
        *entry = (number, depth, row);
    }
}
