//! Every exit code, caused.

use super::TestEnvironment;
use super::environment::tree;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn done_and_usage() {
    let world = TestEnvironment::new();
    world.run(&["snapshots"]).expect(0);
    world.run(&["--help"]).expect(0);
    world.run(&["--version"]).expect(0);
    world.run(&["no-such-command"]).expect(2);
    world.run(&["snapshots", "--newer-than", "soon"]).expect(2);
    world.run(&["snapshot"]).expect(2);
    world.run(&["snapshot", "-"]).expect(2);
    let refused = world
        .run(&["snapshot", "postgres://u:hunter2@h/d"])
        .expect(2);
    assert!(!refused.stderr.contains("hunter2"));
    let kind = world.run(&["-r", "gs://bucket/x", "snapshots"]).expect(2);
    assert!(kind.stderr.contains("s3://"), "{}", kind.stderr);
}

#[test]
fn no_repository() {
    let mut world = TestEnvironment::bare();
    let none = world.run(&["snapshots"]).expect(2);
    assert!(none.stderr.contains("ICECORE_REPO"), "{}", none.stderr);
    world.set("ICECORE_REPO", "missing");
    world.run(&["snapshots"]).expect(10);
    fs::create_dir(world.path("missing")).unwrap();
    let empty = world.run(&["snapshots"]).expect(10);
    assert!(empty.stderr.contains("try: "), "{}", empty.stderr);
}

#[test]
fn wrong_and_missing_keys() {
    let mut world = TestEnvironment::new();
    world.set("ICECORE_PASSPHRASE", "something-else");
    let wrong = world.run(&["snapshots"]).expect(12);
    assert!(!wrong.stderr.contains("something-else"), "{}", wrong.stderr);
    world.unset("ICECORE_PASSPHRASE");
    world.run(&["snapshots"]).expect(12);
    world
        .run(&["snapshots", "--passphrase-file", "nowhere"])
        .expect(12);
    world
        .run(&["snapshots", "--passphrase-command", "false"])
        .expect(12);
    world
        .run(&["snapshots", "--passphrase-command", "cat a | b"])
        .expect(2);
}

#[test]
fn two_ways_to_unlock_are_refused() {
    let world = TestEnvironment::new();
    world.write("pass", "x");
    let both = world
        .run(&["snapshots", "--passphrase-file", "pass"])
        .expect(2);
    assert!(both.stderr.contains("more than one way"), "{}", both.stderr);
}

#[test]
fn refused() {
    let world = TestEnvironment::new();
    world.init(&[]).expect(11);
    world.run(&["key", "remove", "first"]).expect(11);
    world.write("data/a", "1");
    world.run(&["snapshot", "data"]).expect(0);
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(0);
    let again = world
        .run(&["restore", "latest", "--target", "out"])
        .expect(11);
    assert!(again.stderr.contains("--overwrite"), "{}", again.stderr);
}

/// Not as root, whom no mode keeps out.
#[test]
fn unreadable_files_are_named_and_the_rest_is_saved() {
    if rustix::process::geteuid().is_root() {
        unreadable_as_nobody();
        return;
    }
    let world = TestEnvironment::new();
    world.write("data/readable", "1");
    let closed = world.write("data/closed", "2");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    assert_partial(&world.run(&["snapshot", "data"]).expect(3));
}

fn unreadable_as_nobody() {
    const NOBODY: u32 = 65534;
    let world = TestEnvironment::new();
    world.write("data/readable", "1");
    let closed = world.write("data/closed", "2");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    for name in ["", "home", "repo"] {
        give(&world.path(name), NOBODY);
    }
    // The binary may lie where only its owner may look.
    let program = world.path("icecore");
    fs::copy(env!("CARGO_BIN_EXE_icecore"), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command
        .env_clear()
        .env("HOME", world.path("home"))
        .env("ICECORE_REPO", "repo")
        .env("ICECORE_PASSPHRASE", super::environment::PASSPHRASE)
        .current_dir(world.path(""))
        .uid(NOBODY)
        .gid(NOBODY)
        .args(["snapshot", "data"]);
    let output = command.output().unwrap();
    let finished = super::Finished {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout_bytes: output.stdout,
    };
    assert_partial(&finished.expect(3));
}

fn give(path: &std::path::Path, owner: u32) {
    std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() && !path.ends_with("data") {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("closed") {
                give(&path, owner);
            }
        }
    }
}

fn assert_partial(finished: &super::Finished) {
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    assert!(stderr.contains("1 item could not be read"), "{stderr}");
    assert!(stderr.contains("data/closed"), "{stderr}");
    assert!(stdout.contains("snapshot "), "{stdout}");
}

#[test]
fn one_source_of_several_fails() {
    let world = TestEnvironment::new();
    world.write("data/a", "1");
    world.write("broken", "not a database");
    let partial = world.run(&["snapshot", "data", "sqlite:broken"]).expect(3);
    assert!(
        partial.stderr.contains("no snapshot of"),
        "{}",
        partial.stderr
    );
    world.run(&["snapshot", "sqlite:broken"]).expect(1);
    world
        .run(&["snapshot", "--exec", "x", "--", "false"])
        .expect(1);
    world.run(&["snapshot", "missing"]).expect(1);
    assert_eq!(
        world.run(&["snapshots", "--json"]).summary()["snapshots"],
        1
    );
}

#[test]
fn damage() {
    let world = TestEnvironment::new();
    world.write("data/a", vec![7; 200_000]);
    world
        .run(&["snapshot", "data", "--compression", "off"])
        .expect(0);
    let largest = tree(&world.path("repo/packs"))
        .into_iter()
        .max_by_key(|(_, content)| content.len());
    let (pack, mut content) = largest.unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, content).unwrap();
    world.run(&["cat", "latest:data/a"]).expect(4);
    let restored = world
        .run(&["restore", "latest", "--target", "out"])
        .expect(4);
    assert!(restored.stderr.contains("DAMAGE"), "{}", restored.stderr);
    assert!(!world.path("out/data/a").exists());
    world.run(&["check"]).expect(0);
    let checked = world.run(&["check", "--read-data"]).expect(4);
    assert!(
        checked.stdout.contains("hurts") && checked.stdout.contains("data/a"),
        "{}",
        checked.stdout
    );
    world.run(&["check", "--no-key"]).expect(4);
    fs::write(world.path("repo/config"), "x").unwrap();
    world.run(&["snapshots"]).expect(4);
}

#[test]
fn interrupted() {
    let world = TestEnvironment::new();
    let mut command = world.command(&["snapshot", "--exec", "x", "--", "sleep", "60"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Sleeping is the only thing it can be doing once it has opened its session.
    while tree(&world.path("repo"))
        .iter()
        .all(|(path, _)| !path.to_string_lossy().contains("open"))
    {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(
        world.run(&["snapshots", "--json"]).summary()["snapshots"],
        0
    );
}

#[test]
fn out_of_time() {
    let world = TestEnvironment::new();
    let slow = [
        "snapshot",
        "--timeout",
        "1s",
        "--exec",
        "x",
        "--",
        "sleep",
        "60",
    ];
    let late = world.run(&slow).expect(1);
    assert!(late.stderr.contains("--timeout"), "{}", late.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let world = TestEnvironment::new();
    world.write("data/a", vec![1; 3_000_000]);
    world.run(&["snapshot", "data"]).expect(0);
    let mut command = world.command(&["cat", "latest:data/a"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = world.command(&["cat", "latest:data/a"]);
    let status = command.stdout(full).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(1));
}
