//! The other end: objects go up in the order they were taken.

use crate::store::spool::{Shared, State};
use crate::store::{LocalStore, ObjectKey, Store, StoreResult, lock};
use std::sync::{Arc, PoisonError};

impl State {
    /// The next object that may go up: the oldest that is not on its way, if everything that it may
    /// name is up.
    fn next_ready(&mut self) -> Option<(u64, ObjectKey, u64, Arc<LocalStore>)> {
        let waiting = self.entries.iter().find(|(_, entry)| !entry.going);
        let (number, rank) = waiting.map(|(number, entry)| (*number, entry.rank))?;
        let mut before = self.entries.range(..number);
        if before.any(|(_, entry)| entry.rank < rank) {
            return None;
        }
        let entry = self.entries.get_mut(&number)?;
        entry.going = true;
        Some((
            number,
            entry.key.clone(),
            entry.size,
            Arc::clone(&entry.local),
        ))
    }
}

impl Shared {
    /// Uploads until the spool is closed or an upload fails for good.
    pub(super) fn upload(&self) {
        let mut state = lock(&self.state);
        loop {
            if state.closing || state.failure.is_some() {
                return;
            }
            let Some((number, key, size, local)) = state.next_ready() else {
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let result = self.move_up(&key, size, &local);
            state = lock(&self.state);
            match result {
                Ok(()) => {
                    state.entries.remove(&number);
                    state.bytes = state.bytes.saturating_sub(size);
                }
                Err(error) => {
                    if let Some(entry) = state.entries.get_mut(&number) {
                        entry.going = false;
                    }
                    let message = crate::explain::explain(&error);
                    state.failure.get_or_insert((error.kind, message));
                }
            }
            self.changed.notify_all();
        }
    }

    fn move_up(&self, key: &ObjectKey, size: u64, local: &LocalStore) -> StoreResult<()> {
        let bytes = local.get(key, usize::try_from(size).unwrap_or(usize::MAX))?;
        self.inner.put(key, &bytes)?;
        // Up is what counts: one that stays here goes up once more, with the same bytes.
        let _stays = local.delete(key);
        Ok(())
    }
}
