//! Preparing blobs: compress, prove that it decodes, seal. One sealer per worker thread.

use crate::codec::{self, Compressor, Effort};
use crate::delta::{self, Ancestor, Choice};
use crate::entry::Layout;
use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
use crate::format::envelope::{Envelope, ObjectType, SEAL_OVERHEAD};
use crate::format::pack::blob_binding;
use crate::id::BlobId;
use crate::repository::index::Located;
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
        let compressed = self.compressor.compress(plain, &mut self.compressed);
        let (codec, content) = match compressed {
            true => {
                let back = codec::decode(Codec::Zstd, &self.compressed, plain.len(), None);
                if back.as_deref() != Ok(plain) {
                    return Err(WriteError::Miscompressed(id));
                }
                (Codec::Zstd, self.compressed.as_slice())
            }
            false => (Codec::Raw, plain),
        };
        let row = new_row(id, kind, Form::Full, codec, plain.len());
        self.seal(row, content)
    }

    pub(super) fn seal(&self, row: BlobRow, content: &[u8]) -> Result<PreparedBlob, WriteError> {
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

    /// Prepares a chunk as a difference to `before`, the chunk of the parent that it follows, or to
    /// one of that chunk's bases. `None` where that does not pay or the base cannot be had. The base
    /// is verified before anything is encoded against it, and the delta is decoded and compared.
    pub fn prepare_delta(
        &self,
        id: BlobId,
        plain: &[u8],
        before: BlobId,
        layout: Layout,
    ) -> Result<Option<PreparedBlob>, WriteError> {
        let Some(level) = self.compressor.level() else {
            return Ok(None);
        };
        let Some(chain) = self.session.usable_chain(before, BlobKind::Chunk)? else {
            return Ok(None);
        };
        // A member's group is no form of the chunk itself.
        let forms = chain.iter().filter(|l| l.row.kind == BlobKind::Chunk);
        let ancestor = |located: &Located| Ancestor {
            id: located.row.id,
            generation: located.row.form.generation(),
        };
        let ancestors: Vec<Ancestor> = forms.map(ancestor).collect();
        let Choice::Delta { base, generation } = delta::choose(&id, &ancestors) else {
            return Ok(None);
        };
        let position = chain.iter().position(|located| located.row.id == base);
        let base_plain = match self
            .session
            .reader
            .read_chain(&chain[position.unwrap_or(0)..])
        {
            Ok(plain) => plain,
            // Damage is for `check` to tell; a full blob needs no base.
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (codec, encoded) = match layout {
            Layout::Pages => (
                Codec::ZstdUnits,
                codec::encode_units(plain, &base_plain, level),
            ),
            Layout::Stream => (
                Codec::ZstdPrefix,
                codec::encode_prefix(plain, &base_plain, level),
            ),
        };
        let worthy =
            |encoded: &Vec<u8>| delta::is_worth_it(encoded.len(), full_size(&chain, plain));
        let Some(encoded) = encoded.filter(worthy) else {
            return Ok(None);
        };
        let back = codec::apply(codec, &encoded, plain.len(), base_plain);
        if back.as_deref() != Ok(plain) {
            return Err(WriteError::Miscompressed(id));
        }
        let form = Form::Delta { base, generation };
        let row = new_row(id, BlobKind::Chunk, form, codec, plain.len());
        self.seal(row, &encoded).map(Some)
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

/// What a chunk would take in full, judged by the full form at the end of the chain it follows.
fn full_size(chain: &[Located], plain: &[u8]) -> usize {
    let last = chain.last().map(|located| &located.row);
    last.map_or(0, |row| {
        let stored = u64::from(row.stored) * plain.len() as u64;
        (stored / u64::from(row.plain.max(1))) as usize
    })
}

/// A row before it has a place in a pack.
pub(super) fn new_row(
    id: BlobId,
    kind: BlobKind,
    form: Form,
    codec: Codec,
    plain: usize,
) -> BlobRow {
    BlobRow {
        id,
        kind,
        form,
        codec,
        key: match kind.role().uses_data_key() {
            true => DATA_KEY,
            false => LINK_KEY,
        },
        offset: 0,
        stored: 0,
        plain: plain as u32,
    }
}
