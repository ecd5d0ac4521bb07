//! The machine stops at a store call.

use super::Moments;
use crate::support::is_long;
use crate::support::library::{copy, init, open, snapshot};
use icecore::store::MemoryStore;
use icecore::store::fault::CrashingStore;
use std::sync::Arc;

/// How many outcomes of one crash are looked at: which unsynchronised objects survive it.
fn seeds() -> u64 {
    if is_long() { 16 } else { 1 }
}

/// Runs `act` on copies of `base` that crash after 0, 1, 2, … calls, until one finishes; `look`
/// sees every survivor. Returns the number of calls of the whole flow.
fn crash_everywhere<T>(
    base: &MemoryStore,
    act: impl Fn(Arc<CrashingStore<MemoryStore>>) -> Result<T, String>,
    look: impl Fn(&MemoryStore, Option<T>, &str),
) -> u64 {
    for calls in 0.. {
        let mut finished = true;
        for seed in 0..seeds() {
            let survivors = copy(base);
            let store = CrashingStore::new(survivors.clone(), calls, calls * 31 + seed);
            let store = Arc::new(store);
            let outcome = act(Arc::clone(&store));
            finished &= outcome.is_ok();
            // Also after the last call: the machine may stop when everything was acknowledged.
            store.crash().unwrap();
            let context = format!("after {calls} calls, seed {seed}");
            look(&survivors, outcome.ok(), &context);
        }
        if finished {
            return calls;
        }
    }
    unreachable!("a flow has an end")
}

#[test]
fn a_crash_of_init_leaves_a_repository_or_room_for_one() {
    let moments = Moments::new();
    let calls = crash_everywhere(
        &MemoryStore::new(),
        |store| init(store).map(drop).map_err(|error| error.to_string()),
        |survivors, made, context| {
            if made.is_some() {
                open(Arc::new(survivors.clone())).expect(context);
            }
            moments.assert_whole(survivors, &super::Acknowledged::new(), context);
        },
    );
    assert!(calls > 5, "{calls}");
}

#[test]
fn a_crash_of_the_first_snapshot_costs_at_most_that_snapshot() {
    a_crash_of_snapshot(0);
}

#[test]
fn a_crash_of_the_second_snapshot_leaves_the_first_as_it_was() {
    a_crash_of_snapshot(1);
}

fn a_crash_of_snapshot(moment: usize) {
    let moments = Moments::new();
    let (base, earlier) = moments.repository(moment);
    let calls = crash_everywhere(
        &base,
        |store| {
            let repository = open(store).map_err(|error| error.to_string())?;
            snapshot(&repository, &moments.paths[moment])
        },
        |survivors, taken, context| {
            let mut acknowledged = earlier.clone();
            acknowledged.extend(taken.map(|id| (id, moment)));
            moments.assert_whole(survivors, &acknowledged, context);
        },
    );
    assert!(calls > 15, "{calls}");
}

/// Crash upon crash: what one leaves behind must not trip the next.
#[test]
fn a_run_of_crashes_costs_nothing_that_was_acknowledged() {
    let moments = Moments::new();
    let (survivors, mut acknowledged) = moments.repository(1);
    for round in 0..if is_long() { 200 } else { 30u64 } {
        let calls = (round * 7) % 41;
        let store = Arc::new(CrashingStore::new(survivors.clone(), calls, round));
        let moment = (round % 2) as usize;
        let taken = open(store.clone())
            .map_err(|error| error.to_string())
            .and_then(|repository| snapshot(&repository, &moments.paths[moment]));
        let _ = store.crash();
        acknowledged.extend(taken.ok().map(|id| (id, moment)));
    }
    moments.assert_whole(&survivors, &acknowledged, "after all crashes");
}
