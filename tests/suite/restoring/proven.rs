//! Snapshots that were read back, and where it shows.

use super::{flip_in_packs, number, packs, summary_of};
use crate::cli::TestEnvironment;
use crate::support::tree::noise;
use std::collections::BTreeSet;

fn proven(world: &TestEnvironment) -> Vec<String> {
    let listed = world.run(&["snapshots", "--json"]).expect(0).objects();
    let snapshots = listed.iter().filter(|object| object["type"] == "snapshot");
    snapshots
        .map(|snapshot| match snapshot["proven"]["kind"].as_str() {
            Some(kind) => kind.to_owned(),
            None => "-".to_owned(),
        })
        .collect()
}

#[test]
fn what_was_stored_is_read_back_once() {
    let world = TestEnvironment::new();
    world.write("data/one", noise(1, 3_000_000));
    world.run(&["snapshot", "data"]).expect(0);
    assert_eq!(proven(&world), ["-"]);
    world.write("data/two", noise(2, 400_000));
    let verify = ["snapshot", "data", "--verify-after"];
    let first = summary_of(&world, &verify);
    assert_eq!(first["verified"], true);
    // What the parent stored had never been read back.
    assert!(number(&first, "bytes_verified") > 3_400_000, "{first}");
    assert_eq!(proven(&world), ["-", "read-data"]);
    world.write("data/three", noise(3, 400_000));
    let second = summary_of(&world, &verify);
    let read = number(&second, "bytes_verified");
    assert!((400_000..700_000).contains(&read), "{second}");
    let shown = world.run(&["snapshots"]).expect(0).stdout;
    assert_eq!(shown.matches("read back 20").count(), 2, "{shown}");
    world
        .run(&["check", "--read-data", "--subset", "1/7"])
        .expect(0);
    assert_eq!(proven(&world), ["-", "read-data", "read-data"]);
    world.run(&["check", "--read-data"]).expect(0);
    assert_eq!(proven(&world), ["read-data"; 3]);
    // A snapshot counts its own record among the bytes that were stored.
    let nothing = world
        .run(&["snapshot", "data", "--json"])
        .expect(0)
        .summary();
    assert_eq!(number(&nothing, "bytes_new"), 0);
    assert!(number(&nothing, "bytes_stored") > 1000, "{nothing}");
    assert!(number(&nothing, "bytes_stored") <= number(&nothing, "bytes_uploaded"));
}

#[test]
fn what_cannot_be_read_back_is_not_proven() {
    let world = TestEnvironment::new();
    world.write("data/one", noise(1, 400_000));
    world.run(&["snapshot", "data"]).expect(0);
    flip_in_packs(&packs(&world), &BTreeSet::new());
    world.write("data/two", noise(2, 400_000));
    let verify = ["snapshot", "data", "--verify-after", "--json"];
    let summary = world.run(&verify).expect(6).summary();
    assert_eq!(summary["verified"], false);
    assert_eq!(summary["ok"], false);
    assert!(summary["snapshot_id"].is_string(), "{summary}");
    assert_eq!(proven(&world), ["-", "-"]);
    let shown = world.run(&["snapshot", "data", "--verify-after"]).expect(6);
    assert!(shown.stderr.contains("NOT PROVEN"), "{}", shown.stderr);
    // Only what is whole is remembered.
    world.run(&["check", "--read-data"]).expect(4);
    assert_eq!(proven(&world), ["-", "-", "-"]);
}
