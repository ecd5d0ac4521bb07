//! Content lists: what a file consists of, in order.

use crate::format::node::{Child, NodeKind};
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
    let mut offset = 0;
    pieces(reader, content, None, &mut offset, visit)
}

fn pieces<E: From<ReadError>>(
    reader: &Reader<'_>,
    content: Child,
    height: Option<u8>,
    offset: &mut u64,
    visit: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let chunk = match content {
        Child::Nothing => return Ok(()),
        Child::Hole { .. } => None,
        Child::Chunk { id, .. } => Some(id),
        Child::Links { id, length } => return list(reader, id, length, height, offset, visit),
    };
    let length = content.length();
    visit(Piece {
        offset: *offset,
        length,
        chunk,
    })?;
    *offset += length;
    Ok(())
}

fn list<E: From<ReadError>>(
    reader: &Reader<'_>,
    id: BlobId,
    length: u64,
    height: Option<u8>,
    offset: &mut u64,
    visit: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let links = read_links(reader, id)?;
    let bad = |problem: &str| ReadError::Content {
        blob: id,
        source: FormatError::new("content list", problem),
    };
    if links.kind != NodeKind::Content || links.content_length() != length {
        return Err(bad("it is not what its parent says").into());
    }
    if height.is_some_and(|height| links.height >= height) {
        return Err(bad("its height does not fall").into());
    }
    for child in links.children {
        pieces(reader, child, Some(links.height), offset, visit)?;
    }
    Ok(())
}
