//! What is moved: packs, and which of their rows live on.

use crate::id::{BlobId, PackId, WriterId};
use crate::prune::PruneError;
use crate::prune::inventory::Inventory;
use crate::prune::mark::Marks;
use crate::spill::{Bits, Sorted, Sorter};
use std::collections::HashSet;

/// The rows of a pack that live on.
pub(super) type LiveRows = HashSet<(BlobId, WriterId)>;

/// Bytes of a live row: pack 4, author 2, blob 32.
const LIVE: usize = 38;

/// Packs to be moved with their live rows.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// In order.
    packs: Vec<PackId>,
    authors: Vec<WriterId>,
    rows: Option<Sorted<LIVE>>,
}

impl Moves {
    /// Those of the catalog's packs that are `chosen`.
    pub(super) fn collect(
        inventory: &Inventory,
        marks: &Marks,
        chosen: &Bits,
    ) -> Result<Self, PruneError> {
        let mut places = vec![0u32; inventory.catalog.packs.len()];
        let mut packs = Vec::new();
        for (number, stored) in inventory.catalog.packs.iter().enumerate() {
            if chosen.get(number) {
                places[number] = packs.len() as u32;
                packs.push(stored.place.id);
            }
        }
        if packs.is_empty() {
            return Ok(Self::default());
        }
        let mut rows = Sorter::new(&inventory.scratch);
        inventory.for_each(&mut |number, row| {
            if marks.is_live(number) && chosen.get(row.pack as usize) {
                let mut record = [0; LIVE];
                record[..4].copy_from_slice(&places[row.pack as usize].to_be_bytes());
                record[4..6].copy_from_slice(&row.author.to_be_bytes());
                record[6..].copy_from_slice(row.id.as_bytes());
                rows.push(record)?;
            }
            Ok(())
        })?;
        Ok(Self {
            packs,
            authors: inventory.authors.clone(),
            rows: Some(rows.finish()?),
        })
    }

    /// Whether nothing is moved.
    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// The packs, in order.
    pub(super) fn packs(&self) -> &[PackId] {
        &self.packs
    }

    /// The rows of a pack that live on; none when it is not to be moved.
    pub(super) fn live_rows(&self, pack: &PackId) -> Result<Option<LiveRows>, PruneError> {
        let (Ok(place), Some(rows)) = (self.packs.binary_search(pack), &self.rows) else {
            return Ok(None);
        };
        let key = (place as u32).to_be_bytes();
        let mut live = LiveRows::new();
        let mut cursor = rows.cursor();
        cursor.seek(&key)?;
        while let Some(record) = cursor.take()? {
            let Some(rest) = record.strip_prefix(&key) else {
                break;
            };
            let author = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let author = self.authors.get(author).ok_or(PruneError::Mangled)?;
            let id = rest[2..].first_chunk().ok_or(PruneError::Mangled)?;
            live.insert((BlobId(*id), *author));
        }
        Ok(Some(live))
    }
}
