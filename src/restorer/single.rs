//! One file's content, in order, to anything that takes bytes: `cat`, a pipe, a comparison.

use crate::format::blob::BlobKind;
use crate::format::node::Child;
use crate::repository::{ReadError, Reader};
use crate::tree::for_each_piece;

/// Takes a content's bytes in order.
pub trait ContentWriter<E> {
    /// The next bytes.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), E>;
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> ContentWriter<E> for F {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), E> {
        self(bytes)
    }
}

/// Zeros written at once for a hole, bytes.
const HOLE_BYTES: usize = 64 << 10;

/// Writes a content in order, holes as zeros. Every chunk is verified before it is written.
pub fn write_content<E: From<ReadError>>(
    reader: &Reader<'_>,
    content: Child,
    out: &mut dyn ContentWriter<E>,
) -> Result<(), E> {
    for_each_piece::<E>(reader, content, &mut |piece| match piece.chunk {
        Some(id) => out.bytes(&reader.read(id, BlobKind::Chunk)?),
        None => {
            let zeros = vec![0; HOLE_BYTES];
            let mut left = piece.length;
            while left > 0 {
                let length = left.min(HOLE_BYTES as u64);
                out.bytes(&zeros[..length as usize])?;
                left -= length;
            }
            Ok(())
        }
    })
}
