//! Opening one regular file of a walk, as what it is.

use crate::entry::{Entry, Layout};
use crate::source::files::DatabaseHook;
use crate::source::files::content::{FileContent, OpenFile};
use crate::source::files::listing::open_at;
use crate::source::files::metadata::metadata;
use crate::source::files::owners::OwnerNames;
use crate::source::{Content, SourceError};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// A looked-up name.
pub(super) struct Found<'n> {
    pub(super) directory: Rc<OwnedFd>,
    /// In its directory.
    pub(super) system_name: &'n CStr,
    /// In the capture.
    pub(super) name: &'n [u8],
    pub(super) stat: Stat,
}

/// Opens one regular file when the receiver asks for it.
pub(super) struct Opener<'o> {
    pub(super) found: &'o Found<'o>,
    pub(super) owners: &'o OwnerNames,
    pub(super) absolute: &'o [u8],
    pub(super) offered: Entry,
    pub(super) open_database: Option<&'o DatabaseHook>,
    /// Whether the file was given to the database hook and is a database.
    pub(super) was_database: bool,
}

impl Opener<'_> {
    /// Opens it; may be called again when it changed while it was read.
    pub(super) fn open(&mut self) -> Result<Box<dyn Content>, SourceError> {
        let file = self.open_raw()?;
        let looks_like_database = file.is_sqlite().map_err(|errno| self.fail("read", errno))?;
        if !looks_like_database {
            let is_relation = file.is_relation();
            return match is_relation.map_err(|errno| self.fail("read", errno))? {
                true => Ok(self.raw(file, Layout::Pages, true)),
                false => Ok(self.raw(file, Layout::Stream, true)),
            };
        }
        let Some(hook) = self.open_database else {
            return Ok(self.raw(file, Layout::Pages, false));
        };
        // No descriptor of ours may be open, nor be closed later, while the hook's connection
        // lives: closing any descriptor of a file drops this process's POSIX locks on it.
        drop(file);
        self.was_database = true;
        let path = Path::new(OsStr::from_bytes(self.absolute));
        match hook(path)? {
            Some(content) => Ok(content),
            None => {
                self.was_database = false;
                let file = self.open_raw()?;
                Ok(self.raw(file, Layout::Stream, true))
            }
        }
    }

    fn open_raw(&self) -> Result<OpenFile, SourceError> {
        let found = self.found;
        let opened = open_at(&found.directory, found.system_name, OFlags::empty())
            .and_then(OpenFile::new)
            .map_err(|errno| self.fail("open", errno))?;
        // Swapped for a FIFO or the like since it was looked at: opened, but never read.
        opened.ok_or_else(|| self.fail("read as a regular file", Errno::STALE))
    }

    fn raw(&self, file: OpenFile, layout: Layout, may_be_remembered: bool) -> Box<dyn Content> {
        let mut entry = self.offered.clone();
        let xattrs = std::mem::take(&mut entry.metadata.xattrs);
        entry.metadata = metadata(&file.stat, self.owners, xattrs);
        let path = String::from_utf8_lossy(self.absolute).into_owned();
        Box::new(FileContent::new(
            file,
            entry,
            layout,
            may_be_remembered,
            path,
        ))
    }

    fn fail(&self, operation: &'static str, errno: Errno) -> SourceError {
        failure(operation, self.absolute, errno)
    }
}

/// An error about a path on the host.
pub(super) fn failure(operation: &'static str, path: &[u8], errno: Errno) -> SourceError {
    SourceError {
        operation,
        object: String::from_utf8_lossy(path).into_owned(),
        remedy: None,
        source: Box::new(std::io::Error::from(errno)),
    }
}
