//! Reading anywhere in a file: only the chunks that are asked for are fetched.

use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links};
use crate::id::BlobId;
use crate::limits;
use crate::repository::{ReadError, Reader};
use crate::tree::Piece;
use crate::tree::content::read_list;
use crate::tree::recent::Recent;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Content lists kept: each is some 20 KB and covers at least 16 MB of a file.
const LISTS_MAX: u64 = 256;

/// Chunks that are fetched by one thread at a time: a power of two.
const STRIPES: usize = 64;

/// A content list, and where each of its children ends.
#[derive(Debug)]
struct List {
    links: Links,
    ends: Vec<u64>,
}

impl List {
    fn new(links: Links) -> Self {
        let mut end = 0u64;
        let ends = links.children.iter().map(|child| {
            end = end.saturating_add(child.length());
            end
        });
        let ends = ends.collect();
        Self { links, ends }
    }

    /// The child that covers `offset`, and where it begins.
    fn at(&self, offset: u64) -> Option<(Child, u64)> {
        let number = self.ends.partition_point(|end| *end <= offset);
        let child = self.links.children.get(number)?;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((*child, start))
    }
}

/// Reads stretches of files in any order, and keeps the chunks read last. Shared between threads.
#[derive(Debug)]
pub struct RandomReader<'r, 'a> {
    reader: &'r Reader<'a>,
    chunks: Mutex<Recent<Vec<u8>>>,
    lists: Mutex<Recent<List>>,
    /// Held while a chunk is fetched: whoever wants the same one waits and finds it.
    stripes: [Mutex<()>; STRIPES],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'r, 'a> RandomReader<'r, 'a> {
    /// Keeps up to `bytes` of chunks, and never less than a few.
    pub fn new(reader: &'r Reader<'a>, bytes: u64) -> Self {
        let bytes = bytes.max(4 * limits::CHUNK_BYTES_MAX as u64);
        Self {
            reader,
            chunks: Mutex::new(Recent::new(bytes)),
            lists: Mutex::new(Recent::new(LISTS_MAX)),
            stripes: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// Where blobs come from.
    pub fn reader(&self) -> &'r Reader<'a> {
        self.reader
    }

    /// The piece of `content` that covers `offset`; `None` past its end.
    pub fn piece_at(&self, content: Child, offset: u64) -> Result<Option<Piece>, ReadError> {
        let (mut child, mut start, mut height) = (content, 0u64, None);
        loop {
            if offset - start >= child.length() {
                return Ok(None);
            }
            let chunk = match child {
                Child::Nothing => return Ok(None),
                Child::Hole { .. } => None,
                Child::Chunk { id, .. } => Some(id),
                Child::Links { id, length } => {
                    let list = self.list(id, length, height)?;
                    let Some((lower, lower_start)) = list.at(offset - start) else {
                        return Ok(None);
                    };
                    (child, start) = (lower, start + lower_start);
                    height = Some(list.links.height);
                    continue;
                }
            };
            return Ok(Some(Piece {
                offset: start,
                length: child.length(),
                chunk,
            }));
        }
    }

    fn list(&self, id: BlobId, length: u64, height: Option<u8>) -> Result<Arc<List>, ReadError> {
        if let Some(list) = lock(&self.lists).get(&id) {
            // The same list, but its parent must be right about it here too.
            let fits = height.is_none_or(|height| list.links.height < height);
            if fits && list.links.content_length() == length {
                return Ok(list);
            }
        }
        let list = Arc::new(List::new(read_list(self.reader, id, length, height)?));
        lock(&self.lists).put(id, Arc::clone(&list), 1);
        Ok(list)
    }

    /// A chunk's verified plaintext.
    pub fn chunk(&self, id: BlobId) -> Result<Arc<Vec<u8>>, ReadError> {
        if let Some(chunk) = lock(&self.chunks).get(&id) {
            return Ok(chunk);
        }
        let _fetching = lock(&self.stripes[usize::from(id.0[0]) % STRIPES]);
        if let Some(chunk) = lock(&self.chunks).get(&id) {
            return Ok(chunk);
        }
        let chunk = Arc::new(self.reader.read(id, BlobKind::Chunk)?);
        let weight = chunk.len() as u64;
        lock(&self.chunks).put(id, Arc::clone(&chunk), weight);
        Ok(chunk)
    }

    /// Fills `buffer` with the bytes of `content` from `offset` on. Returns how many there were:
    /// fewer than asked for at the end only.
    pub fn read(&self, content: Child, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            let Some(piece) = self.piece_at(content, at)? else {
                break;
            };
            let within = at - piece.offset;
            let rest = &mut buffer[filled..];
            let length = (piece.length - within).min(rest.len() as u64) as usize;
            let target = &mut rest[..length];
            match piece.chunk {
                None => target.fill(0),
                Some(id) => {
                    let chunk = self.chunk(id)?;
                    let within = within as usize;
                    let bytes = chunk.get(within..within + length);
                    let bytes = bytes.ok_or(ReadError::Kind {
                        blob: id,
                        expected: BlobKind::Chunk,
                    })?;
                    target.copy_from_slice(bytes);
                }
            }
            filled += length;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::entry::Layout;
    use crate::env::SystemClock;
    use crate::store::{MemoryStore, RecordingStore, Store};
    use crate::testing_repository::{self as support, noise};
    use crate::tree;

    #[test]
    fn any_stretch_is_what_was_stored_and_only_its_chunks_are_fetched() {
        let clock: Arc<dyn crate::env::Clock> = Arc::new(SystemClock);
        let memory = MemoryStore::with_clock(Arc::clone(&clock));
        let counting = RecordingStore::counting(memory);
        let traffic = counting.traffic();
        let store: Arc<dyn Store> = Arc::new(counting);
        let repository = support::create(store, "random", clock);
        let bytes = noise(5, (9 << 20) + 77);
        let files = [("a".to_owned(), (Layout::Stream, bytes.clone()))];
        let id = support::take(&repository, &files.into());
        let index = support::empty_index();
        repository
            .refresh_index(&index, &crate::monitor::Silent)
            .unwrap();
        let snapshot = repository.load_snapshot(id).unwrap().unwrap();
        let reader = Reader::new(&repository, &index);
        let node = tree::find(&reader, snapshot.root, b"a").unwrap().unwrap();
        let random = RandomReader::new(&reader, 0);
        let mut buffer = vec![0; 100_000];
        let before = traffic.downloaded_bytes();
        for offset in [5_000_000u64, 5_000_001, 5_100_000] {
            assert_eq!(
                random.read(node.child, offset, &mut buffer).unwrap(),
                100_000
            );
            let offset = offset as usize;
            assert!(buffer == bytes[offset..offset + 100_000]);
        }
        let fetched = traffic.downloaded_bytes() - before;
        assert!(fetched < 3 << 20, "{fetched} bytes for 200 KB");
        let length = bytes.len() as u64;
        for offset in [0, 1 << 20, length - 100_000, length - 50, length - 1] {
            let read = random.read(node.child, offset, &mut buffer).unwrap();
            let expected = &bytes[offset as usize..bytes.len().min(offset as usize + 100_000)];
            assert!(&buffer[..read] == expected, "{offset}");
        }
        assert_eq!(random.read(node.child, length, &mut buffer).unwrap(), 0);
        assert_eq!(random.read(node.child, u64::MAX, &mut buffer).unwrap(), 0);
    }
}
