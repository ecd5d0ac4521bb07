//! Prune against a store in memory: what visible snapshots need stays, the rest goes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crashes;
mod meddling;
mod merging;
mod model;
mod reading;
mod sessions;
pub(crate) mod support;
mod waiting;

use crate::forget::{ForgetPlan, undo};
use crate::id::SnapshotId;
use crate::prune::tests::support::{Files, Seeded, World, thorough, with_context};
use crate::prune::{PruneOptions, PrunePlan};
use crate::retention::GroupBy;
use crate::spill::Scratch;

pub(crate) fn files(of: &[(&str, &[u8])]) -> Files {
    let owned = |(name, content): &(&str, &[u8])| (name.to_string(), content.to_vec());
    of.iter().map(owned).collect()
}

pub(crate) fn forget(world: &World, id: SnapshotId) {
    let repository = world.open();
    let plan = ForgetPlan::by_name(&repository, &[id], GroupBy::default()).unwrap();
    plan.execute(true).unwrap();
}

#[test]
fn what_only_a_forgotten_snapshot_needs_goes() {
    let world = World::new();
    let random = Seeded::new(1);
    let (shared, only) = (random.bytes(200_000), random.bytes(300_000));
    let old = world.snapshot("a", &files(&[("only", &only), ("shared", &shared)]));
    let kept = files(&[("shared", &shared), ("small", b"small")]);
    let new = world.snapshot("a", &kept);
    let before = world.size("packs");
    forget(&world, old);
    let pruned = world.prune(thorough()).unwrap();
    assert_eq!(pruned.snapshots, 1);
    assert!(pruned.bytes_freed >= 500_000, "{pruned:?}");
    let after = world.size("packs");
    assert!(after + 290_000 < before, "{before} {after}");
    assert_eq!(world.read(new), kept);
    assert_eq!(world.count("sessions"), 0);
    assert_eq!(world.count("gc"), 1, "only the hide record stays");
    assert_eq!(world.count("snapshots"), 1);
}

#[test]
fn a_second_prune_has_nothing_to_do() {
    let world = World::new();
    let random = Seeded::new(2);
    for number in 0..4 {
        let content = [random.bytes(90_000), vec![number; 90_000]].concat();
        let id = world.snapshot("a", &files(&[("x", &content), ("y", &random.bytes(900))]));
        if number % 2 == 0 {
            forget(&world, id);
        }
    }
    let first = world.prune(thorough()).unwrap();
    assert!(first.packs > 0);
    let size = world.size("");
    let second = world.prune(thorough()).unwrap();
    assert_eq!(second, crate::prune::Pruned::default());
    assert_eq!(world.size(""), size);
}

#[test]
fn the_plan_says_what_it_costs_and_changes_nothing() {
    let world = World::new();
    let random = Seeded::new(3);
    let (shared, only) = (random.bytes(200_000), random.bytes(300_000));
    let old = world.snapshot("a", &files(&[("only", &only), ("shared", &shared)]));
    world.snapshot("a", &files(&[("shared", &shared)]));
    forget(&world, old);
    let size = world.size("");
    let repository = world.open();
    let cost = |options| {
        with_context(|context| {
            PrunePlan::new(&repository, options, context)
                .unwrap()
                .cost()
        })
    };
    let thorough_cost = cost(thorough());
    assert_eq!(thorough_cost.snapshots, 1);
    assert!(thorough_cost.packs_moved >= 1, "{thorough_cost:?}");
    assert!(thorough_cost.bytes_read >= 200_000 && thorough_cost.bytes_read < 300_000);
    assert!(thorough_cost.bytes_freed > 500_000);
    assert_eq!(thorough_cost.bytes_unused_left, 0);
    let frugal = cost(PruneOptions {
        max_repack: 100_000,
        ..thorough()
    });
    assert_eq!(frugal.bytes_read, 0, "beyond its budget");
    assert!(frugal.bytes_unused_left >= 300_000);
    let tolerant = cost(PruneOptions {
        max_unused: 2.0,
        ..thorough()
    });
    assert_eq!((tolerant.packs_moved, tolerant.bytes_read), (0, 0));
    assert_eq!(world.size(""), size, "planning writes nothing");
}

#[test]
fn a_plan_is_the_same_where_memory_is_short() {
    let world = World::new();
    let random = Seeded::new(7);
    for number in 0..6 {
        let shared: Vec<u8> = random.bytes(70_000 * (1 + number % 3));
        let names = ["a", "b", "c"].map(|name| (name, random.bytes(40_000)));
        let mut all: Vec<(&str, &[u8])> = vec![("shared", &shared)];
        all.extend(names.iter().map(|(name, content)| (*name, &content[..])));
        let id = world.snapshot("a", &files(&all));
        world.snapshot("a", &files(&all[..2]));
        if number % 2 == 0 {
            forget(&world, id);
        }
    }
    let repository = world.open();
    let directory = tempfile::tempdir().unwrap();
    let tiny = Scratch::in_directory(directory.path().into()).with_memory(300);
    let plans = [Scratch::default(), tiny].map(|scratch| {
        let options = PruneOptions {
            scratch,
            ..thorough()
        };
        with_context(|context| PrunePlan::new(&repository, options, context).unwrap())
    });
    let [memory, spilled] = &plans;
    assert!(memory.cost().packs_moved > 1, "{:?}", memory.cost());
    assert_eq!(memory.cost(), spilled.cost());
    assert_eq!(memory.snapshots(), spilled.snapshots());
    assert_eq!(memory.dead, spilled.dead);
    assert_eq!(memory.moves.packs(), spilled.moves.packs());
    for pack in memory.moves.packs() {
        let [one, other] = [memory, spilled].map(|plan| plan.moves.live_rows(pack).unwrap());
        assert_eq!(one, other);
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn holds_keep_what_a_prune_would_take() {
    let world = World::new();
    let random = Seeded::new(4);
    let content = files(&[("x", &random.bytes(100_000))]);
    let held = world.snapshot("a", &content);
    world.snapshot("a", &files(&[("y", &random.bytes(100_000))]));
    forget(&world, held);
    let until = crate::env::Timestamp(support::now(&world).0 + 3_600_000_000_000);
    let hold = world.open().add_hold(held, Some(until), "audit").unwrap();
    assert!(world.visible().contains(&held), "a hold brings it back");
    world.prune(thorough()).unwrap();
    assert_eq!(world.read(held), content);
    let listed = world.open().load_holds().unwrap().entries;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, hold);
    assert_eq!(listed[0].reason.as_deref(), Some("audit"));
    world.time.advance(std::time::Duration::from_secs(7200));
    forget(&world, held);
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1);
    let refused = world.open().add_hold(held, None, "too late").unwrap_err();
    assert!(refused.is_refused(), "{refused}");
    let holds = world.open().load_holds().unwrap();
    assert!(!holds.is_held(held, support::now(&world)));
}

#[test]
fn undone_in_time_a_snapshot_stays() {
    let world = World::new();
    let random = Seeded::new(5);
    let content = files(&[("x", &random.bytes(100_000))]);
    let id = world.snapshot("a", &content);
    forget(&world, id);
    assert!(world.visible().is_empty());
    undo(&world.open(), &[id]).unwrap();
    world.prune(thorough()).unwrap();
    assert_eq!(world.read(id), content);
}

#[test]
fn packs_without_rows_go_when_they_are_old() {
    let world = World::new();
    let id = crate::id::PackId([9; 32]);
    let name = crate::format::layout::pack(crate::format::pack::PackClass::Full, &id);
    let key = crate::store::ObjectKey::new(name).unwrap();
    crate::store::Store::put(&world.store, &key, &[0; 100]).unwrap();
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("packs"), 1);
    world
        .time
        .advance(std::time::Duration::from_secs(25 * 3600));
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("packs"), 0);
}

#[test]
fn damage_stops_a_prune_before_it_deletes() {
    let world = World::new();
    let random = Seeded::new(6);
    let shared = random.bytes(100_000);
    let old = world.snapshot("a", &files(&[("x", &random.bytes(100_000))]));
    world.snapshot("a", &files(&[("y", &shared)]));
    forget(&world, old);
    let packs = crate::store::StoreExt::list_all(&world.store, "packs/meta").unwrap();
    // The visible snapshot's metadata is lost.
    let newest = packs.iter().max_by_key(|info| info.modified).unwrap();
    crate::store::Store::delete(&world.store, &newest.key).unwrap();
    let size = world.size("packs");
    let error = world.prune(thorough()).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert_eq!(world.size("packs"), size);
}
