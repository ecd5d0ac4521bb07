//! What a search begins with, and what the objects of the store mean.

use crate::model::bugs::Bug;
use crate::model::objects::{Named, Object, PRUNES, Packs, Set, bits};
use crate::model::world::World;

/// Of a `closed` record of a prune: its `delete` was found.
pub const DELETE_FOUND: u64 = 1 << 8;

/// How a blob may be stored: in full, or as a delta.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub blob: u8,
    pub base: Option<u8>,
}

/// One session of a writer: a commit may be tried again in the next one.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub session: u8,
    /// Snapshot, pack and segment of each commit.
    pub commits: Vec<Commit>,
}

#[derive(Clone, Copy, Debug)]
pub struct Commit {
    pub snapshot: u8,
    pub pack: u8,
    pub segment: u8,
}

/// Who takes part.
#[derive(Clone, Debug)]
pub enum Part {
    Writer(Vec<Attempt>),
    Pruner {
        session: u8,
        pack: u8,
        segment: u8,
    },
    /// Withdraws a snapshot.
    Forgetter(u8),
    /// Holds a snapshot.
    Holder(u8),
    /// Brings a withdrawn snapshot back.
    Undoer(u8),
    Reader,
}

impl Part {
    /// Which kind of writer or prune it is, and the first flag that it raises.
    pub fn first_flag(&self) -> Option<((usize, usize), Object)> {
        match self {
            Self::Writer(attempts) => {
                let first = attempts.first()?;
                let kind = (attempts.len(), first.commits.len());
                Some((kind, Object::open(first.session)))
            }
            Self::Pruner { session, .. } => Some(((0, 0), Object::open(*session))),
            _ => None,
        }
    }
}

/// A bounded world: what is stored at the beginning, who takes part, what may go wrong.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// Forms by number; packs hold sets of them.
    pub forms: Vec<Form>,
    /// The children of each blob.
    pub links: Vec<u16>,
    /// The root blob of each snapshot.
    pub roots: Vec<u8>,
    /// The session of each snapshot; `None`: one that ended long ago.
    pub sessions: Vec<Option<u8>>,
    /// Forms in the packs that are there at first.
    pub packs: Vec<u16>,
    /// Packs in the segments that are there at first.
    pub segments: Vec<u16>,
    /// Snapshots that are there at first, and those of them that are withdrawn.
    pub snapshots: u8,
    pub hidden: u8,
    pub parts: Vec<Part>,
    /// Whether a prune moves live blobs out of packs that hold dead ones too.
    pub repack: bool,
    /// Whether prunes clean up after others.
    pub sweep: bool,
    /// Whether a list takes one step: nothing changes meanwhile.
    pub lists_at_once: bool,
    /// How many PUTs may be answered with an error, or be repeated by the network.
    pub faults: u8,
    pub bug: Option<Bug>,
}

impl Scenario {
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether some form lies in two packs at first.
    pub fn has_copies(&self) -> bool {
        let all = self.packs.iter().fold(0, |all, forms| all | forms);
        let sum: u32 = self.packs.iter().map(|forms| forms.count_ones()).sum();
        sum > all.count_ones()
    }

    /// What an object says.
    pub fn content(&self, world: &World, object: Object) -> u64 {
        let put = world.content(object);
        let initially = match object.pack_or_segment() {
            Some((number, true)) => self.packs.get(number),
            Some((number, false)) => self.segments.get(number),
            None => None,
        };
        put.or(initially.map(|content| u64::from(*content)))
            .unwrap_or(0)
    }

    /// The packs that segments list.
    pub fn listed_packs(&self, world: &World, segments: u16) -> Packs {
        let listed = |number| self.content(world, Object::segment(number)) as u16;
        Packs(bits(segments).fold(0, |all, number| all | listed(number)))
    }

    fn forms_in(&self, world: &World, packs: Packs) -> u16 {
        let forms = |number| self.content(world, Object::pack(number)) as u16;
        packs.iter().fold(0, |all, number| all | forms(number))
    }

    /// The forms that can be decoded with these packs alone.
    pub fn usable_forms(&self, world: &World, packs: Packs) -> u16 {
        let forms = self.forms_in(world, packs);
        let mut usable = 0;
        loop {
            let stands = |number: &u8| match self.forms[usize::from(*number)].base {
                None => true,
                Some(base) => self.blobs(usable) >> base & 1 == 1,
            };
            let more = bits(forms)
                .filter(stands)
                .fold(0, |all, form| all | 1 << form);
            if more == usable {
                return usable;
            }
            usable = more;
        }
    }

    /// The blobs of which a form is among these.
    pub fn blobs(&self, forms: u16) -> u16 {
        bits(forms).fold(0, |all, form| all | 1 << self.forms[usize::from(form)].blob)
    }

    /// The blobs that can be read from these packs alone.
    pub fn readable(&self, world: &World, packs: Packs) -> u16 {
        self.blobs(self.usable_forms(world, packs))
    }

    /// What a snapshot needs.
    pub fn closure(&self, snapshot: u8) -> u16 {
        self.closure_of(1 << self.roots[usize::from(snapshot)])
    }

    pub fn closure_of_all(&self, snapshots: u8) -> u16 {
        bits(u16::from(snapshots)).fold(0, |all, snapshot| all | self.closure(snapshot))
    }

    fn closure_of(&self, blobs: u16) -> u16 {
        let links = |blob| self.links[usize::from(blob)];
        let more = bits(blobs).fold(blobs, |all, blob| all | links(blob));
        match more == blobs {
            true => blobs,
            false => self.closure_of(more),
        }
    }

    /// For each of these blobs, and the bases they stand on, one pack and form; outside the
    /// `avoided` packs where that is possible. `last` prefers packs with high numbers.
    pub fn support(
        &self,
        world: &World,
        blobs: u16,
        packs: Packs,
        avoided: Packs,
        last: bool,
    ) -> Vec<(u8, u8)> {
        let mut chosen: Vec<(u8, u8)> = Vec::new();
        let mut waiting: Vec<u8> = bits(blobs).collect();
        let outside = self.usable_forms(world, packs.without(avoided));
        let any = self.usable_forms(world, packs);
        while let Some(blob) = waiting.pop() {
            if chosen
                .iter()
                .any(|(_, form)| self.forms[usize::from(*form)].blob == blob)
            {
                continue;
            }
            let from = |usable: u16, packs: Packs| {
                let mut forms: Vec<u8> = bits(usable)
                    .filter(|form| self.forms[usize::from(*form)].blob == blob)
                    .collect();
                forms.sort_by_key(|form| self.forms[usize::from(*form)].base.is_some());
                let mut numbers: Vec<u8> = packs.iter().collect();
                if last {
                    numbers.reverse();
                }
                let holds = |pack: u8, form: u8| {
                    self.content(world, Object::pack(pack)) as u16 >> form & 1 == 1
                };
                let mut places = forms.iter().flat_map(|form| {
                    let pack = numbers.iter().find(|pack| holds(**pack, *form));
                    pack.map(|pack| (*pack, *form))
                });
                places.next()
            };
            let place = from(outside, packs.without(avoided)).or_else(|| from(any, packs));
            if let Some((pack, form)) = place {
                chosen.push((pack, form));
                waiting.extend(self.forms[usize::from(form)].base);
            }
        }
        chosen
    }

    /// What the records shown under `gc/` name, void or not.
    pub fn named(&self, world: &World, gc: Set) -> Named {
        (PRUNES..PRUNES + 3)
            .flat_map(|prune| [Object::condemn(prune), Object::delete(prune)])
            .filter(|record| gc.contains(*record))
            .map(|record| Named::decode(self.content(world, record)))
            .fold(Named::default(), Named::union)
    }

    fn all_closed_name(&self, world: &World, gc: Set, session: u8, commit: u64) -> bool {
        Object::closed_by_anyone(session)
            .filter(|record| gc.contains(*record))
            .all(|record| self.content(world, record) & commit != 0)
    }

    /// Whether a snapshot counts, by what is shown under `gc/`.
    pub fn counts(&self, world: &World, gc: Set, snapshot: u8) -> bool {
        let session = self.sessions[usize::from(snapshot)];
        session.is_none_or(|session| self.all_closed_name(world, gc, session, 1 << snapshot))
    }

    /// Whether the `delete` of a prune counts.
    pub fn delete_counts(&self, world: &World, gc: Set, prune: u8) -> bool {
        gc.contains(Object::delete(prune)) && self.all_closed_name(world, gc, prune, DELETE_FOUND)
    }

    /// The packs that counting `delete` records name.
    pub fn deleted_packs(&self, world: &World, gc: Set) -> Packs {
        let packs = |prune| Named::decode(self.content(world, Object::delete(prune))).packs;
        (PRUNES..PRUNES + 3)
            .filter(|prune| self.delete_counts(world, gc, *prune))
            .fold(Packs::NONE, |all, prune| all.union(packs(prune)))
    }

    /// The snapshots that counting `delete` records name.
    pub fn deleted_snapshots(&self, world: &World, gc: Set) -> u8 {
        let snapshots = |prune| Named::decode(self.content(world, Object::delete(prune))).snapshots;
        (PRUNES..PRUNES + 3)
            .filter(|prune| self.delete_counts(world, gc, *prune))
            .fold(0, |all, prune| all | snapshots(prune))
    }

    /// Whether a snapshot is void, or as good as deleted.
    pub fn is_gone(&self, world: &World, gc: Set, snapshot: u8) -> bool {
        !self.counts(world, gc, snapshot) || self.deleted_snapshots(world, gc) >> snapshot & 1 == 1
    }

    /// The snapshots shown that count and are not withdrawn.
    pub fn visible(&self, world: &World, snapshots: Set, gc: Set) -> u8 {
        let is_visible = |number: &u8| !self.is_gone(world, gc, *number) && !is_hidden(gc, *number);
        bits(u16::from(snapshots.snapshots()))
            .filter(is_visible)
            .fold(0, |all, number| all | 1 << number)
    }

    /// Whether what a snapshot needs can be read from the packs that are listed and there.
    pub fn is_whole(&self, world: &World, snapshot: u8, without: Named) -> bool {
        let segments = world.there.segments() & !without.segments;
        let listed = self.listed_packs(world, segments);
        let packs = listed
            .intersection(world.there.packs())
            .without(without.packs);
        let needed = self.closure(snapshot);
        needed & self.readable(world, packs) == needed
            && world.there.contains(Object::snapshot(snapshot))
            && without.snapshots >> snapshot & 1 == 0
    }
}

/// Whether a snapshot is withdrawn, by what is shown under `gc/`.
pub fn is_hidden(gc: Set, snapshot: u8) -> bool {
    gc.contains(Object::hide(snapshot)) && !gc.contains(Object::show(snapshot))
}
