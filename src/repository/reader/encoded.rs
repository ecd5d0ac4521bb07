//! Blobs as they are encoded, for who stores them elsewhere without encoding them anew.

use crate::repository::index::Located;
use crate::repository::reader::chain::Ranges;
use crate::repository::reader::{ReadError, Reader, unseal};

/// A blob's encoded bytes, and what they decode to.
#[derive(Debug)]
pub struct Encoded {
    /// As its row's codec says.
    pub bytes: Vec<u8>,
    /// The plaintext; its id was compared.
    pub plain: Vec<u8>,
}

impl Reader<'_> {
    /// Reads a blob at this one of its places, which is no member of a group; of a delta, `base` is
    /// the verified plaintext of its base.
    pub fn read_encoded(
        &self,
        located: &Located,
        base: Option<Vec<u8>>,
    ) -> Result<Encoded, ReadError> {
        let mut sealed = self.fetch_sealed(located, Ranges::Near)?;
        let head = self.head(located)?;
        let encoded = unseal(&head, located, &mut sealed)?;
        let plain = self.decode(located, encoded, base)?;
        self.verify(located, head.envelope(), &plain)?;
        Ok(Encoded {
            bytes: encoded.to_vec(),
            plain,
        })
    }

    /// The members that the index lists of a group, from the pack that holds it: rows and places.
    pub fn members_of(&self, group: &Located) -> Result<Vec<Located>, ReadError> {
        use crate::format::blob::Form;
        let of_group = Form::Member {
            group: group.row.id,
        };
        let mut members = self.index.rows_of_pack(&group.pack)?;
        members.retain(|located| located.row.form == of_group);
        members.sort_by_key(|located| located.row.offset);
        members.dedup_by_key(|located| located.row.id);
        Ok(members)
    }
}
