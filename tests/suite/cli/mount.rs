//! Snapshots as a file system: the real program, the real kernel.

use super::TestEnvironment;
use rustix::fs::SeekFrom;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Why nothing can be mounted here, if so.
fn obstacle() -> Option<String> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse: {error}"));
    }
    let helper = Command::new("fusermount3").arg("-V").output();
    helper.err().map(|error| format!("fusermount3: {error}"))
}

/// Ends the test that calls it where FUSE is missing, and says so.
macro_rules! need_fuse {
    () => {
        if let Some(obstacle) = obstacle() {
            println!("skipped: nothing can be mounted here, {obstacle}");
            return;
        }
    };
}

/// A mount that a test uses; ended with the value.
struct Mounted {
    child: Child,
    stdout: BufReader<ChildStdout>,
    place: PathBuf,
}

impl Mounted {
    fn new(world: &TestEnvironment, arguments: &[&str]) -> Self {
        let place = world.path("mnt");
        fs::create_dir_all(&place).unwrap();
        let mut command = world.command(&[&["mount", "--json"], arguments, &["mnt"]].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains("\"mounted\""), "{line}");
        Self {
            child,
            stdout,
            place,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Waits for its end. Returns the exit code, the summary and standard error.
    fn ended(mut self) -> (i32, Value, String) {
        let (mut rest, mut errors) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).unwrap();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        let summary = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(fs::read_dir(&self.place).unwrap().count(), 0, "unmounted");
        (code, summary, errors)
    }

    fn interrupt(self) -> (i32, Value, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.ended()
    }
}

impl Drop for Mounted {
    /// After a failed assertion nothing stays mounted.
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let lazily = ["-u", "-z", "--"];
            let _failed = Command::new("fusermount3")
                .args(lazily)
                .arg(&self.place)
                .output();
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut stream = blake3::Hasher::new().update(&[seed]).finalize_xof();
    stream.fill(&mut bytes);
    bytes
}

/// Asks with the program that everybody has.
fn sqlite3(database: &Path, query: &str) -> String {
    let uri = format!("file:{}?immutable=1", database.display());
    let output = Command::new("sqlite3")
        .args([&uri, query])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_mounted_snapshot_is_the_tree_that_was_saved() {
    need_fuse!();
    let world = TestEnvironment::new();
    let large = noise(1, 3_000_000);
    world.write("data/large", &large);
    world.write("data/empty", "");
    world.write("data/deep/er/small", "12345");
    let closed = world.write("data/closed", "x");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("deep/er/small", world.path("data/link")).unwrap();
    fs::hard_link(&closed, world.path("data/second-name")).unwrap();
    let sparse = File::create(world.path("data/sparse")).unwrap();
    sparse.write_all_at(b"end", 5_000_000).unwrap();
    let attribute = rustix::fs::setxattr(
        &closed,
        "user.color",
        b"green",
        rustix::fs::XattrFlags::empty(),
    );
    for number in 0..2_000 {
        world.write(&format!("data/many/{number}"), number.to_string());
    }
    world.database("data/app.db", 500);
    world.run(&["snapshot", "data"]).expect(0);

    let mounted = Mounted::new(&world, &["latest"]);
    let at = |name: &str| mounted.path(&format!("data/{name}"));
    assert!(fs::read(at("large")).unwrap() == large);
    assert_eq!(fs::read(at("empty")).unwrap(), b"");
    assert_eq!(fs::read(at("link")).unwrap(), b"12345");
    assert_eq!(
        fs::read_link(at("link")).unwrap(),
        Path::new("deep/er/small")
    );
    for name in ["large", "closed", "deep", "deep/er/small", "sparse"] {
        let live = fs::symlink_metadata(world.path("data").join(name)).unwrap();
        let seen = fs::symlink_metadata(at(name)).unwrap();
        assert_eq!(
            (live.mode(), live.uid(), live.gid()),
            (seen.mode(), seen.uid(), seen.gid())
        );
        let times = [&live, &seen].map(|metadata| (metadata.mtime(), metadata.mtime_nsec()));
        assert_eq!(times[0], times[1], "{name}");
        assert!(live.is_dir() || live.len() == seen.len(), "{name}");
    }
    let numbers = ["closed", "second-name"].map(|name| fs::metadata(at(name)).unwrap().ino());
    assert_eq!(numbers[0], numbers[1], "one file with two names");
    let sparse = File::open(at("sparse")).unwrap();
    let mut bytes = [1; 16];
    sparse.read_exact_at(&mut bytes, 1_000_000).unwrap();
    assert_eq!(bytes, [0; 16]);
    sparse.read_exact_at(&mut bytes[..3], 5_000_000).unwrap();
    assert_eq!(&bytes[..3], b"end");
    assert_eq!(rustix::fs::seek(&sparse, SeekFrom::Hole(0)).unwrap(), 0);
    assert!(rustix::fs::seek(&sparse, SeekFrom::Data(0)).unwrap() > 4_900_000);
    if attribute.is_ok() {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(at("closed"), "user.color", &mut value).unwrap();
        assert_eq!(&value[..length], b"green");
    }
    let mut many: Vec<u32> = fs::read_dir(at("many"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    many.sort_unstable();
    assert!(many.into_iter().eq(0..2_000));
    assert_eq!(fs::read(at("many/1234")).unwrap(), b"1234");
    let missing = fs::read(at("nowhere")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let written = fs::write(at("closed"), "y").unwrap_err();
    assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(fs::create_dir(at("new")).is_err());
    assert_eq!(
        sqlite3(&at("app.db"), "SELECT count(*), max(a) FROM t"),
        "500|500"
    );
    let (code, summary, errors) = mounted.interrupt();
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(summary["ok"], true);
}

#[test]
fn one_query_fetches_a_small_part_of_a_database() {
    need_fuse!();
    let world = TestEnvironment::new();
    let path = world.path("app.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
             INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n \
             WHERE i<12000) SELECT i, randomblob(2000) FROM n;",
        )
        .unwrap();
    let taken = world.run(&["snapshot", "app.db", "--json"]).expect(0);
    let stored = taken.summary()["bytes_stored"].as_u64().unwrap();
    assert!(stored > 20_000_000, "{stored}");
    let expected: String = connection
        .query_row("SELECT hex(v) FROM t WHERE id = 7777", [], |row| row.get(0))
        .unwrap();
    let mounted = Mounted::new(&world, &["latest"]);
    let found = sqlite3(
        &mounted.path("app.db"),
        "SELECT hex(v) FROM t WHERE id = 7777",
    );
    assert!(found == expected);
    // As somebody else would end it.
    let unmounted = Command::new("fusermount3")
        .arg("-u")
        .arg(&mounted.place)
        .output();
    assert!(unmounted.unwrap().status.success());
    let (code, summary, _) = mounted.ended();
    assert_eq!(code, 0);
    let fetched = summary["bytes_fetched"].as_u64().unwrap();
    assert!(fetched < stored / 8, "{fetched} of {stored} bytes");
}

#[test]
fn all_snapshots_by_id_and_by_time() {
    need_fuse!();
    let world = TestEnvironment::new();
    let mut ids = Vec::new();
    for content in ["one", "two"] {
        world.write("data/a", content);
        let taken = world.run(&["snapshot", "data", "--json"]).expect(0);
        ids.push(taken.summary()["snapshot_id"].as_str().unwrap()[..8].to_owned());
    }
    let mounted = Mounted::new(&world, &["--all"]);
    for (id, content) in ids.iter().zip(["one", "two"]) {
        let path = mounted.path(&format!("ids/{id}/data/a"));
        assert_eq!(fs::read_to_string(path).unwrap(), content);
        let times = fs::read_dir(mounted.path("times")).unwrap();
        let time = times
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().ends_with(id.as_str()))
            .unwrap();
        assert_eq!(fs::read_to_string(time.join("data/a")).unwrap(), content);
    }
    let (code, _, _) = mounted.interrupt();
    assert_eq!(code, 0);
    // Of one snapshot a part.
    let mounted = Mounted::new(&world, &["latest:data"]);
    assert_eq!(fs::read_to_string(mounted.path("a")).unwrap(), "two");
    assert_eq!(mounted.interrupt().0, 0);
}

#[test]
fn damage_is_an_error_for_whoever_reads_it_and_for_nobody_else() {
    need_fuse!();
    let world = TestEnvironment::new();
    world.write("data/large", noise(2, 2_000_000));
    world.write("data/small", "whole");
    world
        .run(&["snapshot", "data", "--compression", "off"])
        .expect(0);
    let packs = super::tree(&world.path("repo/packs"));
    let (pack, mut content) = packs
        .into_iter()
        .max_by_key(|(_, content)| content.len())
        .unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, content).unwrap();
    let mounted = Mounted::new(&world, &["latest"]);
    let failed = fs::read(mounted.path("data/large")).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(5), "{failed}");
    assert_eq!(fs::read(mounted.path("data/small")).unwrap(), b"whole");
    let (code, summary, _) = mounted.interrupt();
    assert_eq!(code, 0);
    let warnings = summary["warnings"].as_array().unwrap();
    let warning = warnings[0].as_str().unwrap();
    assert!(
        warning.contains("data/large") && warning.contains("damaged"),
        "{warning}"
    );
    assert_eq!(warnings.len(), 1);
}

#[test]
fn what_cannot_be_mounted_is_said_before_anything_happens() {
    let world = TestEnvironment::new();
    world.write("data/a", "1");
    world.run(&["snapshot", "data"]).expect(0);
    world.run(&["mount", "latest"]).expect(2);
    world.run(&["mount", "--all", "latest", "mnt"]).expect(2);
    world.run(&["mount", "latest:data/a", "data"]).expect(2);
    let missing = world.run(&["mount", "latest", "nowhere"]).expect(1);
    assert!(
        missing.stderr.contains("make the directory"),
        "{}",
        missing.stderr
    );
    let full = world.run(&["mount", "latest", "data"]).expect(1);
    assert!(full.stderr.contains("not empty"), "{}", full.stderr);
}
