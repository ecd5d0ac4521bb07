//! Random operations against a reference that remembers every snapshot's files.

use crate::forget::{ForgetError, ForgetPlan, undo};
use crate::id::{ObjectId, SnapshotId};
use crate::prune::PruneOptions;
use crate::prune::tests::support::{Files, Seeded, World};
use crate::retention::GroupBy;
use crate::spill::Scratch;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Reference {
    visible: BTreeMap<SnapshotId, Files>,
    hidden: BTreeMap<SnapshotId, Files>,
    holds: BTreeMap<ObjectId, SnapshotId>,
}

fn pick<K: Copy, V>(random: &Seeded, among: &BTreeMap<K, V>) -> Option<K> {
    match among.is_empty() {
        true => None,
        false => among.keys().nth(random.below(among.len())).copied(),
    }
}

fn step(world: &World, random: &Seeded, pool: &[Vec<u8>], reference: &mut Reference) {
    match random.below(10) {
        0..=3 => {
            let mut files = Files::new();
            for _ in 0..1 + random.below(5) {
                let number = random.below(pool.len());
                files.insert(format!("f{number}"), pool[number].clone());
            }
            files.insert("new".to_owned(), random.bytes(1 + random.below(70_000)));
            let id = world.snapshot("a", &files);
            reference.visible.insert(id, files);
        }
        4 | 5 => forget(world, random, reference),
        6 => {
            if let Some(id) = pick(random, &reference.hidden) {
                undo(&world.open(), &[id]).unwrap();
                let files = reference.hidden.remove(&id).unwrap();
                reference.visible.insert(id, files);
            }
        }
        7 => {
            if let Some(id) = pick(random, &reference.visible) {
                let hold = world.open().add_hold(id, None, "test").unwrap();
                reference.holds.insert(hold, id);
            }
        }
        8 => {
            if let Some(hold) = pick(random, &reference.holds) {
                world.open().release_hold(hold, "done").unwrap();
                reference.holds.remove(&hold);
            }
        }
        _ => prune(world, random, reference),
    }
}

fn forget(world: &World, random: &Seeded, reference: &mut Reference) {
    let Some(id) = pick(random, &reference.visible) else {
        return;
    };
    let repository = world.open();
    match ForgetPlan::by_name(&repository, &[id], GroupBy::default()) {
        Ok(plan) => {
            plan.execute(true).unwrap();
            let files = reference.visible.remove(&id).unwrap();
            reference.hidden.insert(id, files);
        }
        Err(ForgetError::Held(held)) => {
            assert_eq!(held, [id]);
            assert!(reference.holds.values().any(|held| *held == id));
        }
        Err(error) => panic!("{error}"),
    }
}

fn prune(world: &World, random: &Seeded, reference: &mut Reference) {
    let scratch = tempfile::tempdir().unwrap();
    let options = PruneOptions {
        // Spilled and in memory by turns: what becomes of snapshots does not depend on it.
        scratch: match random.below(2) {
            0 => Scratch::default(),
            _ => Scratch::in_directory(scratch.path().into()).with_memory(500),
        },
        max_unused: [0.0, 0.05, 0.5][random.below(3)],
        max_repack: [u64::MAX, 100_000][random.below(2)],
        ..PruneOptions::default()
    };
    let before = world.size("packs");
    let pruned = world.prune(options).unwrap();
    let after = world.size("packs");
    assert!(before + pruned.bytes_written >= after + pruned.bytes_freed);
    reference.hidden.clear();
    let visible: BTreeSet<_> = world.visible().into_iter().collect();
    let expected: BTreeSet<_> = reference.visible.keys().copied().collect();
    assert_eq!(visible, expected);
    assert_eq!(world.count("snapshots"), expected.len());
    assert_eq!(world.count("sessions"), 0);
    for (id, files) in &reference.visible {
        assert!(world.read(*id) == *files, "{id} reads otherwise");
    }
}

#[test]
fn any_sequence_keeps_what_is_visible_and_frees_the_rest() {
    for seed in 0..6 {
        let world = World::new();
        let random = Seeded::new(1000 + seed);
        let pool: Vec<Vec<u8>> = (0..8)
            .map(|number| random.bytes(10 + number * 20_000))
            .collect();
        let mut reference = Reference::default();
        for _ in 0..40 {
            step(&world, &random, &pool, &mut reference);
        }
        for hold in std::mem::take(&mut reference.holds).into_keys() {
            world.open().release_hold(hold, "done").unwrap();
        }
        while !reference.visible.is_empty() {
            forget(&world, &random, &mut reference);
        }
        prune(&world, &random, &mut reference);
        assert_eq!(world.count("packs"), 0);
        assert_eq!(world.count("index"), 0);
    }
}
