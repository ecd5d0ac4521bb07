//! placeholder until the cache lands
use crate::format::blob::BlobRow;
use crate::format::pack::PackClass;
use crate::format::segment::PackRows;
use crate::id::{BlobId, PackId, SegmentId, WriterId};
use std::collections::{HashMap, HashSet};
use std::sync::RwLock;

#[derive(Debug, thiserror::Error)]
#[error("index")]
pub struct IndexError;

#[derive(Debug, Clone)]
pub struct Located {
    pub row: BlobRow,
    pub pack: PackId,
    pub class: PackClass,
    pub pack_length: u32,
    pub author: WriterId,
    pub segment: SegmentId,
}

#[derive(Debug, Default)]
pub struct Index {
    rows: RwLock<HashMap<BlobId, Vec<Located>>>,
    loaded: RwLock<HashSet<SegmentId>>,
}

impl Index {
    pub fn missing(&self, listed: &[SegmentId]) -> Vec<SegmentId> {
        let l = self.loaded.read().unwrap();
        listed.iter().filter(|s| !l.contains(s)).copied().collect()
    }
    pub fn load(&self, segment: SegmentId, packs: &[PackRows]) -> Result<(), IndexError> {
        self.loaded.write().unwrap().insert(segment);
        let mut rows = self.rows.write().unwrap();
        for p in packs {
            for row in &p.rows {
                rows.entry(row.id).or_default().push(Located {
                    row: *row,
                    pack: p.pack,
                    class: p.class,
                    pack_length: p.length,
                    author: p.author,
                    segment,
                });
            }
        }
        Ok(())
    }
    pub fn set_visible(&self, _listed: &[SegmentId]) {}
    pub fn lookup(&self, id: &BlobId) -> Result<Vec<Located>, IndexError> {
        Ok(self
            .rows
            .read()
            .unwrap()
            .get(id)
            .cloned()
            .unwrap_or_default())
    }
}
