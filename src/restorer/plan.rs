//! Which ranges of which packs have to be read for the chunks of a batch, and what comes out of
//! each.
//!
//! What is read in order is the full forms: deltas follow the full chunk that their chain ends at,
//! so that neighbours in a file are neighbours here, however often they changed.

use crate::format::blob::{BlobKind, Form};
use crate::id::{BlobId, PackId};
use crate::repository::index::Located;
use crate::repository::{ReadError, Reader};
use crate::restorer::fetch::Place;
use std::collections::BTreeMap;

/// Ranges with less than this between them are fetched together, bytes.
const GAP_BYTES: u32 = 64 << 10;

/// Bytes of one fetch.
const FETCH_BYTES: u32 = 4 << 20;

/// Plaintext that one fetch gives at least, where there is so much, bytes.
const PLAIN_BYTES: u64 = 8 << 20;

/// Fetches that each worker gets at least, where there is so much to do.
const SHARE: u64 = 8;

/// A chunk that comes out of an item, and where it goes.
pub(super) struct Yield {
    /// The chunk's own row.
    pub(super) row: Located,
    /// Deltas to apply to what is in the item, in turn; the last one is the chunk's.
    pub(super) deltas: Vec<Located>,
    pub(super) places: Vec<Place>,
}

/// One sealed blob in a range.
pub(super) struct Item {
    pub(super) located: Located,
    /// The blob itself, what rests on it, or members of the group it is.
    pub(super) yields: Vec<Yield>,
}

/// A stretch of a pack that is fetched at once.
pub(super) struct Range {
    pub(super) pack: PackId,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) items: Vec<Item>,
}

/// The items of a batch, by pack and offset.
#[derive(Default)]
pub(super) struct Plan {
    items: BTreeMap<(PackId, u32), Item>,
}

impl Plan {
    /// Finds out how a chunk is read. Errors: it is in no pack, or that cannot be told.
    pub(super) fn add(
        &mut self,
        id: BlobId,
        places: &[Place],
        reader: &Reader<'_>,
    ) -> Result<(), ReadError> {
        let (located, row, deltas) = locate(id, reader)?;
        let key = (located.pack, located.row.offset);
        let item = self.items.entry(key).or_insert_with(|| Item {
            located,
            yields: Vec::new(),
        });
        item.yields.push(Yield {
            row,
            deltas,
            places: places.to_vec(),
        });
        Ok(())
    }

    /// The ranges to read, in order, cut so that `workers` have about the same to do.
    pub(super) fn ranges(self, workers: usize) -> Vec<Range> {
        let plain: u64 = self.items.values().map(Item::plain).sum();
        let most = PLAIN_BYTES.max(plain / (SHARE * workers.max(1) as u64));
        let mut ranges: Vec<Range> = Vec::new();
        let mut gives = 0;
        for item in self.items.into_values() {
            let (pack, start) = (item.located.pack, item.located.row.offset);
            let end = start.saturating_add(item.located.row.stored);
            let plain = item.plain();
            match ranges.last_mut() {
                Some(range)
                    if range.pack == pack
                        && start.saturating_sub(range.end) <= GAP_BYTES
                        && end - range.start <= FETCH_BYTES
                        && gives + plain <= most =>
                {
                    range.end = range.end.max(end);
                    range.items.push(item);
                    gives += plain;
                }
                _ => {
                    gives = plain;
                    ranges.push(Range {
                        pack,
                        start,
                        end,
                        items: vec![item],
                    });
                }
            }
        }
        ranges
    }
}

impl Item {
    /// Bytes that come out of it.
    fn plain(&self) -> u64 {
        let yields = self.yields.iter();
        yields.map(|one| u64::from(one.row.row.plain)).sum()
    }
}

/// The sealed blob to fetch for a chunk, the chunk's own row, and the deltas in between.
fn locate(id: BlobId, reader: &Reader<'_>) -> Result<(Located, Located, Vec<Located>), ReadError> {
    let missing = || ReadError::Missing(id);
    let rows = reader.locate(id, BlobKind::Chunk)?;
    let chunk = rows.into_iter().next().ok_or_else(missing)?;
    match chunk.row.form {
        Form::Full => Ok((chunk.clone(), chunk, Vec::new())),
        Form::Member { group } => {
            let groups = reader.locate(group, BlobKind::Group)?;
            let group = groups.into_iter().next().ok_or_else(missing)?;
            Ok((group, chunk, Vec::new()))
        }
        Form::Delta { .. } => match reader.index().chain(&id, &|_| true)? {
            Some(mut chain) if is_over_full_chunk(&chain) => {
                let full = chain.pop().ok_or_else(missing)?;
                chain.reverse();
                // Of the rows of a chunk it is that of the chain.
                let chunk = chain.last().cloned().unwrap_or(chunk);
                Ok((full, chunk, chain))
            }
            _ => Ok((chunk.clone(), chunk, Vec::new())),
        },
    }
}

/// Whether a chain is deltas of chunks, and a full chunk below them.
fn is_over_full_chunk(chain: &[Located]) -> bool {
    let mut kinds = chain.iter().map(|located| located.row.kind);
    let Some((last, deltas)) = chain.split_last() else {
        return false;
    };
    let is_delta = |located: &Located| located.row.form.base().is_some();
    kinds.all(|kind| kind == BlobKind::Chunk)
        && last.row.form == Form::Full
        && deltas.iter().all(is_delta)
}
