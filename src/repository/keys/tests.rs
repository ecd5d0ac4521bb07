#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::crypto::{Argon2Parameters, SecretBytes};
use crate::entry::Layout;
use crate::env::Timestamp;
use crate::format::slot::Unlock;
use crate::id::{SessionId, SnapshotId, WriterId};
use crate::monitor::{Monitor, Unit};
use crate::repository::{HoldError, KeepError, KeyError, NewCredential, Repository};
use crate::store::{MemoryStore, ObjectKey, Store, StoreExt};
use crate::testing::{FixedClock, SeededEntropy};
use crate::testing_repository::{Files, create, open, take};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Keeps warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Monitor for Warnings {
    fn phase(&self, _: &'static str, _: Unit, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn current(&self, _: &str) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(Timestamp(1_700_000_000_000_000_000)))
}

fn files(content: &str) -> Files {
    let file = (Layout::Stream, content.as_bytes().to_vec());
    Files::from([("file".to_owned(), file)])
}

fn remembering(store: &MemoryStore, seed: &str, cache: &Path) -> (Repository, Vec<String>) {
    let mut repository = open(Arc::new(store.clone()), seed, clock()).unwrap();
    let warnings = Warnings::default();
    repository.remember_statements(cache, &warnings);
    (repository, warnings.0.into_inner().unwrap())
}

fn statements(store: &MemoryStore) -> Vec<ObjectKey> {
    let infos = store.list_all("keys/statements").unwrap();
    infos.into_iter().map(|info| info.key).collect()
}

#[test]
fn an_older_statement_than_was_seen_is_not_written_under() {
    let cache = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let made = create(Arc::new(store.clone()), "memory", clock());
    let taken = take(&made, &files("content"));
    let (mut repository, warned) = remembering(&store, "first", cache.path());
    assert_eq!(
        (repository.access().statement().number, warned.len()),
        (1, 0)
    );
    repository.create_domain("other").unwrap();

    let newest = statements(&store).pop().unwrap();
    let bytes = store.get(&newest, usize::MAX).unwrap();
    store.delete(&newest).unwrap();
    let (mut replayed, warned) = remembering(&store, "second", cache.path());
    assert!(warned[0].contains("statement 1") && warned[0].contains("but 2 was seen"));
    // What was seen is used, so reading goes on.
    assert_eq!(replayed.access().statement().number, 2);
    let (list, _) = replayed.list_snapshots().unwrap();
    assert_eq!(list.visible[0].id, taken);
    let refused = |error: KeyError| matches!(error, KeyError::Replayed { shown: 1, seen: 2 });
    assert!(refused(replayed.access().domain(None).unwrap_err()));
    assert!(refused(replayed.create_domain("third").unwrap_err()));
    let named = &ObjectKey::new(newest.as_str().to_owned()).unwrap();
    let hidden = replayed.put_hide(vec![taken], true, vec![]).unwrap_err();
    assert!(hidden.to_string().contains("but 2 was seen"), "{hidden}");
    assert_eq!(statements(&store).len(), 1);

    // Brought back, everything is as it was.
    store.put(named, &bytes).unwrap();
    let (repository, warned) = remembering(&store, "third", cache.path());
    assert!(warned.is_empty() && repository.access().domain(None).is_ok());
}

#[test]
fn a_memory_can_only_forget() {
    let cache = tempfile::tempdir().unwrap();
    let memory = cache.path().join("statements");
    let (store, foreign) = (MemoryStore::new(), MemoryStore::new());
    create(Arc::new(store.clone()), "own", clock());
    create(Arc::new(foreign.clone()), "foreign", clock());
    remembering(&store, "remembers", cache.path());
    let files = |path: &Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!(files(&memory), 1);
    // Another root's statement, an own one under a higher number, and no statement at all.
    let bytes = |store: &MemoryStore| store.get(&statements(store)[0], usize::MAX).unwrap();
    std::fs::write(memory.join(format!("{:016x}", 9)), bytes(&foreign)).unwrap();
    std::fs::write(memory.join(format!("{:016x}", 8)), bytes(&store)).unwrap();
    std::fs::write(memory.join(format!("{:016x}", 7)), "no statement").unwrap();
    let (repository, warned) = remembering(&store, "again", cache.path());
    assert!(warned.is_empty(), "{warned:?}");
    assert!(repository.access().domain(None).is_ok());
    std::fs::remove_dir_all(&memory).unwrap();
    remembering(&store, "anew", cache.path());
    assert_eq!(files(&memory), 1);
}

fn second() -> Unlock {
    Unlock::Key(SecretBytes::new(vec![8; 32]))
}

/// A repository with a second credential, opened with that.
fn opened_by_second(store: &MemoryStore, seed: &str) -> Repository {
    let entropy = Arc::new(SeededEntropy::new(seed));
    Repository::open(Arc::new(store.clone()), &second(), entropy, clock()).unwrap()
}

/// Publishes the statement alone: nothing is closed.
fn revoke(store: &MemoryStore, writer: WriterId) {
    let mut repository = open(Arc::new(store.clone()), "revokes", clock()).unwrap();
    let mut statement = repository.access().statement().clone();
    statement.revoked.push(writer);
    repository.publish(statement).unwrap();
}

#[test]
fn a_revocation_keeps_what_was_committed_and_nothing_later() {
    let store = MemoryStore::new();
    let mut first = create(Arc::new(store.clone()), "revoking", clock());
    let new = NewCredential {
        label: "second".into(),
        unlock: &second(),
        cost: Argon2Parameters::default(),
    };
    first.add_credential(&new).unwrap();
    let other = opened_by_second(&store, "stolen");
    let committed = [take(&other, &files("1")), take(&other, &files("2"))];
    let refused = first.revoke_writer(first.access().writer()).unwrap_err();
    assert!(refused.to_string().contains("itself"), "{refused}");
    assert_eq!(first.revoke_writer(other.access().writer()).unwrap(), 2);
    // Its holder goes on with a program that does not look.
    let late = take(&other, &files("3"));
    let (list, _) = first.list_snapshots().unwrap();
    let mut visible: Vec<_> = list.visible.iter().map(|snapshot| snapshot.id).collect();
    visible.sort_unstable();
    let mut committed = committed.to_vec();
    committed.sort_unstable();
    assert_eq!((visible, list.void), (committed, vec![late]));
    // Neither a second revocation nor a prune that finds the session dead confirms it.
    let session = first.load_snapshot(late).unwrap().unwrap().session;
    first.close_session(SessionId([9; 16]), session).unwrap();
    assert_eq!(first.revoke_writer(other.access().writer()).unwrap(), 0);
    let (list, _) = first.list_snapshots().unwrap();
    assert_eq!((list.visible.len(), list.void), (2, vec![late]));
    assert_eq!(first.access().statement().number, 2);
}

#[test]
fn of_a_revoked_writer_only_what_was_closed_counts() {
    let store = MemoryStore::new();
    let mut first = create(Arc::new(store.clone()), "revocation", clock());
    let new = NewCredential {
        label: "second".into(),
        unlock: &second(),
        cost: Argon2Parameters::default(),
    };
    first.add_credential(&new).unwrap();
    let own = take(&first, &files("of the first"));
    let other = opened_by_second(&store, "other");
    let closed = take(&other, &files("to be kept"));
    let session = other.load_snapshot(closed).unwrap().unwrap().session;
    let open_one = take(&other, &files("of nobody"));
    first.close_session(SessionId([9; 16]), session).unwrap();

    let visible = |repository: &Repository| -> (Vec<SnapshotId>, Vec<SnapshotId>) {
        let (list, _) = repository.list_snapshots().unwrap();
        let mut ids: Vec<_> = list.visible.iter().map(|snapshot| snapshot.id).collect();
        ids.sort_unstable();
        (ids, list.void)
    };
    let sorted = |mut ids: Vec<SnapshotId>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(
        visible(&first),
        (sorted(vec![own, closed, open_one]), vec![])
    );
    revoke(&store, other.access().writer());
    let first = open(Arc::new(store.clone()), "after", clock()).unwrap();
    assert_eq!(visible(&first), (sorted(vec![own, closed]), vec![open_one]));
    let held = first.add_hold(open_one, None, "").unwrap_err();
    assert!(
        matches!(held, HoldError::Keep(KeepError::Gone(_))),
        "{held}"
    );
    first.add_hold(closed, None, "").unwrap();

    // Its holder reads what counts, and is told before anything is written in vain.
    let before = store.list_all("").unwrap().len();
    let revoked = opened_by_second(&store, "revoked");
    assert_eq!(visible(&revoked).1, [open_one]);
    let refused = revoked.access().domain(None).unwrap_err();
    assert!(matches!(refused, KeyError::Revoked(_)), "{refused}");
    let refused = revoked.put_hide(vec![own], true, vec![]).unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
    assert_eq!(store.list_all("").unwrap().len(), before);
}

#[test]
fn a_proof_of_a_revoked_writer_is_not_believed() {
    use crate::format::protocol::{Proof, ProofKind};
    let store = MemoryStore::new();
    let mut first = create(Arc::new(store.clone()), "proofs", clock());
    let new = NewCredential {
        label: "second".into(),
        unlock: &second(),
        cost: Argon2Parameters::default(),
    };
    first.add_credential(&new).unwrap();
    let other = opened_by_second(&store, "proves");
    let proof = Proof {
        kind: ProofKind::ReadData,
        finished: Timestamp(1),
        packs: vec![],
        snapshots: vec![],
        milliseconds: 1,
        remark: String::new(),
    };
    other.put_proof(&proof).unwrap();
    assert!(first.load_proofs().unwrap().proofs[0].credible);
    revoke(&store, other.access().writer());
    let first = open(Arc::new(store), "after", clock()).unwrap();
    assert!(!first.load_proofs().unwrap().proofs[0].credible);
}
