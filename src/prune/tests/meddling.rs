//! What others do between two steps of a prune.

use crate::env::Timestamp;
use crate::forget::{ForgetError, undo};
use crate::format::protocol::SessionKind;
use crate::id::SnapshotId;
use crate::prune::tests::support::{Files, Seeded, World, prune, thorough};
use crate::prune::tests::{files, forget};
use crate::prune::{PruneError, PruneOptions};
use crate::repository::{KeepError, Session};
use crate::store::{MemoryStore, ObjectInfo, ObjectKey, Store, StoreResult, Swept};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Meddling = Box<dyn FnOnce() + Send>;

/// Lets something happen once, right before or after a key with this ending is put.
struct MeddlingStore {
    inner: MemoryStore,
    ending: &'static str,
    before: Mutex<Option<Meddling>>,
    after: Mutex<Option<Meddling>>,
}

impl std::fmt::Debug for MeddlingStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeddlingStore")
    }
}

impl MeddlingStore {
    fn new(world: &World, ending: &'static str) -> Self {
        Self {
            inner: world.store.clone(),
            ending,
            before: Mutex::new(None),
            after: Mutex::new(None),
        }
    }
}

impl Store for MeddlingStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let run = |meddling: &Mutex<Option<Meddling>>| {
            if key.as_str().ends_with(self.ending)
                && let Some(meddle) = meddling.lock().unwrap().take()
            {
                meddle();
            }
        };
        run(&self.before);
        self.inner.put(key, bytes)?;
        run(&self.after);
        Ok(())
    }

    fn barrier(&self) -> StoreResult<()> {
        self.inner.barrier()
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.inner.get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.inner.get_range(key, offset, buffer)
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.inner.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.inner.delete(key)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.inner.list(prefix, visit)
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.inner.sweep(before)
    }
}

/// A forgotten snapshot and a visible one that share a file.
fn prepared() -> (World, SnapshotId, Files, SnapshotId, Files) {
    let world = World::new();
    let random = Seeded::new(1);
    let (shared, only) = (random.bytes(70_000), random.bytes(90_000));
    let old = files(&[("only", &only), ("shared", &shared)]);
    let new = files(&[("shared", &shared), ("small", b"small")]);
    let old_id = world.snapshot("a", &old);
    let new_id = world.snapshot("a", &new);
    (world, old_id, old, new_id, new)
}

#[test]
fn brought_back_after_the_condemn_a_snapshot_survives() {
    let (world, old_id, old, new_id, new) = prepared();
    forget(&world, old_id);
    let store = Arc::new(MeddlingStore::new(&world, "condemn"));
    let other = world.open();
    let outcome = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&outcome);
    *store.after.lock().unwrap() = Some(Box::new(move || {
        *heard.lock().unwrap() = Some(undo(&other, &[old_id]));
    }));
    prune(&world.open_through(store), thorough()).unwrap();
    // Nobody may promise it at that moment; here the prune saw it in time.
    let outcome = outcome.lock().unwrap().take().unwrap();
    assert!(matches!(outcome, Err(ForgetError::Keep(KeepError::Condemned(id))) if id == old_id));
    assert_eq!(world.read(old_id), old);
    assert_eq!(world.read(new_id), new);
}

#[test]
fn forgotten_after_the_condemn_a_snapshot_stays_until_the_next_prune() {
    let (world, old_id, _, new_id, new) = prepared();
    forget(&world, old_id);
    let store = Arc::new(MeddlingStore::new(&world, "condemn"));
    let other = world.copy_handle();
    *store.after.lock().unwrap() = Some(Box::new(move || forget(&other, new_id)));
    prune(&world.open_through(store), thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1);
    undo(&world.open(), &[new_id]).unwrap();
    assert_eq!(world.read(new_id), new);
}

#[test]
fn held_before_the_second_look_a_snapshot_survives() {
    let (world, old_id, old, _, _) = prepared();
    forget(&world, old_id);
    let store = Arc::new(MeddlingStore::new(&world, "condemn"));
    let other = world.open();
    *store.before.lock().unwrap() = Some(Box::new(move || {
        other.add_hold(old_id, None, "audit").unwrap();
    }));
    prune(&world.open_through(store), thorough()).unwrap();
    assert!(world.visible().contains(&old_id));
    assert_eq!(world.read(old_id), old);
}

#[test]
fn a_session_that_opens_between_the_looks_is_waited_for() {
    let (world, old_id, _, _, _) = prepared();
    forget(&world, old_id);
    let packs = world.size("packs");
    let store = Arc::new(MeddlingStore::new(&world, "condemn"));
    let other = world.open();
    *store.before.lock().unwrap() = Some(Box::new(move || {
        // Dropped, not ended: it stays open.
        Session::open(&other, SessionKind::Write).unwrap();
    }));
    let options = PruneOptions {
        wait: Duration::from_secs(60),
        ..thorough()
    };
    let error = prune(&world.open_through(store), options).unwrap_err();
    assert!(matches!(error, PruneError::WritersOpen(_)), "{error}");
    assert_eq!(world.size("packs"), packs);
    assert_eq!(world.count("gc"), 1, "the hide record alone");
}

#[test]
fn fenced_before_its_delete_a_prune_deletes_nothing() {
    let (world, old_id, _, _, _) = prepared();
    forget(&world, old_id);
    let store = Arc::new(MeddlingStore::new(&world, "delete"));
    let other = world.open();
    *store.before.lock().unwrap() = Some(Box::new(move || {
        let mut sessions = other.list_sessions().unwrap();
        sessions.retain(|session| session.is_open());
        let [prune] = &sessions[..] else {
            panic!("{sessions:?}")
        };
        let closer = crate::id::SessionId([1; 16]);
        other.close_session(closer, prune.id).unwrap();
    }));
    let error = prune(&world.open_through(store), thorough()).unwrap_err();
    assert!(matches!(error, PruneError::Fenced(_)), "{error}");
    assert_eq!(world.count("snapshots"), 2);
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1);
    assert_eq!(world.count("sessions"), 0);
}
