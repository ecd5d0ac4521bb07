//! Which files this process holds SQLite connections to.
//!
//! POSIX locks belong to the process: closing *any* descriptor of a file drops all its locks on
//! it, those of a SQLite connection included, and a capture would go on without protection. So
//! every connection and every raw look at a database goes through one table.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The first 16 bytes of every database that has a page.
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// No page is smaller, so no database but the empty one is either, bytes.
const PAGE_BYTES_MIN: u64 = 512;

/// Device and inode.
type FileKey = (u64, u64);

enum Holder {
    Connections {
        count: usize,
        /// Opened beside the connections, and closed with the last of them.
        files: Vec<Arc<File>>,
    },
    RawLock,
}

impl Holder {
    const NONE: Self = Self::Connections {
        count: 0,
        files: Vec::new(),
    };
}

static HOLDERS: Mutex<BTreeMap<FileKey, Holder>> = Mutex::new(BTreeMap::new());

fn holders() -> MutexGuard<'static, BTreeMap<FileKey, Holder>> {
    // The table is whole between any two statements that change it, a panic elsewhere or not.
    HOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(path: &Path) -> io::Result<FileKey> {
    let metadata = path.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

fn held_here() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "this process has the database open",
    )
}

/// Announces a SQLite connection of this process; taken before it is opened, dropped after it is
/// closed.
#[derive(Debug)]
pub(crate) struct Claim {
    key: FileKey,
}

impl Claim {
    /// For a connection to the file at `path`. Fails with [`io::ErrorKind::ResourceBusy`] while
    /// this process holds the file by a raw lock.
    pub(crate) fn connection(path: &Path) -> io::Result<Self> {
        let mut holders = holders();
        let key = key_of(path)?;
        match holders.entry(key).or_insert(Holder::NONE) {
            Holder::Connections { count, .. } => *count += 1,
            Holder::RawLock => return Err(held_here()),
        }
        Ok(Self { key })
    }

    /// The claimed file itself, to read beside the connection; `None` when another one is at `path`
    /// by now. It stays open until the last connection of this process is closed, so that closing
    /// it takes away no locks: whoever uses it must let go of it before this claim.
    pub(crate) fn file(&self, path: &Path) -> io::Result<Option<Arc<File>>> {
        let mut holders = holders();
        let Some(Holder::Connections { files, .. }) = holders.get_mut(&self.key) else {
            return Ok(None);
        };
        let is_claimed = |file: &File| {
            let metadata = file.metadata();
            metadata.is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.key)
        };
        if let Some(file) = files.iter().find(|file| is_claimed(file)) {
            return Ok(Some(Arc::clone(file)));
        }
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let file = Arc::new(file);
        // Kept also where it is another one: SQLite may have opened that.
        files.push(Arc::clone(&file));
        Ok(is_claimed(&file).then_some(file))
    }

    /// Opens the file at `path` itself, for a lock of its own. Fails with
    /// [`io::ErrorKind::ResourceBusy`] while this process has any other hold of the file.
    pub(crate) fn raw(path: &Path) -> io::Result<(Self, File)> {
        let mut holders = holders();
        let key = key_of(path)?;
        if holders.contains_key(&key) {
            return Err(held_here());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        holders.insert(key, Holder::RawLock);
        Ok((Self { key }, file))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut holders = holders();
        if let Some(Holder::Connections { count, .. }) = holders.get_mut(&self.key)
            && *count > 1
        {
            *count -= 1;
            return;
        }
        holders.remove(&self.key);
    }
}

/// Whether `path` is a regular file that begins like a SQLite database. Follows no symbolic link,
/// opens nothing shorter than one page, and opens nothing this process has a connection to.
pub fn is_database(path: &Path) -> io::Result<bool> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || metadata.len() < PAGE_BYTES_MIN {
        return Ok(false);
    }
    // Held until the descriptor is closed again, so that no connection begins in between.
    let holders = holders();
    if holders.contains_key(&(metadata.dev(), metadata.ino())) {
        return Ok(true);
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let mut start = [0; HEADER.len()];
    let begins_so = match file.read_exact(&mut start) {
        Ok(()) => start == *HEADER,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    drop(file);
    drop(holders);
    Ok(begins_so)
}
