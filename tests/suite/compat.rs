#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Repositories that earlier versions wrote stay readable for ever.
//!
//! `tests/data/repositories/NAME/` holds `repository/`, `key` (a key file) and `contents.json`: for
//! each snapshot, oldest first, the BLAKE3 of every file, and of a database's rows. They are never
//! edited; a change of the format adds another one.

use crate::cli::TestEnvironment;
use crate::support::tree;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every stored repository; each has a test below.
const REPOSITORIES: [&str; 1] = ["v1-minimal"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/repositories")
}

/// A world with a copy of the repository: a check writes proofs.
fn world(name: &str) -> (TestEnvironment, Value) {
    let mut world = TestEnvironment::bare();
    let stored = folder().join(name);
    for part in ["repository", "key"] {
        let mut copy = Command::new("cp");
        let copy = copy.arg("-R").arg(stored.join(part)).arg(world.path(part));
        assert!(copy.status().unwrap().success());
    }
    // Git does not keep modes: a key file that others can read is refused.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(world.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    world.set("ICECORE_REPO", "repository");
    world.set("ICECORE_KEY_FILE", "key");
    let contents = fs::read(stored.join("contents.json")).unwrap();
    (world, serde_json::from_slice(&contents).unwrap())
}

/// What a database says, whatever its pages look like.
fn rows(database: &Path) -> String {
    let connection = rusqlite::Connection::open(database).unwrap();
    let query = "SELECT group_concat(id || '=' || hex(body), ',' ORDER BY id) FROM t";
    let text: String = connection.query_row(query, [], |row| row.get(0)).unwrap();
    blake3::hash(text.as_bytes()).to_string()
}

fn assert_readable(name: &str) {
    let (world, contents) = world(name);
    let listed = world.run(&["snapshots", "--json"]).expect(0).objects();
    let is_snapshot = |object: &&Value| object["type"] == "snapshot";
    let listed: Vec<&Value> = listed.iter().filter(is_snapshot).collect();
    let expected = contents.as_array().unwrap();
    assert_eq!(listed.len(), expected.len(), "{listed:?}");
    world.run(&["check", "--read-data"]).expect(0);
    for (number, snapshot) in expected.iter().enumerate() {
        let id = snapshot["id"].as_str().unwrap();
        assert!(
            listed
                .iter()
                .any(|found| found["id"] == id || found["snapshot_id"] == id),
            "{id} in {listed:?}"
        );
        let target = format!("out{number}");
        world.run(&["restore", id, "--target", &target]).expect(0);
        let found = tree::read(&world.path(&target));
        let files = snapshot["files"].as_object().unwrap();
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            files.keys().collect::<Vec<_>>()
        );
        for (path, hash) in files {
            let here = match path.ends_with(".db") {
                true => rows(&world.path(&target).join(path)),
                false => blake3::hash(&found[path]).to_string(),
            };
            assert_eq!(here, *hash, "{name}: {path} of {id}");
        }
    }
    // What an old version wrote can be gone on with.
    world.write("more", "new");
    world.run(&["snapshot", "more"]).expect(0);
    world.run(&["check", "--read-data"]).expect(0);
}

#[test]
fn v1_minimal() {
    assert_readable("v1-minimal");
}

#[test]
fn every_stored_repository_has_a_test() {
    let entries = fs::read_dir(folder()).unwrap();
    let mut stored: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    stored.sort();
    assert_eq!(stored, REPOSITORIES);
    let text = include_str!("compat.rs");
    for name in REPOSITORIES {
        let test = format!("fn {}()", name.replace('-', "_"));
        assert!(text.contains(&test), "{name} has no test");
    }
}
