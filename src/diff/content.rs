//! Whether two contents are the same bytes, although they are not the same list of chunks.

use crate::format::blob::BlobKind;
use crate::format::node::Child;
use crate::monitor::{Cancel, Interrupted};
use crate::repository::{ReadError, Reader};
use crate::tree::{ContentCursor, Piece};

/// A comparison ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompareError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// One content, passed over piece by piece.
struct Passed<'r, 'a> {
    cursor: ContentCursor<'r, 'a>,
    piece: Option<Piece>,
    /// Bytes of the piece that were compared already.
    used: u64,
    /// The piece's bytes, once they are needed.
    plain: Option<Vec<u8>>,
}

impl<'r, 'a> Passed<'r, 'a> {
    fn new(reader: &'r Reader<'a>, content: Child) -> Self {
        Self {
            cursor: ContentCursor::new(reader, content),
            piece: None,
            used: 0,
            plain: None,
        }
    }

    /// The piece under way.
    fn piece(&mut self) -> Result<Option<Piece>, ReadError> {
        if self.piece.is_none_or(|piece| piece.length == self.used) {
            self.piece = self.cursor.next_piece()?;
            self.used = 0;
            self.plain = None;
        }
        Ok(self.piece)
    }

    /// The next `length` bytes of the piece; `None` for a hole.
    fn bytes(&mut self, reader: &Reader<'_>, length: u64) -> Result<Option<&[u8]>, ReadError> {
        let Some(id) = self.piece.and_then(|piece| piece.chunk) else {
            return Ok(None);
        };
        let plain = match self.plain.take() {
            Some(plain) => plain,
            None => reader.read(id, BlobKind::Chunk)?,
        };
        let start = self.used as usize;
        let plain = self.plain.insert(plain);
        let bytes = plain.get(start..start + length as usize);
        Ok(Some(bytes.ok_or(ReadError::Kind {
            blob: id,
            expected: BlobKind::Chunk,
        })?))
    }
}

/// Whether two contents differ. Where both are cut alike their ids tell, if they were drawn under
/// the same key; only otherwise are bytes read.
pub(super) fn differs(
    reader: &Reader<'_>,
    before: Child,
    after: Child,
    same_domain: bool,
    cancel: &Cancel,
) -> Result<bool, CompareError> {
    if before == after {
        return Ok(false);
    }
    if before.length() != after.length() {
        return Ok(true);
    }
    let mut before = Passed::new(reader, before);
    let mut after = Passed::new(reader, after);
    while let (Some(left), Some(right)) = (before.piece()?, after.piece()?) {
        cancel.check()?;
        let length = (left.length - before.used).min(right.length - after.used);
        let are_cut_alike = before.used == 0 && after.used == 0 && left.length == right.length;
        let ids = left.chunk.zip(right.chunk);
        match ids {
            Some((left, right)) if left == right && before.used == after.used => {}
            Some(_) if are_cut_alike && same_domain => return Ok(true),
            _ => {
                let same = match (before.bytes(reader, length)?, after.bytes(reader, length)?) {
                    (Some(left), Some(right)) => left == right,
                    (None, None) => true,
                    (Some(bytes), None) | (None, Some(bytes)) => {
                        bytes.iter().all(|byte| *byte == 0)
                    }
                };
                if !same {
                    return Ok(true);
                }
            }
        }
        before.used += length;
        after.used += length;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::entry::Layout;
    use crate::env::SystemClock;
    use crate::store::MemoryStore;
    use crate::testing_repository::{self as support, noise};
    use crate::tree;
    use std::sync::Arc;

    #[test]
    fn how_a_content_was_cut_makes_no_difference() {
        let clock: Arc<dyn crate::env::Clock> = Arc::new(SystemClock);
        let store = Arc::new(MemoryStore::with_clock(Arc::clone(&clock)));
        let repository = support::create(store, "content", clock);
        let bytes = noise(1, 2 << 20);
        let mut other = bytes.clone();
        other[1_500_000] ^= 1;
        let names = ["pages", "stream", "other-pages", "other-stream"];
        let contents = [
            (Layout::Pages, bytes.clone()),
            (Layout::Stream, bytes),
            (Layout::Pages, other.clone()),
            (Layout::Stream, other),
        ];
        let files = names.map(str::to_owned).into_iter().zip(contents).collect();
        let id = support::take(&repository, &files);
        let index = support::empty_index();
        repository
            .refresh_index(&index, &crate::monitor::Silent)
            .unwrap();
        let snapshot = repository.load_snapshot(id).unwrap().unwrap();
        let reader = Reader::new(&repository, &index);
        let child = |name: &str| {
            let node = tree::find(&reader, snapshot.root, name.as_bytes());
            node.unwrap().unwrap().child
        };
        for (left, right, expected) in [
            ("pages", "pages", false),
            ("pages", "stream", false),
            ("other-stream", "other-pages", false),
            ("pages", "other-pages", true),
            ("pages", "other-stream", true),
            ("stream", "other-stream", true),
        ] {
            for same_domain in [true, false] {
                let cancel = Cancel::default();
                let differs = differs(&reader, child(left), child(right), same_domain, &cancel);
                assert_eq!(differs.unwrap(), expected, "{left} {right}");
            }
        }
    }
}
