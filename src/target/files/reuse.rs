//! What is there already and may be of use: a file to change in place, one to copy from, a
//! finished one to begin again with.

use crate::target::files::error::{Obstacle, TargetResult, failed, obstacle};
use crate::target::files::file::{self, Place};
use crate::target::files::{TargetFile, TargetPath, TargetRoot, place};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// A file that is there and stays as it is, open for reading.
#[derive(Debug)]
pub struct ExistingFile {
    descriptor: OwnedFd,
    shown: String,
}

impl ExistingFile {
    /// Reads at `offset`; fewer bytes only at the end of the file.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> TargetResult<usize> {
        file::read_at(&self.descriptor, offset, buffer)
            .map_err(|errno| failed("read", self.shown.clone(), errno))
    }
}

impl AsFd for ExistingFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl TargetRoot {
    /// Opens the existing file to change it in place to `size` bytes: not atomic, but only what
    /// differs needs writing. `None` where there is none, it is not a regular file with a single
    /// name, or it may not be written to: then it can only be replaced. Refused unless the policy
    /// replaces.
    pub fn open_in_place(&self, path: &TargetPath, size: u64) -> TargetResult<Option<TargetFile>> {
        let operation = "restore in place";
        let directory = self.directory_of(operation, path)?;
        if !self.options.overwrite.replaces() {
            return Err(obstacle(operation, self.shown(path), Obstacle::Exists));
        }
        let name = path.c_name();
        let fail = |errno| failed(operation, self.shown(path), errno);
        let descriptor = match place::open_plain(&directory, &name) {
            Ok(Some(descriptor)) => descriptor,
            Ok(None) | Err(Errno::NOENT | Errno::ACCESS | Errno::TXTBSY) => return Ok(None),
            Err(errno) => return Err(fail(errno)),
        };
        rustix::fs::ftruncate(&descriptor, size).map_err(fail)?;
        Ok(Some(TargetFile {
            descriptor,
            directory,
            current_name: name,
            place: Place::Existing,
            shown: self.shown(path),
            size,
            is_fresh: false,
        }))
    }

    /// Opens the file that is there to read from it. `None` where there is none that is regular
    /// and readable.
    pub fn open_existing(&self, path: &TargetPath) -> TargetResult<Option<ExistingFile>> {
        let directory = self.directory_of("read", path)?;
        match place::open_readable(&directory, &path.c_name()) {
            Ok(descriptor) => Ok(descriptor.map(|descriptor| ExistingFile {
                descriptor,
                shown: self.shown(path),
            })),
            Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(failed("read", self.shown(path), errno)),
        }
    }

    /// Gives the finished file at `path`, if there is one, back the temporary name that
    /// [`TargetRoot::create_file`] looks for with the same `tag`: what it holds is found again. It
    /// is removed instead where others could have it open for writing, or where an unfinished
    /// file of this content waits already.
    pub fn take_back(&self, path: &TargetPath, tag: &[u8]) -> TargetResult<()> {
        let directory = self.directory_of("take back", path)?;
        let partial = place::partial_name(path.name(), tag);
        place::take_back(&directory, &path.c_name(), &partial)
            .map_err(|errno| failed("take back", self.shown(path), errno))
    }
}
