//! What is stored: packs as listed, segments with what they list, and every row, compactly.

use crate::env::Timestamp;
use crate::format::blob::{BlobKind, BlobRow, Codec, Form, encode_rows};
use crate::format::layout;
use crate::format::segment::PackRows;
use crate::id::{BlobId, DomainTag, PackId, SegmentId, WriterId};
use crate::limits;
use crate::prune::{Context, PruneError};
use crate::repository::Repository;
use crate::repository::gc::PackPlace;
use crate::store::StoreExt;
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};

/// No base, no row, no depth.
pub(super) const NONE: u32 = u32::MAX;
pub(super) const UNUSABLE: u8 = u8::MAX;

/// A pack that LIST shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredPack {
    pub(super) place: PackPlace,
    pub(super) modified: Option<Timestamp>,
}

/// One pack in one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    pub(super) pack: PackId,
    /// BLAKE3 of pack, author and rows: equal listings say the same.
    pub(super) digest: [u8; 32],
}

/// A segment and the packs it lists.
#[derive(Debug)]
pub(super) struct ListedSegment {
    pub(super) id: SegmentId,
    pub(super) listings: Vec<Listing>,
}

/// Packs and segments, without rows.
#[derive(Debug)]
pub(super) struct Catalog {
    /// Sorted by id.
    pub(super) packs: Vec<StoredPack>,
    pub(super) segments: Vec<ListedSegment>,
}

/// Is given a segment's domain and packs, and the catalog as far as it is known.
type VisitSegment<'v> =
    dyn FnMut(&Catalog, DomainTag, Vec<PackRows>) -> Result<(), PruneError> + 'v;

/// A row, 60 bytes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: BlobId,
    pub(super) pack: u32,
    /// While rows are collected an index of `bases`, then the first row of the base.
    base: u32,
    offset: u32,
    pub(super) stored: u32,
    plain: u32,
    pub(super) author: u16,
    key: u16,
    pub(super) kind: BlobKind,
    codec: Codec,
    is_member: bool,
}

/// Everything that the listed segments say about listed packs.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) catalog: Catalog,
    /// Sorted by id, then author, then pack.
    pub(super) rows: Vec<Row>,
    pub(super) authors: Vec<WriterId>,
    base_ids: Vec<BlobId>,
}

impl Catalog {
    /// Lists `index/`, then `packs/`: a pack whose segment is listed was stored before it.
    /// `visit` is given every segment's content.
    pub(super) fn load(
        repository: &Repository,
        context: Context<'_>,
        visit: &mut VisitSegment<'_>,
    ) -> Result<Self, PruneError> {
        let segments: Vec<SegmentId> = repository
            .store()
            .list_all(layout::SEGMENTS)?
            .iter()
            .filter_map(|info| info.key.file_name().parse().ok())
            .collect();
        let mut catalog = Self {
            packs: list_packs(repository)?,
            segments: Vec::with_capacity(segments.len()),
        };
        for id in segments {
            context.cancel.check()?;
            let (domain, packs) = match repository.load_segment_of_domain(id) {
                Ok(Some(content)) => content,
                Ok(None) => return Err(PruneError::Foreign(id)),
                // Gone since it was listed: what only it names does not resolve.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let listings = packs.iter().map(Listing::of).collect();
            catalog.segments.push(ListedSegment { id, listings });
            visit(&catalog, domain, packs)?;
        }
        Ok(catalog)
    }

    /// The number of a pack that is there.
    pub(super) fn number(&self, pack: PackId) -> Option<usize> {
        self.packs
            .binary_search_by_key(&pack, |stored| stored.place.id)
            .ok()
    }
}

fn list_packs(repository: &Repository) -> Result<Vec<StoredPack>, PruneError> {
    let mut packs = Vec::new();
    repository.store().list(layout::PACKS, &mut |info| {
        if let Some((class, id)) = layout::parse_pack(info.key.as_str()) {
            let length = u32::try_from(info.size).unwrap_or(u32::MAX);
            packs.push(StoredPack {
                place: PackPlace { id, class, length },
                modified: info.modified,
            });
        }
        ControlFlow::Continue(())
    })?;
    packs.sort_by_key(|stored| stored.place.id);
    packs.dedup_by_key(|stored| stored.place.id);
    Ok(packs)
}

impl Listing {
    pub(super) fn of(pack: &PackRows) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(pack.pack.as_bytes());
        bytes.extend_from_slice(pack.author.as_bytes());
        encode_rows(&pack.rows, &mut bytes);
        Self {
            pack: pack.pack,
            digest: *blake3::hash(&bytes).as_bytes(),
        }
    }
}

impl Inventory {
    /// Loads all segments. What lies in a pack of `absent` is passed over.
    pub(super) fn load(
        repository: &Repository,
        context: Context<'_>,
        absent: &HashSet<PackId>,
    ) -> Result<Self, PruneError> {
        let mut rows = Rows::default();
        let catalog = Catalog::load(repository, context, &mut |catalog, _, packs| {
            for pack in packs.iter().filter(|pack| !absent.contains(&pack.pack)) {
                if let Some(number) = catalog.number(pack.pack) {
                    rows.add(number, pack)?;
                }
            }
            Ok(())
        })?;
        rows.into_inventory(catalog)
    }

    /// The rows of a blob.
    pub(super) fn rows_of(&self, first: usize) -> Range<usize> {
        let id = self.rows[first].id;
        let length = self.rows[first..]
            .iter()
            .take_while(|row| row.id == id)
            .count();
        first..first + length
    }

    /// The first row of a blob.
    pub(super) fn find(&self, id: BlobId) -> Option<usize> {
        let first = self.rows.partition_point(|row| row.id < id);
        (self.rows.get(first)?.id == id).then_some(first)
    }

    /// The first row of a row's base, and the base's kind. `None`: it has none.
    pub(super) fn base(&self, row: &Row) -> Option<(usize, BlobKind)> {
        let kind = match row.is_member {
            true => BlobKind::Group,
            false => BlobKind::Chunk,
        };
        (row.base != NONE).then_some((row.base as usize, kind))
    }

    /// For every row how many steps it is from bases stored in full; [`UNUSABLE`] where it lies
    /// in an excluded pack, a base is missing, or the chain is deeper than readers go.
    pub(super) fn depths(&self, is_excluded: &dyn Fn(u32) -> bool) -> Vec<u8> {
        let mut depths: Vec<u8> = self
            .rows
            .iter()
            .map(|row| match row.base == NONE && !is_excluded(row.pack) {
                true => 0,
                false => UNUSABLE,
            })
            .collect();
        for depth in 1..=limits::DELTA_DEPTH_MAX as u8 {
            let mut changed = false;
            for number in 0..self.rows.len() {
                let row = &self.rows[number];
                if depths[number] != UNUSABLE || is_excluded(row.pack) {
                    continue;
                }
                let Some((base, kind)) = self.base(row) else {
                    continue;
                };
                if base >= self.rows.len() {
                    continue;
                }
                let stands = self
                    .rows_of(base)
                    .any(|base| depths[base] == depth - 1 && self.rows[base].kind == kind);
                if stands {
                    depths[number] = depth;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        depths
    }

    /// A full row as its segment had it.
    pub(super) fn full_row(&self, row: &Row) -> BlobRow {
        BlobRow {
            id: row.id,
            kind: row.kind,
            form: Form::Full,
            codec: row.codec,
            key: row.key,
            offset: row.offset,
            stored: row.stored,
            plain: row.plain,
        }
    }
}

/// Rows while they are collected.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Row>,
    authors: Vec<WriterId>,
    bases: Vec<BlobId>,
}

impl Rows {
    fn add(&mut self, pack_number: usize, pack: &PackRows) -> Result<(), PruneError> {
        let author = match self
            .authors
            .iter()
            .position(|author| *author == pack.author)
        {
            Some(author) => author,
            None => {
                self.authors.push(pack.author);
                self.authors.len() - 1
            }
        };
        let author = u16::try_from(author).map_err(|_| PruneError::TooLarge)?;
        let pack_number = small(pack_number)?;
        for row in &pack.rows {
            let base = match row.form.base() {
                None => NONE,
                Some(base) => {
                    // Members of a group follow each other.
                    if self.bases.last() != Some(&base) {
                        self.bases.push(base);
                    }
                    small(self.bases.len() - 1)?
                }
            };
            self.rows.push(Row {
                id: row.id,
                pack: pack_number,
                base,
                offset: row.offset,
                stored: row.stored,
                plain: row.plain,
                author,
                key: row.key,
                kind: row.kind,
                codec: row.codec,
                is_member: matches!(row.form, Form::Member { .. }),
            });
        }
        Ok(())
    }

    fn into_inventory(self, catalog: Catalog) -> Result<Inventory, PruneError> {
        let Self {
            mut rows,
            authors,
            bases,
        } = self;
        small(rows.len())?;
        let base_id = |row: &Row| bases.get(row.base as usize);
        let place = |row: &Row| (row.id, row.author, row.pack, row.offset);
        rows.sort_unstable_by_key(place);
        // A pack may be listed twice, by an old and a new segment.
        rows.dedup_by(|a, b| {
            place(a) == place(b)
                && (a.kind, a.stored, a.plain) == (b.kind, b.stored, b.plain)
                && base_id(a) == base_id(b)
        });
        let mut inventory = Inventory {
            catalog,
            rows,
            authors,
            base_ids: bases,
        };
        let firsts: Vec<u32> = inventory
            .base_ids
            .iter()
            .map(|base| match inventory.find(*base) {
                Some(first) => first as u32,
                // Past every row: a base that is not there.
                None => NONE - 1,
            })
            .collect();
        inventory.base_ids = Vec::new();
        for row in &mut inventory.rows {
            if let Some(first) = firsts.get(row.base as usize) {
                row.base = *first;
            }
        }
        Ok(inventory)
    }
}

fn small(number: usize) -> Result<u32, PruneError> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number < NONE - 1)
        .ok_or(PruneError::TooLarge)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
    use crate::format::pack::PackClass;
    use crate::format::segment::PackRows;
    use crate::id::{BlobId, PackId, WriterId};
    use crate::limits;
    use crate::prune::inventory::{Catalog, Inventory, Rows, UNUSABLE};

    fn row(id: u8, form: Form) -> BlobRow {
        BlobRow {
            id: BlobId([id; 32]),
            kind: BlobKind::Chunk,
            form,
            codec: Codec::Raw,
            key: 0,
            offset: u32::from(id),
            stored: 1,
            plain: 1,
        }
    }

    fn delta(id: u8, base: u8) -> BlobRow {
        let base = BlobId([base; 32]);
        row(
            id,
            Form::Delta {
                base,
                generation: 1,
            },
        )
    }

    fn inventory(packs: &[Vec<BlobRow>]) -> Inventory {
        let mut rows = Rows::default();
        for (number, pack) in packs.iter().enumerate() {
            let listing = PackRows {
                pack: PackId([number as u8; 32]),
                class: PackClass::Full,
                length: 100,
                author: WriterId([1; 16]),
                rows: pack.clone(),
            };
            // As by an old and a new segment: listed twice is listed once.
            rows.add(number, &listing).unwrap();
            rows.add(number, &listing).unwrap();
        }
        let catalog = Catalog {
            packs: Vec::new(),
            segments: Vec::new(),
        };
        rows.into_inventory(catalog).unwrap()
    }

    fn depth(inventory: &Inventory, depths: &[u8], id: u8) -> u8 {
        depths[inventory.find(BlobId([id; 32])).unwrap()]
    }

    #[test]
    fn a_delta_is_as_good_as_its_base() {
        let inventory = inventory(&[
            vec![row(1, Form::Full), delta(2, 1)],
            vec![delta(3, 2), delta(4, 99)],
            vec![delta(5, 6), delta(6, 5)],
        ]);
        assert_eq!(inventory.rows.len(), 6);
        let depths = inventory.depths(&|_| false);
        let all: Vec<u8> = (1..=6).map(|id| depth(&inventory, &depths, id)).collect();
        assert_eq!(all, [0, 1, 2, UNUSABLE, UNUSABLE, UNUSABLE]);
        let without = inventory.depths(&|pack| pack == 0);
        assert_eq!(depth(&inventory, &without, 3), UNUSABLE);
    }

    #[test]
    fn a_chain_ends_where_readers_give_up() {
        let mut rows = vec![row(0, Form::Full)];
        rows.extend((1..40).map(|id| delta(id, id - 1)));
        let inventory = inventory(&[rows]);
        let depths = inventory.depths(&|_| false);
        let last = limits::DELTA_DEPTH_MAX as u8;
        assert_eq!(depth(&inventory, &depths, last), last);
        assert_eq!(depth(&inventory, &depths, last + 1), UNUSABLE);
    }
}
