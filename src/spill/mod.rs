//! What memory should not hold at once: records that are sorted in runs, flags that are kept as
//! bits, in files that have no name.
//!
//! A file is unlinked as soon as it is made, so neither an end nor a crash leaves one behind. As
//! long as records fit into the memory given nothing touches the disk. What callers keep here are
//! ids, numbers and lengths, never names or content.

mod bits;
mod column;
mod sorted;
mod sorter;

#[cfg(test)]
mod tests;

pub use bits::Bits;
pub use column::{Column, ColumnCursor, ColumnWriter};
pub use sorted::{Cursor, Sorted};
pub use sorter::Sorter;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one sorter or column keeps in memory before it turns to the disk.
const MEMORY_BYTES: usize = 24 << 20;

/// Free bytes of the file system below which nothing more is written: the disk is the database's.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// Intermediate records could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep intermediate records in {}", .directory.display())]
pub struct SpillError {
    directory: PathBuf,
    #[source]
    source: io::Error,
}

/// Where records go that memory should not hold, and how much it may hold.
#[derive(Debug, Clone)]
pub struct Scratch {
    directory: Option<PathBuf>,
    memory_bytes: usize,
}

impl Default for Scratch {
    /// Memory only, without a bound.
    fn default() -> Self {
        Self {
            directory: None,
            memory_bytes: MEMORY_BYTES,
        }
    }
}

impl Scratch {
    /// Spills into `directory`, which is made with mode 0700 when it is first needed.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory: Some(directory),
            ..Self::default()
        }
    }

    /// The same with another bound for each sorter and column, bytes.
    pub fn with_memory(self, memory_bytes: usize) -> Self {
        Self {
            memory_bytes,
            ..self
        }
    }

    /// How many items of `bytes` each are kept in memory.
    fn items(&self, bytes: usize) -> usize {
        match self.directory {
            Some(_) => (self.memory_bytes / bytes).max(2),
            None => usize::MAX,
        }
    }

    fn create(&self) -> Result<Spill, SpillError> {
        let directory = self.directory.clone().unwrap_or_default();
        match create_nameless(&directory) {
            Ok(file) => Ok(Spill { file, directory }),
            Err(source) => Err(SpillError { directory, source }),
        }
    }
}

/// A file without a name, readable by its owner only.
fn create_nameless(directory: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("spill-{}-{number}", std::process::id()));
        let created = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

/// A nameless file, and where it is told to be.
#[derive(Debug)]
struct Spill {
    file: File,
    directory: PathBuf,
}

impl Spill {
    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), SpillError> {
        use std::os::unix::fs::FileExt;
        self.check_space()
            .and_then(|()| self.file.write_all_at(bytes, offset))
            .map_err(|source| self.error(source))
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), SpillError> {
        use std::os::unix::fs::FileExt;
        self.file
            .read_exact_at(bytes, offset)
            .map_err(|source| self.error(source))
    }

    fn check_space(&self) -> io::Result<()> {
        let status = rustix::fs::fstatvfs(&self.file)?;
        match status.f_bavail.saturating_mul(status.f_frsize) < FREE_BYTES_MIN {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn error(&self, source: io::Error) -> SpillError {
        SpillError {
            directory: self.directory.clone(),
            source,
        }
    }
}
