//! A batch of files whose chunks are fetched together.
//!
//! Bounded by chunks, not by files: one huge file takes several batches, many small ones share one.

use crate::format::entry::TreeEntry;
use crate::format::node::Child;
use crate::monitor::{Cancel, Monitor};
use crate::repository::{ReadError, Reader};
use crate::restorer::compare::{Candidate, Names, not_there};
use crate::restorer::fetch::Wanted;
use crate::restorer::finish::{FileFailure, Finished, OpenFile, finish_all};
use crate::restorer::writer::{Writer, with_early_syncs};
use crate::target::files::{
    ExistingFile, TargetError, TargetFile, TargetPath, TargetResult, TargetRoot, Warning,
};
use crate::tree::{Piece, for_each_piece};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Chunks of one batch: 4 GiB of large files; plans of a few megabytes, of tens with long chains.
const CHUNKS_MAX: usize = 16_384;

/// Files open at a time.
const FILES_MAX: usize = 512;

/// What became of the files of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) files: u64,
    pub(super) bytes_written: u64,
    pub(super) bytes_differed: u64,
    pub(super) bytes_verified: u64,
    pub(super) damaged: Vec<(Vec<u8>, String)>,
    pub(super) unproven: Vec<(Vec<u8>, String)>,
    pub(super) warnings: Vec<Warning>,
}

/// How a batch is restored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) workers: usize,
    /// What is there is changed where it differs, not replaced.
    pub(super) in_place: bool,
    /// Every file is read back before it gets its name.
    pub(super) verify: bool,
    pub(super) names: Names<'a>,
}

/// A file to restore.
pub(super) struct Order {
    /// Where it goes.
    pub(super) path: TargetPath,
    /// Path inside the snapshot.
    pub(super) shown: Vec<u8>,
    pub(super) entry: TreeEntry,
    pub(super) content: Child,
    /// It is the image of a database that belongs there.
    pub(super) image_of: Option<TargetPath>,
}

/// Files waiting for their chunks.
pub(super) struct Batch<'x, 'a> {
    reader: &'x Reader<'a>,
    target: &'x TargetRoot,
    monitor: &'x dyn Monitor,
    cancel: &'x Cancel,
    manner: Manner<'a>,
    files: Vec<OpenFile>,
    wanted: Wanted,
    /// Pieces that may be there already.
    candidates: Vec<Candidate>,
    pub(super) outcome: Outcome,
}

/// A restore cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Interrupted(#[from] crate::monitor::Interrupted),
}

impl<'x, 'a> Batch<'x, 'a> {
    pub(super) fn new(
        reader: &'x Reader<'a>,
        target: &'x TargetRoot,
        monitor: &'x dyn Monitor,
        cancel: &'x Cancel,
        manner: Manner<'a>,
    ) -> Self {
        Self {
            reader,
            target,
            monitor,
            cancel,
            manner,
            files: Vec::new(),
            wanted: Wanted::default(),
            candidates: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// Adds a file. It gets its name when all of its content is written.
    pub(super) fn add(&mut self, order: Order) -> Result<(), BatchError> {
        let (file, existing) = self.open(&order)?;
        let content = order.content;
        self.files.push(OpenFile {
            file,
            path: order.path,
            shown: order.shown,
            entry: order.entry,
            content,
            existing,
            failure: Mutex::default(),
            unsynced: AtomicU64::default(),
        });
        let reader = self.reader;
        let listed =
            for_each_piece::<BatchError>(reader, content, &mut |piece| self.add_piece(piece));
        match listed {
            Err(BatchError::Read(error)) if error.is_damage() => {
                self.fail_last(&error);
            }
            other => other?,
        }
        Ok(())
    }

    /// The file to write to, and what can be copied from.
    fn open(&self, order: &Order) -> TargetResult<(TargetFile, Option<ExistingFile>)> {
        let (path, size, tag) = (&order.path, order.content.length(), tag(order.content));
        if order.image_of.is_some() {
            self.target.take_back(path, &tag)?;
        } else if self.manner.in_place
            && let Some(file) = self.target.open_in_place(path, size)?
        {
            return Ok((file, None));
        }
        let existing = match self.manner.in_place {
            true => {
                let place = order.image_of.as_ref().unwrap_or(path);
                self.target.open_existing(place)?
            }
            false => None,
        };
        let mut file = self.target.create_file(path, size, &tag)?;
        if let Some(existing) = &existing {
            file.clone_from(existing)?;
        }
        Ok((file, existing))
    }

    /// Whether it is time to flush.
    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= FILES_MAX
    }

    fn fail_last(&self, error: &ReadError) {
        if let Some(last) = self.files.last() {
            last.fail(FileFailure::Damaged(crate::explain::explain(error)));
        }
    }

    fn add_piece(&mut self, piece: Piece) -> Result<(), BatchError> {
        let number = self.files.len() - 1;
        let open = &self.files[number];
        let candidate = Candidate::new(number, piece);
        match piece.chunk {
            Some(_) if open.file.is_resumed() || open.existing.is_some() => {
                self.candidates.push(candidate);
            }
            Some(chunk) => {
                self.outcome.bytes_differed += piece.length;
                self.wanted.add(chunk, candidate.place);
            }
            None => {
                open.file.write_hole(piece.offset, piece.length)?;
                self.monitor.advance(piece.length);
            }
        }
        match self.wanted.len() + self.candidates.len() >= CHUNKS_MAX {
            true => self.fetch(),
            false => Ok(()),
        }
    }

    /// Fetches the chunks asked for so far, but for what is there; files stay open.
    fn fetch(&mut self) -> Result<(), BatchError> {
        let candidates = std::mem::take(&mut self.candidates);
        let mut wanted = std::mem::take(&mut self.wanted);
        let (files, manner, cancel) = (&self.files, self.manner, self.cancel);
        let (written, differed) = with_early_syncs(files, |due| {
            let writer = Writer::new(files, self.monitor, manner.names, due);
            let is_there = |candidate: &Candidate, buffer: &mut Vec<u8>| {
                writer
                    .is_there(candidate, buffer)
                    .unwrap_or_else(|error| writer.fail_target(candidate.place, error))
            };
            let mut differed = 0;
            for missing in not_there(&candidates, manner.workers, cancel, &is_there) {
                if let Some(chunk) = missing.chunk {
                    differed += missing.length;
                    wanted.add(chunk, missing.place);
                }
            }
            cancel.check()?;
            wanted.fetch(self.reader, &writer, manner.workers, cancel)?;
            Ok::<_, BatchError>((writer.written(), differed))
        })?;
        self.outcome.bytes_written += written;
        self.outcome.bytes_differed += differed;
        Ok(cancel.check()?)
    }

    /// Whether no file waits.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Fetches what is left and finishes every file.
    pub(super) fn flush(&mut self) -> Result<(), BatchError> {
        self.fetch()?;
        if self.manner.verify {
            self.read_back()?;
        }
        let files = std::mem::take(&mut self.files);
        for finished in finish_all(files, self.target, self.manner.workers) {
            match finished? {
                Finished::Whole(warnings) => {
                    self.outcome.warnings.extend(warnings);
                    self.outcome.files += 1;
                }
                Finished::Damaged(shown, why) => self.outcome.damaged.push((shown, why)),
                Finished::Unproven(shown, why) => self.outcome.unproven.push((shown, why)),
            }
        }
        Ok(())
    }

    /// Reads every file back from the medium and hashes it.
    fn read_back(&mut self) -> Result<(), BatchError> {
        self.target.sync()?;
        let mut candidates = Vec::new();
        for (number, open) in self.files.iter().enumerate() {
            if open.is_failed() {
                continue;
            }
            self.monitor.current(&format!("reading back {}", open.path));
            open.file.drop_cached()?;
            for_each_piece::<BatchError>(self.reader, open.content, &mut |piece| {
                candidates.push(Candidate::new(number, piece));
                if candidates.len() >= CHUNKS_MAX {
                    self.outcome.bytes_verified +=
                        verify(&self.files, &candidates, self.manner, self.cancel);
                    candidates.clear();
                }
                Ok(self.cancel.check()?)
            })?;
        }
        self.outcome.bytes_verified += verify(&self.files, &candidates, self.manner, self.cancel);
        Ok(self.cancel.check()?)
    }
}

/// Reads pieces back and fails the files in which one is not what it should be. Returns the bytes
/// that are.
fn verify(
    files: &[OpenFile],
    candidates: &[Candidate],
    manner: Manner<'_>,
    cancel: &Cancel,
) -> u64 {
    let verified = AtomicU64::new(0);
    let holds = |candidate: &Candidate, buffer: &mut Vec<u8>| {
        let Some(open) = files.get(candidate.place.file as usize) else {
            return false;
        };
        let holds = open.holds(candidate, manner.names, buffer);
        let holds = holds.unwrap_or_else(|error| {
            open.fail(FileFailure::Target(error));
            false
        });
        let bytes = if holds { candidate.length } else { 0 };
        verified.fetch_add(bytes, Ordering::Relaxed);
        holds
    };
    for wrong in not_there(candidates, manner.workers, cancel, &holds) {
        if let Some(open) = files.get(wrong.place.file as usize) {
            let offset = wrong.place.offset;
            let message = format!("what was read back at offset {offset} is not what was written");
            open.fail(FileFailure::Unproven(message));
        }
    }
    verified.into_inner()
}

/// What identifies a content in the name of its unfinished file.
fn tag(content: Child) -> Vec<u8> {
    match content {
        Child::Chunk { id, .. } | Child::Links { id, .. } => id.0[..8].to_vec(),
        Child::Nothing | Child::Hole { .. } => vec![0; 8],
    }
}
