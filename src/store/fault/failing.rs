//! Calls that fail on purpose.

use crate::env::Timestamp;
use crate::store::fault::InjectedFault;
use crate::store::{
    CallKind, ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, Swept,
    is_under,
};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a failing call has had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Nothing happened.
    Before,
    /// It happened, and only the answer was lost.
    After,
}

/// Which calls fail, and how. Of several faults the first that is due is taken.
#[derive(Debug)]
pub struct Fault {
    call: Option<CallKind>,
    prefix: String,
    first: u64,
    period: Option<u64>,
    kind: StoreErrorKind,
    timing: Timing,
    seen: AtomicU64,
}

impl Fault {
    /// Call number `number` (from 1) of the kind `call` fails.
    pub fn nth(number: u64, call: CallKind, kind: StoreErrorKind, timing: Timing) -> Self {
        Self {
            call: Some(call),
            prefix: String::new(),
            first: number,
            period: None,
            kind,
            timing,
            seen: AtomicU64::new(0),
        }
    }

    /// Of all calls, every one whose number is a multiple of `period` fails.
    pub fn every(period: u64, kind: StoreErrorKind, timing: Timing) -> Self {
        Self {
            call: None,
            prefix: String::new(),
            first: period,
            period: Some(period),
            kind,
            timing,
            seen: AtomicU64::new(0),
        }
    }

    /// Counts, and fails, only calls of one kind.
    pub fn only(mut self, call: CallKind) -> Self {
        self.call = Some(call);
        self
    }

    /// Counts, and fails, only calls with keys or prefixes under `prefix`.
    pub fn under(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    fn is_due(&self, call: CallKind, key: &str) -> bool {
        if self.call.is_some_and(|only| only != call) || !is_under(key, &self.prefix) {
            return false;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        match self.period {
            Some(period) => number >= self.first && (number - self.first).is_multiple_of(period),
            None => number == self.first,
        }
    }
}

/// Fails the calls that its faults name.
#[derive(Debug)]
pub struct FailingStore<S> {
    inner: S,
    faults: Vec<Fault>,
}

impl<S: Store> FailingStore<S> {
    /// Wraps `inner`; without faults it never fails.
    pub fn new(inner: S, faults: Vec<Fault>) -> Self {
        Self { inner, faults }
    }

    fn run<T>(
        &self,
        call: CallKind,
        operation: &'static str,
        key: &str,
        effect: impl FnOnce() -> StoreResult<T>,
    ) -> StoreResult<T> {
        // Every fault counts every call, also behind one that is due.
        let mut due = self.faults.iter().filter(|fault| fault.is_due(call, key));
        let fault = due.next();
        due.for_each(drop);
        let Some(fault) = fault else {
            return effect();
        };
        if fault.timing == Timing::After {
            effect()?;
        }
        let cause = InjectedFault("the call fails");
        Err(StoreError::new(
            fault.kind,
            operation,
            key,
            self.inner.location(),
            cause,
        ))
    }
}

impl<S: Store> Store for FailingStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.run(CallKind::Put, "write", key.as_str(), || {
            self.inner.put(key, bytes)
        })
    }

    fn barrier(&self) -> StoreResult<()> {
        self.run(CallKind::Barrier, "make durable", "", || {
            self.inner.barrier()
        })
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.run(CallKind::Get, "read", key.as_str(), || {
            self.inner.get(key, limit)
        })
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.run(CallKind::GetRange, "read", key.as_str(), || {
            self.inner.get_range(key, offset, buffer)
        })
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.run(CallKind::Stat, "look at", key.as_str(), || {
            self.inner.stat(key)
        })
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.run(CallKind::Delete, "delete", key.as_str(), || {
            self.inner.delete(key)
        })
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.run(CallKind::List, "list", prefix, || {
            self.inner.list(prefix, visit)
        })
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.run(CallKind::Sweep, "sweep", "", || self.inner.sweep(before))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::fault::{FailingStore, Fault, Timing};
    use crate::store::{
        CallKind, MemoryStore, ObjectKey, Store, StoreErrorKind, StoreExt, contract,
    };

    #[test]
    fn keeps_the_contract_without_faults() {
        contract::run(&mut || Box::new(FailingStore::new(MemoryStore::new(), Vec::new())));
    }

    #[test]
    fn the_nth_matching_call_fails_with_or_without_effect() {
        for (timing, effect) in [(Timing::Before, false), (Timing::After, true)] {
            let fault =
                Fault::nth(2, CallKind::Put, StoreErrorKind::Permanent, timing).under("packs");
            let store = FailingStore::new(MemoryStore::new(), vec![fault]);
            let key = |text: &str| ObjectKey::new(text).unwrap();
            store.put(&key("packs/a"), b"").unwrap();
            store.put(&key("index/a"), b"").unwrap();
            let error = store.put(&key("packs/b"), b"").unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Permanent);
            assert_eq!(store.exists(&key("packs/b")).unwrap(), effect);
            store.put(&key("packs/c"), b"").unwrap();
        }
    }

    #[test]
    fn periodic_faults_return() {
        let fault =
            Fault::every(2, StoreErrorKind::Transient, Timing::Before).only(CallKind::Barrier);
        let store = FailingStore::new(MemoryStore::new(), vec![fault]);
        let outcomes: Vec<bool> = (0..6).map(|_| store.barrier().is_ok()).collect();
        assert_eq!(outcomes, [true, false, true, false, true, false]);
    }
}
