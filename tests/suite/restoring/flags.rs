//! `--verify`, `--absolute`, `--fallback`.

use super::{flip_in_packs, number, packs, summary_of};
use crate::cli::{TestEnvironment, tree};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn what_was_written_is_read_back() {
    let world = TestEnvironment::new();
    world.write("data/file", crate::support::tree::noise(1, 700_000));
    world.write("data/empty", b"");
    let sparse = File::create(world.path("data/sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    world.database("data/app.db", 500);
    world.run(&["snapshot", "data"]).expect(0);
    let restore = ["restore", "latest", "--target", "out", "--verify"];
    let summary = summary_of(&world, &restore);
    let size = fs::metadata(world.path("data/app.db")).unwrap().len();
    assert_eq!(
        number(&summary, "bytes_verified"),
        700_000 + (3 << 20) + size
    );
    fs::remove_dir_all(world.path("out")).unwrap();
    let shown = world.run(&restore).expect(0);
    assert!(shown.stdout.contains("all as written"), "{}", shown.stdout);
}

/// Flips a byte of every file below `directory` as soon as it was written, until told to stop:
/// a medium that does not keep what it was given.
fn spoil_what_is_written(directory: &Path, written: u8, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let entries = fs::read_dir(directory).into_iter().flatten();
        for entry in entries.map_while(Result::ok) {
            let file = File::options().read(true).write(true).open(entry.path());
            let mut byte = [0];
            let at = 1000;
            // It may just have got another name.
            if let Ok(file) = file
                && file.read_exact_at(&mut byte, at).is_ok()
                && byte == [written]
            {
                file.write_all_at(&[!written], at).unwrap();
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_the_medium_does_not_keep_is_not_proven() {
    let world = TestEnvironment::new();
    let content = crate::support::tree::noise(1, 30 << 20);
    let written = content[1000];
    world.write("data/file", &content);
    world.run(&["snapshot", "data"]).expect(0);
    let restore = [
        "restore",
        "latest",
        "--target",
        "out",
        "--verify",
        "--limit-download",
        "60MB/s",
    ];
    let stop = AtomicBool::new(false);
    let shown = thread::scope(|scope| {
        scope.spawn(|| spoil_what_is_written(&world.path("out/data"), written, &stop));
        let shown = world.run(&restore);
        stop.store(true, Ordering::Relaxed);
        shown
    });
    let shown = shown.expect(6);
    assert!(shown.stderr.contains("NOT PROVEN"), "{}", shown.stderr);
    assert!(shown.stderr.contains("data/file"), "{}", shown.stderr);
    assert!(!world.path("out/data/file").exists());
    // With a medium that keeps it, what is good of it is used again.
    let again = [&restore[..], &["--json"]].concat();
    let summary = world.run(&again).expect(0).summary();
    assert!(number(&summary, "bytes_fetched") < 2 << 20, "{summary}");
    assert!(fs::read(world.path("out/data/file")).unwrap() == content);
}

#[test]
fn the_whole_path_below_the_target() {
    let world = TestEnvironment::new();
    world.write("srv/app/deep/file", b"1");
    world.write("srv/other", b"2");
    world.run(&["snapshot", "srv/app", "srv/other"]).expect(0);
    let restore = ["restore", "latest", "--absolute", "--target", "out"];
    world.run(&restore).expect(0);
    let below = |path: &str| {
        let origin = fs::canonicalize(world.path("srv")).unwrap();
        let origin = origin.strip_prefix("/").unwrap().join(path);
        world.path("out").join(origin)
    };
    assert_eq!(fs::read(below("app/deep/file")).unwrap(), b"1");
    assert_eq!(fs::read(below("other")).unwrap(), b"2");
    fs::remove_dir_all(world.path("out")).unwrap();
    let one = [
        "restore",
        "latest:app/deep/file",
        "--absolute",
        "--target",
        "out",
    ];
    let shown = world.run(&one).expect(0);
    let place = below("app/deep/file");
    assert_eq!(fs::read(&place).unwrap(), b"1");
    assert!(!below("other").exists());
    let first = world.path("out").join(
        fs::canonicalize(world.path("."))
            .unwrap()
            .components()
            .nth(1)
            .unwrap(),
    );
    assert!(shown.stdout.contains("app/deep/file"), "{}", shown.stdout);
    // Not through a link that somebody planted there.
    fs::remove_dir_all(world.path("out")).unwrap();
    fs::create_dir(world.path("out")).unwrap();
    fs::create_dir(world.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere"), &first).unwrap();
    world.run(&restore).expect(11);
    assert_eq!(tree(&world.path("elsewhere")), []);
    world
        .run(&["restore", "latest", "--absolute", "--to-origin"])
        .expect(2);
    world
        .run_with_input(&["snapshot", "-", "--as", "s"], b"x")
        .expect(0);
    let no_origin = [
        "restore",
        "latest",
        "--source",
        "s",
        "--absolute",
        "--target",
        "out",
    ];
    world.run(&no_origin).expect(2);
}

#[test]
fn what_is_damaged_comes_from_an_older_snapshot() {
    let world = TestEnvironment::new();
    let noise = crate::support::tree::noise;
    let snapshot = |path: &str| {
        let taken = ["snapshot", path, "--compression", "off", "--json"];
        world.run(&taken).expect(0).summary()
    };
    world.write("data/a/stays", noise(1, 300_000));
    world.write("data/a/changes", noise(2, 300_000));
    let first = snapshot("data");
    let older = packs(&world);
    world.write("data/a/changes", noise(3, 300_000));
    snapshot("data");
    flip_in_packs(&packs(&world), &older);
    let plain = world
        .run(&["restore", "latest", "--target", "out"])
        .expect(4);
    assert!(plain.stderr.contains("--fallback"), "{}", plain.stderr);
    assert!(!world.path("out/data/a/changes").exists());
    let shown = world
        .run(&["restore", "latest", "--target", "back", "--fallback"])
        .expect(4);
    let back = |name: &str| fs::read(world.path(&format!("back/data/a/{name}"))).ok();
    assert_eq!(back("stays"), Some(noise(1, 300_000)));
    assert_eq!(back("changes"), Some(noise(2, 300_000)));
    let id = first["snapshot_id"].as_str().unwrap();
    let told = format!(
        "FALLBACK  data/a/changes: older than the rest, from {}",
        &id[..8]
    );
    assert!(shown.stderr.contains(&told), "{}", shown.stderr);
    // One path of it, by its name.
    let one = [
        "restore",
        "latest:data/a/changes",
        "--target",
        "one",
        "--fallback",
        "--json",
    ];
    let summary = world.run(&one).expect(4).summary();
    assert_eq!(fs::read(world.path("one")).unwrap(), noise(2, 300_000));
    assert_eq!(summary["fallbacks"][0]["snapshot_id"], id);
    assert_eq!(summary["damaged"][0]["path"], "data/a/changes");
    // What no older snapshot has.
    let older = packs(&world);
    world.write("data/a/new", noise(4, 300_000));
    snapshot("data");
    flip_in_packs(&packs(&world), &older);
    let new = [
        "restore",
        "latest:data/a/new",
        "--target",
        "new",
        "--fallback",
    ];
    let shown = world.run(&new).expect(4);
    assert!(
        shown.stderr.contains("no older snapshot"),
        "{}",
        shown.stderr
    );
    assert!(!world.path("new").exists());
}

#[test]
fn a_tree_that_cannot_be_read_comes_from_an_older_snapshot() {
    let world = TestEnvironment::new();
    world.write("data/a/file", b"one");
    world.run(&["snapshot", "data"]).expect(0);
    let older = packs(&world);
    world.write("data/a/file", b"two");
    world.run(&["snapshot", "data"]).expect(0);
    for pack in packs(&world).difference(&older) {
        fs::remove_file(pack).unwrap();
    }
    for (path, target) in [("latest", "back"), ("latest:data/a/file", "one")] {
        world.run(&["restore", path, "--target", "no"]).expect(4);
        let restore = ["restore", path, "--target", target, "--fallback", "--json"];
        let summary = world.run(&restore).expect(4).summary();
        assert_eq!(
            summary["fallbacks"].as_array().unwrap().len(),
            1,
            "{summary}"
        );
    }
    assert_eq!(fs::read(world.path("back/data/a/file")).unwrap(), b"one");
    assert_eq!(fs::read(world.path("one")).unwrap(), b"one");
}
