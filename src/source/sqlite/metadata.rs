//! Mode, owner, times and attributes of a database file, without ever opening it.

use crate::entry::Metadata;
use crate::env::Timestamp;
use crate::limits::XATTR_BYTES_MAX;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Of the file at `path`; a symbolic link is not followed. A database has one name here: hard
/// links are not recorded, the image is a file of its own.
pub(crate) fn of_file(path: &Path) -> io::Result<Metadata> {
    let metadata = path.symlink_metadata()?;
    let seconds = Timestamp::from_seconds(metadata.mtime());
    Ok(Metadata {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        user: None,
        group: None,
        modified: Timestamp(seconds.0.saturating_add(metadata.mtime_nsec())),
        xattrs: attributes(path)?,
        hard_link: None,
    })
}

fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = match llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    names.truncate(length);
    let mut value = vec![0; XATTR_BYTES_MAX];
    let mut attributes = BTreeMap::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        match lgetxattr(path, name, value.as_mut_slice()) {
            Ok(length) => attributes.insert(name.to_vec(), value[..length].to_vec()),
            // Gone since the list, or not for us to see.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => None,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(attributes)
}
