#![allow(clippy::unwrap_used, clippy::expect_used)]

mod round_trip;

use super::*;
use crate::entry::Metadata;
use crate::env::Timestamp;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};

fn entry(name: &[u8], kind: EntryKind, mode: u32) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        metadata: Metadata {
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            modified: Timestamp(1_000_000_000_123_456_789),
            ..Metadata::default()
        },
    }
}

fn file_entry(name: &[u8], size: usize, mode: u32) -> Entry {
    entry(name, EntryKind::File { size: size as u64 }, mode)
}

struct Bench {
    _guard: tempfile::TempDir,
    base: PathBuf,
}

impl Bench {
    /// A directory with `outside/victim` beside the place for the target.
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(guard.path()).unwrap();
        fs::create_dir(base.join("outside")).unwrap();
        fs::write(base.join("outside/victim"), b"precious").unwrap();
        Self {
            _guard: guard,
            base,
        }
    }

    fn target(&self) -> PathBuf {
        self.base.join("target")
    }

    fn open(&self, overwrite: Overwrite) -> TargetRoot {
        let options = TargetOptions {
            overwrite,
            ..TargetOptions::default()
        };
        TargetRoot::open(&self.target(), options).unwrap()
    }

    fn assert_outside_is_untouched(&self) {
        let victim = self.base.join("outside/victim");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read_dir(self.base.join("outside")).unwrap().count(), 1);
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o7777, 0o644);
    }
}

fn path(text: &str) -> TargetPath {
    let components: Vec<_> = text.split('/').collect();
    TargetPath::new(&components).unwrap()
}

fn restore(
    root: &TargetRoot,
    at: &TargetPath,
    bytes: &[u8],
    mode: u32,
) -> TargetResult<Vec<Warning>> {
    let file = root.create_file(at, bytes.len() as u64, b"tag")?;
    file.write_at(0, bytes)?;
    root.commit_file(file, at, &file_entry(at.name(), bytes.len(), mode))
}

#[test]
fn names_that_are_none_are_refused() {
    let long = [b'x'; crate::limits::NAME_BYTES_MAX + 1];
    let bench = Bench::new();
    let root = bench.open(Overwrite::Always);
    for name in [
        &b""[..],
        b".",
        b"..",
        b"a/b",
        b"/",
        b"a\0b",
        b"../outside",
        &long,
    ] {
        assert!(TargetPath::new(&[name]).is_err(), "{name:?}");
        let error = root.child(Some(&path("d")), name).unwrap_err();
        assert_eq!(error.kind, TargetErrorKind::NotBeneath);
    }
    assert!(TargetPath::new::<&[u8]>(&[]).is_err());
}

#[test]
fn planted_links_never_lead_out() {
    let bench = Bench::new();
    for has_openat2 in [true, false] {
        let mut root = bench.open(Overwrite::Always);
        if !has_openat2 {
            root.jail = root.jail.without_openat2();
        }
        let _ = fs::remove_dir_all(bench.target().join("d"));
        fs::create_dir_all(bench.target().join("d/inner")).unwrap();
        for planted in ["d/absolute", "d/inner/relative"] {
            let to = if planted == "d/absolute" {
                bench.base.join("outside")
            } else {
                PathBuf::from("../../../outside")
            };
            symlink(to, bench.target().join(planted)).unwrap();
            let inside = path(&format!("{planted}/victim"));
            let error = restore(&root, &inside, b"evil", 0o666).unwrap_err();
            assert_eq!(error.kind, TargetErrorKind::NotBeneath, "{error:?}");
            let link = entry(b"x", EntryKind::Fifo, 0o600);
            assert!(root.make_special(&inside, &link).is_err());
            assert!(root.make_directory(&inside).is_err());
            assert!(root.hard_link(&inside, &path("d/x")).is_err());
            assert!(root.hard_link(&path("d/x"), &inside).is_err());
            let planted = path(planted);
            let directory = entry(planted.name(), EntryKind::Directory, 0o777);
            assert!(root.finish_directory(&planted, &directory).is_err());
        }
    }
    bench.assert_outside_is_untouched();
}

#[test]
fn links_in_place_of_files_are_replaced_not_followed() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Always);
    let victim = bench.base.join("outside/victim");
    symlink(&victim, bench.target().join("f")).unwrap();
    let partial = place::partial_name(b"f", b"tag");
    let partial = bench.target().join(OsStr::from_bytes(partial.as_bytes()));
    symlink(&victim, &partial).unwrap();
    restore(&root, &path("f"), b"new", 0o600).unwrap();
    assert_eq!(fs::read(bench.target().join("f")).unwrap(), b"new");
    assert!(
        fs::symlink_metadata(bench.target().join("f"))
            .unwrap()
            .is_file()
    );
    // A second name of a file outside is not written through either.
    fs::hard_link(&victim, &partial).unwrap();
    restore(&root, &path("f"), b"newer", 0o600).unwrap();
    // A link where a directory belongs makes way.
    symlink(bench.base.join("outside"), bench.target().join("d")).unwrap();
    assert_eq!(
        root.make_directory(&path("d")).unwrap(),
        Made::Created(Vec::new())
    );
    restore(&root, &path("d/victim"), b"inside", 0o600).unwrap();
    bench.assert_outside_is_untouched();
}

#[test]
fn nothing_is_replaced_without_consent() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Never);
    restore(&root, &path("f"), b"one", 0o644).unwrap();
    let error = restore(&root, &path("f"), b"two", 0o644).unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Exists);
    assert_eq!(
        error.to_string(),
        format!("cannot create {}/f", bench.target().display())
    );
    let link = entry(
        b"f",
        EntryKind::Symlink {
            target: b"x".to_vec(),
        },
        0o777,
    );
    assert!(root.make_special(&path("f"), &link).is_err());
    // What appears while the content is written stays too.
    let late = root.create_file(&path("g"), 3, b"tag").unwrap();
    fs::write(bench.target().join("g"), b"theirs").unwrap();
    let error = root
        .commit_file(late, &path("g"), &file_entry(b"g", 3, 0o600))
        .unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Exists);
    assert_eq!(fs::read(bench.target().join("g")).unwrap(), b"theirs");
    assert_eq!(fs::read(bench.target().join("f")).unwrap(), b"one");
    // Not even with consent for a directory.
    let root = bench.open(Overwrite::Always);
    root.make_directory(&path("d")).unwrap();
    assert_eq!(root.make_directory(&path("d")).unwrap(), Made::Existed);
    assert!(restore(&root, &path("d"), b"x", 0o600).is_err());
    restore(&root, &path("f"), b"two", 0o644).unwrap();
    assert_eq!(fs::read(bench.target().join("f")).unwrap(), b"two");
}

#[test]
fn an_interrupted_file_is_found_again() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Resume);
    let file = root.create_file(&path("f"), 8, b"tag").unwrap();
    assert!(!file.is_resumed());
    file.write_at(0, b"half").unwrap();
    drop(file);
    let file = root.create_file(&path("f"), 8, b"tag").unwrap();
    assert!(file.is_resumed());
    let mut buffer = [1u8; 16];
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 8);
    assert_eq!(&buffer[..8], b"half\0\0\0\0");
    assert!(
        !root
            .create_file(&path("f"), 8, b"another")
            .unwrap()
            .is_resumed()
    );
    file.write_at(4, b"done").unwrap();
    assert!(file.write_at(5, b"much").is_err(), "past the end");
    let done = file_entry(b"f", 8, 0o640);
    root.commit_file(file, &path("f"), &done).unwrap();
    assert!(root.is_done(&path("f"), &done).unwrap());
    assert!(
        !root
            .is_done(&path("f"), &file_entry(b"f", 9, 0o640))
            .unwrap()
    );
    assert!(!root.is_done(&path("missing"), &done).unwrap());
}

#[test]
fn secrets_stay_private() {
    let bench = Bench::new();
    let options = TargetOptions {
        mode_mask: 0o600,
        ..TargetOptions::default()
    };
    let root = TargetRoot::open(&bench.target(), options).unwrap();
    root.make_directory(&path("d")).unwrap();
    restore(&root, &path("d/.env"), b"TOKEN=1", 0o4777).unwrap();
    let directory = entry(b"d", EntryKind::Directory, 0o755);
    root.finish_directory(&path("d"), &directory).unwrap();
    let mode = |name| fs::metadata(bench.target().join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("d/.env"), 0o600);
    assert_eq!(mode("d"), 0o700);
    assert_eq!(mode(""), 0o700, "a new target is private");
}

#[test]
fn setuid_needs_the_right_owner() {
    let bench = Bench::new();
    let options = TargetOptions {
        owners: Owners::Never,
        ..TargetOptions::default()
    };
    let root = TargetRoot::open(&bench.target(), options).unwrap();
    let mut foreign = file_entry(b"f", 0, 0o6755);
    foreign.metadata.uid += 1;
    let file = root.create_file(&path("f"), 0, b"").unwrap();
    root.commit_file(file, &path("f"), &foreign).unwrap();
    let mode = fs::metadata(bench.target().join("f")).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o755);
}

#[test]
fn sparse_files_stay_sparse() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Never);
    let size = 64 << 20;
    let file = root.create_file(&path("f"), size, b"tag").unwrap();
    let mut piece = vec![0u8; 1 << 20];
    piece[500_000] = 7;
    file.write_at(1000, &piece).unwrap();
    file.write_hole(8 << 20, 1 << 20).unwrap();
    file.write_at(size - 1, &[9]).unwrap();
    let entry = entry(b"f", EntryKind::File { size }, 0o600);
    root.commit_file(file, &path("f"), &entry).unwrap();
    let restored = bench.target().join("f");
    let metadata = fs::metadata(&restored).unwrap();
    assert_eq!(metadata.len(), size);
    assert!(metadata.blocks() * 512 <= 64 << 10, "{}", metadata.blocks());
    let bytes = fs::read(&restored).unwrap();
    let set: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    assert_eq!(set, [501_000, bytes.len() - 1]);
}

#[test]
fn in_place_needs_a_plain_file_and_consent() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Always);
    fs::write(bench.target().join("f"), b"old content").unwrap();
    symlink(
        bench.base.join("outside/victim"),
        bench.target().join("link"),
    )
    .unwrap();
    fs::hard_link(
        bench.base.join("outside/victim"),
        bench.target().join("second"),
    )
    .unwrap();
    for name in ["link", "second"] {
        assert!(root.open_in_place(&path(name), 3).unwrap().is_none());
    }
    assert!(root.open_in_place(&path("missing"), 3).unwrap().is_none());
    let file = root.open_in_place(&path("f"), 8192).unwrap().unwrap();
    file.write_at(0, b"new").unwrap();
    file.write_hole(4, 8000).unwrap();
    root.commit_file(file, &path("f"), &file_entry(b"f", 8192, 0o600))
        .unwrap();
    let expected = [&b"new "[..], &[0; 8188]].concat();
    assert_eq!(fs::read(bench.target().join("f")).unwrap(), expected);
    // A damaged one is left as far as it came: it has no temporary name to give up.
    let file = root.open_in_place(&path("f"), 8192).unwrap().unwrap();
    root.discard_file(file).unwrap();
    assert_eq!(fs::read(bench.target().join("f")).unwrap(), expected);
    fs::remove_file(bench.target().join("second")).unwrap();
    assert!(
        bench
            .open(Overwrite::Never)
            .open_in_place(&path("f"), 1)
            .is_err()
    );
    bench.assert_outside_is_untouched();
}

#[test]
fn what_is_there_can_be_copied_from() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Always);
    fs::write(bench.target().join("f"), b"old content").unwrap();
    symlink(
        bench.base.join("outside/victim"),
        bench.target().join("link"),
    )
    .unwrap();
    assert!(root.open_existing(&path("link")).unwrap().is_none());
    assert!(root.open_existing(&path("missing")).unwrap().is_none());
    let existing = root.open_existing(&path("f")).unwrap().unwrap();
    let mut buffer = [0u8; 16];
    assert_eq!(existing.read_at(4, &mut buffer).unwrap(), 7);
    assert_eq!(&buffer[..7], b"content");
    let mut file = root.create_file(&path("g"), 4, b"tag").unwrap();
    file.clone_from(&existing).unwrap();
    // With shared blocks or without, only what is read from it counts.
    if file.is_resumed() {
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"old ");
    }
}

#[test]
fn a_finished_file_is_taken_back() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Always);
    let finished = bench.target().join("image");
    let take_back = || root.take_back(&path("image"), b"tag").unwrap();
    let resumed = || {
        let file = root.create_file(&path("image"), 4, b"tag").unwrap();
        let resumed = file.is_resumed();
        root.discard_file(file).unwrap();
        resumed
    };
    take_back();
    assert!(!resumed(), "there was none");
    restore(&root, &path("image"), b"done", 0o644).unwrap();
    take_back();
    assert!(!finished.exists());
    assert!(resumed());
    // One that others may write to could change after it was looked at.
    restore(&root, &path("image"), b"done", 0o666).unwrap();
    take_back();
    assert!(!finished.exists());
    assert!(!resumed());
    // An unfinished one of the same content is further than anything.
    drop(root.create_file(&path("image"), 4, b"tag").unwrap());
    restore(&root, &path("image2"), b"done", 0o600).unwrap();
    fs::rename(bench.target().join("image2"), &finished).unwrap();
    take_back();
    assert!(!finished.exists());
    assert!(resumed());
    symlink(bench.base.join("outside/victim"), &finished).unwrap();
    take_back();
    assert!(finished.symlink_metadata().is_err());
    bench.assert_outside_is_untouched();
}

#[test]
fn deep_directories_are_reached() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::Never);
    let mut here = path("d");
    root.make_directory(&here).unwrap();
    let mut chain = vec![here.clone()];
    for _ in 1..2500 {
        here = here.join(b"d").unwrap();
        root.make_directory(&here).unwrap();
        chain.push(here.clone());
    }
    let deepest = here.join(b"f").unwrap();
    restore(&root, &deepest, b"deep", 0o600).unwrap();
    let entry = entry(b"d", EntryKind::Directory, 0o750);
    for directory in chain.iter().rev().take(100) {
        root.finish_directory(directory, &entry).unwrap();
    }
}

#[test]
fn only_what_is_as_it_was_is_removed() {
    let bench = Bench::new();
    let root = bench.open(Overwrite::IfDifferent);
    let place = |name: &str| bench.target().join(name);
    fs::create_dir_all(place("dir/full")).unwrap();
    fs::write(place("dir/full/new"), b"new").unwrap();
    for name in ["dir/same", "dir/changed"] {
        fs::write(place(name), b"12345").unwrap();
    }
    let modified = fs::metadata(place("dir/same")).unwrap().modified().unwrap();
    let remembered = |name: &str, kind| Entry {
        metadata: Metadata {
            modified: modified.into(),
            ..Metadata::default()
        },
        ..entry(name.as_bytes(), kind, 0o644)
    };
    fs::write(place("dir/changed"), b"123456").unwrap();
    let file = EntryKind::File { size: 5 };
    for (name, kind, removed) in [
        ("dir/same", file.clone(), true),
        ("dir/same", file.clone(), true),
        ("dir/changed", file.clone(), false),
        ("gone/with/its/parents", file, true),
        ("dir/full", EntryKind::Directory, false),
        ("dir", EntryKind::Directory, false),
    ] {
        let entry = remembered(name, kind);
        assert_eq!(root.remove(&path(name), &entry).unwrap(), removed, "{name}");
    }
    assert!(!place("dir/same").exists() && place("dir/changed").exists());
    fs::remove_file(place("dir/full/new")).unwrap();
    let directory = remembered("dir/full", EntryKind::Directory);
    assert!(root.remove(&path("dir/full"), &directory).unwrap());
    symlink(bench.base.join("outside"), place("dir/link")).unwrap();
    let through = remembered("victim", EntryKind::File { size: 8 });
    root.remove(&path("dir/link/victim"), &through).unwrap_err();
    bench.assert_outside_is_untouched();
}
