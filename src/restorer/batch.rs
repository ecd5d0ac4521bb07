//! A batch of files whose chunks are fetched together.
//!
//! Bounded by chunks, not by files: one huge file takes several batches, many small ones share one.

use crate::format::entry::TreeEntry;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::monitor::{Cancel, Monitor};
use crate::repository::{ReadError, Reader};
use crate::restorer::fetch::{Place, Receiver, Wanted};
use crate::target::files::{TargetError, TargetFile, TargetPath, TargetRoot, Warning};
use crate::tree::{Piece, for_each_piece};
use std::sync::{Mutex, PoisonError};

/// Chunks of one batch: 16 GiB of large files, a few megabytes of plans.
const CHUNKS_MAX: usize = 65_536;

/// Files open at a time.
const FILES_MAX: usize = 512;

/// A file of the batch, open for writing.
struct OpenFile {
    file: TargetFile,
    path: TargetPath,
    /// Path inside the snapshot.
    shown: Vec<u8>,
    entry: TreeEntry,
    failure: Mutex<Option<FileFailure>>,
}

/// Why a file was not restored.
#[derive(Debug)]
pub(super) enum FileFailure {
    /// Part of its content is damaged or missing.
    Damaged(String),
    /// It could not be written.
    Target(TargetError),
}

/// What became of the files of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) files: u64,
    pub(super) bytes_fetched: u64,
    pub(super) bytes_written: u64,
    pub(super) damaged: Vec<(Vec<u8>, String)>,
    pub(super) warnings: Vec<Warning>,
}

/// Files waiting for their chunks.
pub(super) struct Batch<'x, 'a> {
    reader: &'x Reader<'a>,
    target: &'x TargetRoot,
    monitor: &'x dyn Monitor,
    cancel: &'x Cancel,
    workers: usize,
    files: Vec<OpenFile>,
    wanted: Wanted,
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
        workers: usize,
    ) -> Self {
        Self {
            reader,
            target,
            monitor,
            cancel,
            workers,
            files: Vec::new(),
            wanted: Wanted::default(),
            outcome: Outcome::default(),
        }
    }

    /// Adds a file. It gets its name when all of its content is written.
    pub(super) fn add(
        &mut self,
        path: TargetPath,
        shown: Vec<u8>,
        entry: TreeEntry,
        content: Child,
    ) -> Result<(), BatchError> {
        let file = self
            .target
            .create_file(&path, content.length(), &tag(content))?;
        self.files.push(OpenFile {
            file,
            path,
            shown,
            entry,
            failure: Mutex::default(),
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
        match piece.chunk {
            Some(chunk) => {
                if self.is_there(number, chunk, piece)? {
                    self.monitor.advance(piece.length);
                    return Ok(());
                }
                let place = Place {
                    file: number as u32,
                    offset: piece.offset,
                };
                self.wanted.add(chunk, place);
            }
            None => {
                self.files[number]
                    .file
                    .write_hole(piece.offset, piece.length)?;
                self.monitor.advance(piece.length);
            }
        }
        match self.wanted.len() >= CHUNKS_MAX {
            true => self.fetch(),
            false => Ok(()),
        }
    }

    /// Whether an interrupted restore left this chunk whole: what is there is hashed, not trusted.
    fn is_there(&self, number: usize, chunk: BlobId, piece: Piece) -> Result<bool, BatchError> {
        let file = &self.files[number].file;
        if !file.is_resumed() {
            return Ok(false);
        }
        let mut bytes = vec![0; piece.length as usize];
        let read = file.read_at(piece.offset, &mut bytes)?;
        let whole = read == bytes.len();
        Ok(whole && self.reader.is_content_of(chunk, &bytes)?)
    }

    /// Fetches the chunks asked for so far; files stay open.
    fn fetch(&mut self) -> Result<(), BatchError> {
        let wanted = std::mem::take(&mut self.wanted);
        let writer = Writer {
            files: &self.files,
            monitor: self.monitor,
            written: Mutex::new(0),
        };
        let fetched = wanted.fetch(self.reader, &writer, self.workers, self.cancel)?;
        self.outcome.bytes_fetched += fetched;
        self.outcome.bytes_written += writer
            .written
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(self.cancel.check()?)
    }

    /// Whether no file waits.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Fetches what is left and finishes every file.
    pub(super) fn flush(&mut self) -> Result<(), BatchError> {
        self.fetch()?;
        for open in std::mem::take(&mut self.files) {
            let failure = open
                .failure
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            match failure {
                None => {
                    let entry = &open.entry.entry;
                    let warnings = self.target.commit_file(open.file, &open.path, entry)?;
                    self.outcome.warnings.extend(warnings);
                    self.outcome.files += 1;
                }
                Some(FileFailure::Damaged(message)) => {
                    self.target.discard_file(open.file)?;
                    self.outcome.damaged.push((open.shown, message));
                }
                Some(FileFailure::Target(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What identifies a content in the name of its unfinished file.
fn tag(content: Child) -> Vec<u8> {
    match content {
        Child::Chunk { id, .. } | Child::Links { id, .. } => id.0[..8].to_vec(),
        Child::Nothing | Child::Hole { .. } => vec![0; 8],
    }
}

impl OpenFile {
    fn fail(&self, failure: FileFailure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
    }
}

struct Writer<'w> {
    files: &'w [OpenFile],
    monitor: &'w dyn Monitor,
    written: Mutex<u64>,
}

impl Receiver for Writer<'_> {
    fn deliver(&self, place: Place, plain: &[u8]) {
        let Some(open) = self.files.get(place.file as usize) else {
            return;
        };
        self.monitor.advance(plain.len() as u64);
        match open.file.write_at(place.offset, plain) {
            Ok(()) => {
                let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
                *written += plain.len() as u64;
            }
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
