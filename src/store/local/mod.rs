//! A directory as a store: one file per object, at its key.
//!
//! A put writes a hidden temporary beside the object's place, syncs it and renames it; the
//! directories' own entries become durable at the barrier. Sync of the data happens in the putting
//! thread, so several puts at once share the disk's write cache flushes.

mod directory;
mod durability;
mod error;
mod handles;
#[cfg(test)]
mod tests;

use crate::env::{Entropy, SystemEntropy, Timestamp};
use crate::store::local::directory::{Root, sync_directory};
use crate::store::local::durability::Durability;
use crate::store::local::error::{LocalError, split};
use crate::store::local::handles::Handles;
use crate::store::{
    ObjectError, ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, Swept,
};
use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How temporaries begin: the dot keeps them from being keys, the rest from being taken for
/// anyone else's.
const TEMPORARY_PREFIX: &str = ".put-";

/// Owner only.
const FILE_MODE: u32 = 0o600;

/// Objects at least this long are announced to the kernel as read from start to end, bytes.
const SEQUENTIAL_MIN: u64 = 1 << 20;

/// A store in a directory of a local or network file system.
#[derive(Debug)]
pub struct LocalStore {
    root: Root,
    location: String,
    durability: Durability,
    handles: Handles,
    /// Random: processes and hosts that write to one directory never share a temporary.
    instance: [u8; 8],
    puts: AtomicU64,
}

impl LocalStore {
    /// Makes the directory at `path`, missing parents included, for the owner only (0700), and
    /// opens it. One that exists is opened as it is, with its mode and content.
    pub fn create(path: &Path) -> StoreResult<Self> {
        Self::with_root(path, "create", Root::create)
    }

    /// Opens the directory at `path`. `NotFound` if there is none.
    pub fn open(path: &Path) -> StoreResult<Self> {
        Self::with_root(path, "open", Root::open)
    }

    fn with_root(
        path: &Path,
        operation: &'static str,
        make: impl FnOnce(&Path) -> Result<Root, LocalError>,
    ) -> StoreResult<Self> {
        let fail = |error: LocalError| {
            let location = path.display().to_string();
            StoreError::new(error.kind(), operation, "the store", location, error)
        };
        let root = make(path).map_err(fail)?;
        let entropy: &dyn Entropy = &SystemEntropy;
        let instance = entropy.array().map_err(|error| fail(error.into()))?;
        Ok(Self {
            location: root.path().display().to_string(),
            root,
            durability: Durability::default(),
            handles: Handles::default(),
            instance,
            puts: AtomicU64::new(0),
        })
    }

    /// Bytes that an unprivileged user can still write here.
    pub fn free_space(&self) -> StoreResult<u64> {
        let space = rustix::fs::fstatvfs(self.root.descriptor())
            .map_err(|errno| self.error("look at", "the free space", errno.into()))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn error(&self, operation: &'static str, object: &str, error: LocalError) -> StoreError {
        StoreError::new(
            error.kind(),
            operation,
            object,
            self.location.clone(),
            error,
        )
    }

    fn try_put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), LocalError> {
        let (directory_path, name) = split(key);
        let directory = self.root.make_directory(directory_path)?;
        let (temporary, file) = self.make_temporary(&directory)?;
        let result = write_durably(file, bytes).and_then(|()| {
            rustix::fs::renameat(&directory, &temporary, &directory, name)?;
            Ok(())
        });
        if result.is_err() {
            // The first error is the one to report; a leftover is swept later.
            let _leftover = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
        }
        result.map_err(|error| self.root.explain(error))?;
        self.handles.forget(key);
        self.durability.changed(directory_path);
        Ok(())
    }

    fn make_temporary(&self, directory: &OwnedFd) -> Result<(String, File), LocalError> {
        let number = self.puts.fetch_add(1, Ordering::Relaxed);
        let instance = u64::from_be_bytes(self.instance);
        let name = format!("{TEMPORARY_PREFIX}{instance:016x}-{number}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, &name, flags, Mode::from(FILE_MODE))
            .map_err(|errno| self.root.explain(errno))?;
        // Never wider than the mode above; this only gives back what a umask took from the owner,
        // so a file system without modes may refuse it.
        let _refused = rustix::fs::fchmod(&file, Mode::from(FILE_MODE));
        Ok((name, file.into()))
    }

    /// Opens an object and says how long it is.
    fn open_object(&self, key: &ObjectKey) -> Result<(File, u64), LocalError> {
        let (directory_path, name) = split(key);
        let directory = self.root.directory(directory_path)?;
        // Non-blocking, because a planted FIFO would hold the caller for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => return Err(LocalError::SymbolicLink(name.to_owned())),
            // A socket, or a device without a driver.
            Err(Errno::NXIO) => return Err(LocalError::NotRegular),
            Err(errno) => return Err(self.root.explain(errno)),
        };
        let stat = rustix::fs::fstat(&file)?;
        check_object(&stat)?;
        Ok((file, size(&stat)))
    }

    fn try_get(&self, key: &ObjectKey, limit: usize) -> Result<Vec<u8>, LocalError> {
        let (file, size) = self.open_object(key)?;
        ObjectError::check_limit(size, limit)?;
        let length = usize::try_from(size).map_err(|_| LocalError::NoMemory(size))?;
        if size >= SEQUENTIAL_MIN {
            // A hint: the read is right without it.
            let _ignored = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        }
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(length)
            .map_err(|_| LocalError::NoMemory(size))?;
        file.take(size).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            let found = bytes.len() as u64;
            return Err(ObjectError::TooShort {
                size: found,
                offset: 0,
                length,
            }
            .into());
        }
        Ok(bytes)
    }

    fn try_get_range(
        &self,
        key: &ObjectKey,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), LocalError> {
        let (file, size) = self.open_shared(key)?;
        ObjectError::check_range(size, offset, buffer.len())?;
        let result = file.read_exact_at(buffer, offset);
        if result.is_err() {
            // A stale network handle is opened anew next time.
            self.handles.forget(key);
        }
        Ok(result?)
    }

    /// The object's file from among those held open, if that is still the object.
    fn open_shared(&self, key: &ObjectKey) -> Result<(Arc<File>, u64), LocalError> {
        if let Some(file) = self.handles.find(key) {
            // No name left: deleted or replaced, perhaps by another process.
            match rustix::fs::fstat(&file) {
                Ok(stat) if stat.st_nlink > 0 => return Ok((file, size(&stat))),
                _ => self.handles.forget(key),
            }
        }
        let (file, size) = self.open_object(key)?;
        let file = Arc::new(file);
        self.handles.keep(key, Arc::clone(&file));
        Ok((file, size))
    }

    fn try_stat(&self, key: &ObjectKey) -> Result<ObjectInfo, LocalError> {
        let (directory_path, name) = split(key);
        let directory = self.root.directory(directory_path)?;
        let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.root.explain(errno))?;
        check_object(&stat)?;
        Ok(info(key.clone(), &stat))
    }

    fn try_delete(&self, key: &ObjectKey) -> Result<(), LocalError> {
        let (directory_path, name) = split(key);
        let directory = self.root.directory(directory_path)?;
        match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
            // A directory of that name is not an object.
            Ok(()) | Err(Errno::ISDIR) => {}
            Err(errno) => return Err(self.root.explain(errno)),
        }
        self.handles.forget(key);
        self.durability.changed(directory_path);
        Ok(())
    }

    fn try_list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> Result<(), LocalError> {
        ObjectError::check_prefix(prefix)?;
        if let Ok(key) = ObjectKey::new(prefix) {
            match self.try_stat(&key) {
                Ok(info) => {
                    // The prefix is itself an object, so there is nothing below it.
                    let _last = visit(info);
                    return Ok(());
                }
                Err(error) if error.is_missing() => {}
                Err(LocalError::NotRegular) => {}
                Err(error) => return Err(error),
            }
        } else {
            // Without this a vanished store would be listed as an empty one.
            self.check_root()?;
        }
        self.root.walk(prefix, &mut |found| {
            let Ok(key) = ObjectKey::new(found.path) else {
                return Ok(true);
            };
            Ok(match found.stat()? {
                Some(stat) if is_regular(&stat) => visit(info(key, &stat)).is_continue(),
                _ => true,
            })
        })
    }

    fn check_root(&self) -> Result<(), LocalError> {
        match self.root.missing() {
            gone @ LocalError::RootGone(_) => Err(gone),
            _ => Ok(()),
        }
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.try_put(key, bytes).map_err(|error| {
            StoreError::new(
                error.kind_of_put(),
                "write",
                key,
                self.location.clone(),
                error,
            )
        })
    }

    fn barrier(&self) -> StoreResult<()> {
        let result = self
            .durability
            .barrier(|path| sync_directory(&self.root.directory(path)?));
        result.map_err(|(directory, error)| {
            // A directory that vanished took acknowledged objects with it.
            let kind = match error.kind() {
                StoreErrorKind::NotFound => StoreErrorKind::Permanent,
                kind => kind,
            };
            let object = if directory.is_empty() {
                "the store"
            } else {
                &directory
            };
            StoreError::new(kind, "make durable", object, self.location.clone(), error)
        })
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.try_get(key, limit)
            .map_err(|error| self.error("read", key.as_str(), error))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.try_get_range(key, offset, buffer)
            .map_err(|error| self.error("read", key.as_str(), error))
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.try_stat(key)
            .map_err(|error| self.error("look at", key.as_str(), error))
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        match self.try_delete(key) {
            Err(error) if !error.is_missing() => Err(self.error("delete", key.as_str(), error)),
            _ => Ok(()),
        }
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.try_list(prefix, visit).map_err(|error| {
            let object = if prefix.is_empty() {
                "all objects"
            } else {
                prefix
            };
            self.error("list", object, error)
        })
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        let mut swept = Swept::default();
        self.root
            .walk("", &mut |found| {
                if !found
                    .name
                    .to_bytes()
                    .starts_with(TEMPORARY_PREFIX.as_bytes())
                {
                    return Ok(true);
                }
                let Some(stat) = found.stat()? else {
                    return Ok(true);
                };
                if is_regular(&stat) && modified(&stat) < before {
                    match rustix::fs::unlinkat(found.parent, found.name, AtFlags::empty()) {
                        Ok(()) => {
                            swept.files += 1;
                            swept.bytes += size(&stat);
                        }
                        Err(Errno::NOENT) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Ok(true)
            })
            .map_err(|error| self.error("sweep", "temporaries", error))?;
        Ok(swept)
    }
}

fn write_durably(mut file: File, bytes: &[u8]) -> Result<(), LocalError> {
    file.write_all(bytes)?;
    rustix::fs::fdatasync(file.as_fd())?;
    Ok(())
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Fails for what cannot be an object. A directory is none: keys may lead through it.
fn check_object(stat: &Stat) -> Result<(), LocalError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(ObjectError::Missing.into()),
        _ => Err(LocalError::NotRegular),
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn modified(stat: &Stat) -> Timestamp {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Timestamp(
        Timestamp::from_seconds(stat.st_mtime)
            .0
            .saturating_add(nanoseconds),
    )
}

fn info(key: ObjectKey, stat: &Stat) -> ObjectInfo {
    ObjectInfo {
        key,
        size: size(stat),
        modified: Some(modified(stat)),
    }
}
