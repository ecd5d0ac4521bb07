//! Loading and storing index segments.

use crate::crypto::Role;
use crate::format::certificate::Capabilities;
use crate::format::envelope::{ObjectType, UnwrapError};
use crate::format::layout;
use crate::format::record::RecordError;
use crate::format::segment::{PackRows, decode_segment};
use crate::id::{DomainTag, ObjectId, SegmentId};
use crate::repository::{RecordLoadError, Repository, object_key};

impl Repository {
    /// Loads a segment's rows. `None` when this credential cannot open it.
    pub fn load_segment(&self, id: SegmentId) -> Result<Option<Vec<PackRows>>, RecordLoadError> {
        Ok(self.load_segment_of_domain(id)?.map(|(_, packs)| packs))
    }

    /// Loads a segment's rows and the domain that its packs belong to.
    pub fn load_segment_of_domain(
        &self,
        id: SegmentId,
    ) -> Result<Option<(DomainTag, Vec<PackRows>)>, RecordLoadError> {
        let key = object_key(layout::segment(&id))?;
        let record = self.load_record(&key, ObjectType::Segment, Some(ObjectId(id.0)))?;
        let rows = match record.open_part(Role::Segment, &self.access) {
            Ok(rows) => rows,
            Err(RecordError::Key(_, UnwrapError::NotARecipient(_))) => return Ok(None),
            Err(source) => {
                let key = key.to_string();
                return Err(RecordLoadError::Record { key, source });
            }
        };
        let mut packs = decode_segment(&rows).map_err(|source| RecordLoadError::Content {
            key: key.to_string(),
            source,
        })?;
        // Only maintenance may attest rows of others, when it merges segments.
        let signer = record.authorship.writer;
        let attests = record.certificate.capabilities();
        if !attests.includes(Capabilities::MAINTAIN) {
            packs.iter_mut().for_each(|pack| pack.author = signer);
        }
        Ok(Some((record.envelope.domain, packs)))
    }
}
