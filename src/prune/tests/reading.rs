//! Readers that began before a prune: moved is found again, withdrawn is not damage, damage is.

use crate::diff::{DiffError, DiffOptions, Difference, Side, diff};
use crate::id::SnapshotId;
use crate::monitor::{Cancel, Silent};
use crate::prune::tests::support::{Files, Seeded, World, read_through, thorough};
use crate::prune::tests::{files, forget};
use crate::repository::index::Index;
use crate::repository::{ReadError, Reader, Repository};
use crate::store::{Store, StoreExt};
use crate::tree::TreeError;

/// A forgotten snapshot and a visible one that share a pack.
fn prepared() -> (World, (SnapshotId, Files), (SnapshotId, Files)) {
    let world = World::new();
    let random = Seeded::new(1);
    let (shared, only) = (random.bytes(70_000), random.bytes(90_000));
    let old = files(&[("only", &only), ("shared", &shared)]);
    let new = files(&[("shared", &shared), ("small", b"small")]);
    let old = (world.snapshot("a", &old), old);
    let new = (world.snapshot("a", &new), new);
    (world, old, new)
}

fn index_of(repository: &Repository) -> Index {
    let index = Index::default();
    repository.refresh_index(&index, &Silent).unwrap();
    index
}

fn failure(outcome: Result<Files, TreeError>) -> ReadError {
    match outcome.unwrap_err() {
        TreeError::Read(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_moved_meanwhile_is_found_again() {
    let (world, old, new) = prepared();
    let repository = world.open();
    let index = index_of(&repository);
    let root = repository.load_snapshot(new.0).unwrap().unwrap().root;
    forget(&world, old.0);
    assert!(world.prune(thorough()).unwrap().bytes_written > 70_000);
    let reader = Reader::new(&repository, &index);
    assert!(
        failure(read_through(&reader, root)).is_damage(),
        "it is stale"
    );
    reader.follow(new.0);
    assert_eq!(read_through(&reader, root).unwrap(), new.1);
}

#[test]
fn two_snapshots_are_compared_though_a_prune_moved_one() {
    let (world, old, first) = prepared();
    let second = files(&[("shared", &first.1["shared"]), ("small", b"other")]);
    let second = world.snapshot("a", &second);
    let repository = world.open();
    let index = index_of(&repository);
    let snapshots = [first.0, second].map(|id| repository.load_snapshot(id).unwrap().unwrap());
    let sides = snapshots.each_ref().map(|snapshot| Side {
        snapshot,
        path: Vec::new(),
    });
    forget(&world, old.0);
    assert!(world.prune(thorough()).unwrap().bytes_written > 70_000);
    let reader = Reader::new(&repository, &index);
    let options = DiffOptions {
        metadata: false,
        rows: false,
    };
    let mut shown = Vec::new();
    let mut tell = |difference: Difference| {
        shown.push(difference);
        Ok(())
    };
    let compared = diff::<DiffError>(
        &reader,
        sides.each_ref(),
        options,
        &Silent,
        &Cancel::default(),
        &mut tell,
    );
    compared.unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
}

#[test]
fn a_snapshot_that_is_withdrawn_meanwhile_is_no_damage() {
    let (world, old, _) = prepared();
    let repository = world.open();
    let index = index_of(&repository);
    let root = repository.load_snapshot(old.0).unwrap().unwrap().root;
    forget(&world, old.0);
    world.prune(thorough()).unwrap();
    let reader = Reader::new(&repository, &index);
    reader.follow(old.0);
    let error = failure(read_through(&reader, root));
    assert!(
        matches!(error, ReadError::Withdrawn(id) if id == old.0),
        "{error}"
    );
    assert!(!error.is_damage());
}

#[test]
fn what_is_missing_from_a_visible_snapshot_is_damage() {
    let (world, _, new) = prepared();
    let repository = world.open();
    let index = index_of(&repository);
    let root = repository.load_snapshot(new.0).unwrap().unwrap().root;
    for info in world.store.list_all("packs").unwrap() {
        if info.key.as_str().contains("full") {
            world.store.delete(&info.key).unwrap();
        }
    }
    let reader = Reader::new(&repository, &index);
    reader.follow(new.0);
    assert!(failure(read_through(&reader, root)).is_damage());
}
