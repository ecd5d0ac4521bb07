//! Whether all chunks that trees name can be had, found out by one merge instead of a search each.
//!
//! What the trees name is sorted, and so is the index; what resolves through a delta or a group
//! names its base, which is merged in turn. This proves that all is well. Where it is not, a walk
//! that looks every chunk up says what is missing, and which paths that hurts.

use crate::check::CheckError;
use crate::check::places::reaches;
use crate::check::view::View;
use crate::crypto::Role;
use crate::format::blob::{BlobKind, Form};
use crate::id::BlobId;
use crate::limits;
use crate::monitor::Cancel;
use crate::repository::index::{Entry, Index, LOCATIONS_MAX, Place};
use crate::spill::{Cursor, Scratch, Sorted, Sorter};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Blob 32, kind 1, plain length 4 (0: any).
const REFERENCE: usize = 37;

/// A pass over all rows costs as much as looking up this share of them.
const ROWS_A_LOOKUP: u64 = 16;

/// What trees name.
pub(super) struct References {
    sorter: Sorter<REFERENCE>,
    scratch: Scratch,
}

/// A reference, taken apart.
struct Wanted {
    id: BlobId,
    kind: BlobKind,
    /// `None`: any.
    length: Option<u32>,
}

fn encode(id: BlobId, kind: BlobKind, length: u32) -> [u8; REFERENCE] {
    let mut record = [0; REFERENCE];
    record[..32].copy_from_slice(id.as_bytes());
    record[32] = kind.role().number();
    record[33..].copy_from_slice(&length.to_be_bytes());
    record
}

impl Wanted {
    /// None: not what [`encode`] made.
    fn decode(record: &[u8; REFERENCE]) -> Option<Self> {
        let length = u32::from_be_bytes(*record.last_chunk()?);
        Some(Self {
            id: BlobId(*record.first_chunk()?),
            kind: BlobKind::from_role(Role::from_number(record[32])?)?,
            length: (length != 0).then_some(length),
        })
    }
}

impl References {
    pub(super) fn new(scratch: &Scratch) -> Self {
        Self {
            sorter: Sorter::new(scratch),
            scratch: scratch.clone(),
        }
    }

    /// Notes a chunk of `length` bytes. One that no chunk can have is noted as it is: no row has it.
    pub(super) fn note(&mut self, id: BlobId, length: u64) -> Result<(), CheckError> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Ok(self
            .sorter
            .push(encode(id, BlobKind::Chunk, length.max(1)))?)
    }

    /// Whether every one resolves, by whole packs of `view`. False says only that this is not the
    /// way to show it.
    pub(super) fn all_resolve(
        self,
        index: &Index,
        view: &View,
        cancel: &Cancel,
    ) -> Result<bool, CheckError> {
        let packs = Packs::of(index, view)?;
        let mut wanted = self.sorter.finish()?;
        for _ in 0..=limits::DELTA_DEPTH_MAX {
            if wanted.is_empty() {
                return Ok(true);
            }
            cancel.check()?;
            let mut step = Step {
                packs: &packs,
                beneath: Sorter::new(&self.scratch),
            };
            let resolved = match wanted.len() as u64 * ROWS_A_LOOKUP < packs.rows {
                true => step.look_up(index, &wanted)?,
                false => step.merge(index, &wanted)?,
            };
            if !resolved {
                return Ok(false);
            }
            wanted = step.beneath.finish()?;
        }
        Ok(wanted.is_empty())
    }
}

/// Packs that are there, by the place where the index lists them.
struct Packs {
    /// Bytes there, bytes listed.
    sizes: HashMap<Place, (u64, u64)>,
    /// Rows of the index.
    rows: u64,
}

impl Packs {
    fn of(index: &Index, view: &View) -> Result<Self, CheckError> {
        let mut sizes = HashMap::new();
        index.packs(&mut |listing| {
            if let Some(stored) = view.packs.get(&(listing.class, listing.pack)) {
                let sizes_of_it = (stored.size, u64::from(listing.length));
                sizes.insert(listing.place, sizes_of_it);
            }
            ControlFlow::Continue(())
        })?;
        Ok(Self {
            sizes,
            rows: index.stats().rows,
        })
    }

    /// Whether a row's pack is there and reaches as far as the row.
    fn gives(&self, entry: &Entry) -> bool {
        let sizes = self.sizes.get(&entry.place);
        sizes.is_some_and(|(there, listed)| reaches(&entry.row, *there, *listed))
    }
}

/// One step down: references, and what they rest on.
struct Step<'a> {
    packs: &'a Packs,
    beneath: Sorter<REFERENCE>,
}

impl Step<'_> {
    fn look_up(&mut self, index: &Index, wanted: &Sorted<REFERENCE>) -> Result<bool, CheckError> {
        let mut cursor = wanted.cursor();
        while let Some(record) = cursor.take()? {
            let Some(wanted) = Wanted::decode(&record) else {
                return Ok(false);
            };
            if !self.resolves(&wanted, &index.entries(&wanted.id)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn merge(&mut self, index: &Index, wanted: &Sorted<REFERENCE>) -> Result<bool, CheckError> {
        let mut cursor = wanted.cursor();
        let mut rows: Vec<Entry> = Vec::new();
        let mut outcome = Ok(true);
        index.for_each_entry(&mut |entry| {
            if rows.first().is_some_and(|row| row.row.id != entry.row.id) {
                outcome = self.settle(&mut cursor, &rows);
                rows.clear();
            }
            if rows.len() < LOCATIONS_MAX {
                rows.push(entry);
            }
            match outcome {
                Ok(true) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        })?;
        if !outcome? {
            return Ok(false);
        }
        Ok(self.settle(&mut cursor, &rows)? && cursor.peek()?.is_none())
    }

    /// Takes the references to the blob of these rows. False: one before them has no row at all, or
    /// one to them does not resolve.
    fn settle(
        &mut self,
        cursor: &mut Cursor<'_, REFERENCE>,
        rows: &[Entry],
    ) -> Result<bool, CheckError> {
        let Some(id) = rows.first().map(|entry| entry.row.id) else {
            return Ok(true);
        };
        while let Some(record) = cursor.peek()? {
            let Some(wanted) = Wanted::decode(&record) else {
                return Ok(false);
            };
            if wanted.id > id {
                break;
            }
            if wanted.id < id || !self.resolves(&wanted, rows)? {
                return Ok(false);
            }
            cursor.take()?;
        }
        Ok(true)
    }

    /// Whether one of the rows gives what is wanted, if what that rests on can be had.
    fn resolves(&mut self, wanted: &Wanted, rows: &[Entry]) -> Result<bool, CheckError> {
        let of_kind = || rows.iter().filter(|entry| entry.row.kind == wanted.kind);
        let other_length = |entry: &Entry| wanted.length.is_some_and(|l| l != entry.row.plain);
        if of_kind().any(other_length) {
            return Ok(false);
        }
        let giving = || of_kind().filter(|entry| self.packs.gives(entry));
        if giving().any(|entry| entry.row.form == Form::Full) {
            return Ok(true);
        }
        let best = giving().min_by_key(|entry| entry.row.form.generation());
        let beneath = match best.map(|entry| entry.row.form) {
            Some(Form::Delta { base, .. }) => encode(base, wanted.kind, 0),
            Some(Form::Member { group }) => encode(group, BlobKind::Group, 0),
            Some(Form::Full) | None => return Ok(false),
        };
        self.beneath.push(beneath)?;
        Ok(true)
    }
}
