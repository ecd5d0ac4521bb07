//! Single calls fail, or the disk is full.

use super::Moments;
use crate::support::library::{copy, open, snapshot};
use icecore::env::SystemEntropy;
use icecore::explain::explain;
use icecore::monitor::{Cancel, Silent};
use icecore::store::fault::{FailingStore, Fault, FullStore, Timing};
use icecore::store::{
    CallKind, ManualTime, MemoryStore, RecordingStore, Retrier, RetryPolicy, RetryStore, Store,
    StoreErrorKind, StoreExt,
};
use std::sync::Arc;

const KINDS: [StoreErrorKind; 4] = [
    StoreErrorKind::Permanent,
    StoreErrorKind::Transient,
    StoreErrorKind::PermissionDenied,
    StoreErrorKind::Full,
];

/// How often a second snapshot makes each kind of call.
fn calls_of_a_snapshot(moments: &Moments, base: &MemoryStore) -> Vec<(CallKind, u64)> {
    let store = RecordingStore::counting(copy(base));
    let traffic = store.traffic();
    let repository = open(Arc::new(store)).unwrap();
    snapshot(&repository, &moments.paths[1]).unwrap();
    let requests = |kind| (kind, traffic.total(kind).requests);
    CallKind::ALL.map(requests).to_vec()
}

#[test]
fn a_failed_call_fails_the_snapshot_clearly_and_harms_no_other() {
    let moments = Moments::new();
    let (base, earlier) = moments.repository(1);
    let mut failures = 0;
    for (call, calls) in calls_of_a_snapshot(&moments, &base) {
        for number in 1..=calls {
            for timing in [Timing::Before, Timing::After] {
                let kind = KINDS[(number as usize + failures) % KINDS.len()];
                let context = format!("{call:?} {number} fails as {kind:?}, {timing:?}");
                let survivors = copy(&base);
                let fault = Fault::nth(number, call, kind, timing);
                let store = Arc::new(FailingStore::new(survivors.clone(), vec![fault]));
                let taken = open(store)
                    .map_err(|error| explain(&error))
                    .and_then(|repository| snapshot(&repository, &moments.paths[1]));
                let mut acknowledged = earlier.clone();
                match taken {
                    Ok(id) => {
                        acknowledged.insert(id, 1);
                    }
                    Err(error) => {
                        failures += 1;
                        assert!(error.contains("cannot "), "{context}: {error}");
                        assert!(error.contains("injected fault"), "{context}: {error}");
                    }
                }
                moments.assert_whole(&survivors, &acknowledged, &context);
            }
        }
    }
    assert!(failures > 20, "{failures}");
}

/// The shipped program retries what may pass: a call in five that fails costs nothing.
#[test]
fn transient_failures_are_ridden_out() {
    let moments = Moments::new();
    for timing in [Timing::Before, Timing::After] {
        let (base, mut acknowledged) = moments.repository(1);
        let fault = Fault::every(5, StoreErrorKind::Transient, timing);
        let failing = FailingStore::new(base.clone(), vec![fault]);
        let time = ManualTime::default();
        let store = RetryStore::new(
            failing,
            Arc::new(Retrier::new(
                RetryPolicy::default(),
                time.pacing(Cancel::default()),
                Arc::new(SystemEntropy),
                Arc::new(Silent),
            )),
        );
        let repository = open(Arc::new(store)).unwrap();
        acknowledged.insert(snapshot(&repository, &moments.paths[1]).unwrap(), 1);
        moments.assert_whole(&base, &acknowledged, &format!("{timing:?}"));
    }
}

fn bytes_in(store: &MemoryStore) -> u64 {
    let all = store.list_all("").unwrap();
    all.iter().map(|info| info.size).sum()
}

#[test]
fn a_full_store_fails_the_snapshot_and_goes_on_when_there_is_room() {
    let moments = Moments::new();
    let (base, earlier) = moments.repository(1);
    let grown = copy(&base);
    snapshot(&open(Arc::new(grown.clone())).unwrap(), &moments.paths[1]).unwrap();
    let needed = bytes_in(&grown) - bytes_in(&base);
    let mut failures = 0;
    for step in 0..=20 {
        let capacity = needed * step / 19;
        let context = format!("room for {capacity} of {needed} bytes");
        let survivors = copy(&base);
        let store: Arc<dyn Store> = Arc::new(FullStore::new(survivors.clone(), capacity));
        let taken = snapshot(&open(store).unwrap(), &moments.paths[1]);
        let mut acknowledged = earlier.clone();
        match taken {
            Ok(id) => {
                acknowledged.insert(id, 1);
            }
            Err(error) => {
                failures += 1;
                assert!(error.contains("the disk is full"), "{context}: {error}");
            }
        }
        moments.assert_whole(&survivors, &acknowledged, &context);
    }
    assert!((15..=20).contains(&failures), "{failures}");
}
