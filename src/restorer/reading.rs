//! Reading all that a restore would fetch, from the copies it would fetch it from, and keeping
//! nothing: before anything is touched, it is known that it can be had.

use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::{ReadError, Reader, Snapshot};
use crate::restorer::error::RestoreError;
use crate::restorer::fetch::{Place, Receiver, Wanted};
use crate::restorer::run::Selection;
use crate::restorer::selected::{OnFiles, for_each_file};
use crate::tree::{Node, Piece, for_each_piece};
use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Mutex, PoisonError};

/// Chunks that are fetched together.
const CHUNKS_MAX: usize = 16_384;

/// Files whose chunks are fetched together.
const FILES_MAX: usize = 4096;

/// What was read.
#[derive(Debug, Default)]
pub struct ReadThrough {
    /// Regular files.
    pub files: u64,
    /// Bytes of their content, holes included.
    pub bytes: u64,
    /// What cannot be had: path inside the snapshot, and why.
    pub damaged: Vec<(Vec<u8>, String)>,
}

/// Reads every content that is selected and verifies each chunk, as a restore does. What other
/// copies have counts as whole.
pub fn read_through(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    selection: &Selection<'_>,
    workers: usize,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<ReadThrough, RestoreError> {
    reader.follow(snapshot.id);
    monitor.phase("verifying", Unit::Bytes, Some(snapshot.label.totals.bytes));
    let mut reading = Reading {
        reader,
        workers: workers.max(1),
        monitor,
        cancel,
        paths: Vec::new(),
        wanted: Wanted::default(),
        failed: BTreeMap::new(),
        read: ReadThrough::default(),
    };
    for_each_file(reader, snapshot, selection, cancel, &mut reading)?;
    reading.flush()?;
    Ok(reading.read)
}

struct Reading<'r, 'a> {
    reader: &'r Reader<'a>,
    workers: usize,
    monitor: &'r dyn Monitor,
    cancel: &'r Cancel,
    /// Files whose chunks are not all fetched yet.
    paths: Vec<Vec<u8>>,
    wanted: Wanted,
    /// Why a file of `paths` cannot be had, by its number.
    failed: BTreeMap<u32, String>,
    read: ReadThrough,
}

impl Reading<'_, '_> {
    fn add(&mut self, piece: Piece) -> Result<(), RestoreError> {
        self.read.bytes += piece.length;
        match piece.chunk {
            Some(chunk) => {
                let place = Place {
                    file: (self.paths.len() - 1) as u32,
                    offset: piece.offset,
                };
                self.wanted.add(chunk, place);
            }
            None => self.monitor.advance(piece.length),
        }
        match self.wanted.len() >= CHUNKS_MAX {
            true => self.fetch(),
            false => Ok(()),
        }
    }

    fn fetch(&mut self) -> Result<(), RestoreError> {
        let seen = Seen {
            monitor: self.monitor,
            failed: Mutex::new(take(&mut self.failed)),
        };
        let fetched = take(&mut self.wanted).fetch(self.reader, &seen, self.workers, self.cancel);
        let failed = seen.failed.into_inner();
        self.failed = failed.unwrap_or_else(PoisonError::into_inner);
        fetched?;
        Ok(self.cancel.check()?)
    }

    /// Fetches what is left, and notes which files cannot be had.
    fn flush(&mut self) -> Result<(), RestoreError> {
        self.fetch()?;
        let mut paths = take(&mut self.paths);
        for (number, why) in take(&mut self.failed) {
            if let Some(path) = paths.get_mut(number as usize) {
                self.read.damaged.push((take(path), why));
            }
        }
        Ok(())
    }
}

impl OnFiles for Reading<'_, '_> {
    fn file(&mut self, path: &[u8], node: &Node) -> Result<(), RestoreError> {
        if self.paths.len() >= FILES_MAX {
            self.flush()?;
        }
        self.read.files += 1;
        self.paths.push(path.to_vec());
        let number = (self.paths.len() - 1) as u32;
        let reader = self.reader;
        let listed =
            for_each_piece::<RestoreError>(reader, node.child, &mut |piece| self.add(piece));
        match listed {
            Err(RestoreError::Read(error)) if error.is_damage() => {
                let why = crate::explain::explain(&error);
                self.failed.entry(number).or_insert(why);
                Ok(())
            }
            other => other,
        }
    }

    fn unreadable(&mut self, path: &[u8], error: ReadError) -> Result<(), RestoreError> {
        if !error.is_damage() {
            return Err(error.into());
        }
        let why = crate::explain::explain(&error);
        self.read.damaged.push((path.to_vec(), why));
        Ok(())
    }
}

/// Counts what comes, and notes what does not.
struct Seen<'m> {
    monitor: &'m dyn Monitor,
    failed: Mutex<BTreeMap<u32, String>>,
}

impl Receiver for Seen<'_> {
    fn deliver(&self, _: Place, plain: &[u8]) {
        self.monitor.advance(plain.len() as u64);
    }

    fn fail(&self, places: &[Place], error: &ReadError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            let why = || crate::explain::explain(error);
            failed.entry(place.file).or_insert_with(why);
        }
    }
}
