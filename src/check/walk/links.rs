//! Walking snapshots of which only the links open: what maintenance can know. Everything that the
//! links name must be there; no path is known, so damage hurts all of a snapshot.

use crate::check::CheckError;
use crate::check::walk::{Causes, CleanNodes, Walk, read_error_is_damage, unlisted, visit_key};
use crate::format::blob::BlobKind;
use crate::format::layout;
use crate::format::node::{Child, Links, NodeKind};
use crate::id::{BlobId, SnapshotId};
use crate::limits;
use crate::repository::ReadError;
use crate::repository::gc::{PackPlace, PackSource};
use crate::repository::index::Located;

impl Walk<'_> {
    /// Walks the links of these snapshots, every node once; where something is wrong, once for each
    /// snapshot, to know whom it hurts.
    pub(super) fn links(&mut self, snapshots: &[(SnapshotId, BlobId)]) -> Result<(), CheckError> {
        let before = std::mem::take(&mut self.findings);
        for (id, root) in snapshots {
            self.links_below(*id, *root)?;
        }
        let is_whole = self.findings.is_empty();
        self.findings = before;
        if is_whole {
            return Ok(());
        }
        for (id, root) in snapshots {
            self.clean = CleanNodes::default();
            self.links_below(*id, *root)?;
        }
        Ok(())
    }

    fn links_below(&mut self, snapshot: SnapshotId, root: BlobId) -> Result<(), CheckError> {
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            self.cancel.check()?;
            let key = visit_key(id, NodeKind::Directory, None, 0);
            if self.clean.contains(&key) {
                continue;
            }
            self.clean.insert(key);
            let causes = match self.read_links(id)? {
                Ok(links) => self.named(&links, &mut stack)?,
                Err(causes) => causes,
            };
            for cause in causes {
                self.findings.hurt_subtree(cause, snapshot, b"");
            }
        }
        Ok(())
    }

    /// What stands in the way of what a node names; nodes below it go on the stack.
    fn named(&mut self, links: &Links, stack: &mut Vec<BlobId>) -> Result<Causes, CheckError> {
        let mut causes = Causes::new();
        if !links.body.is_zero() {
            causes.extend(self.resolve(links.body, BlobKind::NodeBody, limits::DELTA_DEPTH_MAX)?);
        }
        for child in &links.children {
            match child {
                Child::Chunk { id, length } => causes.extend(self.chunk(*id, *length)?),
                Child::Links { id, .. } => stack.push(*id),
                Child::Nothing | Child::Hole { .. } => {}
            }
        }
        Ok(causes)
    }

    /// Opens a links blob in whichever of its places is whole. Its id cannot be verified.
    fn read_links(&mut self, id: BlobId) -> Result<Result<Links, Causes>, CheckError> {
        let causes = self.resolve(id, BlobKind::NodeLinks, limits::DELTA_DEPTH_MAX)?;
        if !causes.is_empty() {
            return Ok(Err(causes));
        }
        let mut located = self.reader.index().lookup(&id)?;
        located.retain(|located| located.row.kind == BlobKind::NodeLinks);
        let mut causes = Causes::new();
        for located in located {
            match self.open_links(&located) {
                Ok(links) => return Ok(Ok(links)),
                Err(error) if read_error_is_damage(&error) => {
                    causes.push(crate::check::findings::Cause {
                        object: layout::pack(located.class, &located.pack),
                        what: crate::explain::explain(&error),
                        blob: Some(id),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        if causes.is_empty() {
            causes.push(unlisted(id));
        }
        Ok(Err(causes))
    }

    fn open_links(&mut self, located: &Located) -> Result<Links, ReadError> {
        let place = PackPlace {
            id: located.pack,
            class: located.class,
            length: located.pack_length,
        };
        let (heads, repository) = (&mut self.heads, self.reader.repository());
        if !heads.contains_key(&place.id) {
            if heads.len() >= HEADS_MAX {
                heads.clear();
            }
            heads.insert(place.id, PackSource::open(repository, place)?);
        }
        match heads.get(&place.id) {
            Some(source) => Ok(source.read_links(&located.row)?.0),
            None => Err(ReadError::Missing(located.row.id)),
        }
    }
}

/// Heads of packs that are kept.
const HEADS_MAX: usize = 256;
