//! Forgetting, holding, pruning.

use super::TestEnvironment;
use super::environment::tree;

fn three_days() -> (TestEnvironment, Vec<String>) {
    let world = TestEnvironment::new();
    let mut ids = Vec::new();
    for day in 1..=3u8 {
        world.write("data/a", vec![day; 300_000 + usize::from(day)]);
        let date = format!("2025-03-0{day}");
        let taken = [
            "snapshot",
            "data",
            "--json",
            "--date",
            &date,
            "--compression",
            "off",
        ];
        let summary = world.run(&taken).expect(0).summary();
        ids.push(summary["snapshot_id"].as_str().unwrap().to_owned());
    }
    (world, ids)
}

fn visible(world: &TestEnvironment) -> u64 {
    world.run(&["snapshots", "--json"]).expect(0).summary()["snapshots"]
        .as_u64()
        .unwrap()
}

#[test]
fn rules_forget_and_a_prune_frees() {
    let (world, ids) = three_days();
    let stored = || {
        tree(&world.path("repo/packs"))
            .iter()
            .map(|(_, c)| c.len())
            .sum::<usize>()
    };
    let dry = world
        .run(&["forget", "--keep-last", "2", "--dry-run"])
        .expect(0);
    assert!(
        dry.stdout.contains("would forget 1 snapshot, keep 2"),
        "{}",
        dry.stdout
    );
    assert!(dry.stdout.contains("no rule keeps it"), "{}", dry.stdout);
    assert_eq!(visible(&world), 3);
    world.run(&["forget", "--keep-last", "2"]).expect(0);
    assert_eq!(visible(&world), 2);
    world.run(&["ls", &ids[0]]).expect(2);
    world.run(&["forget", "--undo", &ids[0]]).expect(0);
    assert_eq!(visible(&world), 3);
    world.run(&["forget", &ids[0]]).expect(0);
    let before = stored();
    let pruned = world.run(&["prune"]).expect(0);
    assert!(
        pruned.stdout.contains("pruned 1 forgotten snapshot"),
        "{}",
        pruned.stdout
    );
    assert!(stored() + 250_000 < before);
    world.run(&["check", "--read-data"]).expect(0);
    world.run(&["forget", "--undo", &ids[0]]).expect(2);
}

#[test]
fn more_than_half_wants_force() {
    let (world, _) = three_days();
    let refused = world.run(&["forget", "--keep-last", "1"]).expect(11);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(visible(&world), 3);
    world
        .run(&["cleanup", "--older-than", "30d", "--force", "--prune"])
        .expect(0);
    assert_eq!(visible(&world), 0);
    world.run(&["forget"]).expect(2);
    world
        .run(&["forget", "--keep-last", "1", "--min", "60d", "--max", "30d"])
        .expect(2);
}

#[test]
fn a_hold_stands_against_everything() {
    let (world, ids) = three_days();
    let held = [
        "hold",
        "add",
        &ids[0],
        "--reason",
        "audit",
        "--until",
        "2200-01-01",
    ];
    world.run(&held).expect(0);
    let listed = world.run(&["hold", "list"]).expect(0);
    assert!(
        listed.stdout.contains("audit") && listed.stdout.contains("2200"),
        "{}",
        listed.stdout
    );
    let refused = world.run(&["forget", &ids[0]]).expect(11);
    assert!(
        refused.stderr.contains("icecore hold release"),
        "{}",
        refused.stderr
    );
    world.run(&["forget", "--keep-last", "2"]).expect(0);
    assert_eq!(visible(&world), 3);
    world.run(&["hold", "release", &ids[0]]).expect(0);
    world.run(&["hold", "release", &ids[0]]).expect(2);
    world.run(&["forget", &ids[0]]).expect(0);
    assert_eq!(visible(&world), 2);
    world
        .run(&["hold", "add", &ids[1], "--until", "2020-01-01"])
        .expect(2);
}
