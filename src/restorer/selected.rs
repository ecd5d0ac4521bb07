//! The files that a restore would write, met in the order of their paths.

use crate::entry::EntryKind;
use crate::format::node::Child;
use crate::monitor::Cancel;
use crate::repository::{ReadError, Reader, Snapshot};
use crate::restorer::error::RestoreError;
use crate::restorer::run::Selection;
use crate::tree::{self, Descend, Node, Visitor, walk_with};

/// What is done with them.
pub(super) trait OnFiles {
    /// A regular file, by its path inside the snapshot.
    fn file(&mut self, path: &[u8], node: &Node) -> Result<(), RestoreError>;
    /// A directory that cannot be read; what is below it is passed over unless this fails.
    fn unreadable(&mut self, path: &[u8], error: ReadError) -> Result<(), RestoreError>;
}

/// Meets every regular file that is selected. A selected path that is not there has none.
pub(super) fn for_each_file(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    selection: &Selection<'_>,
    cancel: &Cancel,
    on: &mut dyn OnFiles,
) -> Result<(), RestoreError> {
    let path = &selection.path;
    let root = match path.is_empty() {
        true => snapshot.root,
        false => match tree::find(reader, snapshot.root, path)? {
            Some(node) => match node.child {
                Child::Links { id, .. } if node.is_directory() => id,
                _ => return on.file(path, &node),
            },
            None => return Ok(()),
        },
    };
    let mut files = Files { selection, on };
    walk_with(reader, root, cancel, &mut files)
}

struct Files<'s, 'f, 'o> {
    selection: &'s Selection<'f>,
    on: &'o mut dyn OnFiles,
}

impl Files<'_, '_, '_> {
    /// A path as seen from the snapshot's root.
    fn whole(&self, below: &[u8]) -> Vec<u8> {
        let path = &self.selection.path;
        match (path.is_empty(), below.is_empty()) {
            (true, _) => below.to_vec(),
            (_, true) => path.clone(),
            _ => [path, below].join(&b'/'),
        }
    }
}

impl Visitor<RestoreError> for Files<'_, '_, '_> {
    fn visit(&mut self, below: &[u8], node: &Node) -> Result<Descend, RestoreError> {
        let path = self.whole(below);
        if !(self.selection.wanted)(&path, node.is_directory()) {
            return Ok(Descend::Over);
        }
        if matches!(node.entry.entry.kind, EntryKind::File { .. }) {
            self.on.file(&path, node)?;
        }
        Ok(Descend::Into)
    }

    fn unreadable(&mut self, below: &[u8], error: ReadError) -> Result<(), RestoreError> {
        let path = self.whole(below);
        self.on.unreadable(&path, error)
    }
}
