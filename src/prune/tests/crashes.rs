//! A crash at every call of forget and prune.

use crate::forget::ForgetPlan;
use crate::id::SnapshotId;
use crate::prune::PrunePlan;
use crate::prune::tests::support::{Files, Seeded, World, prune, read, thorough, with_context};
use crate::prune::tests::{files, forget};
use crate::retention::GroupBy;
use crate::store::fault::CrashingStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Three snapshots, the first forgotten: dead packs, a pack to be moved, a mixed segment.
fn prepared() -> (World, SnapshotId, Vec<(SnapshotId, Files)>) {
    let world = World::new();
    let random = Seeded::new(1);
    let (shared, only) = (random.bytes(70_000), random.bytes(90_000));
    let first = world.snapshot("a", &files(&[("only", &only), ("shared", &shared)]));
    let second = files(&[("shared", &shared), ("small", b"small")]);
    let third = files(&[("other", &random.bytes(70_000)), ("small", b"small")]);
    let kept = vec![
        (world.snapshot("a", &second), second),
        (world.snapshot("a", &third), third),
    ];
    (world, first, kept)
}

fn calls_of_opening(world: &World) -> u64 {
    let store = Arc::new(CrashingStore::unlimited(world.store.clone(), 0));
    world.open_through(store.clone());
    store.calls_made()
}

fn calls_of_planning(world: &World) -> u64 {
    let store = Arc::new(CrashingStore::unlimited(world.store.clone(), 0));
    let repository = world.open_through(store.clone());
    with_context(|context| {
        PrunePlan::new(&repository, thorough(), context).unwrap();
    });
    store.calls_made()
}

fn check_visible(world: &World, kept: &[(SnapshotId, Files)]) -> usize {
    let repository = world.open();
    let (list, _) = repository.list_snapshots().unwrap();
    let visible: BTreeMap<_, _> = list
        .visible
        .iter()
        .map(|snapshot| (snapshot.id, read(&repository, snapshot.id)))
        .collect();
    for (id, files) in kept {
        assert!(visible.get(id) == Some(files), "{id} reads otherwise");
    }
    visible.len()
}

#[test]
fn prune_crashes_anywhere_and_the_next_one_finishes() {
    let (prepared, first, kept) = prepared();
    forget(&prepared, first);
    let opened = calls_of_opening(&prepared);
    // Planning only reads: crashing there shows nothing.
    let mut calls = calls_of_planning(&prepared) - opened;
    let planned = calls;
    loop {
        let world = prepared.copy();
        let store = Arc::new(CrashingStore::new(
            world.store.clone(),
            opened + calls,
            calls,
        ));
        let finished = prune(&world.open_through(store), thorough()).is_ok();
        check_visible(&world, &kept);
        world.time.advance(Duration::from_secs(25 * 3600));
        world.prune(thorough()).unwrap();
        assert_eq!(check_visible(&world, &kept), 2);
        assert_eq!(world.count("snapshots"), 2, "after {calls} calls");
        assert_eq!(world.count("sessions"), 0, "after {calls} calls");
        let left: Vec<_> = crate::store::StoreExt::list_all(&world.store, "gc")
            .unwrap()
            .into_iter()
            .filter(|info| {
                let name = info.key.file_name();
                name.ends_with("condemn") || name.ends_with("delete")
            })
            .collect();
        assert_eq!(left, [], "after {calls} calls");
        if finished {
            break;
        }
        calls += 1;
    }
    assert!(calls > planned + 50, "{calls} calls");
}

#[test]
fn forget_crashes_anywhere_and_is_done_or_not() {
    let (mut calls, mut outcomes) = (0, [0, 0]);
    let (prepared, first, kept) = prepared();
    let opened = calls_of_opening(&prepared);
    loop {
        let world = prepared.copy();
        let store = Arc::new(CrashingStore::new(
            world.store.clone(),
            opened + calls,
            calls,
        ));
        let repository = world.open_through(store);
        let plan = ForgetPlan::by_name(&repository, &[first], GroupBy::default());
        let finished = plan.and_then(|plan| plan.execute(false)).is_ok();
        check_visible(&world, &kept);
        let hidden = !world.visible().contains(&first);
        assert!(hidden || !finished);
        outcomes[usize::from(hidden)] += 1;
        world.prune(thorough()).unwrap();
        assert_eq!(check_visible(&world, &kept), if hidden { 2 } else { 3 });
        if finished {
            break;
        }
        calls += 1;
    }
    assert!(outcomes[0] > 3 && outcomes[1] > 0, "{outcomes:?}");
}

/// What was begun to keep a snapshot, and was interrupted too, keeps nothing that is deleted: the
/// next prune takes it for gone and not for damaged.
#[test]
fn a_crashed_prune_beside_a_crashed_undo_or_hold_leaves_no_damage() {
    let (prepared, first, kept) = prepared();
    forget(&prepared, first);
    let opened = calls_of_opening(&prepared);
    let planned = calls_of_planning(&prepared) - opened;
    for half_of in ["undo", "hold"] {
        let (mut calls, mut deleted) = (planned, 0);
        loop {
            let world = prepared.copy();
            let store = CrashingStore::new(world.store.clone(), opened + calls, calls);
            let finished = prune(&world.open_through(Arc::new(store)), thorough()).is_ok();
            deleted += usize::from(world.open().load_flags().unwrap().is_deleted(first));
            match half_of {
                "undo" => {
                    let repository = world.open();
                    let heads = repository.load_flags().unwrap().hide_heads(first);
                    repository.put_hide(vec![first], false, heads).unwrap();
                }
                _ => {
                    let store = CrashingStore::new(world.store.clone(), opened + 2, 1);
                    let repository = world.open_through(Arc::new(store));
                    repository.add_hold(first, None, "stopped").unwrap_err();
                }
            }
            check_visible(&world, &kept);
            world.time.advance(Duration::from_secs(25 * 3600));
            world.prune(thorough()).unwrap();
            let left = check_visible(&world, &kept);
            assert!(left >= 2, "{half_of} after {calls} calls");
            if finished {
                break;
            }
            calls += 1;
        }
        assert!(deleted > 0, "no crash left a delete that counts");
    }
}
