//! Puts a restored database in the place of a live one: proven first, then atomically.
//!
//! The danger is a `-wal` of the old database beside the new one: SQLite would replay it into a
//! file it does not belong to. But the `-wal` may hold commits of the old database, so removing it
//! before the rename would leave half of the old one after a crash. Hence the order:
//!
//! | Step | A crash after it leaves |
//! |---|---|
//! | 1 prove the image, give it mode and owner, sync it | old, untouched |
//! | 2 lock probe; let SQLite move the old `-wal` or `-journal` into the old file (settle) | old, whole by itself; during it SQLite's own recovery applies |
//! | 3 lock the old file against every other process; look again for companions | old, whole by itself |
//! | 4 remove `-wal`, `-shm`, `-journal`; sync the directory | old, whole by itself |
//! | 5 rename the image over the old file; sync the directory | old or new, whole, nothing stale beside it |
//!
//! Step 4 is durable before step 5 begins, so no crash can show the rename without the removals.
//! The lock of step 3 is held past step 5: a program that starts in between cannot create a new
//! `-wal` for the old file. What SQLite cannot open any more has no whole state to keep, so for
//! that step 2 is skipped.

mod error;
mod prove;
#[cfg(test)]
mod tests;
mod trial;

pub use error::ReplaceError;
pub use trial::{Answer, Trial, try_out};

use crate::entry::Facts;
use crate::monitor::Cancel;
use crate::source::sqlite::{
    COMPANION_SUFFIXES, Check, Claim, ExclusiveFile, Occupant, companion, lock_probe,
    stop_on_cancel,
};
use error::{files, in_use};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::Duration;

/// Mode of a database nobody knows a mode for.
const MODE_DEFAULT: u32 = 0o600;

/// What is to be replaced by what.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'a> {
    /// The finished image, in the directory of `target`, closed by whoever wrote it.
    pub image: &'a Path,
    /// The database's path; there may be none yet.
    pub target: &'a Path,
    /// Facts of the snapshot: row counts and length are compared where they were recorded.
    pub recorded: &'a Facts,
    /// Mode of the captured file, for a target that does not exist yet.
    pub recorded_mode: Option<u32>,
    /// Go on although the image is damaged or differs: the report says how.
    pub accept_damage: bool,
    /// How the image is checked; with none rows are not counted either.
    pub check: Check,
}

/// What the proof of an image found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageProof {
    /// Which check of the engine ran, and whether rows were counted.
    pub check: Check,
    /// The first messages of the check; none means that it passed.
    pub faults: Vec<String>,
    /// Why the check could not run, where it needs something only the application has.
    pub check_not_possible: Option<String>,
    /// Tables whose rows were compared with the recorded counts.
    pub tables_compared: u64,
    /// Rows in those tables.
    pub rows_compared: u64,
    /// Where counts or length differ from what was recorded, one sentence each.
    pub differences: Vec<String>,
}

impl ImageProof {
    /// No fault and no difference.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.differences.is_empty()
    }
}

/// What a replacement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacementReport {
    /// The proof of the image that is in place now.
    pub proof: ImageProof,
    /// Whether there was a database before.
    pub replaced: bool,
    /// Companions of the old database that were removed.
    pub removed: Vec<PathBuf>,
    /// Permission bits it has now.
    pub mode: u32,
    /// Whether it has the owner and group of the database it replaced; only root may give files
    /// away. `true` when there was none.
    pub owner_kept: bool,
}

/// Refuses early, before anything is fetched, what [`replace_database`] would refuse at the end: a
/// target that is no regular file, or that somebody has open.
pub fn check_replaceable(target: &Path) -> Result<(), ReplaceError> {
    match existing_file(target)? {
        Some(_) => refuse_in_use(target),
        None => Ok(()),
    }
}

/// Brings what a database's companions hold into its file and takes them away, so that whatever gets
/// its place has nothing stale beside it. Nothing to do where no file is.
pub fn clear_companions(target: &Path, cancel: &Cancel) -> Result<(), ReplaceError> {
    let lock = match existing_file(target)? {
        Some(_) => Some(settle_and_lock(target, cancel)?),
        None => None,
    };
    remove_companions(target)?;
    drop(lock);
    Ok(())
}

fn refuse_in_use(target: &Path) -> Result<(), ReplaceError> {
    match lock_probe(target)? {
        Some(occupant) => Err(in_use(target, occupant)),
        None => Ok(()),
    }
}

/// Proves `replacement.image` and puts it in the place of `replacement.target`; the order of the
/// steps is argued above. After an error the image is still where it was.
pub fn replace_database(
    replacement: &Replacement<'_>,
    cancel: &Cancel,
) -> Result<ReplacementReport, ReplaceError> {
    let target = replacement.target;
    let directory = common_directory(replacement)?;
    let existing = existing_file(target)?;
    if existing.is_some() {
        refuse_in_use(target)?;
    }
    let proof = prove_and_sync(replacement, cancel)?;
    if !proof.is_sound() && !replacement.accept_damage {
        return Err(ReplaceError::Damaged {
            image: replacement.image.display().to_string(),
            proof: Box::new(proof),
        });
    }
    let dress = dress(replacement, existing.as_ref())?;
    cancel.check()?;

    let lock = match existing {
        Some(_) => Some(settle_and_lock(target, cancel)?),
        None => None,
    };
    let removed = remove_companions(target)?;
    sync(directory).map_err(|error| files("sync", directory, error))?;
    fs::rename(replacement.image, target).map_err(|error| files("replace", target, error))?;
    let synced = sync(directory);
    drop(lock);
    synced.map_err(|source| ReplaceError::NotDurable {
        target: target.display().to_string(),
        source,
    })?;
    Ok(ReplacementReport {
        proof,
        replaced: existing.is_some(),
        removed,
        mode: dress.mode,
        owner_kept: dress.owner_kept,
    })
}

/// Proves the image while the disk takes its bytes.
fn prove_and_sync(
    replacement: &Replacement<'_>,
    cancel: &Cancel,
) -> Result<ImageProof, ReplaceError> {
    let image = replacement.image;
    let file = File::open(image).map_err(|error| files("open", image, error))?;
    std::thread::scope(|scope| {
        let syncing = Builder::new().spawn_scoped(scope, || file.sync_data());
        let proof = prove::prove_image(image, replacement.recorded, replacement.check, cancel);
        // A failure is told once: the sync that follows would not see it.
        if let Ok(Ok(Err(error))) = syncing.map(ScopedJoinHandle::join) {
            return Err(files("sync", image, error));
        }
        proof
    })
}

fn common_directory<'a>(replacement: &Replacement<'a>) -> Result<&'a Path, ReplaceError> {
    let of = |path: &'a Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = of(replacement.target);
    let resolved = |path: &Path| {
        path.canonicalize()
            .map_err(|error| files("find", path, error))
    };
    if resolved(of(replacement.image))? != resolved(directory)? {
        return Err(ReplaceError::Elsewhere {
            image: replacement.image.display().to_string(),
            target: replacement.target.display().to_string(),
        });
    }
    Ok(directory)
}

fn existing_file(target: &Path) -> Result<Option<Metadata>, ReplaceError> {
    match target.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(ReplaceError::NotAFile {
            target: target.display().to_string(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files("look at", target, error)),
    }
}

struct Dress {
    mode: u32,
    owner_kept: bool,
}

/// Step 1: owner, then mode (giving a file away clears bits of the mode), then everything durable.
fn dress(
    replacement: &Replacement<'_>,
    existing: Option<&Metadata>,
) -> Result<Dress, ReplaceError> {
    let image = replacement.image;
    let failed = |operation| move |error| files(operation, image, error);
    let mut dress = Dress {
        mode: replacement.recorded_mode.unwrap_or(MODE_DEFAULT) & 0o7777,
        owner_kept: true,
    };
    if let Some(existing) = existing {
        dress.mode = existing.mode() & 0o7777;
        let (uid, gid) = (existing.uid(), existing.gid());
        let group_kept = chown(image, None, Some(gid)).is_ok();
        dress.owner_kept = chown(image, Some(uid), None).is_ok() && group_kept;
        if !group_kept {
            // The bits were meant for another group than the one the file has now.
            dress.mode &= !0o070;
        }
    }
    fs::set_permissions(image, Permissions::from_mode(dress.mode))
        .map_err(failed("set the mode of"))?;
    sync(image).map_err(failed("sync"))?;
    Ok(dress)
}

/// Steps 2 and 3: the old database whole in one file, and locked.
fn settle_and_lock(target: &Path, cancel: &Cancel) -> Result<ExclusiveFile, ReplaceError> {
    let settled = settle(target, cancel)?;
    let lock = ExclusiveFile::acquire(target)?.map_err(|occupant| in_use(target, occupant))?;
    // A program that came and went in between may have left new commits: the user should know.
    if settled && has_bytes(&companion(target, "-wal")) {
        return Err(ReplaceError::WrittenMeanwhile {
            target: target.display().to_string(),
        });
    }
    Ok(lock)
}

/// Lets SQLite bring the old database's `-wal` or hot `-journal` into its file. Returns `false`
/// where SQLite cannot: the old database is not whole, whatever we do.
fn settle(target: &Path, cancel: &Cancel) -> Result<bool, ReplaceError> {
    if !has_bytes(&companion(target, "-wal")) && !has_bytes(&companion(target, "-journal")) {
        return Ok(true);
    }
    let claim = Claim::connection(target).map_err(|error| files("open", target, error))?;
    let settled = settle_connected(target, cancel);
    drop(claim);
    match settled {
        Ok(()) => Ok(true),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Ok(false),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Err(in_use(target, Occupant::Locked { process: None }))
            }
            _ => Err(ReplaceError::Engine {
                operation: "checkpoint",
                object: target.display().to_string(),
                source: error,
            }),
        },
    }
}

/// The exclusive lock is taken before anything is written, and kept until the connection closes,
/// which removes the `-wal`.
fn settle_connected(target: &Path, cancel: &Cancel) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(target, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    stop_on_cancel(&mut connection, cancel)?;
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; BEGIN EXCLUSIVE; COMMIT;",
    )?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

fn has_bytes(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.len() > 0)
}

/// Step 4.
fn remove_companions(target: &Path) -> Result<Vec<PathBuf>, ReplaceError> {
    let mut removed = Vec::new();
    for suffix in COMPANION_SUFFIXES {
        let path = companion(target, suffix);
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files("remove", &path, error)),
        }
    }
    Ok(removed)
}

/// A file or a directory; nobody here has a connection to it.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
