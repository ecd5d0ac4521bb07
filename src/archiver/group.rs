//! Small files: hashed at once, compressed together.

use crate::archiver::workers::{Job, Workers};
use crate::format::blob::BlobKind;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::limits;
use crate::repository::{Known, WriteError};

/// Files below this size, bytes, go into groups: by themselves they compress badly and cost more
/// in seals and rows than in content.
pub(super) const GROUPED_BELOW: usize = 64 << 10;

/// Bytes after which a group is closed: what restoring one small file has to read at most. With
/// [`limits::NODE_CHILDREN_MAX`] members it is closed too: tables of packs leave room for no more.
const GROUP_BYTES: usize = 512 << 10;

/// Collects small chunks that this session owes.
#[derive(Default)]
pub(super) struct Grouper {
    plain: Vec<u8>,
    members: Vec<(BlobId, u32)>,
}

impl Grouper {
    /// Stores a small file's content unless it is known.
    pub(super) fn push(
        &mut self,
        content: &[u8],
        workers: &Workers<'_>,
    ) -> Result<Child, WriteError> {
        let id = workers
            .session()
            .domain()
            .ids
            .blob_id(BlobKind::Chunk.role(), content);
        if workers.session().claim(id, BlobKind::Chunk)? == Known::No {
            let is_full = self.plain.len() + content.len() > GROUP_BYTES
                || self.members.len() >= limits::NODE_CHILDREN_MAX;
            if is_full {
                self.flush(workers)?;
            }
            self.plain.extend_from_slice(content);
            self.members.push((id, content.len() as u32));
        }
        Ok(Child::Chunk {
            id,
            length: content.len() as u64,
        })
    }

    /// Closes the group under construction.
    pub(super) fn flush(&mut self, workers: &Workers<'_>) -> Result<(), WriteError> {
        if self.members.is_empty() {
            return Ok(());
        }
        let mut next = workers.buffer();
        next.clear();
        let plain = std::mem::replace(&mut self.plain, next);
        let members = std::mem::take(&mut self.members);
        workers.send(Job::Group { plain, members })
    }
}
