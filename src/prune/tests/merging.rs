//! Small packs and segments become fewer, and what they hold stays what it is.

use crate::format::layout;
use crate::id::SnapshotId;
use crate::prune::tests::support::{Files, Seeded, World, thorough, with_context};
use crate::prune::tests::{files, forget};
use crate::prune::{PruneOptions, PrunePlan, Pruned};
use crate::store::StoreExt;

/// As many runs, each with a little that is new.
fn runs(world: &World, seed: u64, count: usize) -> Vec<(SnapshotId, Files)> {
    let random = Seeded::new(seed);
    let snapshot = |number: usize| {
        let name = format!("run {number}");
        let files = files(&[(&name, &random.bytes(3000)), ("b", &random.bytes(20))]);
        (world.snapshot("a", &files), files)
    };
    (0..count).map(snapshot).collect()
}

fn assert_readable(world: &World, kept: &[(SnapshotId, Files)]) {
    for (id, files) in kept {
        assert!(world.read(*id) == *files, "{id} reads otherwise");
    }
}

/// Author and number of rows of all listings.
fn listings(world: &World) -> Vec<(crate::id::WriterId, usize)> {
    let repository = world.open();
    let mut listings = Vec::new();
    for info in world.store.list_all(layout::SEGMENTS).unwrap() {
        let id = info.key.file_name().parse().unwrap();
        let (_, packs) = repository.load_segment_of_domain(id).unwrap().unwrap();
        listings.extend(packs.iter().map(|pack| (pack.author, pack.rows.len())));
    }
    listings
}

#[test]
fn what_many_runs_left_is_merged() {
    let world = World::new();
    let kept = runs(&world, 1, 12);
    let (packs, segments) = (world.count("packs"), world.count("index"));
    assert!(packs >= 24 && segments >= 12, "{packs} {segments}");
    let before = listings(&world);
    let repository = world.open();
    let cost = with_context(|context| {
        PrunePlan::new(&repository, thorough(), context)
            .unwrap()
            .cost()
    });
    assert_eq!(cost.packs_merged, packs as u64, "{cost:?}");
    assert_eq!(cost.packs_moved, cost.packs_merged);
    assert_eq!(cost.segments_merged, segments as u64);
    let pruned = world.prune(thorough()).unwrap();
    assert_eq!(
        (pruned.packs, pruned.segments),
        (packs as u64, segments as u64)
    );
    assert_eq!(world.count("packs"), 2, "data, and metadata");
    assert_eq!(world.count("index"), 1);
    let after = listings(&world);
    let rows = |listings: &[(_, usize)]| listings.iter().map(|(_, rows)| rows).sum::<usize>();
    assert_eq!(rows(&before), rows(&after));
    assert!(after.iter().all(|(author, _)| *author == before[0].0));
    assert_readable(&world, &kept);
    assert_eq!(world.prune(thorough()).unwrap(), Pruned::default());
}

#[test]
fn few_are_left_alone_and_a_budget_is_kept() {
    let world = World::new();
    runs(&world, 2, 5);
    assert_eq!(world.prune(thorough()).unwrap(), Pruned::default());
    let world = World::new();
    runs(&world, 3, 20);
    let max_repack = 8000;
    let options = PruneOptions {
        max_repack,
        ..thorough()
    };
    let repository = world.open();
    let cost = with_context(|context| {
        PrunePlan::new(&repository, options.clone(), context)
            .unwrap()
            .cost()
    });
    assert!(
        cost.packs_merged > 0 && cost.bytes_read <= max_repack,
        "{cost:?}"
    );
    let before = world.size("packs");
    let pruned = world.prune(options).unwrap();
    assert_eq!(pruned.packs, cost.packs_merged);
    assert!(world.size("packs") < before);
}

/// Runs and prunes by turns: packs do not accumulate, what was merged is merged again, and stays
/// what it was, with the keys of all its sessions.
#[test]
fn merged_packs_are_merged_again() {
    let world = World::new();
    let mut kept = Vec::new();
    for round in 0..4 {
        let mut new = runs(&world, 10 + round, 9);
        let forgotten = new.remove(0).0;
        kept.extend(new);
        if round % 2 == 0 {
            forget(&world, forgotten);
        }
        world.prune(thorough()).unwrap();
    }
    assert!(world.count("packs") <= 24, "{}", world.count("packs"));
    assert!(world.count("index") <= 12, "{}", world.count("index"));
    assert_readable(&world, &kept);
}
