//! From what the kernel says about a file to an [`Entry`].

use crate::entry::{ChangeStamp, EntryKind, HardLink, Metadata};
use crate::env::Timestamp;
use crate::limits;
use crate::source::files::owners::OwnerNames;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// Extended attributes by name.
pub(super) type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Most bytes of names and values kept of one entry's extended attributes: an entry must fit into
/// a metadata node with room to spare ([`limits::NODE_BYTES_MAX`]).
const ATTRIBUTES_BYTES_MAX: usize = 512 << 10;

/// Bytes in which the names of almost every file's attributes fit: clearing more costs more than
/// asking.
const ATTRIBUTE_LIST_BYTES_USUAL: usize = 512;

/// Largest list of attribute names Linux gives, bytes.
const ATTRIBUTE_LIST_BYTES_MAX: usize = 64 << 10;

/// A file is never recognised as unchanged by its stamp when it changed this close to the scan,
/// nanoseconds: a second write could have left the same times.
const STAMP_MARGIN_NANOSECONDS: i64 = 2_000_000_000;

fn timestamp(seconds: i64, nanoseconds: u64) -> Timestamp {
    let nanoseconds = i64::try_from(nanoseconds).unwrap_or(0);
    Timestamp(
        Timestamp::from_seconds(seconds)
            .0
            .saturating_add(nanoseconds),
    )
}

/// Last modification of the content.
pub(super) fn modified(stat: &Stat) -> Timestamp {
    timestamp(stat.st_mtime, stat.st_mtime_nsec)
}

/// Last change of content or inode.
pub(super) fn changed(stat: &Stat) -> Timestamp {
    timestamp(stat.st_ctime, stat.st_ctime_nsec)
}

/// Length, bytes.
pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// What a file is, by its status alone.
pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The kind of anything but a symbolic link, whose target the status does not tell.
pub(super) fn kind(stat: &Stat) -> Option<EntryKind> {
    let major = rustix::fs::major(stat.st_rdev);
    let minor = rustix::fs::minor(stat.st_rdev);
    Some(match file_type(stat) {
        FileType::Directory => EntryKind::Directory,
        FileType::RegularFile => EntryKind::File { size: size(stat) },
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        FileType::CharacterDevice => EntryKind::CharDevice { major, minor },
        FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
        FileType::Symlink | FileType::Unknown => return None,
    })
}

/// Everything the status tells, with the owners' names.
pub(super) fn metadata(stat: &Stat, owners: &OwnerNames, xattrs: Attributes) -> Metadata {
    let has_siblings = file_type(stat) == FileType::RegularFile && stat.st_nlink > 1;
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        user: owners.user(stat.st_uid),
        group: owners.group(stat.st_gid),
        modified: modified(stat),
        xattrs,
        hard_link: has_siblings.then_some(HardLink {
            device: stat.st_dev,
            inode: stat.st_ino,
        }),
    }
}

/// What recognises the file as unchanged in a later run; `None` within two seconds of `now`, and
/// for a change time in the future, where a clock was turned back.
///
/// Databases need no exception here, although the walk cannot know that a file is one without
/// opening it. A stamp only saves reading where a receiver *remembers* it from an earlier run, and
/// receivers remember no content that came as pages or with facts, so no database is ever
/// remembered; a live database in WAL mode, whose main file may stay the same for days, is read
/// every time. A file that was remembered as something else and became a database since has been
/// written to or replaced: its change time or inode differs, and no program can set a change time.
pub(super) fn change_stamp(stat: &Stat, now: Timestamp) -> Option<ChangeStamp> {
    let stamp = ChangeStamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: size(stat),
        modified: modified(stat),
        changed: changed(stat),
    };
    let is_settled = stamp.changed.0 < now.0.saturating_sub(STAMP_MARGIN_NANOSECONDS)
        && i128::from(stamp.modified.0).abs_diff(i128::from(now.0))
            > u128::from(STAMP_MARGIN_NANOSECONDS.unsigned_abs());
    is_settled.then_some(stamp)
}

/// Whether an attribute belongs into a backup: labels and ACLs do, a file system's own state does
/// not.
fn is_kept(name: &[u8]) -> bool {
    [&b"user."[..], b"security.", b"trusted."]
        .iter()
        .any(|namespace| name.starts_with(namespace))
        || matches!(
            name,
            b"system.posix_acl_access" | b"system.posix_acl_default"
        )
}

/// The attributes of `name` in `directory`, never following a symbolic link, and whether some were
/// left out for their size or could not be read. A file system without attributes has none.
pub(super) fn attributes_at(directory: &OwnedFd, name: &CStr) -> Result<(Attributes, bool), Errno> {
    // Through the descriptor, because there is no getxattrat before Linux 6.13 and an absolute
    // path may be longer than PATH_MAX. It opens nothing.
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    let mut few = [0u8; ATTRIBUTE_LIST_BYTES_USUAL];
    let mut all = Vec::new();
    let names = match rustix::fs::llistxattr(&path, &mut few[..]) {
        Ok(length) => &few[..length],
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => &[],
        Err(Errno::RANGE) => {
            all.resize(ATTRIBUTE_LIST_BYTES_MAX, 0);
            let length = rustix::fs::llistxattr(&path, &mut all[..])?;
            &all[..length]
        }
        Err(errno) => return Err(errno),
    };
    match names.is_empty() {
        true => Ok((Attributes::new(), true)),
        false => Ok(read_attributes(&path, names)),
    }
}

fn read_attributes(path: &CStr, list: &[u8]) -> (Attributes, bool) {
    let mut attributes = Attributes::new();
    let mut is_complete = true;
    let mut total = 0usize;
    let mut value = vec![0u8; limits::XATTR_BYTES_MAX];
    let names = list.split(|byte| *byte == 0);
    for name in names.filter(|name| is_kept(name)) {
        let length = match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Ok(length) => length,
            // Removed since the list was read, or kept by the kernel from us.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => continue,
            Err(_) => {
                is_complete = false;
                continue;
            }
        };
        total = total.saturating_add(name.len() + length);
        if total > ATTRIBUTES_BYTES_MAX {
            return (attributes, false);
        }
        attributes.insert(name.to_vec(), value[..length].to_vec());
    }
    (attributes, is_complete)
}
