//! Whole commands on a bucket, as a user gives them.

use crate::cli::{Finished, PASSPHRASE, TestEnvironment};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::s3_server::{KEY_ID, S3Server, SECRET, location};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A world whose repository lies in a bucket, with credentials in the environment.
fn world(location: &str) -> TestEnvironment {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_REPO", location);
    world.set("ICECORE_PASSPHRASE", PASSPHRASE);
    world.set("AWS_ACCESS_KEY_ID", KEY_ID);
    world.set("AWS_SECRET_ACCESS_KEY", SECRET);
    world
}

/// Runs a command, whose every output must keep the secret.
fn run(world: &TestEnvironment, arguments: &[&str]) -> Finished {
    silent(world.run(arguments))
}

fn silent(finished: Finished) -> Finished {
    for shown in [&finished.stdout, &finished.stderr] {
        assert!(!shown.contains(SECRET), "a secret is shown:\n{shown}");
    }
    finished
}

#[test]
fn a_repository_lives_in_a_bucket() {
    let server = S3Server::start();
    let location = server.location("portal/main");
    let world = world(&location);
    let made = silent(world.init(&["--json", "--kit", "kit.txt"])).expect(0);
    let summary = made.summary();
    assert_eq!(summary["location"], location.as_str());
    assert_eq!(summary["bucket"]["list_lag_seconds"], 0.0);
    assert_ne!(summary["bucket"]["create_new"], "unsupported");
    let kit = fs::read_to_string(world.path("kit.txt")).unwrap();
    assert!(kit.contains(&location) && !kit.contains(SECRET), "{kit}");
    silent(world.init(&[])).expect(11);

    world.write("data/a", vec![1; 300_000]);
    world.database("app.db", 20_000);
    run(&world, &["snapshot", "data", "sqlite:app.db"]).expect(0);
    world.write("data/b", "second");
    run(&world, &["snapshot", "data"]).expect(0);
    run(&world, &["check", "--read-data"]).expect(0);
    let target = ["restore", "latest", "--source", "data", "--target", "out"];
    let sources = run(&world, &["snapshots", "--json"]).expect(0).objects();
    assert_eq!(sources.len(), 4, "three snapshots and a summary");
    let named = |source: &serde_json::Value| source["source"].as_str().unwrap_or("").to_owned();
    let tree = sources
        .iter()
        .map(named)
        .find(|name| name.ends_with("/data"));
    let mut restore = target;
    let tree = tree.unwrap();
    restore[3] = &tree;
    run(&world, &restore).expect(0);
    assert_eq!(
        fs::read(world.path("out/data/a")).unwrap(),
        vec![1; 300_000]
    );
    assert_eq!(fs::read(world.path("out/data/b")).unwrap(), b"second");
    run(&world, &["repo", "info"]).expect(0);

    let keep = ["forget", "--keep-last", "1"];
    run(&world, &keep).expect(0);
    run(&world, &["prune", "--max-unused", "0%"]).expect(0);
    run(&world, &["check", "--read-data"]).expect(0);
    // Another machine: no cache, the secret file instead of the environment.
    let mut other = self::world(&location);
    other.unset("AWS_ACCESS_KEY_ID");
    other.unset("AWS_SECRET_ACCESS_KEY");
    other.write(
        "home/.aws/credentials",
        format!("[offsite]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
    );
    other.set("ICECORE_REPO", &format!("{location}&profile=offsite"));
    let left = run(&other, &["snapshots", "--json"]).expect(0).summary();
    assert_eq!(left["snapshots"], 2);
    assert!(left["requests"].as_u64().unwrap() > 3, "{left}");
    // A command that gives them.
    let helper = other.write(
        "give",
        format!(
            "#!/bin/sh\nprintf '%s' '{{\"Version\":1,\"AccessKeyId\":\"{KEY_ID}\",\
             \"SecretAccessKey\":\"{SECRET}\"}}'\n"
        ),
    );
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&helper, executable).unwrap();
    let process = format!(
        "[profile vault]\ncredential_process = {}\n",
        helper.display()
    );
    other.write("home/.aws/config", process);
    other.set("ICECORE_REPO", &format!("{location}&profile=vault"));
    run(&other, &["snapshots"]).expect(0);
    // A copy of the objects is a repository in a directory.
    other.set(
        "ICECORE_REPO",
        server.object("portal/main").to_str().unwrap(),
    );
    run(&other, &["check", "--read-data"]).expect(0);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let server = S3Server::start();
    let mut world = world(&server.location("p"));
    // No repository, no bucket, no server.
    let none = run(&world, &["snapshots"]).expect(10);
    assert!(none.stderr.contains("repo init"), "{}", none.stderr);
    world.set(
        "ICECORE_REPO",
        &location(server.address(), "no-such-bucket", "p"),
    );
    let none = silent(world.init(&[])).expect(10);
    assert!(none.stderr.contains("make the bucket"), "{}", none.stderr);
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    world.set("ICECORE_REPO", &location(address, "bucket", "p"));
    let none = run(&world, &["snapshots"]).expect(1);
    assert!(none.stderr.contains("cannot be reached"), "{}", none.stderr);
    assert!(
        none.stderr.contains(&address.to_string()),
        "{}",
        none.stderr
    );

    // Wrong credentials, none, and a place where they do not belong.
    world.set("ICECORE_REPO", &server.location("p"));
    world.set("AWS_SECRET_ACCESS_KEY", "wrong-and-not-shown");
    let wrong = run(&world, &["snapshots"]).expect(1);
    assert!(
        wrong.stderr.contains("AWS_ACCESS_KEY_ID"),
        "{}",
        wrong.stderr
    );
    assert!(!wrong.stderr.contains("wrong-and-not-shown"));
    world.unset("AWS_SECRET_ACCESS_KEY");
    world.unset("AWS_ACCESS_KEY_ID");
    let none = run(&world, &["snapshots"]).expect(1);
    assert!(none.stderr.contains("no credentials"), "{}", none.stderr);
    world.set("ICECORE_REPO", "s3://id:hunter2@bucket/p");
    let shown = run(&world, &["snapshots", "--log-file", "log.json"]).expect(2);
    assert!(shown.stderr.contains("processes"), "{}", shown.stderr);
    let log = fs::read_to_string(world.path("log.json")).unwrap();
    for text in [&shown.stderr, &shown.stdout, &log] {
        assert!(!text.contains("hunter2"), "{text}");
    }

    // Other objects are left alone, and a network gets nothing unencrypted.
    world.set("AWS_ACCESS_KEY_ID", KEY_ID);
    world.set("AWS_SECRET_ACCESS_KEY", SECRET);
    fs::create_dir_all(server.object("used")).unwrap();
    fs::write(server.object("used/photo.jpg"), b"x").unwrap();
    world.set("ICECORE_REPO", &server.location("used"));
    let used = silent(world.init(&[])).expect(2);
    assert!(used.stderr.contains("photo.jpg"), "{}", used.stderr);
    world.set(
        "ICECORE_REPO",
        "s3://bucket/p?endpoint=http://192.0.2.1:9000",
    );
    let plain = run(&world, &["snapshots"]).expect(1);
    assert!(plain.stderr.contains("not encrypted"), "{}", plain.stderr);
    world.set("ICECORE_REPO", "s3://bucket/p?regoin=x");
    run(&world, &["snapshots"]).expect(2);
}

/// A connection that is lost for good in the middle of a backup: it says so, nothing counts that
/// was not said to be saved, and the next run goes on.
#[test]
fn a_lost_connection_ends_a_backup_and_the_next_run_goes_on() {
    let server = S3Server::start();
    let proxy = FaultProxy::start(server.address());
    let mut world = world(&location(proxy.address(), "bucket", "p"));
    silent(world.init(&[])).expect(0);
    world.write("data/a", crate::support::tree::noise(3, 3_000_000));
    let puts = AtomicUsize::new(0);
    proxy.plan(move |request| {
        let is_late = request.method == "PUT" && puts.fetch_add(1, Ordering::SeqCst) >= 1;
        is_late.then_some(Fault::Refuse)
    });
    let lost = run(&world, &["snapshot", "data", "--timeout", "4s"]).expect(1);
    assert!(lost.stderr.contains("trying again"), "{}", lost.stderr);
    proxy.plan(|_| None);
    let count = |world: &TestEnvironment| {
        let listed = run(world, &["snapshots", "--json"]).expect(0);
        listed.summary()["snapshots"].as_u64().unwrap()
    };
    assert_eq!(count(&world), 0);
    // Every third request fails from now on, and nobody need care.
    proxy.plan(|request| (request.number % 3 == 0).then_some(Fault::LoseAnswer));
    run(&world, &["snapshot", "data"]).expect(0);
    assert_eq!(count(&world), 1);
    world.set("ICECORE_REPO", &server.location("p"));
    run(&world, &["check", "--read-data"]).expect(0);
    run(&world, &["restore", "latest", "--target", "out"]).expect(0);
    let restored = fs::read(world.path("out/data/a")).unwrap();
    assert!(restored == crate::support::tree::noise(3, 3_000_000));
}

/// Packs in a cold class: what they hold cannot be had now, which is not damage.
#[test]
fn what_lies_in_cold_storage_is_refused_with_what_to_do() {
    let server = S3Server::start();
    let proxy = FaultProxy::start(server.address());
    let world = world(&location(proxy.address(), "bucket", "p"));
    silent(world.init(&[])).expect(0);
    world.write("data/a", crate::support::tree::noise(4, 100_000));
    run(&world, &["snapshot", "data"]).expect(0);
    proxy.plan(|request| {
        let is_pack = request.method == "GET" && request.path.contains("/packs/full/");
        is_pack.then_some(Fault::Status(403, "InvalidObjectState"))
    });
    let frozen = run(&world, &["restore", "latest", "--target", "out"]).expect(1);
    assert!(
        frozen.stderr.contains("restore-object"),
        "{}",
        frozen.stderr
    );
    let frozen = run(&world, &["check", "--read-data"]).expect(1);
    assert!(frozen.stderr.contains("cold storage"), "{}", frozen.stderr);
    proxy.plan(|_| None);
    run(&world, &["restore", "latest", "--target", "out"]).expect(0);
}
