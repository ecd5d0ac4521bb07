//! Reading what a delta rests on, from the full form up, without a detour over ids.

use crate::format::blob::{BlobKind, Form};
use crate::id::{BlobId, PackId};
use crate::repository::index::Located;
use crate::repository::reader::{Bounds, ReadError, Reader, unseal};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes fetched at once around a small blob, and how many such stretches are kept: a chain of
/// usual depth for each of a few threads.
const NEAR_BYTES: usize = 256 << 10;
const NEAR_MAX: usize = 32;

/// What is fetched for a small blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranges {
    /// Itself: a restore in place fetches what differs and no more.
    Exact,
    /// Its neighbours too: the deltas of one version lie in the order in which the next snapshot
    /// asks for them.
    Near,
}

impl Reader<'_> {
    /// A base's plaintext by the shortest chain. Seals are checked, ids are not: what is decoded
    /// from it has an id of its own.
    pub(super) fn read_below(
        &self,
        base: BlobId,
        bounds: Bounds<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let chain = self.index.chain(&base, &|_| true)?;
        let chain = chain.ok_or(ReadError::Missing(base))?;
        if chain.len() > bounds.depth as usize {
            return Err(ReadError::Depth(base));
        }
        chain
            .iter()
            .try_for_each(|link| bounds.spend(link.row.id))?;
        self.decode_chain(&chain, Ranges::Exact)
    }

    /// Reads the first blob of a chain that the index gave, and verifies it.
    pub fn read_chain(&self, chain: &[Located]) -> Result<Vec<u8>, ReadError> {
        let plain = self.decode_chain(chain, Ranges::Near)?;
        if let Some(top) = chain.first() {
            let head = self.head(top)?;
            self.verify(top, head.envelope(), &plain)?;
        }
        Ok(plain)
    }

    fn decode_chain(&self, chain: &[Located], ranges: Ranges) -> Result<Vec<u8>, ReadError> {
        let mut plain = None;
        for located in chain.iter().rev() {
            plain = Some(match located.row.form {
                Form::Member { .. } => self.read_at(located)?,
                // The group below a member is read with it.
                _ if located.row.kind == BlobKind::Group => continue,
                _ => {
                    let mut sealed = self.fetch_sealed(located, ranges)?;
                    let head = self.head(located)?;
                    let encoded = unseal(&head, located, &mut sealed)?;
                    self.decode(located, encoded, plain.take())?
                }
            });
        }
        // An empty chain leads nowhere.
        plain.ok_or_else(|| {
            let id = chain.first().map(|located| located.row.id);
            ReadError::Missing(id.unwrap_or_default())
        })
    }

    /// A blob's sealed bytes.
    pub(super) fn fetch_sealed(
        &self,
        located: &Located,
        ranges: Ranges,
    ) -> Result<Vec<u8>, ReadError> {
        let row = &located.row;
        let (start, length) = (u64::from(row.offset), row.stored as usize);
        if ranges == Ranges::Near && length <= NEAR_BYTES / 4 {
            let near = self.near.get(self, located)?;
            let offset = (start - near.start) as usize;
            if let Some(sealed) = near.bytes.get(offset..offset + length) {
                return Ok(sealed.to_vec());
            }
        }
        let mut sealed = vec![0; length];
        self.fetch(located.pack, located.class, start, &mut sealed)?;
        Ok(sealed)
    }
}

/// Stretches of packs that were fetched last.
#[derive(Debug, Default)]
pub(super) struct Near {
    stretches: Mutex<VecDeque<Stretch>>,
}

#[derive(Debug, Clone)]
struct Stretch {
    pack: PackId,
    start: u64,
    bytes: Arc<Vec<u8>>,
}

impl Stretch {
    fn holds(&self, pack: &PackId, start: u64, length: usize) -> bool {
        let end = self.start + self.bytes.len() as u64;
        self.pack == *pack && self.start <= start && start + length as u64 <= end
    }
}

impl Near {
    /// A stretch with the blob's sealed bytes in it.
    fn get(&self, reader: &Reader<'_>, located: &Located) -> Result<Stretch, ReadError> {
        let row = &located.row;
        let (start, length) = (u64::from(row.offset), row.stored as usize);
        let lock = || {
            let stretches = self.stretches.lock();
            stretches.unwrap_or_else(PoisonError::into_inner)
        };
        let kept = lock();
        let found = kept.iter().find(|s| s.holds(&located.pack, start, length));
        if let Some(found) = found {
            return Ok(found.clone());
        }
        drop(kept);
        // Some before it: several threads ask in almost the order of the pack.
        let from = start.saturating_sub(NEAR_BYTES as u64 / 8);
        let end = u64::from(located.pack_length).min(from + NEAR_BYTES as u64);
        let mut bytes = vec![0; (end.max(start + length as u64) - from) as usize];
        reader.fetch(located.pack, located.class, from, &mut bytes)?;
        let stretch = Stretch {
            pack: located.pack,
            start: from,
            bytes: Arc::new(bytes),
        };
        let mut kept = lock();
        if kept.len() >= NEAR_MAX {
            kept.pop_front();
        }
        kept.push_back(stretch.clone());
        Ok(stretch)
    }
}
