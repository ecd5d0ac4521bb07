//! What only buckets can do with an object, tried again as every call of a store is.

use crate::env::Timestamp;
use crate::store::s3::S3Store;
use crate::store::s3::tier::{Classed, Speed, Thawing};
use crate::store::{Custody, Held, Lock, ObjectKey, Retrier, StoreResult};
use std::sync::Arc;

/// A bucket beyond what every store can do.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<S3Store>,
    retry: Arc<Retrier>,
}

impl Bucket {
    /// Of this store.
    pub fn new(store: Arc<S3Store>, retry: Arc<Retrier>) -> Self {
        Self { store, retry }
    }

    /// The store, whose calls are tried once.
    pub fn store(&self) -> &Arc<S3Store> {
        &self.store
    }

    /// What lies under a prefix, with its storage class.
    pub fn classes(&self, prefix: &str) -> StoreResult<Vec<Classed>> {
        self.retry.attempt(|| self.store.classes(prefix))
    }

    /// Moves an object to another storage class; a lock goes along. Where the bucket keeps versions,
    /// the one in the old class goes, as far as a lock and the credentials allow.
    pub fn change_class(&self, key: &ObjectKey, class: &str) -> StoreResult<()> {
        // One by one: repeated as a whole, the version to end would be the copy.
        let before = self.retry.attempt(|| self.store.version_now(key))?;
        self.retry
            .attempt(|| self.store.copy_to_class(key, class))?;
        match before {
            Some(before) => self.retry.attempt(|| self.store.end_moved(key, &before)),
            None => Ok(()),
        }
    }

    /// Whether a frozen object can be read by now.
    pub fn thawing(&self, key: &ObjectKey) -> StoreResult<Thawing> {
        self.retry.attempt(|| self.store.thawing(key))
    }

    /// Asks for a frozen object, to be readable for so many days.
    pub fn thaw(&self, key: &ObjectKey, speed: Speed, days: u16) -> StoreResult<()> {
        self.retry.attempt(|| self.store.thaw(key, speed, days))
    }
}

impl Custody for Bucket {
    fn lock(&self) -> Option<Lock> {
        self.store.lock()
    }

    fn held(&self, key: &ObjectKey) -> StoreResult<Option<Held>> {
        self.retry.attempt(|| self.store.held(key))
    }

    fn hold(&self, key: &ObjectKey, until: Timestamp) -> StoreResult<()> {
        self.retry.attempt(|| self.store.hold(key, until))
    }
}
