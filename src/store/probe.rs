//! What a store really does: tried out, not believed.

use crate::env::{Clock, Entropy};
use crate::store::{ObjectKey, Pacing, Store, StoreError, StoreErrorKind, StoreExt, StoreResult};
use std::time::Duration;

/// Where the objects of a probe lie: `format-spec/03-layout.md`.
pub const PROBE_PREFIX: &str = "probe";

/// Objects that are written and looked for.
const ROUNDS: usize = 3;

/// Longest wait for one of them.
const LAG_MAX: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Last-Modified counts whole seconds.
const CLOCK_STEP: i64 = 1_000_000_000;

/// What was seen of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The longest time until an acknowledged object was shown; zero where the first look saw it.
    pub lag: Duration,
    /// How far the store's clock is before this machine's (negative: behind), seconds, where the
    /// store tells a time.
    pub clock_ahead_seconds: Option<i64>,
}

impl Observed {
    /// What the repository's config should say: nothing where nothing lags, otherwise well above
    /// what was seen.
    pub fn settle(&self) -> Duration {
        match self.lag {
            Duration::ZERO => Duration::ZERO,
            lag => lag * 4 + Duration::from_secs(1),
        }
    }
}

/// Writes a few objects, looks when they are shown, and removes them.
///
/// Errors: those of the store; one that shows nothing within a minute is `Unavailable`.
pub fn observe(store: &dyn Store, pacing: &Pacing, entropy: &dyn Entropy) -> StoreResult<Observed> {
    let mut observed = Observed {
        lag: Duration::ZERO,
        clock_ahead_seconds: None,
    };
    for _ in 0..ROUNDS {
        let key = probe_key(store, entropy)?;
        let round = observe_one(store, pacing, &key);
        let removed = store.delete(&key);
        let (lag, ahead) = round?;
        removed?;
        observed.lag = observed.lag.max(lag);
        observed.clock_ahead_seconds = ahead;
    }
    Ok(observed)
}

/// What a store lets this process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// How far the store's clock is before this machine's (negative: behind), seconds, where the
    /// store tells a time.
    pub clock_ahead_seconds: Option<i64>,
    /// Whether an object could be deleted.
    pub deletes: bool,
}

/// Writes one object, lists it, reads it, and tries to remove it.
///
/// Errors: it cannot be written, listed or read, or does not read back as it was written.
pub fn probe_rights(
    store: &dyn Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> StoreResult<Probed> {
    const CONTENT: &[u8] = b"icecore tries out what it may do here";
    let key = probe_key(store, entropy)?;
    store.put(&key, CONTENT)?;
    store.barrier()?;
    let now = clock.now();
    let looked = store.list_all(PROBE_PREFIX).and_then(|listed| {
        let listed = listed.into_iter().find(|info| info.key == key);
        let read = store.get(&key, CONTENT.len())?;
        Ok((listed, read))
    });
    let deletes = store.delete(&key).is_ok();
    let (listed, read) = looked?;
    if read != CONTENT {
        let cause = "what was read is not what was written";
        let kind = StoreErrorKind::Permanent;
        return Err(StoreError::new(
            kind,
            "try out",
            &key,
            store.location(),
            cause,
        ));
    }
    let modified = listed.and_then(|info| info.modified);
    Ok(Probed {
        clock_ahead_seconds: modified.map(|modified| (modified.0 - now.0) / CLOCK_STEP),
        deletes,
    })
}

/// A key that nobody has used.
pub(in crate::store) fn probe_key(
    store: &dyn Store,
    entropy: &dyn Entropy,
) -> StoreResult<ObjectKey> {
    let fail = |error: Box<dyn std::error::Error + Send + Sync>| {
        let kind = StoreErrorKind::Permanent;
        StoreError::new(kind, "try out", "the store", store.location(), error)
    };
    let name = entropy.array::<16>().map_err(|error| fail(error.into()))?;
    let name = u128::from_be_bytes(name);
    let key = ObjectKey::new(format!("{PROBE_PREFIX}/{name:032x}"));
    key.map_err(|error| fail(error.into()))
}

fn observe_one(
    store: &dyn Store,
    pacing: &Pacing,
    key: &ObjectKey,
) -> StoreResult<(Duration, Option<i64>)> {
    // Also an answer of "not there" must not be remembered.
    store.exists(key)?;
    let before = pacing.clock.now();
    store.put(key, b"icecore tries out what this store does")?;
    store.barrier()?;
    let acknowledged = pacing.clock.now();
    let mut is_first = true;
    loop {
        let waited = pacing.since(acknowledged);
        let listed = store.list_all(PROBE_PREFIX)?;
        let listed = listed.into_iter().find(|info| info.key == *key);
        if let Some(info) = listed
            && store.exists(key)?
        {
            let lag = if is_first { Duration::ZERO } else { waited };
            let ahead = info.modified.map(|modified| {
                let behind = (modified.0 - before.0 + CLOCK_STEP).min(0);
                let ahead = (modified.0 - acknowledged.0 - CLOCK_STEP).max(0);
                (behind + ahead) / CLOCK_STEP
            });
            return Ok((lag, ahead));
        }
        is_first = false;
        let fail = |cause: Box<dyn std::error::Error + Send + Sync>, kind| {
            StoreError::new(kind, "find", key, store.location(), cause)
        };
        if waited >= LAG_MAX {
            let text = "it was acknowledged a minute ago and is not listed: such a store keeps no \
                        repository safe";
            return Err(fail(text.into(), StoreErrorKind::Unavailable));
        }
        pacing
            .pause(LOOK_AGAIN)
            .map_err(|error| fail(error.into(), StoreErrorKind::Transient))?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{Observed, observe};
    use crate::env::SystemEntropy;
    use crate::monitor::Cancel;
    use crate::store::fault::LaggingStore;
    use crate::store::{ManualTime, MemoryStore, Store, StoreErrorKind, StoreExt, StoreResult};
    use std::time::Duration;

    fn observed(store: &dyn Store, time: &ManualTime) -> StoreResult<Observed> {
        observe(store, &time.pacing(Cancel::default()), &SystemEntropy)
    }

    #[test]
    fn a_store_that_shows_at_once_needs_no_settling() {
        let store = MemoryStore::new();
        let seen = observed(&store, &ManualTime::default()).unwrap();
        assert_eq!((seen.lag, seen.settle()), (Duration::ZERO, Duration::ZERO));
        assert!(store.list_all("").unwrap().is_empty(), "nothing is left");
    }

    #[test]
    fn lag_is_measured_and_waited_for_with_a_margin() {
        let time = ManualTime::default();
        let lag = Duration::from_millis(1230);
        let store = LaggingStore::new(MemoryStore::new(), lag, time.clone());
        let seen = observed(&store, &time).unwrap();
        assert!(seen.lag >= lag && seen.lag < lag * 2, "{seen:?}");
        assert!(seen.settle() > seen.lag * 4);
    }

    #[test]
    fn a_store_that_never_shows_is_refused() {
        let time = ManualTime::default();
        let forever = Duration::from_secs(1_000_000);
        let store = LaggingStore::new(MemoryStore::new(), forever, time.clone());
        let error = observed(&store, &time).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unavailable);
    }
}
