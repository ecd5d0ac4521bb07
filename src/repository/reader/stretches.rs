//! Many small blobs fetched together: neighbours in one request.

use crate::id::PackId;
use crate::repository::index::Located;
use crate::repository::reader::{ReadError, Reader};
use std::collections::HashMap;

/// Bytes between two blobs that are fetched along, rather than in another request.
const GAP_BYTES: u64 = 4 << 10;

/// Sealed bytes of blobs, as they were fetched.
#[derive(Debug, Default)]
pub struct Stretches {
    bytes: Vec<Vec<u8>>,
    /// By pack and offset: in which stretch a blob is, where, and its length.
    places: HashMap<(PackId, u32), (usize, usize, usize)>,
}

impl Stretches {
    /// A blob's sealed bytes, if they could be fetched.
    pub fn sealed(&self, located: &Located) -> Option<&[u8]> {
        let place = self.places.get(&(located.pack, located.row.offset));
        let (stretch, start, length) = *place?;
        self.bytes.get(stretch)?.get(start..start + length)
    }
}

impl Reader<'_> {
    /// Fetches the sealed bytes of blobs, in the order of their packs. What lies in packs that are
    /// damaged or gone is left out; who needs it looks for it elsewhere.
    pub fn fetch_together(&self, mut blobs: Vec<&Located>) -> Result<Stretches, ReadError> {
        blobs.sort_by_key(|blob| (blob.pack, blob.row.offset));
        let end = |blob: &Located| u64::from(blob.row.offset) + u64::from(blob.row.stored);
        let near = |a: &&Located, b: &&Located| {
            a.pack == b.pack && u64::from(b.row.offset) <= end(a) + GAP_BYTES
        };
        let mut stretches = Stretches::default();
        for neighbours in blobs.chunk_by(near) {
            let Some(first) = neighbours.first() else {
                continue;
            };
            let start = u64::from(first.row.offset);
            let last = neighbours.iter().map(|blob| end(blob)).max();
            let mut bytes = vec![0; (last.unwrap_or(start) - start) as usize];
            match self.fetch(first.pack, first.class, start, &mut bytes) {
                Ok(()) => {}
                Err(ReadError::Store(error)) if !error.blames_object() => {
                    return Err(ReadError::Store(error));
                }
                Err(error @ (ReadError::Index(_) | ReadError::Withdrawn(_))) => return Err(error),
                Err(_) => continue,
            }
            for blob in neighbours {
                let place = (u64::from(blob.row.offset) - start) as usize;
                let place = (stretches.bytes.len(), place, blob.row.stored as usize);
                let key = (blob.pack, blob.row.offset);
                stretches.places.insert(key, place);
            }
            stretches.bytes.push(bytes);
        }
        Ok(stretches)
    }
}
