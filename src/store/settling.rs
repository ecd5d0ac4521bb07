//! Waiting until a store that lags shows what it has acknowledged.

use crate::store::forward::forward;
use crate::store::{ObjectKey, Pacing, Store, StoreError, StoreErrorKind, StoreResult};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Keeps the promise of [`Store::barrier`], that puts are listed, over a store whose listings lag:
/// a barrier after puts waits for as long as that may take.
#[derive(Debug)]
pub struct SettlingStore<S> {
    inner: S,
    settle: Duration,
    pacing: Pacing,
    puts: AtomicU64,
    /// Of these puts it was waited for.
    settled: AtomicU64,
}

impl<S: Store> SettlingStore<S> {
    /// Wraps `inner`, which shows everything `settle` after it was acknowledged.
    pub fn new(inner: S, settle: Duration, pacing: Pacing) -> Self {
        Self {
            inner,
            settle,
            pacing,
            puts: AtomicU64::new(0),
            settled: AtomicU64::new(0),
        }
    }
}

impl<S: Store> Store for SettlingStore<S> {
    forward!(inner: location, get, get_range, stat, delete, list, sweep);

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let result = self.inner.put(key, bytes);
        // After the put: a barrier that counted it before would wait too little for it.
        self.puts.fetch_add(1, Ordering::SeqCst);
        result
    }

    fn barrier(&self) -> StoreResult<()> {
        self.inner.barrier()?;
        let puts = self.puts.load(Ordering::SeqCst);
        // One of several barriers at once must not go through because another has begun to wait.
        if self.settled.load(Ordering::SeqCst) < puts {
            self.pacing.pause(self.settle).map_err(|interrupted| {
                StoreError::new(
                    StoreErrorKind::Transient,
                    "make durable",
                    "the store",
                    self.inner.location(),
                    interrupted,
                )
            })?;
            self.settled.fetch_max(puts, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::env::Clock;
    use crate::monitor::Cancel;
    use crate::store::fault::LaggingStore;
    use crate::store::{
        ManualTime, MemoryStore, ObjectKey, SettlingStore, Store, StoreExt, contract,
    };
    use std::time::Duration;

    const LAG: Duration = Duration::from_secs(5);

    fn settling(time: &ManualTime) -> SettlingStore<LaggingStore<MemoryStore>> {
        let lagging = LaggingStore::new(MemoryStore::new(), LAG, time.clone());
        SettlingStore::new(lagging, LAG, time.pacing(Cancel::default()))
    }

    #[test]
    fn keeps_the_contract_of_what_does_not_lag() {
        contract::run(&mut || {
            let pacing = ManualTime::default().pacing(Cancel::default());
            Box::new(SettlingStore::new(MemoryStore::new(), LAG, pacing))
        });
    }

    #[test]
    fn a_barrier_waits_for_the_puts_before_it_and_for_nothing_else() {
        let time = ManualTime::default();
        let store = settling(&time);
        let key = ObjectKey::new("gc/a.fence").unwrap();
        store.barrier().unwrap();
        assert_eq!(time.now().seconds(), 0);
        store.put(&key, b"x").unwrap();
        assert!(store.list_all("gc").unwrap().is_empty(), "it lags");
        assert!(!store.exists(&key).unwrap());
        store.barrier().unwrap();
        assert_eq!(store.list_all("gc").unwrap().len(), 1);
        assert!(store.exists(&key).unwrap());
        assert_eq!(time.now().seconds(), 5);
        store.delete(&key).unwrap();
        store.barrier().unwrap();
        assert_eq!(time.now().seconds(), 5);
    }

    #[test]
    fn a_stop_ends_the_wait_as_an_error() {
        let time = ManualTime::default();
        let cancel = Cancel::default();
        let store = SettlingStore::new(MemoryStore::new(), LAG, time.pacing(cancel.clone()));
        store.put(&ObjectKey::new("a").unwrap(), b"").unwrap();
        cancel.cancel();
        store.barrier().unwrap_err();
        assert_eq!(time.now().seconds(), 0);
    }
}
