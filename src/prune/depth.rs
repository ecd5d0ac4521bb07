//! How many deltas each row is away from what is stored in full. Computed, never believed.
//!
//! The rows that stand on others are found their bases by one merge, and followed by numbers from
//! then on: a byte a row while depths are computed, nothing after that.

use crate::limits;
use crate::prune::PruneError;
use crate::prune::inventory::Inventory;
use crate::prune::rows::{KEY, ROW, Row, RowCursor, blob_key};
use crate::spill::{Column, ColumnWriter, Scratch, Sorted, Sorter};

/// The depth of what cannot be read.
pub(super) const UNUSABLE: u8 = u8::MAX;

/// A row that stands on a blob: key of the base, row, first row of its own blob, pack.
const WAITING: usize = KEY + 12;

/// The same with the base's first row: row, own first row, pack, base's first row.
const LINK: usize = 16;

/// The rows that stand on blobs that are there, in the order of rows.
#[derive(Debug)]
pub(super) struct BaseLinks(Sorted<LINK>);

/// One of them, all by numbers.
struct Link {
    row: usize,
    own: usize,
    pack: u32,
    base: usize,
}

impl BaseLinks {
    pub(super) fn find(rows: &Sorted<ROW>, scratch: &Scratch) -> Result<Self, PruneError> {
        let mut waiting = Sorter::<WAITING>::new(scratch);
        for_each_of_blob(rows, &mut |first, number, row| {
            if let Some((base, kind)) = row.base {
                let mut record = [0; WAITING];
                record[..KEY].copy_from_slice(&blob_key(base, kind));
                record[KEY..].copy_from_slice(&numbers([number as u32, first as u32, row.pack]));
                waiting.push(record)?;
            }
            Ok(())
        })?;
        let waiting = waiting.finish()?;
        let mut waiting = waiting.cursor();
        let mut links = Sorter::<LINK>::new(scratch);
        let mut bases = rows.cursor();
        let mut current: Option<([u8; KEY], Option<usize>)> = None;
        while let Some(record) = waiting.take()? {
            let Some((key, rest)) = record.split_first_chunk::<KEY>() else {
                continue;
            };
            let base = match current {
                Some((last, base)) if last == *key => base,
                _ => {
                    bases.seek(key)?;
                    let found = bases.peek()?.is_some_and(|row| row[..KEY] == *key);
                    found.then(|| bases.position())
                }
            };
            current = Some((*key, base));
            if let Some(base) = base {
                let mut link = [0; LINK];
                link[..12].copy_from_slice(rest);
                link[12..].copy_from_slice(&(base as u32).to_be_bytes());
                links.push(link)?;
            }
        }
        Ok(Self(links.finish()?))
    }

    fn for_each(&self, visit: &mut dyn FnMut(Link)) -> Result<(), PruneError> {
        let mut cursor = self.0.cursor();
        while let Some(link) = cursor.take()? {
            visit(Link::decode(&link));
        }
        Ok(())
    }
}

impl Link {
    fn decode(link: &[u8; LINK]) -> Self {
        let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| link[at + byte]));
        Self {
            row: number(0) as usize,
            own: number(4) as usize,
            pack: number(8),
            base: number(12) as usize,
        }
    }
}

fn numbers(numbers: [u32; 3]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (bytes, number) in bytes.chunks_exact_mut(4).zip(numbers) {
        bytes.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Visits every row: number of its blob's first row, its own number, itself.
fn for_each_of_blob(
    rows: &Sorted<ROW>,
    visit: &mut dyn FnMut(usize, usize, Row) -> Result<(), PruneError>,
) -> Result<(), PruneError> {
    let mut cursor = RowCursor(rows.cursor());
    let (mut first, mut last) = (0, None);
    while let Some((number, row)) = cursor.next()? {
        if last != Some((row.id, row.kind)) {
            first = number;
            last = Some((row.id, row.kind));
        }
        visit(first, number, row)?;
    }
    Ok(())
}

impl Inventory {
    /// For every row how many steps it is from bases stored in full; [`UNUSABLE`] where it lies
    /// in an excluded pack, a base is missing, or the chain is deeper than readers go.
    pub(super) fn depths(&self, is_excluded: &dyn Fn(u32) -> bool) -> Result<Column, PruneError> {
        // The least depth of each blob, at the number of its first row.
        let mut least = vec![UNUSABLE; self.rows.len()];
        for_each_of_blob(&self.rows, &mut |first, _, row| {
            if row.base.is_none() && !is_excluded(row.pack) {
                least[first] = 0;
            }
            Ok(())
        })?;
        for depth in 1..=limits::DELTA_DEPTH_MAX as u8 {
            let mut changed = false;
            self.links.for_each(&mut |link| {
                let stands = least[link.base] == depth - 1 && !is_excluded(link.pack);
                if stands && least[link.own] == UNUSABLE {
                    least[link.own] = depth;
                    changed = true;
                }
            })?;
            if !changed {
                break;
            }
        }
        self.depths_of_rows(&least, is_excluded)
    }

    fn depths_of_rows(
        &self,
        least: &[u8],
        is_excluded: &dyn Fn(u32) -> bool,
    ) -> Result<Column, PruneError> {
        let mut depths = ColumnWriter::new(&self.scratch);
        let mut links = self.links.0.cursor();
        self.for_each(&mut |number, row| {
            let link = links.peek()?.map(|link| Link::decode(&link));
            let link = link.filter(|link| link.row == number);
            if link.is_some() {
                links.take()?;
            }
            let depth = match (row.base, link) {
                _ if is_excluded(row.pack) => UNUSABLE,
                (None, _) => 0,
                (Some(_), Some(link)) if u32::from(least[link.base]) < limits::DELTA_DEPTH_MAX => {
                    least[link.base] + 1
                }
                (Some(_), _) => UNUSABLE,
            };
            Ok(depths.push(depth)?)
        })?;
        Ok(depths.finish()?)
    }
}
