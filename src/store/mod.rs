//! Where objects live: a directory, or a prefix of an S3 bucket.
//!
//! A store knows keys and bytes. It cannot name a blob, a snapshot or a key of any cipher. What it
//! must give, and no more (`format-spec/13-media.md`): atomic PUT, GET and DELETE of one key, and a
//! LIST that shows every object whose PUT was acknowledged before it began and that is not deleted.

mod custody;
mod error;
mod forward;
mod key;
mod local;
mod memory;
mod pacing;
mod probe;
mod recording;
mod retry;
mod s3;
mod settling;
mod spool;
mod throttle;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
#[cfg(any(test, feature = "testing"))]
pub mod fault;

pub use custody::{Custody, Held, LOCK_MAX, LOCK_MIN, Lock, LockMode};
pub use error::{ObjectError, StoreError, StoreErrorKind, StoreResult};
pub use key::{InvalidObjectKey, ObjectKey};
pub use local::LocalStore;
pub use memory::MemoryStore;
#[cfg(any(test, feature = "testing"))]
pub use pacing::ManualTime;
pub use pacing::Pacing;
pub use probe::{Observed, PROBE_PREFIX, Probed, observe, probe_rights};
pub use recording::{Call, CallKind, RecordingStore, Total, Traffic};
pub use retry::{Retrier, RetryPolicy, RetryStore};
pub use s3::{
    Addressing, AsOfStore, Bucket, BucketFacts, Classed, CreateNew, DefaultLock, Endpoint, Fact,
    Harm, Hazard, ObjectLock, Patience, Removal, Rules, S3Location, S3LocationError, S3Options,
    S3Store, Since, Speed, Thawing, Versioning,
};
pub use settling::SettlingStore;
pub use spool::{Leftover, SpoolFigures, SpoolOptions, SpoolStore};
pub use throttle::{Rates, ThrottledStore};

use crate::env::Timestamp;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Which object.
    pub key: ObjectKey,
    /// Its size, bytes.
    pub size: u64,
    /// When the store took it, by the store's own clock, where it tells.
    pub modified: Option<Timestamp>,
}

/// A place for objects. Wrappers (retry, throttle, fault) implement it by forwarding every method:
/// there are no default methods to forget.
pub trait Store: Send + Sync + fmt::Debug {
    /// Where this is, for messages: never a secret.
    fn location(&self) -> String;

    /// Stores `bytes` under `key`, atomically: a reader sees all of them or no object. An object
    /// that is there already is replaced. Durable only after the next [`Store::barrier`].
    /// After an error the object may still appear later, whole, once or twice.
    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()>;

    /// Makes every put and delete that returned before this call durable, and puts visible to LIST.
    fn barrier(&self) -> StoreResult<()>;

    /// Reads a whole object of at most `limit` bytes; a larger one is `BadLength` and is not read.
    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>>;

    /// Reads exactly `buffer.len()` bytes from `offset`; a shorter object is `BadLength`.
    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()>;

    /// Size and time of one object.
    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo>;

    /// Removes an object. Removing what is not there is success: a repeated call after a lost
    /// answer must not fail.
    fn delete(&self, key: &ObjectKey) -> StoreResult<()>;

    /// Calls `visit` for every object whose key is `prefix` itself or starts with `prefix/` (all
    /// of them for the empty prefix), in no order, until it breaks. Foreign files that are no
    /// valid keys (temporary ones included) are passed over. A prefix that could not be a key (one
    /// with a trailing slash) is an error, not an empty answer. `visit` may call the store.
    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()>;

    /// Removes what writers that crashed in a put left behind and no key names: hidden
    /// temporaries, unfinished uploads. Only what was last written before `before`, by the
    /// store's own clock: that must be longer ago than one put can take, or a slow writer's put
    /// fails (transiently: it is repeated, nothing is lost).
    fn sweep(&self, before: Timestamp) -> StoreResult<Swept>;
}

/// What [`Store::sweep`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leftovers.
    pub files: u64,
    /// Their sizes together, bytes, where the store tells.
    pub bytes: u64,
}

/// Conveniences over [`Store`], written once.
pub trait StoreExt: Store {
    /// Every object under `prefix`, sorted by key.
    fn list_all(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        let mut found = Vec::new();
        self.list(prefix, &mut |info| {
            found.push(info);
            ControlFlow::Continue(())
        })?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Whether the object is there.
    fn exists(&self, key: &ObjectKey) -> StoreResult<bool> {
        match self.stat(key) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// Whether `key` is listed under `prefix`: whole parts only, so `a/b` does not cover `a/bc`.
fn is_under(key: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || key
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A lock without the poison: what it guards here is valid after every single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
