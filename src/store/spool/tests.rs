#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::monitor::Cancel;
use crate::store::fault::{FailingStore, Fault, Timing};
use crate::store::{
    CallKind, MemoryStore, ObjectKey, SpoolOptions, SpoolStore, Store, StoreErrorKind, StoreExt,
    StoreResult, contract,
};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use tempfile::TempDir;

const PREFIXES: [&str; 2] = ["packs", "index"];

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn options(directory: &Path, capacity: u64) -> SpoolOptions {
    SpoolOptions {
        directory: directory.to_owned(),
        capacity,
        prefixes: PREFIXES,
        cancel: Cancel::default(),
    }
}

/// Holds every put until it is opened, and notes their order.
#[derive(Debug, Default)]
struct Gate {
    inner: MemoryStore,
    open: Mutex<bool>,
    opened: Condvar,
    order: Mutex<Vec<String>>,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Store for Gate {
    crate::store::forward::forward!(inner: location, barrier, get, get_range, stat, delete, list, sweep);

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        drop(open);
        self.order.lock().unwrap().push(key.to_string());
        self.inner.put(key, bytes)
    }
}

#[test]
fn keeps_the_contract() {
    let directory = TempDir::new().unwrap();
    let mut number = 0;
    contract::run(&mut || {
        number += 1;
        let own = directory.path().join(number.to_string());
        let options = SpoolOptions {
            // The contract's own keys.
            prefixes: ["packs", "index"],
            ..options(&own, 1 << 20)
        };
        Box::new(SpoolStore::open(Arc::new(MemoryStore::new()), options).unwrap())
    });
}

#[test]
fn what_waits_is_read_and_listed_and_goes_up_before_the_barrier_returns() {
    let directory = TempDir::new().unwrap();
    let gate = Arc::new(Gate::default());
    let inner = Arc::clone(&gate) as Arc<dyn Store>;
    let spool = SpoolStore::open(inner, options(directory.path(), 1 << 20)).unwrap();
    spool.put(&key("packs/full/aa"), b"one").unwrap();
    spool.put(&key("packs/full/ab"), b"two").unwrap();
    spool.put(&key("index/aa"), b"row").unwrap();
    spool.put(&key("packs/full/ac"), b"three").unwrap();
    assert_eq!(spool.get(&key("packs/full/ab"), 10).unwrap(), b"two");
    assert_eq!(spool.list_all("packs").unwrap().len(), 3);
    assert_eq!(gate.inner.list_all("").unwrap().len(), 0);
    gate.open();
    spool.barrier().unwrap();
    assert_eq!(gate.inner.list_all("").unwrap().len(), 4);
    let order = gate.order.lock().unwrap().clone();
    let place = |name: &str| order.iter().position(|one| one == name).unwrap();
    assert!(place("index/aa") > place("packs/full/aa").max(place("packs/full/ab")));
    let path = spool.path().to_owned();
    let figures = spool.figures();
    assert_eq!((figures.bytes, figures.bytes_peak), (14, 14));
    drop(spool);
    assert!(!path.exists(), "nothing is left of an empty spool");
}

#[test]
fn a_writer_that_is_faster_than_the_spool_is_large_waits() {
    let directory = TempDir::new().unwrap();
    let gate = Arc::new(Gate::default());
    let inner = Arc::clone(&gate) as Arc<dyn Store>;
    let spool = SpoolStore::open(inner, options(directory.path(), 5)).unwrap();
    std::thread::scope(|scope| {
        spool.put(&key("packs/full/aa"), b"12345678").unwrap();
        let second = scope.spawn(|| spool.put(&key("packs/full/ab"), b"12"));
        assert_eq!(spool.figures().bytes, 8);
        gate.open();
        second.join().unwrap().unwrap();
    });
    spool.barrier().unwrap();
    assert_eq!(spool.figures().bytes_peak, 8);
}

#[test]
fn an_upload_that_fails_for_good_fails_the_barrier_and_stays_for_the_next_run() {
    let directory = TempDir::new().unwrap();
    let memory = Arc::new(MemoryStore::new());
    let fault = Fault::nth(1, CallKind::Put, StoreErrorKind::Full, Timing::Before);
    let failing = FailingStore::new(Arc::clone(&memory), vec![fault]);
    let inner = Arc::new(failing) as Arc<dyn Store>;
    let spool = SpoolStore::open(inner, options(directory.path(), 1 << 20)).unwrap();
    spool.put(&key("packs/full/aa"), b"one").unwrap();
    let error = spool.barrier().unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Full);
    spool.put(&key("packs/full/ab"), b"two").unwrap_err();
    drop(spool);
    let inner = Arc::clone(&memory) as Arc<dyn Store>;
    let next = SpoolStore::open(inner, options(directory.path(), 1 << 20)).unwrap();
    let mut left = next.leftovers().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(next.bytes(&left[0]).unwrap(), b"one");
    assert!(next.leftovers().unwrap().is_empty(), "they are claimed");
    next.resume(left.remove(0));
    next.barrier().unwrap();
    assert_eq!(memory.get(&key("packs/full/aa"), 10).unwrap(), b"one");
    assert_eq!(next.figures().resumed, 1);
    drop(next);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn the_spool_of_a_living_process_is_nobody_elses() {
    let directory = TempDir::new().unwrap();
    let gate = Arc::new(Gate::default());
    let inner = Arc::clone(&gate) as Arc<dyn Store>;
    let first = SpoolStore::open(Arc::clone(&inner), options(directory.path(), 100)).unwrap();
    first.put(&key("packs/full/aa"), b"one").unwrap();
    let second = SpoolStore::open(inner, options(directory.path(), 100)).unwrap();
    assert!(second.leftovers().unwrap().is_empty());
    assert_ne!(first.path(), second.path());
    gate.open();
    first.barrier().unwrap();
}

#[test]
fn a_stop_ends_the_wait() {
    let directory = TempDir::new().unwrap();
    let gate = Arc::new(Gate::default());
    let inner = Arc::clone(&gate) as Arc<dyn Store>;
    let options = options(directory.path(), 100);
    let cancel = options.cancel.clone();
    let spool = SpoolStore::open(inner, options).unwrap();
    spool.put(&key("packs/full/aa"), b"one").unwrap();
    cancel.cancel();
    spool.barrier().unwrap_err();
    gate.open();
}
