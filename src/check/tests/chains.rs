//! Deltas are decoded once, however long the chains they are in.

use crate::check::tests::{all_data, checked, clock, keys};
use crate::check::{CheckOptions, CheckReport};
use crate::entry::Layout;
use crate::spill::Scratch;
use crate::store::{CallKind, MemoryStore, RecordingStore, Store};
use crate::testing_repository::{Files, copy, create, noise, open, take};
use std::sync::Arc;

const VERSIONS: usize = 12;
const CHUNKS: usize = 4;
const CHUNK_BYTES: usize = 256 << 10;

/// Versions of a file of pages; every chunk of it changes a little each time.
fn build() -> MemoryStore {
    let store = MemoryStore::new();
    let clock = clock();
    let repository = create(Arc::new(store.clone()), "chains", clock.clone());
    let mut bytes = noise(1, CHUNKS * CHUNK_BYTES);
    for version in 0..VERSIONS {
        for chunk in 0..CHUNKS {
            bytes[chunk * CHUNK_BYTES + 5000 * version] ^= 1;
        }
        let file = (Layout::Pages, bytes.clone());
        take(&repository, &Files::from([("a.db".to_owned(), file)]));
        let now = crate::env::Clock::now(&*clock).0;
        clock.set(crate::env::Timestamp(now + 1));
    }
    store
}

fn check_with(store: &Arc<RecordingStore<MemoryStore>>, scratch: Scratch) -> CheckReport {
    let repository = open(store.clone(), "check", clock()).unwrap();
    let options = CheckOptions {
        scratch,
        ..all_data()
    };
    store.traffic().take_calls();
    checked(&repository, &options)
}

#[test]
fn a_check_reads_each_delta_once() {
    let store = Arc::new(RecordingStore::recording(build()));
    let report = check_with(&store, Scratch::default());
    assert_eq!(report.damage, []);
    assert_eq!(report.packs_checked, report.packs_total);
    let calls = store.traffic().take_calls();
    let of_kind = |kind, prefix: &str| {
        let matching =
            |call: &&crate::store::Call| call.kind == kind && call.key.starts_with(prefix);
        calls.iter().filter(matching).count()
    };
    let deltas = (VERSIONS - 1) * CHUNKS;
    let whole = of_kind(CallKind::Get, "packs/");
    assert_eq!(whole as u64, report.packs_total);
    // What is fetched a second time: the deltas, many at a time, the chunks at the ends of their
    // chains, heads of packs. By their chains it would be four times the deltas.
    let again =
        of_kind(CallKind::GetRange, "packs/delta") + of_kind(CallKind::GetRange, "packs/full");
    assert!(again < 2 * deltas, "{again} for {deltas} deltas");
}

#[test]
fn what_is_spilled_makes_no_difference() {
    let built = build();
    let directory = tempfile::tempdir().unwrap();
    let tiny = Scratch::in_directory(directory.path().into()).with_memory(500);
    let packs = keys(&built, "packs");
    for number in [None, Some(0), Some(packs.len() / 2), Some(packs.len() - 1)] {
        let reports = [Scratch::default(), tiny.clone()].map(|scratch| {
            let store = copy(&built, clock());
            if let Some(key) = number.and_then(|number| packs.get(number)) {
                let mut bytes = store.get(key, usize::MAX).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                store.put(key, &bytes).unwrap();
            }
            let mut report = check_with(&Arc::new(RecordingStore::recording(store)), scratch);
            assert_eq!(report.proofs.len(), 1);
            report.proofs.clear();
            report
        });
        assert_eq!(reports[0], reports[1]);
        assert_eq!(reports[0].damage.is_empty(), number.is_none());
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}
