//! Loading and storing index segments.

use crate::crypto::Role;
use crate::env::Timestamp;
use crate::format::certificate::Capabilities;
use crate::format::envelope::{
    KeyEntry, ObjectType, Recipient, SessionKey, UnwrapError, Unwrapper,
};
use crate::format::layout;
use crate::format::record::{Record, RecordError};
use crate::format::segment::{PackRows, decode_segment};
use crate::id::{DomainTag, ObjectId, SegmentId, WriterId};
use crate::repository::{RecordLoadError, Repository, object_key};
use std::sync::Arc;

/// A segment whose packs are listed anew.
#[derive(Debug)]
pub struct MovedSegment {
    /// The domain of its packs.
    pub domain: DomainTag,
    /// Its packs.
    pub packs: Vec<PackRows>,
    /// The key of the host that wrote it, if that is a write-only one.
    pub host: Option<HostLink>,
}

/// A link key that a write-only host opens with its own key.
#[derive(Debug, Clone)]
pub struct HostLink {
    /// Whose rows it seals.
    pub author: WriterId,
    pub(in crate::repository) entry: KeyEntry,
    pub(in crate::repository) key: Arc<SessionKey>,
    pub(in crate::repository) created: Timestamp,
}

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
        let loaded = self.open_segment(id)?;
        Ok(loaded.map(|(record, packs)| (record.envelope.domain, packs)))
    }

    /// The same with the link key of the host that wrote the segment, if that may not read what it
    /// stores: rows that are moved are sealed under it again, or the host would not find them.
    pub fn load_segment_to_move(
        &self,
        id: SegmentId,
    ) -> Result<Option<MovedSegment>, RecordLoadError> {
        let Some((record, packs)) = self.open_segment(id)? else {
            return Ok(None);
        };
        let mut authors = packs.iter().map(|pack| pack.author);
        let author = authors.next();
        let author = author.filter(|author| authors.all(|other| other == *author));
        let part = record.parts.iter().find(|part| part.role == Role::Segment);
        let entry = part.and_then(|part| record.envelope.keys.get(usize::from(part.key)));
        let to_host = |entry: &&KeyEntry| {
            let mut recipients = entry.recipients.iter();
            recipients.any(|recipient| matches!(recipient, Recipient::Host(..)))
        };
        let host = match (author, entry.filter(to_host)) {
            (Some(author), Some(entry)) => {
                let key = self.access.unwrap(&record.envelope, entry);
                key.ok().map(|key| HostLink {
                    author,
                    entry: entry.clone(),
                    key,
                    created: record.authorship.created,
                })
            }
            _ => None,
        };
        Ok(Some(MovedSegment {
            domain: record.envelope.domain,
            packs,
            host,
        }))
    }

    fn open_segment(
        &self,
        id: SegmentId,
    ) -> Result<Option<(Record, Vec<PackRows>)>, RecordLoadError> {
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
        Ok(Some((record, packs)))
    }
}
