//! Keeping a store from using all of the line.

use crate::env::Timestamp;
use crate::store::forward::forward;
use crate::store::{ObjectKey, Pacing, Store, StoreResult, lock};
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

/// Bytes per second of object content; `None` for no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// For puts.
    pub upload: Option<NonZeroU64>,
    /// For reads, whole and ranged.
    pub download: Option<NonZeroU64>,
}

/// Holds the average rate of puts and reads below a bound. An object is not cut up: it passes at
/// the speed of the store, and the next one waits until the average is right again.
#[derive(Debug)]
pub struct ThrottledStore<S> {
    inner: S,
    upload: Option<Bucket>,
    download: Option<Bucket>,
    pacing: Pacing,
}

impl<S: Store> ThrottledStore<S> {
    /// Wraps `inner`. Once `pacing` is cancelled calls pass without waiting: the caller is about
    /// to stop.
    pub fn new(inner: S, rates: Rates, pacing: Pacing) -> Self {
        let bucket = |rate: NonZeroU64| Bucket::new(rate, pacing.clock.now());
        Self {
            upload: rates.upload.map(bucket),
            download: rates.download.map(bucket),
            inner,
            pacing,
        }
    }

    /// Waits until earlier traffic is paid for, and takes `bytes` on credit.
    fn take(&self, bucket: Option<&Bucket>, bytes: usize) {
        if let Some(bucket) = bucket {
            let wait = bucket.take(bytes, self.pacing.clock.now());
            // Interrupted means only that the wait was cut short, as promised above.
            let _cut_short = self.pacing.pause(wait);
        }
    }
}

impl<S: Store> Store for ThrottledStore<S> {
    forward!(inner: location, barrier, stat, delete, list, sweep);

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.take(self.upload.as_ref(), bytes.len());
        self.inner.put(key, bytes)
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.take(self.download.as_ref(), 0);
        let bytes = self.inner.get(key, limit)?;
        if let Some(bucket) = &self.download {
            // The size is known only now: the next read waits for it.
            bucket.take(bytes.len(), self.pacing.clock.now());
        }
        Ok(bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.take(self.download.as_ref(), buffer.len());
        self.inner.get_range(key, offset, buffer)
    }
}

const NANOSECONDS: i128 = 1_000_000_000;

/// A token bucket that may be overdrawn.
#[derive(Debug)]
struct Bucket {
    rate: NonZeroU64,
    account: Mutex<Account>,
}

/// In billionths of a byte, so that a rate times nanoseconds is exact.
#[derive(Debug)]
struct Account {
    balance: i128,
    counted_until: Timestamp,
}

impl Bucket {
    fn new(rate: NonZeroU64, now: Timestamp) -> Self {
        Self {
            rate,
            account: Mutex::new(Account {
                balance: 0,
                counted_until: now,
            }),
        }
    }

    /// Takes `bytes` and says how long to wait for what was taken before them. An idle second
    /// can be saved up, no more, so a clock that jumps ahead opens no flood.
    fn take(&self, bytes: usize, now: Timestamp) -> Duration {
        let rate = i128::from(self.rate.get());
        let mut account = lock(&self.account);
        let elapsed = now.0.saturating_sub(account.counted_until.0).max(0);
        account.counted_until = now;
        account.balance = (account.balance + rate * i128::from(elapsed)).min(rate * NANOSECONDS);
        let debt = (-account.balance).max(0);
        account.balance -= bytes as i128 * NANOSECONDS;
        Duration::from_nanos(u64::try_from((debt + rate - 1) / rate).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::env::Clock;
    use crate::monitor::Cancel;
    use crate::store::{
        ManualTime, MemoryStore, ObjectKey, Rates, Store, ThrottledStore, contract,
    };
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn throttled(time: &ManualTime, upload: u64, download: u64) -> ThrottledStore<MemoryStore> {
        let rates = Rates {
            upload: NonZeroU64::new(upload),
            download: NonZeroU64::new(download),
        };
        ThrottledStore::new(MemoryStore::new(), rates, time.pacing(Cancel::default()))
    }

    #[test]
    fn keeps_the_contract() {
        contract::run(&mut || Box::new(throttled(&ManualTime::default(), 0, 0)));
        contract::run(&mut || Box::new(throttled(&ManualTime::default(), 1000, 1000)));
    }

    #[test]
    fn the_average_holds() {
        let time = ManualTime::default();
        let store = throttled(&time, 1000, 500);
        let key = ObjectKey::new("a").unwrap();
        for _ in 0..11 {
            store.put(&key, &[0; 2000]).unwrap();
        }
        assert_eq!(
            time.now().seconds(),
            20,
            "ten objects of 2 s each are paid for"
        );

        let before = time.now().seconds();
        store.get(&key, 2000).unwrap();
        store.get_range(&key, 0, &mut [0; 1000]).unwrap();
        store.get(&key, 2000).unwrap();
        assert_eq!(
            time.now().seconds() - before,
            5,
            "a saved second, then 3000 bytes at 500/s"
        );
    }

    #[test]
    fn idle_time_and_clock_jumps_save_one_second_at_most() {
        let time = ManualTime::default();
        let store = throttled(&time, 1000, 0);
        let key = ObjectKey::new("a").unwrap();
        time.advance(Duration::from_secs(1_000_000));
        let before = time.now();
        store.put(&key, &[0; 3000]).unwrap();
        store.put(&key, &[]).unwrap();
        assert_eq!(time.now().0 - before.0, 2_000_000_000);
    }

    #[test]
    fn cancelled_calls_do_not_wait() {
        let time = ManualTime::default();
        let cancel = Cancel::default();
        let rates = Rates {
            upload: NonZeroU64::new(1),
            download: None,
        };
        let store = ThrottledStore::new(MemoryStore::new(), rates, time.pacing(cancel.clone()));
        let key = ObjectKey::new("a").unwrap();
        store.put(&key, &[0; 1000]).unwrap();
        cancel.cancel();
        store.put(&key, &[0; 1000]).unwrap();
        assert_eq!(time.now().0, 0);
    }
}
