//! Storage classes: what goes where, and getting it back.

use super::recovery::world;
use crate::support::moto::Moto;
use crate::support::tree::noise;
use std::collections::BTreeMap;

/// The storage class of each pack with contents.
fn classes(server: &Moto) -> BTreeMap<String, String> {
    let request = server.client.list_objects_v2().bucket("bucket");
    let listed = server.wait(request.prefix("p/packs/").send()).unwrap();
    let objects = listed.contents().iter();
    objects
        .map(|object| {
            let class = object
                .storage_class()
                .map_or("STANDARD", |class| class.as_str());
            (object.key().unwrap().to_owned(), class.to_owned())
        })
        .collect()
}

fn count(server: &Moto, class: &str) -> usize {
    classes(server)
        .values()
        .filter(|found| *found == class)
        .count()
}

#[test]
fn what_only_older_snapshots_need_goes_to_the_cold_and_comes_back() {
    let server = Moto::start();
    server.make_bucket("bucket");
    let world = world(&server.location("bucket", "p"));
    world.init(&[]).expect(0);
    world.write("data/old", noise(1, 400_000));
    world.write("data/both", noise(2, 300_000));
    world.run(&["snapshot", "data"]).expect(0);
    std::fs::remove_file(world.path("data/old")).unwrap();
    world.write("data/new", noise(3, 200_000));
    world.run(&["snapshot", "data"]).expect(0);
    // What is older than nothing is everything but the newest snapshot's.
    let tiers = [
        "prune",
        "--tier",
        "GLACIER=0s",
        "--tier",
        "STANDARD_IA=3650d",
        "--json",
    ];
    let looked = world
        .run(&[&tiers[..], &["-n"]].concat())
        .expect(0)
        .summary();
    assert_eq!(count(&server, "GLACIER"), 0);
    // One pack holds what both need: it stays warm, and nothing is cold.
    assert_eq!(looked["packs_tiered"], 0, "{looked}");

    world.write("data/new", noise(4, 200_000));
    std::fs::remove_file(world.path("data/both")).unwrap();
    world.run(&["snapshot", "data"]).expect(0);
    let moved = world.run(&tiers).expect(0).summary();
    let cold = count(&server, "GLACIER");
    assert!(cold > 0 && moved["packs_tiered"] == cold, "{moved}");
    assert!(
        classes(&server)
            .iter()
            .all(|(key, class)| !key.contains("/meta/") || class == "STANDARD")
    );
    let again = world.run(&tiers).expect(0).summary();
    assert_eq!(again["packs_tiered"], 0);

    // The newest restores at once; the first one asks.
    world
        .run(&["restore", "latest", "--target", "new"])
        .expect(0);
    let first = ["restore", "latest~2", "--target", "old"];
    let asked = world.run(&first).expect(2);
    assert!(asked.stderr.contains("--thaw standard"), "{}", asked.stderr);
    assert!(!world.path("old").exists());
    let looked = world.run(&[&first[..], &["-n"]].concat()).expect(0);
    assert!(
        looked.stdout.contains("GLACIER") && looked.stdout.contains("$"),
        "{}",
        looked.stdout
    );
    world
        .run(&[&first[..], &["--thaw", "standard", "--thaw-days", "2"]].concat())
        .expect(0);
    assert_eq!(
        std::fs::read(world.path("old/data/old")).unwrap(),
        noise(1, 400_000)
    );
    assert_eq!(
        std::fs::read(world.path("old/data/both")).unwrap(),
        noise(2, 300_000)
    );

    // A prune deletes what is cold and not needed any more, and goes on beside it.
    let forget = ["forget", "--keep-last", "1", "--force"];
    world.run(&forget).expect(0);
    world.run(&["prune", "--max-unused", "0%"]).expect(0);
    assert_eq!(count(&server, "GLACIER"), 0);
    world.run(&["check", "--read-data"]).expect(0);
}
