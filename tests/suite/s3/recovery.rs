//! A repository that somebody destroyed with a stolen key, brought back from what the bucket kept.

use crate::cli::{Finished, PASSPHRASE, TestEnvironment};
use crate::support::moto::Moto;
use crate::support::s3_server::{KEY_ID, SECRET};
use crate::support::tree::noise;
use aws_sdk_s3::primitives::ByteStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A world whose repository lies in a bucket of a server that keeps versions.
pub fn world(location: &str) -> TestEnvironment {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_REPO", location);
    world.set("ICECORE_PASSPHRASE", PASSPHRASE);
    world.set("AWS_ACCESS_KEY_ID", KEY_ID);
    world.set("AWS_SECRET_ACCESS_KEY", SECRET);
    world
}

pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The second that is over when this returns: stores tell seconds, and what is done next must be
/// later than what was done.
pub fn end_of_second() -> String {
    let second = now().as_secs();
    while now().as_secs() == second {
        std::thread::sleep(Duration::from_millis(20));
    }
    let moment = jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
    moment.to_string()
}

pub fn snapshots(world: &TestEnvironment, repository: &str) -> u64 {
    let listed = world
        .run(&["snapshots", "--json", "-r", repository])
        .expect(0);
    listed.summary()["snapshots"].as_u64().unwrap()
}

pub fn recover(world: &TestEnvironment, as_of: &str, to: &str, more: &[&str]) -> Finished {
    let command = ["repo", "recover", "--as-of", as_of, "--to", to];
    world.run(&[&command, more].concat())
}

#[test]
fn what_was_deleted_and_overwritten_comes_back() {
    let server = Moto::start();
    server.make_versioned_bucket("bucket");
    let world = world(&server.location("bucket", "portal"));
    world.init(&[]).expect(0);
    world.write("data/a", noise(1, 400_000));
    world.run(&["snapshot", "data"]).expect(0);
    world.write("data/a", noise(2, 500_000));
    world.run(&["snapshot", "data"]).expect(0);
    let before = end_of_second();
    attack(&server);

    // Gone for everybody who looks at what is there now.
    assert_ne!(world.run(&["snapshots"]).code, 0);
    let looked = recover(&world, &before, "back", &["-n", "--json"])
        .expect(0)
        .summary();
    assert!(looked["objects_copied"].as_u64().unwrap() > 5, "{looked}");
    assert!(
        looked["bytes_stored"].as_u64().unwrap() > 900_000,
        "{looked}"
    );
    assert!(looked["since"]["deleted"].as_u64().unwrap() > 3, "{looked}");
    assert!(
        looked["since"]["overwritten"].as_u64().unwrap() > 0,
        "{looked}"
    );
    assert!(!world.path("back").exists(), "a look leaves nothing");

    recover(&world, &before, "back", &[]).expect(0);
    world.run(&["check", "--read-data", "-r", "back"]).expect(0);
    assert_eq!(snapshots(&world, "back"), 2);
    world
        .run(&["restore", "latest", "--target", "out", "-r", "back"])
        .expect(0);
    assert_eq!(
        std::fs::read(world.path("out/data/a")).unwrap(),
        noise(2, 500_000)
    );
    // Again, and into another prefix of the same bucket.
    let again = recover(&world, &before, "back", &["--json"])
        .expect(0)
        .summary();
    assert_eq!(again["objects_copied"], 0);
    let fresh = server.location("bucket", "portal-2");
    recover(&world, &before, &fresh, &[]).expect(0);
    world.run(&["check", "--read-data", "-r", &fresh]).expect(0);
    world.write("data/b", "goes on");
    world.run(&["snapshot", "data", "-r", &fresh]).expect(0);
    assert_eq!(snapshots(&world, &fresh), 3);
}

/// All that a stolen key of the bucket can do without the right to delete versions: half is deleted,
/// half is overwritten.
fn attack(server: &Moto) {
    for (number, name) in server.keys("bucket").iter().enumerate() {
        match number % 2 {
            0 => {
                let request = server.client.delete_object().bucket("bucket").key(name);
                server.wait(request.send()).unwrap();
            }
            _ => {
                let request = server.client.put_object().bucket("bucket").key(name);
                let request = request.body(ByteStream::from_static(b"pay us"));
                server.wait(request.send()).unwrap();
            }
        }
    }
}

#[test]
fn what_cannot_be_recovered_is_said() {
    let server = Moto::start();
    server.make_bucket("plain");
    server.make_versioned_bucket("bucket");
    let mut world = world(&server.location("plain", "p"));
    world.init(&[]).expect(0);
    let none = recover(&world, "2026-01-01", "back", &[]).expect(1);
    assert!(none.stderr.contains("versioning"), "{}", none.stderr);
    world.set("ICECORE_REPO", &server.location("bucket", "p"));
    world.init(&["--kit", "kit-2"]).expect(0);
    let early = recover(&world, "2020-01-01", "back", &[]).expect(10);
    assert!(early.stderr.contains("--as-of"), "{}", early.stderr);
    let same = recover(&world, "2020-01-01", &server.location("bucket", "p"), &[]).expect(2);
    assert!(same.stderr.contains("itself"), "{}", same.stderr);
    let odd = recover(&world, "yesterday", "back", &[]).expect(2);
    assert!(odd.stderr.contains("2026-11-24T18:30"), "{}", odd.stderr);
    world.write("full/file", "x");
    let full = recover(&world, &end_of_second(), "full", &[]).expect(11);
    assert!(full.stderr.contains("empty"), "{}", full.stderr);
    world.set("ICECORE_REPO", "full");
    recover(&world, "2020-01-01", "back", &[]).expect(2);
}

/// A prune ends the versions of what it deletes, and nothing else; or leaves them, where told.
#[test]
fn a_prune_frees_what_versions_hold() {
    let server = Moto::start();
    server.make_versioned_bucket("bucket");
    let world = world(&server.location("bucket", "p"));
    world.init(&[]).expect(0);
    world.write("data/a", noise(1, 400_000));
    world.run(&["snapshot", "data"]).expect(0);
    std::fs::remove_file(world.path("data/a")).unwrap();
    world.write("data/b", noise(2, 10_000));
    world.run(&["snapshot", "data"]).expect(0);
    world.run(&["forget", "--keep-last", "1"]).expect(0);
    let full = "p/packs/full/";
    let before = server.versions("bucket", full);
    let pruned = world.run(&["prune", "--json"]).expect(0).summary();
    assert!(
        pruned["bytes_freed"].as_u64().unwrap() > 400_000,
        "{pruned}"
    );
    assert_eq!(pruned["versions_kept"], 0);
    let after = server.versions("bucket", full);
    assert!(after < before, "{before} {after}");
    world.run(&["check", "--read-data"]).expect(0);

    world.write("data/b", noise(3, 10_000));
    world.run(&["snapshot", "data"]).expect(0);
    world.run(&["forget", "--keep-last", "1"]).expect(0);
    let before = server.versions("bucket", "p/snapshots/");
    world.run(&["prune", "--keep-versions"]).expect(0);
    assert_eq!(server.versions("bucket", "p/snapshots/"), before);
    world.run(&["check", "--read-data"]).expect(0);
}
