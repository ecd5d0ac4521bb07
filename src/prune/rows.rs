//! Rows of the index as records of one length, sorted by blob.

use crate::crypto::Role;
use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
use crate::id::BlobId;
use crate::prune::PruneError;
use crate::spill::Cursor;

/// Bytes of a row.
pub(super) const ROW: usize = 87;

/// Bytes that rows of one blob begin with: id, kind.
pub(super) const KEY: usize = 33;

/// A blob as one pack holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: BlobId,
    pub(super) kind: BlobKind,
    /// Its number among the authors.
    pub(super) author: u16,
    /// Its number in the catalog.
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) stored: u32,
    pub(super) plain: u32,
    pub(super) key: u16,
    codec: Codec,
    /// What it stands on: the base of a delta, the group of a member.
    pub(super) base: Option<(BlobId, BlobKind)>,
}

/// The bytes by which a blob's rows are found.
pub(super) fn blob_key(id: BlobId, kind: BlobKind) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..32].copy_from_slice(id.as_bytes());
    key[32] = kind.role().number();
    key
}

/// Takes a key of [`blob_key`] apart. None: it was not made by that.
pub(super) fn parse_blob_key(key: &[u8]) -> Option<(BlobId, BlobKind)> {
    let id = BlobId(*key.first_chunk()?);
    let kind = BlobKind::from_role(Role::from_number(*key.get(32)?)?)?;
    Some((id, kind))
}

impl Row {
    pub(super) fn new(row: &BlobRow, author: u16, pack: u32) -> Self {
        let base = match row.form {
            Form::Full => None,
            Form::Delta { base, .. } => Some((base, BlobKind::Chunk)),
            Form::Member { group } => Some((group, BlobKind::Group)),
        };
        Self {
            id: row.id,
            kind: row.kind,
            author,
            pack,
            offset: row.offset,
            stored: row.stored,
            plain: row.plain,
            key: row.key,
            codec: row.codec,
            base,
        }
    }

    /// Sorted as bytes, rows are in the order of id, kind, author, pack, offset.
    pub(super) fn encode(&self) -> [u8; ROW] {
        let mut record = [0; ROW];
        record[..KEY].copy_from_slice(&blob_key(self.id, self.kind));
        record[33..35].copy_from_slice(&self.author.to_be_bytes());
        record[35..39].copy_from_slice(&self.pack.to_be_bytes());
        record[39..43].copy_from_slice(&self.offset.to_be_bytes());
        record[43..47].copy_from_slice(&self.stored.to_be_bytes());
        record[47..51].copy_from_slice(&self.plain.to_be_bytes());
        record[51..53].copy_from_slice(&self.key.to_be_bytes());
        record[53] = self.codec as u8;
        if let Some((base, kind)) = self.base {
            record[54] = kind.role().number();
            record[55..].copy_from_slice(base.as_bytes());
        }
        record
    }

    fn decode(record: &[u8; ROW]) -> Option<Self> {
        let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| record[at + byte]));
        let small = |at: usize| u16::from_be_bytes([record[at], record[at + 1]]);
        let (id, kind) = parse_blob_key(record)?;
        let base = match record[54] {
            0 => None,
            role => {
                let kind = BlobKind::from_role(Role::from_number(role)?)?;
                Some((BlobId(*record[55..].first_chunk()?), kind))
            }
        };
        Some(Self {
            id,
            kind,
            author: small(33),
            pack: number(35),
            offset: number(39),
            stored: number(43),
            plain: number(47),
            key: small(51),
            codec: Codec::from_number(record[53])?,
            base,
        })
    }

    /// A full row as its segment had it.
    pub(super) fn full_row(&self) -> BlobRow {
        BlobRow {
            id: self.id,
            kind: self.kind,
            form: Form::Full,
            codec: self.codec,
            key: self.key,
            offset: self.offset,
            stored: self.stored,
            plain: self.plain,
        }
    }
}

/// Reads sorted rows.
pub(super) struct RowCursor<'i>(pub(super) Cursor<'i, ROW>);

impl RowCursor<'_> {
    /// Goes to the first row of a blob. Whether there is one.
    pub(super) fn seek(&mut self, id: BlobId, kind: BlobKind) -> Result<bool, PruneError> {
        let key = blob_key(id, kind);
        self.0.seek(&key)?;
        Ok(self.0.peek()?.is_some_and(|record| record[..KEY] == key))
    }

    /// The number of the row that it stands at.
    pub(super) fn position(&self) -> usize {
        self.0.position()
    }

    /// The next row, where it is of the same blob as the row numbered `first`, and its number.
    pub(super) fn next_of(&mut self, key: &[u8; KEY]) -> Result<Option<(usize, Row)>, PruneError> {
        match self.0.peek()? {
            Some(record) if record[..KEY] == *key => self.next(),
            _ => Ok(None),
        }
    }

    /// The next row and its number.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Row)>, PruneError> {
        let number = self.0.position();
        let Some(record) = self.0.take()? else {
            return Ok(None);
        };
        // Records are this module's own: one that does not decode was changed on the way.
        let row = Row::decode(&record).ok_or(PruneError::Mangled)?;
        Ok(Some((number, row)))
    }
}
