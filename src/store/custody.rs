//! What some stores can do with an object besides keeping it: hold it fast so that nobody can
//! delete it, and put it where it costs less and cannot be read at once.

use crate::env::Timestamp;
use crate::store::{ObjectKey, StoreResult};
use std::fmt;
use std::time::Duration;

/// How objects are held fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Who can lift it.
    pub mode: LockMode,
    /// How long an object is locked when it is written or its lock is extended. At most
    /// [`LOCK_MAX`].
    pub keep: Duration,
}

/// The longest lock that can be asked for: nobody can take back a mistake.
pub const LOCK_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// The shortest one: below it a maintenance that fails once leaves nothing locked.
pub const LOCK_MIN: Duration = Duration::from_secs(24 * 60 * 60);

impl Lock {
    /// What is left of a lock when it is extended: three quarters. So nothing that is needed is ever
    /// locked for less than that, less the time between two prunes, and an object is touched a few
    /// times in `keep`, not daily.
    pub fn floor(&self) -> Duration {
        self.keep / 4 * 3
    }
}

/// Who can lift a lock before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody.
    Compliance,
    /// Whoever has the right for it.
    Governance,
}

impl LockMode {
    /// Its name in configurations and locations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compliance => "compliance",
            Self::Governance => "governance",
        }
    }
}

/// A lock that an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Who can lift it.
    pub mode: LockMode,
    /// Until when.
    pub until: Timestamp,
}

/// A store that can hold objects fast.
pub trait Custody: Send + Sync + fmt::Debug {
    /// How new objects are locked; `None`: they are not.
    fn lock(&self) -> Option<Lock>;

    /// The lock of an object; `None`: it has none. An object that is not there is an error.
    fn held(&self, key: &ObjectKey) -> StoreResult<Option<Held>>;

    /// Locks an object until `until`, or longer if it is locked longer.
    fn hold(&self, key: &ObjectKey, until: Timestamp) -> StoreResult<()>;
}
