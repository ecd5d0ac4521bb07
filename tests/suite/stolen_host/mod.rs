#![allow(clippy::unwrap_used, clippy::expect_used)]
//! A write-only host was stolen, with its key and all its files. What its thief tries, why each
//! attempt fails, and what the storage itself has to refuse.

mod forged;
mod poison;
mod store;

use crate::support::library::copy;
use icecore::crypto::{Argon2Parameters, SecretBytes};
use icecore::entry::Layout;
use icecore::env::Timestamp;
use icecore::explain::explain;
use icecore::format::blob::BlobKind;
use icecore::format::envelope::{KeyKind, Unwrapper};
use icecore::format::layout;
use icecore::format::pack::{decode_envelope, open_pack};
use icecore::format::slot::Unlock;
use icecore::id::SnapshotId;
use icecore::monitor::{Cancel, Silent};
use icecore::prune::{Context, PruneOptions, PrunePlan};
use icecore::repository::{Grant, NewCredential, Reader, Repository};
use icecore::store::{MemoryStore, ObjectKey, Store, StoreExt};
use icecore::testing::{FixedClock, SeededEntropy};
use icecore::testing_repository::{self, Files, empty_index, noise, take};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A repository with a full credential and two write-only hosts that share a domain.
struct World {
    store: MemoryStore,
    /// What the hosts keep on their disks.
    caches: [TempDir; 2],
    /// A snapshot by each: full, host, neighbour.
    taken: [SnapshotId; 3],
}

const HOST: usize = 0;
const NEIGHBOUR: usize = 1;

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(Timestamp(1_700_000_000_000_000_000)))
}

fn secret(number: usize) -> Unlock {
    Unlock::Key(SecretBytes::new(vec![100 + number as u8; 32]))
}

fn files(seed: u64) -> Files {
    let page = |seed| (Layout::Pages, noise(seed, 300_000));
    let text = (Layout::Stream, format!("small {seed}").into_bytes());
    Files::from([
        ("database".to_owned(), page(seed)),
        ("directory/text".to_owned(), text),
    ])
}

fn open_host(store: Arc<dyn Store>, number: usize, cache: &Path, seed: &str) -> Repository {
    let entropy = Arc::new(SeededEntropy::new(seed));
    let mut host = Repository::open(store, &secret(number), entropy, clock()).unwrap();
    host.use_host_key(Some(cache), &Silent).unwrap();
    host
}

impl World {
    fn new(seed: &str) -> Self {
        let store = MemoryStore::new();
        let mut full = testing_repository::create(Arc::new(store.clone()), seed, clock());
        full.create_domain("hosts").unwrap();
        for (number, label) in ["host", "neighbour"].into_iter().enumerate() {
            let new = NewCredential {
                label: label.into(),
                unlock: &secret(number),
                cost: Argon2Parameters::default(),
            };
            let grant = Grant::WriteOnly(vec!["hosts".into()]);
            full.grant(&new, &grant).unwrap();
        }
        let caches = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let own = take(&full, &files(1));
        let by = |number: usize, seed: u64| {
            let arc = Arc::new(store.clone());
            let host = open_host(arc, number, caches[number].path(), &format!("by {seed}"));
            take(&host, &files(seed))
        };
        let taken = [own, by(HOST, 2), by(NEIGHBOUR, 3)];
        Self {
            store,
            caches,
            taken,
        }
    }

    fn full(&self, seed: &str) -> Repository {
        testing_repository::open(Arc::new(self.store.clone()), seed, clock()).unwrap()
    }

    /// The thief: everything that the host had.
    fn thief(&self, seed: &str) -> Repository {
        let cache = self.caches[HOST].path();
        open_host(Arc::new(self.store.clone()), HOST, cache, seed)
    }

    fn packs(&self) -> Vec<(ObjectKey, Vec<u8>)> {
        let infos = self.store.list_all(layout::PACKS).unwrap();
        let with_bytes = |info: icecore::store::ObjectInfo| {
            let bytes = self.store.get(&info.key, usize::MAX).unwrap();
            (info.key, bytes)
        };
        infos.into_iter().map(with_bytes).collect()
    }

    /// Whether the full credential reads everything in these snapshots.
    fn assert_whole(&self, seed: &str, wanted: &[SnapshotId]) {
        let full = self.full(seed);
        let (list, _) = full.list_snapshots().unwrap();
        for id in wanted {
            assert!(list.visible.iter().any(|snapshot| snapshot.id == *id));
        }
        let options = icecore::check::CheckOptions {
            read_data: icecore::check::ReadData::All,
            snapshots: Some(wanted.to_vec()),
            workers: 1,
            ..Default::default()
        };
        let checked =
            icecore::check::check(&full, &empty_index(), &options, &Silent, &Cancel::default());
        let hurts = checked.unwrap().damage.into_iter().flat_map(|d| d.hurts);
        assert_eq!(hurts.collect::<Vec<_>>(), []);
    }
}

#[test]
fn no_pack_opens_its_own_included() {
    let world = World::new("opens nothing");
    let thief = world.thief("decrypts");
    let (mut own, mut foreign) = (0, 0);
    for (key, bytes) in world.packs() {
        let (envelope, _) = decode_envelope(&bytes).unwrap();
        let mut links = 0;
        for entry in &envelope.keys {
            match (entry.kind, thief.access().unwrap(&envelope, entry)) {
                (KeyKind::Data, Ok(_)) => panic!("{key}: content opens"),
                (KeyKind::Data, Err(error)) => {
                    assert!(
                        error.to_string().contains("this credential cannot open"),
                        "{error}"
                    );
                }
                // Its own table of contents: which blobs it stored, by which it saves again.
                (KeyKind::Link, Ok(_)) => links += 1,
                (KeyKind::Link, Err(_)) => {}
            }
        }
        match links {
            0 => {
                let error = open_pack(&bytes, thief.access()).unwrap_err();
                assert!(
                    explain(&error).contains("cannot open"),
                    "{}",
                    explain(&error)
                );
                foreign += 1;
            }
            _ => own += 1,
        }
    }
    // Full and metadata packs: two of the thief's own, four of the others.
    assert_eq!((own, foreign), (2, 4));
}

#[test]
fn without_the_files_not_even_its_own_index_opens() {
    let world = World::new("key alone");
    let elsewhere = TempDir::new().unwrap();
    let store = Arc::new(world.store.clone());
    let thief = open_host(store, HOST, elsewhere.path(), "key alone");
    let (list, _) = thief.list_snapshots().unwrap();
    assert_eq!((list.visible.len(), list.foreign), (0, 3));
    assert!(
        world
            .packs()
            .iter()
            .all(|(_, bytes)| open_pack(bytes, thief.access()).is_err())
    );
}

#[test]
fn of_snapshots_it_sees_its_own_labels_and_no_content() {
    let world = World::new("labels");
    let thief = world.thief("lists");
    let (list, _) = thief.list_snapshots().unwrap();
    let visible: Vec<_> = list.visible.iter().map(|snapshot| snapshot.id).collect();
    assert_eq!((visible, list.foreign), (vec![world.taken[1]], 2));
    let own = &list.visible[0];
    assert!(!own.readable && own.label.source == "files:test");
    let body = own.body(&thief).unwrap_err();
    assert!(
        explain(&body).contains("cannot open session key"),
        "{}",
        explain(&body)
    );
    for foreign in [world.taken[0], world.taken[2]] {
        assert!(thief.load_snapshot(foreign).unwrap().is_none());
    }
    // The tree: links of its own open, names and content do not.
    let index = empty_index();
    thief.refresh_index(&index, &Silent).unwrap();
    let reader = Reader::new(&thief, &index);
    let links = reader.read(own.root, BlobKind::NodeLinks).unwrap();
    let links = icecore::format::node::Links::decode(&links).unwrap();
    let names = reader.read(links.body, BlobKind::NodeBody).unwrap_err();
    assert!(
        explain(&names).contains("cannot open session key"),
        "{}",
        explain(&names)
    );
    let walked = icecore::tree::read_directory::<icecore::repository::ReadError>(
        &reader,
        own.root,
        &mut |_| Ok(()),
    );
    assert!(walked.is_err());
}

#[test]
fn it_holds_no_key_of_others_and_changes_none() {
    let world = World::new("holds nothing");
    let mut thief = world.thief("changes keys");
    assert!(
        thief
            .access()
            .domains()
            .all(|domain| domain.epochs.is_empty())
    );
    let domains: Vec<_> = thief.access().domains().map(|d| d.name.clone()).collect();
    assert_eq!(domains, ["hosts"]);
    let unlock = secret(9);
    let new = NewCredential {
        label: "mine".into(),
        unlock: &unlock,
        cost: Argon2Parameters::default(),
    };
    let refusals = [
        thief.credentials().unwrap_err(),
        thief.add_credential(&new).unwrap_err(),
        thief.create_domain("mine").unwrap_err(),
        thief.remove_credential("test").unwrap_err(),
    ];
    for refusal in refusals {
        let told = refusal.to_string();
        assert!(
            told.contains("needs a full credential; \"host\" is write-only"),
            "{told}"
        );
    }
    let refused = thief
        .revoke_writer(icecore::id::WriterId([1; 16]))
        .unwrap_err();
    assert!(
        refused.to_string().contains("needs a full credential"),
        "{refused}"
    );
}

#[test]
fn it_neither_forgets_nor_prunes_nor_holds() {
    let world = World::new("deletes");
    let before = world.store.list_all("").unwrap().len();
    let thief = world.thief("deletes too");
    let named = icecore::forget::ForgetPlan::by_name(
        &thief,
        &[world.taken[1]],
        icecore::retention::GroupBy::default(),
    );
    let forgot = named.unwrap().execute(true).unwrap_err();
    assert!(
        forgot.to_string().contains("may not forget snapshots"),
        "{forgot}"
    );
    let held = thief.add_hold(world.taken[1], None, "").unwrap_err();
    assert!(
        held.to_string().contains("may not hold snapshots"),
        "{held}"
    );
    let context = Context {
        monitor: &Silent,
        cancel: &Cancel::default(),
        sleeper: &icecore::env::SystemSleeper,
    };
    let pruned = PrunePlan::new(&thief, PruneOptions::default(), context).unwrap_err();
    assert!(pruned.to_string().contains("may not prune"), "{pruned}");
    assert_eq!(world.store.list_all("").unwrap().len(), before);
}

/// Copies: what is done to one is not seen in the other.
fn apart(world: &World) -> World {
    let caches = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    for (from, to) in world.caches.iter().zip(&caches) {
        for kept in std::fs::read_dir(from.path().join("host-keys")).unwrap() {
            let kept = kept.unwrap();
            std::fs::create_dir_all(to.path().join("host-keys")).unwrap();
            std::fs::copy(
                kept.path(),
                to.path().join("host-keys").join(kept.file_name()),
            )
            .unwrap();
        }
    }
    World {
        store: copy(&world.store),
        caches,
        taken: world.taken,
    }
}
