//! What a run that died had sealed and not got up: it goes up before the next one begins, if it may.
//!
//! Spec: `format-spec/11-ordering.md`, N1.

use crate::format::layout;
use crate::format::pack::PackClass;
use crate::id::ObjectId;
use crate::repository::{RecordLoadError, Repository};
use crate::store::{ObjectKey, SpoolStore, StoreExt};
use std::collections::HashSet;

impl Repository {
    /// Lets what earlier processes left in their spools go up, behind whatever comes next, and
    /// returns how many bytes that are.
    ///
    /// Dropped instead is what a crash tore (its name is not that of its bytes), what is up already,
    /// and what a prune has named meanwhile: a name that was condemned is never put again.
    pub fn resume_spool(&self, spool: &SpoolStore) -> Result<u64, RecordLoadError> {
        let leftovers = spool.leftovers()?;
        if leftovers.is_empty() {
            return Ok(0);
        }
        let flags = self.load_flags()?;
        let named: HashSet<ObjectKey> = flags
            .prune_records
            .iter()
            .flat_map(|record| {
                let packs = record
                    .named
                    .packs
                    .iter()
                    .flat_map(|pack| PackClass::ALL.map(|class| layout::pack(class, pack)));
                let segments = record.named.segments.iter().map(layout::segment);
                packs.chain(segments).collect::<Vec<_>>()
            })
            .filter_map(|key| ObjectKey::new(key).ok())
            .collect();
        let mut bytes = 0;
        for leftover in leftovers {
            let key = &leftover.info.key;
            let content = spool.bytes(&leftover)?;
            let name = ObjectId(*blake3::hash(&content).as_bytes()).to_string();
            let is_whole = key.file_name() == name;
            if !is_whole || named.contains(key) || self.is_up(spool, key)? {
                spool.discard(&leftover)?;
                continue;
            }
            bytes += leftover.info.size;
            spool.resume(leftover);
        }
        Ok(bytes)
    }

    /// Whether the store itself has an object, not only the spool.
    fn is_up(&self, spool: &SpoolStore, key: &ObjectKey) -> Result<bool, RecordLoadError> {
        Ok(spool.behind().exists(key)?)
    }
}
