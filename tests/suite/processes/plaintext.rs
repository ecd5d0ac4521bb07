//! Nothing that was read is written down in clear: no content, no names, not for a moment.

use super::kill_after;
use crate::cli::TestEnvironment;
use crate::support::is_long;
use crate::support::random::Random;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const MARKER: &[u8; 32] = b"MaRkEr-7f3e91c5-never-in-cleaR!!";
const NAME: &str = "secretly-named";

/// A tree and a database with the marker in every page and file, and a telling name for each.
fn marked_data(world: &TestEnvironment) {
    let page: Vec<u8> = MARKER.iter().copied().cycle().take(4000).collect();
    for number in 0..200 {
        let mut content = page.clone();
        // No two alike: every one of them is stored.
        content.extend(format!("{number}").into_bytes());
        world.write(&format!("data/{NAME}-{number}/{NAME}.txt"), &content);
    }
    world.write(&format!("data/{NAME}.bin"), page.repeat(3000));
    let connection = rusqlite::Connection::open(world.path(&format!("data/{NAME}.db"))).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)")
        .unwrap();
    for id in 0..2000 {
        let values = rusqlite::params![id, page];
        connection
            .execute("INSERT INTO t VALUES(?, ?)", values)
            .unwrap();
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts.any(|(start, _)| bytes[start..].starts_with(wanted))
}

/// Every file below `directory` whose name or content tells something.
fn leaks(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(leaks(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap_or_default();
        let named = path.to_string_lossy().contains(NAME);
        if named || contains(&bytes, MARKER) || contains(&bytes, NAME.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn assert_no_leak(world: &TestEnvironment, when: &str) {
    for place in ["repo", "home", "cache", "tmp"] {
        let found = leaks(&world.path(place));
        assert!(found.is_empty(), "{when}: in clear: {found:?}");
    }
}

fn world() -> TestEnvironment {
    let mut world = TestEnvironment::new();
    fs::create_dir(world.path("tmp")).unwrap();
    let temporary = world.path("tmp").display().to_string();
    world.set("TMPDIR", &temporary);
    world.set("ICECORE_CACHE_DIR", "cache");
    marked_data(&world);
    world
}

#[test]
fn a_snapshot_leaves_nothing_in_clear_whenever_it_is_killed() {
    // The search itself is tried first.
    let data = world();
    assert!(leaks(&data.path("data")).len() > 200);
    let mut random = Random::fresh("plaintext");
    let started = Instant::now();
    data.run(&["snapshot", "data"]).expect(0);
    let duration = started.elapsed();
    assert_no_leak(&data, "afterwards");
    for _ in 0..if is_long() { 100 } else { 10 } {
        let killed = world();
        let moment = duration.mul_f64(random.below(1000) as f64 / 1000.0);
        kill_after(killed.command(&["snapshot", "data"]), moment);
        assert_no_leak(&killed, &format!("killed after {moment:?}"));
    }
}

fn has_strace() -> bool {
    let mut version = Command::new("strace");
    let version = version
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Files that one line of `strace` says were opened for writing, made or renamed to.
fn written(line: &str) -> Vec<&str> {
    let quoted = line.split('"').skip(1).step_by(2);
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "creat(", "rename"];
    match writes.iter().any(|word| line.contains(word)) && !line.contains(" = -1 ") {
        true => quoted.collect(),
        false => Vec::new(),
    }
}

/// Only the repository, the cache and temporary files are written, and none has a telling name.
#[test]
fn a_snapshot_opens_nothing_else_for_writing() {
    if !has_strace() {
        println!("skipped: strace is not installed (scripts/prerequisites test)");
        return;
    }
    let world = world();
    let traced = world.command(&["snapshot", "data"]);
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=openat,open,creat,rename,renameat,renameat2",
        ])
        .args(["-s", "4096", "-o", "trace", "--"])
        .arg(traced.get_program())
        .args(traced.get_args())
        .current_dir(world.path("."))
        .env_clear();
    for (name, value) in traced.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // `env_clear` of the inner command is not among its variables: the search path is needed.
    let status = command.stdout(Stdio::null()).status().unwrap();
    let trace = String::from_utf8_lossy(&fs::read(world.path("trace")).unwrap()).into_owned();
    if trace.contains("Operation not permitted") && !status.success() {
        println!("skipped: tracing is not permitted here");
        return;
    }
    assert!(status.success(), "{trace}");
    let here = world.path("").display().to_string();
    let mut seen = 0;
    for path in trace.lines().flat_map(written) {
        let path = path.strip_prefix(&here).unwrap_or(path);
        let companion = path.starts_with("data/") && path.contains(".db");
        let allowed = ["repo", "cache", "tmp", "/dev/", "/proc/"];
        let relative = !path.contains('/');
        // SQLite opens the captured database and its log itself, as any of its clients does.
        let fits = companion || relative || allowed.iter().any(|start| path.starts_with(start));
        assert!(fits, "{path} was opened for writing");
        assert!(
            companion || !path.contains(NAME),
            "{path} is a telling name"
        );
        seen += usize::from(path.starts_with("repo"));
    }
    assert!(
        seen > 5 || trace.contains("renameat"),
        "the trace shows nothing: {trace}"
    );
    assert_no_leak(&world, "afterwards");
}
