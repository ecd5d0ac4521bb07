//! Trying again what may succeed the second time.
//!
//! Every call of [`Store`] may be repeated: a put replaces, a delete of nothing succeeds, reads
//! change nothing. Only [`StoreErrorKind::Transient`] is worth it.

use crate::env::{Entropy, Timestamp};
use crate::monitor::Monitor;
use crate::store::{ObjectInfo, ObjectKey, Pacing, Store, StoreErrorKind, StoreResult, Swept};
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How long to go on trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts of one call, the first included.
    pub attempts_max: u32,
    /// Wait after the first failure; doubled after each further one.
    pub delay_first: Duration,
    /// Longest single wait.
    pub delay_max: Duration,
    /// No wait begins that would end later than this after the call began.
    pub total_max: Duration,
}

impl Default for RetryPolicy {
    /// Rides out a restart of a server or a router: twelve attempts over at most five minutes.
    fn default() -> Self {
        Self {
            attempts_max: 12,
            delay_first: Duration::from_millis(250),
            delay_max: Duration::from_secs(30),
            total_max: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// The wait after failure number `failures` (from 1) before jitter; `None` to give up.
    fn delay(&self, failures: u32) -> Option<Duration> {
        let factor = 1u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        (failures < self.attempts_max)
            .then(|| self.delay_first.saturating_mul(factor).min(self.delay_max))
    }
}

/// How calls are repeated that failed with a transient error.
pub struct Retrier {
    policy: RetryPolicy,
    pacing: Pacing,
    entropy: Arc<dyn Entropy>,
    monitor: Arc<dyn Monitor>,
}

impl Retrier {
    /// `entropy` spreads the waits, so that many clients of a server that comes back do not come
    /// back together; `monitor` is warned before every wait.
    pub fn new(
        policy: RetryPolicy,
        pacing: Pacing,
        entropy: Arc<dyn Entropy>,
        monitor: Arc<dyn Monitor>,
    ) -> Self {
        Self {
            policy,
            pacing,
            entropy,
            monitor,
        }
    }

    /// Between half of `delay` and all of it. Without entropy all of it: a wait needs no secret.
    fn with_jitter(&self, delay: Duration) -> Duration {
        let half = delay / 2;
        match self.entropy.array::<4>() {
            Ok(bytes) => {
                let share = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
                half + half.mul_f64(share)
            }
            Err(_) => delay,
        }
    }

    /// Calls until it works, fails for good, or was tried often and long enough.
    pub(in crate::store) fn attempt<T>(
        &self,
        mut call: impl FnMut() -> StoreResult<T>,
    ) -> StoreResult<T> {
        let start = self.pacing.clock.now();
        let mut failures = 0;
        loop {
            let error = match call() {
                Err(error) if error.kind == StoreErrorKind::Transient => error,
                outcome => return outcome,
            };
            failures += 1;
            let Some(delay) = self.policy.delay(failures) else {
                return Err(error);
            };
            let delay = self.with_jitter(delay);
            if self.pacing.since(start).saturating_add(delay) > self.policy.total_max {
                return Err(error);
            }
            self.monitor.warn(&format!(
                "{error}: {}; trying again in {:.1} s (attempt {} of {})",
                error.source,
                delay.as_secs_f64(),
                failures + 1,
                self.policy.attempts_max
            ));
            if self.pacing.pause(delay).is_err() {
                return Err(error);
            }
        }
    }
}

impl fmt::Debug for Retrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrier")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Repeats calls that failed with a transient error.
#[derive(Debug)]
pub struct RetryStore<S> {
    inner: S,
    retry: Arc<Retrier>,
}

impl<S: Store> RetryStore<S> {
    /// Wraps `inner`.
    pub fn new(inner: S, retry: Arc<Retrier>) -> Self {
        Self { inner, retry }
    }
}

/// Stands for a key in the set of those already shown: 16 bytes instead of up to 200, and no two
/// keys can be made to share one.
fn fingerprint(key: &ObjectKey) -> [u8; 16] {
    let hash = blake3::hash(key.as_str().as_bytes());
    std::array::from_fn(|position| hash.as_bytes()[position])
}

impl<S: Store> Store for RetryStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.retry.attempt(|| self.inner.put(key, bytes))
    }

    fn barrier(&self) -> StoreResult<()> {
        self.retry.attempt(|| self.inner.barrier())
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.retry.attempt(|| self.inner.get(key, limit))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.retry
            .attempt(|| self.inner.get_range(key, offset, buffer))
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.retry.attempt(|| self.inner.stat(key))
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.retry.attempt(|| self.inner.delete(key))
    }

    /// A listing that broke off starts anew; what was shown before is not shown again.
    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let mut shown = HashSet::new();
        self.retry.attempt(|| {
            let mut stopped = false;
            let result = self.inner.list(prefix, &mut |info| {
                if !shown.insert(fingerprint(&info.key)) {
                    return ControlFlow::Continue(());
                }
                let flow = visit(info);
                stopped = flow.is_break();
                flow
            });
            if stopped { Ok(()) } else { result }
        })
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.retry.attempt(|| self.inner.sweep(before))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::env::Clock;
    use crate::env::{Entropy, EntropyError};
    use crate::monitor::{Cancel, Silent};
    use crate::store::fault::{FailingStore, Fault, Timing};
    use crate::store::{
        CallKind, ManualTime, MemoryStore, ObjectKey, RecordingStore, Retrier, RetryPolicy,
        RetryStore, Store, StoreErrorKind, StoreExt, contract,
    };
    use std::sync::Arc;
    use std::time::Duration;

    #[derive(Debug)]
    struct Constant(u8);

    impl Entropy for Constant {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            buffer.fill(self.0);
            Ok(())
        }
    }

    fn retrying<S: Store>(inner: S, time: &ManualTime, jitter: u8) -> RetryStore<S> {
        RetryStore::new(
            inner,
            Arc::new(Retrier::new(
                RetryPolicy::default(),
                time.pacing(Cancel::default()),
                Arc::new(Constant(jitter)),
                Arc::new(Silent),
            )),
        )
    }

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn keeps_the_contract_over_a_flaky_store() {
        for timing in [Timing::Before, Timing::After] {
            contract::run(&mut || {
                let flaky = Fault::every(3, StoreErrorKind::Transient, timing);
                let inner = FailingStore::new(MemoryStore::new(), vec![flaky]);
                Box::new(retrying(inner, &ManualTime::default(), 0))
            });
        }
    }

    #[test]
    fn waits_double_with_jitter_and_end() {
        for (jitter, expected_milliseconds) in [(0xff, 152_000 - 250), (0x00, (152_000 - 250) / 2)]
        {
            let time = ManualTime::default();
            let always = Fault::every(1, StoreErrorKind::Transient, Timing::Before);
            let inner =
                RecordingStore::recording(FailingStore::new(MemoryStore::new(), vec![always]));
            let traffic = inner.traffic();
            let store = retrying(inner, &time, jitter);
            assert_eq!(
                store.put(&key("a"), b"").unwrap_err().kind,
                StoreErrorKind::Transient
            );
            assert_eq!(traffic.total(CallKind::Put).requests, 12);
            assert_eq!(time.now().0 / 1_000_000, expected_milliseconds);
        }
    }

    #[test]
    fn total_time_is_bounded() {
        let time = ManualTime::default();
        let always = Fault::every(1, StoreErrorKind::Transient, Timing::Before);
        let store = RetryStore::new(
            FailingStore::new(MemoryStore::new(), vec![always]),
            Arc::new(Retrier::new(
                RetryPolicy {
                    total_max: Duration::from_secs(2),
                    ..RetryPolicy::default()
                },
                time.pacing(Cancel::default()),
                Arc::new(Constant(0xff)),
                Arc::new(Silent),
            )),
        );
        store.barrier().unwrap_err();
        assert!(time.now().seconds() < 2);
    }

    #[test]
    fn other_errors_are_final() {
        for kind in [
            StoreErrorKind::NotFound,
            StoreErrorKind::PermissionDenied,
            StoreErrorKind::Full,
            StoreErrorKind::BadLength,
            StoreErrorKind::Permanent,
        ] {
            let time = ManualTime::default();
            let once = Fault::nth(1, CallKind::Put, kind, Timing::Before);
            let store = retrying(FailingStore::new(MemoryStore::new(), vec![once]), &time, 0);
            assert_eq!(store.put(&key("a"), b"").unwrap_err().kind, kind);
            assert_eq!(time.now().0, 0);
        }
    }

    #[test]
    fn a_cancelled_wait_gives_the_error_at_once() {
        let time = ManualTime::default();
        let cancel = Cancel::default();
        cancel.cancel();
        let always = Fault::every(1, StoreErrorKind::Transient, Timing::Before);
        let store = RetryStore::new(
            FailingStore::new(MemoryStore::new(), vec![always]),
            Arc::new(Retrier::new(
                RetryPolicy::default(),
                time.pacing(cancel),
                Arc::new(Constant(0)),
                Arc::new(Silent),
            )),
        );
        store.barrier().unwrap_err();
        assert_eq!(time.now().0, 0);
    }

    #[test]
    fn a_repeated_list_shows_nothing_twice() {
        let memory = MemoryStore::new();
        for number in 0..20 {
            memory.put(&key(&format!("a/{number}")), b"").unwrap();
        }
        let late = Fault::nth(1, CallKind::List, StoreErrorKind::Transient, Timing::After);
        let store = retrying(
            FailingStore::new(memory, vec![late]),
            &ManualTime::default(),
            0,
        );
        assert_eq!(store.list_all("a").unwrap().len(), 20);
    }
}
