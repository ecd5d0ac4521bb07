//! Power loss.

use crate::env::Timestamp;
use crate::store::fault::InjectedFault;
use crate::store::{
    ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, Swept, lock,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;

/// Works until it crashes; then every call fails. What was put or deleted since the last barrier
/// is lost or not, object by object, as the seed will have it: of the states an object went
/// through since then, it ends in any one. Look at the survivors through another handle on the
/// inner store.
#[derive(Debug)]
pub struct CrashingStore<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls_left: u64,
    calls_made: u64,
    crashed: bool,
    random: u64,
    /// Per object the content at the last barrier (`None`: not there) and every one since.
    volatile: BTreeMap<ObjectKey, Vec<Option<Vec<u8>>>>,
}

impl State {
    /// SplitMix64: one number after another from a seed.
    fn random_below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % bound.max(1) as u64) as usize
    }
}

/// What the crash makes of the call it falls on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Works,
    /// Takes effect, volatile like any other, but nobody is told.
    CrashesAfter,
}

impl<S: Store> CrashingStore<S> {
    /// The first `calls` calls succeed; the next one crashes, with or without its effect.
    pub fn new(inner: S, calls: u64, seed: u64) -> Self {
        Self {
            inner,
            state: Mutex::new(State {
                calls_left: calls,
                calls_made: 0,
                crashed: false,
                random: seed,
                volatile: BTreeMap::new(),
            }),
        }
    }

    /// Never crashes by itself: to count the calls of a flow, or to be crashed by hand.
    pub fn unlimited(inner: S, seed: u64) -> Self {
        Self::new(inner, u64::MAX, seed)
    }

    /// Calls so far, failed ones left out.
    pub fn calls_made(&self) -> u64 {
        lock(&self.state).calls_made
    }

    /// Crashes now.
    pub fn crash(&self) -> StoreResult<()> {
        self.lose_volatile(&mut lock(&self.state))
    }

    fn lose_volatile(&self, state: &mut State) -> StoreResult<()> {
        state.crashed = true;
        for (key, contents) in std::mem::take(&mut state.volatile) {
            let survivor = state.random_below(contents.len());
            match contents.get(survivor) {
                Some(Some(bytes)) => self.inner.put(&key, bytes)?,
                _ => self.inner.delete(&key)?,
            }
        }
        Ok(())
    }

    fn crashed_error(&self, operation: &'static str, object: &str) -> StoreError {
        let cause = InjectedFault("the machine has crashed");
        let location = self.inner.location();
        StoreError::new(
            StoreErrorKind::Permanent,
            operation,
            object,
            location,
            cause,
        )
    }

    /// Counts a call, and crashes at once where the one that crashes has no effect.
    fn turn(&self, state: &mut State, operation: &'static str, object: &str) -> StoreResult<Turn> {
        if state.crashed {
            return Err(self.crashed_error(operation, object));
        }
        if state.calls_left > 0 {
            state.calls_left -= 1;
            state.calls_made += 1;
            return Ok(Turn::Works);
        }
        if state.random_below(2) == 0 {
            self.lose_volatile(state)?;
            return Err(self.crashed_error(operation, object));
        }
        Ok(Turn::CrashesAfter)
    }

    /// Runs a put (`Some`) or delete (`None`) and remembers what it replaces.
    fn change(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        bytes: Option<&[u8]>,
    ) -> StoreResult<()> {
        let mut state = lock(&self.state);
        let turn = self.turn(&mut state, operation, key.as_str())?;
        if !state.volatile.contains_key(key) {
            let durable = match self.inner.get(key, usize::MAX) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            state.volatile.insert(key.clone(), vec![durable]);
        }
        match bytes {
            Some(bytes) => self.inner.put(key, bytes)?,
            None => self.inner.delete(key)?,
        }
        state
            .volatile
            .entry(key.clone())
            .or_default()
            .push(bytes.map(<[u8]>::to_vec));
        self.end(turn, &mut state, operation, key.as_str())
    }

    fn end(
        &self,
        turn: Turn,
        state: &mut State,
        operation: &'static str,
        object: &str,
    ) -> StoreResult<()> {
        if turn == Turn::Works {
            return Ok(());
        }
        self.lose_volatile(state)?;
        Err(self.crashed_error(operation, object))
    }

    /// For calls that change nothing: the lock is not held while they run.
    fn reading(&self, operation: &'static str, object: &str) -> StoreResult<&S> {
        let mut state = lock(&self.state);
        let turn = self.turn(&mut state, operation, object)?;
        self.end(turn, &mut state, operation, object)?;
        Ok(&self.inner)
    }
}

impl<S: Store> Store for CrashingStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        self.change("write", key, Some(bytes))
    }

    fn barrier(&self) -> StoreResult<()> {
        let mut state = lock(&self.state);
        let turn = self.turn(&mut state, "make durable", "the store")?;
        self.inner.barrier()?;
        state.volatile.clear();
        self.end(turn, &mut state, "make durable", "the store")
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.reading("read", key.as_str())?.get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.reading("read", key.as_str())?
            .get_range(key, offset, buffer)
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.reading("look at", key.as_str())?.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.change("delete", key, None)
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.reading("list", prefix)?.list(prefix, visit)
    }

    fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
        self.reading("sweep", "leftovers")?.sweep(before)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::fault::CrashingStore;
    use crate::store::{MemoryStore, ObjectKey, Store, StoreErrorKind, StoreExt, contract};
    use std::collections::BTreeSet;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn keeps_the_contract_until_it_crashes() {
        contract::run(&mut || Box::new(CrashingStore::unlimited(MemoryStore::new(), 1)));
    }

    #[test]
    fn after_the_crash_everything_fails() {
        let store = CrashingStore::new(MemoryStore::new(), 2, 0);
        store.put(&key("a"), b"x").unwrap();
        store.barrier().unwrap();
        for _ in 0..3 {
            assert_eq!(
                store.get(&key("a"), 1).unwrap_err().kind,
                StoreErrorKind::Permanent
            );
            store.put(&key("b"), b"x").unwrap_err();
            store.list_all("").unwrap_err();
        }
        assert_eq!(store.calls_made(), 2);
    }

    /// What survives of one durable and one volatile version of an object, one volatile object, a
    /// volatile delete and a put in flight, over many seeds.
    #[test]
    fn what_a_barrier_covers_survives_and_the_rest_may() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..200 {
            let memory = MemoryStore::new();
            let store = CrashingStore::new(memory.clone(), 6, seed);
            store.put(&key("kept"), b"1").unwrap();
            store.put(&key("gone"), b"1").unwrap();
            store.barrier().unwrap();
            store.put(&key("kept"), b"2").unwrap();
            store.put(&key("new"), b"1").unwrap();
            store.delete(&key("gone")).unwrap();
            store.put(&key("flight"), b"1").unwrap_err();
            let there = |text| memory.exists(&key(text)).unwrap();
            outcomes.insert((
                memory.get(&key("kept"), 1).unwrap(),
                there("new"),
                there("gone"),
                there("flight"),
            ));
        }
        assert_eq!(
            outcomes.len(),
            16,
            "every combination, and never the durable one lost"
        );
    }

    #[test]
    fn one_seed_one_outcome() {
        let survivors = |seed| {
            let memory = MemoryStore::new();
            let store = CrashingStore::unlimited(memory.clone(), seed);
            for number in 0..50 {
                store.put(&key(&format!("a/{number}")), b"").unwrap();
            }
            store.crash().unwrap();
            memory
                .list_all("")
                .unwrap()
                .into_iter()
                .map(|info| info.key)
                .collect::<Vec<_>>()
        };
        assert_eq!(survivors(7), survivors(7));
        assert_ne!(survivors(7), survivors(8));
    }
}
