//! Finding rows: by id, by pack, and all of them in order.

use crate::format::blob::{BlobKind, BlobRow, Form};
use crate::format::wire::FormatError;
use crate::id::{BlobId, PackId, WriterId};
use crate::limits;
use crate::repository::index::encoding::{
    parse_blob, parse_contents, parse_id_key, parse_listing, place_key,
};
use crate::repository::index::engine::{Cursor, EngineError, Family, segment_number};
use crate::repository::index::shelf::Shelf;
use crate::repository::index::{Entry, Index, IndexError, Listing, Located, MEMORY_NUMBERS, Place};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Most rows of one id that are returned: honest ids have a few, and memory must be bounded.
pub const LOCATIONS_MAX: usize = 1024;

/// Receives entries; breaks or fails to end the walk.
type VisitOrFail<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, EngineError>;

impl Index {
    /// All visible rows of a blob, full forms first, then members, then deltas by generation; at most
    /// [`LOCATIONS_MAX`].
    pub fn lookup(&self, id: &BlobId) -> Result<Vec<Located>, IndexError> {
        let entries = self.entries(id)?;
        entries
            .into_iter()
            .filter_map(|entry| self.locate(&entry).transpose())
            .collect()
    }

    /// Like [`Self::lookup`], without the facts of packs.
    pub fn entries(&self, id: &BlobId) -> Result<Vec<Entry>, IndexError> {
        self.check_readable("looking up an id")?;
        let state = match self.recent.group(id) {
            Ok(mut rows) => {
                rows.retain(|entry| self.segment(entry.place.segment).is_some());
                return Ok(rows);
            }
            Err(state) => state,
        };
        let entries = self.read_entries(id)?;
        // Members of one group are asked for one after the other.
        if entries
            .iter()
            .any(|entry| entry.row.kind == BlobKind::Group)
        {
            self.recent.keep_group(state, *id, &entries);
        }
        Ok(entries)
    }

    fn read_entries(&self, id: &BlobId) -> Result<Vec<Entry>, IndexError> {
        let mut entries = Vec::new();
        self.visit_id(Family::Blobs, id.as_bytes(), |place_segment, _, value| {
            let (row, pack) = parse_blob(id.as_bytes(), value)?;
            let place = Place {
                segment: place_segment,
                pack,
            };
            entries.push(Entry { row, place });
            Ok(if entries.len() < LOCATIONS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        entries.sort_by_key(|entry| match entry.row.form {
            Form::Full => (0, 0),
            Form::Member { .. } => (1, 0),
            Form::Delta { generation, .. } => (2, generation),
        });
        Ok(entries)
    }

    /// Whether any visible row has this id, whatever its form. An absent id mostly costs a look at
    /// the filters.
    pub fn contains(&self, id: &BlobId) -> Result<bool, IndexError> {
        let mut found = false;
        self.visit_id(Family::Blobs, id.as_bytes(), |_, _, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Adds the facts of its pack to a row; none when its segment is no longer visible.
    pub fn locate(&self, entry: &Entry) -> Result<Option<Located>, IndexError> {
        let Some(segment) = self.segment(entry.place.segment) else {
            return Ok(None);
        };
        let listing = self
            .read_listing(entry.place)
            .map_err(|error| self.unreadable("looking up a pack", error))?;
        Ok(Some(Located {
            row: entry.row,
            pack: listing.pack,
            class: listing.class,
            pack_length: listing.length,
            author: listing.author,
            segment,
        }))
    }

    fn read_listing(&self, place: Place) -> Result<Listing, EngineError> {
        if let Some(listing) = self.recent.listing(place) {
            return Ok(listing);
        }
        let key = place_key(place);
        let engine = self.shelf(place.segment)?.engine();
        let value = engine
            .get(Family::Packs, &key)?
            .ok_or_else(|| FormatError::new("index cache row", "names a pack that is not there"))?;
        let listing = parse_listing(place, None, &value)?;
        self.recent.keep_listing(listing);
        Ok(listing)
    }

    /// Visits all visible rows in order of their ids. Rows come without the facts of their packs:
    /// [`Self::packs`] gives those once, [`Self::locate`] one at a time (microseconds each).
    pub fn for_each_entry(
        &self,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        self.merge(Family::Blobs, &mut |key, value| {
            let (id, segment, _) = parse_id_key(key)?;
            let (row, pack) = parse_blob(&id, value)?;
            let place = Place { segment, pack };
            Ok(visit(Entry { row, place }))
        })
    }

    /// Like [`Self::for_each_entry`], with the facts of packs.
    pub fn for_each_sorted(
        &self,
        visit: &mut dyn FnMut(Located) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        let mut failure = None;
        self.for_each_entry(&mut |entry| match self.locate(&entry) {
            Ok(Some(located)) => visit(located),
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Visits the packs of visible segments in order of their ids. One that several segments list
    /// comes once for each, in a row.
    pub fn packs(
        &self,
        visit: &mut dyn FnMut(Listing) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        self.merge(Family::Listings, &mut |key, value| {
            let (id, segment, pack) = parse_id_key(key)?;
            Ok(visit(parse_listing(
                Place { segment, pack },
                Some(id),
                value,
            )?))
        })
    }

    /// Whether a visible segment of this writer lists a pack.
    pub fn is_listed_by(&self, pack: &PackId, writer: WriterId) -> Result<bool, IndexError> {
        let mut found = false;
        self.visit_id(
            Family::Listings,
            pack.as_bytes(),
            |segment, number, value| {
                let place = Place {
                    segment,
                    pack: number,
                };
                found = parse_listing(place, Some(pack.0), value)?.author == writer;
                Ok(match found {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            },
        )?;
        Ok(found)
    }

    /// The rows of one pack as visible segments list them, in the pack's order; a row that several
    /// segments list comes once. At most [`limits::PACK_ROWS_MAX`].
    pub fn rows_of_pack(&self, pack: &PackId) -> Result<Vec<Located>, IndexError> {
        let mut places = Vec::new();
        self.visit_id(Family::Listings, pack.as_bytes(), |segment, pack, _| {
            places.push(Place { segment, pack });
            Ok(ControlFlow::Continue(()))
        })?;
        let mut seen = HashSet::new();
        let mut located = Vec::new();
        for place in places {
            let rows = self
                .read_contents(place)
                .map_err(|error| self.unreadable("listing a pack", error))?;
            for row in rows {
                if located.len() < limits::PACK_ROWS_MAX && seen.insert(row) {
                    located.extend(self.locate(&Entry { row, place })?);
                }
            }
        }
        Ok(located)
    }

    fn read_contents(&self, place: Place) -> Result<Vec<BlobRow>, EngineError> {
        let engine = self.shelf(place.segment)?.engine();
        let absent = || FormatError::new("index cache pack", "lists what is not there");
        let contents = engine
            .get(Family::Contents, &place_key(place))?
            .ok_or_else(absent)?;
        let mut rows = Vec::new();
        for key in parse_contents(place.segment, &contents)? {
            let value = engine.get(Family::Blobs, &key)?.ok_or_else(absent)?;
            let (id, _, _) = parse_id_key(&key)?;
            rows.push(parse_blob(&id, &value)?.0);
        }
        Ok(rows)
    }

    fn shelf(&self, segment: u32) -> Result<&Shelf, EngineError> {
        match &self.disk {
            _ if segment >= MEMORY_NUMBERS => Ok(&self.memory),
            Some(disk) => Ok(disk),
            None => Err(FormatError::new("index cache row", "names no segment").into()),
        }
    }

    /// Visits the visible entries under an id: segment number, second number, value.
    fn visit_id(
        &self,
        family: Family,
        id: &[u8; 32],
        mut visit: impl FnMut(u32, u32, &[u8]) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<(), IndexError> {
        const OPERATION: &str = "looking up an id";
        self.check_readable(OPERATION)?;
        for shelf in self.shelves() {
            let mut result = Ok(ControlFlow::Continue(()));
            shelf
                .engine()
                .visit_prefix(family, id, &mut |key, value| {
                    result = parse_id_key(key).map_err(EngineError::from).and_then(
                        |(_, segment, number)| match self.segment(segment) {
                            Some(_) => visit(segment, number, value),
                            None => Ok(ControlFlow::Continue(())),
                        },
                    );
                    match result {
                        Ok(flow) => flow,
                        Err(_) => ControlFlow::Break(()),
                    }
                })
                .map_err(|error| self.unreadable(OPERATION, error))?;
            if result
                .map_err(|error| self.unreadable(OPERATION, error))?
                .is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Visits a family's visible entries, all shelves together, in order of their keys.
    fn merge(&self, family: Family, visit: VisitOrFail<'_>) -> Result<(), IndexError> {
        const OPERATION: &str = "walking the index";
        self.check_readable(OPERATION)?;
        let mut walk = || {
            let mut cursors = Vec::new();
            for shelf in self.shelves() {
                cursors.push(shelf.engine().cursor(family)?);
            }
            while let Some(cursor) = least(&mut cursors) {
                if let Some((key, value)) = cursor.current()
                    && self.is_visible(family, key)
                    && visit(key, value)?.is_break()
                {
                    break;
                }
                cursor.advance()?;
            }
            Ok(())
        };
        walk().map_err(|error| self.unreadable(OPERATION, error))
    }

    fn is_visible(&self, family: Family, key: &[u8]) -> bool {
        family
            .segment_offset()
            .and_then(|offset| segment_number(key, offset))
            .is_some_and(|number| self.segment(number).is_some())
    }
}

/// The cursor whose entry comes first.
fn least<'a, 'b>(cursors: &'a mut [Box<dyn Cursor + 'b>]) -> Option<&'a mut Box<dyn Cursor + 'b>> {
    cursors
        .iter_mut()
        .filter(|cursor| cursor.current().is_some())
        .min_by(|a, b| {
            let (a, b) = (a.current(), b.current());
            a.map(|(key, _)| key).cmp(&b.map(|(key, _)| key))
        })
}
