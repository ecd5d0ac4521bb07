//! Walking a tree of the source, children before the nodes that name them.

use crate::copy::CopyError;
use crate::copy::blobs::Transfer;
use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links, NodeKind};
use crate::format::wire::FormatError;
use crate::id::BlobId;
use crate::limits;
use crate::monitor::{Cancel, Monitor};
use crate::repository::ReadError;
use std::collections::HashSet;

/// Nodes above one another: directories, with a tree of nodes each, and a content list below.
const NESTED_MAX: usize = limits::DIRECTORY_DEPTH_MAX + 4 * limits::NODE_HEIGHT_MAX;

/// A node whose children are being moved.
struct Frame {
    id: BlobId,
    links: Links,
    /// The next child that may be a node.
    next: usize,
}

/// Moves trees; remembers the nodes below which everything is at the target.
pub(super) struct Walk<'w> {
    pub(super) monitor: &'w dyn Monitor,
    pub(super) cancel: &'w Cancel,
    pub(super) walked: HashSet<BlobId>,
}

impl Walk<'_> {
    /// Moves all that `root` names; gives its name at the target.
    pub(super) fn tree(
        &mut self,
        transfer: &Transfer<'_, '_>,
        root: BlobId,
    ) -> Result<BlobId, CopyError> {
        let mut stack: Vec<Frame> = Vec::new();
        let mut entered = self.enter(transfer, &mut stack, root, None)?;
        loop {
            let Some(frame) = stack.last_mut() else {
                return entered.ok_or(CopyError::Depth);
            };
            if let Some(there) = entered.take() {
                rename_child(&mut frame.links, frame.next, there);
                frame.next += 1;
            }
            let next = frame.links.children.get(frame.next).copied();
            match next {
                Some(Child::Links { id, length }) => {
                    let above = (frame.links.kind, frame.links.height);
                    entered = self.enter(transfer, &mut stack, id, Some(above))?;
                    if entered.is_some() {
                        self.monitor.advance(length);
                    }
                }
                Some(_) => frame.next += 1,
                None => {
                    let done = stack.pop();
                    entered = done.map(|frame| self.leave(transfer, frame)).transpose()?;
                }
            }
        }
    }

    /// Begins with a node; gives its name where all below it was moved before.
    fn enter(
        &mut self,
        transfer: &Transfer<'_, '_>,
        stack: &mut Vec<Frame>,
        id: BlobId,
        above: Option<(NodeKind, u8)>,
    ) -> Result<Option<BlobId>, CopyError> {
        self.cancel.check()?;
        if self.walked.contains(&id)
            && let Some(there) = transfer.known(id, BlobKind::NodeLinks)?
        {
            return Ok(Some(there));
        }
        if stack.len() >= NESTED_MAX {
            return Err(CopyError::Depth);
        }
        let plain = transfer.reader().read(id, BlobKind::NodeLinks)?;
        let content = |source: FormatError| ReadError::Content { blob: id, source };
        let mut links = Links::decode(&plain).map_err(content)?;
        if let Some((kind, height)) = above
            && !falls((kind, height), &links)
        {
            let problem = FormatError::new("links", "its height does not fall");
            return Err(content(problem).into());
        }
        self.move_children(transfer, &mut links)?;
        stack.push(Frame { id, links, next: 0 });
        Ok(None)
    }

    /// Moves a node's own chunks and its body.
    fn move_children(
        &self,
        transfer: &Transfer<'_, '_>,
        links: &mut Links,
    ) -> Result<(), CopyError> {
        let chunk = |child: &Child| match child {
            Child::Chunk { id, .. } => Some(*id),
            _ => None,
        };
        let ids: Vec<BlobId> = links.children.iter().filter_map(chunk).collect();
        let mut names = transfer.chunks(&ids)?.into_iter();
        for child in &mut links.children {
            match child {
                Child::Chunk { id, length } => {
                    *id = names.next().unwrap_or(*id);
                    self.monitor.advance(*length);
                }
                Child::Hole { length } => self.monitor.advance(*length),
                Child::Nothing | Child::Links { .. } => {}
            }
        }
        if !links.body.is_zero() {
            let body = links.body;
            links.body = match transfer.known(body, BlobKind::NodeBody)? {
                Some(there) => there,
                None => {
                    let plain = transfer.reader().read(body, BlobKind::NodeBody)?;
                    transfer.put_node(body, BlobKind::NodeBody, &plain)?
                }
            };
        }
        Ok(())
    }

    /// Stores a node whose children are all there.
    fn leave(&mut self, transfer: &Transfer<'_, '_>, frame: Frame) -> Result<BlobId, CopyError> {
        let plain = frame.links.encode();
        let there = transfer.put_node(frame.id, BlobKind::NodeLinks, &plain)?;
        self.walked.insert(frame.id);
        Ok(there)
    }
}

fn rename_child(links: &mut Links, position: usize, there: BlobId) {
    if let Some(Child::Links { id, .. }) = links.children.get_mut(position) {
        *id = there;
    }
}

/// Whether a node may stand below one of this kind and height: no circle can be walked for ever.
fn falls((kind, height): (NodeKind, u8), below: &Links) -> bool {
    match (kind, below.kind) {
        // A directory's entries are directories and contents of their own.
        (NodeKind::Directory, _) => true,
        (NodeKind::DirectoryIndex, NodeKind::Content) => false,
        (NodeKind::DirectoryIndex, _) => below.height < height,
        (NodeKind::Content, NodeKind::Content) => below.height < height,
        (NodeKind::Content, _) => false,
    }
}
