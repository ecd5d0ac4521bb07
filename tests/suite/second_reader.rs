#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Repositories that the program writes, read by the second reader (`format-spec/reader`, in
//! Python), which shares no code with it.

use crate::cli::{PASSPHRASE, TestEnvironment, tree};
use crate::support::python::python;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PACKAGES: &str = "import blake3, cbor2, cryptography, nacl, zstandard";

fn specification() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec")
}

/// Runs the reader on the repository of a world, unlocked by a key or a passphrase in a file.
fn reader(world: &TestEnvironment, secret: &str, command: &[&str]) -> Output {
    Command::new(python(PACKAGES))
        .args(["-B", "-m", "icecore_reader", "repo", secret])
        .args(command)
        .env("PYTHONPATH", specification().join("reader"))
        .current_dir(world.path(""))
        .output()
        .unwrap()
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Restores the newest snapshot that the secret opens; returns what was read of which form.
fn restore(world: &TestEnvironment, secret: &str, target: &str) -> Value {
    let output = reader(world, secret, &["restore", "latest", target]);
    assert!(output.status.success(), "{}", shown(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts that a restore is refused, by the reader's own judgement and not by a crash.
fn refused(world: &TestEnvironment, secret: &str, reason: &str) {
    let output = reader(world, secret, &["restore", "latest", "refused"]);
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    assert!(shown(&output).contains(reason), "{}", shown(&output));
}

/// A world with a repository, its passphrase also in the file `pass`.
fn world(init: &[&str]) -> TestEnvironment {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_REPO", "repo");
    world.set("ICECORE_PASSPHRASE", PASSPHRASE);
    world.init(init).expect(0);
    world.write("pass", PASSPHRASE);
    world
}

/// A database in pages that do not compress, with a snapshot of each of its versions.
fn versions(world: &TestEnvironment, count: u32) {
    let connection = rusqlite::Connection::open(world.path("app.db")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t(a INTEGER PRIMARY KEY, b);
             INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n \
             WHERE i<4000) SELECT i, randomblob(400) FROM n;",
        )
        .unwrap();
    for version in 0..count {
        connection
            .execute(
                "UPDATE t SET b = randomblob(400) WHERE a % 700 = ?1",
                [version],
            )
            .unwrap();
        let taken = world.run(&["snapshot", "app.db", "--json"]).expect(0);
        let deltas = taken.summary()["chunks_delta"].as_u64().unwrap();
        assert_eq!(deltas > 0, version > 0, "{}", taken.stdout);
    }
}

/// Groups, holes, links of both kinds, a pipe, odd names and modes.
fn write_tree(world: &TestEnvironment) {
    for number in 0..60 {
        world.write(&format!("data/small/{number}"), format!("file {number}"));
    }
    let pattern =
        (0..3_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    world.write("data/large", pattern.step_by(3).collect::<Vec<u8>>());
    world.write("data/empty", "");
    world.write("data/a\nb \u{e9}", "odd");
    let sparse = fs::File::create(world.path("data/sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 4 << 20).unwrap();
    symlink("small/1", world.path("data/link")).unwrap();
    symlink("/nowhere", world.path("data/dangling")).unwrap();
    fs::hard_link(world.path("data/small/2"), world.path("data/twin")).unwrap();
    fs::set_permissions(world.path("data/small"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(world.path("data/large"), fs::Permissions::from_mode(0o440)).unwrap();
}

/// Every entry below a directory, by its path from there: what it is, and a file's bytes.
fn entries(root: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let content = match (kind.is_file(), kind.is_symlink()) {
                (true, _) => fs::read(&path).unwrap(),
                (_, true) => fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
                _ => Vec::new(),
            };
            let (links, size) = match kind.is_dir() {
                true => (0, 0),
                false => (metadata.nlink(), metadata.len()),
            };
            let (mode, modified) = (metadata.mode(), (metadata.mtime(), metadata.mtime_nsec()));
            let about = format!("{mode:o} {modified:?} {links} links {size} bytes");
            if kind.is_dir() {
                waiting.push(path.clone());
            }
            found.insert(
                path.strip_prefix(root).unwrap().to_owned(),
                (about, content),
            );
        }
    }
    found
}

/// Asserts that both readers restore the same tree, and that it is the source.
fn same_trees(world: &TestEnvironment, secret: &str, target: &str) -> Value {
    let statistics = restore(world, secret, target);
    let second = entries(&world.path(target));
    assert!(
        second == entries(&world.path("first")),
        "{target} is not the tree that icecore restores"
    );
    assert!(second.len() > 60, "{} entries", second.len());
    assert!(
        entries(&world.path(target).join("data")) == entries(&world.path("data")),
        "{target} is not the source"
    );
    let blocks = fs::metadata(world.path(target).join("data/sparse"))
        .unwrap()
        .blocks();
    assert!(blocks * 512 < 4 << 20, "the holes are filled");
    statistics
}

fn delete_index(world: &TestEnvironment) {
    assert!(!tree(&world.path("repo/index")).is_empty());
    fs::remove_dir_all(world.path("repo/index")).unwrap();
}

#[test]
fn deep_deltas_come_back() {
    let world = world(&[]);
    versions(&world, 12);
    world
        .run(&["restore", "latest", "--target", "first.db"])
        .expect(0);
    let first = fs::read(world.path("first.db")).unwrap();
    for target in ["with", "without"] {
        let statistics = restore(&world, "pass", target);
        assert!(statistics["delta"].as_u64().unwrap() >= 3, "{statistics}");
        assert!(statistics["deepest"].as_u64().unwrap() >= 3, "{statistics}");
        assert!(
            fs::read(world.path(target).join("app.db")).unwrap() == first,
            "{target} the index"
        );
        if target == "with" {
            delete_index(&world);
        }
    }
}

/// An export whose rows change, some in every chunk: differences with the base as prefix.
#[test]
fn deep_deltas_of_a_stream_come_back() {
    let world = world(&[]);
    let row = |number: u32, version: u32| {
        let changed = if number % 200 < version * 7 {
            version
        } else {
            0
        };
        let noise = (number ^ changed << 20).wrapping_mul(2_654_435_761);
        format!(
            "{number},{noise:08x},{:08x},{changed}\n",
            noise.rotate_left(9) ^ number
        )
    };
    for version in 0..6 {
        let rows: String = (0..60_000).map(|number| row(number, version)).collect();
        world.write("export.csv", rows);
        let taken = world.run(&["snapshot", "export.csv", "--json"]).expect(0);
        let deltas = taken.summary()["chunks_delta"].as_u64().unwrap();
        assert_eq!(deltas > 0, version > 0, "{}", taken.stdout);
    }
    let statistics = restore(&world, "pass", "second");
    assert!(statistics["deepest"].as_u64().unwrap() >= 3, "{statistics}");
    let source = fs::read(world.path("export.csv")).unwrap();
    assert!(fs::read(world.path("second/export.csv")).unwrap() == source);
}

#[test]
fn a_tree_comes_back() {
    let world = world(&[]);
    write_tree(&world);
    world.run(&["snapshot", "data"]).expect(0);
    world
        .run(&["restore", "latest", "--target", "first"])
        .expect(0);
    let statistics = same_trees(&world, "pass", "with");
    assert!(statistics["member"].as_u64().unwrap() >= 60, "{statistics}");
    delete_index(&world);
    assert_eq!(same_trees(&world, "pass", "without"), statistics);
}

#[test]
fn the_other_suite_is_read() {
    let world = world(&["--cipher", "aes-256-gcm"]);
    write_tree(&world);
    world.run(&["snapshot", "data"]).expect(0);
    world
        .run(&["restore", "latest", "--target", "first"])
        .expect(0);
    same_trees(&world, "pass", "second");
}

#[test]
fn each_key_opens_its_own() {
    let mut world = world(&[]);
    for key in ["host", "people", "stranger"] {
        world.run(&["key", "generate", key]).expect(0);
    }
    world
        .run(&["key", "add", "--label", "host", "--new-key-file", "host"])
        .expect(0);
    world
        .run(&[
            "domain",
            "create",
            "people",
            "--erasable",
            "--new-key-file",
            "people",
        ])
        .expect(0);
    world.write("main/a", "of the first domain");
    world.write("persons/b", "of the people");
    world.run(&["snapshot", "main"]).expect(0);
    world.unset("ICECORE_PASSPHRASE");
    world
        .run(&[
            "snapshot",
            "persons",
            "--domain",
            "people",
            "--key-file",
            "people",
        ])
        .expect(0);
    for (secret, path, content) in [
        ("pass", "main/a", "of the first domain"),
        ("host", "main/a", "of the first domain"),
        ("people", "persons/b", "of the people"),
    ] {
        let listed = reader(&world, secret, &["list"]);
        assert_eq!(shown(&listed).lines().count(), 1, "{}", shown(&listed));
        let target = format!("of-{secret}");
        restore(&world, secret, &target);
        let found = tree(&world.path(&target));
        assert_eq!(found, [(world.path(&target).join(path), content.into())]);
    }
    refused(&world, "stranger", "key: nothing in keys/slots opens");
    world.write("wrong", "another passphrase");
    refused(&world, "wrong", "key: nothing in keys/slots opens");
}

#[test]
fn a_flipped_byte_is_refused() {
    let world = world(&[]);
    world.write("data/a", "content");
    world.run(&["snapshot", "data"]).expect(0);
    restore(&world, "pass", "whole");
    let packs = tree(&world.path("repo/packs"));
    assert!(!packs.is_empty());
    for (number, (path, content)) in packs.iter().enumerate() {
        let mut changed = content.clone();
        changed[content.len() / 2] ^= 1;
        fs::write(path, changed).unwrap();
        let target = format!("refused-{number}");
        let output = reader(&world, "pass", &["restore", "latest", &target]);
        assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
        assert!(shown(&output).contains("identity"), "{}", shown(&output));
        fs::write(path, content).unwrap();
    }
}

#[test]
fn of_a_revoked_writer_what_was_confirmed_is_shown() {
    let world = world(&[]);
    world.run(&["key", "generate", "host"]).expect(0);
    world
        .run(&["key", "add", "--label", "host", "--new-key-file", "host"])
        .expect(0);
    world.write("data/a", "of the host");
    let mut as_host = world.command(&["snapshot", "data", "--key-file", "host"]);
    let taken = as_host.env_remove("ICECORE_PASSPHRASE").output().unwrap();
    assert!(taken.status.success(), "{}", shown(&taken));
    let slots = tree(&world.path("repo/keys/slots"));
    world.run(&["key", "remove", "host", "--revoke"]).expect(0);
    // Its holder put the slot back: it opens, and nothing that it writes would count.
    for (path, slot) in slots {
        fs::write(path, slot).unwrap();
    }
    let mut as_host = world.command(&["snapshot", "data", "--key-file", "host"]);
    let late = as_host.env_remove("ICECORE_PASSPHRASE").output().unwrap();
    assert_eq!(late.status.code(), Some(12), "{}", shown(&late));
    assert!(shown(&late).contains("revoked"), "{}", shown(&late));
    let listed = reader(&world, "pass", &["list"]);
    assert_eq!(shown(&listed).lines().count(), 1, "{}", shown(&listed));
    restore(&world, "pass", "kept");
    assert_eq!(fs::read(world.path("kept/data/a")).unwrap(), b"of the host");
}

#[test]
fn what_is_forgotten_is_not_shown() {
    let world = world(&[]);
    for content in ["old", "new"] {
        world.write("data/a", content);
        world.run(&["snapshot", "data"]).expect(0);
    }
    world.run(&["forget", "latest"]).expect(0);
    restore(&world, "pass", "left");
    assert_eq!(fs::read(world.path("left/data/a")).unwrap(), b"old");
}

/// The format is simple enough for a reader of this size.
#[test]
fn the_reader_stays_small() {
    let directory = specification().join("reader/icecore_reader");
    let modules = tree(&directory).into_iter();
    let lines: usize = modules
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "py"))
        .map(|(_, text)| String::from_utf8(text).unwrap().lines().count())
        .sum();
    assert!((300..700).contains(&lines), "{lines} lines");
}

#[test]
fn every_vector_is_read() {
    let output = Command::new(python(PACKAGES))
        .arg("-B")
        .arg(specification().join("vectors/check.py"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}
