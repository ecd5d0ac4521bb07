//! Nodes: directories and content lists, split in links (ids, sealed under LK) and bodies (names
//! and metadata, sealed under DK).
//!
//! Spec: `format-spec/09-tree.md`. Maintenance follows reachability through links alone.

use crate::format::wire::{FormatError, Reader};
use crate::id::BlobId;
use crate::limits;

/// What a links blob describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeKind {
    /// Entries of a directory: one child for each entry of the body, in its order.
    Directory = 1,
    /// A directory too large for one node: children are directory nodes, the body lists the first
    /// name of each.
    DirectoryIndex = 2,
    /// The content of a file, in order.
    Content = 3,
}

/// One child of a links blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// Nothing is stored: an empty file, a symbolic link, a device.
    Nothing,
    /// One chunk.
    Chunk {
        /// Its id.
        id: BlobId,
        /// Its plaintext length, bytes.
        length: u64,
    },
    /// Zeros that take no space.
    Hole {
        /// How many.
        length: u64,
    },
    /// Another links blob.
    Links {
        /// Its id.
        id: BlobId,
        /// Bytes of content below it.
        length: u64,
    },
}

impl Child {
    /// Bytes of content it stands for.
    pub fn length(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Chunk { length, .. } | Self::Hole { length } | Self::Links { length, .. } => {
                *length
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, id) = match self {
            Self::Nothing => (0, None),
            Self::Chunk { id, .. } => (1, Some(id)),
            Self::Hole { .. } => (2, None),
            Self::Links { id, .. } => (3, Some(id)),
        };
        out.push(tag);
        if tag != 0 {
            out.extend_from_slice(&self.length().to_le_bytes());
        }
        if let Some(id) = id {
            out.extend_from_slice(id.as_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let tag = reader.u8()?;
        if tag == 0 {
            return Ok(Self::Nothing);
        }
        let length = reader.u64()?;
        if length > limits::FILE_BYTES_MAX {
            return Err(reader.error(format!("a child of {length} bytes")));
        }
        match tag {
            1 if length == 0 || length > limits::CHUNK_BYTES_MAX as u64 => {
                Err(reader.error(format!("a chunk of {length} bytes")))
            }
            1 => Ok(Self::Chunk {
                id: BlobId(reader.array()?),
                length,
            }),
            2 if length > 0 => Ok(Self::Hole { length }),
            3 => Ok(Self::Links {
                id: BlobId(reader.array()?),
                length,
            }),
            other => Err(reader.error(format!("unknown child {other}"))),
        }
    }
}

/// The plaintext of a links blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// What it describes.
    pub kind: NodeKind,
    /// 0 for a leaf; otherwise its `Links` children are nodes of the same kind, one lower.
    pub height: u8,
    /// The body blob; zero for content.
    pub body: BlobId,
    /// The children, in order.
    pub children: Vec<Child>,
}

impl Links {
    /// kind 1 ‖ height 1 ‖ body 32 ‖ count 4 ‖ children.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(38 + self.children.len() * 41);
        out.push(self.kind as u8);
        out.push(self.height);
        out.extend_from_slice(self.body.as_bytes());
        out.extend_from_slice(&(self.children.len() as u32).to_le_bytes());
        self.children
            .iter()
            .for_each(|child| child.encode(&mut out));
        out
    }

    /// Decodes and checks what can be checked without the children.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("links", bytes);
        let kind = match reader.u8()? {
            1 => NodeKind::Directory,
            2 => NodeKind::DirectoryIndex,
            3 => NodeKind::Content,
            other => return Err(reader.error(format!("unknown node kind {other}"))),
        };
        let height = reader.u8()?;
        let body = BlobId(reader.array()?);
        let count = reader.count("children", limits::NODE_CHILDREN_MAX)?;
        let children = (0..count)
            .map(|_| Child::decode(&mut reader))
            .collect::<Result<Vec<_>, _>>()?;
        reader.end()?;
        let links = Self {
            kind,
            height,
            body,
            children,
        };
        match links.fault() {
            None => Ok(links),
            Some(fault) => Err(reader.error(fault)),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let only_links = || {
            self.children
                .iter()
                .all(|child| matches!(child, Child::Links { .. }))
        };
        if usize::from(self.height) > limits::NODE_HEIGHT_MAX {
            return Some("it is too high");
        }
        if self.body.is_zero() != (self.kind == NodeKind::Content) {
            return Some("it has a body where there is none, or the reverse");
        }
        match self.kind {
            NodeKind::Directory if self.height != 0 => Some("a directory leaf has a height"),
            NodeKind::DirectoryIndex if self.height == 0 || !only_links() => {
                Some("a directory index holds something else than nodes")
            }
            NodeKind::Content if self.height > 0 && !only_links() => {
                Some("an upper content list holds something else than lists")
            }
            NodeKind::Content
                if self.height == 0
                    && self
                        .children
                        .iter()
                        .any(|c| matches!(c, Child::Nothing | Child::Links { .. })) =>
            {
                Some("a content list holds something else than chunks and holes")
            }
            _ => None,
        }
    }

    /// Bytes of content below it; saturates.
    pub fn content_length(&self) -> u64 {
        self.children
            .iter()
            .fold(0u64, |sum, child| sum.saturating_add(child.length()))
    }
}
