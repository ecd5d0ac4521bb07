//! Preparing blobs: compress, prove that it decodes, seal. One sealer per worker thread.

use crate::codec::{self, Compressor, Effort};
use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
use crate::format::envelope::{Envelope, ObjectType, SEAL_OVERHEAD};
use crate::format::pack::blob_binding;
use crate::id::BlobId;
use crate::repository::writer::{DATA_KEY, LINK_KEY, WriteError, WriteSession};

/// A sealed blob that is in no pack yet.
#[derive(Debug)]
pub struct PreparedBlob {
    /// Its row; offset and stored length are set by its pack.
    pub row: BlobRow,
    /// Its sealed bytes.
    pub sealed: Vec<u8>,
    /// Members, if it is a group.
    pub members: Vec<BlobRow>,
}

/// Compresses and seals blobs for a session.
#[derive(Debug)]
pub struct Sealer<'s, 'a> {
    session: &'s WriteSession<'a>,
    envelope: Envelope,
    compressor: Compressor,
    compressed: Vec<u8>,
}

impl<'s, 'a> Sealer<'s, 'a> {
    /// Prepares blobs for `session` with this effort.
    pub fn new(session: &'s WriteSession<'a>, effort: Effort) -> Self {
        Self {
            session,
            envelope: session.envelope(ObjectType::Pack),
            compressor: Compressor::new(effort),
            compressed: Vec::new(),
        }
    }

    /// The id of a plaintext in the session's domain.
    pub fn id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        self.session.domain.ids.blob_id(kind.role(), plain)
    }

    /// Compresses, decodes and compares, seals. A compression that does not decode to what went
    /// in means broken hardware or a broken library: the run must not go on.
    pub fn prepare(
        &mut self,
        id: BlobId,
        kind: BlobKind,
        plain: &[u8],
    ) -> Result<PreparedBlob, WriteError> {
        let (codec, content) = match self.compressor.compress(plain, &mut self.compressed) {
            true => {
                let back = codec::decode(Codec::Zstd, &self.compressed, plain.len(), None);
                if back.as_deref() != Ok(plain) {
                    return Err(WriteError::Miscompressed(id));
                }
                (Codec::Zstd, self.compressed.as_slice())
            }
            false => (Codec::Raw, plain),
        };
        let row = BlobRow {
            id,
            kind,
            form: Form::Full,
            codec,
            key: match kind.role().uses_data_key() {
                true => DATA_KEY,
                false => LINK_KEY,
            },
            offset: 0,
            stored: 0,
            plain: plain.len() as u32,
        };
        let keys = &self.session.keys;
        let key = match row.key {
            DATA_KEY => &keys.data.1,
            _ => &keys.link.1,
        };
        let mut sealed = Vec::with_capacity(content.len() + SEAL_OVERHEAD);
        let entropy = self.session.repository().entropy();
        blob_binding(&self.envelope, &row).seal_into(key, content, &mut sealed, entropy)?;
        Ok(PreparedBlob {
            row,
            sealed,
            members: Vec::new(),
        })
    }

    /// Prepares a group of small chunks and the rows of its members. `members` are id and length
    /// of each, in order; `plain` is their concatenation.
    pub fn prepare_group(
        &mut self,
        plain: &[u8],
        members: &[(BlobId, u32)],
    ) -> Result<PreparedBlob, WriteError> {
        let group = self.id(BlobKind::Group, plain);
        let mut prepared = self.prepare(group, BlobKind::Group, plain)?;
        let mut offset = 0;
        for (id, length) in members {
            prepared.members.push(BlobRow {
                id: *id,
                kind: BlobKind::Chunk,
                form: Form::Member { group },
                codec: Codec::Raw,
                key: DATA_KEY,
                offset,
                stored: 0,
                plain: *length,
            });
            offset += length;
        }
        Ok(prepared)
    }
}
