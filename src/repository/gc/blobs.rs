//! Blobs as maintenance handles them: found by their rows, opened only as far as its keys go.

use crate::codec;
use crate::format::blob::{BlobKind, BlobRow};
use crate::format::envelope::Envelope;
use crate::format::node::Links;
use crate::format::pack::{PackClass, blob_binding};
use crate::id::PackId;
use crate::repository::reader::fetch_range;
use crate::repository::{PackKeys, ReadError, Repository};

/// Which pack, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackPlace {
    /// The pack.
    pub id: PackId,
    /// Its class.
    pub class: PackClass,
    /// Its length, bytes.
    pub length: u32,
}

/// A pack whose head was read.
#[derive(Debug)]
pub struct PackSource<'a> {
    repository: &'a Repository,
    place: PackPlace,
    keys: PackKeys,
}

impl<'a> PackSource<'a> {
    /// Reads a pack's head.
    pub fn open(repository: &'a Repository, place: PackPlace) -> Result<Self, ReadError> {
        let keys = PackKeys::load(repository, place.id, place.class, place.length)?;
        Ok(Self {
            repository,
            place,
            keys,
        })
    }

    /// The pack.
    pub fn place(&self) -> PackPlace {
        self.place
    }

    /// Its head.
    pub fn envelope(&self) -> &Envelope {
        self.keys.envelope()
    }

    /// Fetches a blob's sealed bytes.
    pub fn fetch(&self, row: &BlobRow) -> Result<Vec<u8>, ReadError> {
        let PackPlace { id, class, length } = self.place;
        // Bounded by the pack, whatever the row says.
        let mut sealed = vec![0; row.stored.min(length) as usize];
        fetch_range(
            self.repository,
            id,
            class,
            u64::from(row.offset),
            &mut sealed,
        )?;
        Ok(sealed)
    }

    /// Fetches a blob to be moved, and proves that its seal is whole where this credential can.
    pub fn fetch_intact(&self, row: &BlobRow) -> Result<Vec<u8>, ReadError> {
        let sealed = self.fetch(row)?;
        if let Ok(key) = self.keys.key(self.place.id, row) {
            blob_binding(self.envelope(), row)
                .open_in_place(key, &mut sealed.clone())
                .map_err(|source| self.seal_error(row, source))?;
        }
        Ok(sealed)
    }

    /// Reads a links blob. The second value says whether it was verified against its id: that
    /// takes the domain's id key, which a maintenance credential does not hold.
    pub fn read_links(&self, row: &BlobRow) -> Result<(Links, bool), ReadError> {
        let mut sealed = self.fetch(row)?;
        let key = self.keys.key(self.place.id, row)?;
        let encoded = blob_binding(self.envelope(), row)
            .open_in_place(key, &mut sealed)
            .map_err(|source| self.seal_error(row, source))?;
        let (blob, pack) = (row.id, self.place.id);
        let plain = codec::decode(row.codec, encoded, row.plain as usize, None)
            .map_err(|source| ReadError::Decode { blob, pack, source })?;
        let ids = self.repository.access.id_key(self.envelope().domain);
        if ids.is_some_and(|ids| ids.blob_id(BlobKind::NodeLinks.role(), &plain) != row.id) {
            return Err(ReadError::Identity { blob, pack });
        }
        let links = Links::decode(&plain).map_err(|source| ReadError::Content { blob, source })?;
        Ok((links, ids.is_some()))
    }

    fn seal_error(&self, row: &BlobRow, source: crate::crypto::OpenError) -> ReadError {
        ReadError::Seal {
            blob: row.id,
            pack: self.place.id,
            source,
        }
    }
}
