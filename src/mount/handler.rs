//! What the kernel asks, and who answers: what is known at once, the rest one of the workers.

use crate::entry::EntryKind;
use crate::mount::objects::{Known, Table};
use crate::mount::service::{Line, Service};
use crossbeam_channel::Sender;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyXattr, Request,
};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Something for a worker to do.
pub(super) type Job = Box<dyn FnOnce(&Service<'_, '_>) + Send>;

/// How long the kernel may believe what it was told: a snapshot never changes.
const VALID: Duration = Duration::from_secs(86_400);

/// Block size that is told to programs, bytes: the smallest read worth making.
const BLOCK_BYTES: u32 = 128 << 10;

/// `SEEK_DATA` and `SEEK_HOLE` of Linux.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// Longest name, bytes.
const NAME_BYTES_MAX: u32 = 255;

/// Open directories, each with what it held when it was opened.
type Listings = Arc<Mutex<HashMap<u64, Arc<Vec<Line>>>>>;

/// The file system as the kernel sees it.
pub(super) struct Handler {
    table: Arc<Mutex<Table>>,
    jobs: Sender<Job>,
    listings: Listings,
    next_handle: Arc<AtomicU64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handler {
    pub(super) fn new(table: Arc<Mutex<Table>>, jobs: Sender<Job>) -> Self {
        Self {
            table,
            jobs,
            listings: Listings::default(),
            next_handle: Arc::new(AtomicU64::new(1)),
        }
    }

    fn known(&self, number: INodeNo) -> Option<Known> {
        lock(&self.table).get(number.0)
    }

    /// Hands a job to the workers. When they are gone it is dropped, and its reply with it: that
    /// tells the kernel of an error.
    fn send(&self, job: Job) {
        let _ended = self.jobs.send(job);
    }
}

fn file_type(kind: &EntryKind) -> FileType {
    match kind {
        EntryKind::Directory => FileType::Directory,
        EntryKind::File { .. } => FileType::RegularFile,
        EntryKind::Symlink { .. } => FileType::Symlink,
        EntryKind::Fifo => FileType::NamedPipe,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice { .. } => FileType::CharDevice,
        EntryKind::BlockDevice { .. } => FileType::BlockDevice,
    }
}

fn attributes(known: &Known) -> FileAttr {
    let entry = &known.object.entry;
    let metadata = &entry.metadata;
    let (size, device) = match &entry.kind {
        EntryKind::File { size } => (*size, 0),
        EntryKind::Symlink { target } => (target.len() as u64, 0),
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            (0, rustix::fs::makedev(*major, *minor))
        }
        _ => (0, 0),
    };
    let nanoseconds = Duration::from_nanos(metadata.modified.0.unsigned_abs());
    let modified = match metadata.modified.0 < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(nanoseconds),
        false => SystemTime::UNIX_EPOCH.checked_add(nanoseconds),
    };
    let modified = modified.unwrap_or(SystemTime::UNIX_EPOCH);
    FileAttr {
        ino: INodeNo(known.number),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: file_type(&entry.kind),
        perm: metadata.mode as u16,
        // How many names a file has is not known without looking for them; 2 says that there are
        // others. Of a directory 1 says that it is not known how many are in it.
        nlink: 1 + u32::from(metadata.hard_link.is_some()),
        uid: metadata.uid,
        gid: metadata.gid,
        rdev: u32::try_from(device).unwrap_or(0),
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// Answers with a value, or with how long it is.
fn give(reply: ReplyXattr, value: &[u8], room: u32) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match room {
        0 => reply.size(length),
        room if room < length => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}

impl Filesystem for Handler {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(parent) = self.known(parent) else {
            return reply.error(Errno::ENOENT);
        };
        let (name, table) = (name.as_bytes().to_vec(), Arc::clone(&self.table));
        self.send(Box::new(move |service| {
            match service.find(&parent, &name) {
                Ok(Some(object)) => {
                    let known = lock(&table).hand_out(&parent, object);
                    reply.entry(&VALID, &attributes(&known), Generation(0));
                }
                Ok(None) => reply.error(Errno::ENOENT),
                Err(_) => reply.error(Errno::EIO),
            }
        }));
    }

    fn forget(&self, _: &Request, number: INodeNo, lookups: u64) {
        lock(&self.table).forget(number.0, lookups);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.known(number) {
            Some(known) => reply.attr(&VALID, &attributes(&known)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self
            .known(number)
            .map(|known| known.object.entry.kind.clone())
        {
            Some(EntryKind::Symlink { target }) => reply.data(&target),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.known(number).and_then(|known| known.object.content()) {
            // What the kernel has of it is still right.
            Some(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            None => reply.error(Errno::EIO),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let known = self.known(number);
        let Some((file, content)) = known.and_then(|known| {
            let content = known.object.content()?;
            Some((known, content))
        }) else {
            return reply.error(Errno::EIO);
        };
        self.send(Box::new(move |service| {
            match service.read(&file, content, offset, size) {
                Ok(bytes) => reply.data(&bytes),
                Err(_) => reply.error(Errno::EIO),
            }
        }));
    }

    fn lseek(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let known = self.known(number);
        let Some((file, content)) = known.and_then(|known| {
            let content = known.object.content()?;
            Some((known, content))
        }) else {
            return reply.error(Errno::EINVAL);
        };
        let hole = match whence {
            SEEK_DATA => false,
            SEEK_HOLE => true,
            _ => return reply.error(Errno::EINVAL),
        };
        let offset = match u64::try_from(offset) {
            Ok(offset) if offset < content.length() => offset,
            _ => return reply.error(Errno::ENXIO),
        };
        self.send(Box::new(move |service| {
            match service.seek(&file, content, offset, hole) {
                Ok(Some(found)) => reply.offset(found.cast_signed()),
                Ok(None) => reply.error(Errno::ENXIO),
                Err(_) => reply.error(Errno::EIO),
            }
        }));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let Some(directory) = self.known(number) else {
            return reply.error(Errno::ENOENT);
        };
        let listings = Arc::clone(&self.listings);
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.send(Box::new(move |service| match service.list(&directory) {
            Ok(lines) => {
                let dots = [(&b"."[..], directory.number), (b"..", directory.parent)];
                let dots = dots.map(|(name, number)| Line {
                    name: name.to_vec(),
                    number,
                    kind: EntryKind::Directory,
                });
                let lines = dots.into_iter().chain(lines).collect();
                lock(&listings).insert(handle, Arc::new(lines));
                let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
                reply.opened(FileHandle(handle), flags);
            }
            Err(_) => reply.error(Errno::EIO),
        }));
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let lines = lock(&self.listings).get(&handle.0).cloned();
        let Some(lines) = lines else {
            return reply.error(Errno::EBADF);
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (position, line) in lines.iter().enumerate().skip(start) {
            let next = position as u64 + 1;
            let name = OsStr::from_bytes(&line.name);
            if reply.add(INodeNo(line.number), next, file_type(&line.kind), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        lock(&self.listings).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, BLOCK_BYTES, NAME_BYTES_MAX, BLOCK_BYTES);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, room: u32, reply: ReplyXattr) {
        let Some(known) = self.known(number) else {
            return reply.error(Errno::ENOENT);
        };
        match known.object.entry.metadata.xattrs.get(name.as_bytes()) {
            Some(value) => give(reply, value, room),
            None => reply.error(Errno::ENODATA),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, room: u32, reply: ReplyXattr) {
        let Some(known) = self.known(number) else {
            return reply.error(Errno::ENOENT);
        };
        let names = known.object.entry.metadata.xattrs.keys();
        let list: Vec<u8> = names
            .flat_map(|name| name.iter().copied().chain([0]))
            .collect();
        give(reply, &list, room);
    }
}
