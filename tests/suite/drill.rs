#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Restores that are tried: what proves a snapshot, what does not, and that nothing is left behind.

use crate::cli::TestEnvironment;
use crate::jobs;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn leftovers(world: &TestEnvironment) -> usize {
    let directory = std::fs::read_dir(world.path("home/.cache/icecore/drill"));
    directory.map_or(0, Iterator::count)
}

#[test]
fn a_drill_proves_and_is_remembered() {
    let world = TestEnvironment::new();
    world.database("app.db", 50);
    world.run(&["snapshot", "app.db"]).expect(0);
    let query = ["--query", "SELECT count(*) = 50 FROM t"];
    let command = ["--", "test", "-f", "app.db"];
    let drill = [&["drill", "latest", "--json"][..], &query, &command].concat();
    let summary = world.run(&drill).expect(0).summary();
    let one = &summary["drills"][0];
    assert_eq!(
        (one["passed"].as_bool(), one["rows_compared"].as_u64()),
        (Some(true), Some(50))
    );
    assert_eq!(one["queries"][0]["value"], "1");
    assert!(one["rto_seconds"].as_f64().unwrap() > 0.0);
    let listed = world.run(&["snapshots"]).expect(0).stdout;
    assert!(listed.contains("drill"), "{listed}");
    assert_eq!(leftovers(&world), 0);
    let told = world.run(&["drill", "latest"]).expect(0).stdout;
    assert!(
        told.contains("drill passed in") && told.contains("is now PROVEN"),
        "{told}"
    );
}

#[test]
fn a_drill_fails_when_it_must_and_records_nothing() {
    let world = TestEnvironment::new();
    world.database("app.db", 50);
    let connection = rusqlite::Connection::open(world.path("app.db")).unwrap();
    world.run(&["snapshot", "app.db"]).expect(0);
    for (options, why) in [
        (&["--query", "SELECT count(*) > 50 FROM t"][..], "gives 0"),
        (&["--query", "SELECT nonsense"], "cannot be asked"),
        (&["--", "false"], "command false ended with"),
        (&["--", "/nowhere/program"], "cannot be started"),
    ] {
        let failed = world
            .run(&[&["drill", "latest"][..], options].concat())
            .expect(6);
        assert!(
            failed.stderr.contains("drill FAILED") && failed.stderr.contains(why),
            "{}",
            failed.stderr
        );
    }
    let schema = "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id));
        PRAGMA foreign_keys = off; INSERT INTO c VALUES (7);";
    connection.execute_batch(schema).unwrap();
    world.run(&["snapshot", "app.db"]).expect(0);
    let failed = world.run(&["drill", "latest"]).expect(6);
    assert!(
        failed.stderr.contains("refers to a row of p"),
        "{}",
        failed.stderr
    );
    assert!(!world.run(&["snapshots"]).expect(0).stdout.contains("drill"));
    assert_eq!(leftovers(&world), 0);
    // A pack is gone: the restore itself fails.
    world
        .run(&["snapshot", "app.db", "--parent", "none"])
        .expect(0);
    std::fs::remove_dir_all(world.path("repo/packs")).unwrap();
    let failed = world.run(&["drill", "latest"]);
    assert!(failed.code == 6 || failed.code == 4, "{}", failed.stderr);
}

#[test]
fn a_job_is_tried_with_its_own_queries() {
    let job = "drill = { query = { db = \"select count(*) = 100 from t\" }, command = [\"true\"] }";
    let world = jobs::world(job);
    world.run(&["run", "nightly"]).expect(0);
    let summary = world
        .run(&["drill", "--job", "nightly", "--json"])
        .expect(0)
        .summary();
    let drills = summary["drills"].as_array().unwrap();
    assert_eq!(
        drills.len(),
        4,
        "every source but the configuration: {drills:#?}"
    );
    let asked = drills
        .iter()
        .filter(|one| !one["queries"].as_array().unwrap().is_empty());
    assert_eq!(asked.count(), 1);
    jobs::configure(&world, &job.replace("100", "99"));
    world.run(&["drill", "--job", "nightly"]).expect(6);
    world.run(&["drill", "--job", "nightyl"]).expect(2);
}

#[test]
fn what_a_killed_drill_left_is_removed_by_the_next() {
    let world = TestEnvironment::new();
    world.write("data/a", "alpha");
    world.run(&["snapshot", "data"]).expect(0);
    let mut command = world.command(&["drill", "latest", "--", "sleep", "1000"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !world
        .path("home/.cache/icecore/drill/icecore-drill-0/restored/data/a")
        .exists()
    {
        assert!(Instant::now() < end, "nothing was restored");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(leftovers(&world), 1);
    world.run(&["drill", "latest"]).expect(0);
    assert_eq!(leftovers(&world), 0);
}
