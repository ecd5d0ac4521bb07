//! Step 8: snapshots go first, then segments, then packs.

use crate::format::layout;
use crate::format::protocol::Condemned;
use crate::id::PackId;
use crate::monitor::Unit;
use crate::prune::PruneError;
use crate::prune::execute::{Pruned, Round};
use crate::repository::gc::PackPlace;
use crate::store::{ObjectKey, StoreError, StoreErrorKind};
use std::collections::HashMap;

impl Round<'_> {
    /// Deletes what a `delete` that counts names.
    pub(super) fn delete(
        &self,
        delete: &Condemned,
        places: &HashMap<PackId, PackPlace>,
        pruned: &mut Pruned,
    ) -> Result<(), PruneError> {
        let store = self.repository.store();
        let total = Some(delete.packs.len() as u64);
        self.context
            .monitor
            .phase("deleting packs", Unit::Items, total);
        for snapshot in &delete.snapshots {
            store.delete(&key(layout::snapshot(snapshot))?)?;
            pruned.snapshots += 1;
        }
        store.barrier()?;
        for segment in &delete.segments {
            store.delete(&key(layout::segment(segment))?)?;
            pruned.segments += 1;
        }
        store.barrier()?;
        for pack in &delete.packs {
            let Some(place) = places.get(pack) else {
                continue;
            };
            self.context.cancel.check()?;
            self.session.beat(self.repository)?;
            store.delete(&key(layout::pack(place.class, pack))?)?;
            pruned.packs += 1;
            pruned.bytes_freed += u64::from(place.length);
            self.context.monitor.advance(1);
        }
        Ok(store.barrier()?)
    }
}

/// Keys made by `layout` from ids are valid by construction; anything else is refused.
pub(super) fn key(text: String) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(text).map_err(|invalid| {
        StoreError::new(
            StoreErrorKind::Permanent,
            "name",
            invalid.0.clone(),
            String::new(),
            invalid,
        )
    })
}
