//! What the parent snapshot has at a path.

use crate::format::node::Child;
use crate::id::BlobId;
use crate::repository::{ReadError, Reader};
use crate::tree;
use std::collections::HashMap;

/// Entries of a directory that are kept: in a larger one every name is looked for by itself.
const ENTRIES_MAX: usize = 16_384;

/// The parent's tree, with the directory that was asked for last.
pub(super) struct ParentTree {
    root: Option<BlobId>,
    directory: Vec<u8>,
    /// Contents by name; `None` before the first question and for a directory that is too large.
    contents: Option<HashMap<Vec<u8>, Child>>,
}

impl ParentTree {
    /// The tree below a root directory, if there is a parent.
    pub(super) fn new(root: Option<BlobId>) -> Self {
        Self {
            root,
            directory: Vec::new(),
            contents: None,
        }
    }

    /// Whether there is a parent.
    pub(super) fn is_there(&self) -> bool {
        self.root.is_some()
    }

    /// The content of the file at this path; nothing where there is none. A parent that cannot be
    /// read is only a missed saving: `check` tells of its damage.
    pub(super) fn content(&mut self, path: &[u8], reader: &Reader<'_>) -> Result<Child, ReadError> {
        match self.look_up(path, reader) {
            Err(error) if error.is_damage() => Ok(Child::Nothing),
            found => found,
        }
    }

    fn look_up(&mut self, path: &[u8], reader: &Reader<'_>) -> Result<Child, ReadError> {
        let Some(root) = self.root else {
            return Ok(Child::Nothing);
        };
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (directory, name) = match slash {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&[][..], path),
        };
        if self.contents.is_none() || self.directory != directory {
            self.directory = directory.to_vec();
            self.contents = contents(root, directory, reader)?;
        }
        match &self.contents {
            Some(contents) => Ok(contents.get(name).copied().unwrap_or(Child::Nothing)),
            None => {
                let node = tree::find(reader, root, path)?;
                Ok(node.map_or(Child::Nothing, |node| node.child))
            }
        }
    }
}

/// Contents of a directory's files by name; none when there are too many of them.
fn contents(
    root: BlobId,
    directory: &[u8],
    reader: &Reader<'_>,
) -> Result<Option<HashMap<Vec<u8>, Child>>, ReadError> {
    let id = match directory {
        [] => Some(root),
        path => match tree::find(reader, root, path)? {
            Some(node) if node.is_directory() => match node.child {
                Child::Links { id, .. } => Some(id),
                _ => None,
            },
            _ => None,
        },
    };
    let mut contents = HashMap::new();
    if let Some(id) = id {
        let mut count = 0;
        tree::read_directory::<ReadError>(reader, id, &mut |node| {
            count += 1;
            if count <= ENTRIES_MAX && !node.is_directory() {
                contents.insert(node.name().to_vec(), node.child);
            }
            Ok(())
        })?;
        if count > ENTRIES_MAX {
            return Ok(None);
        }
    }
    Ok(Some(contents))
}
