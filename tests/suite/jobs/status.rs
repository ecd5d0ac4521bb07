//! `status`: states that are caused, each with its own line and exit code, and silence when healthy.

use super::{configure, world};
use crate::cli::TestEnvironment;
use std::fs;

/// The states that status finds, and its exit code.
fn states(world: &TestEnvironment, options: &[&str]) -> (i32, Vec<String>) {
    let run = world.run(&[&["status", "--json"][..], options].concat());
    let summary = run.summary();
    let findings = summary["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("{summary}"));
    let states = findings
        .iter()
        .map(|one| one["state"].as_str().unwrap().to_owned());
    (run.code, states.collect())
}

#[test]
fn health_is_silent_and_each_trouble_has_its_own_state() {
    let world = world("verify = \"read-back\"");
    let (code, found) = states(&world, &[]);
    assert_eq!((code, found), (6, vec!["no-snapshot".to_owned(); 4]));
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(states(&world, &[]), (0, vec![]));
    let shown = world.run(&["status"]).expect(0).stdout;
    assert!(
        shown.starts_with("portal · ") && shown.contains("SAFE") && shown.contains("✓ db"),
        "{shown}"
    );
    let line = world.run(&["status", "--nagios"]).expect(0).stdout;
    assert_eq!(line, "OK - 4 sources\n");

    let connection = rusqlite::Connection::open(world.path("app.db")).unwrap();
    connection
        .execute("DELETE FROM t WHERE rowid > 70", [])
        .unwrap();
    world.run(&["run", "nightly"]).expect(3);
    let (code, found) = states(&world, &[]);
    assert_eq!(
        (code, found),
        (5, vec!["suspect".to_owned(), "failed".to_owned()])
    );
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(states(&world, &[]), (0, vec![]));

    configure(
        &world,
        "drill = { schedule = \"Sun 03:00\", command = [\"true\"] }",
    );
    let (code, found) = states(&world, &[]);
    assert_eq!((code, found), (5, vec!["never-drilled".to_owned(); 4]));
    world.run(&["drill", "--job", "nightly"]).expect(0);
    assert_eq!(states(&world, &[]), (0, vec![]));

    fs::rename(world.path("backup"), world.path("away")).unwrap();
    let (code, found) = states(&world, &[]);
    assert_eq!((code, found[0].as_str()), (6, "unreachable"));
    let line = world.run(&["status", "--nagios"]).expect(2).stdout;
    assert!(line.starts_with("CRITICAL - local: "), "{line}");
    fs::rename(world.path("away"), world.path("backup")).unwrap();

    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let small = text.replace(
        "url = \"backup\"",
        "url = \"backup\"\nmax_size = \"10 KiB\"",
    );
    world.write("icecore.toml", small);
    let (code, found) = states(&world, &[]);
    assert_eq!((code, found), (6, vec!["full".to_owned()]));
}

#[test]
fn age_is_judged_by_the_goal_or_by_what_is_asked() {
    let world = world("verify = \"none\"");
    world
        .run(&["run", "nightly", "--date", "2026-01-05"])
        .expect(0);
    let (code, found) = states(&world, &[]);
    assert_eq!((code, found), (6, vec!["stale".to_owned(); 4]));
    let (code, _) = states(&world, &["--max-age", "20000d"]);
    assert_eq!(code, 0);
    // Without a configuration: whatever the repository holds.
    fs::remove_file(world.path("icecore.toml")).unwrap();
    let bare = ["-r", "./backup", "--key-file", "host.key"];
    let (code, found) = states(&world, &bare);
    assert_eq!((code, found), (6, vec!["stale".to_owned(); 4]));
}
