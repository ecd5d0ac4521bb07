//! What the store of the model can hold: every object by number, and sets of them.

use std::fmt;

/// An object of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object(u8);

/// Writers have the sessions below this number, prunes those from it on.
pub const PRUNES: u8 = 5;

/// Where each kind begins; the order of the kinds is the order of deletion, last first.
const PACK: u8 = 0;
const SEGMENT: u8 = 16;
const SNAPSHOT: u8 = 28;
const OPEN: u8 = 34;
const END: u8 = 42;
const FENCE: u8 = 50;
const CLOSED: u8 = 58;
const CONDEMN: u8 = 82;
const DELETE: u8 = 85;
const HIDE: u8 = 88;
const SHOW: u8 = 94;
const HOLD: u8 = 100;
const LAST: u8 = 106;

/// Prunes of one scenario, at most.
const CLOSERS: u8 = 3;

impl Object {
    pub fn pack(number: u8) -> Self {
        Self(PACK + number)
    }

    /// The number of a pack (`true`) or segment (`false`).
    pub fn pack_or_segment(self) -> Option<(usize, bool)> {
        match self.0 {
            PACK..SEGMENT => Some((usize::from(self.0 - PACK), true)),
            SEGMENT..SNAPSHOT => Some((usize::from(self.0 - SEGMENT), false)),
            _ => None,
        }
    }

    pub fn segment(number: u8) -> Self {
        Self(SEGMENT + number)
    }

    pub fn snapshot(number: u8) -> Self {
        Self(SNAPSHOT + number)
    }

    pub fn open(session: u8) -> Self {
        Self(OPEN + session)
    }

    pub fn end(session: u8) -> Self {
        Self(END + session)
    }

    pub fn fence(session: u8) -> Self {
        Self(FENCE + session)
    }

    /// The record by which the prune `closer` closes `session`.
    pub fn closed(session: u8, closer: u8) -> Self {
        Self(CLOSED + session * CLOSERS + (closer - PRUNES))
    }

    pub fn condemn(prune: u8) -> Self {
        Self(CONDEMN + (prune - PRUNES))
    }

    pub fn delete(prune: u8) -> Self {
        Self(DELETE + (prune - PRUNES))
    }

    /// Withdraws a snapshot.
    pub fn hide(snapshot: u8) -> Self {
        Self(HIDE + snapshot)
    }

    /// Shows a withdrawn snapshot again: overrules its `hide`.
    pub fn show(snapshot: u8) -> Self {
        Self(SHOW + snapshot)
    }

    pub fn hold(snapshot: u8) -> Self {
        Self(HOLD + snapshot)
    }

    /// Every record by which somebody closed `session`.
    pub fn closed_by_anyone(session: u8) -> impl Iterator<Item = Self> {
        (PRUNES..PRUNES + CLOSERS).map(move |closer| Self::closed(session, closer))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (HOLD, "hold"),
            (SHOW, "show"),
            (HIDE, "hide"),
            (DELETE, "delete"),
            (CONDEMN, "condemn"),
            (CLOSED, "closed"),
            (FENCE, "fence"),
            (END, "end"),
            (OPEN, "open"),
            (SNAPSHOT, "snapshot"),
            (SEGMENT, "segment"),
            (PACK, "pack"),
        ];
        let Some((first, name)) = kinds.iter().find(|(first, _)| self.0 >= *first) else {
            return f.write_str("nothing");
        };
        let number = self.0 - first;
        match *name {
            "closed" => write!(
                f,
                "closed {}.{}",
                number / CLOSERS,
                PRUNES + number % CLOSERS
            ),
            "condemn" | "delete" => write!(f, "{name} {}", PRUNES + number),
            _ => write!(f, "{name} {number}"),
        }
    }
}

/// A set of objects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Set(u128);

impl Set {
    pub const EMPTY: Self = Self(0);
    pub const PACKS: Self = Self::range(PACK, SEGMENT);
    pub const SEGMENTS: Self = Self::range(SEGMENT, SNAPSHOT);
    pub const SNAPSHOTS: Self = Self::range(SNAPSHOT, OPEN);
    pub const SESSIONS: Self = Self::range(OPEN, FENCE);
    pub const GC: Self = Self::range(FENCE, HOLD);
    pub const HOLDS: Self = Self::range(HOLD, LAST);

    const fn range(from: u8, to: u8) -> Self {
        Self((1 << to) - (1 << from))
    }

    pub fn contains(self, object: Object) -> bool {
        self.0 >> object.0 & 1 == 1
    }

    pub fn insert(&mut self, object: Object) {
        self.0 |= 1 << object.0;
    }

    pub fn remove(&mut self, object: Object) {
        self.0 &= !(1 << object.0);
    }

    pub fn with(mut self, object: Object) -> Self {
        self.insert(object);
        self
    }

    pub fn iter(self) -> impl Iterator<Item = Object> {
        (0..LAST)
            .map(Object)
            .filter(move |object| self.contains(*object))
    }

    /// Snapshots before segments, segments before packs.
    pub fn next_to_delete(self) -> Option<Object> {
        (0..LAST)
            .rev()
            .map(Object)
            .find(|object| self.contains(*object))
    }

    /// Every subset.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        let mut next = Some(self.0);
        std::iter::from_fn(move || {
            let subset = next?;
            next = (subset != 0).then(|| (subset - 1) & self.0);
            Some(Self(subset))
        })
    }

    pub fn packs(self) -> Packs {
        Packs((self.0 >> PACK) as u16)
    }

    /// Bit n stands for segment n.
    pub fn segments(self) -> u16 {
        (self.intersection(Self::SEGMENTS).0 >> SEGMENT) as u16
    }

    /// Bit n stands for snapshot n.
    pub fn snapshots(self) -> u8 {
        (self.intersection(Self::SNAPSHOTS).0 >> SNAPSHOT) as u8
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A set of packs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Packs(pub u16);

impl Packs {
    pub const NONE: Self = Self(0);

    pub fn iter(self) -> impl Iterator<Item = u8> {
        bits(self.0)
    }
}

/// What sets of bits have in common.
macro_rules! set_algebra {
    ($set:ident) => {
        impl $set {
            pub fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            pub fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            pub fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            pub fn is_empty(self) -> bool {
                self.0 == 0
            }
        }
    };
}

set_algebra!(Set);
set_algebra!(Packs);

/// The numbers of the bits that are set, lowest first.
pub fn bits(mask: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |bit| mask >> bit & 1 == 1)
}

/// What a `condemn` or `delete` names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Named {
    pub packs: Packs,
    pub segments: u16,
    pub snapshots: u8,
}

impl Named {
    pub fn encode(self) -> u64 {
        u64::from(self.packs.0) | u64::from(self.segments) << 16 | u64::from(self.snapshots) << 32
    }

    pub fn decode(content: u64) -> Self {
        Self {
            packs: Packs(content as u16),
            segments: (content >> 16) as u16,
            snapshots: (content >> 32) as u8,
        }
    }

    /// Names these objects.
    pub fn of(objects: Set) -> Self {
        Self {
            packs: objects.packs(),
            segments: objects.segments(),
            snapshots: objects.snapshots(),
        }
    }

    pub fn union(self, other: Self) -> Self {
        Self::decode(self.encode() | other.encode())
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The objects named.
    pub fn objects(self) -> Set {
        let mut set = Set(u128::from(self.packs.0) << PACK);
        set.0 |= u128::from(self.segments) << SEGMENT;
        set.0 |= u128::from(self.snapshots) << SNAPSHOT;
        set
    }
}
