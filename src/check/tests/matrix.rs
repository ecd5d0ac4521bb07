//! Every kind of damage to every kind of object, many times: the check reports exactly what cannot
//! be read.

use crate::check::tests::oracle::{lost, reported};
use crate::check::tests::{all_data, build, checked, clock, keys};
use crate::check::{CheckOptions, scrub};
use crate::crypto::{Argon2Parameters, SecretBytes};
use crate::format::slot::Unlock;
use crate::id::{SessionId, SnapshotId};
use crate::monitor::{Cancel, Silent};
use crate::repository::{NewCredential, Repository};
use crate::store::{MemoryStore, ObjectKey, Store};
use crate::testing_repository::{Files, copy, open};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Flip,
    Truncate,
    Delete,
    /// Another object of the same kind in its place.
    Swap,
    /// An object of the same kind of another repository in its place.
    Foreign,
}

const ACTIONS: [Action; 5] = [
    Action::Flip,
    Action::Truncate,
    Action::Delete,
    Action::Swap,
    Action::Foreign,
];

const KINDS: [&str; 14] = [
    "packs/full",
    "packs/delta",
    "packs/meta",
    "index",
    "snapshots",
    "sets",
    "sessions",
    "proofs",
    "holds",
    "gc",
    "keys/slots",
    "keys/rings",
    "keys/statements",
    "config",
];

/// A cheap sequence of numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

struct Case {
    store: MemoryStore,
    key: ObjectKey,
    action: Action,
}

/// Damages one object; `None` where that is not possible.
fn damage(
    whole: &MemoryStore,
    foreign: &MemoryStore,
    kind: &str,
    action: Action,
    random: &mut Random,
) -> Option<Case> {
    let store = copy(whole, clock());
    let own = keys(&store, kind);
    assert!(!own.is_empty(), "no {kind}");
    let key = own[random.below(own.len())].clone();
    let bytes = store.get(&key, usize::MAX).unwrap();
    match action {
        Action::Delete => store.delete(&key).unwrap(),
        Action::Flip => {
            let mut bytes = bytes;
            // Half of the time near the front, where heads are.
            let end = match random.below(2) {
                0 => bytes.len(),
                _ => bytes.len().min(4096),
            };
            let place = random.below(end);
            bytes[place] ^= 1 << random.below(8);
            store.put(&key, &bytes).unwrap();
        }
        Action::Truncate => store
            .put(&key, &bytes[..random.below(bytes.len())])
            .unwrap(),
        Action::Swap | Action::Foreign => {
            let from = if action == Action::Swap {
                whole
            } else {
                foreign
            };
            let mut others = keys(from, kind);
            others.retain(|other| *other != key || action == Action::Foreign);
            let other = others.get(random.below(others.len().max(1)))?;
            let other = from.get(other, usize::MAX).unwrap();
            if other == bytes {
                return None;
            }
            store.put(&key, &other).unwrap();
        }
    }
    Some(Case { store, key, action })
}

/// A deleted object that nothing else names cannot be missed.
fn is_named_elsewhere(case: &Case, taken: &[(SnapshotId, Files)]) -> bool {
    let key = case.key.as_str();
    let last = taken.last().unwrap().0.to_string();
    key.starts_with("packs/") || key.starts_with("snapshots/") && !key.ends_with(&last)
}

fn is_flag(key: &ObjectKey) -> bool {
    key.as_str().starts_with("sessions/") || key.as_str().starts_with("gc/")
}

/// Holds, one of them released; a snapshot forgotten and brought back; a closed session.
fn protect(repository: &Repository, taken: &[(SnapshotId, Files)]) {
    let first = taken.first().unwrap().0;
    let last = taken.last().unwrap().0;
    repository.add_hold(first, None, "kept").unwrap();
    let released = repository.add_hold(last, None, "").unwrap();
    repository.release_hold(released, "over").unwrap();
    let session = repository.load_snapshot(first).unwrap().unwrap().session;
    repository
        .close_session(SessionId([9; 16]), session)
        .unwrap();
    repository.put_hide(vec![first], true, vec![]).unwrap();
    crate::forget::undo(repository, &[first]).unwrap();
}

fn verify(case: &Case, taken: &[(SnapshotId, Files)], remark: &str) {
    let remark = format!("{remark}: {:?} {}", case.action, case.key);
    let scrubbed = scrub(&case.store, 1, &Silent, &Cancel::default()).unwrap();
    let deleted = case.action == Action::Delete;
    let found: Vec<_> = scrubbed.damage.iter().map(|d| d.object.as_str()).collect();
    match deleted && case.key.as_str() != "config" {
        true => assert!(found.is_empty(), "{remark}: {found:?}"),
        // Another repository's config is as good without a key.
        false if case.action == Action::Foreign && case.key.as_str() == "config" => {}
        // Of a fence nothing counts but that it is there.
        false if case.key.as_str().ends_with(".fence") => {}
        // Another flag is as good, but for its name.
        false if is_flag(&case.key) && !matches!(case.action, Action::Flip | Action::Truncate) => {}
        false => assert_eq!(found, [case.key.as_str()], "{remark}"),
    }
    let Ok(repository) = open(Arc::new(case.store.clone()), &remark, clock()) else {
        assert!(case.key.as_str().starts_with("keys/") || case.key.as_str() == "config");
        return;
    };
    let report = checked(&repository, &all_data());
    let named = (report.damage.iter()).any(|damage| damage.object == case.key.as_str());
    // A hide record counts under any name.
    let key = case.key.as_str();
    let swapped_hide = key.ends_with(".hide") && case.action == Action::Swap;
    let says_nothing = key.ends_with(".fence") || swapped_hide;
    if !says_nothing && (!deleted || is_named_elsewhere(case, taken)) {
        assert!(named, "{remark}: {:?}", report.damage);
    }
    assert!(report.complete, "{remark}");
    // Without the record that showed it again a snapshot is a forgotten one.
    let forgotten = case.key.as_str().ends_with(".hide");
    let taken = &taken[usize::from(forgotten)..];
    let mut lost = lost(&repository, taken);
    if deleted && !is_named_elsewhere(case, taken) {
        let last = taken.last().unwrap().0;
        let is_lost = |id: SnapshotId| case.key.as_str().ends_with(&id.to_string());
        lost.retain(|(id, _), _| *id != last || !is_lost(*id));
    }
    let mut reported = reported(&report, taken);
    reported.retain(|(id, _), _| taken.iter().any(|(taken, _)| taken == id));
    assert_eq!(reported, lost, "{remark}");
}

#[test]
fn damage_is_located_exactly() {
    let (whole, foreign) = (MemoryStore::new(), MemoryStore::new());
    let taken = build(&whole, "matrix", clock());
    let others = build(&foreign, "another", clock());
    for store in [&whole, &foreign] {
        let mut repository = open(Arc::new(store.clone()), "prove", clock()).unwrap();
        // A second slot, ring and statement.
        let second = NewCredential {
            label: "second".into(),
            unlock: &Unlock::Key(SecretBytes::new(vec![8; 32])),
            cost: Argon2Parameters::default(),
        };
        repository.add_credential(&second).unwrap();
        repository.create_domain("other").unwrap();
        let taken = if std::ptr::eq(store, &whole) {
            &taken
        } else {
            &others
        };
        protect(&repository, taken);
        let report = checked(&repository, &all_data());
        assert_eq!(report.damage, [], "the whole one");
        assert_eq!(report.packs_checked, report.packs_total);
    }
    let mut cases = 0;
    for seed in 0..4 {
        for kind in KINDS {
            for action in ACTIONS {
                let mut random = Random(seed * 7919 + cases);
                if let Some(case) = damage(&whole, &foreign, kind, action, &mut random) {
                    verify(&case, &taken, &format!("seed {seed}"));
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 200, "{cases} cases");
}

#[test]
fn structure_alone_finds_what_is_missing_or_cut_off() {
    let whole = MemoryStore::new();
    let taken = build(&whole, "structure", clock());
    for key in keys(&whole, "packs")
        .into_iter()
        .chain(keys(&whole, "index"))
    {
        for cut in [false, true] {
            let store = copy(&whole, clock());
            if cut {
                let bytes = store.get(&key, usize::MAX).unwrap();
                store.put(&key, &bytes[..bytes.len() / 3]).unwrap();
            } else {
                store.delete(&key).unwrap();
            }
            let repository = open(Arc::new(store), "structure check", clock()).unwrap();
            let report = checked(&repository, &CheckOptions::default());
            assert_eq!(report.bytes_read, 0);
            assert_eq!(
                reported(&report, &taken),
                lost(&repository, &taken),
                "{key}"
            );
            assert!(!report.damage.is_empty(), "{key}");
        }
    }
}
