//! There and back again.

use super::TestEnvironment;
use super::environment::tree;
use std::fs;

#[test]
fn a_tree_comes_back_as_it_was() {
    let world = TestEnvironment::new();
    world.write("data/src/main.rs", "fn main() {}");
    world.write("data/big", vec![3; 2_000_000]);
    world.write("data/node_modules/x/y", vec![0; 10_000]);
    world.write("excludes", "node_modules # npm ci\n");
    let taken = world
        .run(&[
            "backup",
            "data",
            "--exclude-file",
            "excludes",
            "--tag",
            "env=prod",
        ])
        .expect(0);
    assert!(
        taken
            .stdout
            .contains("left out 10.0 kB (node_modules: npm ci)"),
        "{}",
        taken.stdout
    );
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(0);
    assert!(!world.path("out/data/node_modules").exists());
    fs::remove_dir_all(world.path("data/node_modules")).unwrap();
    let relative = |root: &str| {
        let root = world.path(root);
        let files = tree(&root).into_iter();
        files
            .map(|(path, content)| (path.strip_prefix(&root).unwrap().to_owned(), content))
            .collect::<Vec<_>>()
    };
    assert_eq!(relative("data"), relative("out/data"));
    world
        .run(&["restore", "latest", "--target", "part", "--include", "*.rs"])
        .expect(0);
    assert_eq!(relative("part").len(), 1);
    fs::write(world.path("data/big"), "overwritten").unwrap();
    world.run(&["restore", "latest", "--to-origin"]).expect(2);
    world
        .run(&["restore", "latest", "--to-origin", "--yes"])
        .expect(0);
    assert_eq!(relative("data"), relative("out/data"));
}

#[test]
fn a_database_in_use_comes_back_proven() {
    let world = TestEnvironment::new();
    let path = world.database("app.db", 500);
    let open = rusqlite::Connection::open(&path).unwrap();
    open.execute("INSERT INTO t VALUES (501, 'in the log')", [])
        .unwrap();
    let taken = world.run(&["snapshot", "sqlite:app.db"]).expect(0);
    assert!(
        taken.stdout.contains("quick_check ok   1 table, 501 rows"),
        "{}",
        taken.stdout
    );
    // By its path it is the same source.
    let again = world
        .run(&["snapshot", "app.db", "--json"])
        .expect(0)
        .summary();
    assert!(again["parent_id"].is_string(), "{again}");
    assert_eq!(again["bytes_new"], 0);
    let restored = world
        .run(&["restore", "latest", "--target", "back.db"])
        .expect(0);
    assert!(
        restored
            .stdout
            .contains("integrity_check ok   501 rows = recorded"),
        "{}",
        restored.stdout
    );
    let back = rusqlite::Connection::open(world.path("back.db")).unwrap();
    let rows: i64 = back
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 501);
}

/// An index that does not agree with its table: the full check alone sees it.
#[test]
fn the_check_of_a_restored_database_is_chosen() {
    let world = TestEnvironment::new();
    let path = world.database("app.db", 500);
    let database = rusqlite::Connection::open(&path).unwrap();
    let spoil = "CREATE TABLE p(a, b); CREATE INDEX i ON p(a); INSERT INTO p VALUES (1, 2), (3, 4);
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON p(b)' WHERE name = 'i';";
    database.execute_batch(spoil).unwrap();
    drop(database);
    world.run(&["snapshot", "app.db"]).expect(0);
    let restore = |more: &[&str]| {
        let arguments = ["restore", "latest", "--target", "back.db", "--overwrite"];
        world.run(&[&arguments, more].concat())
    };
    let refused = restore(&[]).expect(4);
    assert!(
        refused.stderr.contains("missing from index i"),
        "{}",
        refused.stderr
    );
    assert!(!world.path("back.db").exists());
    let quick = restore(&["--database-check", "quick"]).expect(0).stdout;
    assert!(
        quick.contains("quick_check ok   502 rows = recorded"),
        "{quick}"
    );
    let none = restore(&["--database-check", "none"]).expect(0).stdout;
    assert!(none.contains("every byte as captured"), "{none}");
    assert!(
        !none.contains("check ok") && !none.contains("rows"),
        "{none}"
    );
    assert_eq!(
        fs::read(world.path("back.db")).unwrap(),
        fs::read(&path).unwrap()
    );
    let json = restore(&["--database-check", "none", "--json"])
        .expect(0)
        .summary();
    assert!(json["databases"][0]["check"].is_null(), "{json}");
}

#[test]
fn streams_commands_and_variables() {
    let mut world = TestEnvironment::new();
    let input = vec![9; 100_000];
    world
        .run_with_input(&["snapshot", "-", "--as", "in.bin"], &input)
        .expect(0);
    let back = world
        .run(&["cat", "latest", "--source", "in.bin"])
        .expect(0);
    assert_eq!(back.stdout_bytes, input);
    world
        .run(&["snapshot", "--exec", "d.sql", "--", "echo", "a  b"])
        .expect(0);
    let dump = world
        .run(&["cat", "latest:d.sql", "--source", "exec:d.sql"])
        .expect(0);
    assert_eq!(dump.stdout, "a  b\n");
    world.set("DATABASE_URL", "secret-of-the-application");
    let taken = world.run(&["snapshot", "env:DATABASE_URL"]).expect(0);
    assert!(!taken.stdout.contains("secret-of-the-application"));
    let back = world
        .run(&["cat", "latest", "--source", "env:DATABASE_URL"])
        .expect(0);
    assert!(back.stdout.contains("secret-of-the-application"));
    world.run(&["snapshot", "env:NOT_SET"]).expect(1);
    world
        .run_with_input(&["snapshot", "-", "--as", "empty"], b"")
        .expect(1);
}

#[test]
fn several_sources_are_one_set() {
    let world = TestEnvironment::new();
    world.write("a/x", "1");
    world.write("b/y", "2");
    world.database("app.db", 5);
    let summary = world
        .run(&["snapshot", "a", "b", "app.db", "--json"])
        .expect(0)
        .summary();
    assert_eq!(summary["snapshots"].as_array().unwrap().len(), 2);
    let listed = world.run(&["snapshots", "--json"]).expect(0).objects();
    assert_eq!(listed[0]["set_id"], summary["set_id"]);
    assert_eq!(listed[1]["set_id"], summary["set_id"]);
    let choice = world.run(&["ls", "latest"]).expect(2);
    assert!(
        choice
            .stderr
            .contains("try: icecore ls latest --source sqlite:"),
        "{}",
        choice.stderr
    );
    let listing = world
        .run(&["ls", "-R", "latest", "--source", "b"])
        .expect(0);
    assert!(listing.stdout.contains("a/x") && listing.stdout.contains("b/y"));
    let found = world.run(&["find", "y", "--json"]).expect(0);
    assert_eq!(found.summary()["found"], 1);
    world
        .run(&["ls", "latest:a/missing", "--source", "b"])
        .expect(2);
    world
        .run(&["snapshot", "a", "app.db", "--as", "x"])
        .expect(2);
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = TestEnvironment::new();
    world.write("data/a", "12345");
    let before = tree(&world.path("repo"));
    let dry = world.run(&["snapshot", "data", "-n"]).expect(0);
    assert!(
        dry.stdout.contains("would save data   1 file, 5 B"),
        "{}",
        dry.stdout
    );
    assert!(before == tree(&world.path("repo")));
    world.run(&["snapshot", "data"]).expect(0);
    world
        .run(&["restore", "latest", "--target", "out", "-n"])
        .expect(0);
    assert!(!world.path("out").exists());
}

#[test]
fn the_repository_is_not_saved_into_itself() {
    let world = TestEnvironment::new();
    world.write("data", "1");
    world.run(&["snapshot", "."]).expect(0);
    let listing = world.run(&["ls", "-R", "latest"]).expect(0);
    assert!(!listing.stdout.contains("repo/packs"), "{}", listing.stdout);
    world.run(&["snapshot", "repo/packs"]).expect(2);
}

#[test]
fn a_date_of_the_past_is_recorded() {
    let world = TestEnvironment::new();
    world.write("data/a", "1");
    world
        .run(&["snapshot", "data", "--date", "2025-03-01T03:00+06:00"])
        .expect(0);
    let listed = world.run(&["snapshots", "--json"]).objects();
    assert_eq!(listed[0]["taken"], "2025-02-28T21:00:00Z");
    world
        .run(&["snapshot", "data", "--date", "2999-01-01"])
        .expect(2);
    world
        .run(&["snapshot", "data", "--date", "tomorrow"])
        .expect(2);
}

#[test]
fn a_new_machine_needs_the_secret_and_the_repository_only() {
    let world = TestEnvironment::new();
    world.write("data/a", "precious");
    world.run(&["snapshot", "data"]).expect(0);
    let mut other = TestEnvironment::bare();
    fs::rename(world.path("repo"), other.path("moved")).unwrap();
    other.set("ICECORE_PASSPHRASE", super::environment::PASSPHRASE);
    other
        .run(&["restore", "latest", "--target", "out", "-r", "moved"])
        .expect(0);
    assert_eq!(
        fs::read_to_string(other.path("out/data/a")).unwrap(),
        "precious"
    );
}

#[test]
fn the_cache_is_disposable() {
    let mut world = TestEnvironment::new();
    world.write("data/a", "1");
    world.run(&["snapshot", "data"]).expect(0);
    assert!(
        world.run(&["cache", "info", "--json"]).summary()["bytes"]
            .as_u64()
            .unwrap()
            > 0
    );
    world.run(&["cache", "clear"]).expect(0);
    assert_eq!(
        world.run(&["cache", "info", "--json"]).summary()["bytes"],
        0
    );
    world.run(&["cat", "latest:data/a"]).expect(0);
    world.set("HOME", "");
    let homeless = world.run(&["cat", "latest:data/a"]).expect(0);
    assert!(
        homeless.stderr.contains("held in memory"),
        "{}",
        homeless.stderr
    );
}
