//! What is stored: packs as listed, segments with what they list, and every row, sorted.

use crate::env::Timestamp;
use crate::format::blob::encode_rows;
use crate::format::layout;
use crate::format::segment::PackRows;
use crate::id::{DomainTag, PackId, SegmentId, WriterId};
use crate::prune::depth::BaseLinks;
use crate::prune::rows::{ROW, Row, RowCursor};
use crate::prune::{Context, PruneError};
use crate::repository::Repository;
use crate::repository::gc::PackPlace;
use crate::spill::{Scratch, Sorted, Sorter};
use crate::store::StoreExt;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// A pack that LIST shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredPack {
    pub(super) place: PackPlace,
    pub(super) modified: Option<Timestamp>,
    /// Domain and author of what it holds, as a segment says.
    pub(super) owner: Option<(DomainTag, WriterId)>,
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
    pub(super) domain: DomainTag,
    /// The write-only host that it is sealed for too.
    pub(super) host: Option<WriterId>,
    pub(super) rows: usize,
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

/// Everything that the listed segments say about listed packs.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) catalog: Catalog,
    /// Sorted by id, then kind, author, pack.
    pub(super) rows: Sorted<ROW>,
    pub(super) authors: Vec<WriterId>,
    pub(super) links: BaseLinks,
    pub(super) scratch: Scratch,
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
            let loaded = match repository.load_segment_to_move(id) {
                Ok(Some(content)) => content,
                Ok(None) => return Err(PruneError::Foreign(id)),
                // Gone since it was listed: what only it names does not resolve.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let (domain, packs) = (loaded.domain, loaded.packs);
            let listings = packs.iter().map(Listing::of).collect();
            for pack in &packs {
                if let Some(number) = catalog.number(pack.pack) {
                    let owner = &mut catalog.packs[number].owner;
                    owner.get_or_insert((domain, pack.author));
                }
            }
            catalog.segments.push(ListedSegment {
                id,
                domain,
                host: loaded.host.map(|host| host.author),
                rows: packs.iter().map(|pack| pack.rows.len()).sum(),
                listings,
            });
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
                owner: None,
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
        scratch: &Scratch,
    ) -> Result<Self, PruneError> {
        let mut rows = Rows::new(scratch);
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

    /// Reads the rows in order.
    pub(super) fn cursor(&self) -> RowCursor<'_> {
        RowCursor(self.rows.cursor())
    }

    /// Visits every row with its number, in order.
    pub(super) fn for_each(
        &self,
        visit: &mut dyn FnMut(usize, Row) -> Result<(), PruneError>,
    ) -> Result<(), PruneError> {
        let mut cursor = self.cursor();
        while let Some((number, row)) = cursor.next()? {
            visit(number, row)?;
        }
        Ok(())
    }
}

/// Rows while they are collected.
#[derive(Debug)]
struct Rows {
    scratch: Scratch,
    rows: Sorter<ROW>,
    count: u64,
    authors: Vec<WriterId>,
}

impl Rows {
    fn new(scratch: &Scratch) -> Self {
        Self {
            scratch: scratch.clone(),
            rows: Sorter::new(scratch),
            count: 0,
            authors: Vec::new(),
        }
    }

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
        let pack_number = u32::try_from(pack_number).map_err(|_| PruneError::TooLarge)?;
        self.count += pack.rows.len() as u64;
        if self.count > u64::from(u32::MAX) {
            return Err(PruneError::TooLarge);
        }
        for row in &pack.rows {
            // A pack may be listed twice, by an old and a new segment: equal rows become one.
            self.rows
                .push(Row::new(row, author, pack_number).encode())?;
        }
        Ok(())
    }

    fn into_inventory(self, catalog: Catalog) -> Result<Inventory, PruneError> {
        let rows = self.rows.finish()?;
        Ok(Inventory {
            catalog,
            links: BaseLinks::find(&rows, &self.scratch)?,
            rows,
            authors: self.authors,
            scratch: self.scratch,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
    use crate::format::pack::PackClass;
    use crate::format::segment::PackRows;
    use crate::id::{BlobId, PackId, WriterId};
    use crate::limits;
    use crate::prune::depth::UNUSABLE;
    use crate::prune::inventory::{Catalog, Inventory, Rows};
    use crate::spill::Scratch;
    use proptest::prelude::*;

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

    fn inventory(packs: &[Vec<BlobRow>], scratch: &Scratch) -> Inventory {
        let mut rows = Rows::new(scratch);
        for (number, pack) in packs.iter().enumerate() {
            let listing = PackRows {
                pack: PackId([number as u8; 32]),
                class: PackClass::Full,
                length: 100,
                author: WriterId([number as u8 % 2; 16]),
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

    /// Id, pack and depth of every row.
    fn depths(inventory: &Inventory, is_excluded: &dyn Fn(u32) -> bool) -> Vec<(u8, u32, u8)> {
        let column = inventory.depths(is_excluded).unwrap();
        let mut column = column.cursor();
        let mut depths = Vec::new();
        let mut visit = |number, row: crate::prune::rows::Row| {
            let depth = column.get(number).unwrap().unwrap();
            depths.push((row.id.0[0], row.pack, depth));
            Ok(())
        };
        inventory.for_each(&mut visit).unwrap();
        depths
    }

    #[test]
    fn a_delta_is_as_good_as_its_base() {
        let packs = [
            vec![row(1, Form::Full), delta(2, 1)],
            vec![delta(3, 2), delta(4, 99)],
            vec![delta(5, 6), delta(6, 5)],
        ];
        let inventory = inventory(&packs, &Scratch::default());
        assert_eq!(inventory.rows.len(), 6);
        let all = depths(&inventory, &|_| false);
        let all: Vec<u8> = all.iter().map(|(_, _, depth)| *depth).collect();
        assert_eq!(all, [0, 1, 2, UNUSABLE, UNUSABLE, UNUSABLE]);
        let without = depths(&inventory, &|pack| pack == 0);
        assert_eq!(without[2], (3, 1, UNUSABLE));
    }

    #[test]
    fn a_chain_ends_where_readers_give_up() {
        let mut rows = vec![row(0, Form::Full)];
        rows.extend((1..40).map(|id| delta(id, id - 1)));
        let inventory = inventory(&[rows], &Scratch::default());
        let depths = depths(&inventory, &|_| false);
        let last = limits::DELTA_DEPTH_MAX as u8;
        assert_eq!(depths[usize::from(last)].2, last);
        assert_eq!(depths[usize::from(last) + 1].2, UNUSABLE);
    }

    /// The same by trying until nothing changes.
    fn expected(packs: &[Vec<BlobRow>], excluded: usize) -> Vec<(u8, u32, u8)> {
        let mut rows: Vec<(BlobRow, usize, u8)> = Vec::new();
        for (number, pack) in packs.iter().enumerate() {
            rows.extend(pack.iter().map(|row| (*row, number, UNUSABLE)));
        }
        for depth in 0..=limits::DELTA_DEPTH_MAX as u8 {
            for number in 0..rows.len() {
                let (row, pack, own) = rows[number];
                let stands = match row.form.base() {
                    None => depth == 0,
                    Some(base) => rows
                        .iter()
                        .any(|(row, _, d)| row.id == base && d.checked_add(1) == Some(depth)),
                };
                if own == UNUSABLE && pack != excluded && stands {
                    rows[number].2 = depth;
                }
            }
        }
        let mut depths: Vec<_> = rows
            .iter()
            .map(|(row, pack, depth)| (row.id.0[0], *pack as u32, *depth))
            .collect();
        depths.sort_by_key(|(id, pack, _)| (*id, pack % 2, *pack));
        depths
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn depths_are_the_same_in_memory_spilled_and_by_trying(
            // Of each row its blob, its base (none if the same), and its pack.
            rows in proptest::collection::btree_set((0u8..50, 0u8..50, 0usize..4), 0..200),
            excluded in 0usize..6,
        ) {
            let mut packs = vec![Vec::new(); 4];
            for (id, base, pack) in rows {
                let one: &mut Vec<BlobRow> = &mut packs[pack];
                if one.iter().all(|row| row.id.0[0] != id) {
                    one.push(match id == base {
                        true => row(id, Form::Full),
                        false => delta(id, base),
                    });
                }
            }
            let directory = tempfile::tempdir().unwrap();
            let tiny = Scratch::in_directory(directory.path().into()).with_memory(900);
            for scratch in [Scratch::default(), tiny] {
                let inventory = inventory(&packs, &scratch);
                let depths = depths(&inventory, &|pack| pack as usize == excluded);
                prop_assert_eq!(depths, expected(&packs, excluded));
            }
        }
    }
}
