//! Listings that are late.

use crate::env::{Clock, Timestamp};
use crate::store::forward::forward;
use crate::store::{ManualTime, ObjectError, ObjectInfo, ObjectKey, Store, StoreResult, lock};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

/// Shows an object to LIST, GET and HEAD only some time after its put was acknowledged.
#[derive(Debug)]
pub struct LaggingStore<S> {
    inner: S,
    lag: Duration,
    time: ManualTime,
    acknowledged: Mutex<HashMap<ObjectKey, Timestamp>>,
}

impl<S: Store> LaggingStore<S> {
    /// Late by `lag` of `time`.
    pub fn new(inner: S, lag: Duration, time: ManualTime) -> Self {
        Self {
            inner,
            lag,
            time,
            acknowledged: Mutex::default(),
        }
    }

    fn shows(&self, key: &ObjectKey) -> bool {
        let now = self.time.now();
        let acknowledged = lock(&self.acknowledged).get(key).copied();
        acknowledged
            .is_none_or(|since| u128::try_from(now.0 - since.0).unwrap_or(0) >= self.lag.as_nanos())
    }

    fn shown(&self, key: &ObjectKey) -> StoreResult<&S> {
        match self.shows(key) {
            true => Ok(&self.inner),
            false => Err(ObjectError::Missing.in_call("read", key, self.location())),
        }
    }
}

impl<S: Store> Store for LaggingStore<S> {
    forward!(inner: location, barrier, delete, sweep);

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.inner.put(key, bytes)?;
        lock(&self.acknowledged).insert(key.clone(), self.time.now());
        Ok(())
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.shown(key)?.get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.shown(key)?.get_range(key, offset, buffer)
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.shown(key)?.stat(key)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.inner
            .list(prefix, &mut |info| match self.shows(&info.key) {
                true => visit(info),
                false => ControlFlow::Continue(()),
            })
    }
}
