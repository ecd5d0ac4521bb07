//! Sketches of a stream's chunks, from one snapshot to the next.
//!
//! Kept in pages in the local cache, under a keyed hash of source and path. They are hints: without
//! them, or with those of another snapshot, a delta is only less likely to be found.

use crate::crypto::Role;
use crate::delta::{FEATURES, PAGE_CHUNKS, Relative, Relatives, Sketch};
use crate::format::wire::{FormatError, Reader};
use crate::id::BlobId;
use crate::repository::WriteSession;
use crate::repository::index::Cache;
use std::sync::{Arc, Mutex, PoisonError};

/// Pages of the parent that are searched at a time: chunks of about 32 GiB, some 20 MB of memory.
const WINDOW_PAGES: usize = 32;

/// Pages collected before the first is written: until then the parent's stay as they are, so that a
/// file that is read again finds them.
const HELD_PAGES: usize = 32;

/// Bytes of one chunk in a page.
const ENTRY_BYTES: usize = 8 + 4 + 32 + 4 * FEATURES;

/// The sketches of one stream: the parent's, which slide along, and its own.
pub(super) struct Hints<'s> {
    session: &'s WriteSession<'s>,
    /// Source and path, a zero byte after each.
    name: Vec<u8>,
    relatives: Arc<Mutex<Relatives>>,
    /// The parent's next page to be loaded; none after its last.
    next: Option<u32>,
    page: Vec<Relative>,
    finished: Vec<(Vec<u8>, Vec<u8>)>,
    pages: u32,
}

impl<'s> Hints<'s> {
    /// Begins a stream; loads what the cache has of its parent, if there is one.
    pub(super) fn new(
        session: &'s WriteSession<'s>,
        source: &str,
        path: &[u8],
        has_parent: bool,
    ) -> Self {
        let mut hints = Self {
            session,
            name: [source.as_bytes(), b"\0", path, b"\0"].concat(),
            relatives: Arc::default(),
            next: has_parent.then_some(0),
            page: Vec::new(),
            finished: Vec::new(),
            pages: 0,
        };
        while hints
            .next
            .is_some_and(|next| (next as usize) < WINDOW_PAGES)
        {
            hints.load();
        }
        hints
    }

    /// The parent's chunks near the position that was reached.
    pub(super) fn relatives(&self) -> Arc<Mutex<Relatives>> {
        Arc::clone(&self.relatives)
    }

    /// Adds the stream's next chunk.
    pub(super) fn push(&mut self, chunk: Relative) {
        self.page.push(chunk);
        if self.page.len() == PAGE_CHUNKS {
            self.end_page();
        }
    }

    /// Ends the stream: from now on its sketches are the ones to be found.
    pub(super) fn finish(mut self) {
        if !self.page.is_empty() {
            self.end_page();
        }
        self.write();
        let index = self.session.reader().index();
        index.cache_remove(Cache::Parent, &[self.key(self.pages)]);
    }

    fn end_page(&mut self) {
        let page = std::mem::take(&mut self.page);
        self.finished.push((self.key(self.pages), encode(&page)));
        self.pages += 1;
        if self.finished.len() >= HELD_PAGES {
            self.write();
        }
        // The window stays centred on the page that is written next.
        if self.pages as usize > WINDOW_PAGES / 2 && self.next.is_some() {
            self.load();
        }
    }

    fn write(&mut self) {
        let finished = std::mem::take(&mut self.finished);
        let index = self.session.reader().index();
        index.cache_put(Cache::Parent, &finished);
    }

    fn load(&mut self) {
        let Some(number) = self.next else {
            return;
        };
        let index = self.session.reader().index();
        let value = index.cache_get(Cache::Parent, &self.key(number));
        self.next = match value.map(|value| decode(&value)) {
            Some(Ok(page)) => {
                let relatives = self.relatives.lock();
                let mut relatives = relatives.unwrap_or_else(PoisonError::into_inner);
                relatives.push_page(page);
                if relatives.pages() > WINDOW_PAGES {
                    relatives.drop_page();
                }
                number.checked_add(1)
            }
            _ => None,
        };
    }

    fn key(&self, page: u32) -> Vec<u8> {
        let name = [&self.name, &page.to_le_bytes()[..]].concat();
        let ids = &self.session.domain().ids;
        ids.blob_id(Role::Cache, &name).0.to_vec()
    }
}

fn encode(page: &[Relative]) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() * ENTRY_BYTES);
    for chunk in page {
        out.extend_from_slice(&chunk.offset.to_le_bytes());
        out.extend_from_slice(&chunk.length.to_le_bytes());
        out.extend_from_slice(chunk.id.as_bytes());
        // No sketch is written as zeros, which no chunk has but by the rarest chance.
        let features = chunk.sketch.map_or([0; FEATURES], |sketch| sketch.0);
        features
            .iter()
            .for_each(|feature| out.extend_from_slice(&feature.to_le_bytes()));
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<Relative>, FormatError> {
    let mut reader = Reader::new("sketches", bytes);
    let mut page = Vec::new();
    for _ in 0..(bytes.len() / ENTRY_BYTES).min(PAGE_CHUNKS) {
        let (offset, length, id) = (reader.u64()?, reader.u32()?, BlobId(reader.array()?));
        let mut features = [0; FEATURES];
        for feature in &mut features {
            *feature = reader.u32()?;
        }
        let sketch = (features != [0; FEATURES]).then_some(Sketch(features));
        page.push(Relative {
            offset,
            length,
            id,
            sketch,
        });
    }
    reader.end()?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pages_come_back_and_others_are_refused() {
        let chunk = |number: u8, sketch| Relative {
            offset: u64::from(number) << 32,
            length: 1 << 20,
            id: BlobId([number; 32]),
            sketch,
        };
        let page = [
            chunk(1, Some(Sketch([1, 2, 3, 4]))),
            chunk(2, None),
            chunk(3, Some(Sketch([0, 0, 0, 9]))),
        ];
        let bytes = encode(&page);
        assert_eq!(decode(&bytes).unwrap(), page);
        assert!(decode(&bytes[1..]).is_err());
        assert_eq!(decode(&[]).unwrap(), []);
    }
}
