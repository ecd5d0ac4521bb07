//! Comparing what is there with what is wanted: hashed, several pieces at once, never trusted.

use crate::crypto::IdKey;
use crate::format::blob::BlobKind;
use crate::id::BlobId;
use crate::monitor::Cancel;
use crate::restorer::fetch::Place;
use crate::tree::Piece;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pieces that a thread takes at once.
const STEP: usize = 32;

/// A piece of a file that may be there already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// Bytes.
    pub(super) length: u64,
    /// What should be there; `None` for zeros.
    pub(super) chunk: Option<BlobId>,
}

impl Candidate {
    pub(super) fn new(file: usize, piece: Piece) -> Self {
        Self {
            place: Place {
                file: file as u32,
                offset: piece.offset,
            },
            length: piece.length,
            chunk: piece.chunk,
        }
    }
}

/// Tells whether bytes are what an id names: all chunks of a snapshot are of its domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a>(pub(super) Option<&'a IdKey>);

impl Names<'_> {
    pub(super) fn name(self, chunk: BlobId, plain: &[u8]) -> bool {
        self.0
            .is_some_and(|ids| ids.blob_id(BlobKind::Chunk.role(), plain) == chunk)
    }
}

/// Decides about a piece; the buffer is the thread's own, to be used again and again.
pub(super) type Decide<'f> = dyn Fn(&Candidate, &mut Vec<u8>) -> bool + Sync + 'f;

/// Asks `is_there` about every candidate, with `workers` threads, and returns the others in their
/// order. Once a stop is asked for, what was not looked at yet is among them.
pub(super) fn not_there(
    candidates: &[Candidate],
    workers: usize,
    cancel: &Cancel,
    is_there: &Decide<'_>,
) -> Vec<Candidate> {
    let next = AtomicUsize::new(0);
    let missing = Mutex::new(Vec::new());
    let work = || {
        let mut buffer = Vec::new();
        loop {
            let start = next.fetch_add(STEP, Ordering::Relaxed);
            let step = candidates.get(start..).unwrap_or_default();
            let step = &step[..step.len().min(STEP)];
            if step.is_empty() {
                return;
            }
            for (number, candidate) in step.iter().enumerate() {
                if cancel.is_cancelled() || !is_there(candidate, &mut buffer) {
                    let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
                    missing.push(start + number);
                }
            }
        }
    };
    let workers = workers.clamp(1, candidates.len().div_ceil(STEP).max(1));
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    let mut missing = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
    missing.sort_unstable();
    missing
        .into_iter()
        .map(|number| candidates[number])
        .collect()
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_comes_in_order() {
        let candidate = |offset| Candidate {
            place: Place { file: 0, offset },
            length: 1,
            chunk: None,
        };
        let all: Vec<_> = (0..1000).map(candidate).collect();
        let is_there =
            |candidate: &Candidate, _: &mut Vec<u8>| !candidate.place.offset.is_multiple_of(3);
        let offsets = |workers, cancel: &Cancel| {
            let missing = not_there(&all, workers, cancel, &is_there);
            missing
                .iter()
                .map(|candidate| candidate.place.offset)
                .collect::<Vec<_>>()
        };
        let expected: Vec<u64> = (0..1000).step_by(3).collect();
        for workers in [0, 1, 3, 64] {
            assert_eq!(offsets(workers, &Cancel::default()), expected);
        }
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(offsets(2, &cancel).len(), 1000);
        assert!(not_there(&[], 4, &cancel, &is_there).is_empty());
    }
}
