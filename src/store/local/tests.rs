#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::env::Timestamp;
use crate::store::local::{LocalStore, TEMPORARY_PREFIX};
use crate::store::{ObjectKey, Store, StoreErrorKind, StoreExt, contract};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where a test works when another one runs it in a process of its own.
const CHILD_STORE: &str = "ICECORE_TEST_CHILD_STORE";

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn store() -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::create(&directory.path().join("store")).unwrap();
    (directory, store)
}

/// Every file and directory below `path`.
fn everything(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        if path.is_dir() {
            found.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        next += 1;
    }
    found
}

fn temporaries(path: &Path) -> usize {
    let hidden = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(".put-")
    };
    everything(path).iter().filter(|path| hidden(path)).count()
}

/// The place another test has chosen, or else a scratch directory.
fn child_store() -> (Option<TempDir>, PathBuf) {
    match std::env::var_os(CHILD_STORE) {
        Some(path) => (None, path.into()),
        None => {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("store");
            (Some(scratch), path)
        }
    }
}

/// Runs one test of this file by a shell command, given up to where the program's name follows.
fn run_in_shell(setup: &str, test: &str, store: &Path) -> std::process::ExitStatus {
    let program = std::env::current_exe().unwrap();
    Command::new("sh")
        .arg("-c")
        .arg(format!("{setup} \"$0\" --exact \"$1\""))
        .arg(program)
        .arg(format!("store::local::tests::{test}"))
        .env(CHILD_STORE, store)
        .output()
        .unwrap()
        .status
}

#[test]
fn keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let mut number = 0;
    contract::run(&mut || {
        number += 1;
        Box::new(LocalStore::create(&directory.path().join(number.to_string())).unwrap())
    });
    assert_eq!(temporaries(directory.path()), 0);
}

#[test]
fn open_needs_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    assert_eq!(
        LocalStore::open(&missing).unwrap_err().kind,
        StoreErrorKind::NotFound
    );
    fs::write(&missing, "a file").unwrap();
    assert_eq!(
        LocalStore::open(&missing).unwrap_err().kind,
        StoreErrorKind::Permanent
    );
    assert_eq!(
        LocalStore::create(&missing).unwrap_err().kind,
        StoreErrorKind::Permanent
    );
}

#[test]
fn create_is_repeatable_and_makes_parents() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/c");
    LocalStore::create(&path)
        .unwrap()
        .put(&key("x"), b"1")
        .unwrap();
    let again = LocalStore::create(&path).unwrap();
    assert_eq!(again.get(&key("x"), 1).unwrap(), b"1");
    assert_eq!(
        again.location(),
        path.canonicalize().unwrap().display().to_string()
    );
}

#[test]
fn modes_are_private() {
    let (_scratch, path) = child_store();
    let store = LocalStore::create(&path).unwrap();
    store.put(&key("packs/ab/object"), b"x").unwrap();
    let paths = everything(&path);
    assert_eq!(paths.len(), 4);
    for path in paths {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, expected, "{}", path.display());
    }
}

#[test]
fn modes_ignore_the_umask() {
    let directory = tempfile::tempdir().unwrap();
    // The second would lock the owner out of what it makes.
    for umask in ["0000", "0277"] {
        let setup = format!("umask {umask}; exec");
        let path = directory.path().join(umask);
        let status = run_in_shell(&setup, "modes_are_private", &path);
        assert!(status.success(), "{umask}");
        assert!(path.exists());
    }
}

/// On its own a plain put; run by others with their limits on the process.
#[test]
fn child_puts_a_mebibyte() {
    let (_scratch, path) = child_store();
    let store = LocalStore::create(&path).unwrap();
    if let Err(error) = store.put(&key("packs/large"), &vec![7; 1 << 20]) {
        assert_eq!(error.kind, StoreErrorKind::Permanent, "file too large");
        assert_eq!(temporaries(&path), 0);
        std::process::exit(3);
    }
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let setup = "trap '' XFSZ; ulimit -f 8; exec";
    let status = run_in_shell(setup, "child_puts_a_mebibyte", directory.path());
    assert_eq!(status.code(), Some(3), "the put must have failed");
    let store = LocalStore::open(directory.path()).unwrap();
    assert!(store.list_all("").unwrap().is_empty());
}

#[test]
fn a_writer_killed_in_a_put_leaves_only_what_sweep_removes() {
    let directory = tempfile::tempdir().unwrap();
    // Whoever runs the tests may ignore the signal, and a shell cannot take that back.
    let setup = "ulimit -f 8; ulimit -c 0; exec env --default-signal=XFSZ";
    let status = run_in_shell(setup, "child_puts_a_mebibyte", directory.path());
    assert_eq!(status.code(), None, "the writer must have been killed");
    assert_eq!(temporaries(directory.path()), 1);

    let store = LocalStore::open(directory.path()).unwrap();
    assert!(store.list_all("").unwrap().is_empty());
    assert!(!store.exists(&key("packs/large")).unwrap());
    store.put(&key("packs/large"), b"whole").unwrap();

    let written = store.stat(&key("packs/large")).unwrap().modified.unwrap();
    let long_ago = Timestamp(written.0 - Timestamp::from_seconds(3600).0);
    assert_eq!(store.sweep(long_ago).unwrap().files, 0, "too young");
    let later = Timestamp(written.0 + 1);
    let swept = store.sweep(later).unwrap();
    assert_eq!(swept.files, 1);
    assert!(swept.bytes > 0);
    assert_eq!(temporaries(directory.path()), 0);
    assert_eq!(store.get(&key("packs/large"), 5).unwrap(), b"whole");
}

#[test]
fn a_failed_rename_leaves_nothing_behind() {
    let (directory, store) = store();
    store.put(&key("a/b"), b"x").unwrap();
    assert_eq!(
        store.put(&key("a"), b"x").unwrap_err().kind,
        StoreErrorKind::Permanent
    );
    assert_eq!(
        store.put(&key("a/b/c"), b"x").unwrap_err().kind,
        StoreErrorKind::Permanent
    );
    assert_eq!(temporaries(directory.path()), 0);
}

#[test]
fn temporary_names_are_no_keys_and_not_shared() {
    assert!(ObjectKey::new(format!("{TEMPORARY_PREFIX}0-0")).is_err());
    let (directory, first) = store();
    let second = LocalStore::open(&directory.path().join("store")).unwrap();
    assert_ne!(first.instance, second.instance);
}

#[test]
fn foreign_files_are_passed_over() {
    let (directory, store) = store();
    let root = directory.path().join("store");
    store.put(&key("packs/object"), b"x").unwrap();
    fs::write(root.join("README.TXT"), "upper case").unwrap();
    fs::write(root.join("packs/.put-dead-0"), "leftover").unwrap();
    fs::write(root.join("packs/.nfs0001"), "silly rename").unwrap();
    fs::create_dir_all(root.join(".snapshot/packs")).unwrap();
    fs::write(root.join(".snapshot/packs/object"), "old").unwrap();
    fs::create_dir(root.join("lost+found")).unwrap();
    fs::write(root.join("lost+found/object"), "x").unwrap();
    symlink(root.join("packs/object"), root.join("packs/link")).unwrap();
    let found = store.list_all("").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, key("packs/object"));
}

#[test]
fn symbolic_links_are_not_followed() {
    let (directory, store) = store();
    let (root, outside) = (
        directory.path().join("store"),
        directory.path().join("outside"),
    );
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "x").unwrap();
    symlink(&outside, root.join("packs")).unwrap();
    symlink(outside.join("secret"), root.join("object")).unwrap();

    for name in ["packs/secret", "object"] {
        let kind = StoreErrorKind::Permanent;
        assert_eq!(store.get(&key(name), 10).unwrap_err().kind, kind);
        assert_eq!(
            store
                .get_range(&key(name), 0, &mut [0; 1])
                .unwrap_err()
                .kind,
            kind
        );
        assert_eq!(store.stat(&key(name)).unwrap_err().kind, kind);
    }
    assert_eq!(
        store.put(&key("packs/new"), b"x").unwrap_err().kind,
        StoreErrorKind::Permanent
    );
    store.delete(&key("packs/secret")).unwrap_err();
    let error = store.list_all("packs").unwrap_err();
    assert!(
        error.source.to_string().contains("symbolic link"),
        "{}",
        error.source
    );
    assert!(store.list_all("").unwrap().is_empty());

    store.put(&key("object"), b"new").unwrap();
    assert_eq!(
        fs::read(outside.join("secret")).unwrap(),
        b"x",
        "replaced the link, not its target"
    );
    assert_eq!(store.get(&key("object"), 3).unwrap(), b"new");
}

#[test]
fn a_planted_pipe_does_not_block() {
    let (directory, store) = store();
    let status = Command::new("mkfifo")
        .arg(directory.path().join("store/pipe"))
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        store.get(&key("pipe"), 10).unwrap_err().kind,
        StoreErrorKind::Permanent
    );
    assert!(store.list_all("").unwrap().is_empty());
}

#[test]
fn a_deleted_store_is_not_an_empty_one() {
    let (directory, store) = store();
    store.put(&key("packs/a"), b"x").unwrap();
    fs::remove_dir_all(directory.path().join("store")).unwrap();
    let name = key("packs/a");
    let errors = [
        store.list_all("").unwrap_err(),
        store.list_all("packs").unwrap_err(),
        store.get(&name, 1).unwrap_err(),
        store.get_range(&name, 0, &mut [0; 1]).unwrap_err(),
        store.stat(&name).unwrap_err(),
        store.put(&name, b"x").unwrap_err(),
        store.delete(&name).unwrap_err(),
        store.barrier().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, StoreErrorKind::Permanent, "{error}");
        let text = error.source.to_string();
        assert!(text.contains("store is gone"), "{error}: {text}");
    }
}

#[test]
fn a_vanished_directory_is_no_successful_barrier() {
    let (directory, store) = store();
    store.put(&key("packs/a"), b"x").unwrap();
    fs::remove_dir_all(directory.path().join("store/packs")).unwrap();
    assert_eq!(store.barrier().unwrap_err().kind, StoreErrorKind::Permanent);
}

#[test]
fn ranged_reads_notice_other_processes() {
    let (directory, reader) = store();
    let writer = LocalStore::open(&directory.path().join("store")).unwrap();
    let name = key("object");
    let mut bytes = [0; 3];
    writer.put(&name, b"old").unwrap();
    reader.get_range(&name, 0, &mut bytes).unwrap();
    writer.put(&name, b"newer").unwrap();
    reader.get_range(&name, 0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"new");
    writer.delete(&name).unwrap();
    let error = reader.get_range(&name, 0, &mut bytes).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
}

#[test]
fn held_files_are_bounded() {
    let (_directory, store) = store();
    for number in 0..100 {
        let name = key(&format!("packs/{number}"));
        store.put(&name, &[number; 10]).unwrap();
        let mut byte = [0];
        store.get_range(&name, 9, &mut byte).unwrap();
        store.get_range(&name, 9, &mut byte).unwrap();
        assert_eq!(byte, [number]);
    }
    assert_eq!(store.handles.count(), 32);
}

#[test]
fn ten_thousand_sharded_objects_are_listed() {
    let (directory, store) = store();
    let root = directory.path().join("store");
    for shard in 0..256 {
        fs::create_dir_all(root.join(format!("packs/{shard:02x}"))).unwrap();
    }
    for number in 0..10_000 {
        // Written past the store: ten thousand syncs would take the test's time.
        fs::write(
            root.join(format!("packs/{:02x}/{number:08}", number % 256)),
            "x",
        )
        .unwrap();
    }
    let found = store.list_all("packs").unwrap();
    assert_eq!(found.len(), 10_000);
    assert!(
        found
            .iter()
            .all(|info| info.size == 1 && info.modified.is_some())
    );
    assert_eq!(store.list_all("packs/ff").unwrap().len(), 39);
}

#[test]
fn free_space_is_told() {
    let (_directory, store) = store();
    assert!(store.free_space().unwrap() > 0);
}
