//! The mark of a restore that has not finished.
//!
//! Between the name of a file and the sync of its content lies what a power loss can tear: a file of
//! the right size and time that holds something else. As long as a mark is there, nothing below
//! the target is believed by its looks.

use crate::target::files::error::failed;
use crate::target::files::{TargetError, TargetResult, TargetRoot};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;

/// How marks begin; a hash of what is being restored follows.
const PREFIX: &[u8] = b".icecore-unfinished-";

impl TargetRoot {
    /// Marks the target, durably, as being written to by the restore that `what` identifies, and
    /// notes whether one before it has not finished. Where no mark may be made (only what is
    /// below may be written to), every file is made durable before it gets its name.
    pub fn begin(&mut self, what: &[u8]) -> TargetResult<()> {
        let is_doubtful = self.has_mark().map_err(|errno| self.mark_error(errno))?;
        let name = mark_name(what);
        self.is_doubtful = is_doubtful;
        match self.put_mark(&name) {
            Ok(()) => self.mark = Some(name),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => self.options.sync_files = true,
            Err(errno) => return Err(self.mark_error(errno)),
        }
        Ok(())
    }

    /// Makes everything durable, then takes this restore's mark away. Those of others stay.
    pub fn end(&mut self) -> TargetResult<()> {
        self.sync()?;
        let Some(name) = self.mark.take() else {
            return Ok(());
        };
        match rustix::fs::unlinkat(self.jail.root(), &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.mark_error(errno)),
        }
    }

    fn has_mark(&self) -> Result<bool, Errno> {
        for entry in Dir::read_from(self.jail.root())? {
            if entry?.file_name().to_bytes().starts_with(PREFIX) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn put_mark(&self, name: &CString) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = self.jail.root();
        rustix::fs::openat(root, name, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::fsync(root)
    }

    fn mark_error(&self, errno: Errno) -> TargetError {
        failed("mark the target", self.path.display().to_string(), errno)
    }
}

fn mark_name(what: &[u8]) -> CString {
    let hash = blake3::hash(what).to_hex();
    let name = [PREFIX, &hash.as_bytes()[..16]].concat();
    // It has no NUL.
    CString::new(name).unwrap_or_default()
}
