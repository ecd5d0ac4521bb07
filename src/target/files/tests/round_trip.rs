//! Captured, recreated and captured again: nothing may differ.

use crate::entry::{Entry, HardLink};
use crate::env::SystemClock;
use crate::monitor::{Cancel, Silent};
use crate::source::files::FilesSource;
use crate::source::recording::{Recorded, RecordingSink};
use crate::source::{Context, Source};
use crate::target::files::tests::Bench;
use crate::target::files::{Made, Overwrite, TargetPath, TargetRoot};
use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
use rustix::fs::Mode;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Captures a tree as the restorer would be given it.
fn capture(root: &Path) -> RecordingSink {
    let mut sink = RecordingSink::default();
    let cancel = Cancel::default();
    let context = Context {
        monitor: &Silent,
        cancel: &cancel,
    };
    FilesSource::new(&[root.to_owned()], std::sync::Arc::new(SystemClock))
        .unwrap()
        .capture(&context, &mut sink)
        .unwrap();
    assert!(sink.problems.is_empty(), "{:?}", sink.problems);
    sink
}

fn recreate(sink: &RecordingSink, root: &TargetRoot) {
    let mut parents: Vec<(TargetPath, Entry)> = Vec::new();
    let mut links = BTreeMap::new();
    for recorded in &sink.entries {
        let parent = parents.last().map(|(path, _)| path.clone());
        let at = |entry: &Entry| root.child(parent.as_ref(), &entry.name).unwrap();
        match recorded {
            Recorded::Enter(entry) => {
                root.make_directory(&at(entry)).unwrap();
                parents.push((at(entry), entry.clone()));
            }
            Recorded::Leave => {
                let (path, entry) = parents.pop().unwrap();
                assert_eq!(root.finish_directory(&path, &entry).unwrap(), []);
            }
            Recorded::Special(entry) => {
                let made = root.make_special(&at(entry), entry).unwrap();
                assert_eq!(made, Made::Created(Vec::new()));
            }
            Recorded::File(file) => {
                let path = at(&file.entry);
                if let Some(link) = file.entry.metadata.hard_link
                    && let Some(existing) = links.insert(link, path.clone())
                {
                    root.hard_link(&path, &existing).unwrap();
                    continue;
                }
                let target = root.create_file(&path, file.length, b"tag").unwrap();
                target.write_at(0, &file.bytes).unwrap();
                assert_eq!(root.commit_file(target, &path, &file.entry).unwrap(), []);
            }
        }
    }
}

/// What must be equal, with hard links numbered in order of appearance.
fn comparable(sink: &RecordingSink) -> Vec<(Option<Entry>, Vec<u8>)> {
    let mut links = BTreeMap::new();
    sink.entries
        .iter()
        .map(|recorded| {
            let (entry, bytes) = match recorded {
                Recorded::Leave => (None, Vec::new()),
                Recorded::Enter(entry) | Recorded::Special(entry) => (Some(entry), Vec::new()),
                Recorded::File(file) => (Some(&file.entry), file.bytes.clone()),
            };
            let entry = entry.cloned().map(|mut entry| {
                if let Some(link) = &mut entry.metadata.hard_link {
                    let next = links.len() as u64;
                    let inode = *links.entry(*link).or_insert(next);
                    *link = HardLink { device: 0, inode };
                }
                entry
            });
            (entry, bytes)
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Node {
    File {
        bytes: Vec<u8>,
        mode: u32,
        colour: bool,
        twin: bool,
    },
    Link(Vec<u8>),
    Fifo,
    Directory(Vec<(Vec<u8>, Node)>, u32),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        (1u8..=255).prop_filter("no slash", |byte| *byte != b'/'),
        1..12,
    )
    .prop_filter("a name", |name| name != b"." && name != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let content = prop_oneof![
        prop::collection::vec(0u8..=255, 0..200),
        (1usize..40_000).prop_map(|length| vec![0; length]),
    ];
    let mode = prop_oneof![Just(0o644), Just(0o4755), Just(0o600), Just(0o1666)];
    let file = (content, mode, prop::bool::ANY, prop::bool::ANY).prop_map(
        |(bytes, mode, colour, twin)| Node::File {
            bytes,
            mode,
            colour,
            twin,
        },
    );
    let leaf = prop_oneof![file, name().prop_map(Node::Link), Just(Node::Fifo)];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let mode = prop_oneof![Just(0o755), Just(0o2770), Just(0o500)];
        (prop::collection::vec((name(), inner), 0..6), mode)
            .prop_map(|(children, mode)| Node::Directory(children, mode))
    })
}

fn plant(node: &Node, at: &Path) {
    if at.symlink_metadata().is_ok() {
        return;
    }
    match node {
        Node::File {
            bytes,
            mode,
            colour,
            twin,
        } => {
            fs::write(at, bytes).unwrap();
            if *colour {
                // Where the file system has attributes.
                let flags = rustix::fs::XattrFlags::empty();
                let _ = rustix::fs::setxattr(at, "user.colour", b"\0\xffred", flags);
            }
            if *twin {
                let name = [at.file_name().unwrap().as_bytes(), b"+"].concat();
                let _ = fs::hard_link(at, at.with_file_name(OsStr::from_bytes(&name)));
            }
            fs::set_permissions(at, fs::Permissions::from_mode(*mode)).unwrap();
        }
        Node::Link(target) => symlink(OsStr::from_bytes(target), at).unwrap(),
        Node::Fifo => {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, at, kind, Mode::RUSR, 0).unwrap();
        }
        Node::Directory(children, mode) => {
            fs::create_dir(at).unwrap();
            for (name, child) in children {
                plant(child, &at.join(OsStr::from_bytes(name)));
            }
            fs::set_permissions(at, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_captured_is_recreated(children in prop::collection::vec((name(), node()), 0..5)) {
        let bench = Bench::new();
        let original = bench.base.join("tree");
        plant(&Node::Directory(children, 0o751), &original);
        let first = capture(&original);
        recreate(&first, &bench.open(Overwrite::Never));
        let second = capture(&bench.target().join("tree"));
        assert_eq!(comparable(&first), comparable(&second));
    }
}

/// An ACL that lets user 12345 read, as the kernel stores it: version 2, then tag, rights, id.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 4, 12345),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&rights.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

#[test]
fn acls_survive() {
    let bench = Bench::new();
    let original = bench.base.join("tree");
    fs::create_dir(&original).unwrap();
    fs::write(original.join("f"), b"x").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    let set = |name, attribute| rustix::fs::setxattr(original.join(name), attribute, &acl(), flags);
    if set("f", "system.posix_acl_access").is_err() {
        // A file system without ACLs.
        return;
    }
    set("", "system.posix_acl_default").unwrap();
    let first = capture(&original);
    let file = &first.file_named("f").unwrap().entry;
    assert_eq!(file.metadata.xattrs[&b"system.posix_acl_access"[..]], acl());
    let root = bench.open(Overwrite::Never);
    recreate(&first, &root);
    root.sync().unwrap();
    let second = capture(&bench.target().join("tree"));
    assert_eq!(comparable(&first), comparable(&second));
}
