#![allow(clippy::unwrap_used, clippy::expect_used)]

mod live_database;

use super::*;
use crate::entry::{EntryKind, Facts, Layout};
use crate::env::{SystemClock, Timestamp};
use crate::monitor::{Cancel, Silent};
use crate::source::recording::{Recorded, RecordedFile, RecordingSink};
use crate::source::{Consistency, ContentEnd, Extent};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

struct FixedClock(Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// An hour from now: everything written by a test is settled.
fn later() -> Arc<dyn Clock> {
    Arc::new(FixedClock(Timestamp(
        SystemClock.now().0 + 3_600_000_000_000,
    )))
}

fn source(root: &Path) -> FilesSource {
    FilesSource::new(&[root.to_owned()], later()).unwrap()
}

fn capture_into(source: &mut FilesSource, sink: &mut RecordingSink) {
    let cancel = Cancel::default();
    let context = Context {
        monitor: &Silent,
        cancel: &cancel,
    };
    source.capture(&context, sink).unwrap();
    assert!(sink.parents.is_empty());
}

fn capture(mut source: FilesSource) -> RecordingSink {
    let mut sink = RecordingSink::default();
    capture_into(&mut source, &mut sink);
    sink
}

/// A directory called `app` that is removed in the end.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("app");
    fs::create_dir(&root).unwrap();
    (directory, root)
}

fn write(root: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn entries_come_sorted_by_bytes_and_specials_are_not_opened() {
    let (_guard, root) = tree();
    write(&root, "b/c", b"1");
    write(&root, "b.c", b"2");
    write(&root, "B", b"3");
    fs::write(root.join(OsStr::from_bytes(b"\xff\xfe")), b"4").unwrap();
    symlink("/nowhere", root.join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let sink = capture(source(&root));
    let expected = [
        "app",
        "app/B",
        "app/b",
        "app/b/c",
        "app/b.c",
        "app/link",
        "app/pipe",
        "app/socket",
        "app/\u{fffd}\u{fffd}",
    ];
    assert_eq!(sink.paths(), expected);
    assert!(sink.problems.is_empty(), "{:?}", sink.problems);
    let specials: Vec<_> = sink
        .entries
        .iter()
        .filter_map(|recorded| match recorded {
            Recorded::Special(entry) => Some(entry.kind.clone()),
            _ => None,
        })
        .collect();
    let target = b"/nowhere".to_vec();
    assert_eq!(
        specials,
        [
            EntryKind::Symlink { target },
            EntryKind::Fifo,
            EntryKind::Socket
        ]
    );
}

#[test]
fn metadata_is_complete() {
    let (_guard, root) = tree();
    let path = write(&root, "a", b"content");
    fs::hard_link(&path, root.join("b")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let modified = std::time::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let has_attributes = rustix::fs::setxattr(
        &path,
        "user.colour",
        b"\0blue",
        rustix::fs::XattrFlags::empty(),
    )
    .is_ok();
    let sink = capture(source(&root));
    let (a, b) = (sink.file_named("a").unwrap(), sink.file_named("b").unwrap());
    let metadata = &a.entry.metadata;
    assert_eq!(metadata.mode, 0o4751);
    assert_eq!(metadata.modified, Timestamp(1_234_567_890_123_456_789));
    assert_eq!(metadata.uid, rustix::process::geteuid().as_raw());
    if metadata.uid == 0 {
        assert_eq!(metadata.user.as_deref(), Some("root"));
    }
    assert!(metadata.hard_link.is_some());
    assert_eq!(metadata.hard_link, b.entry.metadata.hard_link);
    if has_attributes {
        assert_eq!(metadata.xattrs[&b"user.colour"[..]], b"\0blue");
    }
    assert_eq!(a.bytes, b"content");
    assert_eq!(a.consistency, Consistency::Consistent);
}

#[test]
fn stamps_are_offered_for_settled_files_only_and_spare_the_opening() {
    let (_guard, root) = tree();
    write(&root, "a", b"content");
    let just_now = FilesSource::new(std::slice::from_ref(&root), Arc::new(SystemClock)).unwrap();
    assert_eq!(capture(just_now).file_named("a").unwrap().stamp, None);
    let mut sink = RecordingSink {
        trusts_stamps: true,
        ..RecordingSink::default()
    };
    capture_into(&mut source(&root), &mut sink);
    let file = sink.file_named("a").unwrap();
    assert_eq!(file.stamp.unwrap().size, 7);
    assert!(file.bytes.is_empty(), "it was not opened");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let (_guard, root) = tree();
    let path = write(&root, "a", &vec![1u8; 300_000]);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let mut sink = RecordingSink {
        between_reads: Box::new(move || file.set_len(100_000).unwrap()),
        buffer_bytes: 64 << 10,
        ..RecordingSink::default()
    };
    capture_into(&mut source(&root), &mut sink);
    let file = sink.file_named("a").unwrap();
    assert_eq!(file.consistency, Consistency::Changed);
    assert_eq!(file.entry.kind, EntryKind::File { size: file.length });
}

#[test]
fn holes_are_skipped() {
    let (_guard, root) = tree();
    let file = fs::File::create(root.join("disk")).unwrap();
    file.set_len(20 << 30).unwrap();
    file.write_all_at(b"data", 5 << 30).unwrap();
    let mut sink = RecordingSink {
        keeps_content: false,
        ..RecordingSink::default()
    };
    let start = Instant::now();
    capture_into(&mut source(&root), &mut sink);
    assert!(start.elapsed() < Duration::from_secs(1));
    let file = sink.file_named("disk").unwrap();
    assert_eq!(file.length, 20 << 30);
    assert!(
        file.hole_bytes > (20 << 30) - (1 << 20),
        "{}",
        file.hole_bytes
    );
    assert_eq!(file.consistency, Consistency::Consistent);
}

#[test]
fn a_very_deep_tree_needs_few_descriptors() {
    let (guard, root) = tree();
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let mode = rustix::fs::Mode::from_raw_mode(0o700);
    let mut here = rustix::fs::open(&root, flags, mode).unwrap();
    for depth in 1..4100 {
        rustix::fs::mkdirat(&here, "d", mode).unwrap();
        here = rustix::fs::openat(&here, "d", flags, mode).unwrap();
        if depth % 500 == 0 {
            // Something that comes after the deeper levels, when their parents were closed.
            rustix::fs::mkdirat(&here, "e", mode).unwrap();
        }
    }
    let sink = capture(source(&root));
    let entered = |name: &[u8]| {
        sink.entries
            .iter()
            .filter(|recorded| matches!(recorded, Recorded::Enter(entry) if entry.name == name))
            .count()
    };
    assert_eq!(entered(b"d"), crate::limits::DIRECTORY_DEPTH_MAX - 1);
    assert_eq!(entered(b"e"), 8);
    assert_eq!(sink.problems.len(), 1, "{:?}", sink.problems);
    assert!(
        sink.problems[0]
            .message
            .starts_with("cannot go deeper than 4096 directories")
    );
    drop(sink);
    // The standard library removes iteratively and by descriptor.
    guard.close().unwrap();
}

#[test]
fn one_directory_of_many_names() {
    let (_guard, root) = tree();
    for number in 0..5000 {
        fs::write(root.join(format!("{number}")), b"").unwrap();
    }
    let sink = capture(source(&root));
    let names = sink.paths();
    assert_eq!(names.len(), 5001);
    assert!(names[1..].is_sorted());
}

#[test]
fn exclusions_are_counted_and_give_their_reason() {
    let (_guard, root) = tree();
    write(&root, "src/node_modules/x/y.js", b"12345");
    write(&root, "src/node_modules/z.js", b"123");
    write(&root, "src/main.js", b"1");
    write(
        &root,
        "cache/CACHEDIR.TAG",
        b"Signature: 8a477f597d28d172789f06886806bc55\n",
    );
    write(&root, "fake/CACHEDIR.TAG", b"something else");
    write(&root, "marked/.nobackup", b"");
    let mut rules = ExcludeRules::builder();
    rules
        .rule("node_modules", Some("npm brings it back"))
        .unwrap();
    rules.cache_directories();
    rules.if_present(b".nobackup").unwrap();
    let sink = capture(source(&root).exclude(rules.build().unwrap()));
    let expected = [
        "app",
        "app/fake",
        "app/fake/CACHEDIR.TAG",
        "app/src",
        "app/src/main.js",
    ];
    assert_eq!(sink.paths(), expected);
    let found: Vec<_> = sink
        .exclusions
        .iter()
        .map(|e| {
            (
                e.path.as_slice(),
                e.rule.as_str(),
                e.reason.as_deref(),
                e.files,
                e.bytes,
            )
        })
        .collect();
    let reason = Some("npm brings it back");
    assert_eq!(
        found,
        [
            (&b"app/cache"[..], "CACHEDIR.TAG", None, 1, 44),
            (b"app/marked", "if-present .nobackup", None, 1, 0),
            (b"app/src/node_modules", "node_modules", reason, 2, 8),
        ]
    );
}

struct Database;

impl Content for Database {
    fn layout(&self) -> Layout {
        Layout::Pages
    }

    fn read(&mut self, _: &mut [u8]) -> Result<Extent, SourceError> {
        Ok(Extent::End)
    }

    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        let engine = crate::entry::Fact::Text("sqlite".to_owned());
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts: Facts::from([("engine".to_owned(), engine)]),
        })
    }
}

/// How many descriptors of this process lead to `path`.
fn descriptors_of(path: &Path) -> usize {
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter(|entry| fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|to| to == path))
        .count()
}

fn database_tree() -> (tempfile::TempDir, PathBuf) {
    let (guard, root) = tree();
    let header = [&b"SQLite format 3\0"[..], &[0; 496]].concat();
    write(&root, "a.db", &header);
    write(&root, "a.db!other", b"sorts between");
    write(&root, "a.db-wal", b"log");
    write(&root, "a.db-shm", b"index");
    write(&root, "a.db-journal", b"journal");
    write(&root, "b-wal", b"a file of its own");
    (guard, root)
}

#[test]
fn databases_go_to_the_hook_and_their_companions_are_part_of_them() {
    let (_guard, root) = database_tree();
    let hook: DatabaseHook = Box::new(|path| {
        assert_eq!(descriptors_of(path), 0, "the probe's descriptor is closed");
        Ok(Some(Box::new(Database)))
    });
    let sink = capture(source(&root).open_database(hook));
    assert_eq!(
        sink.paths(),
        ["app", "app/a.db", "app/a.db!other", "app/b-wal"]
    );
    let database: &RecordedFile = sink.file_named("a.db").unwrap();
    assert_eq!(database.layout, Layout::Pages);
    assert!(!database.facts.is_empty());
    assert!(sink.problems.is_empty() && sink.exclusions.is_empty());
}

#[test]
fn a_failing_hook_never_leads_to_a_raw_copy() {
    let (_guard, root) = database_tree();
    let hook: DatabaseHook = Box::new(|path| {
        Err(SourceError {
            operation: "open",
            object: path.display().to_string(),
            remedy: Some("stop it".to_owned()),
            source: "locked".into(),
        })
    });
    let sink = capture(source(&root).open_database(hook));
    assert_eq!(sink.paths(), ["app", "app/a.db!other", "app/b-wal"]);
    assert_eq!(sink.problems.len(), 1);
    assert_eq!(sink.problems[0].path, b"app/a.db");
    assert!(sink.problems[0].message.ends_with("a.db: locked"));
}

#[test]
fn what_only_looks_like_a_database_is_copied() {
    let (_guard, root) = database_tree();
    let sink = capture(source(&root).open_database(Box::new(|_| Ok(None))));
    assert_eq!(sink.paths().len(), 7);
    assert_eq!(sink.file_named("a.db").unwrap().layout, Layout::Stream);
    let sink = capture(source(&root));
    assert_eq!(
        sink.file_named("a.db").unwrap().layout,
        Layout::Pages,
        "no hook"
    );
}

#[test]
fn relations_of_postgresql_are_page_files() {
    let (_guard, root) = tree();
    let mut page = [0u8; 8192];
    for (offset, field) in [(12, 268u16), (14, 384), (16, 8192), (18, 0x2004)] {
        page[offset..offset + 2].copy_from_slice(&field.to_le_bytes());
    }
    write(&root, "16384", &page.repeat(8));
    write(&root, "16385", &page.repeat(7));
    write(&root, "16386", &[&page.repeat(8)[..], b"more"].concat());
    let sink = capture(source(&root));
    let layout = |name| sink.file_named(name).unwrap().layout;
    assert_eq!(layout("16384"), Layout::Pages);
    assert_eq!(layout("16385"), Layout::Stream, "small ones are grouped");
    assert_eq!(layout("16386"), Layout::Stream, "no whole pages");
}

#[test]
fn roots_are_named_once_each() {
    let guard = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(guard.path()).unwrap();
    write(&base, "x/app/f", b"1");
    write(&base, "y/app/f", b"2");
    write(&base, "app~2", b"3");
    write(&base, "app/f", b"4");
    let paths = ["x/app", "y/app", "app~2", "app", "x/../app"].map(|path| base.join(path));
    let mut source = FilesSource::new(&paths, later()).unwrap();
    let roots: Vec<_> = source
        .roots()
        .iter()
        .map(|root| root.name.as_slice())
        .collect();
    assert_eq!(roots, [&b"app"[..], b"app~2", b"app~3", b"app~4"]);
    let mut sink = RecordingSink::default();
    capture_into(&mut source, &mut sink);
    let expected = [
        "app", "app/f", "app~2", "app~3", "app~3/f", "app~4", "app~4/f",
    ];
    assert_eq!(sink.paths(), expected);
    assert!(FilesSource::new(&[base.join("missing")], later()).is_err());
}

#[test]
fn a_root_that_vanished_is_a_problem_and_all_of_them_an_error() {
    let guard = tempfile::tempdir().unwrap();
    let (a, b) = (
        write(guard.path(), "a", b"1"),
        write(guard.path(), "b", b"2"),
    );
    let mut source = FilesSource::new(&[a.clone(), b.clone()], later()).unwrap();
    fs::remove_file(a).unwrap();
    let mut sink = RecordingSink::default();
    capture_into(&mut source, &mut sink);
    assert_eq!(sink.paths(), ["b"]);
    assert_eq!(sink.problems.len(), 1);
    fs::remove_file(b).unwrap();
    let cancel = Cancel::default();
    let context = Context {
        monitor: &Silent,
        cancel: &cancel,
    };
    assert!(
        source
            .capture(&context, &mut RecordingSink::default())
            .is_err()
    );
}

#[test]
fn cancelling_stops_the_walk() {
    let (_guard, root) = tree();
    write(&root, "a", b"1");
    let cancel = Cancel::default();
    cancel.cancel();
    let context = Context {
        monitor: &Silent,
        cancel: &cancel,
    };
    let result = source(&root).capture(&context, &mut RecordingSink::default());
    assert!(matches!(result, Err(CaptureError::Interrupted(_))));
}

#[test]
fn what_is_swapped_after_it_was_listed_is_neither_followed_nor_waited_for() {
    let (_guard, root) = tree();
    for name in ["fifo", "gone", "link", "same"] {
        write(&root, name, b"content");
    }
    let inside = root.clone();
    let mut sink = RecordingSink {
        before_open: Box::new(move |entry| {
            let path = inside.join(OsStr::from_bytes(&entry.name));
            if entry.name != b"same" {
                fs::remove_file(&path).unwrap();
            }
            let kind = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::RUSR;
            match entry.name.as_slice() {
                b"fifo" => rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap(),
                b"link" => symlink("/etc/passwd", &path).unwrap(),
                _ => {}
            }
        }),
        ..RecordingSink::default()
    };
    capture_into(&mut source(&root), &mut sink);
    assert_eq!(sink.paths(), ["app", "app/same"]);
    let problems: Vec<_> = sink.problems.iter().map(|p| p.path.as_slice()).collect();
    assert_eq!(
        problems,
        [&b"app/fifo"[..], b"app/link"],
        "what is gone is no problem"
    );
}
