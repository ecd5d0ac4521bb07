//! A read-only file system for SQLite whose files are contents of a repository.
//!
//! SQLite's own file systems live as long as the process, a [`Reader`] does not. So what SQLite
//! asks for goes through a channel to a thread that has the reader, a chunk at a time. Nothing is
//! written anywhere: no copy of a database, no journal, no temporary file.
//!
//! [`Reader`]: crate::repository::Reader

use crate::format::node::Child;
use crate::repository::ReadError;
use crate::tree::RandomReader;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sqlite_plugin::flags::{AccessFlags, LockLevel, OpenKind, OpenOpts};
use sqlite_plugin::vars;
use sqlite_plugin::vfs::{RegisterOpts, Vfs, VfsHandle, VfsResult, register_static};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What this file system is called among SQLite's.
const NAME: &str = "icecore";

/// Chunks that each open image keeps: SQLite reads a page at a time.
const STRETCHES_MAX: usize = 8;

/// Zeros handed over at once for a hole, bytes.
const HOLE_BYTES: u64 = 64 << 10;

/// SQLite refused the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SQLite does not take another file system (code {0})")]
pub struct RegisterError(i32);

/// A stretch of an image.
#[derive(Clone)]
struct Stretch {
    start: u64,
    bytes: Arc<Vec<u8>>,
}

struct Request {
    content: Child,
    offset: u64,
    reply: Sender<Option<Stretch>>,
}

/// An image that can be opened.
struct Image {
    content: Child,
    requests: Sender<Request>,
}

static IMAGES: Mutex<BTreeMap<String, Arc<Image>>> = Mutex::new(BTreeMap::new());

/// Images are told apart by number.
static NEXT_IMAGE: AtomicU64 = AtomicU64::new(0);

fn images() -> MutexGuard<'static, BTreeMap<String, Arc<Image>>> {
    IMAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the file system known to SQLite, once.
fn register() -> Result<(), RegisterError> {
    static REGISTERED: OnceLock<Result<(), RegisterError>> = OnceLock::new();
    *REGISTERED.get_or_init(|| {
        let name = CString::new(NAME).map_err(|_| RegisterError(vars::SQLITE_MISUSE))?;
        let options = RegisterOpts {
            make_default: false,
        };
        match register_static(name, Images, options) {
            Ok(_logger) => Ok(()),
            Err(code) => Err(RegisterError(code)),
        }
    })
}

/// Takes the name away again.
struct Published(String);

impl Published {
    fn new(image: Image) -> Self {
        let number = NEXT_IMAGE.fetch_add(1, Ordering::Relaxed);
        let name = format!("/image-{number}");
        images().insert(name.clone(), Arc::new(image));
        Self(name)
    }

    /// What SQLite opens. Immutable: no locks, no journal, no write-ahead log are looked for.
    fn uri(&self) -> String {
        format!("file:{}?vfs={NAME}&mode=ro&immutable=1", self.0)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        images().remove(&self.0);
    }
}

/// Why an image could not be read, kept while SQLite only knows that it could not.
pub(super) type Failure = Mutex<Option<ReadError>>;

/// Calls `work` with the addresses under which SQLite can open both contents meanwhile.
pub(super) fn with_images<T>(
    random: &RandomReader<'_, '_>,
    contents: [Child; 2],
    failure: &Failure,
    work: impl FnOnce(&str, &str) -> T,
) -> Result<T, RegisterError> {
    register()?;
    let (requests, queue) = unbounded();
    let [before, after] = contents.map(|content| {
        let requests = requests.clone();
        Published::new(Image { content, requests })
    });
    drop(requests);
    Ok(std::thread::scope(move |scope| {
        scope.spawn(move || serve(random, queue, failure));
        let result = work(&before.uri(), &after.uri());
        // The last senders: the thread ends.
        drop((before, after));
        result
    }))
}

/// Answers until nobody can ask any more.
fn serve(random: &RandomReader<'_, '_>, queue: Receiver<Request>, failure: &Failure) {
    for request in queue {
        let stretch = match read(random, request.content, request.offset) {
            Ok(stretch) => stretch,
            Err(error) => {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                None
            }
        };
        // Whoever asked may have been stopped.
        let _gone = request.reply.send(stretch);
    }
}

fn read(
    random: &RandomReader<'_, '_>,
    content: Child,
    offset: u64,
) -> Result<Option<Stretch>, ReadError> {
    let Some(piece) = random.piece_at(content, offset)? else {
        return Ok(None);
    };
    Ok(Some(match piece.chunk {
        Some(id) => Stretch {
            start: piece.offset,
            bytes: random.chunk(id)?,
        },
        None => {
            let left = piece.length - (offset - piece.offset);
            Stretch {
                start: offset,
                bytes: Arc::new(vec![0; left.min(HOLE_BYTES) as usize]),
            }
        }
    }))
}

/// The file system.
struct Images;

/// An open image.
struct OpenImage {
    image: Arc<Image>,
    recent: VecDeque<Stretch>,
}

impl VfsHandle for OpenImage {
    fn readonly(&self) -> bool {
        true
    }

    fn in_memory(&self) -> bool {
        false
    }
}

impl OpenImage {
    fn stretch(&mut self, offset: u64) -> Option<Stretch> {
        let covers = |stretch: &Stretch| {
            let end = stretch.start + stretch.bytes.len() as u64;
            (stretch.start..end).contains(&offset)
        };
        if let Some(found) = self.recent.iter().position(covers) {
            let stretch = self.recent.remove(found)?;
            self.recent.push_back(stretch.clone());
            return Some(stretch);
        }
        let (reply, answer) = bounded(1);
        let request = Request {
            content: self.image.content,
            offset,
            reply,
        };
        self.image.requests.send(request).ok()?;
        let stretch = answer.recv().ok()?.filter(covers)?;
        if self.recent.len() >= STRETCHES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(stretch.clone());
        Some(stretch)
    }
}

impl Vfs for Images {
    type Handle = OpenImage;

    fn open(&self, path: Option<&str>, opts: OpenOpts) -> VfsResult<OpenImage> {
        let image = path.and_then(|path| images().get(path).cloned());
        match (image, opts.kind()) {
            (Some(image), OpenKind::MainDb) => Ok(OpenImage {
                image,
                recent: VecDeque::new(),
            }),
            _ => Err(vars::SQLITE_CANTOPEN),
        }
    }

    fn delete(&self, _: &str) -> VfsResult<()> {
        Err(vars::SQLITE_READONLY)
    }

    fn access(&self, path: &str, flags: AccessFlags) -> VfsResult<bool> {
        Ok(!matches!(flags, AccessFlags::ReadWrite) && images().contains_key(path))
    }

    fn file_size(&self, handle: &mut OpenImage) -> VfsResult<usize> {
        let length = handle.image.content.length();
        usize::try_from(length).map_err(|_| vars::SQLITE_IOERR_FSTAT)
    }

    fn truncate(&self, _: &mut OpenImage, _: usize) -> VfsResult<()> {
        Err(vars::SQLITE_READONLY)
    }

    fn write(&self, _: &mut OpenImage, _: usize, _: &[u8]) -> VfsResult<usize> {
        Err(vars::SQLITE_READONLY)
    }

    fn read(&self, handle: &mut OpenImage, offset: usize, data: &mut [u8]) -> VfsResult<usize> {
        let length = handle.image.content.length();
        let mut filled = 0;
        while filled < data.len() {
            let at = offset as u64 + filled as u64;
            if at >= length {
                break;
            }
            let stretch = handle.stretch(at).ok_or(vars::SQLITE_IOERR_READ)?;
            let bytes = &stretch.bytes[(at - stretch.start) as usize..];
            let now = bytes.len().min(data.len() - filled);
            data[filled..filled + now].copy_from_slice(&bytes[..now]);
            filled += now;
        }
        Ok(filled)
    }

    fn lock(&self, _: &mut OpenImage, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn unlock(&self, _: &mut OpenImage, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn check_reserved_lock(&self, _: &mut OpenImage) -> VfsResult<bool> {
        Ok(false)
    }

    fn close(&self, handle: OpenImage) -> VfsResult<()> {
        drop(handle);
        Ok(())
    }

    fn device_characteristics(&self, _: &mut OpenImage) -> VfsResult<i32> {
        Ok(vars::SQLITE_IOCAP_IMMUTABLE)
    }
}
