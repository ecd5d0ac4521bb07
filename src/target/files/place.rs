//! Temporary names, and how what has one gets its final name.

use crate::entry::{Entry, EntryKind};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};

/// Bytes of the final name kept in the temporary one: with all that is added at most 255.
const KEPT_NAME_BYTES_MAX: usize = 200;

/// `.NAME.icecore-partial-HASH`: the same for the same name and tag, so that it is found again.
pub(super) fn partial_name(name: &[u8], tag: &[u8]) -> CString {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update(tag);
    let hash = hasher.finalize().to_hex();
    let kept = &name[..name.len().min(KEPT_NAME_BYTES_MAX)];
    let partial = [b".", kept, b".icecore-partial-", &hash.as_bytes()[..16]].concat();
    // Names contain no NUL.
    CString::new(partial).unwrap_or_default()
}

/// Opens an existing file for reading and writing if it is a regular one with a single name and
/// this process's owner. `None`: it is something else, perhaps planted.
pub(super) fn open_plain(directory: &OwnedFd, name: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Looked at first: opening a device could do something.
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let descriptor = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Ok(None),
        other => other?,
    };
    let stat = rustix::fs::fstat(&descriptor)?;
    let is_plain =
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
    Ok(is_plain.then_some(descriptor))
}

/// Opens an existing file for reading if it is a regular one.
pub(super) fn open_readable(directory: &OwnedFd, name: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let is_regular =
        |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_regular(&rustix::fs::statat(
        directory,
        name,
        AtFlags::SYMLINK_NOFOLLOW,
    )?) {
        return Ok(None);
    }
    let descriptor = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Ok(None),
        other => other?,
    };
    Ok(is_regular(&rustix::fs::fstat(&descriptor)?).then_some(descriptor))
}

/// Renames the finished file `name` to `partial`, private again, or removes it: see
/// [`crate::target::files::TargetRoot::take_back`].
pub(super) fn take_back(directory: &OwnedFd, name: &CStr, partial: &CStr) -> Result<(), Errno> {
    let remove = || rustix::fs::unlinkat(directory, name, AtFlags::empty());
    let descriptor = match open_plain(directory, name) {
        Err(Errno::NOENT) => return Ok(()),
        Ok(Some(descriptor)) => descriptor,
        Ok(None) | Err(_) => return remove(),
    };
    let stat = rustix::fs::fstat(&descriptor)?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    if !is_ours {
        return remove();
    }
    rustix::fs::fchmod(&descriptor, Mode::RUSR | Mode::WUSR)?;
    match rename(directory, name, partial, false) {
        Err(Errno::EXIST) => remove(),
        other => other,
    }
}

/// Opens or makes the temporary file of `size` bytes, and tells whether it is all zeros.
pub(super) fn open_partial(
    directory: &OwnedFd,
    name: &CStr,
    size: u64,
) -> Result<(OwnedFd, bool), Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || {
        let mode = Mode::RUSR | Mode::WUSR;
        let descriptor = rustix::fs::openat(directory, name, flags, mode)?;
        rustix::fs::ftruncate(&descriptor, size)?;
        Ok((descriptor, true))
    };
    // Left-overs are rare: looked for only where they are in the way.
    match create() {
        Err(Errno::EXIST) => {}
        other => return other,
    }
    match open_plain(directory, name) {
        Ok(Some(descriptor)) if is_our_private(&descriptor) => {
            rustix::fs::ftruncate(&descriptor, size)?;
            return Ok((descriptor, false));
        }
        Err(Errno::NOENT) => {}
        Ok(_) | Err(_) => rustix::fs::unlinkat(directory, name, AtFlags::empty())?,
    }
    create()
}

/// Where `name` is, without opening or following it.
pub(super) fn locate(directory: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Whether `name` looks as `entry` does when it has been restored.
pub(super) fn is_same(directory: &OwnedFd, name: &CStr, entry: &Entry) -> Result<bool, Errno> {
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        other => other?,
    };
    let found = FileType::from_raw_mode(stat.st_mode);
    let is_device = |major, minor| stat.st_rdev == rustix::fs::makedev(major, minor);
    Ok(match &entry.kind {
        EntryKind::File { size } => {
            let modified = entry.metadata.modified;
            found == FileType::RegularFile
                && u64::try_from(stat.st_size) == Ok(*size)
                && stat.st_mtime == modified.seconds()
                && i64::try_from(stat.st_mtime_nsec) == Ok(modified.0.rem_euclid(1_000_000_000))
        }
        EntryKind::Symlink { target } => {
            found == FileType::Symlink
                && rustix::fs::readlinkat(directory, name, Vec::new())?.as_bytes() == target
        }
        EntryKind::Fifo => found == FileType::Fifo,
        EntryKind::CharDevice { major, minor } => {
            found == FileType::CharacterDevice && is_device(*major, *minor)
        }
        EntryKind::BlockDevice { major, minor } => {
            found == FileType::BlockDevice && is_device(*major, *minor)
        }
        EntryKind::Directory | EntryKind::Socket => false,
    })
}

/// Somebody else's file could be changed by them while it is being verified.
fn is_our_private(descriptor: &OwnedFd) -> bool {
    rustix::fs::fstat(descriptor).is_ok_and(|stat| {
        stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0
    })
}

/// Makes a symbolic link, FIFO or device of that name, replacing what an interrupted restore left.
pub(super) fn make_special(
    directory: &OwnedFd,
    name: &CStr,
    kind: &EntryKind,
) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let mode = Mode::RUSR | Mode::WUSR;
    let node = |file_type, major, minor| {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(directory, name, file_type, mode, device)
    };
    match kind {
        EntryKind::Symlink { target } => rustix::fs::symlinkat(target.as_slice(), directory, name),
        EntryKind::Fifo => node(FileType::Fifo, 0, 0),
        EntryKind::CharDevice { major, minor } => node(FileType::CharacterDevice, *major, *minor),
        EntryKind::BlockDevice { major, minor } => node(FileType::BlockDevice, *major, *minor),
        EntryKind::Directory | EntryKind::File { .. } | EntryKind::Socket => Err(Errno::INVAL),
    }
}

/// Gives `temporary` its final name; without `replaces` only if nothing has it, atomically where
/// the file system can.
pub(super) fn rename(
    directory: &OwnedFd,
    temporary: &CStr,
    name: &CStr,
    replaces: bool,
) -> Result<(), Errno> {
    let remove = || rustix::fs::unlinkat(directory, temporary, AtFlags::empty());
    if replaces {
        rustix::fs::renameat(directory, temporary, directory, name)?;
        // Two names of one file stay both: renaming one over the other does nothing.
        return match remove() {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        };
    }
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(directory, temporary, directory, name, flags) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    match rustix::fs::linkat(directory, temporary, directory, name, AtFlags::empty()) {
        Ok(()) => remove(),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
            // Neither way (FAT): the last look before the rename is all there is.
            match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(directory, temporary, directory, name),
                Ok(_) => Err(Errno::EXIST),
                Err(errno) => Err(errno),
            }
        }
        Err(errno) => Err(errno),
    }
}
