//! Whether somebody else has a database open.

use crate::source::SourceError;
use crate::source::sqlite::claim::Claim;
use crate::source::sqlite::connection::failure;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Who has a database open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupant {
    /// Somebody holds a SQLite lock on it: every open connection in WAL mode does, and every
    /// transaction in rollback-journal mode.
    Locked {
        /// A process that has it open, as far as this user may see.
        process: Option<u32>,
    },
    /// This process has it open and idle. Only processes of the same user are seen, unless run by
    /// root.
    Process(u32),
    /// A connection of this very process.
    ThisProcess,
}

impl std::fmt::Display for Occupant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked {
                process: Some(process),
            } => write!(f, "process {process} has it open and locked"),
            Self::Locked { process: None } => f.write_str("another process holds a lock on it"),
            Self::Process(id) => write!(f, "process {id} has it open"),
            Self::ThisProcess => f.write_str("this process has it open"),
        }
    }
}

/// The one lock that excludes every lock SQLite knows: while it is held no other process can begin
/// a transaction on the database, nor create a `-wal` beside it.
#[derive(Debug)]
pub struct ExclusiveFile {
    /// Closing it gives the lock back; before the claim goes.
    _file: File,
    _claim: Claim,
}

impl ExclusiveFile {
    /// Locks the database at `path`, without waiting and without writing; `Err` inside says who
    /// prevents it. The file must be writable, and stays as it is.
    pub fn acquire(path: &Path) -> Result<Result<Self, Occupant>, SourceError> {
        // Before the file is opened here: a child process between fork and exec would show our own
        // descriptor.
        let metadata = path
            .metadata()
            .map_err(|error| failure("look at", path, error))?;
        let process = process_with(metadata.dev(), metadata.ino());
        let (claim, file) = match Claim::raw(path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Ok(Err(Occupant::ThisProcess));
            }
            Err(error) => return Err(failure("open", path, error)),
        };
        // All of SQLite's locks are ranges within the file: one over everything meets them all.
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => {
                return Ok(Err(Occupant::Locked { process }));
            }
            Err(error) => return Err(failure("lock", path, error.into())),
        }
        if let Some(process) = process {
            return Ok(Err(Occupant::Process(process)));
        }
        Ok(Ok(Self {
            _file: file,
            _claim: claim,
        }))
    }
}

/// Tells whether another process has the database at `path` open; `None` when nobody has. Takes
/// the file's lock for a moment, writes nothing.
pub fn lock_probe(path: &Path) -> Result<Option<Occupant>, SourceError> {
    Ok(ExclusiveFile::acquire(path)?.err())
}

/// How long a descriptor inherited by a starting child process may last.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// The first other process that has the file open, as far as this user may see: an idle connection
/// in rollback-journal mode holds no lock at all, but would go on writing to the file that was
/// replaced.
fn process_with(device: u64, inode: u64) -> Option<u32> {
    let own = std::process::id();
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|process| *process != own)
        .find(|process| {
            has_open(*process, device, inode) && {
                std::thread::sleep(SECOND_LOOK);
                has_open(*process, device, inode)
            }
        })
}

fn has_open(process: u32, device: u64, inode: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        fs::metadata(descriptor.path())
            .is_ok_and(|metadata| metadata.dev() == device && metadata.ino() == inode)
    })
}
