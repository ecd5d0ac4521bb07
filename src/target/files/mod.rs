//! Files and trees, recreated below one directory and never outside it, whatever names a tree
//! contains and whatever somebody plants below the target meanwhile.
//!
//! Every name is one component, looked up in the descriptor of a directory that was reached
//! without following any link. New files and links are made under a temporary name beside the
//! final one and renamed, so that what was there stays whole until its replacement is. Order for
//! the caller: directories from the top down, then everything else in any order and from several
//! threads, then [`TargetRoot::finish_directory`] from the bottom up; [`TargetRoot::begin`] before
//! all that, [`TargetRoot::end`] after it.

mod error;
mod file;
mod jail;
mod metadata;
mod path;
mod place;
mod reuse;
mod unfinished;

pub use error::{TargetError, TargetErrorKind, TargetResult, Warning};
pub use file::TargetFile;
pub use metadata::Owners;
pub use path::{PathError, TargetPath};
pub use reuse::ExistingFile;

use crate::entry::{Entry, EntryKind};
use crate::target::files::error::{Obstacle, failed, obstacle, refused};
use crate::target::files::file::Place;
use crate::target::files::jail::Jail;
use crate::target::files::metadata::{ALL_MODE_BITS, Handle, Policy, Subject};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What happens to files that exist already. Directories are merged into, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Nothing is replaced; anything there is an error.
    #[default]
    Never,
    /// What is there with the right size and time is kept, from an interrupted restore; anything
    /// else is an error.
    Resume,
    /// What is there with the right size and time is kept, anything else replaced.
    IfDifferent,
    /// Everything but directories is replaced.
    Always,
}

impl Overwrite {
    fn keeps_equal(self) -> bool {
        matches!(self, Self::Resume | Self::IfDifferent)
    }

    fn replaces(self) -> bool {
        matches!(self, Self::IfDifferent | Self::Always)
    }
}

/// How a tree is recreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetOptions {
    /// What happens to what is there.
    pub overwrite: Overwrite,
    /// Whether owners are restored.
    pub owners: Owners,
    /// Permission bits restored at most: 0600 for secrets, whatever was captured. Directories get
    /// the matching search bits; ACLs are left out unless all bits (07777) are allowed.
    pub mode_mask: u32,
    /// Whether every file is durable before it gets its name; else only after
    /// [`TargetRoot::sync`].
    pub sync_files: bool,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self {
            overwrite: Overwrite::default(),
            owners: Owners::default(),
            mode_mask: ALL_MODE_BITS,
            sync_files: false,
        }
    }
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It is there now; what could not be set is in the warnings.
    Created(Vec<Warning>),
    /// A directory was there; its metadata is as it was.
    Existed,
    /// It cannot be made here (no privilege, or a socket): the reason.
    Skipped(Warning),
}

/// The directory below which everything is recreated.
#[derive(Debug)]
pub struct TargetRoot {
    jail: Jail,
    path: PathBuf,
    options: TargetOptions,
    /// A restore into this target did not finish.
    is_doubtful: bool,
    /// The mark of this one.
    mark: Option<CString>,
}

impl TargetRoot {
    /// Opens `path`, making it (mode 0700) and its parents where they are missing. Only here are
    /// symbolic links followed: the path is the user's.
    pub fn open(path: &Path, options: TargetOptions) -> TargetResult<Self> {
        let fail = |errno| failed("open target", path.display().to_string(), errno);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(fail)?;
        Ok(Self {
            jail: Jail::new(root),
            path: path.to_owned(),
            options,
            is_doubtful: false,
            mark: None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn shown(&self, path: &TargetPath) -> String {
        format!("{}/{path}", self.path.display())
    }

    fn policy(&self) -> Policy {
        Policy {
            owners: self.options.owners,
            mode_mask: self.options.mode_mask,
        }
    }

    fn directory_of(
        &self,
        operation: &'static str,
        path: &TargetPath,
    ) -> TargetResult<Arc<OwnedFd>> {
        self.jail
            .directory(path.parent())
            .map_err(|errno| failed(operation, self.shown(path), errno))
    }

    /// Makes a directory (mode 0700 until [`TargetRoot::finish_directory`]); its parent must have
    /// been made. One that is there is used. Where replacing is allowed, anything else there, a
    /// symbolic link too, makes way.
    pub fn make_directory(&self, path: &TargetPath) -> TargetResult<Made> {
        let directory = self.directory_of("create directory", path)?;
        let name = path.c_name();
        let fail = |errno| failed("create directory", self.shown(path), errno);
        for _ in 0..2 {
            match rustix::fs::mkdirat(&directory, &name, Mode::RWXU) {
                Ok(()) => return Ok(Made::Created(Vec::new())),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(fail(errno)),
            }
            match look(&directory, &name).map_err(fail)? {
                Some(stat) if is_directory(&stat) => return Ok(Made::Existed),
                Some(_) if !self.options.overwrite.replaces() => {
                    let cause = Obstacle::NotDirectory;
                    return Err(obstacle("create directory", self.shown(path), cause));
                }
                Some(_) => {
                    rustix::fs::unlinkat(&directory, &name, AtFlags::empty()).map_err(fail)?;
                }
                None => {}
            }
        }
        Err(fail(Errno::EXIST))
    }

    /// Gives a directory its metadata; all in it must be done, deeper directories included.
    pub fn finish_directory(&self, path: &TargetPath, entry: &Entry) -> TargetResult<Vec<Warning>> {
        let operation = "finish directory";
        let directory = self.directory_of(operation, path)?;
        let name = path.c_name();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&directory, &name, flags, Mode::empty())
            .map_err(|errno| failed(operation, self.shown(path), errno))?;
        Ok(self.apply(Handle::Open(&opened), path, entry))
    }

    /// Whether the policy keeps what looks the same and this does: a regular file of the same size
    /// and modification time (its content is not looked at), a link with the same text, a special
    /// file of the same kind. Nothing, where a restore has not finished ([`TargetRoot::begin`]).
    pub fn is_done(&self, path: &TargetPath, entry: &Entry) -> TargetResult<bool> {
        if !self.options.overwrite.keeps_equal() || self.is_doubtful {
            return Ok(false);
        }
        let directory = self.directory_of("look at", path)?;
        place::is_same(&directory, &path.c_name(), entry)
            .map_err(|errno| failed("look at", self.shown(path), errno))
    }

    /// Begins a file of `size` bytes under a temporary name made of its own and `tag`, which
    /// identifies the content: an interrupted restore of the same content finds its bytes again.
    /// The file that may be there already is untouched until [`TargetRoot::commit_file`].
    pub fn create_file(
        &self,
        path: &TargetPath,
        size: u64,
        tag: &[u8],
    ) -> TargetResult<TargetFile> {
        let directory = self.directory_of("create", path)?;
        self.check_replaceable("create", &directory, path)?;
        let current_name = place::partial_name(path.name(), tag);
        let fail = |errno| failed("create", self.shown(path), errno);
        let (descriptor, is_fresh) =
            place::open_partial(&directory, &current_name, size).map_err(fail)?;
        Ok(TargetFile {
            descriptor,
            directory,
            current_name,
            place: Place::Partial,
            shown: self.shown(path),
            size,
            is_fresh,
        })
    }

    /// Ends a file: metadata, then (where asked for) durability, then its final name. An error
    /// leaves what was there as it was and the temporary file for a later attempt.
    pub fn commit_file(
        &self,
        file: TargetFile,
        path: &TargetPath,
        entry: &Entry,
    ) -> TargetResult<Vec<Warning>> {
        let fail = |errno| failed("finish", self.shown(path), errno);
        let warnings = self.apply(Handle::Open(&file.descriptor), path, entry);
        if self.options.sync_files {
            rustix::fs::fsync(&file.descriptor).map_err(fail)?;
        }
        if file.place == Place::Partial {
            self.rename(&file.directory, &file.current_name, path)?;
        }
        Ok(warnings)
    }

    /// Gives up a file and removes its temporary name. One restored in place stays as it is.
    pub fn discard_file(&self, file: TargetFile) -> TargetResult<()> {
        if file.place == Place::Existing {
            return Ok(());
        }
        rustix::fs::unlinkat(&file.directory, &file.current_name, AtFlags::empty())
            .map_err(|errno| failed("remove", file.shown.clone(), errno))
    }

    /// Makes a symbolic link, FIFO or device. Sockets are left to the program that listens, and
    /// devices need privilege: both are `Skipped`.
    pub fn make_special(&self, path: &TargetPath, entry: &Entry) -> TargetResult<Made> {
        let directory = self.directory_of("create", path)?;
        if entry.kind == EntryKind::Socket {
            let message = "a socket is not restored: the program that listens makes it".to_owned();
            return Ok(Made::Skipped(warning(path, message)));
        }
        self.check_replaceable("create", &directory, path)?;
        let temporary = place::partial_name(path.name(), b"special");
        let made = place::make_special(&directory, &temporary, &entry.kind);
        match made {
            Ok(()) => {}
            Err(errno @ (Errno::PERM | Errno::ACCESS))
                if matches!(
                    entry.kind,
                    EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. }
                ) =>
            {
                let cause = std::io::Error::from(errno);
                return Ok(Made::Skipped(warning(
                    path,
                    format!("cannot make the device: {cause}"),
                )));
            }
            Err(errno) => return Err(failed("create", self.shown(path), errno)),
        }
        let location = place::locate(&directory, &temporary)
            .map_err(|errno| failed("create", self.shown(path), errno))?;
        let warnings = self.apply(Handle::Location(&location), path, entry);
        self.rename(&directory, &temporary, path)?;
        Ok(Made::Created(warnings))
    }

    /// Gives the finished file `existing` another name.
    pub fn hard_link(&self, path: &TargetPath, existing: &TargetPath) -> TargetResult<()> {
        let fail = |errno| failed("link", self.shown(path), errno);
        let directory = self.directory_of("link", path)?;
        let from = self.directory_of("link", existing)?;
        let there = look(&directory, &path.c_name()).map_err(fail)?;
        let wanted = look(&from, &existing.c_name()).map_err(fail)?;
        if let (Some(there), Some(wanted)) = (there, wanted)
            && (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino)
        {
            return Ok(());
        }
        self.check_replaceable("link", &directory, path)?;
        let temporary = place::partial_name(path.name(), b"link");
        let link = || {
            let name = existing.c_name();
            rustix::fs::linkat(&from, &name, &directory, &temporary, AtFlags::empty())
        };
        match link() {
            Err(Errno::EXIST) => {
                // Left by an interrupted restore.
                rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty()).map_err(fail)?;
                link().map_err(fail)?;
            }
            other => other.map_err(fail)?,
        }
        self.rename(&directory, &temporary, path)
    }

    /// Takes an entry away that is still as `entry` says: a directory that is empty, anything else
    /// that looks the same. `false`: it is not, and stays. One that is gone already counts as taken
    /// away.
    pub fn remove(&self, path: &TargetPath, entry: &Entry) -> TargetResult<bool> {
        let fail = |errno| failed("remove", self.shown(path), errno);
        let directory = match self.jail.directory(path.parent()) {
            Err(Errno::NOENT) => return Ok(true),
            other => other.map_err(fail)?,
        };
        let name = path.c_name();
        let flags = match entry.kind {
            EntryKind::Directory => AtFlags::REMOVEDIR,
            _ if look(&directory, &name).map_err(fail)?.is_none() => return Ok(true),
            _ if !place::is_same(&directory, &name, entry).map_err(fail)? => return Ok(false),
            _ => AtFlags::empty(),
        };
        match rustix::fs::unlinkat(&directory, &name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => Ok(false),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// Makes everything below the target durable.
    pub fn sync(&self) -> TargetResult<()> {
        rustix::fs::syncfs(self.jail.root())
            .map_err(|errno| failed("make durable", self.path.display().to_string(), errno))
    }

    /// Fails early and by name, before any content is fetched.
    fn check_replaceable(
        &self,
        operation: &'static str,
        directory: &OwnedFd,
        path: &TargetPath,
    ) -> TargetResult<()> {
        let found = look(directory, &path.c_name())
            .map_err(|errno| failed(operation, self.shown(path), errno))?;
        match found {
            None => Ok(()),
            Some(stat) if is_directory(&stat) => {
                Err(obstacle(operation, self.shown(path), Obstacle::Directory))
            }
            Some(_) if self.options.overwrite.replaces() => Ok(()),
            Some(_) => Err(obstacle(operation, self.shown(path), Obstacle::Exists)),
        }
    }

    fn rename(&self, directory: &OwnedFd, temporary: &CStr, path: &TargetPath) -> TargetResult<()> {
        let replaces = self.options.overwrite.replaces();
        place::rename(directory, temporary, &path.c_name(), replaces).map_err(|errno| match errno {
            Errno::ISDIR | Errno::NOTEMPTY => {
                obstacle("replace", self.shown(path), Obstacle::Directory)
            }
            errno => failed("replace", self.shown(path), errno),
        })
    }

    fn apply(&self, file: Handle<'_>, path: &TargetPath, entry: &Entry) -> Vec<Warning> {
        let subject = match entry.kind {
            EntryKind::Directory => Subject::Directory,
            EntryKind::Symlink { .. } => Subject::Symlink,
            _ => Subject::Other,
        };
        metadata::apply(file, &entry.metadata, subject, self.policy())
            .into_iter()
            .map(|message| warning(path, message))
            .collect()
    }

    /// The path of an entry called `name` in `parent` (`None`: the target itself). Errors: a name
    /// that could leave the target.
    pub fn child(&self, parent: Option<&TargetPath>, name: &[u8]) -> TargetResult<TargetPath> {
        let path = match parent {
            Some(parent) => parent.join(name),
            None => TargetPath::new(&[name]),
        };
        let base = parent.map_or_else(|| self.path.display().to_string(), |p| self.shown(p));
        path.map_err(|cause| refused("restore an entry into", base, cause))
    }
}

fn warning(path: &TargetPath, message: String) -> Warning {
    Warning {
        path: path.as_bytes().to_vec(),
        message,
    }
}

fn look(directory: &OwnedFd, name: &CStr) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[cfg(test)]
mod tests;
