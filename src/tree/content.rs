//! Content lists: what a file consists of, in order.

use crate::format::node::{Child, Links, NodeKind};
use crate::format::wire::FormatError;
use crate::id::BlobId;
use crate::repository::{ReadError, Reader};
use crate::tree::directory::read_links;

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the file, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub length: u64,
    /// Its chunk; `None` for a hole.
    pub chunk: Option<BlobId>,
}

/// Calls `visit` for every piece of a file's content, in order.
pub fn for_each_piece<E: From<ReadError>>(
    reader: &Reader<'_>,
    content: Child,
    visit: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = ContentCursor::new(reader, content);
    while let Some(piece) = cursor.next_piece()? {
        visit(piece)?;
    }
    Ok(())
}

/// Reads a list below one of `height`, and checks that it is what its parent says.
pub(super) fn read_list(
    reader: &Reader<'_>,
    id: BlobId,
    length: u64,
    height: Option<u8>,
) -> Result<Links, ReadError> {
    let links = read_links(reader, id)?;
    let bad = |problem: &str| ReadError::Content {
        blob: id,
        source: FormatError::new("content list", problem),
    };
    if links.kind != NodeKind::Content || links.content_length() != length {
        return Err(bad("it is not what its parent says"));
    }
    // Heights fall strictly: no circle can be followed for ever.
    if height.is_some_and(|height| links.height >= height) {
        return Err(bad("its height does not fall"));
    }
    Ok(links)
}

/// Reads a content's pieces one by one, a list node at a time.
#[derive(Debug)]
pub struct ContentCursor<'r, 'a> {
    reader: &'r Reader<'a>,
    /// Children not yet passed, deepest list last, each with the height of its list.
    stack: Vec<(Option<u8>, std::vec::IntoIter<Child>)>,
    offset: u64,
}

impl<'r, 'a> ContentCursor<'r, 'a> {
    /// Starts at the beginning of `content`.
    pub fn new(reader: &'r Reader<'a>, content: Child) -> Self {
        Self {
            reader,
            stack: vec![(None, vec![content].into_iter())],
            offset: 0,
        }
    }

    /// The next piece, or `None` at the end.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, ReadError> {
        while let Some((height, children)) = self.stack.last_mut() {
            let height = *height;
            let Some(child) = children.next() else {
                self.stack.pop();
                continue;
            };
            let chunk = match child {
                Child::Nothing => continue,
                Child::Hole { .. } => None,
                Child::Chunk { id, .. } => Some(id),
                Child::Links { id, length } => {
                    let links = read_list(self.reader, id, length, height)?;
                    let lower = (Some(links.height), links.children.into_iter());
                    self.stack.push(lower);
                    continue;
                }
            };
            let piece = Piece {
                offset: self.offset,
                length: child.length(),
                chunk,
            };
            self.offset += piece.length;
            return Ok(Some(piece));
        }
        Ok(None)
    }
}
