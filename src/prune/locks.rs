//! Locks in time: what snapshots need stays locked, what nothing needs is left to lapse.
//!
//! Spec: `format-spec/13-media.md`, locks.

use crate::env::Timestamp;
use crate::format::layout;
use crate::id::PackId;
use crate::monitor::Unit;
use crate::prune::delete::key;
use crate::prune::{Context, PruneError};
use crate::repository::Repository;
use crate::repository::gc::PackPlace;
use crate::store::{Custody, Lock, ObjectKey, StoreErrorKind, StoreExt, StoreResult};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Objects that are asked about at once.
const WORKERS: usize = 16;

/// What became of the locks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Locked {
    /// Objects that snapshots need.
    pub objects: u64,
    /// Of those, whose lock was extended.
    pub extended: u64,
    /// Of those, which the store did not lock.
    pub refused: u64,
    /// Until when the first of them is locked.
    pub soonest: Option<Timestamp>,
}

/// Of these packs, those that are locked now.
pub(super) fn locked_packs(
    custody: &dyn Custody,
    packs: &[PackPlace],
    now: Timestamp,
    context: Context<'_>,
) -> Result<HashSet<PackId>, PruneError> {
    let found = Mutex::new(HashSet::new());
    each(packs, context, &|place| {
        let key = key(layout::pack(place.class, &place.id))?;
        let held = match custody.held(&key) {
            Err(error) if error.is_not_found() => None,
            held => held?,
        };
        if held.is_some_and(|held| held.until > now) {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(place.id);
        }
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Extends the locks of these packs, and of everything else that a snapshot or opening the
/// repository needs. Never beyond what a new object gets.
pub(super) fn extend(
    custody: &dyn Custody,
    lock: Lock,
    repository: &Repository,
    packs: &[PackPlace],
    context: Context<'_>,
) -> Result<Locked, PruneError> {
    let now = repository.clock().now();
    let (floor, until) = (now.after(lock.floor()), now.after(lock.keep));
    let mut keys: Vec<ObjectKey> = Vec::with_capacity(packs.len());
    for place in packs {
        keys.push(key(layout::pack(place.class, &place.id))?);
    }
    for prefix in LOCKED_BESIDE_PACKS {
        let listed = repository.store().list_all(prefix)?;
        keys.extend(listed.into_iter().map(|info| info.key));
    }
    let total = Some(keys.len() as u64);
    context.monitor.phase("extending locks", Unit::Items, total);
    let locked = Mutex::new(Locked {
        objects: keys.len() as u64,
        ..Locked::default()
    });
    each(&keys, context, &|key| {
        let before = match custody.held(key) {
            // Pruned by somebody else meanwhile.
            Err(error) if error.is_not_found() => return Ok(()),
            held => held?.map(|held| held.until),
        };
        let mut held = before;
        let mut refused = false;
        if before.is_none_or(|before| before < floor) {
            match custody.hold(key, until) {
                Ok(()) => held = Some(until),
                Err(error) if error.kind == StoreErrorKind::PermissionDenied => refused = true,
                Err(error) => return Err(error),
            }
        }
        let mut locked = locked.lock().unwrap_or_else(PoisonError::into_inner);
        locked.extended += u64::from(held != before);
        locked.refused += u64::from(refused);
        let held = held.unwrap_or(now);
        locked.soonest = Some(locked.soonest.map_or(held, |soonest| soonest.min(held)));
        Ok(())
    })?;
    Ok(locked.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What is locked besides packs: what opens a repository, what says which packs are needed, and what
/// says who did what.
pub const LOCKED_BESIDE_PACKS: [&str; 8] = [
    layout::CONFIG,
    layout::SLOTS,
    layout::RINGS,
    layout::STATEMENTS,
    layout::SEGMENTS,
    layout::SETS,
    layout::SNAPSHOTS,
    layout::AUDIT,
];

/// Does something with each, several at once.
fn each<T: Sync>(
    items: &[T],
    context: Context<'_>,
    work: &(dyn Fn(&T) -> StoreResult<()> + Sync),
) -> Result<(), PruneError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = context.cancel.check().map_err(PruneError::from);
            if let Err(error) = done.and_then(|()| Ok(work(item)?)) {
                next.store(items.len(), Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(error);
            }
            context.monitor.advance(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(items.len()) {
            scope.spawn(run);
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
