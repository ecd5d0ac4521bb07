//! Where objects live: a directory now, an S3 bucket next.
//!
//! A store knows keys and bytes. It cannot name a blob, a snapshot or a key of any cipher. What it
//! must give, and no more (`format-spec/13-media.md`): atomic PUT, GET and DELETE of one key, and a
//! LIST that shows every object whose PUT was acknowledged before it began and that is not deleted.

use std::fmt;
use std::ops::ControlFlow;

/// The name of an object: slash-separated parts of `[a-z0-9.-]`, no part empty or starting with a
/// dot, at most 200 bytes in all. Being valid by type, it can never leave a store's root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A text that is no [`ObjectKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an object key")]
pub struct InvalidObjectKey(pub String);

impl ObjectKey {
    /// Checks and wraps.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidObjectKey> {
        let text = text.into();
        let part_ok = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        };
        if text.len() <= 200 && text.split('/').all(part_ok) {
            Ok(Self(text))
        } else {
            Err(InvalidObjectKey(text.chars().take(200).collect()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Which object.
    pub key: ObjectKey,
    /// Its size, bytes.
    pub size: u64,
    /// When the store took it, by the store's own clock, where it tells.
    pub modified: Option<crate::env::Timestamp>,
}

/// What a failed call means to the caller: used for retries and exit codes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object (or no repository directory).
    NotFound,
    /// No right to do this.
    PermissionDenied,
    /// No space, quota or inodes left.
    Full,
    /// May succeed when tried again: a timeout, a reset, an interrupted call.
    Transient,
    /// The object is larger than the caller allows, or shorter than the range asked for.
    BadLength,
    /// Anything else; trying again will not help.
    Permanent,
}

/// A failed store call: what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object} in {location}")]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// The call, as a verb: `read`, `write`, `delete`, `list`, `make durable`.
    pub operation: &'static str,
    /// The key or prefix.
    pub object: String,
    /// The store's location, without secrets.
    pub location: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

/// Result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// A place for objects. Wrappers (retry, throttle, fault) implement it by forwarding every method:
/// there are no default methods to forget.
pub trait Store: Send + Sync + fmt::Debug {
    /// Where this is, for messages: never a secret.
    fn location(&self) -> String;

    /// Stores `bytes` under `key`, atomically: a reader sees all of them or no object. An object
    /// that is there already is replaced. Durable only after the next [`Store::barrier`].
    /// After an error the object may still appear later, whole, once or twice.
    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()>;

    /// Makes every put that returned before this call durable and visible to LIST.
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
    /// valid keys (temporary ones included) are passed over.
    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()>;
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
