//! Which packs a restore reads: found out from metadata and the index, without reading any.

use crate::format::pack::PackClass;
use crate::id::PackId;
use crate::monitor::Cancel;
use crate::repository::{ReadError, Reader, Snapshot};
use crate::restorer::error::RestoreError;
use crate::restorer::run::Selection;
use crate::restorer::selected::{OnFiles, for_each_file};
use crate::tree::{Node, for_each_piece};
use std::collections::HashMap;

/// The packs with the contents that are selected, what deltas stand on included. What cannot be
/// found is left out: the restore itself says what is damaged.
pub fn packs_needed(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    selection: &Selection<'_>,
    cancel: &Cancel,
) -> Result<HashMap<PackId, PackClass>, RestoreError> {
    let mut needed = Needed {
        reader,
        packs: HashMap::new(),
    };
    for_each_file(reader, snapshot, selection, cancel, &mut needed)?;
    Ok(needed.packs)
}

struct Needed<'r, 'a> {
    reader: &'r Reader<'a>,
    packs: HashMap<PackId, PackClass>,
}

impl OnFiles for Needed<'_, '_> {
    fn file(&mut self, _: &[u8], node: &Node) -> Result<(), RestoreError> {
        for_each_piece(self.reader, node.child, &mut |piece| {
            let Some(chunk) = piece.chunk else {
                return Ok(());
            };
            let chain = self.reader.index().chain(&chunk, &|_| true);
            for located in chain.map_err(ReadError::from)?.unwrap_or_default() {
                self.packs.insert(located.pack, located.class);
            }
            Ok(())
        })
    }

    fn unreadable(&mut self, _: &[u8], error: ReadError) -> Result<(), RestoreError> {
        Err(error.into())
    }
}
