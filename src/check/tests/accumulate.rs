//! Checks remember what they read.

use crate::check::tests::{START, all_data, build, checked, clock, keys};
use crate::check::{CheckOptions, ReadData, Subset};
use crate::env::Timestamp;
use crate::store::{CallKind, MemoryStore, RecordingStore, Store};
use crate::testing::FixedClock;
use crate::testing_repository::{copy, open};
use std::sync::Arc;
use std::time::Duration;

const DAY: i64 = 86_400_000_000_000;

fn recent() -> CheckOptions {
    CheckOptions {
        older_than: Some(Duration::from_secs(30 * 86_400)),
        ..all_data()
    }
}

fn day(clock: &FixedClock, number: i64) {
    clock.set(Timestamp(START.0 + number * DAY));
}

/// Packs read whole since the last time.
fn whole_packs(store: &RecordingStore<MemoryStore>) -> usize {
    let calls = store.traffic().take_calls().into_iter();
    calls
        .filter(|call| call.kind == CallKind::Get && call.key.starts_with("packs/"))
        .count()
}

#[test]
fn a_second_check_reads_no_data_until_the_proof_is_old_or_a_pack_is_touched() {
    let clock = clock();
    let built = MemoryStore::new();
    build(&built, "older", clock.clone());
    let memory = copy(&built, clock.clone());
    let recording = Arc::new(RecordingStore::recording(memory.clone()));
    let repository = open(recording.clone(), "check", clock.clone()).unwrap();
    day(&clock, 1);
    let first = checked(&repository, &recent());
    assert_eq!(first.damage, []);
    assert_eq!(first.packs_checked, first.packs_total);
    assert_eq!(first.proofs.len(), 1);
    assert_eq!(whole_packs(&recording) as u64, first.packs_total);

    day(&clock, 2);
    let second = checked(&repository, &recent());
    assert_eq!((second.packs_checked, second.bytes_read), (0, 0));
    assert_eq!(whole_packs(&recording), 0);
    assert!(second.complete && second.proofs.is_empty());

    let touched = keys(&memory, "packs").remove(0);
    let bytes = memory.get(&touched, usize::MAX).unwrap();
    day(&clock, 3);
    memory.put(&touched, &bytes).unwrap();
    day(&clock, 4);
    let third = checked(&repository, &recent());
    assert_eq!((third.packs_checked, whole_packs(&recording)), (1, 1));

    day(&clock, 32);
    let fourth = checked(&repository, &recent());
    assert_eq!(
        fourth.packs_checked,
        fourth.packs_total - 1,
        "one was proven later"
    );
}

#[test]
fn subsets_accumulate_to_everything() {
    let clock = clock();
    let built = MemoryStore::new();
    build(&built, "subsets", clock.clone());
    let total = keys(&built, "packs").len() as u64;

    let repository = open(Arc::new(built.clone()), "parts", clock.clone()).unwrap();
    let part = |part| CheckOptions {
        read_data: ReadData::Subset(Subset::Part { part, of: 3 }),
        ..CheckOptions::default()
    };
    let parts: u64 = (1..=3)
        .map(|n| checked(&repository, &part(n)).packs_checked)
        .sum();
    assert_eq!(parts, total);

    // Those whose last proof is oldest come first: one at a time, all get their turn.
    let store = copy(&built, clock.clone());
    for proof in keys(&store, "proofs") {
        store.delete(&proof).unwrap();
    }
    let recording = Arc::new(RecordingStore::recording(store));
    let repository = open(recording.clone(), "turns", clock.clone()).unwrap();
    let one = CheckOptions {
        read_data: ReadData::Subset(Subset::Bytes(1)),
        ..CheckOptions::default()
    };
    for turn in 0..total {
        day(&clock, 1 + turn as i64);
        assert_eq!(checked(&repository, &one).packs_checked, 1);
    }
    let calls = recording.traffic().take_calls().into_iter();
    let read: std::collections::BTreeSet<_> = calls
        .filter(|call| call.kind == CallKind::Get && call.key.starts_with("packs/"))
        .map(|call| call.key)
        .collect();
    assert_eq!(read.len() as u64, total);
}
