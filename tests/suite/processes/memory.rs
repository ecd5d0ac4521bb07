//! Peak memory of the commands, as the kernel counts it: VmHWM, 256 MiB at most.
//!
//! The passphrase's own 256 MiB are not part of it: the test's repository is opened by a cheap one.
//! `ICECORE_LONG=1` takes 200,000 files and a sparse file of 20 GiB, else a tenth of each.

use crate::cli::TestEnvironment;
use crate::support::is_long;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};

const PEAK_MAX: u64 = 256 << 20;

fn files() -> u32 {
    if is_long() { 200_000 } else { 20_000 }
}

/// Runs and asserts success and the peak, which a shell's `wait` does not tell: read again and
/// again from `/proc` while it runs.
fn assert_frugal(world: &TestEnvironment, what: &str, command: &[&str]) {
    let mut command: Command = world.command(command);
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = quiet.spawn().unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        if let Ok(text) = fs::read_to_string(&status_file) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            peak = peak.max(kibibytes.unwrap_or(0u64) * 1024);
        }
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(std::time::Duration::from_millis(3)),
        }
    };
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert!(status.success(), "{what}: {errors}");
    println!("{what}: VmHWM {} MiB", peak >> 20);
    assert!(peak > 0 && peak < PEAK_MAX, "{what}: {peak} bytes");
}

fn assert_all_frugal(world: &TestEnvironment, what: &str) {
    let commands: [(&str, &[&str]); 4] = [
        ("snapshot", &["snapshot", "data"]),
        ("second snapshot", &["snapshot", "data"]),
        ("check --read-data", &["check", "--read-data"]),
        ("restore", &["restore", "latest", "--target", "out"]),
    ];
    for (name, command) in commands {
        assert_frugal(world, &format!("{what}, {name}"), command);
    }
}

#[test]
fn many_files_in_nested_directories() {
    let world = TestEnvironment::new();
    for number in 0..files() {
        let (a, b) = (number % 50, number / 50 % 40);
        let directory = world.path(&format!("data/{a}/directory {b}"));
        if number < 2000 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::write(directory.join(format!("{number}")), number.to_string()).unwrap();
    }
    assert_all_frugal(&world, "nested directories");
}

#[test]
fn many_files_in_one_directory() {
    let world = TestEnvironment::new();
    fs::create_dir(world.path("data")).unwrap();
    for number in 0..files() {
        fs::write(world.path(&format!("data/{number}")), number.to_string()).unwrap();
    }
    assert_all_frugal(&world, "one directory");
}

#[test]
fn a_sparse_file() {
    let world = TestEnvironment::new();
    fs::create_dir(world.path("data")).unwrap();
    let size = if is_long() { 20u64 << 30 } else { 2 << 30 };
    let mut file = File::create(world.path("data/sparse")).unwrap();
    file.set_len(size).unwrap();
    for place in [0, size / 3, size - 10] {
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(b"something").unwrap();
    }
    drop(file);
    assert_all_frugal(&world, "a sparse file");
    use std::os::unix::fs::MetadataExt;
    let restored = fs::metadata(world.path("out/sparse"))
        .or_else(|_| fs::metadata(world.path("out/data/sparse")))
        .unwrap();
    assert_eq!(restored.len(), size);
    assert!(restored.blocks() * 512 < 64 << 20, "holes were filled");
}
