//! Marking: which rows visible and held snapshots need.
//!
//! Of every author one row of each needed blob is kept: another writer's row is a claim that was
//! not verified here, and must not displace the row that its snapshot's writer relied on.

use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links};
use crate::id::{BlobId, ObjectId, PackId, SessionId, SnapshotId};
use crate::prune::inventory::{Inventory, UNUSABLE};
use crate::prune::{Context, PruneError};
use crate::repository::gc::{Commit, PackSource};
use crate::repository::{Flags, Holds, ReadError, Repository};
use std::collections::{HashMap, HashSet};

/// Heads of metadata packs kept while marking.
const HEADS_MAX: usize = 256;

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
    ) -> Result<Self, PruneError> {
        let commits = repository.list_commits()?;
        let held = held(repository.load_holds()?, repository)?;
        let mut flags = repository.load_flags()?;
        if let Some(error) = flags.damaged.pop() {
            return Err(error.into());
        }
        let absent = absent_packs(&flags, own);
        let inventory = Inventory::load(repository, context, &absent)?;
        Ok(Self {
            commits,
            flags,
            held,
            inventory,
        })
    }

    /// Whether a snapshot counts.
    pub(super) fn counts(&self, commit: &Commit) -> bool {
        let Commit {
            id,
            writer,
            session,
            ..
        } = *commit;
        self.flags.counts(writer, session, ObjectId(id.0))
    }

    /// Whether a snapshot may be deleted: it does not count, or is hidden and on no hold.
    pub(super) fn may_go(&self, commit: &Commit) -> bool {
        !self.counts(commit) || self.flags.is_hidden(commit.id) && !self.held.contains(&commit.id)
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
    pub(super) is_live: Vec<bool>,
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
    let is_avoided: Vec<bool> = inventory
        .catalog
        .packs
        .iter()
        .map(|stored| avoided.contains(&stored.place.id))
        .collect();
    let any = inventory.depths(&|_| false);
    let outside = match avoided.is_empty() {
        true => Vec::new(),
        false => inventory.depths(&|pack| is_avoided[pack as usize]),
    };
    let mut marker = Marker {
        repository,
        inventory,
        any,
        outside,
        seen: vec![0; inventory.rows.len()],
        is_live: vec![false; inventory.rows.len()],
        stack: Vec::new(),
        heads: HashMap::new(),
    };
    for commit in survey.commits.iter().filter(|commit| is_live(commit)) {
        marker.stack.push((commit.root, BlobKind::NodeLinks));
        while let Some((id, kind)) = marker.stack.pop() {
            context.cancel.check()?;
            marker.visit(id, kind)?;
        }
        context.monitor.advance(1);
    }
    Ok(Marks {
        is_live: marker.is_live,
    })
}

/// Bits of `seen`, kept at a blob's first row.
const REACHED: u8 = 1;
const BY_ANY: u8 = 2;
const BY_OUTSIDE: u8 = 4;

struct Marker<'a> {
    repository: &'a Repository,
    inventory: &'a Inventory,
    /// Depths through all packs.
    any: Vec<u8>,
    /// Depths through packs that are not avoided; empty where none is.
    outside: Vec<u8>,
    seen: Vec<u8>,
    is_live: Vec<bool>,
    stack: Vec<(BlobId, BlobKind)>,
    heads: HashMap<PackId, PackSource<'a>>,
}

impl<'a> Marker<'a> {
    fn visit(&mut self, id: BlobId, kind: BlobKind) -> Result<(), PruneError> {
        let unresolved = PruneError::Unresolved(id);
        let Some(first) = self.inventory.find(id) else {
            return Err(unresolved);
        };
        let resolves = self
            .inventory
            .rows_of(first)
            .any(|row| self.inventory.rows[row].kind == kind && self.any[row] != UNUSABLE);
        if !resolves {
            return Err(unresolved);
        }
        if self.seen[first] & REACHED != 0 {
            return Ok(());
        }
        self.seen[first] |= REACHED;
        self.keep(first, kind);
        match kind {
            BlobKind::NodeLinks => self.follow(id, first),
            _ => Ok(()),
        }
    }

    /// Keeps a row of every author, and what these rows stand on.
    fn keep(&mut self, first: usize, kind: BlobKind) {
        let mut waiting: Vec<(usize, BlobKind, Option<u8>)> = vec![(first, kind, None)];
        while let Some((first, kind, mode)) = waiting.pop() {
            for (row, mode) in self.chosen(first, kind, mode) {
                self.is_live[row] = true;
                if let Some((base, kind)) = self.inventory.base(&self.inventory.rows[row])
                    && self.seen[base] & mode == 0
                {
                    self.seen[base] |= mode;
                    waiting.push((base, kind, Some(mode)));
                }
            }
        }
    }

    /// For every author the row of least depth outside, else through all packs, and which of the
    /// two it was. A chain that was begun through all packs is followed so: mixing the two could
    /// go round in a circle.
    fn chosen(&self, first: usize, kind: BlobKind, mode: Option<u8>) -> Vec<(usize, u8)> {
        let rows = &self.inventory.rows;
        let mut chosen: Vec<(usize, u8)> = Vec::new();
        let range = self.inventory.rows_of(first);
        for (depths, own_mode) in [(&self.outside, BY_OUTSIDE), (&self.any, BY_ANY)] {
            if depths.is_empty() || own_mode == BY_OUTSIDE && mode == Some(BY_ANY) {
                continue;
            }
            let mut best: HashMap<u16, usize> = HashMap::new();
            for row in range.clone() {
                if depths[row] == UNUSABLE || rows[row].kind != kind {
                    continue;
                }
                let best = best.entry(rows[row].author).or_insert(row);
                if depths[row] < depths[*best] {
                    *best = row;
                }
            }
            for (author, row) in best {
                let has_one = chosen
                    .iter()
                    .any(|(other, _)| rows[*other].author == author);
                if !has_one {
                    chosen.push((row, own_mode));
                }
            }
        }
        chosen
    }

    /// Pushes what a links blob names. Every author's copy counts until one was verified.
    fn follow(&mut self, id: BlobId, first: usize) -> Result<(), PruneError> {
        let mut read_one = false;
        let mut failure = None;
        for number in self.inventory.rows_of(first) {
            let row = self.inventory.rows[number];
            if row.kind != BlobKind::NodeLinks || self.any[number] == UNUSABLE {
                continue;
            }
            match self.read_links(number) {
                Ok((links, is_verified)) => {
                    self.push_children(&links);
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
        match read_one {
            true => Ok(()),
            false => Err(PruneError::Links(failure.unwrap_or(ReadError::Missing(id)))),
        }
    }

    fn read_links(&mut self, number: usize) -> Result<(Links, bool), ReadError> {
        let row = &self.inventory.rows[number];
        let place = self.inventory.catalog.packs[row.pack as usize].place;
        if !self.heads.contains_key(&place.id) {
            if self.heads.len() >= HEADS_MAX {
                self.heads.clear();
            }
            let source = PackSource::open(self.repository, place)?;
            self.heads.insert(place.id, source);
        }
        match self.heads.get(&place.id) {
            Some(source) => source.read_links(&self.inventory.full_row(row)),
            None => Err(ReadError::Missing(row.id)),
        }
    }

    fn push_children(&mut self, links: &Links) {
        if !links.body.is_zero() {
            self.stack.push((links.body, BlobKind::NodeBody));
        }
        for child in &links.children {
            match child {
                Child::Chunk { id, .. } => self.stack.push((*id, BlobKind::Chunk)),
                Child::Links { id, .. } => self.stack.push((*id, BlobKind::NodeLinks)),
                Child::Nothing | Child::Hole { .. } => {}
            }
        }
    }
}
