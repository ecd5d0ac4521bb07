//! A spool in front of a slow store: what is put is taken at the speed of the local disk, and goes up
//! behind the writer's back.
//!
//! Only what names itself and counts only once something else names it may wait here: packs and index
//! segments, sealed as they are. Everything else goes straight through. The promise of
//! [`Store::barrier`] stays: it returns when all that was taken is up. Before a segment goes up, all
//! packs taken before it are.

mod entry;
mod leftovers;
#[cfg(test)]
mod tests;
mod upload;

pub use leftovers::Leftover;

use crate::claim::Claim;
use crate::env::Timestamp;
use crate::monitor::Cancel;
use crate::store::{
    LocalStore, ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, Swept,
    is_under, lock,
};
use entry::Entry;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Uploads at once: each holds one object in memory.
const UPLOADERS: usize = 2;

/// How often a wait looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// How a spool is to be.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// Directory of all spools of a repository; each process has one of its own in it.
    pub directory: PathBuf,
    /// Most bytes that wait here at once. A writer that is faster waits, one object may exceed it.
    pub capacity: u64,
    /// Prefixes of keys that may wait, those that others name first: what is under a later prefix
    /// goes up only after all that was taken before it.
    pub prefixes: [&'static str; 2],
    /// Ends waits early.
    pub cancel: Cancel,
}

/// What a spool has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolFigures {
    /// Bytes that went through it.
    pub bytes: u64,
    /// The most that waited at once, bytes.
    pub bytes_peak: u64,
    /// Objects that an earlier process had left and that went up now.
    pub resumed: u64,
}

/// A store with a spool in front.
#[derive(Debug)]
pub struct SpoolStore {
    shared: Arc<Shared>,
    own: Arc<LocalStore>,
    /// Held until this is dropped: a spool that nobody holds was left by a process that died.
    #[expect(dead_code, reason = "held, not read")]
    claim: Claim,
    path: PathBuf,
    /// Spools of processes that died, and the claims on them.
    adopted: Mutex<Vec<(PathBuf, Claim)>>,
    options: SpoolOptions,
    uploaders: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What waits or is going up, in the order it was taken.
    entries: BTreeMap<u64, Entry>,
    next: u64,
    bytes: u64,
    figures: SpoolFigures,
    /// Why an upload failed for good. Nothing more goes up; what waits stays for the next run.
    failure: Option<(StoreErrorKind, String)>,
    closing: bool,
}

impl SpoolStore {
    /// Puts a spool in front of `inner`. What earlier processes left is offered by
    /// [`SpoolStore::leftovers`]. The error is one of the local disk.
    pub fn open(inner: Arc<dyn Store>, options: SpoolOptions) -> StoreResult<Self> {
        let (path, claim, own) = leftovers::claim_new(&options.directory)?;
        let shared = Arc::new(Shared {
            inner,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let uploaders = (0..UPLOADERS).map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.upload())
        });
        Ok(Self {
            uploaders: uploaders.collect(),
            shared,
            own: Arc::new(own),
            claim,
            path,
            adopted: Mutex::default(),
            options,
        })
    }

    /// What it has done so far.
    pub fn figures(&self) -> SpoolFigures {
        lock(&self.shared.state).figures
    }

    fn rank(&self, key: &ObjectKey) -> Option<usize> {
        let mut prefixes = self.options.prefixes.iter();
        prefixes.position(|prefix| is_under(key.as_str(), prefix))
    }

    /// Takes what lies in `local` for going up.
    fn enqueue(&self, key: ObjectKey, size: u64, local: Arc<LocalStore>) {
        let mut state = lock(&self.shared.state);
        let rank = self.rank(&key).unwrap_or_default();
        let number = state.next;
        state.next += 1;
        state.bytes += size;
        state.figures.bytes += size;
        state.figures.bytes_peak = state.figures.bytes_peak.max(state.bytes);
        state
            .entries
            .insert(number, Entry::new(key, size, rank, local));
        self.shared.changed.notify_all();
    }

    /// Waits until `enough`; fails where an upload has, or the wait was cancelled.
    fn wait(&self, enough: impl Fn(&State) -> bool) -> StoreResult<MutexGuard<'_, State>> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some((kind, message)) = &state.failure {
                return Err(self.failed(*kind, message.clone()));
            }
            if enough(&state) {
                return Ok(state);
            }
            if let Err(interrupted) = self.options.cancel.check() {
                let message = interrupted.to_string();
                return Err(self.failed(StoreErrorKind::Transient, message));
            }
            let waited = self.shared.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn failed(&self, kind: StoreErrorKind, message: String) -> StoreError {
        let location = self.shared.inner.location();
        StoreError::new(kind, "write", "what waits in the spool", location, message)
    }

    /// The spool a waiting object lies in.
    fn waiting(&self, key: &ObjectKey) -> Option<Arc<LocalStore>> {
        let state = lock(&self.shared.state);
        let mut entries = state.entries.values();
        let found = entries.find(|entry| entry.key == *key)?;
        Some(Arc::clone(&found.local))
    }

    /// What a call gives for an object: here while it waits, else in the store. It may go up in
    /// between.
    fn either<T>(
        &self,
        key: &ObjectKey,
        mut call: impl FnMut(&dyn Store) -> StoreResult<T>,
    ) -> StoreResult<T> {
        if let Some(local) = self.waiting(key) {
            match call(&*local) {
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
        }
        call(&*self.shared.inner)
    }

    /// The store behind.
    pub fn behind(&self) -> &dyn Store {
        &*self.shared.inner
    }

    /// Where this process's spool is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store for SpoolStore {
    fn location(&self) -> String {
        self.shared.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        if self.rank(key).is_none() {
            return self.shared.inner.put(key, bytes);
        }
        let size = bytes.len() as u64;
        let capacity = self.options.capacity;
        drop(self.wait(|state| state.bytes == 0 || state.bytes + size <= capacity)?);
        match self.own.put(key, bytes) {
            Ok(()) => {
                self.enqueue(key.clone(), size, Arc::clone(&self.own));
                Ok(())
            }
            // No room here: as slow as without a spool, and as safe.
            Err(_) => {
                drop(self.wait(|state| state.entries.is_empty())?);
                self.shared.inner.put(key, bytes)
            }
        }
    }

    fn barrier(&self) -> StoreResult<()> {
        drop(self.wait(|state| state.entries.is_empty())?);
        self.shared.inner.barrier()
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.either(key, |store| store.get(key, limit))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.either(key, |store| store.get_range(key, offset, buffer))
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.either(key, |store| store.stat(key))
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        if self.rank(key).is_some() {
            drop(self.wait(|state| !state.entries.values().any(|entry| entry.key == *key))?);
        }
        self.shared.inner.delete(key)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let mut waiting: BTreeMap<ObjectKey, u64> = {
            let state = lock(&self.shared.state);
            let entries = state.entries.values();
            let under = entries.filter(|entry| is_under(entry.key.as_str(), prefix));
            under.map(|entry| (entry.key.clone(), entry.size)).collect()
        };
        let mut stopped = false;
        self.shared.inner.list(prefix, &mut |info| {
            waiting.remove(&info.key);
            let flow = visit(info);
            stopped |= flow.is_break();
            flow
        })?;
        for (key, size) in waiting {
            let info = ObjectInfo {
                key,
                size,
                modified: None,
            };
            if stopped || visit(info).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.shared.inner.sweep(before)
    }
}

impl Drop for SpoolStore {
    fn drop(&mut self) {
        lock(&self.shared.state).closing = true;
        self.shared.changed.notify_all();
        for uploader in self.uploaders.drain(..) {
            let _panicked = uploader.join();
        }
        let is_empty = lock(&self.shared.state).entries.is_empty();
        if is_empty {
            leftovers::remove(&self.path);
            for (path, _) in lock(&self.adopted).drain(..) {
                leftovers::remove(&path);
            }
        }
    }
}
