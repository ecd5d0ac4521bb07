//! Object Lock: objects that nobody can delete for a time.

use crate::env::{Clock, SystemClock, Timestamp};
use crate::store::custody::{Custody, Held, Lock, LockMode};
use crate::store::s3::error::Failure;
use crate::store::s3::{S3Store, timestamp};
use crate::store::{ObjectKey, StoreErrorKind, StoreResult, is_under};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};

impl S3Store {
    /// The lock that an object gets when it is written.
    pub(super) fn lock_of_new(&self, key: &ObjectKey) -> Option<(ObjectLockMode, DateTime)> {
        let lock = self.location.lock?;
        let is_locked = |prefix: &String| is_under(key.as_str(), prefix);
        if !self.locked.iter().any(is_locked) {
            return None;
        }
        let mode = match lock.mode {
            LockMode::Compliance => ObjectLockMode::Compliance,
            LockMode::Governance => ObjectLockMode::Governance,
        };
        Some((mode, date(SystemClock.now().after(lock.keep))))
    }

    async fn ask_held(&self, key: &ObjectKey) -> Result<Option<Held>, Failure> {
        let request = self.client.head_object();
        let request = request.bucket(&self.location.bucket);
        let answer = request.key(self.path(key.as_str())).send().await;
        let answer = answer.map_err(Failure::of_request)?;
        let mode = match answer.object_lock_mode() {
            Some(ObjectLockMode::Compliance) => LockMode::Compliance,
            Some(_) => LockMode::Governance,
            None => return Ok(None),
        };
        let until = answer.object_lock_retain_until_date().and_then(timestamp);
        Ok(until.map(|until| Held { mode, until }))
    }

    async fn retain(&self, key: &ObjectKey, held: Held) -> Result<(), Failure> {
        let mode = match held.mode {
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
            LockMode::Governance => ObjectLockRetentionMode::Governance,
        };
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(date(held.until));
        let request = self.client.put_object_retention();
        let request = request.bucket(&self.location.bucket);
        let request = request.key(self.path(key.as_str()));
        let answer = request.retention(retention.build()).send().await;
        answer.map(drop).map_err(Failure::of_request)
    }
}

/// To the second, as stores keep it.
fn date(moment: Timestamp) -> DateTime {
    DateTime::from_secs(moment.seconds())
}

/// A refused lock, with what is probably missing.
pub(super) fn explained(failure: Failure) -> Failure {
    use StoreErrorKind::{PermissionDenied, Unavailable};
    match failure.kind {
        PermissionDenied | Unavailable => failure.remedy(
            "locks need a bucket made with Object Lock, and credentials with \
             s3:PutObjectRetention; icecore doctor shows how the bucket is set",
        ),
        _ => failure,
    }
}

impl Custody for S3Store {
    fn lock(&self) -> Option<Lock> {
        self.location.lock
    }

    fn held(&self, key: &ObjectKey) -> StoreResult<Option<Held>> {
        self.run(0, self.ask_held(key))
            .map_err(|failure| self.error("look at the lock of", key.as_str(), failure))
    }

    fn hold(&self, key: &ObjectKey, until: Timestamp) -> StoreResult<()> {
        let hold = || {
            let held = self.run(0, self.ask_held(key))?;
            if held.is_some_and(|held| held.until >= until) {
                return Ok(());
            }
            let lock = self.location.lock.map(|lock| lock.mode);
            let mode = held.map(|held| held.mode).or(lock);
            let mode = mode.unwrap_or(LockMode::Governance);
            self.run(0, self.retain(key, Held { mode, until }))
        };
        hold().map_err(|failure| self.error("lock", key.as_str(), explained(failure)))
    }
}
