//! The files of a batch, and how each gets its metadata and its name when all of it is written.

use crate::format::entry::TreeEntry;
use crate::format::node::Child;
use crate::restorer::compare::{Candidate, Names, is_zero};
use crate::target::files::{
    ExistingFile, TargetError, TargetFile, TargetPath, TargetResult, TargetRoot, Warning,
};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

/// A file of the batch, open for writing.
pub(super) struct OpenFile {
    pub(super) file: TargetFile,
    pub(super) path: TargetPath,
    /// Path inside the snapshot.
    pub(super) shown: Vec<u8>,
    pub(super) entry: TreeEntry,
    pub(super) content: Child,
    /// What is at its place, to copy from what is equal.
    pub(super) existing: Option<ExistingFile>,
    pub(super) failure: Mutex<Option<FileFailure>>,
    /// Bytes that were written since the disk was last asked to take them.
    pub(super) unsynced: AtomicU64,
}

/// Why a file was not restored.
#[derive(Debug)]
pub(super) enum FileFailure {
    /// Part of its content is damaged or missing.
    Damaged(String),
    /// What was read back is not what was written.
    Unproven(String),
    /// It could not be written.
    Target(TargetError),
}

/// What became of one file.
pub(super) enum Finished {
    Whole(Vec<Warning>),
    Damaged(Vec<u8>, String),
    Unproven(Vec<u8>, String),
}

/// Files from which on several threads finish them: a thread costs as much as a few.
const FINISHED_TOGETHER: usize = 16;

/// Gives every whole file its metadata and its name, in as many threads as there are workers.
/// Results come in the order of the files.
pub(super) fn finish_all(
    mut files: Vec<OpenFile>,
    target: &TargetRoot,
    workers: usize,
) -> Vec<TargetResult<Finished>> {
    let share = files.len().div_ceil(workers.max(1)).max(FINISHED_TOGETHER);
    let mut parts = Vec::new();
    while !files.is_empty() {
        let rest = files.split_off(files.len().min(share));
        parts.push(std::mem::replace(&mut files, rest));
    }
    let finish_part = |part: Vec<OpenFile>| -> Vec<_> {
        let finished = part.into_iter().map(|open| open.finish(target));
        finished.collect()
    };
    if parts.len() < 2 {
        return parts.into_iter().flat_map(finish_part).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(|| finish_part(part)))
            .collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(finished) => finished,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

impl OpenFile {
    /// Gives the file its name when nothing failed.
    fn finish(self, target: &TargetRoot) -> TargetResult<Finished> {
        let failure = self.failure.into_inner();
        match failure.unwrap_or_else(PoisonError::into_inner) {
            None => {
                let entry = &self.entry.entry;
                let warnings = target.commit_file(self.file, &self.path, entry)?;
                Ok(Finished::Whole(warnings))
            }
            Some(FileFailure::Damaged(message)) => {
                target.discard_file(self.file)?;
                Ok(Finished::Damaged(self.shown, message))
            }
            // What is good of it is found again by the next attempt.
            Some(FileFailure::Unproven(message)) => Ok(Finished::Unproven(self.shown, message)),
            Some(FileFailure::Target(error)) => Err(error),
        }
    }
}

/// Bytes of zeros that are read at once.
const ZEROS_BYTES: u64 = 1 << 20;

impl OpenFile {
    pub(super) fn fail(&self, failure: FileFailure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
    }

    pub(super) fn is_failed(&self) -> bool {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.is_some()
    }

    /// Whether the file itself holds a piece already.
    pub(super) fn holds(
        &self,
        piece: &Candidate,
        names: Names<'_>,
        buffer: &mut Vec<u8>,
    ) -> TargetResult<bool> {
        let read = |offset, buffer: &mut [u8]| self.file.read_at(offset, buffer);
        let Some(chunk) = piece.chunk else {
            let end = piece.place.offset + piece.length;
            let mut offset = piece.place.offset;
            while offset < end {
                let length = ZEROS_BYTES.min(end - offset);
                if !read_whole(offset, length, buffer, read)? || !is_zero(buffer) {
                    return Ok(false);
                }
                offset += length;
            }
            return Ok(true);
        };
        let is_whole = read_whole(piece.place.offset, piece.length, buffer, read)?;
        Ok(is_whole && names.name(chunk, buffer))
    }
}

/// Fills `buffer` with `length` bytes; `false` when there are fewer.
pub(super) fn read_whole(
    offset: u64,
    length: u64,
    buffer: &mut Vec<u8>,
    read: impl Fn(u64, &mut [u8]) -> TargetResult<usize>,
) -> TargetResult<bool> {
    buffer.resize(length as usize, 0);
    Ok(read(offset, buffer)? == buffer.len())
}
