//! Packs that are listed and not there: damage where a snapshot needs them, forgotten or not.

use crate::check::tests::{checked, clock, keys};
use crate::check::{CheckOptions, CheckReport};
use crate::entry::Layout;
use crate::format::protocol::{Condemned, SessionKind};
use crate::id::SnapshotId;
use crate::repository::{Repository, Session};
use crate::store::{MemoryStore, ObjectKey, Store};
use crate::testing_repository::{Files, create, noise, take};
use std::sync::Arc;

fn structure(repository: &Repository) -> CheckReport {
    checked(repository, &CheckOptions::default())
}

fn one_file(seed: u64) -> Files {
    Files::from([("x".into(), (Layout::Stream, noise(seed, 50_000)))])
}

/// Takes a snapshot; also returns one of the packs with data that it added.
fn taken(repository: &Repository, store: &MemoryStore, seed: u64) -> (SnapshotId, ObjectKey) {
    let before = keys(store, "packs/full");
    let id = take(repository, &one_file(seed));
    let mut added = keys(store, "packs/full");
    added.retain(|key| !before.contains(key));
    (id, added.remove(0))
}

#[test]
fn what_a_forgotten_snapshot_needs_is_missed_until_a_prune_names_it() {
    let store = MemoryStore::new();
    let repository = create(Arc::new(store.clone()), "absent", clock());
    let (old, pack) = taken(&repository, &store, 1);
    let (_, _) = taken(&repository, &store, 2);
    repository.put_hide(vec![old], true, vec![]).unwrap();
    assert_eq!(structure(&repository).damage, []);
    store.delete(&pack).unwrap();
    let report = structure(&repository);
    assert_eq!(report.packs_absent, 0);
    let [damage] = &report.damage[..] else {
        panic!("{:?}", report.damage)
    };
    assert_eq!(damage.object, pack.as_str());
    assert!(damage.what.contains("brought back"), "{}", damage.what);
    assert_eq!(damage.hurts, [], "no restore misses it");
    assert!(!damage.blobs.is_empty());
    // Of what a prune is deleting nobody can say what is there.
    let prune = Session::open(&repository, SessionKind::Prune).unwrap();
    let condemned = Condemned {
        snapshots: vec![old],
        ..Condemned::default()
    };
    repository.put_condemn(prune.id(), &condemned).unwrap();
    let report = structure(&repository);
    assert_eq!(report.damage, []);
    assert_eq!(report.packs_absent, 1);
}

#[test]
fn what_a_run_left_that_never_committed_is_no_damage() {
    let store = MemoryStore::new();
    let repository = create(Arc::new(store.clone()), "power loss", clock());
    let (whole, _) = taken(&repository, &store, 1);
    let (never, pack) = taken(&repository, &store, 2);
    // As if it had stopped before its snapshot was there, and the pack had not come to rest.
    let commit = ObjectKey::new(crate::format::layout::snapshot(&never)).unwrap();
    store.delete(&commit).unwrap();
    store.delete(&pack).unwrap();
    let report = structure(&repository);
    assert_eq!(report.damage, []);
    assert_eq!(report.packs_absent, 1);
    let chosen = CheckOptions {
        snapshots: Some(vec![whole]),
        ..CheckOptions::default()
    };
    let report = checked(&repository, &chosen);
    assert_eq!((report.damage, report.packs_absent), (vec![], 0));
}
