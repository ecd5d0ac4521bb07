//! What a mounted tree consists of, and the numbers by which the kernel knows it.

use crate::entry::{Entry, EntryKind, HardLink, Metadata};
use crate::env::Timestamp;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::tree::Node;
use std::collections::HashMap;
use std::sync::Arc;

/// The number of the root, for every FUSE file system.
pub(super) const ROOT: u64 = 1;

/// A file, directory or link of the mounted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Name, kind and metadata.
    pub(super) entry: Entry,
    /// What is in it.
    pub(super) contents: Contents,
}

/// What is in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// As a snapshot has it.
    Stored(Child),
    /// A directory that only the mount has.
    Made(Arc<Vec<Object>>),
}

fn made(name: &[u8], kind: EntryKind, mode: u32, modified: Timestamp) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        metadata: Metadata {
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            modified,
            ..Metadata::default()
        },
    }
}

impl Object {
    /// A snapshot's tree, or a directory in it.
    pub fn tree(name: &[u8], root: BlobId, taken: Timestamp) -> Self {
        Self {
            entry: made(name, EntryKind::Directory, 0o555, taken),
            contents: Contents::Stored(Child::Links {
                id: root,
                length: 0,
            }),
        }
    }

    /// A directory that holds `objects`, whose names differ.
    pub fn directory(name: &[u8], mut objects: Vec<Self>, modified: Timestamp) -> Self {
        objects.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        Self {
            entry: made(name, EntryKind::Directory, 0o555, modified),
            contents: Contents::Made(Arc::new(objects)),
        }
    }

    /// A symbolic link.
    pub fn link(name: &[u8], target: &[u8], modified: Timestamp) -> Self {
        let target = target.to_vec();
        Self {
            entry: made(name, EntryKind::Symlink { target }, 0o777, modified),
            contents: Contents::Stored(Child::Nothing),
        }
    }

    pub(super) fn stored(node: Node) -> Self {
        Self {
            entry: node.entry.entry,
            contents: Contents::Stored(node.child),
        }
    }

    /// The directory that a snapshot has here.
    pub(super) fn stored_directory(&self) -> Option<BlobId> {
        match self.contents {
            Contents::Stored(Child::Links { id, .. })
                if self.entry.kind == EntryKind::Directory =>
            {
                Some(id)
            }
            _ => None,
        }
    }

    /// The content of a regular file.
    pub(super) fn content(&self) -> Option<Child> {
        match (&self.entry.kind, &self.contents) {
            (EntryKind::File { .. }, Contents::Stored(child)) => Some(*child),
            _ => None,
        }
    }
}

/// An object that the kernel knows.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) parent: u64,
    /// Number of the root of the snapshot it is in: hard links are told apart by it.
    scope: u64,
    pub(super) object: Arc<Object>,
}

#[derive(Debug)]
struct Record {
    known: Known,
    /// How often it was handed out; 0 means that the kernel may have forgotten it.
    lookups: u64,
}

/// Every object that the kernel may ask about by number.
#[derive(Debug)]
pub(super) struct Table {
    records: HashMap<u64, Record>,
}

impl Table {
    pub(super) fn new(root: Object) -> Self {
        let known = Known {
            number: ROOT,
            parent: ROOT,
            scope: ROOT,
            object: Arc::new(root),
        };
        // The root is never forgotten.
        let record = Record { known, lookups: 1 };
        Self {
            records: HashMap::from([(ROOT, record)]),
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<Known> {
        self.records.get(&number).map(|record| record.known.clone())
    }

    /// Takes in an object of `parent` that is handed out to the kernel once more.
    pub(super) fn hand_out(&mut self, parent: &Known, object: Object) -> Known {
        let mut number = number_of(parent, &object.entry);
        loop {
            match self.records.get_mut(&number) {
                None => break,
                Some(record) if is_same(&record.known, parent, &object) => {
                    record.lookups += 1;
                    return record.known.clone();
                }
                // Another object with this number: once in a lifetime, and harmless.
                Some(_) => number = number.wrapping_add(1).max(ROOT + 1),
            }
        }
        let scope = match parent.object.stored_directory() {
            Some(_) => parent.scope,
            None => number,
        };
        let known = Known {
            number,
            parent: parent.number,
            scope,
            object: Arc::new(object),
        };
        let record = Record {
            known: known.clone(),
            lookups: 1,
        };
        self.records.insert(number, record);
        known
    }

    /// The kernel gave back some of what was handed out.
    pub(super) fn forget(&mut self, number: u64, lookups: u64) {
        if number == ROOT {
            return;
        }
        if let Some(record) = self.records.get_mut(&number) {
            record.lookups = record.lookups.saturating_sub(lookups);
            if record.lookups == 0 {
                self.records.remove(&number);
            }
        }
    }

    /// Path below the mount point, for messages.
    pub(super) fn path(&self, number: u64) -> Vec<u8> {
        let mut names = Vec::new();
        let mut current = number;
        while current != ROOT
            && names.len() < crate::limits::DIRECTORY_DEPTH_MAX
            && let Some(record) = self.records.get(&current)
        {
            names.push(record.known.object.entry.name.clone());
            current = record.known.parent;
        }
        names.reverse();
        names.join(&b'/')
    }
}

fn is_same(known: &Known, parent: &Known, object: &Object) -> bool {
    let same_name = known.object.entry.name == object.entry.name;
    let link = object.entry.metadata.hard_link;
    let same_link = link.is_some() && known.object.entry.metadata.hard_link == link;
    let same_place = known.parent == parent.number && same_name;
    same_place || same_link && known.scope == parent.scope
}

/// A number that follows from the place, or for a file with several names from the file, so that it
/// is the same whenever it is asked for.
pub(super) fn number_of(parent: &Known, entry: &Entry) -> u64 {
    let mut hasher = blake3::Hasher::new();
    match entry.metadata.hard_link {
        Some(HardLink { device, inode }) => {
            hasher.update(b"link");
            for number in [parent.scope, device, inode] {
                hasher.update(&number.to_le_bytes());
            }
        }
        None => {
            hasher.update(b"name");
            hasher.update(&parent.number.to_le_bytes());
            hasher.update(&entry.name);
        }
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes).max(ROOT + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(name: &str, link: Option<u64>) -> Object {
        let mut entry = made(
            name.as_bytes(),
            EntryKind::File { size: 0 },
            0o644,
            Timestamp(0),
        );
        entry.metadata.hard_link = link.map(|inode| HardLink { device: 1, inode });
        Object {
            entry,
            contents: Contents::Stored(Child::Nothing),
        }
    }

    #[test]
    fn numbers_are_stable_and_forgotten_with_the_last_lookup() {
        let root = Object::tree(b"", BlobId([1; 32]), Timestamp(0));
        let mut table = Table::new(root);
        let root = table.get(ROOT).unwrap();
        let a = table.hand_out(&root, file("a", None)).number;
        assert_eq!(table.hand_out(&root, file("a", None)).number, a);
        assert_ne!(table.hand_out(&root, file("b", None)).number, a);
        let first = table.hand_out(&root, file("c", Some(7))).number;
        assert_eq!(table.hand_out(&root, file("d", Some(7))).number, first);
        assert_ne!(table.hand_out(&root, file("e", Some(8))).number, first);
        assert_eq!(table.path(a), b"a");
        table.forget(a, 1);
        assert!(table.get(a).is_some());
        table.forget(a, 1);
        assert!(table.get(a).is_none());
        table.forget(ROOT, 100);
        assert!(table.get(ROOT).is_some());
        assert_eq!(table.hand_out(&root, file("a", None)).number, a);
    }

    #[test]
    fn links_of_two_snapshots_are_two_files() {
        let trees = [b"x", b"y"].map(|name| Object::tree(name, BlobId([1; 32]), Timestamp(0)));
        let mut table = Table::new(Object::directory(b"", trees.to_vec(), Timestamp(0)));
        let root = table.get(ROOT).unwrap();
        let [x, y] = trees.map(|tree| table.hand_out(&root, tree));
        let x = table.hand_out(&x, file("f", Some(1)));
        let y = table.hand_out(&y, file("f", Some(1)));
        assert_ne!(x.number, y.number);
        assert_eq!(table.path(y.number), b"y/f");
    }
}
