#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::env::Timestamp;
use crate::event::{Activity, Actor, Ending, Event, Subject};
use crate::format::audit::AuditContent;
use crate::format::layout::AuditName;
use crate::monitor::{Cancel, Silent};
use crate::prune::tests::support::World;
use crate::repository::{AuditChain, AuditFault, AuditReport, KnownBy, Repository};
use crate::store::{MemoryStore, ObjectKey, Store, StoreExt};
use std::time::Duration;

fn content(details: &str) -> AuditContent {
    let actor = Actor {
        user: "root".to_owned(),
        host: "portal-1".to_owned(),
        process: 7,
    };
    let end = Ending::success(details);
    let event = Event::complete(Timestamp(5), Activity::Restore, &Subject::default(), end);
    AuditContent::new(&actor, "icecore".to_owned(), 21_600, &[event])
}

/// Appends so many records to a chain of its own, as a process does.
fn append(world: &World, repository: &Repository, records: usize) -> AuditChain {
    let mut chain = repository.begin_audit().unwrap();
    for number in 0..records {
        world.time.advance(Duration::from_secs(1));
        let content = content(&format!("step {number}"));
        chain = repository.append_audit(chain, &content, &Silent).unwrap();
    }
    chain
}

fn verify(repository: &Repository) -> AuditReport {
    let verified = repository.verify_audit(2, &Silent, &Cancel::default());
    verified.unwrap()
}

fn names(store: &MemoryStore) -> Vec<AuditName> {
    let infos = store.list_all("audit").unwrap();
    let names = infos.iter();
    let mut names: Vec<AuditName> = names
        .map(|info| AuditName::parse(info.key.as_str()).unwrap())
        .collect();
    names.sort();
    names
}

fn key(name: &AuditName) -> ObjectKey {
    ObjectKey::new(name.key()).unwrap()
}

#[test]
fn what_is_whole_verifies_and_reads_back() {
    let world = World::new();
    append(&world, &world.open(), 3);
    append(&world, &world.open(), 2);
    let repository = world.open();
    let report = verify(&repository);
    assert_eq!((report.records, report.chains), (5, 2));
    assert_eq!(report.faults, []);
    let names = repository.list_audit().unwrap();
    assert_eq!(names, super::tests::names(&world.store));
    let entry = repository.load_audit(&names[1]).unwrap();
    let content = entry.content.unwrap();
    assert_eq!(content.host, "portal-1");
    assert_eq!(content.events[0].name, "restore_complete");
    assert_eq!(content.events[0].details, "step 1");
    let other = repository.load_audit(&names[3]).unwrap();
    assert_eq!(
        other.place.heads,
        [(names[2].chain, names[2].number, names[2].id)],
        "a chain begins with the newest of the others"
    );
    assert!(entry.place.heads.is_empty());
}

#[test]
fn every_tampering_is_named() {
    let world = World::new();
    append(&world, &world.open(), 3);
    append(&world, &world.open(), 1);
    let names = names(&world.store);
    let (chain, last) = (names[0].chain, names[2]);

    let gap = world.copy();
    gap.store.delete(&key(&names[1])).unwrap();
    let found = verify(&gap.open()).faults;
    assert_eq!(found, [AuditFault::Gap { chain, number: 2 }]);

    let cut = world.copy();
    cut.store.delete(&key(&last)).unwrap();
    let found = verify(&cut.open()).faults;
    let missing = |whole_chain, known_by| AuditFault::Missing {
        chain,
        number: 3,
        id: last.id,
        whole_chain,
        known_by,
    };
    let named = KnownBy::Record(names[3].key());
    assert_eq!(found, [missing(false, named.clone())]);

    let gone = world.copy();
    for name in &names[..3] {
        gone.store.delete(&key(name)).unwrap();
    }
    assert_eq!(verify(&gone.open()).faults, [missing(true, named)]);

    let edited = world.copy();
    let mut bytes = edited.store.get(&key(&last), usize::MAX).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    edited.store.put(&key(&last), &bytes).unwrap();
    let found = verify(&edited.open()).faults;
    let is_edited =
        |fault: &AuditFault| matches!(fault, AuditFault::Edited { key, .. } if *key == last.key());
    assert!(matches!(&found[..], [one] if is_edited(one)), "{found:?}");

    // A record under the name of another moment, and one that is none.
    let moved = world.copy();
    let bytes = moved.store.get(&key(&last), usize::MAX).unwrap();
    let elsewhere = AuditName {
        created: Timestamp(last.created.0 + 1),
        ..last
    };
    moved.store.put(&key(&elsewhere), &bytes).unwrap();
    moved
        .store
        .put(&ObjectKey::new("audit/x".to_owned()).unwrap(), b"y")
        .unwrap();
    assert_eq!(verify(&moved.open()).faults.len(), 2);
}

#[test]
fn two_of_one_number_are_a_fork_and_a_failed_append_gives_the_chain_up() {
    let world = World::new();
    let repository = world.open();
    let chain = append(&world, &repository, 1);
    for details in ["one", "other"] {
        world.time.advance(Duration::from_secs(1));
        repository
            .append_audit(chain.clone(), &content(details), &Silent)
            .unwrap();
    }
    let found = verify(&repository).faults;
    assert!(
        matches!(found[..], [AuditFault::Fork { number: 2, .. }]),
        "{found:?}"
    );
}

#[test]
fn a_host_remembers_what_it_saw() {
    let world = World::new();
    let cache = tempfile::tempdir().unwrap();
    let open = || {
        let mut repository = world.open();
        repository.remember_audit(cache.path());
        repository
    };
    append(&world, &world.open(), 1);
    let before = world.copy();
    append(&world, &open(), 2);
    // Its own records at once, those of others once they were verified.
    assert_eq!(verify(&open()).remembered, 2);
    assert_eq!(verify(&open()).remembered, 3);
    let mut rolled_back = before.open();
    rolled_back.remember_audit(cache.path());
    let found = verify(&rolled_back).faults;
    let by_host = found.iter().filter(|fault| {
        matches!(
            fault,
            AuditFault::Missing {
                whole_chain: true,
                known_by: KnownBy::Host,
                ..
            }
        )
    });
    assert_eq!((found.len(), by_host.count()), (2, 2), "{found:?}");
}
