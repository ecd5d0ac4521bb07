#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Mirrors between stores in memory.

use crate::check::{CheckOptions, ReadData, check};
use crate::entry::Layout;
use crate::env::Timestamp;
use crate::forget::ForgetPlan;
use crate::id::SnapshotId;
use crate::mirror::{MirrorError, MirrorOptions, MirrorReport, mirror};
use crate::monitor::{Cancel, Monitor, Silent, Unit};
use crate::prune::tests::support::{prune, read, thorough};
use crate::repository::Repository;
use crate::retention::GroupBy;
use crate::store::fault::CrashingStore;
use crate::store::{MemoryStore, ObjectKey, Store, StoreExt};
use crate::testing::FixedClock;
use crate::testing_repository::{Files, create, empty_index, noise, open, take};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

static SEED: AtomicU64 = AtomicU64::new(0);

fn seed() -> String {
    format!("mirror {}", SEED.fetch_add(1, Ordering::Relaxed))
}

struct World {
    source: MemoryStore,
    target: MemoryStore,
    clock: Arc<FixedClock>,
    taken: Vec<SnapshotId>,
}

fn files(number: u64) -> Files {
    let mut files = Files::from([
        ("shared".to_owned(), (Layout::Stream, noise(1, 90_000))),
        (
            format!("own {number}"),
            (Layout::Stream, noise(2 + number, 70_000)),
        ),
    ]);
    if number < 2 {
        files.insert("of two".to_owned(), (Layout::Stream, noise(99, 80_000)));
    }
    files
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_700_000_000)));
        let source = MemoryStore::with_clock(clock.clone());
        let repository = create(Arc::new(source.clone()), &seed(), clock.clone());
        let mut taken = Vec::new();
        for number in 0..3 {
            clock.set(Timestamp::from_seconds(1_700_000_060 + 60 * number as i64));
            taken.push(take(&repository, &files(number)));
        }
        let target = MemoryStore::with_clock(clock.clone());
        Self {
            source,
            target,
            clock,
            taken,
        }
    }

    fn open(&self, store: &MemoryStore) -> Repository {
        open(Arc::new(store.clone()), &seed(), self.clock.clone()).unwrap()
    }

    fn mirror(&self) -> MirrorReport {
        run(&self.source, &self.target, &Silent).unwrap()
    }

    fn forget_and_prune(&self, id: SnapshotId) {
        let repository = self.open(&self.source);
        let plan = ForgetPlan::by_name(&repository, &[id], GroupBy::default()).unwrap();
        plan.execute(true).unwrap();
        prune(&repository, thorough()).unwrap();
    }

    /// Whatever is visible at the target is whole.
    fn assert_nothing_half(&self, expected: &BTreeMap<SnapshotId, BTreeMap<String, Vec<u8>>>) {
        let there = self.contents(&self.target);
        assert!(
            there
                .iter()
                .all(|(id, content)| expected.get(id) == Some(content))
        );
    }

    /// Everything visible at a side, read whole.
    fn contents(&self, store: &MemoryStore) -> BTreeMap<SnapshotId, BTreeMap<String, Vec<u8>>> {
        let repository = self.open(store);
        let (list, _) = repository.list_snapshots().unwrap();
        let visible = list.visible.iter();
        visible
            .map(|snapshot| (snapshot.id, read(&repository, snapshot.id)))
            .collect()
    }

    fn assert_target_is_sound(&self) {
        let options = CheckOptions {
            read_data: ReadData::All,
            workers: 2,
            ..CheckOptions::default()
        };
        let repository = self.open(&self.target);
        let index = empty_index();
        let report = check(&repository, &index, &options, &Silent, &Cancel::default()).unwrap();
        assert_eq!(report.damage, []);
    }
}

fn run(
    source: &dyn Store,
    target: &dyn Store,
    monitor: &dyn Monitor,
) -> Result<MirrorReport, MirrorError> {
    let options = MirrorOptions {
        workers: 2,
        dry_run: false,
    };
    mirror(source, target, options, monitor, &Cancel::default())
}

fn has_config(store: &MemoryStore) -> bool {
    !store.list_all("config").unwrap().is_empty()
}

#[test]
fn a_mirror_holds_the_same_and_takes_only_what_is_new() {
    let world = World::new();
    let first = world.mirror();
    assert_eq!((first.objects_there, first.objects_kept), (0, 0));
    assert_eq!(world.contents(&world.source), world.contents(&world.target));
    world.assert_target_is_sound();
    let again = world.mirror();
    assert_eq!((again.objects_copied, again.bytes_copied), (0, 0));
    assert_eq!(again.objects_there, first.objects_copied);
    take(&world.open(&world.source), &files(7));
    let later = world.mirror();
    assert!(later.objects_copied > 0 && later.bytes_copied < first.bytes_copied / 2);
    assert_eq!(world.contents(&world.source), world.contents(&world.target));
}

#[test]
fn another_repository_or_foreign_files_are_not_touched() {
    let world = World::new();
    let other = World::new();
    let refused = run(&world.source, &other.source, &Silent).unwrap_err();
    assert!(matches!(refused, MirrorError::Occupied(_)), "{refused:?}");
    let foreign = ObjectKey::new("somebody/else".to_owned()).unwrap();
    world.target.put(&foreign, b"1").unwrap();
    let refused = run(&world.source, &world.target, &Silent).unwrap_err();
    assert!(matches!(refused, MirrorError::Occupied(_)), "{refused:?}");
}

#[test]
fn what_is_damaged_is_told_and_does_not_travel() {
    let world = World::new();
    let packs = world.source.list_all("packs").unwrap();
    let mut bytes = world.source.get(&packs[0].key, usize::MAX).unwrap();
    bytes[5000] ^= 1;
    world.source.put(&packs[0].key, &bytes).unwrap();
    let report = world.mirror();
    assert_eq!(report.damaged.len(), 1);
    assert_eq!(report.damaged[0].0, packs[0].key.to_string());
    assert!(world.target.stat(&packs[0].key).is_err());
}

#[test]
fn the_target_crashes_anywhere_and_is_always_a_repository() {
    let prepared = World::new();
    let expected = prepared.contents(&prepared.source);
    let mut calls = 0;
    loop {
        let world = World {
            source: prepared.source.clone(),
            target: MemoryStore::with_clock(prepared.clock.clone()),
            clock: prepared.clock.clone(),
            taken: prepared.taken.clone(),
        };
        let store = CrashingStore::new(world.target.clone(), calls, calls);
        let finished = run(&world.source, &store, &Silent).is_ok();
        if has_config(&world.target) {
            world.assert_nothing_half(&expected);
            world.assert_target_is_sound();
        }
        world.mirror();
        assert_eq!(
            world.contents(&world.target),
            expected,
            "after {calls} calls"
        );
        if finished {
            break;
        }
        calls += 1;
    }
    assert!(calls > 15, "{calls} calls");
}

#[test]
fn the_source_fails_anywhere_and_the_next_run_goes_on() {
    let world = World::new();
    let expected = world.contents(&world.source);
    let mut calls = 0;
    loop {
        let store = CrashingStore::new(world.source.clone(), calls, 0);
        let finished = run(&store, &world.target, &Silent).is_ok();
        if has_config(&world.target) {
            world.assert_nothing_half(&expected);
        }
        if finished {
            break;
        }
        calls += 1;
    }
    assert!(calls > 10, "{calls} calls");
    assert_eq!(world.contents(&world.target), expected);
}

/// Does something once, after some bytes were mirrored.
struct Meanwhile<'a> {
    after: u64,
    seen: AtomicU64,
    action: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl Monitor for Meanwhile<'_> {
    fn phase(&self, _: &'static str, _: Unit, _: Option<u64>) {}
    fn current(&self, _: &str) {}
    fn warn(&self, _: &str) {}
    fn advance(&self, amount: u64) {
        if self.seen.fetch_add(amount, Ordering::Relaxed) + amount >= self.after
            && let Some(action) = self.action.lock().unwrap().take()
        {
            action();
        }
    }
}

#[test]
fn a_prune_of_the_source_meanwhile_leaves_both_whole() {
    for after in [0, 20_000, 100_000, 200_000, 300_000] {
        for victim in 0..3 {
            let world = World::new();
            let victim = world.taken[victim];
            let meanwhile = Meanwhile {
                after,
                seen: AtomicU64::new(0),
                action: Mutex::new(Some(Box::new(|| world.forget_and_prune(victim)))),
            };
            run(&world.source, &world.target, &meanwhile).unwrap();
            world.assert_target_is_sound();
            world.mirror();
            world.assert_target_is_sound();
            let (source, target) = (world.contents(&world.source), world.contents(&world.target));
            assert_eq!(source, target, "after {after}");
        }
    }
}

#[test]
fn what_a_prune_deletes_goes_and_what_a_thief_deletes_stays() {
    let world = World::new();
    world.mirror();
    let before = world.target.list_all("packs").unwrap();
    // Deleted by nobody's right: the mirror keeps it, and still restores.
    let thief = crate::testing_repository::copy(&world.source, world.clock.clone());
    for info in thief.list_all("packs").unwrap() {
        thief.delete(&info.key).unwrap();
    }
    let report = run(&thief, &world.target, &Silent).unwrap();
    assert_eq!(report.objects_deleted, 0);
    assert_eq!(report.objects_kept, before.len() as u64);
    assert_eq!(world.target.list_all("packs").unwrap(), before);
    world.assert_target_is_sound();
    // A prune that stops after its `delete`: the record is there, and the mirror follows it.
    let deleting = Arc::new(StopsDeleting(world.source.clone()));
    let repository = open(deleting, &seed(), world.clock.clone()).unwrap();
    let plan = ForgetPlan::by_name(&repository, &[world.taken[0]], GroupBy::default()).unwrap();
    plan.execute(true).unwrap();
    prune(&repository, thorough()).unwrap_err();
    let report = world.mirror();
    assert!(report.objects_deleted > 0, "{report:?}");
    world.assert_target_is_sound();
    assert_eq!(world.contents(&world.source), world.contents(&world.target));
    assert_eq!(world.contents(&world.target).len(), 2);
}

/// Refuses to delete anything but flags.
#[derive(Debug)]
struct StopsDeleting(MemoryStore);

impl Store for StopsDeleting {
    fn location(&self) -> String {
        self.0.location()
    }
    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> crate::store::StoreResult<()> {
        self.0.put(key, bytes)
    }
    fn barrier(&self) -> crate::store::StoreResult<()> {
        self.0.barrier()
    }
    fn get(&self, key: &ObjectKey, limit: usize) -> crate::store::StoreResult<Vec<u8>> {
        self.0.get(key, limit)
    }
    fn get_range(
        &self,
        key: &ObjectKey,
        offset: u64,
        buffer: &mut [u8],
    ) -> crate::store::StoreResult<()> {
        self.0.get_range(key, offset, buffer)
    }
    fn stat(&self, key: &ObjectKey) -> crate::store::StoreResult<crate::store::ObjectInfo> {
        self.0.stat(key)
    }
    fn delete(&self, key: &ObjectKey) -> crate::store::StoreResult<()> {
        // What is not there cannot be read either.
        self.0
            .stat(&ObjectKey::new(format!("not/{}", key.file_name())).unwrap())
            .map(drop)
    }
    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(crate::store::ObjectInfo) -> std::ops::ControlFlow<()>,
    ) -> crate::store::StoreResult<()> {
        self.0.list(prefix, visit)
    }
    fn sweep(&self, before: Timestamp) -> crate::store::StoreResult<crate::store::Swept> {
        self.0.sweep(before)
    }
}
