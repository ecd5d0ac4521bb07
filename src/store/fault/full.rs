//! A disk that fills up.

use crate::store::fault::InjectedFault;
use crate::store::forward::forward;
use crate::store::{ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, lock};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Has room for a number of bytes; a put beyond is `Full` and changes nothing. Deletes give room
/// back. Counts only objects that were put through it.
#[derive(Debug)]
pub struct FullStore<S> {
    inner: S,
    capacity: u64,
    sizes: Mutex<BTreeMap<ObjectKey, u64>>,
}

impl<S: Store> FullStore<S> {
    /// Room for `capacity` bytes of content.
    pub fn new(inner: S, capacity: u64) -> Self {
        Self {
            inner,
            capacity,
            sizes: Mutex::default(),
        }
    }
}

impl<S: Store> Store for FullStore<S> {
    forward!(inner: location, barrier, get, get_range, stat, list, sweep);

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let mut sizes = lock(&self.sizes);
        let others: u64 = sizes
            .iter()
            .filter(|(held, _)| *held != key)
            .map(|(_, size)| size)
            .sum();
        let size = bytes.len() as u64;
        if others.saturating_add(size) > self.capacity {
            let cause = InjectedFault("the disk is full");
            let location = self.inner.location();
            return Err(StoreError::new(
                StoreErrorKind::Full,
                "write",
                key,
                location,
                cause,
            ));
        }
        self.inner.put(key, bytes)?;
        sizes.insert(key.clone(), size);
        Ok(())
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        let mut sizes = lock(&self.sizes);
        self.inner.delete(key)?;
        sizes.remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::fault::FullStore;
    use crate::store::{MemoryStore, ObjectKey, Store, StoreErrorKind, contract};

    #[test]
    fn keeps_the_contract_while_there_is_room() {
        contract::run(&mut || Box::new(FullStore::new(MemoryStore::new(), u64::MAX)));
    }

    #[test]
    fn fills_up_and_gets_room_back() {
        let store = FullStore::new(MemoryStore::new(), 10);
        let key = |text: &str| ObjectKey::new(text).unwrap();
        store.put(&key("a"), &[0; 6]).unwrap();
        store.put(&key("a"), &[0; 7]).unwrap();
        let error = store.put(&key("b"), &[0; 4]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Full);
        store.delete(&key("a")).unwrap();
        store.put(&key("b"), &[0; 10]).unwrap();
    }
}
