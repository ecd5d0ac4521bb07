//! Directories: entries with their links.

use crate::entry::EntryKind;
use crate::format::blob::BlobKind;
use crate::format::entry::{TreeEntry, decode_entries, decode_first_names};
use crate::format::node::{Child, Links, NodeKind};
use crate::format::wire::FormatError;
use crate::id::BlobId;
use crate::limits;
use crate::monitor::{Cancel, Interrupted};
use crate::repository::{ReadError, Reader};

/// A tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A node could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A node is nested deeper than any tree may be.
    #[error("the tree is deeper than {} directories", limits::DIRECTORY_DEPTH_MAX)]
    Depth,
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// An entry of a directory and what it links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name, kind, metadata, condition.
    pub entry: TreeEntry,
    /// Its content, its directory node, or nothing.
    pub child: Child,
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.entry.entry.kind == EntryKind::Directory
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.entry.entry.name
    }
}

fn content_error(blob: BlobId, problem: &str) -> ReadError {
    ReadError::Content {
        blob,
        source: FormatError::new("directory", problem),
    }
}

/// Reads a links blob.
pub(crate) fn read_links(reader: &Reader<'_>, id: BlobId) -> Result<Links, ReadError> {
    let plain = reader.read(id, BlobKind::NodeLinks)?;
    Links::decode(&plain).map_err(|source| ReadError::Content { blob: id, source })
}

/// Calls `visit` for every entry of a directory, in the order of names.
pub fn read_directory<E: From<ReadError>>(
    reader: &Reader<'_>,
    directory: BlobId,
    visit: &mut dyn FnMut(Node) -> Result<(), E>,
) -> Result<(), E> {
    let links = read_links(reader, directory)?;
    read_nodes(reader, directory, links, visit)
}

fn read_nodes<E: From<ReadError>>(
    reader: &Reader<'_>,
    id: BlobId,
    links: Links,
    visit: &mut dyn FnMut(Node) -> Result<(), E>,
) -> Result<(), E> {
    let height = links.height;
    match part_of(reader, id, links)? {
        DirectoryPart::Parts { parts, .. } => {
            for part in parts {
                let lower = read_lower_links(reader, part, height)?;
                read_nodes(reader, part, lower, visit)?;
            }
            Ok(())
        }
        DirectoryPart::Entries { nodes, .. } => nodes.into_iter().try_for_each(visit),
    }
}

/// A directory, or one of the nodes of a large one.
pub(crate) enum DirectoryPart {
    /// A leaf.
    Entries {
        /// The blob that holds names and metadata.
        body: BlobId,
        /// Entries, in the order of names.
        nodes: Vec<Node>,
    },
    /// More nodes of the same directory, in order.
    Parts {
        /// The blob that lists the first name of each: only a search by name needs it.
        names: BlobId,
        /// Their links blobs.
        parts: Vec<BlobId>,
    },
}

/// Reads one node of a directory and its height; `above` is the height of the node that named it.
pub(crate) fn read_part(
    reader: &Reader<'_>,
    id: BlobId,
    above: Option<u8>,
) -> Result<(DirectoryPart, u8), ReadError> {
    let links = match above {
        None => read_links(reader, id)?,
        Some(above) => read_lower_links(reader, id, above)?,
    };
    let height = links.height;
    Ok((part_of(reader, id, links)?, height))
}

/// Heights fall strictly: no circle can be walked for ever.
fn read_lower_links(reader: &Reader<'_>, id: BlobId, above: u8) -> Result<Links, ReadError> {
    let links = read_links(reader, id)?;
    match links.height < above {
        true => Ok(links),
        false => Err(content_error(id, "its height does not fall")),
    }
}

fn part_of(reader: &Reader<'_>, id: BlobId, links: Links) -> Result<DirectoryPart, ReadError> {
    let part = |child: &Child| match child {
        Child::Links { id, .. } => Ok(*id),
        _ => Err(content_error(id, "an index holds something else")),
    };
    match links.kind {
        NodeKind::Content => Err(content_error(id, "it is a file's content")),
        NodeKind::DirectoryIndex => {
            let parts = links.children.iter().map(part).collect::<Result<_, _>>()?;
            let names = links.body;
            Ok(DirectoryPart::Parts { names, parts })
        }
        NodeKind::Directory => Ok(DirectoryPart::Entries {
            body: links.body,
            nodes: leaf(reader, id, links)?,
        }),
    }
}

fn leaf(reader: &Reader<'_>, id: BlobId, links: Links) -> Result<Vec<Node>, ReadError> {
    let plain = reader.read(links.body, BlobKind::NodeBody)?;
    let entries = decode_entries(&plain).map_err(|source| ReadError::Content {
        blob: links.body,
        source,
    })?;
    if entries.len() != links.children.len() {
        return Err(content_error(id, "its body has another number of entries"));
    }
    let nodes = entries.into_iter().zip(links.children);
    nodes
        .map(|(entry, child)| {
            let node = Node { entry, child };
            match fits(&node) {
                true => Ok(node),
                false => Err(content_error(id, "an entry's link is of another kind")),
            }
        })
        .collect()
}

/// Whether an entry's kind and its link go together.
fn fits(node: &Node) -> bool {
    match (&node.entry.entry.kind, &node.child) {
        (EntryKind::Directory, Child::Links { .. }) => true,
        (EntryKind::File { size }, child) => {
            !matches!(child, Child::Hole { .. }) && child.length() == *size
        }
        (EntryKind::Directory, _) => false,
        (_, child) => *child == Child::Nothing,
    }
}

/// Finds the entry at a path, parts joined by `/`. `None` when there is none.
pub fn find(reader: &Reader<'_>, root: BlobId, path: &[u8]) -> Result<Option<Node>, ReadError> {
    let mut parts = path.split(|byte| *byte == b'/').filter(|p| !p.is_empty());
    let Some(first) = parts.next() else {
        return Ok(None);
    };
    let mut found = find_name(reader, root, first)?;
    for part in parts {
        found = match found {
            Some(Node {
                child: Child::Links { id, .. },
                entry,
            }) if entry.entry.kind == EntryKind::Directory => find_name(reader, id, part)?,
            _ => return Ok(None),
        };
    }
    Ok(found)
}

fn find_name(reader: &Reader<'_>, id: BlobId, name: &[u8]) -> Result<Option<Node>, ReadError> {
    let links = read_links(reader, id)?;
    match links.kind {
        NodeKind::Content => Err(content_error(id, "it is a file's content")),
        NodeKind::Directory => {
            let mut nodes = leaf(reader, id, links)?.into_iter();
            Ok(nodes.find(|node| node.name() == name))
        }
        NodeKind::DirectoryIndex => {
            let plain = reader.read(links.body, BlobKind::NodeBody)?;
            let names = decode_first_names(&plain).map_err(|source| ReadError::Content {
                blob: links.body,
                source,
            })?;
            let number = names.partition_point(|first| first.as_slice() <= name);
            match number.checked_sub(1).and_then(|n| links.children.get(n)) {
                Some(Child::Links { id: part, .. }) => {
                    if read_links(reader, *part)?.height >= links.height {
                        return Err(content_error(*part, "its height does not fall"));
                    }
                    find_name(reader, *part, name)
                }
                _ => Ok(None),
            }
        }
    }
}

/// What a walk does with a directory it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descend {
    /// Walk into it.
    Into,
    /// Pass over what is below.
    Over,
}

/// What a walk does at each step. Paths are those inside the tree, parts joined by `/`.
pub trait Visitor<E> {
    /// An entry; a directory comes before what is in it.
    fn visit(&mut self, path: &[u8], node: &Node) -> Result<Descend, E>;

    /// A directory that was walked into ends.
    fn leave(&mut self, _path: &[u8], _node: &Node) -> Result<(), E> {
        Ok(())
    }

    /// A directory (the root has an empty path) cannot be read; what is below it is passed over
    /// unless this fails.
    fn unreadable(&mut self, path: &[u8], error: ReadError) -> Result<(), E>;
}

/// Looks at an entry, and decides about a directory.
pub type Visit<'f, E> = dyn FnMut(&[u8], &Node) -> Result<Descend, E> + 'f;

/// Looks at a directory whose entries were all visited.
pub type Leave<'f, E> = dyn FnMut(&[u8], &Node) -> Result<(), E> + 'f;

/// Walks everything below a directory with two closures; stops at the first unreadable directory.
pub fn walk<E>(
    reader: &Reader<'_>,
    root: BlobId,
    cancel: &Cancel,
    visit: &mut Visit<'_, E>,
    leave: &mut Leave<'_, E>,
) -> Result<(), E>
where
    E: From<TreeError> + From<ReadError>,
{
    walk_with(reader, root, cancel, &mut Closures { visit, leave })
}

struct Closures<'f, E> {
    visit: &'f mut Visit<'f, E>,
    leave: &'f mut Leave<'f, E>,
}

impl<E: From<ReadError>> Visitor<E> for Closures<'_, E> {
    fn visit(&mut self, path: &[u8], node: &Node) -> Result<Descend, E> {
        (self.visit)(path, node)
    }

    fn leave(&mut self, path: &[u8], node: &Node) -> Result<(), E> {
        (self.leave)(path, node)
    }

    fn unreadable(&mut self, _: &[u8], error: ReadError) -> Result<(), E> {
        Err(error.into())
    }
}

/// Walks everything below a directory, entries in the order of names.
pub fn walk_with<E>(
    reader: &Reader<'_>,
    root: BlobId,
    cancel: &Cancel,
    visitor: &mut dyn Visitor<E>,
) -> Result<(), E>
where
    E: From<TreeError>,
{
    let mut stack = Vec::new();
    match Frame::open(reader, root, None, Vec::new()) {
        Ok(frame) => stack.push(frame),
        Err(error) => visitor.unreadable(&[], error)?,
    }
    while let Some(frame) = stack.last_mut() {
        cancel.check().map_err(TreeError::from)?;
        let Some(node) = frame.rest.next() else {
            let done = stack.pop();
            if let Some(Frame {
                path,
                directory: Some(node),
                ..
            }) = done
            {
                visitor.leave(&path, &node)?;
            }
            continue;
        };
        let mut path = frame.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(node.name());
        let descend = visitor.visit(&path, &node)?;
        let Child::Links { id, .. } = node.child else {
            continue;
        };
        if node.is_directory() && descend == Descend::Into {
            if stack.len() > limits::DIRECTORY_DEPTH_MAX {
                return Err(TreeError::Depth.into());
            }
            match Frame::open(reader, id, Some(node), path.clone()) {
                Ok(frame) => stack.push(frame),
                Err(error) => visitor.unreadable(&path, error)?,
            }
        }
    }
    Ok(())
}

/// A directory being walked: its entries that were not visited yet.
struct Frame {
    directory: Option<Node>,
    path: Vec<u8>,
    rest: std::vec::IntoIter<Node>,
}

impl Frame {
    fn open(
        reader: &Reader<'_>,
        id: BlobId,
        directory: Option<Node>,
        path: Vec<u8>,
    ) -> Result<Self, ReadError> {
        let mut nodes = Vec::new();
        read_directory::<ReadError>(reader, id, &mut |node| {
            nodes.push(node);
            Ok(())
        })?;
        Ok(Self {
            directory,
            path,
            rest: nodes.into_iter(),
        })
    }
}
