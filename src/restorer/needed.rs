//! Which packs a restore reads: found out from metadata and the index, without reading any.

use crate::entry::EntryKind;
use crate::format::node::Child;
use crate::format::pack::PackClass;
use crate::id::PackId;
use crate::monitor::Cancel;
use crate::repository::{Reader, Snapshot};
use crate::restorer::error::RestoreError;
use crate::restorer::run::Selection;
use crate::tree::{self, Descend, Node, for_each_piece, walk};
use std::collections::HashMap;

/// The packs with the contents that are selected, what deltas stand on included. What cannot be
/// found is left out: the restore itself says what is damaged.
pub fn packs_needed(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    selection: &Selection<'_>,
    cancel: &Cancel,
) -> Result<HashMap<PackId, PackClass>, RestoreError> {
    let mut packs = HashMap::new();
    let path = &selection.path;
    let root = match path.is_empty() {
        true => snapshot.root,
        false => match tree::find(reader, snapshot.root, path)? {
            Some(node) => match node.child {
                Child::Links { id, .. } if node.is_directory() => id,
                content => {
                    note(reader, content, &mut packs)?;
                    return Ok(packs);
                }
            },
            None => return Ok(packs),
        },
    };
    let mut visit = |below: &[u8], node: &Node| -> Result<Descend, RestoreError> {
        let whole = match path.is_empty() {
            true => below.to_vec(),
            false => [path, below].join(&b'/'),
        };
        if !(selection.wanted)(&whole, node.is_directory()) {
            return Ok(Descend::Over);
        }
        if matches!(node.entry.entry.kind, EntryKind::File { .. }) {
            note(reader, node.child, &mut packs)?;
        }
        Ok(Descend::Into)
    };
    walk(reader, root, cancel, &mut visit, &mut |_, _| Ok(()))?;
    Ok(packs)
}

fn note(
    reader: &Reader<'_>,
    content: Child,
    packs: &mut HashMap<PackId, PackClass>,
) -> Result<(), RestoreError> {
    for_each_piece(reader, content, &mut |piece| {
        let Some(chunk) = piece.chunk else {
            return Ok(());
        };
        let chain = reader.index().chain(&chunk, &|_| true);
        for located in chain
            .map_err(crate::repository::ReadError::from)?
            .unwrap_or_default()
        {
            packs.insert(located.pack, located.class);
        }
        Ok(())
    })
}
