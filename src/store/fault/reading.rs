//! Objects that come back damaged: what a bad disk or a careless copy does to them.

use crate::store::forward::forward;
use crate::store::{ObjectError, ObjectInfo, ObjectKey, Store, StoreResult, is_under};
use std::ops::ControlFlow;

/// Shows the objects under a prefix without their last bytes, to every call alike.
#[derive(Debug)]
pub struct TruncatingStore<S> {
    inner: S,
    prefix: String,
    missing: u64,
}

impl<S: Store> TruncatingStore<S> {
    /// Objects under `prefix` (all for the empty one) lack their last `missing` bytes.
    pub fn new(inner: S, prefix: &str, missing: u64) -> Self {
        Self {
            inner,
            prefix: prefix.to_owned(),
            missing,
        }
    }

    fn shorten(&self, mut info: ObjectInfo) -> ObjectInfo {
        if is_under(info.key.as_str(), &self.prefix) {
            info.size = info.size.saturating_sub(self.missing);
        }
        info
    }

    /// Turns a cause into the error of a read of `key`.
    fn read_error(&self, key: &ObjectKey) -> impl Fn(ObjectError) -> crate::store::StoreError {
        let (key, location) = (key.clone(), self.inner.location());
        move |error| error.in_call("read", &key, location.clone())
    }
}

impl<S: Store> Store for TruncatingStore<S> {
    forward!(inner: location, put, barrier, delete, sweep);

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        let size = self.stat(key)?.size;
        ObjectError::check_limit(size, limit).map_err(self.read_error(key))?;
        let mut bytes = self.inner.get(key, usize::MAX)?;
        if is_under(key.as_str(), &self.prefix) {
            let left = (bytes.len() as u64).saturating_sub(self.missing);
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        Ok(bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let size = self.stat(key)?.size;
        ObjectError::check_range(size, offset, buffer.len()).map_err(self.read_error(key))?;
        self.inner.get_range(key, offset, buffer)
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        Ok(self.shorten(self.inner.stat(key)?))
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.inner
            .list(prefix, &mut |info| visit(self.shorten(info)))
    }
}

/// Shows the objects under a prefix with one bit of their last byte changed.
#[derive(Debug)]
pub struct LastByteFlippingStore<S> {
    inner: S,
    prefix: String,
}

impl<S: Store> LastByteFlippingStore<S> {
    /// Damages objects under `prefix`, all of them for the empty one.
    pub fn new(inner: S, prefix: &str) -> Self {
        Self {
            inner,
            prefix: prefix.to_owned(),
        }
    }
}

impl<S: Store> Store for LastByteFlippingStore<S> {
    forward!(inner: location, put, barrier, stat, delete, list, sweep);

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        let mut bytes = self.inner.get(key, limit)?;
        if is_under(key.as_str(), &self.prefix)
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
        }
        Ok(bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.inner.get_range(key, offset, buffer)?;
        if is_under(key.as_str(), &self.prefix) {
            let reaches_end = offset + buffer.len() as u64 == self.inner.stat(key)?.size;
            if let (true, Some(last)) = (reaches_end, buffer.last_mut()) {
                *last ^= 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::fault::{LastByteFlippingStore, TruncatingStore};
    use crate::store::{MemoryStore, ObjectKey, Store, StoreErrorKind, StoreExt, contract};

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn keep_the_contract_outside_their_prefix() {
        contract::run(&mut || Box::new(TruncatingStore::new(MemoryStore::new(), "none", 1)));
        contract::run(&mut || Box::new(LastByteFlippingStore::new(MemoryStore::new(), "none")));
    }

    #[test]
    fn truncated_for_every_call() {
        let store = TruncatingStore::new(MemoryStore::new(), "packs", 2);
        store.put(&key("packs/a"), b"12345").unwrap();
        store.put(&key("index/a"), b"12345").unwrap();
        assert_eq!(store.get(&key("packs/a"), 3).unwrap(), b"123");
        assert_eq!(store.get(&key("index/a"), 5).unwrap(), b"12345");
        assert_eq!(store.stat(&key("packs/a")).unwrap().size, 3);
        assert_eq!(store.list_all("packs").unwrap()[0].size, 3);
        let error = store
            .get_range(&key("packs/a"), 2, &mut [0; 2])
            .unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::BadLength);
    }

    #[test]
    fn flipped_where_the_last_byte_is_read() {
        let store = LastByteFlippingStore::new(MemoryStore::new(), "");
        store.put(&key("a"), &[1, 2, 4]).unwrap();
        assert_eq!(store.get(&key("a"), 3).unwrap(), [1, 2, 5]);
        let mut part = [0; 2];
        store.get_range(&key("a"), 0, &mut part).unwrap();
        assert_eq!(part, [1, 2]);
        store.get_range(&key("a"), 1, &mut part).unwrap();
        assert_eq!(part, [2, 5]);
    }
}
