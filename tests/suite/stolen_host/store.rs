//! What only the storage can refuse: deleting and overwriting. And that it can: a write-only host
//! needs neither.

use super::{HOST, World, apart, files, open_host};
use icecore::env::Timestamp;
use icecore::monitor::Monitor;
use icecore::store::{
    ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreExt, StoreResult, Swept,
};
use icecore::testing_repository::take;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Creates and reads. Everything else is refused, as a bucket refuses it whose policy says so.
#[derive(Debug)]
struct CreateOnly<S>(S);

impl<S: Store> CreateOnly<S> {
    fn refuse(&self, operation: &'static str, key: &ObjectKey) -> StoreError {
        StoreError {
            kind: StoreErrorKind::PermissionDenied,
            operation,
            object: key.to_string(),
            location: self.0.location(),
            source: "the policy allows no such thing".into(),
        }
    }
}

impl<S: Store> Store for CreateOnly<S> {
    fn location(&self) -> String {
        self.0.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        match self.0.exists(key)? {
            true => Err(self.refuse("overwrite", key)),
            false => self.0.put(key, bytes),
        }
    }

    fn barrier(&self) -> StoreResult<()> {
        self.0.barrier()
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.0.get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.0.get_range(key, offset, buffer)
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.0.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        Err(self.refuse("delete", key))
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.0.list(prefix, visit)
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.0.sweep(before)
    }
}

#[test]
fn a_storage_that_only_creates_is_enough_for_a_host_and_stops_a_thief() {
    let world = World::new("create only");
    let store: Arc<dyn Store> = Arc::new(CreateOnly(world.store.clone()));
    let cache = world.caches[HOST].path();
    let host = open_host(Arc::clone(&store), HOST, cache, "goes on");
    let later = take(&host, &files(4));
    for info in world.store.list_all("").unwrap() {
        let deleted = store.delete(&info.key).unwrap_err();
        assert_eq!(deleted.kind, StoreErrorKind::PermissionDenied);
        let overwritten = store.put(&info.key, b"garbage").unwrap_err();
        assert!(
            overwritten.to_string().contains("overwrite"),
            "{overwritten}"
        );
    }
    world.assert_whole("after", &[&world.taken[..], &[later]].concat());
}

/// Without such a storage: nothing is changed in silence.
#[test]
fn in_a_storage_that_protects_nothing_it_is_noticed() {
    let first = World::new("plain directory");
    for overwrite in [false, true] {
        let world = apart(&first);
        let (pack, bytes) = world.packs().swap_remove(0);
        match overwrite {
            false => world.store.delete(&pack).unwrap(),
            true => world.store.put(&pack, &bytes[..bytes.len() / 2]).unwrap(),
        }
        let full = world.full("checks");
        let report = icecore::check::check(
            &full,
            &icecore::testing_repository::empty_index(),
            &icecore::check::CheckOptions::default(),
            &Quiet,
            &icecore::monitor::Cancel::default(),
        )
        .unwrap();
        let found = report
            .damage
            .iter()
            .find(|d| d.object == pack.as_str())
            .unwrap();
        let said = if overwrite {
            "bytes instead of"
        } else {
            "is missing"
        };
        assert!(
            found.what.contains(said) && !found.hurts.is_empty(),
            "{found:?}"
        );
    }
}

struct Quiet;

impl Monitor for Quiet {
    fn phase(&self, _: &'static str, _: icecore::monitor::Unit, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn current(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}
