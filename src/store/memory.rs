//! A store in memory: for tests and models. Clones are handles on one and the same store.

use crate::env::{Clock, SystemClock, Timestamp};
use crate::store::{ObjectError, ObjectInfo, ObjectKey, Store, StoreResult, Swept, is_under, lock};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
struct Object {
    bytes: Arc<[u8]>,
    modified: Timestamp,
}

/// Objects in a map. Everything is durable at once, as far as memory is.
#[derive(Clone)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<ObjectKey, Object>>>,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// An empty store with the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store whose objects get their times from `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            objects: Arc::default(),
            clock,
        }
    }

    fn find(&self, operation: &'static str, key: &ObjectKey) -> StoreResult<Object> {
        let found = lock(&self.objects).get(key).cloned();
        found.ok_or_else(|| ObjectError::Missing.in_call(operation, key, self.location()))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("objects", &lock(&self.objects).len())
            .finish_non_exhaustive()
    }
}

impl Object {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn info(&self, key: &ObjectKey) -> ObjectInfo {
        ObjectInfo {
            key: key.clone(),
            size: self.size(),
            modified: Some(self.modified),
        }
    }

    /// The bytes of a range; an error where the object ends before it.
    fn range(&self, offset: u64, length: usize) -> Result<&[u8], ObjectError> {
        ObjectError::check_range(self.size(), offset, length)?;
        let size = self.size();
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.bytes.get(start..start.checked_add(length)?))
            .ok_or(ObjectError::TooShort {
                size,
                offset,
                length,
            })
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let object = Object {
            bytes: bytes.into(),
            modified: self.clock.now(),
        };
        lock(&self.objects).insert(key.clone(), object);
        Ok(())
    }

    fn barrier(&self) -> StoreResult<()> {
        Ok(())
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        let object = self.find("read", key)?;
        ObjectError::check_limit(object.size(), limit)
            .map_err(|error| error.in_call("read", key, self.location()))?;
        Ok(object.bytes.to_vec())
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let object = self.find("read", key)?;
        let bytes = object
            .range(offset, buffer.len())
            .map_err(|error| error.in_call("read", key, self.location()))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        Ok(self.find("look at", key)?.info(key))
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        lock(&self.objects).remove(key);
        Ok(())
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        ObjectError::check_prefix(prefix)
            .map_err(|error| error.in_call("list", prefix, self.location()))?;
        // Collected first, so that the visitor may call the store.
        let rows: Vec<ObjectInfo> = lock(&self.objects)
            .iter()
            .filter(|(key, _)| is_under(key.as_str(), prefix))
            .map(|(key, object)| object.info(key))
            .collect();
        let _stopped = rows.into_iter().try_for_each(visit);
        Ok(())
    }

    /// A put leaves nothing behind here.
    fn sweep(&self, _: Timestamp) -> StoreResult<Swept> {
        Ok(Swept::default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::{ManualTime, MemoryStore, ObjectKey, Store, contract};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn keeps_the_contract() {
        contract::run(&mut || Box::new(MemoryStore::new()));
    }

    #[test]
    fn handles_share_one_store_and_its_clock() {
        let time = ManualTime::default();
        let store = MemoryStore::with_clock(Arc::new(time.clone()));
        let other = store.clone();
        time.advance(Duration::from_secs(7));
        let key = ObjectKey::new("a").unwrap();
        store.put(&key, b"x").unwrap();
        let info = other.stat(&key).unwrap();
        assert_eq!(info.modified.unwrap().seconds(), 7);
    }
}
