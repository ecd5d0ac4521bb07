//! Links blobs, directory bodies and directory index bodies.

use super::Maker;
use crate::vectors::describe;
use icecore::entry::{Entry, EntryKind, HardLink, Metadata};
use icecore::env::Timestamp;
use icecore::format::entry::{Condition, TreeEntry, encode_entries, encode_first_names};
use icecore::format::node::{Child, Links, NodeKind};
use icecore::id::BlobId;
use serde_json::json;

pub fn make() -> Vec<Maker> {
    vec![links(), entries(), names()]
}

fn links() -> Maker {
    let mut maker = Maker::new("links", "links");
    let id = |byte| BlobId([byte; 32]);
    let chunk = |length| Child::Chunk { id: id(1), length };
    let hole = |length| Child::Hole { length };
    let node = |length| Child::Links { id: id(2), length };
    let links = |kind, height, body, children| Links {
        kind,
        height,
        body,
        children,
    };
    let none = BlobId::default();
    let mut good = |name, why, links: Links| {
        maker.good(
            name,
            why,
            json!({}),
            links.encode(),
            describe::links(&links),
        );
    };
    let all = vec![Child::Nothing, chunk(5), hole(1 << 40), node(7)];
    good(
        "directory",
        "each kind of child",
        links(NodeKind::Directory, 0, id(9), all),
    );
    good(
        "empty_directory",
        "no children",
        links(NodeKind::Directory, 0, id(9), vec![]),
    );
    let content = vec![chunk(1 << 20), hole(4096), chunk(1)];
    good(
        "content",
        "chunks and a hole",
        links(NodeKind::Content, 0, none, content),
    );
    let upper = vec![node(9), node(8)];
    good(
        "upper_content",
        "lists of lists",
        links(NodeKind::Content, 1, none, upper.clone()),
    );
    good(
        "directory_index",
        "nodes of nodes",
        links(NodeKind::DirectoryIndex, 1, id(9), upper),
    );
    let mut bad = |name, why, bytes: Vec<u8>| maker.bad(name, why, json!({}), bytes, "format");
    let mut bad_links = |name, why, kind, height, body, children| {
        bad(name, why, links(kind, height, body, children).encode());
    };
    let (directory, index, content) = (
        NodeKind::Directory,
        NodeKind::DirectoryIndex,
        NodeKind::Content,
    );
    bad_links(
        "chunk_too_long",
        "above 1 MiB",
        content,
        0,
        none,
        vec![chunk((1 << 20) + 1)],
    );
    bad_links(
        "chunk_empty",
        "no chunk is empty",
        content,
        0,
        none,
        vec![chunk(0)],
    );
    bad_links(
        "hole_empty",
        "no hole is empty",
        content,
        0,
        none,
        vec![hole(0)],
    );
    bad_links(
        "hole_too_long",
        "above 2^60",
        content,
        0,
        none,
        vec![hole((1 << 60) + 1)],
    );
    bad_links(
        "content_nothing",
        "nothing is no content",
        content,
        0,
        none,
        vec![Child::Nothing],
    );
    bad_links(
        "content_links_in_leaf",
        "a list in a leaf",
        content,
        0,
        none,
        vec![node(1)],
    );
    bad_links(
        "content_chunk_above",
        "a chunk above the leaves",
        content,
        1,
        none,
        vec![chunk(1)],
    );
    bad_links(
        "content_with_body",
        "content has no body",
        content,
        0,
        id(9),
        vec![],
    );
    bad_links(
        "directory_without_body",
        "names are missing",
        directory,
        0,
        none,
        vec![],
    );
    bad_links(
        "directory_height",
        "a leaf is at 0",
        directory,
        1,
        id(9),
        vec![],
    );
    bad_links(
        "index_height",
        "an index is above 0",
        index,
        0,
        id(9),
        vec![node(1)],
    );
    bad_links(
        "index_of_chunks",
        "an index holds nodes",
        index,
        1,
        id(9),
        vec![chunk(1)],
    );
    bad_links("too_high", "height 9", content, 9, none, vec![node(1)]);
    let good = links(content, 0, none, vec![chunk(5)]).encode();
    bad("trailing", "a byte follows", [&good[..], &[0]].concat());
    bad(
        "cut_off",
        "the last byte is missing",
        good[..good.len() - 1].to_vec(),
    );
    let mut kind = good.clone();
    kind[0] = 4;
    bad("unknown_kind", "kind 4", kind);
    let mut child = good.clone();
    child[38] = 4;
    bad("unknown_child", "child 4", child);
    let mut many = good;
    many[34..38].copy_from_slice(&16_385u32.to_le_bytes());
    bad("too_many_children", "16,385 children", many);
    maker
}

fn entry(name: &[u8], kind: EntryKind) -> TreeEntry {
    TreeEntry {
        entry: Entry {
            name: name.to_vec(),
            kind,
            metadata: Metadata {
                mode: 0o644,
                uid: 1000,
                gid: 100,
                modified: Timestamp(1_793_502_000_123_456_789),
                ..Metadata::default()
            },
        },
        condition: Condition::Whole,
    }
}

fn all_kinds() -> Vec<TreeEntry> {
    let (major, minor) = (8, 1);
    let mut entries = vec![
        entry(b"a-directory", EntryKind::Directory),
        entry(b"b-file", EntryKind::File { size: 1 << 33 }),
        entry(b"c-\xff-not-utf-8", EntryKind::File { size: 0 }),
        entry(
            b"d-link",
            EntryKind::Symlink {
                target: b"../b".to_vec(),
            },
        ),
        entry(b"e-fifo", EntryKind::Fifo),
        entry(b"f-socket", EntryKind::Socket),
        entry(b"g-character", EntryKind::CharDevice { major, minor }),
        entry(b"h-block", EntryKind::BlockDevice { major, minor }),
    ];
    let metadata = &mut entries[1].entry.metadata;
    metadata.user = Some("postgres".into());
    metadata.group = Some("postgres".into());
    metadata.hard_link = Some(HardLink {
        device: 2049,
        inode: 77,
    });
    metadata.xattrs = [
        (b"user.a".to_vec(), b"1".to_vec()),
        (b"user.b".to_vec(), Vec::new()),
    ]
    .into();
    entries[1].condition = Condition::Torn;
    entries[2].condition = Condition::Suspect;
    entries[2].entry.metadata.modified = Timestamp(-1);
    entries
}

fn entries() -> Maker {
    let mut maker = Maker::new("entries", "entries");
    let all = all_kinds();
    let bytes = encode_entries(&all);
    maker.good(
        "all_kinds",
        "each kind of entry",
        json!({}),
        bytes,
        describe::entries(&all),
    );
    maker.good(
        "empty",
        "an empty directory",
        json!({}),
        vec![0x80],
        json!([]),
    );
    let mut bad = |name, why, entries: Vec<TreeEntry>| {
        maker.bad(name, why, json!({}), encode_entries(&entries), "format");
    };
    let directory = |name: &[u8]| entry(name, EntryKind::Directory);
    bad("dot_dot", "leaves the directory", vec![directory(b"..")]);
    bad("dot", "names the directory itself", vec![directory(b".")]);
    bad("slash", "a path, not a name", vec![directory(b"a/b")]);
    bad("nul", "no file can have it", vec![directory(b"a\0b")]);
    bad("empty_name", "no name", vec![directory(b"")]);
    bad("long_name", "513 bytes", vec![directory(&[b'x'; 513])]);
    bad(
        "unsorted",
        "b before a",
        vec![directory(b"b"), directory(b"a")],
    );
    bad(
        "twice",
        "one name twice",
        vec![directory(b"a"), directory(b"a")],
    );
    let mut mode = directory(b"a");
    mode.entry.metadata.mode = 0o10000;
    bad("mode", "more than permissions", vec![mode]);
    let target = vec![b'x'; 4097];
    bad(
        "long_target",
        "4097 bytes",
        vec![entry(b"a", EntryKind::Symlink { target })],
    );
    let size = (1 << 60) + 1;
    bad(
        "large_file",
        "above 2^60",
        vec![entry(b"a", EntryKind::File { size })],
    );
    let mut xattr = directory(b"a");
    xattr.entry.metadata.xattrs = [(b"user.a".to_vec(), vec![0; 65_537])].into();
    bad("large_attribute", "above 64 KiB", vec![xattr]);
    // {0: "a", 1: kind, 2: 0, 3: 0, 4: 0, 7: 0} and more, written by hand.
    let raw = |kind: u8, more: &[u8], fields: u8| {
        let front = [
            0x81,
            0xa0 | (6 + fields),
            0,
            0x41,
            b'a',
            1,
            kind,
            2,
            0,
            3,
            0,
            4,
            0,
            7,
            0,
        ];
        [&front[..], more].concat()
    };
    let mut raw_bad = |name, why, bytes| maker.bad(name, why, json!({}), bytes, "format");
    raw_bad("file_without_size", "a file has one", raw(1, &[], 0));
    raw_bad(
        "directory_with_size",
        "a directory has none",
        raw(0, &[8, 0], 1),
    );
    raw_bad("unknown_kind", "kind 7", raw(7, &[], 0));
    raw_bad("unknown_condition", "condition 3", raw(0, &[13, 3], 1));
    raw_bad(
        "whole_condition",
        "0 is left out, never written",
        raw(0, &[13, 0], 1),
    );
    raw_bad(
        "null_size",
        "absent is left out, never null",
        raw(0, &[8, 0xf6], 1),
    );
    raw_bad(
        "no_attributes",
        "an empty list is left out",
        raw(0, &[12, 0x80], 1),
    );
    raw_bad("unknown_field", "field 14", raw(0, &[14, 0], 1));
    raw_bad("long_integer", "0 in two bytes", raw(1, &[8, 0x18, 0], 1));
    raw_bad(
        "indefinite_length",
        "an array without its length",
        vec![0x9f, 0xff],
    );
    raw_bad("tagged", "a tag", vec![0xc0, 0x80]);
    raw_bad("trailing", "a byte follows", vec![0x80, 0]);
    let attributes = [12, 0x82, 0x82, 0x41, b'b', 0x40, 0x82, 0x41, b'a', 0x40];
    raw_bad("attributes_unsorted", "b before a", raw(0, &attributes, 1));
    maker
}

fn names() -> Maker {
    let mut maker = Maker::new("names", "names");
    let names: Vec<Vec<u8>> = vec![b"a".to_vec(), b"m".to_vec(), b"\xff".to_vec()];
    let expect = json!(["61", "6d", "ff"]);
    let bytes = encode_first_names(&names);
    maker.good(
        "three",
        "the first names of three children",
        json!({}),
        bytes,
        expect,
    );
    let mut bad = |name, why, names: &[&[u8]]| {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
        maker.bad(name, why, json!({}), encode_first_names(&names), "format");
    };
    bad("unsorted", "b before a", &[b"b", b"a"]);
    bad("twice", "one name twice", &[b"a", b"a"]);
    bad("dot_dot", "no name", &[b".."]);
    maker
}
