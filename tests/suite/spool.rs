#![allow(clippy::unwrap_used, clippy::expect_used)]
//! A slow store holds no database open, and what a killed run had sealed goes up with the next.

use crate::cli::TestEnvironment;
use crate::support::is_long;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A database of so many kilobytes that do not compress.
fn world(kilobytes: u32) -> TestEnvironment {
    let world = TestEnvironment::new();
    let connection = rusqlite::Connection::open(world.path("app.db")).unwrap();
    let rows = format!(
        "CREATE TABLE t(a, b);
         INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n \
         WHERE i<{}) SELECT i, randomblob(2000) FROM n;",
        kilobytes / 2
    );
    connection.execute_batch(&rows).unwrap();
    world
}

fn capture_seconds(world: &TestEnvironment, options: &[&str]) -> f64 {
    let snapshot = ["snapshot", "app.db", "--parent", "none", "--json"];
    let taken = world.run(&[&snapshot[..], options].concat()).expect(0);
    taken.summary()["capture_seconds"].as_f64().unwrap()
}

/// Another repository for every run: nothing is known there.
fn fresh(world: &mut TestEnvironment, name: &str) {
    world.set("ICECORE_REPO", name);
    world.init(&["--kit", &format!("{name}.kit")]).expect(0);
}

#[test]
fn a_slow_link_does_not_hold_the_transaction_open() {
    // Several packs, so that a capture without a spool meets the link before its end.
    let mut world = world(if is_long() { 150_000 } else { 80_000 });
    let slow = ["--limit-upload", if is_long() { "1MB/s" } else { "20MB/s" }];
    let spool = [&slow[..], &["--spool-size", "1GiB"]].concat();
    // The slack is the machine's, and so are three attempts: other tests run beside this one.
    let (slack, attempts) = if is_long() { (0.2, 1) } else { (1.0, 3) };
    let mut times = (1..=attempts).map(|attempt| {
        fresh(&mut world, &format!("local-{attempt}"));
        let local = capture_seconds(&world, &[]);
        fresh(&mut world, &format!("spooled-{attempt}"));
        (local, capture_seconds(&world, &spool))
    });
    let is_met = |(local, spooled): &(f64, f64)| *spooled < 1.3 * local + slack;
    let (local, spooled) = times
        .find(is_met)
        .expect("a capture with a spool takes as long as one without a link");
    drop(times);
    world.run(&["check", "--read-data"]).expect(0);
    if is_long() {
        fresh(&mut world, "direct");
        let direct = capture_seconds(&world, &slow);
        println!("capture: local {local} s, slow link with spool {spooled} s, without {direct} s");
        assert!(
            direct > 5.0 * spooled,
            "{direct} s without a spool, {spooled} s with one"
        );
    }
}

/// Index segments in a spool that is being used: what is half written or gone again does not count.
fn segments(directory: &Path, is_index: bool) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| {
        let name = entry.file_name();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => segments(&entry.path(), is_index || name == "index"),
            _ => usize::from(is_index && !name.to_string_lossy().starts_with('.')),
        }
    };
    entries.map(count).sum()
}

#[test]
fn what_a_killed_run_had_sealed_goes_up_with_the_next() {
    let world = world(6_000);
    let spool = ["--spool-size", "1GiB", "--spool-dir", "spool", "--json"];
    let slow = ["snapshot", "app.db", "--limit-upload", "100KB/s"];
    let mut command = world.command(&[&slow[..], &spool].concat());
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let waiting = || segments(&world.path("spool"), false);
    let end = Instant::now() + Duration::from_secs(60);
    while waiting() == 0 {
        assert!(Instant::now() < end, "nothing was spooled");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.run(&["check"]).expect(0);
    let next = [&["snapshot", "app.db"][..], &spool].concat();
    let summary = world.run(&next).expect(0).summary();
    assert!(
        summary["objects_resumed"].as_u64().unwrap() > 0,
        "{summary}"
    );
    let (new, total) = (
        summary["chunks_new"].as_u64(),
        summary["chunks_total"].as_u64(),
    );
    assert!(
        new < total,
        "what was sealed before is not stored again: {summary}"
    );
    world.run(&["check", "--read-data"]).expect(0);
    assert_eq!(waiting(), 0);
    let left = fs::read_dir(world.path("spool"))
        .unwrap()
        .flat_map(|one| fs::read_dir(one.unwrap().path()).unwrap());
    assert_eq!(left.count(), 0, "an empty spool is removed");
}

#[test]
fn a_spool_that_cannot_be_had_is_said_and_done_without() {
    let world = world(6_000);
    world.write("spool", "a file is in the way");
    let spool = [
        "snapshot",
        "app.db",
        "--spool-size",
        "1GiB",
        "--spool-dir",
        "spool",
    ];
    let taken = world.run(&spool).expect(0);
    assert!(
        taken.stderr.contains("captures wait for the store instead"),
        "{}",
        taken.stderr
    );
}
