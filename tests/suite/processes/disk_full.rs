//! File systems that are really full: a tmpfs of 64 MB, which needs root.

use super::{assert_undamaged, number};
use crate::cli::TestEnvironment;
use crate::support::tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and a word about it, where nothing can be mounted.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=64m", "icecore-test"]);
        let mounted = mount.arg(at).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_path_buf()));
        }
        println!("skipped: mounting a tmpfs is not permitted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_repository_disk_fails_the_run_and_no_other() {
    let mut world = TestEnvironment::bare();
    let Some(disk) = SmallDisk::mount(&world.path("disk")) else {
        return;
    };
    world.set("ICECORE_REPO", "disk/repo");
    world.set("ICECORE_PASSPHRASE", crate::cli::PASSPHRASE);
    world.init(&[]).expect(0);
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![1; 16 << 20]).unwrap();
    let first = tree::noise(1, 10 << 20);
    world.write("data/file", &first);
    world.run(&["snapshot", "data"]).expect(0);
    world.write("data/file", tree::noise(2, 60 << 20));
    for _ in 0..2 {
        let failed = world.run(&["snapshot", "data", "--json"]).expect(1);
        let error = failed.summary()["error"].clone();
        let text = error.to_string().to_lowercase();
        let names_it = text.contains("no space left") || text.contains("full");
        assert!(names_it && text.contains("disk"), "{error}");
        assert!(error["remedy"].is_string(), "no remedy: {error}");
        assert!(
            failed.stderr.to_lowercase().contains("space"),
            "{}",
            failed.stderr
        );
    }
    let listed = world.run(&["snapshots", "--json"]).expect(0).objects();
    let snapshots = listed.iter().filter(|object| object["type"] == "snapshot");
    assert_eq!(snapshots.count(), 1, "{listed:?}");
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(0);
    let restored = tree::read(&world.path("out"));
    assert_eq!(restored.values().collect::<Vec<_>>(), [&first]);
    // Somebody makes room; less is to be saved.
    fs::remove_file(&ballast).unwrap();
    world.write("data/file", tree::noise(3, 5 << 20));
    let summary = world
        .run(&["snapshot", "data", "--json"])
        .expect(0)
        .summary();
    assert!(number(&summary, "bytes_read") >= 5 << 20, "{summary}");
    assert_undamaged(&world);
}

#[test]
fn a_full_target_disk_fails_the_restore_and_can_be_repeated() {
    let world = TestEnvironment::new();
    let Some(disk) = SmallDisk::mount(&world.path("disk")) else {
        return;
    };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![1; 50 << 20]).unwrap();
    let content = tree::noise(1, 30 << 20);
    world.write("data/file", &content);
    world.run(&["snapshot", "data"]).expect(0);
    let restore = [
        "restore",
        "latest",
        "--target",
        "disk/out",
        "--overwrite",
        "--json",
    ];
    let failed = world.run(&restore).expect(1);
    let error = failed.summary()["error"].to_string().to_lowercase();
    assert!(error.contains("space"), "{error}");
    let unfinished = disk.0.join("out/data/file");
    assert!(!unfinished.exists(), "half a file has its name");
    fs::remove_file(&ballast).unwrap();
    world.run(&restore).expect(0);
    let restored = tree::read(&disk.0.join("out"));
    assert_eq!(restored.values().collect::<Vec<_>>(), [&content]);
}
