//! What hurts nothing is damage without hurts; what was withdrawn, or read badly once, is none.

use crate::archiver::{ArchiveOptions, archive};
use crate::check::tests::oracle::{lost, reported};
use crate::check::tests::{all_data, build, checked, clock, keys, sample};
use crate::check::{CheckError, CheckOptions, ReadData, check};
use crate::codec::Effort;
use crate::id::{PackId, SnapshotId};
use crate::monitor::{Cancel, Silent};
use crate::repository::{Repository, WriteSession};
use crate::store::{MemoryStore, Store};
use crate::testing_repository::{MapSource, copy, empty_index, open};
use std::collections::HashSet;
use std::sync::Arc;

/// Stores all of a snapshot's blobs once more, in packs of their own.
fn store_again(repository: &Repository, packs: HashSet<PackId>) {
    let index = empty_index();
    let domain = repository.access().domain(None).unwrap();
    let session = WriteSession::open(repository, &index, domain, packs, &Silent).unwrap();
    let options = ArchiveOptions {
        effort: Effort::Auto,
        workers: 1,
        source: "again".into(),
        strict: true,
        use_cache: false,
        parent: None,
    };
    for files in sample() {
        let mut source = MapSource(files);
        archive(&session, &mut source, &options, &Silent, &Cancel::default()).unwrap();
    }
    session.flush().unwrap();
    session.end().unwrap();
}

#[test]
fn a_blob_with_another_whole_copy_hurts_nothing() {
    let whole = MemoryStore::new();
    let taken = build(&whole, "copies", clock());
    let originals = keys(&whole, "packs");
    let repository = open(Arc::new(whole.clone()), "again", clock()).unwrap();
    let packs = originals.iter().map(|key| key.file_name().parse().unwrap());
    store_again(&repository, packs.collect());
    assert!(keys(&whole, "packs").len() > originals.len());
    for key in originals {
        let store = copy(&whole, clock());
        let mut bytes = store.get(&key, usize::MAX).unwrap();
        for byte in &mut bytes {
            *byte ^= 0x55;
        }
        store.put(&key, &bytes).unwrap();
        let repository = open(Arc::new(store.clone()), "check", clock()).unwrap();
        let report = checked(&repository, &all_data());
        assert_eq!(report.damage.len(), 1, "{key}: {:?}", report.damage);
        assert_eq!(report.damage[0].object, key.as_str());
        assert!(!report.damage[0].blobs.is_empty());
        assert_eq!(report.damage[0].hurts, []);
        assert!(lost(&repository, &taken).is_empty());
    }
}

#[test]
fn only_chosen_snapshots_are_looked_at() {
    let store = MemoryStore::new();
    let taken = build(&store, "chosen", clock());
    let repository = open(Arc::new(store.clone()), "check", clock()).unwrap();
    let all = checked(&repository, &all_data());
    let first = CheckOptions {
        snapshots: Some(vec![taken[0].0]),
        ..all_data()
    };
    let report = checked(&repository, &first);
    assert_eq!((report.snapshots_checked, &report.damage[..]), (1, &[][..]));
    assert!(report.packs_total < all.packs_total);
    assert_eq!(report.packs_checked, report.packs_total);
    // A pack that only the last one needs.
    let last = CheckOptions {
        snapshots: Some(vec![taken[2].0]),
        ..CheckOptions::default()
    };
    let before = checked(&repository, &last).packs_total;
    assert!(before > 0);
    let unknown = CheckOptions {
        snapshots: Some(vec![SnapshotId([9; 32])]),
        ..CheckOptions::default()
    };
    let index = empty_index();
    let error = check(&repository, &index, &unknown, &Silent, &Cancel::default()).unwrap_err();
    assert!(matches!(error, CheckError::NoSuchSnapshot(_)));
}

#[test]
fn an_index_of_an_earlier_session_hides_no_damaged_segment() {
    let store = MemoryStore::new();
    let taken = build(&store, "stale", clock());
    let repository = open(Arc::new(store.clone()), "check", clock()).unwrap();
    let index = empty_index();
    repository.refresh_index(&index, &Silent).unwrap();
    let key = keys(&store, "index").remove(0);
    let bytes = store.get(&key, usize::MAX).unwrap();
    store.put(&key, &bytes[1..]).unwrap();
    let report = check(
        &repository,
        &index,
        &all_data(),
        &Silent,
        &Cancel::default(),
    )
    .unwrap();
    assert_eq!(reported(&report, &taken), lost(&repository, &taken));
    assert!(report.damage.iter().any(|d| d.object == key.as_str()));
}

#[test]
fn an_interrupted_check_says_so() {
    let store = MemoryStore::new();
    build(&store, "interrupted", clock());
    let repository = open(Arc::new(store), "check", clock()).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let options = CheckOptions {
        read_data: ReadData::All,
        ..CheckOptions::default()
    };
    let checked = check(&repository, &empty_index(), &options, &Silent, &cancel);
    assert!(matches!(checked, Err(CheckError::Interrupted(_))));
}
