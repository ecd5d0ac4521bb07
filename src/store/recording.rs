//! Counting what goes over the wire, and for tests the calls themselves: which calls a flow makes
//! is a figure for its speed that no noisy machine can blur.

use crate::env::Timestamp;
use crate::store::{ObjectInfo, ObjectKey, Store, StoreErrorKind, StoreResult, Swept, lock};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Which method of [`Store`] was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// [`Store::put`].
    Put,
    /// [`Store::barrier`].
    Barrier,
    /// [`Store::get`].
    Get,
    /// [`Store::get_range`].
    GetRange,
    /// [`Store::stat`].
    Stat,
    /// [`Store::delete`].
    Delete,
    /// [`Store::list`].
    List,
    /// [`Store::sweep`].
    Sweep,
}

impl CallKind {
    /// Every kind, in the order of the trait.
    pub const ALL: [Self; 8] = [
        Self::Put,
        Self::Barrier,
        Self::Get,
        Self::GetRange,
        Self::Stat,
        Self::Delete,
        Self::List,
        Self::Sweep,
    ];
}

/// One call, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub kind: CallKind,
    /// The key or prefix; empty for a barrier.
    pub key: String,
    /// Start of the range of a ranged read, otherwise 0.
    pub offset: u64,
    /// Bytes of content moved; for a list, the objects shown. 0 after an error.
    pub length: u64,
    /// How it failed, if it did.
    pub error: Option<StoreErrorKind>,
}

/// Sums over the calls of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Calls, failed ones included.
    pub requests: u64,
    /// Bytes of content moved by the successful ones; for lists, the objects shown.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// What a [`RecordingStore`] has seen so far; stays readable while the store is in use.
#[derive(Debug, Default)]
pub struct Traffic {
    counters: [Counter; CallKind::ALL.len()],
    calls: Option<Mutex<Vec<Call>>>,
}

impl Traffic {
    /// The sums for one kind of call.
    pub fn total(&self, kind: CallKind) -> Total {
        let counter = &self.counters[kind as usize];
        Total {
            requests: counter.requests.load(Ordering::Relaxed),
            bytes: counter.bytes.load(Ordering::Relaxed),
        }
    }

    /// Bytes of content stored.
    pub fn uploaded_bytes(&self) -> u64 {
        self.total(CallKind::Put).bytes
    }

    /// Bytes of content read, whole and by range.
    pub fn downloaded_bytes(&self) -> u64 {
        self.total(CallKind::Get).bytes + self.total(CallKind::GetRange).bytes
    }

    /// The calls since the last time, in the order they ended; nothing from a store that only
    /// counts.
    pub fn take_calls(&self) -> Vec<Call> {
        self.calls
            .as_ref()
            .map(|calls| std::mem::take(&mut *lock(calls)))
            .unwrap_or_default()
    }

    fn record(&self, kind: CallKind, key: &str, offset: u64, outcome: Result<u64, StoreErrorKind>) {
        let length = outcome.unwrap_or(0);
        let counter = &self.counters[kind as usize];
        counter.requests.fetch_add(1, Ordering::Relaxed);
        counter.bytes.fetch_add(length, Ordering::Relaxed);
        if let Some(calls) = &self.calls {
            lock(calls).push(Call {
                kind,
                key: key.to_owned(),
                offset,
                length,
                error: outcome.err(),
            });
        }
    }
}

/// Passes every call on and counts it.
#[derive(Debug)]
pub struct RecordingStore<S> {
    inner: S,
    traffic: Arc<Traffic>,
}

impl<S: Store> RecordingStore<S> {
    /// Counts only: two atomic additions a call.
    pub fn counting(inner: S) -> Self {
        Self {
            inner,
            traffic: Arc::default(),
        }
    }

    /// Counts, and keeps every call until it is taken. Grows without bound: for tests.
    pub fn recording(inner: S) -> Self {
        let traffic = Traffic {
            calls: Some(Mutex::default()),
            ..Traffic::default()
        };
        Self {
            inner,
            traffic: Arc::new(traffic),
        }
    }

    /// A handle on what was seen, to be kept when the store itself is given away.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn record<T>(
        &self,
        kind: CallKind,
        key: &str,
        offset: u64,
        result: StoreResult<T>,
        length: impl FnOnce(&T) -> usize,
    ) -> StoreResult<T> {
        let outcome = match &result {
            Ok(value) => Ok(length(value) as u64),
            Err(error) => Err(error.kind),
        };
        self.traffic.record(kind, key, offset, outcome);
        result
    }
}

impl<S: Store> Store for RecordingStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let result = self.inner.put(key, bytes);
        self.record(CallKind::Put, key.as_str(), 0, result, |()| bytes.len())
    }

    fn barrier(&self) -> StoreResult<()> {
        let result = self.inner.barrier();
        self.record(CallKind::Barrier, "", 0, result, |()| 0)
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        let result = self.inner.get(key, limit);
        self.record(CallKind::Get, key.as_str(), 0, result, Vec::len)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let result = self.inner.get_range(key, offset, buffer);
        self.record(CallKind::GetRange, key.as_str(), offset, result, |()| {
            buffer.len()
        })
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        let result = self.inner.stat(key);
        self.record(CallKind::Stat, key.as_str(), 0, result, |_| 0)
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        let result = self.inner.delete(key);
        self.record(CallKind::Delete, key.as_str(), 0, result, |()| 0)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let mut shown = 0;
        let result = self.inner.list(prefix, &mut |info| {
            shown += 1;
            visit(info)
        });
        self.record(CallKind::List, prefix, 0, result, |()| shown)
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        let result = self.inner.sweep(before);
        self.record(CallKind::Sweep, "", 0, result, |_| 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::{
        CallKind, MemoryStore, ObjectKey, RecordingStore, Store, StoreErrorKind, StoreExt, Total,
        contract,
    };

    #[test]
    fn keeps_the_contract() {
        contract::run(&mut || Box::new(RecordingStore::counting(MemoryStore::new())));
        contract::run(&mut || Box::new(RecordingStore::recording(MemoryStore::new())));
    }

    #[test]
    fn counts_and_records() {
        let store = RecordingStore::recording(MemoryStore::new());
        let traffic = store.traffic();
        let key = ObjectKey::new("a/b").unwrap();
        store.put(&key, b"12345").unwrap();
        store.get_range(&key, 1, &mut [0; 3]).unwrap();
        store.get(&key, 4).unwrap_err();
        store.list_all("a").unwrap();

        let put = Total {
            requests: 1,
            bytes: 5,
        };
        assert_eq!(traffic.total(CallKind::Put), put);
        assert_eq!(
            (traffic.uploaded_bytes(), traffic.downloaded_bytes()),
            (5, 3)
        );

        let calls = traffic.take_calls();
        let kinds: Vec<_> = calls.iter().map(|call| call.kind).collect();
        assert_eq!(
            kinds,
            [
                CallKind::Put,
                CallKind::GetRange,
                CallKind::Get,
                CallKind::List
            ]
        );
        assert_eq!((calls[1].offset, calls[1].length), (1, 3));
        assert_eq!(calls[2].error, Some(StoreErrorKind::BadLength));
        assert_eq!((calls[3].key.as_str(), calls[3].length), ("a", 1));
        assert!(traffic.take_calls().is_empty());
    }

    #[test]
    fn counting_keeps_no_calls() {
        let store = RecordingStore::counting(MemoryStore::new());
        store.barrier().unwrap();
        assert_eq!(store.traffic().total(CallKind::Barrier).requests, 1);
        assert!(store.traffic().take_calls().is_empty());
    }
}
