//! Object Lock: what nobody can delete, for how long, and what becomes of it when it is not needed.

use super::recovery::{end_of_second, now, recover, snapshots, world};
use crate::cli::TestEnvironment;
use crate::support::moto::Moto;
use crate::support::tree::noise;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};

const DAY: i64 = 24 * 60 * 60;

/// A bucket with locks, and a world whose repository in it locks for 30 days.
fn locked() -> (Moto, TestEnvironment) {
    let server = Moto::start();
    server.make_locking_bucket("vault");
    let location = server.location("vault", "p") + "&lock=compliance:30d";
    let world = world(&location);
    world.init(&[]).expect(0);
    world.write("data/a", noise(1, 400_000));
    world.run(&["snapshot", "data"]).expect(0);
    (server, world)
}

fn days_left(server: &Moto, key: &str) -> Option<i64> {
    let request = server.client.head_object().bucket("vault").key(key);
    let answer = server.wait(request.send()).unwrap();
    let until = answer.object_lock_retain_until_date()?.secs();
    Some((until - i64::try_from(now().as_secs()).unwrap() + DAY / 2) / DAY)
}

/// Sets when a lock ends. Real servers do not let it be nearer; this one does.
fn set_days_left(server: &Moto, key: &str, days: i64) {
    let until = i64::try_from(now().as_secs()).unwrap() + days * DAY;
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Compliance)
        .retain_until_date(DateTime::from_secs(until));
    let request = server.client.put_object_retention();
    let request = request.bucket("vault").key(key);
    server
        .wait(request.retention(retention.build()).send())
        .unwrap();
}

fn states(world: &TestEnvironment) -> Vec<String> {
    let summary = world.run(&["status", "--json"]).summary();
    let findings = summary["findings"].as_array().unwrap();
    let states = findings.iter().map(|one| one["state"].as_str().unwrap());
    states.map(str::to_owned).collect()
}

#[test]
fn what_is_needed_is_locked_and_stays_so() {
    let (server, world) = locked();
    for key in server.keys("vault") {
        let first = key.split('/').nth(1).unwrap();
        let wanted = match first {
            "sessions" | "gc" | "proofs" => None,
            _ => Some(30),
        };
        assert_eq!(days_left(&server, &key), wanted, "{key}");
    }
    let info = world.run(&["repo", "info", "--json"]).expect(0).summary();
    assert_eq!(info["locks"]["mode"], "compliance");
    assert!(info["locks"]["locked_until"].is_string(), "{info}");
    assert_eq!(states(&world), Vec::<String>::new());

    // Nobody extended them for a long time.
    let keys = server.keys("vault");
    let needed: Vec<&String> = keys
        .iter()
        .filter(|key| days_left(&server, key).is_some())
        .collect();
    for key in &needed {
        set_days_left(&server, key, 1);
    }
    assert_eq!(states(&world), ["lock-lapsing"]);
    let pruned = world.run(&["prune", "--json"]).expect(0).summary();
    assert_eq!(pruned["locks"]["extended"], needed.len());
    for key in &needed {
        assert_eq!(days_left(&server, key), Some(30), "{key}");
    }
    assert_eq!(states(&world), Vec::<String>::new());
    // What is locked long enough is left alone.
    let again = world.run(&["prune", "--json"]).expect(0).summary();
    assert_eq!(again["locks"]["extended"], 0);
}

#[test]
fn what_is_locked_is_not_pruned_until_that_ends() {
    let (server, world) = locked();
    std::fs::remove_file(world.path("data/a")).unwrap();
    world.write("data/b", noise(2, 50_000));
    world.run(&["snapshot", "data"]).expect(0);
    world.run(&["forget", "--keep-last", "1"]).expect(0);
    let packs = |server: &Moto| {
        let keys = server.keys("vault").into_iter();
        keys.filter(|key| key.starts_with("p/packs/full/"))
            .collect::<Vec<_>>()
    };
    let before = packs(&server);
    let looked = world.run(&["prune", "-n", "--json"]).expect(0).summary();
    assert!(
        looked["bytes_locked"].as_u64().unwrap() > 400_000,
        "{looked}"
    );
    let pruned = world.run(&["prune", "--json"]).expect(0).summary();
    assert_eq!(pruned["packs"], 0, "{pruned}");
    assert_eq!(pruned["snapshots"], 1);
    assert!(pruned["versions_kept"].as_u64().unwrap() > 0, "{pruned}");
    assert_eq!(packs(&server), before);
    world.run(&["check", "--read-data"]).expect(0);
    // What nothing needs is left to lapse, and then it goes.
    let dead: Vec<&String> = before
        .iter()
        .filter(|key| {
            set_days_left(&server, key, 2);
            world.run(&["prune"]).expect(0);
            days_left(&server, key) == Some(2)
        })
        .collect();
    assert_eq!(dead.len(), 1);
    set_days_left(&server, dead[0], -1);
    let pruned = world.run(&["prune", "--json"]).expect(0).summary();
    assert!(
        pruned["bytes_freed"].as_u64().unwrap() > 400_000,
        "{pruned}"
    );
    assert_eq!(server.versions("vault", dead[0]), 0);
    world.run(&["check", "--read-data"]).expect(0);
}

/// Every right to the bucket is not enough to destroy what is locked.
#[test]
fn a_stolen_key_with_every_right_destroys_nothing() {
    let (server, world) = locked();
    let before = end_of_second();
    let request = server.client.list_object_versions().bucket("vault");
    let listed = server.wait(request.send()).unwrap();
    let mut refused = 0;
    for version in listed.versions() {
        let key = version.key().unwrap();
        let request = server.client.delete_object().bucket("vault").key(key);
        let request = request.version_id(version.version_id().unwrap());
        refused += usize::from(server.wait(request.send()).is_err());
        let request = server.client.delete_object().bucket("vault").key(key);
        server.wait(request.send()).unwrap();
    }
    assert!(refused > 5, "{refused}");
    assert_eq!(server.keys("vault"), Vec::<String>::new());
    recover(&world, &before, "back", &[]).expect(0);
    world.run(&["check", "--read-data", "-r", "back"]).expect(0);
    assert_eq!(snapshots(&world, "back"), 1);
}

#[test]
fn locks_come_from_the_configuration_too_and_not_for_directories() {
    let server = Moto::start();
    server.make_locking_bucket("vault");
    let mut world = world("");
    world.unset("ICECORE_REPO");
    let url = server.location("vault", "q");
    let file = |url: &str, keep: &str| {
        format!(
            "version = 1\nname = \"vaulted\"\n[repository.main]\nurl = \"{url}\"\n\
             lock = {{ mode = \"governance\", keep = \"{keep}\" }}\n"
        )
    };
    world.write("icecore.toml", file(&url, "10d"));
    world.init(&["-r", "main"]).expect(0);
    world.write("data/a", "x");
    world.run(&["snapshot", "data"]).expect(0);
    let info = world.run(&["repo", "info", "--json"]).expect(0).summary();
    assert_eq!(info["locks"]["mode"], "governance");
    assert_eq!(info["locks"]["keep_seconds"], 10 * DAY);
    world.write("icecore.toml", file(&url, "99y"));
    let long = world.run(&["snapshot", "data"]).expect(2);
    assert!(long.stderr.contains("ten years"), "{}", long.stderr);
    world.write("icecore.toml", file("backup", "10d"));
    let directory = world.run(&["snapshot", "data"]).expect(2);
    assert!(directory.stderr.contains("bucket"), "{}", directory.stderr);
}
