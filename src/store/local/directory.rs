//! Directories below a store's root, reached step by step from an open parent without following
//! symbolic links: nothing planted inside the store leads out of it.

use crate::store::ObjectKey;
use crate::store::local::error::LocalError;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::{DirBuilder, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

const OPEN_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Owner only.
const DIRECTORY_MODE: u32 = 0o700;

/// The top directory of a store, held open.
#[derive(Debug)]
pub(super) struct Root {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// One entry met by [`Root::walk`].
pub(super) struct Found<'a> {
    /// The open directory it is in.
    pub parent: &'a OwnedFd,
    /// Name inside the directory.
    pub name: &'a CStr,
    /// Path below the root: not always a key, as hidden and foreign files are shown, too.
    pub path: &'a str,
}

impl Root {
    /// Opens an existing directory. A symbolic link is followed here, and only here.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let path = path.canonicalize()?;
        let descriptor = rustix::fs::openat(CWD, &path, OPEN_DIRECTORY, Mode::empty())?;
        Ok(Self { descriptor, path })
    }

    /// Makes a directory and its missing parents, private and durable.
    pub fn create(path: &Path) -> Result<Self, LocalError> {
        let path = std::path::absolute(path)?;
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
        for directory in missing.into_iter().rev() {
            match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
                // The mode was cut by the umask, which may take the owner's rights.
                Ok(()) => {
                    std::fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))?
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(parent) = directory.parent() {
                let parent = rustix::fs::openat(CWD, parent, OPEN_DIRECTORY, Mode::empty())?;
                sync_directory(&parent)?;
            }
        }
        Self::open(&path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Opens the directory at `path` below the root; the root itself for the empty path.
    pub fn directory(&self, path: &str) -> Result<OwnedFd, LocalError> {
        self.descend(path, |parent, name| match open_child(parent, name) {
            Err(LocalError::System(Errno::NOENT)) => Err(self.missing()),
            other => other,
        })
    }

    /// Opens the directory at `path` below the root and makes it first where it is missing.
    pub fn make_directory(&self, path: &str) -> Result<OwnedFd, LocalError> {
        self.descend(path, |parent, name| match open_child(parent, name) {
            Err(LocalError::System(Errno::NOENT)) => self.make_child(parent, name),
            other => other,
        })
    }

    fn descend(
        &self,
        path: &str,
        step: impl Fn(&OwnedFd, &str) -> Result<OwnedFd, LocalError>,
    ) -> Result<OwnedFd, LocalError> {
        let mut deepest = None;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            deepest = Some(step(deepest.as_ref().unwrap_or(&self.descriptor), name)?);
        }
        match deepest {
            Some(directory) => Ok(directory),
            None => open_child(&self.descriptor, "."),
        }
    }

    fn make_child(&self, parent: &OwnedFd, name: &str) -> Result<OwnedFd, LocalError> {
        match rustix::fs::mkdirat(parent, name, Mode::from(DIRECTORY_MODE)) {
            Ok(()) => {
                // By name, because a umask that takes the owner's rights keeps it from being
                // opened. File systems without modes refuse; then there is nothing to set.
                let mode = Mode::from(DIRECTORY_MODE);
                let _refused = rustix::fs::chmodat(parent, name, mode, AtFlags::empty());
            }
            Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => return Err(self.missing()),
            Err(errno) => return Err(errno.into()),
        }
        open_child(parent, name)
    }

    /// What "no such file" means: an absent object, unless the whole store went away.
    pub fn missing(&self) -> LocalError {
        let removed = rustix::fs::fstat(&self.descriptor).is_ok_and(|stat| stat.st_nlink == 0);
        if removed || matches!(rustix::fs::stat(&self.path), Err(Errno::NOENT)) {
            LocalError::RootGone(self.path.clone())
        } else {
            LocalError::Object(crate::store::ObjectError::Missing)
        }
    }

    /// Turns a bare "no such file" into what it means.
    pub fn explain(&self, error: impl Into<LocalError>) -> LocalError {
        match error.into() {
            LocalError::System(Errno::NOENT) => self.missing(),
            other => other,
        }
    }

    /// Shows every entry that is not a directory, below `path` and its subdirectories, until
    /// `visit` returns false. Holds one directory open at a time. What vanishes meanwhile is
    /// passed over, as are directories that no key can lead through.
    pub fn walk(
        &self,
        path: &str,
        visit: &mut dyn FnMut(Found<'_>) -> Result<bool, LocalError>,
    ) -> Result<(), LocalError> {
        let mut pending = vec![path.to_owned()];
        while let Some(directory_path) = pending.pop() {
            let directory = match self.directory(&directory_path) {
                Ok(directory) => directory,
                // One that was there a moment ago, or was replaced by something foreign.
                Err(LocalError::Object(_) | LocalError::NotDirectory(_)) => continue,
                Err(LocalError::SymbolicLink(_)) if directory_path != path => continue,
                Err(error) => return Err(error),
            };
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().to_str() else {
                    continue;
                };
                if name == "." || name == ".." {
                    continue;
                }
                let entry_path = join(&directory_path, name);
                let Some(kind) = kind_of_entry(&directory, &entry)? else {
                    continue;
                };
                let found = Found {
                    parent: &directory,
                    name: entry.file_name(),
                    path: &entry_path,
                };
                if kind != FileType::Directory {
                    if !visit(found)? {
                        return Ok(());
                    }
                } else if ObjectKey::new(entry_path.as_str()).is_ok() {
                    pending.push(entry_path);
                }
            }
        }
        Ok(())
    }
}

impl Found<'_> {
    /// Size, type and times; `None` if it is gone by now.
    pub fn stat(&self) -> Result<Option<Stat>, LocalError> {
        stat_child(self.parent, self.name)
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

fn kind_of_entry(
    directory: &OwnedFd,
    entry: &rustix::fs::DirEntry,
) -> Result<Option<FileType>, LocalError> {
    match entry.file_type() {
        FileType::Unknown => Ok(stat_child(directory, entry.file_name())?
            .map(|stat| FileType::from_raw_mode(stat.st_mode))),
        kind => Ok(Some(kind)),
    }
}

fn stat_child(directory: &OwnedFd, name: &CStr) -> Result<Option<Stat>, LocalError> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn open_child(parent: &OwnedFd, name: &str) -> Result<OwnedFd, LocalError> {
    match rustix::fs::openat(
        parent,
        name,
        OPEN_DIRECTORY | OFlags::NOFOLLOW,
        Mode::empty(),
    ) {
        Ok(directory) => Ok(directory),
        // Linux says "not a directory" of a symbolic link, too.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => Err(LocalError::SymbolicLink(name.to_owned())),
                _ => Err(LocalError::NotDirectory(name.to_owned())),
            }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a directory's entries durable. Some network and FUSE file systems refuse to sync a
/// directory; there is nothing more to be had from them.
pub(super) fn sync_directory(directory: &OwnedFd) -> Result<(), LocalError> {
    match rustix::fs::fsync(directory) {
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(LocalError::Sync(errno)),
    }
}
