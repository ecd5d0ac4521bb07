//! Snapshots as a read-only file system, through FUSE.
//!
//! Reads are ranged: of a large file only the chunks are fetched that somebody looks at, and some
//! are kept. The kernel's questions come in on one thread; what needs the repository is done by
//! workers, so that a slow chunk does not hold up the rest. What cannot be read gives an I/O error
//! to whoever asked and a line to the user.

mod error;
mod handler;
mod objects;
mod service;

pub use error::MountError;
pub use objects::Object;

use crate::monitor::{Cancel, Monitor};
use crate::repository::Reader;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use handler::{Handler, Job};
use objects::Table;
use rustix::mount::UnmountFlags;
use service::Service;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// How often an idle worker looks whether the mount was given up.
const IDLE: Duration = Duration::from_secs(1);

/// How long the last users of an unmounted tree are waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// How to mount.
#[derive(Debug, Clone, Copy)]
pub struct MountOptions {
    /// Whether other users may look too; then modes and owners decide what each may see.
    pub allow_other: bool,
    /// Chunks that are kept, bytes.
    pub cache_bytes: u64,
    /// Threads that read.
    pub workers: usize,
}

/// Mounts `root` at `place` and serves it until it is unmounted or `cancel` is set. Calls `ready`
/// once it can be used.
pub fn mount(
    reader: &Reader<'_>,
    root: Object,
    place: &Path,
    options: MountOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
    ready: &dyn Fn(),
) -> Result<(), MountError> {
    let place = usable(place)?;
    let table = Arc::new(Mutex::new(Table::new(root)));
    let (jobs, queue) = bounded::<Job>(options.workers * 4);
    let handler = Handler::new(Arc::clone(&table), jobs);
    let mut session = Session::new(handler, &place, &config(options))
        .map_err(|source| refused(&place, source))?;
    let unmounter = session.unmount_callable();
    let service = Service::new(reader, options.cache_bytes, table, monitor);
    let abandoned = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..options.workers {
            scope.spawn(|| work(&service, &queue, &abandoned));
        }
        let session = std::thread::spawn(move || session.run());
        ready();
        let ended = serve(session, unmounter, &place, monitor, cancel);
        abandoned.store(true, Ordering::SeqCst);
        ended
    })
}

/// The absolute path of an empty directory.
fn usable(place: &Path) -> Result<PathBuf, MountError> {
    let failed = |source| MountError::Place {
        path: place.to_path_buf(),
        source,
    };
    let absolute = place.canonicalize().map_err(failed)?;
    let mut entries = absolute.read_dir().map_err(failed)?;
    if entries.next().is_some() {
        return Err(MountError::NotEmpty(absolute));
    }
    match Path::new("/dev/fuse").try_exists() {
        Ok(true) => Ok(absolute),
        _ => Err(MountError::NoDevice),
    }
}

fn config(options: MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::FSName("icecore".to_owned()),
        MountOption::Subtype("icecore".to_owned()),
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
    ];
    if options.allow_other {
        config.mount_options.push(MountOption::DefaultPermissions);
        config.acl = SessionACL::All;
    }
    config
}

fn refused(place: &Path, source: io::Error) -> MountError {
    match source.kind() {
        // The place was there a moment ago: what is missing is the program.
        io::ErrorKind::NotFound => MountError::NoHelper,
        _ => MountError::Refused {
            path: place.to_path_buf(),
            source,
        },
    }
}

fn work(service: &Service<'_, '_>, queue: &Receiver<Job>, abandoned: &AtomicBool) {
    loop {
        match queue.recv_timeout(IDLE) {
            Ok(job) => job(service),
            Err(RecvTimeoutError::Timeout) if !abandoned.load(Ordering::SeqCst) => {}
            Err(_) => return,
        }
    }
}

/// Waits for the end: somebody unmounted it, or wants it unmounted.
fn serve(
    session: JoinHandle<io::Result<()>>,
    mut unmounter: SessionUnmounter,
    place: &Path,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<(), MountError> {
    while !session.is_finished() && !cancel.is_cancelled() {
        std::thread::sleep(TICK);
    }
    if !session.is_finished() && unmounter.unmount().is_err() {
        // In use: it goes from view now, and ends with its last user or with this process.
        let _shown_below = rustix::mount::unmount(place, UnmountFlags::DETACH);
    }
    let patience = Instant::now() + FAREWELL;
    while !session.is_finished() {
        if Instant::now() > patience {
            let shown = place.display();
            monitor.warn(&format!(
                "{shown} was still in use: programs that have it open get errors from now on"
            ));
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
    match session.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(MountError::Broken {
            path: place.to_path_buf(),
            source,
        }),
        Err(_panic) => Err(MountError::Broken {
            path: place.to_path_buf(),
            source: io::Error::other("the thread that served it panicked"),
        }),
    }
}
