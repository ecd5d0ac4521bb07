//! Content lists: trees of blobs that say which chunks a file consists of.
//!
//! Nodes of page files have a fixed fan-out, those of streams end where a chunk's id says so: an
//! unchanged stretch of a file keeps its nodes, so that metadata grows with change, not with size.

use crate::archiver::workers::{Job, Workers};
use crate::entry::Layout;
use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links, NodeKind};
use crate::id::BlobId;
use crate::repository::{Known, WriteError};

/// Children of every node of a page file but the last.
const FIXED_FAN_OUT: usize = 256;

/// Children of a stream's node: at least, and at most.
const STREAM_FAN_OUT: std::ops::RangeInclusive<usize> = 64..=512;

/// A stream's node ends after a child whose id ends in this many zero bits: 128 more on average.
const STREAM_BOUNDARY_MASK: u8 = 0x7f;

/// Stores a metadata blob unless it is known, and returns its id.
pub(super) fn store_node(
    workers: &Workers<'_>,
    kind: BlobKind,
    plain: Vec<u8>,
) -> Result<BlobId, WriteError> {
    let id = workers.session().domain().ids.blob_id(kind.role(), &plain);
    if workers.session().claim(id, kind)? == Known::No {
        workers.send(Job::Owed { id, kind, plain })?;
    }
    Ok(id)
}

/// Builds the content list of one file from its chunks, in order.
pub(super) struct ContentBuilder {
    layout: Layout,
    /// Children waiting for a node, by height.
    levels: Vec<Vec<Child>>,
}

impl ContentBuilder {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            levels: vec![Vec::new()],
        }
    }

    /// Adds the next chunk or hole.
    pub(super) fn push(&mut self, child: Child, workers: &Workers<'_>) -> Result<(), WriteError> {
        let mut child = child;
        for height in 0.. {
            if height == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let level = &mut self.levels[height];
            level.push(child);
            if !ends_node(self.layout, level) {
                break;
            }
            let children = std::mem::take(level);
            child = store_list(height, children, workers)?;
        }
        Ok(())
    }

    /// Ends the file: nothing, its only chunk, or the root of its list.
    pub(super) fn finish(mut self, workers: &Workers<'_>) -> Result<Child, WriteError> {
        let mut carried: Option<Child> = None;
        let top = self.levels.len() - 1;
        for (height, level) in self.levels.iter_mut().enumerate() {
            let mut children = std::mem::take(level);
            children.extend(carried.take());
            carried = match children.as_slice() {
                [] => None,
                // The only child of the top is the root itself.
                [only @ (Child::Chunk { .. } | Child::Links { .. })] if height == top => {
                    Some(*only)
                }
                _ => Some(store_list(height, children, workers)?),
            };
        }
        Ok(carried.unwrap_or(Child::Nothing))
    }
}

fn ends_node(layout: Layout, children: &[Child]) -> bool {
    match (layout, children.last()) {
        (Layout::Pages, _) => children.len() >= FIXED_FAN_OUT,
        (Layout::Stream, Some(Child::Chunk { id, .. } | Child::Links { id, .. })) => {
            let boundary = id.0[31] & STREAM_BOUNDARY_MASK == 0;
            children.len() >= *STREAM_FAN_OUT.end()
                || boundary && children.len() >= *STREAM_FAN_OUT.start()
        }
        (Layout::Stream, _) => children.len() >= *STREAM_FAN_OUT.end(),
    }
}

fn store_list(
    height: usize,
    children: Vec<Child>,
    workers: &Workers<'_>,
) -> Result<Child, WriteError> {
    let links = Links {
        kind: NodeKind::Content,
        height: height as u8,
        body: BlobId::default(),
        children,
    };
    let id = store_node(workers, BlobKind::NodeLinks, links.encode())?;
    Ok(Child::Links {
        id,
        length: links.content_length(),
    })
}
