//! The store as one party sees it: slow, failing, with PUTs that come late and twice, and lists
//! whose pages are read at different moments.

use crate::simulation::schedule::{Core, Crashed, Late, State};
use icecore::env::Timestamp;
use icecore::store::{
    ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, Swept,
};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

pub struct PartyStore {
    pub core: Arc<Core>,
    pub party: usize,
}

impl fmt::Debug for PartyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartyStore")
    }
}

fn failed(kind: StoreErrorKind, operation: &'static str, object: &str) -> StoreError {
    StoreError::new(
        kind,
        operation,
        object,
        "the simulation".to_owned(),
        "simulated",
    )
}

impl PartyStore {
    /// Waits for the turn. Errors: the party crashed before, or the call fails without effect.
    fn call(&self, what: &'static str, object: &str) -> StoreResult<MutexGuard<'_, State>> {
        let mut state = self.enter(what, object)?;
        if state.crashes_now(self.party) || state.fails_now(self.party) {
            state.note("fails to", self.party, what);
            return Err(failed(StoreErrorKind::Transient, what, object));
        }
        Ok(state)
    }

    fn enter(&self, what: &'static str, object: &str) -> StoreResult<MutexGuard<'_, State>> {
        match self.core.enter(self.party, Duration::ZERO) {
            Ok(mut state) => {
                state.note(what, self.party, object);
                Ok(state)
            }
            Err(Crashed) => Err(failed(StoreErrorKind::Permanent, what, object)),
        }
    }
}

/// How a PUT goes.
fn put(state: &mut State, party: usize, key: &ObjectKey, bytes: Arc<[u8]>) -> StoreResult<()> {
    let now = state.now;
    let later = |state: &mut State| {
        let wait = i64::try_from(state.random.time(20).as_nanos()).unwrap();
        let (key, bytes) = (key.clone(), bytes.clone());
        state.late.push(Late {
            due: now + wait,
            key,
            bytes,
        });
    };
    let is_bad = state.crashes_now(party) || state.fails_now(party);
    let (takes_effect, copies, is_told) = match is_bad {
        false => (true, 0, true),
        true => match state.random.below(5) {
            0 => (false, 0, false),
            1 => (true, 0, false),
            2 => (false, 1, false),
            3 => (false, 2, false),
            _ => (true, 1, !state.crashes_now(party)),
        },
    };
    (0..copies).for_each(|_| later(state));
    if takes_effect {
        state
            .objects
            .insert(key.clone(), (bytes.clone(), Timestamp(now)));
    }
    if is_bad {
        state.note(
            if takes_effect {
                "took effect"
            } else {
                "did not"
            },
            party,
            key.as_str(),
        );
    }
    match is_told {
        true => Ok(()),
        false => Err(failed(StoreErrorKind::Transient, "write", key.as_str())),
    }
}

impl Store for PartyStore {
    fn location(&self) -> String {
        "the simulation".to_owned()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let mut state = self.enter("write", key.as_str())?;
        put(&mut state, self.party, key, bytes.into())
    }

    fn barrier(&self) -> StoreResult<()> {
        Ok(())
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        let state = self.call("read", key.as_str())?;
        match state.objects.get(key) {
            Some((bytes, _)) if bytes.len() <= limit => Ok(bytes.to_vec()),
            Some(_) => Err(failed(StoreErrorKind::BadLength, "read", key.as_str())),
            None => Err(failed(StoreErrorKind::NotFound, "read", key.as_str())),
        }
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let state = self.call("read", key.as_str())?;
        let Some((bytes, _)) = state.objects.get(key) else {
            return Err(failed(StoreErrorKind::NotFound, "read", key.as_str()));
        };
        let start = offset as usize;
        match bytes.get(start..start + buffer.len()) {
            Some(part) => {
                buffer.copy_from_slice(part);
                Ok(())
            }
            None => Err(failed(StoreErrorKind::BadLength, "read", key.as_str())),
        }
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        let state = self.call("look at", key.as_str())?;
        match state.objects.get(key) {
            Some(object) => Ok(info(key, object)),
            None => Err(failed(StoreErrorKind::NotFound, "look at", key.as_str())),
        }
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        let mut state = self.enter("delete", key.as_str())?;
        let is_bad = state.crashes_now(self.party) || state.fails_now(self.party);
        if !is_bad || state.random.one_in(2) {
            state.objects.remove(key);
        }
        match is_bad {
            false => Ok(()),
            true => Err(failed(StoreErrorKind::Transient, "delete", key.as_str())),
        }
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let mut found = Vec::new();
        let (mut page, mut pages) = (0, 1);
        while page < pages {
            let mut state = self.call("list", prefix)?;
            if page == 0 {
                pages = 1 + state.random.below(3);
            }
            // Which page an object is on has no order: any of what changes meanwhile is missed.
            let of_page = |key: &ObjectKey| {
                let sum: u64 = key.as_str().bytes().map(u64::from).sum();
                sum % pages == page
            };
            let under = |key: &ObjectKey| {
                let rest = key.as_str().strip_prefix(prefix);
                prefix.is_empty()
                    || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let shown = state.objects.iter();
            let shown = shown.filter(|(key, _)| under(key) && of_page(key));
            found.extend(shown.map(|(key, object)| info(key, object)));
            page += 1;
        }
        let _stopped = found.into_iter().try_for_each(visit);
        Ok(())
    }

    /// A put that fails here leaves nothing behind.
    fn sweep(&self, _: Timestamp) -> StoreResult<Swept> {
        drop(self.call("sweep", "")?);
        Ok(Swept::default())
    }
}

fn info(key: &ObjectKey, (bytes, modified): &(Arc<[u8]>, Timestamp)) -> ObjectInfo {
    ObjectInfo {
        key: key.clone(),
        size: bytes.len() as u64,
        modified: Some(*modified),
    }
}
