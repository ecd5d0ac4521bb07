//! Latency.

use crate::env::{Sleeper, Timestamp};
use crate::store::{ObjectInfo, ObjectKey, Store, StoreResult, Swept};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Takes its time before every call.
pub struct SlowStore<S> {
    inner: S,
    latency: Duration,
    sleeper: Arc<dyn Sleeper>,
}

impl<S: Store> SlowStore<S> {
    /// Every call sleeps for `latency` first.
    pub fn new(inner: S, latency: Duration, sleeper: Arc<dyn Sleeper>) -> Self {
        Self {
            inner,
            latency,
            sleeper,
        }
    }

    fn late(&self) -> &S {
        self.sleeper.sleep(self.latency);
        &self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for SlowStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowStore")
            .field("inner", &self.inner)
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

impl<S: Store> Store for SlowStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.late().put(key, bytes)
    }

    fn barrier(&self) -> StoreResult<()> {
        self.late().barrier()
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.late().get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.late().get_range(key, offset, buffer)
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.late().stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.late().delete(key)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.late().list(prefix, visit)
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.late().sweep(before)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::env::Clock;
    use crate::store::fault::SlowStore;
    use crate::store::{ManualTime, MemoryStore, Store, contract};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn keeps_the_contract_and_takes_time() {
        let time = ManualTime::default();
        let mut make = || {
            let latency = Duration::from_secs(1);
            Box::new(SlowStore::new(
                MemoryStore::new(),
                latency,
                Arc::new(time.clone()),
            )) as Box<dyn Store>
        };
        contract::run(&mut make);
        let before = time.now().seconds();
        make().barrier().unwrap();
        assert_eq!(time.now().seconds() - before, 1);
    }
}
