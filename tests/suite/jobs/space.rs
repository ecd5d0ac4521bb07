//! Repositories that get full: told before, and what nobody needs is freed.

use super::world;
use crate::cli::{TestEnvironment, tree};
use crate::support::tree::noise;
use std::fs;

/// Bytes of all packs.
fn packs(world: &TestEnvironment) -> u64 {
    let packs = tree(&world.path("backup/packs"));
    packs.iter().map(|(_, content)| content.len() as u64).sum()
}

/// Sets the size that the repository is to stay below.
fn limit(world: &TestEnvironment, bytes: u64) {
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("max_size"))
        .map(|line| format!("{line}\n"))
        .collect();
    let with = format!("url = \"backup\"\nmax_size = \"{bytes}B\"\n");
    world.write("icecore.toml", without.replace("url = \"backup\"\n", &with));
}

#[test]
fn room_is_made_before_it_is_full_and_nothing_is_lost_that_a_rule_keeps() {
    let world = world("keep = { last = 5 }\nverify = \"read-back\"");
    for seed in 0..2 {
        world.write("srv/a.txt", noise(seed, 2 << 20));
        world.run(&["run", "nightly"]).expect(0);
    }
    let proven = world
        .run(&["snapshots", "-r", "local", "--json"])
        .expect(0)
        .objects();
    let of_files: Vec<&str> = proven
        .iter()
        .filter(|one| {
            one["source"]
                .as_str()
                .is_some_and(|source| source.starts_with("files:"))
        })
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    let [first, second] = of_files[..] else {
        panic!("{of_files:?}")
    };
    // Forgotten by hand, its space not freed.
    world.run(&["forget", first, "-r", "local"]).expect(0);
    let full = packs(&world);
    assert!(full > 4 << 20, "{full}");
    limit(&world, full * 100 / 85);
    let low = world.run(&["run", "nightly", "--json"]).expect(0).summary();
    let warning = low["jobs"][0]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("% of its size is used"), "{low}");
    assert!(packs(&world) >= full, "nothing is done yet");
    limit(&world, packs(&world) * 100 / 97);
    let made = world.run(&["run", "nightly"]).expect(0);
    assert!(made.stderr.contains("making room"), "{}", made.stderr);
    let after = packs(&world);
    assert!(after < full - (2 << 20) + (1 << 20), "{after} of {full}");
    world.run(&["ls", second, "-r", "local"]).expect(0);
    world
        .run(&["check", "--read-data", "-r", "local"])
        .expect(0);
    // All that is left is kept by a rule: that is said, and the snapshot is taken all the same.
    limit(&world, 1 << 20);
    let short = world.run(&["run", "nightly", "--json"]).expect(5).summary();
    let job = &short["jobs"][0];
    let problem = job["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("after everything that no rule keeps is gone"),
        "{short}"
    );
    assert_eq!(job["snapshots"].as_array().unwrap().len(), 4, "{short}");
    world.run(&["ls", second, "-r", "local"]).expect(0);
    let metrics = fs::read_to_string(world.path("portal.prom")).unwrap();
    let told = "portal_repository_size_limit_bytes{repository=\"local\"} 1048576";
    assert!(metrics.contains(told), "{metrics}");
}
