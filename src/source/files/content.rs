//! Reading one regular file: holes skipped, changes noticed.

use crate::entry::{Entry, EntryKind, Facts, Layout};
use crate::source::files::metadata::{changed, file_type, modified, size};
use crate::source::files::relation::{HEADER_BYTES, is_relation};
use crate::source::{Consistency, Content, ContentEnd, Extent, SourceError};
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, SeekFrom, Stat};
use rustix::io::Errno;
use std::num::NonZeroU64;

/// How every SQLite database file begins.
const SQLITE_HEADER: &[u8; 16] = b"SQLite format 3\0";

/// Files longer than this are announced to the kernel as read in sequence, bytes.
const READ_AHEAD_BYTES_MIN: u64 = 1 << 20;

/// An opened regular file.
pub(super) struct OpenFile {
    descriptor: OwnedFd,
    /// Its state when it was opened.
    pub(super) stat: Stat,
}

impl OpenFile {
    /// Checks what was opened: anything but a regular file (swapped in since it was looked at) is
    /// `None`.
    pub(super) fn new(descriptor: OwnedFd) -> Result<Option<Self>, Errno> {
        let stat = rustix::fs::fstat(&descriptor)?;
        if file_type(&stat) != FileType::RegularFile {
            return Ok(None);
        }
        Ok(Some(Self { descriptor, stat }))
    }

    /// Whether the file begins as SQLite databases do.
    pub(super) fn is_sqlite(&self) -> Result<bool, Errno> {
        self.starts_with(SQLITE_HEADER)
    }

    /// Whether the file looks like one of PostgreSQL's relations.
    pub(super) fn is_relation(&self) -> Result<bool, Errno> {
        is_relation(size(&self.stat), &mut |offset| {
            let mut header = [0; HEADER_BYTES];
            let read = retry(|| rustix::io::pread(&self.descriptor, &mut header[..], offset))?;
            Ok((read == header.len()).then_some(header))
        })
    }

    /// Whether the file begins with `header`.
    pub(super) fn starts_with(&self, header: &[u8]) -> Result<bool, Errno> {
        if size(&self.stat) < header.len() as u64 {
            return Ok(false);
        }
        let mut start = vec![0u8; header.len()];
        let length = retry(|| rustix::io::pread(&self.descriptor, &mut start[..], 0))?;
        Ok(length == header.len() && start == header)
    }
}

/// The bytes of a regular file, up to the length it had when it was opened.
pub(super) struct FileContent {
    file: OpenFile,
    entry: Entry,
    layout: Layout,
    may_be_remembered: bool,
    /// For messages.
    path: String,
    /// Length to read, bytes.
    length: u64,
    position: u64,
    /// Where the data at `position` ends and a hole may begin.
    data_end: u64,
}

impl FileContent {
    /// `entry` is the file as it was when it was opened.
    pub(super) fn new(
        file: OpenFile,
        entry: Entry,
        layout: Layout,
        may_be_remembered: bool,
        path: String,
    ) -> Self {
        let length = size(&file.stat);
        if length > READ_AHEAD_BYTES_MIN {
            // Advice only: reading works as well without.
            let _ = rustix::fs::fadvise(
                &file.descriptor,
                0,
                NonZeroU64::new(length),
                Advice::Sequential,
            );
        }
        // Asking for holes costs two calls a file: only where fewer blocks than bytes are there.
        let allocated = u64::try_from(file.stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512);
        let data_end = if allocated >= length { length } else { 0 };
        Self {
            file,
            entry,
            layout,
            may_be_remembered,
            path,
            length,
            position: 0,
            data_end,
        }
    }

    /// Finds the data at or after `position`; returns the bytes of hole before it.
    fn skip_hole(&mut self) -> Result<u64, Errno> {
        let start = match rustix::fs::seek(&self.file.descriptor, SeekFrom::Data(self.position)) {
            Ok(start) => start.min(self.length),
            // Nothing but a hole follows.
            Err(Errno::NXIO) => self.length,
            // The file system does not tell: all is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.data_end = self.length;
                return Ok(0);
            }
            Err(errno) => return Err(errno),
        };
        let start = start.max(self.position);
        self.data_end = if start < self.length {
            match rustix::fs::seek(&self.file.descriptor, SeekFrom::Hole(start)) {
                Ok(end) if end > start => end.min(self.length),
                _ => self.length,
            }
        } else {
            self.length
        };
        let hole = start - self.position;
        self.position = start;
        Ok(hole)
    }

    fn failure(&self, errno: Errno) -> SourceError {
        SourceError {
            operation: "read",
            object: self.path.clone(),
            remedy: None,
            source: Box::new(std::io::Error::from(errno)),
        }
    }
}

impl Content for FileContent {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn may_be_remembered(&self) -> bool {
        self.may_be_remembered
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(Extent::End);
        }
        if self.position >= self.data_end {
            let hole = self.skip_hole().map_err(|errno| self.failure(errno))?;
            if hole > 0 {
                return Ok(Extent::Hole(hole));
            }
        }
        let wanted = usize::try_from(self.data_end - self.position)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let position = self.position;
        let length =
            retry(|| rustix::io::pread(&self.file.descriptor, &mut buffer[..wanted], position))
                .map_err(|errno| self.failure(errno))?;
        if length == 0 {
            // It was cut short while it was read; `finish` reports it as changed.
            self.length = self.position;
            return Ok(Extent::End);
        }
        self.position += length as u64;
        Ok(Extent::Data(length))
    }

    fn finish(mut self: Box<Self>) -> Result<ContentEnd, SourceError> {
        let after =
            rustix::fs::fstat(&self.file.descriptor).map_err(|errno| self.failure(errno))?;
        let before = &self.file.stat;
        let is_same = size(before) == size(&after)
            && modified(before) == modified(&after)
            && changed(before) == changed(&after)
            && self.position == size(before);
        self.entry.kind = EntryKind::File {
            size: self.position,
        };
        Ok(ContentEnd {
            entry: Some(self.entry),
            consistency: if is_same {
                Consistency::Consistent
            } else {
                Consistency::Changed
            },
            facts: Facts::new(),
        })
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
