//! Opening the cache whatever its state: in order, damaged, locked, not writable, not there.

use crate::monitor::Monitor;
use crate::repository::index::disk::{Disk, Layout};
use crate::repository::index::engine::EngineError;
use crate::repository::index::memory::Memory;
use crate::repository::index::recent::Recent;
use crate::repository::index::shelf::Shelf;
use crate::repository::index::{Index, IndexOptions, MEMORY_NUMBERS, View};
use std::error::Error;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, RwLock};

/// See [`Index::open`].
pub(crate) fn open(options: &IndexOptions, monitor: &dyn Monitor) -> Index {
    let opened = options
        .directory
        .as_deref()
        .map(|directory| open_disk(directory, options));
    let (disk, writable, warning) = match opened {
        None => (None, false, None),
        Some(Opened::Writable(shelf, warning)) => (Some(shelf), true, warning),
        Some(Opened::ReadOnly(shelf, warning)) => (Some(shelf), false, Some(warning)),
        Some(Opened::Nothing(warning)) => (None, false, Some(warning)),
    };
    if let Some(warning) = warning {
        monitor.warn(&warning);
    }
    Index {
        disk,
        memory: Shelf::empty(Box::new(Memory::default()), MEMORY_NUMBERS..u32::MAX),
        view: RwLock::new(View::default()),
        recent: Recent::default(),
        writable: AtomicBool::new(writable),
        warning: Mutex::new(None),
        unreadable: AtomicBool::new(false),
        entry_bytes: AtomicUsize::new(0),
        entry_bytes_max: options.memory_bytes / 4,
    }
}

/// What became of the directory, with what the user should know.
enum Opened {
    Writable(Shelf, Option<String>),
    ReadOnly(Shelf, String),
    Nothing(String),
}

fn open_disk(directory: &Path, options: &IndexOptions) -> Opened {
    let memory_bytes = options.memory_bytes;
    let layout = Layout::new(directory, options.free_bytes_min);
    let problem = match prepare(directory, &layout) {
        Ok(()) => match open_writable(&layout, memory_bytes) {
            Ok(opened) => return opened,
            Err(error) => error,
        },
        Err(error) => error,
    };
    let problem = reason(&problem);
    // Locked by another process, most likely; or a directory we may only read.
    let read_only = Disk::open_read_only(&layout, memory_bytes)
        .and_then(|disk| Shelf::open(Box::new(disk), 0..MEMORY_NUMBERS));
    let directory = directory.display();
    match read_only {
        Ok(shelf) => Opened::ReadOnly(
            shelf,
            format!("the index cache {directory} is used for reading only: {problem}"),
        ),
        Err(_) => Opened::Nothing(format!(
            "the index is kept in memory, because {directory} cannot be used: {problem}"
        )),
    }
}

fn prepare(directory: &Path, layout: &Layout) -> Result<(), EngineError> {
    let io_error = |source| EngineError::Io {
        operation: "creating the directory of the index cache",
        source,
    };
    // RocksDB takes paths as text and would open another one.
    if directory.to_str().is_none() {
        return Err(io_error(io::Error::new(
            io::ErrorKind::InvalidInput,
            "its path is not UTF-8",
        )));
    }
    for directory in [directory, &layout.database, &layout.staging] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io_error)?;
    }
    layout.check_space()
}

fn open_writable(layout: &Layout, memory_bytes: usize) -> Result<Opened, EngineError> {
    let open = || {
        Disk::open(layout, memory_bytes)
            .and_then(|disk| Shelf::open(Box::new(disk), 0..MEMORY_NUMBERS))
    };
    let marked = layout.rebuild_mark.exists();
    let problem = if marked {
        "it was found damaged before".to_owned()
    } else {
        match open() {
            Ok(shelf) => {
                sweep(&layout.staging);
                return Ok(Opened::Writable(shelf, None));
            }
            Err(error) if is_damage(&error) => reason(&error),
            Err(error) => return Err(error),
        }
    };
    Disk::destroy(layout)?;
    if marked {
        // Where it stays, the cache is built once more the next time.
        let _ = std::fs::remove_file(&layout.rebuild_mark);
    }
    let warning = format!(
        "the index cache {} is built anew: {problem}",
        layout.database.display()
    );
    open().map(|shelf| Opened::Writable(shelf, Some(warning)))
}

/// Removes what a crash left half written. Called with the database's lock held.
fn sweep(staging: &Path) {
    let files = std::fs::read_dir(staging).into_iter().flatten().flatten();
    for file in files {
        // Left-overs cost space only.
        let _ = std::fs::remove_file(file.path());
    }
}

/// Whether starting over helps: the content is wrong, rather than the circumstances.
fn is_damage(error: &EngineError) -> bool {
    match error {
        EngineError::Entry(_) => true,
        EngineError::Database { source, .. } => match source.kind() {
            rocksdb::ErrorKind::Corruption
            | rocksdb::ErrorKind::InvalidArgument
            | rocksdb::ErrorKind::NotSupported
            | rocksdb::ErrorKind::NotFound => true,
            // RocksDB reports a file that is gone as an I/O error like any other.
            rocksdb::ErrorKind::IOError => source.as_ref().contains("No such file"),
            _ => false,
        },
        EngineError::Io { .. } | EngineError::NoSpace { .. } | EngineError::ReadOnly => false,
    }
}

/// An error with its causes, in one line.
pub(crate) fn reason(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
