//! What a failed store call says: to the user, and to the retry in between.

use crate::store::key::{InvalidObjectKey, ObjectKey};
use std::fmt;

/// What a failed call means to the caller: used for retries and exit codes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object (or no repository directory).
    NotFound,
    /// The place itself, a bucket, is not there.
    NoStore,
    /// No right to do this.
    PermissionDenied,
    /// No space, quota or inodes left.
    Full,
    /// May succeed when tried again: a timeout, a reset, an interrupted call.
    Transient,
    /// The object is larger than the caller allows, or shorter than the range asked for.
    BadLength,
    /// The store cannot or will not do this now: a certificate that is not trusted, another region,
    /// an object in cold storage. Says nothing about the object.
    Unavailable,
    /// Anything else; trying again will not help.
    Permanent,
}

/// A failed store call: what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object} in {location}")]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// The call, as a verb: `read`, `write`, `delete`, `list`, `make durable`, `open`.
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
    /// An error of kind `kind` from trying to `operation` the `object` in `location`.
    pub fn new(
        kind: StoreErrorKind,
        operation: &'static str,
        object: impl fmt::Display,
        location: String,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            operation,
            object: object.to_string(),
            location,
            source: source.into(),
        }
    }

    /// The same, with what the user can do about it, where the store knows better than the kind
    /// tells.
    pub fn with_remedy(self, remedy: String) -> Self {
        let cause = self.source;
        Self {
            source: Box::new(Remedied { cause, remedy }),
            ..self
        }
    }

    /// What the user can do about it, where the store knows.
    pub fn remedy(&self) -> Option<&str> {
        let known = self.source.downcast_ref::<Remedied>();
        known.map(|known| known.remedy.as_str())
    }

    /// Whether it says that the object is bad, rather than that the store could not answer.
    pub fn blames_object(&self) -> bool {
        use StoreErrorKind::{BadLength, NotFound, Permanent};
        matches!(self.kind, BadLength | NotFound | Permanent)
    }

    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

/// A cause and what can be done about it. Not a field of every error: few know, and errors travel
/// in every result.
#[derive(Debug)]
struct Remedied {
    cause: Box<dyn std::error::Error + Send + Sync>,
    remedy: String,
}

impl fmt::Display for Remedied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Remedied {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// Result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// Causes that are about the object itself and the same in every store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Nothing is stored under the key.
    #[error("there is no such object")]
    Missing,
    /// The object exceeds what the caller is willing to hold.
    #[error("it has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Size found, bytes.
        size: u64,
        /// The caller's limit, bytes.
        limit: usize,
    },
    /// The range asked for ends behind the object.
    #[error("it has {size} bytes, too few to read {length} at offset {offset}")]
    TooShort {
        /// Size found, bytes.
        size: u64,
        /// Start of the range, bytes.
        offset: u64,
        /// Length of the range, bytes.
        length: usize,
    },
    /// A listing was asked for a prefix that no key can have, such as `packs/`: an answer of
    /// "nothing" would hide the mistake.
    #[error(transparent)]
    Prefix(#[from] InvalidObjectKey),
}

impl ObjectError {
    /// The kind of the [`StoreError`] this is the cause of.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Missing => StoreErrorKind::NotFound,
            Self::TooLarge { .. } | Self::TooShort { .. } => StoreErrorKind::BadLength,
            Self::Prefix(_) => StoreErrorKind::Permanent,
        }
    }

    /// The [`StoreError`] of a call that failed for this cause.
    pub fn in_call(
        self,
        operation: &'static str,
        object: impl fmt::Display,
        location: String,
    ) -> StoreError {
        StoreError::new(self.kind(), operation, object, location, self)
    }

    /// Fails unless an object of `size` bytes may be read whole under `limit`.
    pub fn check_limit(size: u64, limit: usize) -> Result<(), Self> {
        if usize::try_from(size).is_ok_and(|size| size <= limit) {
            Ok(())
        } else {
            Err(Self::TooLarge { size, limit })
        }
    }

    /// Fails unless an object of `size` bytes has `length` bytes at `offset`.
    pub fn check_range(size: u64, offset: u64, length: usize) -> Result<(), Self> {
        let end = u64::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length));
        match end {
            Some(end) if end <= size => Ok(()),
            _ => Err(Self::TooShort {
                size,
                offset,
                length,
            }),
        }
    }

    /// Fails unless `prefix` is empty or could be a key itself.
    pub fn check_prefix(prefix: &str) -> Result<(), Self> {
        if !prefix.is_empty() {
            ObjectKey::new(prefix)?;
        }
        Ok(())
    }
}
