//! One regular file while its content arrives.

use crate::target::files::error::{TargetResult, failed};
use crate::target::files::reuse::ExistingFile;
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::sync::Arc;

/// Reads at `offset`; fewer bytes only at the end of the file.
pub(super) fn read_at(file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Zeros are left out in pieces of this many bytes, aligned in the file.
const SPARSE_UNIT_BYTES: usize = 4096;

/// Where the bytes go until the file is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A name of its own beside the final one.
    Partial,
    /// The existing file itself.
    Existing,
}

/// A file that is being written. Writes may come in any order and from several threads.
#[derive(Debug)]
pub struct TargetFile {
    pub(super) descriptor: OwnedFd,
    pub(super) directory: Arc<OwnedFd>,
    /// What it is called now.
    pub(super) current_name: CString,
    pub(super) place: Place,
    /// For messages.
    pub(super) shown: String,
    pub(super) size: u64,
    /// Whether everything not written yet is known to be zeros.
    pub(super) is_fresh: bool,
}

impl TargetFile {
    /// Whether there may be bytes from an earlier, interrupted restore (or of the file that is
    /// being restored in place): read them, and write what differs.
    pub fn is_resumed(&self) -> bool {
        !self.is_fresh
    }

    /// Final length, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads what is there, for a comparison; fewer bytes only at the end of the file.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> TargetResult<usize> {
        read_at(&self.descriptor, offset, buffer)
            .map_err(|errno| failed("read", self.shown.clone(), errno))
    }

    /// Lets a fresh file share the blocks of `existing`, where the file system can: what is equal
    /// then takes no space twice and is not written. Afterwards it counts as resumed.
    pub fn clone_from(&mut self, existing: &ExistingFile) -> TargetResult<()> {
        if !self.is_fresh || rustix::fs::ioctl_ficlone(&self.descriptor, existing).is_err() {
            return Ok(());
        }
        self.is_fresh = false;
        rustix::fs::ftruncate(&self.descriptor, self.size)
            .map_err(|errno| failed("write", self.shown.clone(), errno))
    }

    /// Makes what was written so far durable.
    pub fn sync_written(&self) -> TargetResult<()> {
        rustix::fs::fdatasync(&self.descriptor)
            .map_err(|errno| failed("make durable", self.shown.clone(), errno))
    }

    /// Drops what is durable of it from memory, so that the next reading is one from the medium,
    /// as far as the system tells the truth.
    pub fn drop_cached(&self) -> TargetResult<()> {
        rustix::fs::fadvise(&self.descriptor, 0, None, Advice::DontNeed)
            .map_err(|errno| failed("read back", self.shown.clone(), errno))
    }

    /// Writes `bytes` at `offset`. In a fresh file whole 4 KiB pieces of zeros are left as holes.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> TargetResult<()> {
        self.check_range(offset, bytes.len() as u64)?;
        if !self.is_fresh {
            return self.write_all(offset, bytes);
        }
        let mut start = 0;
        let mut position = 0;
        while position < bytes.len() {
            let at = offset + position as u64;
            let in_unit = usize::try_from(at % SPARSE_UNIT_BYTES as u64).unwrap_or(0);
            let end = (position + SPARSE_UNIT_BYTES - in_unit).min(bytes.len());
            let is_whole = end - position == SPARSE_UNIT_BYTES;
            if is_whole && bytes[position..end].iter().all(|byte| *byte == 0) {
                self.write_all(offset + start as u64, &bytes[start..position])?;
                start = end;
            }
            position = end;
        }
        self.write_all(offset + start as u64, &bytes[start..])
    }

    /// Makes `length` bytes at `offset` a hole. Costs nothing in a fresh file.
    pub fn write_hole(&self, offset: u64, length: u64) -> TargetResult<()> {
        self.check_range(offset, length)?;
        if self.is_fresh || length == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.descriptor, flags, offset, length) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, length),
            Err(errno) => Err(failed("write", self.shown.clone(), errno)),
        }
    }

    fn write_zeros(&self, offset: u64, length: u64) -> TargetResult<()> {
        let zeros = vec![0u8; 64 << 10];
        let mut written = 0;
        while written < length {
            let piece = (length - written).min(zeros.len() as u64);
            let piece_length = usize::try_from(piece).unwrap_or(zeros.len());
            self.write_all(offset + written, &zeros[..piece_length])?;
            written += piece;
        }
        Ok(())
    }

    fn check_range(&self, offset: u64, length: u64) -> TargetResult<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(failed(
                "write past the end of",
                self.shown.clone(),
                Errno::FBIG,
            )),
        }
    }

    fn write_all(&self, mut offset: u64, mut bytes: &[u8]) -> TargetResult<()> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.descriptor, bytes, offset) {
                Ok(0) => return Err(failed("write", self.shown.clone(), Errno::IO)),
                Ok(length) => {
                    bytes = &bytes[length..];
                    offset += length as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("write", self.shown.clone(), errno)),
            }
        }
        Ok(())
    }
}
