//! Blobs that another repository holds: sealed anew, encoded as they are.

use crate::format::blob::BlobRow;
use crate::id::BlobId;
use crate::repository::writer::seal::new_row;
use crate::repository::writer::{PreparedBlob, Sealer, WriteError, WriteSession};

impl Sealer<'_, '_> {
    /// Seals `encoded`, which is what `row` says it is: the caller decoded it and compared its id. Of
    /// a group, `members` are the rows of what is in it.
    pub fn adopt(
        &self,
        row: &BlobRow,
        encoded: &[u8],
        members: &[BlobRow],
    ) -> Result<PreparedBlob, WriteError> {
        let fresh = |row: &BlobRow| BlobRow {
            offset: row.offset,
            ..new_row(row.id, row.kind, row.form, row.codec, row.plain as usize)
        };
        let mut prepared = self.seal(fresh(row), encoded)?;
        prepared.members = members.iter().map(fresh).collect();
        Ok(prepared)
    }
}

impl WriteSession<'_> {
    /// Over how many deltas a usable blob rests on a full one; `None` where it is on its way in this
    /// session, or not usable.
    pub fn depth(&self, id: BlobId) -> Result<Option<u32>, WriteError> {
        if self.state().pending.contains_key(&id) {
            return Ok(None);
        }
        let acceptable = |located: &_| self.is_acceptable(located);
        Ok(self.reader.index().depth(&id, &acceptable)?)
    }
}
