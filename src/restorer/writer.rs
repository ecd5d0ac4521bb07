//! Writing pieces into the files of a batch, as they are delivered.
//!
//! A large file is made durable while it arrives: the disk works beside the processors, and what is
//! left for the end is little.

use crate::monitor::Monitor;
use crate::repository::ReadError;
use crate::restorer::compare::{Candidate, Names};
use crate::restorer::fetch::{Place, Receiver};
use crate::restorer::finish::{FileFailure, OpenFile, read_whole};
use crate::target::files::{TargetError, TargetResult};
use crossbeam_channel::{Sender, bounded};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one file after which the disk is asked to take them.
const SYNC_BYTES: u64 = 64 << 20;

/// Runs `work` beside a thread that makes files durable whose numbers are sent to it. What cannot be
/// made durable fails its file: the system tells of that only once.
pub(super) fn with_early_syncs<T>(files: &[OpenFile], work: impl FnOnce(Sender<u32>) -> T) -> T {
    std::thread::scope(|scope| {
        let (due, queue) = bounded::<u32>(1);
        scope.spawn(move || {
            for open in queue.iter().filter_map(|file| files.get(file as usize)) {
                if let Err(error) = open.file.sync_written() {
                    open.fail(FileFailure::Target(error));
                }
            }
        });
        work(due)
    })
}

/// Writes what is delivered.
pub(super) struct Writer<'w> {
    files: &'w [OpenFile],
    monitor: &'w dyn Monitor,
    names: Names<'w>,
    written: AtomicU64,
    /// Takes the numbers of files that have much to be made durable.
    due: Sender<u32>,
}

impl<'w> Writer<'w> {
    pub(super) fn new(
        files: &'w [OpenFile],
        monitor: &'w dyn Monitor,
        names: Names<'w>,
        due: Sender<u32>,
    ) -> Self {
        Self {
            files,
            monitor,
            names,
            written: AtomicU64::new(0),
            due,
        }
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Counts what was written, and has the disk take it when it is much.
    fn wrote(&self, file: u32, length: u64) {
        self.written.fetch_add(length, Ordering::Relaxed);
        let Some(open) = self.files.get(file as usize) else {
            return;
        };
        let before = open.unsynced.fetch_add(length, Ordering::Relaxed);
        // Where the disk is behind already, another time is early enough.
        if before + length >= SYNC_BYTES && self.due.try_send(file).is_ok() {
            open.unsynced.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a piece is there, or was copied there from what the file replaces.
    pub(super) fn is_there(&self, piece: &Candidate, buffer: &mut Vec<u8>) -> TargetResult<bool> {
        let Some(open) = self.files.get(piece.place.file as usize) else {
            return Ok(false);
        };
        let mut is_there = open.file.is_resumed() && open.holds(piece, self.names, buffer)?;
        if !is_there && let (Some(existing), Some(chunk)) = (&open.existing, piece.chunk) {
            let offset = piece.place.offset;
            let read = |offset, buffer: &mut [u8]| existing.read_at(offset, buffer);
            let is_whole = read_whole(offset, piece.length, buffer, read)?;
            if is_whole && self.names.name(chunk, buffer) {
                open.file.write_at(offset, buffer)?;
                self.wrote(piece.place.file, piece.length);
                is_there = true;
            }
        }
        if is_there {
            self.monitor.advance(piece.length);
        }
        Ok(is_there)
    }

    /// Fails the file of a place; `false`, for what is not there.
    pub(super) fn fail_target(&self, place: Place, error: TargetError) -> bool {
        if let Some(open) = self.files.get(place.file as usize) {
            open.fail(FileFailure::Target(error));
        }
        false
    }
}

impl Receiver for Writer<'_> {
    fn deliver(&self, place: Place, plain: &[u8]) {
        let Some(open) = self.files.get(place.file as usize) else {
            return;
        };
        self.monitor.advance(plain.len() as u64);
        match open.file.write_at(place.offset, plain) {
            Ok(()) => self.wrote(place.file, plain.len() as u64),
            Err(error) => open.fail(FileFailure::Target(error)),
        }
    }

    fn fail(&self, places: &[Place], error: &ReadError) {
        for place in places {
            if let Some(open) = self.files.get(place.file as usize) {
                open.fail(FileFailure::Damaged(crate::explain::explain(error)));
            }
        }
    }
}
