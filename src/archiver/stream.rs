//! Which chunk of the parent a stream's chunk may follow: by place, while the stream is read.
//!
//! A stream's chunks do not stand at fixed offsets, but mostly in the same order: the shift between
//! the two files is taken from the last chunk whose predecessor was found, unchanged or alike.

use crate::archiver::hints::Hints;
use crate::delta::{Relative, Relatives, Sketch, Sketcher};
use crate::format::node::Child;
use crate::id::BlobId;
use crate::repository::{ReadError, Reader};
use crate::tree::{ContentCursor, Piece};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the parent's list kept behind and read ahead of the place looked for, and how many
/// pieces that may be.
const BEHIND: u64 = 16 << 20;
const AHEAD: u64 = 16 << 20;
const PIECES_MAX: usize = 2048;

/// After so many chunks in a row whose place helped nothing, only one in [`RETRIED`] is tried there:
/// an export in another order would otherwise cost an attempt for each of its chunks.
const MISSES_MAX: u32 = 16;
const RETRIED: u32 = 8;

/// What the workers know of a stream together.
pub(super) struct Kin {
    sketcher: Arc<Sketcher>,
    relatives: Arc<Mutex<Relatives>>,
    /// Whether a chunk was no difference to what is in its place, since a predecessor was found.
    has_missed: AtomicBool,
    /// How often a predecessor was found and the shift learned from it.
    found: AtomicU32,
}

/// What a worker needs to find a predecessor.
pub(super) struct Search {
    /// The parent's chunk in the same place.
    near: Option<BlobId>,
    /// Whether to try that.
    is_tried: bool,
    /// Where that is in the parent's file.
    place: u64,
    /// Whether to make a sketch: short streams do without.
    is_sketched: bool,
    /// [`Kin::found`] when the place was looked up.
    found: u32,
    kin: Arc<Kin>,
}

impl Search {
    /// The chunk's sketch: the parent's where it has the same chunk, else made now.
    pub(super) fn sketch(&self, id: &BlobId, plain: &[u8], known: bool) -> Option<Sketch> {
        if !self.is_sketched {
            return None;
        }
        if known && let Some(same) = self.kin.relatives().find(id, self.place) {
            return same.sketch;
        }
        self.kin.sketcher.sketch(plain)
    }

    /// Chunks to try in turn: the one that is most alike, then the one in the same place.
    pub(super) fn candidates(&self, sketch: Option<&Sketch>) -> [Option<BlobId>; 2] {
        let alike = sketch.and_then(|sketch| self.kin.relatives().best(sketch, self.place));
        let alike = alike.map(|relative| relative.id);
        let near = (self.near).filter(|near| self.is_tried && Some(*near) != alike);
        [alike, near]
    }

    /// Notes that the place was not right. What was looked up before the last chunk was found says
    /// nothing any more.
    pub(super) fn miss(&self) {
        if self.kin.found.load(Ordering::Relaxed) == self.found {
            self.kin.has_missed.store(true, Ordering::Relaxed);
        }
    }
}

/// How many chunks beside its place to look for the next chunk, at this turn after a miss: what was
/// put in or taken out before it moved it by a few.
fn probe(turn: u32) -> isize {
    let turn = match turn < MISSES_MAX {
        true => turn,
        false => turn / RETRIED,
    };
    let step = (turn % 8).div_ceil(2) as isize;
    match turn % 2 {
        0 => step,
        _ => -step,
    }
}

impl Kin {
    fn relatives(&self) -> MutexGuard<'_, Relatives> {
        self.relatives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a chunk.
pub(super) struct Stored {
    pub(super) id: BlobId,
    pub(super) sketch: Option<Sketch>,
    /// The chunk of the parent that it is or rests on.
    pub(super) follows: Option<BlobId>,
}

/// The parent of one stream.
pub(super) struct StreamParent<'s> {
    cursor: Option<ContentCursor<'s, 's>>,
    window: VecDeque<Piece>,
    /// New offset less old offset.
    shift: i64,
    /// Chunks looked for since the first miss: counted here, where they come in order, for what
    /// workers report comes in bursts.
    turn: u32,
    hints: Option<Hints<'s>>,
    kin: Arc<Kin>,
}

impl<'s> StreamParent<'s> {
    /// `before` is the content of the parent's file; `hints` are there for streams that are long
    /// enough to have sketches.
    pub(super) fn new(
        reader: &'s Reader<'s>,
        before: Child,
        hints: Option<Hints<'s>>,
        sketcher: &Arc<Sketcher>,
    ) -> Self {
        let is_there = matches!(before, Child::Links { .. } | Child::Chunk { .. });
        let relatives = hints.as_ref().map(Hints::relatives);
        let kin = Kin {
            sketcher: Arc::clone(sketcher),
            relatives: relatives.unwrap_or_default(),
            has_missed: AtomicBool::new(false),
            found: AtomicU32::new(0),
        };
        Self {
            cursor: is_there.then(|| ContentCursor::new(reader, before)),
            window: VecDeque::new(),
            shift: 0,
            turn: 0,
            hints,
            kin: Arc::new(kin),
        }
    }

    /// How to look for the predecessor of the chunk at `offset`. Errors say nothing of the parent:
    /// one that is damaged has no chunks.
    pub(super) fn search(&mut self, offset: u64, length: usize) -> Result<Search, ReadError> {
        let place = offset.saturating_add_signed(self.shift.saturating_neg());
        let middle = place + length as u64 / 2;
        match self.slide(middle) {
            Err(error) if error.is_damage() => self.cursor = None,
            slid => slid?,
        }
        let here = self
            .window
            .partition_point(|piece| piece.offset + piece.length <= middle);
        self.turn = match self.kin.has_missed.load(Ordering::Relaxed) {
            true => self.turn.saturating_add(1),
            false => 0,
        };
        let near = here.checked_add_signed(probe(self.turn));
        let near = near.and_then(|number| self.window.get(number));
        Ok(Search {
            near: near.and_then(|piece| piece.chunk),
            is_tried: self.turn < MISSES_MAX || self.turn.is_multiple_of(RETRIED),
            place,
            is_sketched: self.hints.is_some(),
            found: self.kin.found.load(Ordering::Relaxed),
            kin: Arc::clone(&self.kin),
        })
    }

    fn slide(&mut self, middle: u64) -> Result<(), ReadError> {
        let end = |piece: &Piece| piece.offset + piece.length;
        while self
            .window
            .back()
            .is_none_or(|last| end(last) < middle + AHEAD)
        {
            let Some(cursor) = &mut self.cursor else {
                break;
            };
            match cursor.next_piece()? {
                Some(piece) => self.window.push_back(piece),
                None => self.cursor = None,
            }
            if self.window.len() > PIECES_MAX {
                self.window.pop_front();
            }
        }
        while self
            .window
            .front()
            .is_some_and(|first| end(first) + BEHIND < middle)
        {
            self.window.pop_front();
        }
        Ok(())
    }

    /// Learns from the next chunk in order.
    pub(super) fn learn(&mut self, offset: u64, length: u64, stored: &Stored) {
        let place = offset.saturating_add_signed(self.shift.saturating_neg());
        if let Some(old) = stored.follows.and_then(|id| self.old_offset(id, place)) {
            self.shift = (offset as i64).saturating_sub(old as i64);
            self.kin.found.fetch_add(1, Ordering::Relaxed);
            self.kin.has_missed.store(false, Ordering::Relaxed);
        }
        if let Some(hints) = &mut self.hints {
            hints.push(Relative {
                offset,
                length: length as u32,
                id: stored.id,
                sketch: stored.sketch,
            });
        }
    }

    fn old_offset(&self, id: BlobId, place: u64) -> Option<u64> {
        let same = self.window.iter().filter(|piece| piece.chunk == Some(id));
        let near = same.map(|piece| piece.offset);
        if let Some(offset) = near.min_by_key(|offset| offset.abs_diff(place)) {
            return Some(offset);
        }
        let found = self.kin.relatives().find(&id, place);
        found.map(|relative| relative.offset)
    }

    /// Ends the stream.
    pub(super) fn finish(self) {
        if let Some(hints) = self.hints {
            hints.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_spread_around_the_place() {
        let probes = |turns: &[u32]| -> Vec<isize> { turns.iter().copied().map(probe).collect() };
        assert_eq!(
            probes(&[0, 1, 2, 3, 4, 5, 6, 7, 8]),
            [0, -1, 1, -2, 2, -3, 3, -4, 0]
        );
        assert_eq!(probes(&[16, 24, 32, 40]), [1, -2, 2, -3]);
    }
}
