//! Which directories have entries that are not durable yet.

use crate::store::local::error::LocalError;
use crate::store::{StoreErrorKind, lock};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::sync::Mutex;

#[derive(Debug, Default)]
struct State {
    /// Directories changed since they were synced last.
    changed: BTreeSet<String>,
    /// Directories whose own entry, and every entry above, is known to be durable. Whoever made
    /// them: another process may have, and crashed before its barrier.
    anchored: BTreeSet<String>,
    /// Set once a sync failed for good: the kernel drops the pages and reports success next time.
    lost: Option<Errno>,
}

/// Collects changes and makes them durable together.
#[derive(Debug, Default)]
pub(super) struct Durability {
    state: Mutex<State>,
    /// Held during a barrier: a second one must not return before the first has synced what both
    /// have to wait for.
    running: Mutex<()>,
}

impl Durability {
    /// Notes that an entry of `directory` (path below the root) was made, replaced or removed.
    pub fn changed(&self, directory: &str) {
        let mut state = lock(&self.state);
        state.changed.insert(directory.to_owned());
        let mut child = directory;
        while !child.is_empty() && !state.anchored.contains(child) {
            child = child.rsplit_once('/').map_or("", |(parent, _)| parent);
            state.changed.insert(child.to_owned());
        }
    }

    /// Calls `sync` for every changed directory. After an error all of it remains to be done;
    /// after a failed sync the changes are lost for good and no later barrier succeeds.
    pub fn barrier(
        &self,
        sync: impl Fn(&str) -> Result<(), LocalError>,
    ) -> Result<(), (String, LocalError)> {
        let _running = lock(&self.running);
        let changed = {
            let mut state = lock(&self.state);
            if let Some(errno) = state.lost {
                return Err((String::new(), LocalError::DurabilityLost(errno)));
            }
            std::mem::take(&mut state.changed)
        };
        let failed = changed.iter().find_map(|directory| {
            sync(directory)
                .err()
                .map(|error| (directory.clone(), error))
        });
        let mut state = lock(&self.state);
        match failed {
            None => {
                state.anchored.extend(changed);
                Ok(())
            }
            Some((directory, error)) => {
                state.changed.extend(changed);
                if let LocalError::Sync(errno) = error
                    && error.kind() != StoreErrorKind::Transient
                {
                    state.lost = Some(errno);
                }
                Err((directory, error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::store::local::durability::Durability;
    use crate::store::local::error::LocalError;
    use rustix::io::Errno;
    use std::cell::RefCell;

    fn synced(durability: &Durability) -> Vec<String> {
        let seen = RefCell::new(Vec::new());
        durability
            .barrier(|directory| {
                seen.borrow_mut().push(directory.to_owned());
                Ok(())
            })
            .unwrap();
        seen.into_inner()
    }

    #[test]
    fn the_first_barrier_anchors_every_parent() {
        let durability = Durability::default();
        durability.changed("packs/ab");
        assert_eq!(synced(&durability), ["", "packs", "packs/ab"]);
        assert!(synced(&durability).is_empty(), "nothing new");
        durability.changed("packs/ab");
        assert_eq!(
            synced(&durability),
            ["packs/ab"],
            "parents are durable already"
        );
        durability.changed("packs/cd");
        assert_eq!(synced(&durability), ["packs", "packs/cd"]);
    }

    #[test]
    fn a_transient_error_leaves_everything_to_be_done() {
        let durability = Durability::default();
        durability.changed("a");
        durability
            .barrier(|_| Err(LocalError::Sync(Errno::INTR)))
            .unwrap_err();
        assert_eq!(synced(&durability), ["", "a"]);
    }

    #[test]
    fn a_failed_sync_is_never_forgotten() {
        let durability = Durability::default();
        durability.changed("a");
        durability
            .barrier(|_| Err(LocalError::Sync(Errno::IO)))
            .unwrap_err();
        let (_, error) = durability.barrier(|_| Ok(())).unwrap_err();
        assert!(matches!(error, LocalError::DurabilityLost(Errno::IO)));
    }
}
