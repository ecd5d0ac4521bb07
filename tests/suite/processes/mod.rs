#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The real program under what happens to real programs: killed, out of disk, out of memory,
//! watched, and not alone.

mod concurrency;
mod disk_full;
mod kill_restore;
mod kill_snapshot;
mod memory;
mod plaintext;
mod together;

use crate::cli::TestEnvironment;
use crate::support::tree::{self, Tree};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn start(mut command: Command) -> Child {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().unwrap()
}

/// Kills with SIGKILL once `is_time` says so. Returns whether it was still running.
fn kill_when(child: &mut Child, mut is_time: impl FnMut() -> bool) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if is_time() {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts, and kills after `delay`. Returns whether it was still running.
fn kill_after(command: Command, delay: Duration) -> bool {
    let started = Instant::now();
    kill_when(&mut start(command), || started.elapsed() >= delay)
}

/// A number of a summary.
fn number(summary: &Value, field: &str) -> u64 {
    let number = summary[field].as_u64();
    number.unwrap_or_else(|| panic!("no {field} in {summary}"))
}

/// Every row of a database, hashed in the order of its keys.
fn rows_of(database: &Path) -> blake3::Hash {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut statement = connection
        .prepare("SELECT id, body FROM t ORDER BY id")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut hasher = blake3::Hasher::new();
    while let Some(row) = rows.next().unwrap() {
        let (id, body): (u32, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap());
        hasher.update(&id.to_le_bytes()).update(&body);
    }
    hasher.finalize()
}

/// Makes a database of about `bytes`, of rows that do not compress.
fn make_database(path: &Path, bytes: u64) {
    let _ = fs::remove_file(path);
    let connection = rusqlite::Connection::open(path).unwrap();
    let rows = bytes / 4050;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB);
             INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n \
             WHERE i<{rows}) SELECT i, randomblob(4000) FROM n;"
        ))
        .unwrap();
}

/// Files of a tree of about `bytes`, of noise.
fn make_files(bytes: usize, seed: u64) -> Tree {
    let large = bytes * 3 / 4;
    let mut files = Tree::from([("large.bin".to_owned(), tree::noise(seed, large))]);
    let small = (bytes - large) / 50;
    for number in 0..50u64 {
        let content = tree::noise(seed.wrapping_add(number + 1), small);
        files.insert(format!("some/{}/file {number}", number % 7), content);
    }
    files
}

/// Asserts that a check of all data finds nothing.
fn assert_undamaged(world: &TestEnvironment) {
    let summary = world
        .run(&["check", "--read-data", "--json"])
        .expect(0)
        .summary();
    assert_eq!(summary["complete"], true, "{summary}");
}

/// Restores a snapshot to a new directory and reads it.
fn restored(world: &TestEnvironment, snapshot: &str) -> Tree {
    let target = world.path("restored");
    let _ = fs::remove_dir_all(&target);
    world
        .run(&["restore", snapshot, "--target", "restored"])
        .expect(0);
    tree::read(&target)
}

/// `du`: bytes that a tree takes on disk.
fn bytes_on_disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_on_disk(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // Renamed meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
