//! The engine in memory: for tests, for a directory that cannot be used, and for segments that
//! arrive while the cache on disk takes no changes. About 250 bytes a row, and no bound but that.

use crate::repository::index::engine::{
    Change, Cursor, Engine, EngineError, Family, Visit, segment_number,
};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

type MemoryEntry = (Box<[u8]>, Box<[u8]>);
type Entries = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Most entries a cursor copies at a time: it holds no lock between the pages.
const PAGE_ENTRIES: usize = 1024;

/// Maps, one for each family.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    families: [RwLock<Entries>; Family::ALL.len()],
}

impl Memory {
    fn read(&self, family: Family) -> RwLockReadGuard<'_, Entries> {
        let entries = &self.families[family as usize];
        entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, family: Family) -> RwLockWriteGuard<'_, Entries> {
        let entries = &self.families[family as usize];
        entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.read(family).get(key).map(|value| value.to_vec()))
    }

    fn visit_prefix(
        &self,
        family: Family,
        prefix: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let entries = self.read(family);
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (key, value) in entries.range::<[u8], _>(from) {
            if !key.starts_with(prefix) || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn cursor(&self, family: Family) -> Result<Box<dyn Cursor + '_>, EngineError> {
        let mut cursor = MemoryCursor {
            memory: self,
            family,
            page: Vec::new(),
            position: 0,
        };
        cursor.turn(None);
        Ok(Box::new(cursor))
    }

    fn write(&self, changes: Vec<Change>, _durable: bool) -> Result<(), EngineError> {
        for change in changes {
            match change {
                Change::Put(family, key, value) => {
                    self.change(family).insert(key.into(), value.into());
                }
                Change::Delete(family, key) => {
                    self.change(family).remove(key.as_slice());
                }
            }
        }
        Ok(())
    }

    fn ingest_blobs(
        &self,
        rows: &mut dyn Iterator<Item = ([u8; 40], Vec<u8>)>,
    ) -> Result<(), EngineError> {
        let rows = rows.map(|(key, value)| (Box::from(key), value.into()));
        self.change(Family::Blobs).extend(rows);
        Ok(())
    }

    fn retain_segments(&self, floor: u32, live: HashSet<u32>) {
        for family in Family::ALL {
            let Some(offset) = family.segment_offset() else {
                continue;
            };
            self.change(family).retain(|key, _| {
                segment_number(key, offset)
                    .is_none_or(|segment| segment >= floor || live.contains(&segment))
            });
        }
    }

    fn empty(&self, family: Family) -> Result<(), EngineError> {
        self.change(family).clear();
        Ok(())
    }

    fn condemn(&self) {}
}

struct MemoryCursor<'a> {
    memory: &'a Memory,
    family: Family,
    page: Vec<MemoryEntry>,
    position: usize,
}

impl MemoryCursor<'_> {
    fn turn(&mut self, after: Option<&[u8]>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.memory.read(self.family);
        let rest = entries.range::<[u8], _>((from, Bound::Unbounded));
        self.page = rest
            .take(PAGE_ENTRIES)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        self.position = 0;
    }
}

impl Cursor for MemoryCursor<'_> {
    fn current(&self) -> Option<(&[u8], &[u8])> {
        let (key, value) = self.page.get(self.position)?;
        Some((key, value))
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        self.position += 1;
        if self.position == PAGE_ENTRIES {
            let last = self.page.pop().map(|(key, _)| key);
            self.turn(last.as_deref());
        }
        Ok(())
    }
}
