#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::check::{CheckOptions, ReadData, check};
use crate::crypto::{Argon2Parameters, SecretBytes};
use crate::entry::Layout;
use crate::env::Timestamp;
use crate::format::layout;
use crate::format::slot::Unlock;
use crate::id::SnapshotId;
use crate::monitor::{Cancel, Silent};
use crate::repository::{Grant, KeyError, NewCredential, OpenError, Repository};
use crate::store::fault::{CrashingStore, FailingStore, Fault, Timing};
use crate::store::{CallKind, MemoryStore, Store, StoreErrorKind, StoreExt};
use crate::testing::{FixedClock, SeededEntropy};
use crate::testing_repository::{Files, copy, create, empty_index, noise, take, unlock};
use std::sync::Arc;
use tempfile::TempDir;

const SECOND: u8 = 1;
const HOST: u8 = 2;
const READER: u8 = 3;
const MAINTAINER: u8 = 4;

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(Timestamp(1_700_000_000_000_000_000)))
}

fn secret(number: u8) -> Unlock {
    match number {
        0 => unlock(),
        number => Unlock::Key(SecretBytes::new(vec![100 + number; 32])),
    }
}

fn files(seed: u64) -> Files {
    let content = (Layout::Stream, noise(seed, 5000));
    Files::from([("file".to_owned(), content)])
}

fn try_open(store: Arc<dyn Store>, number: u8, seed: &str) -> Result<Repository, OpenError> {
    let entropy = Arc::new(SeededEntropy::new(&format!("{seed} {number}")));
    Repository::open(store, &secret(number), entropy, clock())
}

fn open(store: &MemoryStore, number: u8, seed: &str) -> Repository {
    try_open(Arc::new(store.clone()), number, seed).unwrap()
}

fn add(full: &mut Repository, label: &str, number: u8, grant: &Grant) {
    let new = NewCredential {
        label: label.into(),
        unlock: &secret(number),
        cost: Argon2Parameters::default(),
    };
    full.grant(&new, grant).unwrap();
}

/// A repository with a credential of each kind, and what the host keeps.
struct World {
    store: MemoryStore,
    cache: TempDir,
    taken: Vec<SnapshotId>,
}

impl World {
    fn new(seed: &str) -> Self {
        let store = MemoryStore::with_clock(clock());
        let mut full = create(Arc::new(store.clone()), seed, clock());
        add(&mut full, "second", SECOND, &Grant::Full);
        let main = || vec!["main".to_owned()];
        add(&mut full, "host", HOST, &Grant::WriteOnly(main()));
        add(&mut full, "reader", READER, &Grant::Reader(main()));
        add(&mut full, "maintainer", MAINTAINER, &Grant::Maintenance);
        let mut world = Self {
            store,
            cache: TempDir::new().unwrap(),
            taken: vec![take(&full, &files(1))],
        };
        let by_host = take(&world.host("first"), &files(2));
        world.taken.push(by_host);
        world
    }

    fn host(&self, seed: &str) -> Repository {
        let mut host = open(&self.store, HOST, seed);
        let cache = Some(self.cache.path());
        host.use_host_key(cache, &Silent).unwrap();
        host
    }

    /// The same over another state of the store.
    fn over(&self, store: MemoryStore) -> Self {
        let cache = TempDir::new().unwrap();
        let kept = self.cache.path().join("host-keys");
        std::fs::create_dir(cache.path().join("host-keys")).unwrap();
        for file in std::fs::read_dir(kept).unwrap().map(Result::unwrap) {
            let to = cache.path().join("host-keys").join(file.file_name());
            std::fs::copy(file.path(), to).unwrap();
        }
        Self {
            store,
            cache,
            taken: self.taken.clone(),
        }
    }

    /// Every credential does what it is for.
    fn assert_works(&mut self, context: &str) {
        let before = self.taken.len();
        self.taken
            .push(take(&self.host(context), &files(before as u64)));
        let full = open(&self.store, 0, context);
        self.taken.push(take(&full, &files(before as u64 + 1)));
        for number in [0, SECOND, READER] {
            let reader = open(&self.store, number, &format!("{context}, reads"));
            let (list, _) = reader.list_snapshots().unwrap();
            assert_eq!(list.visible.len(), self.taken.len(), "{context}: {number}");
            for snapshot in &list.visible {
                snapshot.body(&reader).unwrap();
            }
        }
        let options = CheckOptions {
            read_data: ReadData::All,
            workers: 1,
            ..CheckOptions::default()
        };
        let cancel = Cancel::default();
        let report = check(&full, &empty_index(), &options, &Silent, &cancel).unwrap();
        assert_eq!(report.damage, [], "{context}");
        assert_eq!(report.snapshots_checked, self.taken.len() as u64);
        let maintainer = open(&self.store, MAINTAINER, context);
        assert_eq!(maintainer.list_commits().unwrap().len(), self.taken.len());
    }

    /// One slot for each credential, one ring.
    fn assert_tidy(&self) {
        let count = |prefix| self.store.list_all(prefix).unwrap().len();
        assert_eq!((count(layout::SLOTS), count(layout::RINGS)), (5, 1));
    }
}

#[test]
fn what_is_saved_after_a_rotation_is_sealed_from_former_holders() {
    let mut world = World::new("former holders");
    let formerly = [0, READER, MAINTAINER].map(|number| open(&world.store, number, "formerly"));
    let mut full = open(&world.store, 0, "rotates");
    let drawn = full.keys_drawn().unwrap();
    assert_eq!((drawn.generation, drawn.is_unfinished), (1, false));
    let planned = full.check_rotation().unwrap();
    let rotation = full.rotate_keys(&unlock()).unwrap();
    assert_eq!(planned, rotation);
    assert_eq!(
        (rotation.generation, rotation.credentials, rotation.resumes),
        (2, 5, false)
    );
    assert_eq!(full.keys_drawn().unwrap().generation, 2);
    world.assert_tidy();
    // The one that rotated goes on with the new keys.
    world.taken.push(take(&full, &files(9)));
    for former in formerly {
        let (list, _) = former.list_snapshots().unwrap();
        assert_eq!((list.visible.len(), list.foreign), (2, 1));
        assert!(former.list_commits().is_err());
    }
    world.assert_works("afterwards");
    // A second one, by another credential.
    let mut second = open(&world.store, SECOND, "second rotates");
    second.rotate_keys(&secret(SECOND)).unwrap();
    world.assert_works("after both");
    world.assert_tidy();
}

#[test]
fn a_crash_at_any_call_of_a_rotation_leaves_a_working_set() {
    let world = World::new("rotation crashes");
    let rotate = |store: Arc<dyn Store>, seed: &str| -> Result<(), String> {
        let opened = try_open(store, 0, seed);
        let mut full = opened.map_err(|error| error.to_string())?;
        let rotated = full.rotate_keys(&unlock());
        rotated.map(drop).map_err(|error| error.to_string())
    };
    let counting = Arc::new(CrashingStore::unlimited(copy(&world.store, clock()), 1));
    rotate(counting.clone(), "counts").unwrap();
    let calls = counting.calls_made();
    assert!(calls > 30, "{calls}");
    for call in 0..calls {
        let survivors = copy(&world.store, clock());
        let crashing = CrashingStore::new(survivors.clone(), call, call);
        let context = format!("crash at call {call} of {calls}");
        let crashed = rotate(Arc::new(crashing), &context);
        let mut after = world.over(survivors);
        if let Err(error) = crashed {
            assert!(
                error.contains("cannot") || error.contains("crashed"),
                "{context}: {error}"
            );
        }
        after.assert_works(&context);
        rotate(Arc::new(after.store.clone()), &format!("{context}, again")).unwrap();
        after.assert_works(&format!("{context}, finished"));
        after.assert_tidy();
    }
}

/// A rotation that stored the ring and the first slot.
fn interrupted(seed: &str) -> World {
    let world = World::new(seed);
    let fault = Fault::nth(3, CallKind::Put, StoreErrorKind::Permanent, Timing::Before);
    let failing = FailingStore::new(world.store.clone(), vec![fault]);
    let mut full = try_open(Arc::new(failing), 0, "interrupted").unwrap();
    full.rotate_keys(&unlock()).unwrap_err();
    world
}

#[test]
fn another_credential_finishes_what_was_only_begun() {
    let mut world = interrupted("begun");
    let mut second = open(&world.store, SECOND, "second");
    assert!(second.keys_drawn().unwrap().is_unfinished);
    let refused = second.create_domain("more").unwrap_err();
    assert!(matches!(refused, KeyError::RotatedElsewhere), "{refused}");
    world.assert_works("begun");
    let rotation = second.rotate_keys(&secret(SECOND)).unwrap();
    assert_eq!((rotation.generation, rotation.resumes), (3, true));
    world.assert_works("finished");
    world.assert_tidy();
}

#[test]
fn what_was_changed_under_the_new_keys_is_not_rotated_away() {
    let mut world = interrupted("changed");
    let mut first = open(&world.store, 0, "first");
    assert_eq!(first.keys_drawn().unwrap().generation, 2);
    first.create_domain("more").unwrap();
    let mut second = open(&world.store, SECOND, "second");
    let refused = second.rotate_keys(&secret(SECOND)).unwrap_err();
    assert!(matches!(refused, KeyError::RotatedElsewhere), "{refused}");
    world.assert_works("changed");
    first.rotate_keys(&unlock()).unwrap();
    world.assert_works("finished");
    world.assert_tidy();
    let names: Vec<_> = open(&world.store, SECOND, "looks").domain_names();
    assert!(names.iter().any(|domain| domain.name == "more"));
}

#[test]
fn a_wrong_secret_rotates_nothing_away() {
    let mut world = World::new("wrong secret");
    let mut full = open(&world.store, 0, "mistaken");
    full.rotate_keys(&secret(SECOND)).unwrap_err();
    world.assert_works("mistaken");
    open(&world.store, 0, "again")
        .rotate_keys(&unlock())
        .unwrap();
    world.assert_tidy();
}

#[test]
fn an_erasable_domain_keeps_its_keys() {
    let world = World::new("erasable");
    let mut full = open(&world.store, 0, "makes");
    let new = NewCredential {
        label: "people".into(),
        unlock: &secret(9),
        cost: Argon2Parameters::default(),
    };
    full.create_erasable_domain("people", &new).unwrap();
    let before = take(&open(&world.store, 9, "before"), &files(7));
    let rotation = full.rotate_keys(&unlock()).unwrap();
    assert_eq!(
        (rotation.credentials, rotation.outside),
        (5, vec!["people".to_owned()])
    );
    let people = open(&world.store, 9, "after");
    let after = take(&people, &files(8));
    for id in [before, after] {
        let snapshot = people.load_snapshot(id).unwrap().unwrap();
        snapshot.body(&people).unwrap();
    }
}

#[test]
fn a_credential_whose_slot_is_gone_stops_a_rotation() {
    let mut world = World::new("no slot");
    let mut full = open(&world.store, 0, "looks");
    let reader = open(&world.store, READER, "gone").access().slot();
    full.delete_slot(reader).unwrap();
    let before = world.store.list_all("").unwrap().len();
    let refused = full.rotate_keys(&unlock()).unwrap_err();
    assert!(
        refused.to_string().contains("\"reader\" is missing"),
        "{refused}"
    );
    assert_eq!(world.store.list_all("").unwrap().len(), before);
    full.remove_credential("reader").unwrap();
    full.rotate_keys(&unlock()).unwrap();
    add(
        &mut full,
        "reader",
        READER,
        &Grant::Reader(vec!["main".into()]),
    );
    world.assert_works("with another reader");
}

/// A program that opened the repository before a rotation changes no keys after it, and leaves
/// nothing behind.
#[test]
fn who_opened_before_a_rotation_adds_nothing_after_it() {
    let mut world = World::new("opened before");
    let mut late = open(&world.store, SECOND, "late");
    open(&world.store, 0, "rotates")
        .rotate_keys(&unlock())
        .unwrap();
    let new = NewCredential {
        label: "late".into(),
        unlock: &secret(9),
        cost: Argon2Parameters::default(),
    };
    let refused = late.grant(&new, &Grant::Full).unwrap_err();
    assert!(matches!(refused, KeyError::RotatedElsewhere), "{refused}");
    world.assert_tidy();
    world.assert_works("afterwards");
    add(
        &mut open(&world.store, SECOND, "again"),
        "late",
        9,
        &Grant::Full,
    );
}
