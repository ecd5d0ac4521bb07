//! The head of a pack: what its blobs are sealed under.

use crate::format::blob::BlobRow;
use crate::format::envelope::{Envelope, SessionKey, UnwrapError, Unwrapper};
use crate::format::layout;
use crate::format::pack::{PackClass, blob_binding, decode_envelope};
use crate::id::{KeyId, PackId};
use crate::limits;
use crate::repository::index::Located;
use crate::repository::{ReadError, Repository, object_key};
use crate::store::StoreError;
use std::sync::Arc;

/// Bytes fetched to see a pack's head: enough for the keys of one session.
pub(super) const HEAD_BYTES: usize = 4096;

/// The opened head of a pack: what its blobs are sealed under.
#[derive(Debug)]
pub struct PackKeys {
    envelope: Envelope,
    keys: Vec<Result<Arc<SessionKey>, KeyId>>,
}

/// Opens a blob's seal in place.
pub(super) fn unseal<'s>(
    head: &PackKeys,
    located: &Located,
    sealed: &'s mut [u8],
) -> Result<&'s [u8], ReadError> {
    let (blob, pack) = (located.row.id, located.pack);
    let key = head.key(pack, &located.row)?;
    let encoded = blob_binding(&head.envelope, &located.row)
        .open_in_place(key, sealed)
        .map_err(|source| ReadError::Seal { blob, pack, source })?;
    Ok(encoded)
}

/// Fetches bytes of a pack.
pub(in crate::repository) fn fetch_range(
    repository: &Repository,
    pack: PackId,
    class: PackClass,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), ReadError> {
    let key = object_key(layout::pack(class, &pack)).map_err(ReadError::Store)?;
    let fetched = repository.store.get_range(&key, offset, buffer);
    fetched.map_err(|source| pack_error(pack, source))
}

impl PackKeys {
    /// Fetches the head of a pack of `length` bytes and unwraps what this credential can.
    pub(in crate::repository) fn load(
        repository: &Repository,
        pack: PackId,
        class: PackClass,
        length: u32,
    ) -> Result<Self, ReadError> {
        let length = length as usize;
        let mut bytes = vec![0; HEAD_BYTES.min(length)];
        fetch_range(repository, pack, class, 0, &mut bytes)?;
        let largest = length.min(limits::NODE_BYTES_MAX);
        let mut decoded = decode_envelope(&bytes);
        // A merged pack carries the keys of several sessions.
        while decoded.is_err() && bytes.len() < largest {
            bytes.resize((bytes.len() * 16).min(largest), 0);
            fetch_range(repository, pack, class, 0, &mut bytes)?;
            decoded = decode_envelope(&bytes);
        }
        let (envelope, _) = decoded.map_err(|source| ReadError::Head { pack, source })?;
        Self::unwrap(repository, pack, envelope)
    }

    pub(super) fn unwrap(
        repository: &Repository,
        pack: PackId,
        envelope: Envelope,
    ) -> Result<Self, ReadError> {
        let unwrapped =
            envelope
                .keys
                .iter()
                .map(|entry| match repository.access.unwrap(&envelope, entry) {
                    Ok(key) => Ok(Ok(key)),
                    Err(UnwrapError::NotARecipient(id)) => Ok(Err(id)),
                    Err(source) => Err(ReadError::Key { pack, source }),
                });
        let keys = unwrapped.collect::<Result<_, _>>()?;
        Ok(Self { envelope, keys })
    }

    /// The head itself.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The key that a row is sealed under. Errors: this credential cannot unwrap it.
    pub(in crate::repository) fn key(
        &self,
        pack: PackId,
        row: &BlobRow,
    ) -> Result<&SessionKey, ReadError> {
        let unknown = KeyId::default();
        let source = match self.keys.get(usize::from(row.key)) {
            Some(Ok(key)) => return Ok(key),
            Some(Err(id)) => UnwrapError::NotARecipient(*id),
            None => UnwrapError::NotARecipient(unknown),
        };
        Err(ReadError::Key { pack, source })
    }
}

/// A pack that is gone or too short is damage; any other failure says nothing about it.
fn pack_error(pack: PackId, source: StoreError) -> ReadError {
    use crate::store::StoreErrorKind::{BadLength, NotFound};
    match source.kind {
        NotFound | BadLength => ReadError::Pack { pack, source },
        _ => ReadError::Store(source),
    }
}
