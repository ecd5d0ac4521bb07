//! One engine with the segments that are loaded into it.

use crate::format::segment::PackRows;
use crate::id::SegmentId;
use crate::repository::index::encoding::{
    VERSION, blob_value, contents_value, id_key, listing_value, numbers_value, parse_numbers,
    place_key,
};
use crate::repository::index::engine::{Change, Engine, EngineError, Family};
use crate::repository::index::{Listing, Place};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Rows from which a segment is written as a sorted table of its own; below, as a batch.
const TABLE_ROWS: usize = 16_384;

/// Segment numbers reserved at a time: reserving waits for the disk.
const NUMBERS_RESERVED: u32 = 256;

const VERSION_KEY: &[u8] = b"version";
const NUMBERS_KEY: &[u8] = b"numbers";

/// A segment as it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Its number in this shelf.
    pub(crate) number: u32,
    /// Blob rows.
    pub(crate) rows: u32,
    /// Packs.
    pub(crate) packs: u32,
}

/// An engine, what is in it, and the numbers it can still give away.
pub(crate) struct Shelf {
    engine: Box<dyn Engine>,
    state: Mutex<State>,
    /// Loads share it; clearing, which would take away half of one, has it alone.
    clearing: RwLock<()>,
}

struct State {
    loaded: HashMap<SegmentId, Loaded>,
    /// Numbers of segments that are being loaded: not dead, though not loaded either.
    loading: HashSet<u32>,
    next: u32,
    reserved: u32,
    end: u32,
}

impl Shelf {
    /// Reads which segments are there. Numbers are given from `numbers`; two shelves of one index
    /// have different ones.
    pub(crate) fn open(engine: Box<dyn Engine>, numbers: Range<u32>) -> Result<Self, EngineError> {
        let shelf = Self::empty(engine, numbers);
        shelf.read_state()?;
        Ok(shelf)
    }

    /// Over an engine that is new.
    pub(crate) fn empty(engine: Box<dyn Engine>, numbers: Range<u32>) -> Self {
        Self {
            engine,
            state: Mutex::new(State {
                loaded: HashMap::new(),
                loading: HashSet::new(),
                next: numbers.start,
                reserved: numbers.start,
                end: numbers.end,
            }),
            clearing: RwLock::new(()),
        }
    }

    fn read_state(&self) -> Result<(), EngineError> {
        let mut state = self.state();
        if let Some(numbers) = self.engine.get(Family::Meta, NUMBERS_KEY)? {
            let [reserved] = parse_numbers(&numbers)?;
            state.reserved = reserved;
            state.next = reserved;
        }
        let version = self.engine.get(Family::Meta, VERSION_KEY)?;
        match version.as_deref().map(parse_numbers).transpose()? {
            Some([VERSION]) => {}
            Some(_) => return self.start_over(&mut state),
            None => return self.write_version(),
        }
        let mut cursor = self.engine.cursor(Family::Segments)?;
        while let Some((key, value)) = cursor.current() {
            let [number, rows, packs] = parse_numbers(value)?;
            if let Some(id) = key.first_chunk().filter(|_| key.len() == SegmentId::LENGTH) {
                let loaded = Loaded {
                    number,
                    rows,
                    packs,
                };
                state.loaded.insert(SegmentId(*id), loaded);
            }
            cursor.advance()?;
        }
        drop(cursor);
        self.retain(&state);
        Ok(())
    }

    fn start_over(&self, state: &mut State) -> Result<(), EngineError> {
        state.loaded.clear();
        // The marks go first: a crash in between must leave none without its rows.
        self.engine.empty(Family::Segments)?;
        for family in Family::ALL {
            // The numbers stay: a table that is being merged right now may outlive this.
            if !matches!(family, Family::Segments | Family::Meta) {
                self.engine.empty(family)?;
            }
        }
        self.retain(state);
        self.write_version()
    }

    fn write_version(&self) -> Result<(), EngineError> {
        let version = numbers_value([VERSION]);
        let change = Change::Put(Family::Meta, VERSION_KEY.to_vec(), version);
        self.engine.write(vec![change], true)
    }

    /// The engine, for reading.
    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The segment, where it is loaded.
    pub(crate) fn loaded(&self, segment: &SegmentId) -> Option<Loaded> {
        self.state().loaded.get(segment).copied()
    }

    /// Adds a segment. Until the last write is done it does not count; a segment that was loaded
    /// half is loaded again under another number.
    pub(crate) fn load(
        &self,
        segment: SegmentId,
        packs: &[PackRows],
    ) -> Result<Loaded, EngineError> {
        let _sharing = self.clearing.read().unwrap_or_else(PoisonError::into_inner);
        let number = self.start_number()?;
        let result = self.write_segment(segment, number, packs);
        let mut state = self.state();
        state.loading.remove(&number);
        // Two may have loaded it at once: the first one counts.
        result.map(|loaded| *state.loaded.entry(segment).or_insert(loaded))
    }

    fn write_segment(
        &self,
        segment: SegmentId,
        number: u32,
        packs: &[PackRows],
    ) -> Result<Loaded, EngineError> {
        let rows = packs.iter().map(|pack| pack.rows.len()).sum::<usize>();
        let mut changes = Vec::new();
        let mut blobs = sorted_blobs(number, packs);
        if rows >= TABLE_ROWS {
            self.engine.ingest_blobs(&mut blobs)?;
        } else {
            changes
                .extend(blobs.map(|(key, value)| Change::Put(Family::Blobs, key.to_vec(), value)));
        }
        push_packs(number, packs, &mut changes);
        let loaded = Loaded {
            number,
            rows: rows as u32,
            packs: packs.len() as u32,
        };
        changes.push(Change::Put(
            Family::Segments,
            segment.as_bytes().to_vec(),
            numbers_value([loaded.number, loaded.rows, loaded.packs]),
        ));
        self.engine.write(changes, false)?;
        Ok(loaded)
    }

    /// Forgets the segments that are not listed; their entries go when tables are merged.
    pub(crate) fn keep_only(&self, listed: &HashSet<SegmentId>) {
        let mut state = self.state();
        let gone: Vec<SegmentId> = state
            .loaded
            .keys()
            .filter(|id| !listed.contains(id))
            .copied()
            .collect();
        if gone.is_empty() {
            return;
        }
        let marks = gone
            .iter()
            .map(|id| Change::Delete(Family::Segments, id.as_bytes().to_vec()))
            .collect();
        // Where this fails they are loaded once more at the next start, and still not listed.
        let forgotten = self.engine.write(marks, false).is_ok();
        for id in &gone {
            state.loaded.remove(id);
        }
        if forgotten {
            self.retain(&state);
        }
    }

    /// Removes everything.
    pub(crate) fn clear(&self) -> Result<(), EngineError> {
        let _alone = self
            .clearing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.start_over(&mut self.state())
    }

    fn retain(&self, state: &State) {
        let loaded = state.loaded.values().map(|loaded| loaded.number);
        let live = loaded.chain(state.loading.iter().copied()).collect();
        self.engine.retain_segments(state.next, live);
    }

    fn start_number(&self) -> Result<u32, EngineError> {
        let mut state = self.state();
        if state.next == state.reserved {
            let reserved = state
                .reserved
                .checked_add(NUMBERS_RESERVED)
                .filter(|reserved| *reserved <= state.end)
                .ok_or(EngineError::ReadOnly)?;
            let change = Change::Put(
                Family::Meta,
                NUMBERS_KEY.to_vec(),
                numbers_value([reserved]),
            );
            self.engine.write(vec![change], true)?;
            state.reserved = reserved;
        }
        let number = state.next;
        state.next += 1;
        state.loading.insert(number);
        Ok(number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sorted_blobs(
    segment: u32,
    packs: &[PackRows],
) -> impl Iterator<Item = ([u8; 40], Vec<u8>)> + '_ {
    let mut rows: Vec<_> = packs
        .iter()
        .zip(0u32..)
        .flat_map(|(pack, position)| pack.rows.iter().map(move |row| (row, position)))
        .zip(0u32..)
        .map(|((row, pack), number)| (row, pack, number))
        .collect();
    rows.sort_unstable_by_key(|(row, _, number)| (row.id, *number));
    rows.into_iter().map(move |(row, pack, number)| {
        let key = id_key(row.id.as_bytes(), segment, number);
        (key, blob_value(row, pack))
    })
}

fn push_packs(segment: u32, packs: &[PackRows], changes: &mut Vec<Change>) {
    let mut first_row = 0;
    for (pack, position) in packs.iter().zip(0u32..) {
        let place = Place {
            segment,
            pack: position,
        };
        let listing = Listing {
            pack: pack.pack,
            class: pack.class,
            length: pack.length,
            author: pack.author,
            rows: pack.rows.len() as u32,
            place,
        };
        let key = place_key(place).to_vec();
        let contents = contents_value(first_row, &pack.rows);
        changes.push(Change::Put(Family::Contents, key.clone(), contents));
        let facts = listing_value(&listing, true);
        changes.push(Change::Put(Family::Packs, key, facts));
        let key = id_key(pack.pack.as_bytes(), segment, position).to_vec();
        let facts = listing_value(&listing, false);
        changes.push(Change::Put(Family::Listings, key, facts));
        first_row += listing.rows;
    }
}
