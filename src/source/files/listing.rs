//! Going down and up a directory tree on directory descriptors, without recursion.
//!
//! Paths are never handed to the kernel whole: a name is always looked up in the descriptor of the
//! directory it was listed from, so that a directory swapped for a symbolic link half-way cannot
//! lead elsewhere, and depth is not bounded by `PATH_MAX`.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::rc::Rc;

/// Most directory descriptors one descent keeps open: the deepest ones and the first. Well below
/// the usual limit of 1024 descriptors per process.
const OPEN_DIRECTORIES_MAX: usize = 96;

/// Bytes the kernel fills with names at a time.
const LISTING_BUFFER_BYTES: usize = 64 << 10;

/// Flags no open here may lack: never follow, never hang on a FIFO, never become a terminal's owner.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens `name` in `directory` for reading, without touching its access time where the owner
/// allows that.
pub(super) fn open_at(directory: impl AsFd, name: &CStr, extra: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | CAREFUL | extra;
    match rustix::fs::openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may ask for O_NOATIME.
        Err(Errno::PERM) => rustix::fs::openat(&directory, name, flags, Mode::empty()),
        other => other,
    }
}

/// `lstat` of `name` in `directory`, without mounting anything.
pub(super) fn stat_at(directory: impl AsFd, name: &CStr) -> Result<Stat, Errno> {
    rustix::fs::statat(
        directory,
        name,
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
    )
}

/// The names of one directory, sorted by bytes, in one allocation.
#[derive(Default)]
struct Names {
    /// All names, each with its closing NUL.
    bytes: Vec<u8>,
    /// Where each name starts in `bytes`, in order of the names.
    starts: Vec<usize>,
    next: usize,
}

impl Names {
    /// Reads all names of `directory`. With an error come the names that were read before it.
    fn read(directory: &OwnedFd) -> (Self, Option<Errno>) {
        let mut names = Self::default();
        let mut buffer = Vec::with_capacity(LISTING_BUFFER_BYTES);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        let mut failure = None;
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => names.add(entry.file_name()),
                Err(errno) => {
                    failure = Some(errno);
                    break;
                }
            }
        }
        names.sort();
        (names, failure)
    }

    fn add(&mut self, name: &CStr) {
        if !matches!(name.to_bytes(), b"." | b"..") {
            self.starts.push(self.bytes.len());
            self.bytes.extend_from_slice(name.to_bytes_with_nul());
        }
    }

    /// A directory that changes while it is listed may give a name twice.
    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.starts
            .sort_unstable_by(|a, b| name_at(bytes, *a).cmp(name_at(bytes, *b)));
        self.starts
            .dedup_by(|a, b| name_at(bytes, *a) == name_at(bytes, *b));
    }

    fn take_next(&mut self) -> Option<Box<CStr>> {
        let start = *self.starts.get(self.next)?;
        self.next += 1;
        Some(Box::from(name_at(&self.bytes, start)))
    }
}

fn name_at(bytes: &[u8], start: usize) -> &CStr {
    CStr::from_bytes_until_nul(&bytes[start..]).unwrap_or_default()
}

/// One directory on the way down.
struct Level {
    /// Closed while many deeper ones are open.
    descriptor: Option<Rc<OwnedFd>>,
    /// Its name in the level above.
    name: Box<CStr>,
    device: u64,
    inode: u64,
    names: Names,
}

/// The directory chain from where a walk began to where it is.
#[derive(Default)]
pub(super) struct Descent {
    levels: Vec<Level>,
}

impl Descent {
    /// How many directories have been entered and not left.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Enters a directory that was opened as `name` in the current one, and lists it. An error
    /// means that some of its names may be missing.
    pub(super) fn enter(
        &mut self,
        descriptor: OwnedFd,
        name: &CStr,
        stat: &Stat,
    ) -> Result<(), Errno> {
        let (names, failure) = Names::read(&descriptor);
        // The first level stays open: everything below can be found again from it.
        if let Some(old) = self.levels.len().checked_sub(OPEN_DIRECTORIES_MAX)
            && old > 0
        {
            self.levels[old].descriptor = None;
        }
        self.levels.push(Level {
            descriptor: Some(Rc::new(descriptor)),
            name: Box::from(name),
            device: stat.st_dev,
            inode: stat.st_ino,
            names,
        });
        failure.map_or(Ok(()), Err)
    }

    /// Leaves the current directory.
    pub(super) fn leave(&mut self) {
        let Some(left) = self.levels.pop() else {
            return;
        };
        if let (Some(child), Some(parent)) = (&left.descriptor, self.levels.last_mut())
            && parent.descriptor.is_none()
        {
            parent.descriptor = open_at(child, c"..", OFlags::DIRECTORY)
                .ok()
                .filter(|opened| is_same(opened, parent.device, parent.inode))
                .map(Rc::new);
        }
    }

    /// The next name in the current directory, if any is left.
    pub(super) fn next_name(&mut self) -> Option<Box<CStr>> {
        self.levels.last_mut()?.names.take_next()
    }

    /// The current directory's descriptor, opened anew where it had to be closed. An error means
    /// that the directory is no longer where it was.
    pub(super) fn descriptor(&mut self) -> Result<Rc<OwnedFd>, Errno> {
        let missing = match self.levels.last() {
            None => return Err(Errno::NOENT),
            Some(level) => level.descriptor.is_none(),
        };
        if missing {
            let found = self.find_again()?;
            if let Some(level) = self.levels.last_mut() {
                level.descriptor = Some(found);
            }
        }
        self.levels
            .last()
            .and_then(|level| level.descriptor.clone())
            .ok_or(Errno::NOENT)
    }

    /// Walks from the nearest open level down to the current one, by name.
    fn find_again(&self) -> Result<Rc<OwnedFd>, Errno> {
        let open = self
            .levels
            .iter()
            .rposition(|level| level.descriptor.is_some())
            .ok_or(Errno::NOENT)?;
        let mut current = self.levels[open].descriptor.clone().ok_or(Errno::NOENT)?;
        for level in &self.levels[open + 1..] {
            let opened = open_at(&current, &level.name, OFlags::DIRECTORY)?;
            if !is_same(&opened, level.device, level.inode) {
                return Err(Errno::NOENT);
            }
            current = Rc::new(opened);
        }
        Ok(current)
    }

    /// Forgets the names left in the current directory.
    pub(super) fn skip_rest(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.names = Names::default();
        }
    }
}

fn is_same(descriptor: &OwnedFd, device: u64, inode: u64) -> bool {
    rustix::fs::fstat(descriptor).is_ok_and(|stat| stat.st_dev == device && stat.st_ino == inode)
}
