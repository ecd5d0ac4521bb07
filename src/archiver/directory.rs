//! Directories under construction.
//!
//! A large directory is stored in nodes that end where a name says so, while it is still being
//! read: memory is bounded, and a changed entry rewrites one node.

use crate::archiver::content::store_node;
use crate::archiver::workers::Workers;
use crate::entry::Entry;
use crate::format::blob::BlobKind;
use crate::format::entry::{TreeEntry, encode_entries, encode_first_names};
use crate::format::node::{Child, Links, NodeKind};
use crate::id::BlobId;
use crate::repository::WriteError;

/// Entries of one node: at least and at most.
const FAN_OUT: std::ops::RangeInclusive<usize> = 256..=4096;

/// A node ends after an entry whose name's hash has these bits zero: 1,024 more on average.
const BOUNDARY_MASK: u16 = 0x3ff;

/// A directory whose entries arrive in the order of their names.
pub(super) struct DirectoryBuilder {
    /// Its own entry in its parent; `None` for the root.
    pub(super) entry: Option<Entry>,
    entries: Vec<TreeEntry>,
    children: Vec<Child>,
    /// First name and link of the nodes stored so far.
    nodes: Vec<(Vec<u8>, Child)>,
    last_name: Vec<u8>,
}

/// An entry came out of order: a defect of the source.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} comes after an entry that sorts behind it")]
pub(super) struct Unsorted(String);

impl DirectoryBuilder {
    pub(super) fn new(entry: Option<Entry>) -> Self {
        Self {
            entry,
            entries: Vec::new(),
            children: Vec::new(),
            nodes: Vec::new(),
            last_name: Vec::new(),
        }
    }

    /// Checks that a name follows the ones before.
    pub(super) fn check_order(&mut self, name: &[u8]) -> Result<(), Unsorted> {
        if name <= self.last_name.as_slice() {
            return Err(Unsorted(String::from_utf8_lossy(name).into_owned()));
        }
        self.last_name = name.to_vec();
        Ok(())
    }

    /// Adds the next entry and its content.
    pub(super) fn push(
        &mut self,
        entry: TreeEntry,
        child: Child,
        workers: &Workers<'_>,
    ) -> Result<(), WriteError> {
        let count = self.entries.len() + 1;
        let ends =
            count >= *FAN_OUT.end() || count >= *FAN_OUT.start() && is_boundary(&entry.entry.name);
        self.entries.push(entry);
        self.children.push(child);
        match ends {
            true => self.store_leaf(workers),
            false => Ok(()),
        }
    }

    fn store_leaf(&mut self, workers: &Workers<'_>) -> Result<(), WriteError> {
        let entries = std::mem::take(&mut self.entries);
        let children = std::mem::take(&mut self.children);
        let first = entries.first().map(|entry| entry.entry.name.clone());
        let body = encode_entries(&entries);
        let node = store_directory(NodeKind::Directory, 0, body, children, workers)?;
        self.nodes.push((first.unwrap_or_default(), node));
        Ok(())
    }

    /// Ends the directory: its own entry and the link to its root node.
    pub(super) fn finish(
        mut self,
        workers: &Workers<'_>,
    ) -> Result<(Option<Entry>, Child), WriteError> {
        if !self.entries.is_empty() || self.nodes.is_empty() {
            self.store_leaf(workers)?;
        }
        let mut nodes = self.nodes;
        let mut height = 0;
        while nodes.len() > 1 {
            height += 1;
            let mut upper = Vec::with_capacity(nodes.len() / FAN_OUT.end() + 1);
            for part in nodes.chunks(*FAN_OUT.end()) {
                let (names, children): (Vec<_>, Vec<_>) = part.iter().cloned().unzip();
                let body = encode_first_names(&names);
                let kind = NodeKind::DirectoryIndex;
                let node = store_directory(kind, height, body, children, workers)?;
                upper.push((names.into_iter().next().unwrap_or_default(), node));
            }
            nodes = upper;
        }
        let root = nodes.pop().map_or(Child::Nothing, |(_, node)| node);
        Ok((self.entry, root))
    }
}

fn is_boundary(name: &[u8]) -> bool {
    let hash = blake3::hash(name);
    let [low, high, ..] = *hash.as_bytes();
    u16::from_le_bytes([low, high]) & BOUNDARY_MASK == 0
}

fn store_directory(
    kind: NodeKind,
    height: u8,
    body: Vec<u8>,
    children: Vec<Child>,
    workers: &Workers<'_>,
) -> Result<Child, WriteError> {
    let body = store_node(workers, BlobKind::NodeBody, body)?;
    let links = Links {
        kind,
        height,
        body,
        children,
    };
    let id: BlobId = store_node(workers, BlobKind::NodeLinks, links.encode())?;
    Ok(Child::Links {
        id,
        length: links.content_length(),
    })
}
