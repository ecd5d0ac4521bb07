//! The promises of [`Store`], as tests that every store and every wrapper passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::env::Timestamp;
use crate::store::{ObjectKey, Store, StoreErrorKind, StoreExt, StoreResult};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Checks every promise, each on an empty store of its own from `make`. Panics where one is broken.
pub fn run(make: &mut dyn FnMut() -> Box<dyn Store>) {
    let promises: [fn(&dyn Store); 17] = [
        put_then_read,
        missing_objects_are_not_found,
        put_replaces_whole_objects,
        replacement_is_atomic,
        put_is_visible_in_list,
        delete_is_idempotent,
        delete_hides,
        limits_are_respected,
        ranges_at_the_edges,
        ranges_beyond_the_end,
        prefixes_are_whole_parts,
        list_stops_when_told,
        list_may_call_the_store,
        objects_of_every_size,
        concurrent_puts_and_lists,
        barrier_is_idempotent,
        sweeping_spares_objects,
    ];
    for promise in promises {
        promise(&*make());
    }
    location_is_stable_and_single_line(&*make());
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let found = store.list_all(prefix).unwrap();
    found.into_iter().map(|info| info.key.to_string()).collect()
}

/// Bytes that differ everywhere, so that a read from a wrong place shows.
fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|i| ((i * 31 + seed * 17) ^ (i >> 8)) as u8)
        .collect()
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(result: StoreResult<T>, kind: StoreErrorKind) {
    assert_eq!(result.unwrap_err().kind, kind);
}

/// What was put is what get, get_range and stat show.
pub fn put_then_read(store: &dyn Store) {
    let (name, bytes) = (key("packs/ab/abcd"), content(5000, 1));
    store.put(&name, &bytes).unwrap();
    assert_eq!(store.get(&name, 5000).unwrap(), bytes);
    let mut part = [0; 100];
    store.get_range(&name, 1234, &mut part).unwrap();
    assert_eq!(part, bytes[1234..1334]);
    let info = store.stat(&name).unwrap();
    assert_eq!((info.key, info.size), (name, 5000));
}

/// Reading what is not there is `NotFound`, also in places that do not exist at all.
pub fn missing_objects_are_not_found(store: &dyn Store) {
    store.put(&key("there/is"), b"x").unwrap();
    for name in ["missing", "there/missing", "no/such/place", "there"] {
        let name = key(name);
        assert_kind(store.get(&name, 10), StoreErrorKind::NotFound);
        assert_kind(
            store.get_range(&name, 0, &mut [0; 1]),
            StoreErrorKind::NotFound,
        );
        assert_kind(store.get_range(&name, 0, &mut []), StoreErrorKind::NotFound);
        assert_kind(store.stat(&name), StoreErrorKind::NotFound);
        assert!(!store.exists(&name).unwrap());
    }
    assert!(names(store, "no/such/place").is_empty());
}

/// A second put leaves nothing of the first, whichever is longer, also for ranged readers.
pub fn put_replaces_whole_objects(store: &dyn Store) {
    let name = key("a/b");
    for (round, length) in [3000, 10, 0, 500].into_iter().enumerate() {
        let bytes = content(length, round);
        store.put(&name, &bytes).unwrap();
        assert_eq!(store.get(&name, 3000).unwrap(), bytes);
        let mut all = vec![0; length];
        store.get_range(&name, 0, &mut all).unwrap();
        assert_eq!(all, bytes);
        assert_eq!(store.stat(&name).unwrap().size, length as u64);
    }
    assert_eq!(names(store, ""), ["a/b"]);
}

/// While an object is replaced over and over, a reader sees one whole version or another.
pub fn replacement_is_atomic(store: &dyn Store) {
    let name = key("beat");
    let versions = [content(70_000, 1), content(300, 2)];
    store.put(&name, &versions[0]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20 {
                store.put(&name, &versions[round % 2]).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut finished = false;
        while !finished {
            finished = done.load(Ordering::Acquire);
            let seen = store.get(&name, 100_000).unwrap();
            assert!(
                versions.contains(&seen),
                "torn object of {} bytes",
                seen.len()
            );
        }
    });
}

/// LIST shows an object as soon as its put returned, once, with its size.
pub fn put_is_visible_in_list(store: &dyn Store) {
    for number in 0..30usize {
        store
            .put(&key(&format!("index/{number:02}")), &content(number, 0))
            .unwrap();
        let found = store.list_all("index").unwrap();
        assert_eq!(found.len(), number + 1);
        assert_eq!(found[number].size, number as u64);
    }
    store.barrier().unwrap();
    assert_eq!(store.list_all("").unwrap().len(), 30);
}

/// Deleting nothing is success, as often as one likes.
pub fn delete_is_idempotent(store: &dyn Store) {
    let name = key("gc/x");
    store.delete(&name).unwrap();
    store.put(&name, b"x").unwrap();
    for _ in 0..3 {
        store.delete(&name).unwrap();
    }
    store.delete(&key("no/such/place")).unwrap();
    store.delete(&key("gc")).unwrap();
}

/// A deleted object is gone for every call, even if ranges of it were just read; its neighbours
/// stay, and the name can be used again.
pub fn delete_hides(store: &dyn Store) {
    let (name, neighbour) = (key("packs/a"), key("packs/b"));
    store.put(&name, b"old").unwrap();
    store.put(&neighbour, b"stays").unwrap();
    store.get_range(&name, 0, &mut [0; 3]).unwrap();
    store.delete(&name).unwrap();
    assert_kind(
        store.get_range(&name, 0, &mut [0; 3]),
        StoreErrorKind::NotFound,
    );
    assert_kind(store.get(&name, 3), StoreErrorKind::NotFound);
    assert_kind(store.stat(&name), StoreErrorKind::NotFound);
    assert_eq!(names(store, ""), ["packs/b"]);
    store.put(&name, b"new").unwrap();
    assert_eq!(store.get(&name, 3).unwrap(), b"new");
}

/// An object of exactly the limit is read, one of a byte more is `BadLength`.
pub fn limits_are_respected(store: &dyn Store) {
    let name = key("a");
    store.put(&name, &content(100, 0)).unwrap();
    assert_eq!(store.get(&name, 100).unwrap().len(), 100);
    assert_eq!(store.get(&name, usize::MAX).unwrap().len(), 100);
    assert_kind(store.get(&name, 99), StoreErrorKind::BadLength);
    assert_kind(store.get(&name, 0), StoreErrorKind::BadLength);
}

/// First byte, last byte, everything, and nothing at either end.
pub fn ranges_at_the_edges(store: &dyn Store) {
    let (name, bytes) = (key("a"), content(1000, 3));
    store.put(&name, &bytes).unwrap();
    for (offset, length) in [(0, 1), (999, 1), (0, 1000), (0, 0), (1000, 0), (500, 500)] {
        let mut part = vec![0; length];
        store.get_range(&name, offset as u64, &mut part).unwrap();
        assert_eq!(part, bytes[offset..offset + length]);
    }
}

/// Ranges that are not wholly inside the object are `BadLength`.
pub fn ranges_beyond_the_end(store: &dyn Store) {
    let name = key("a");
    store.put(&name, &content(1000, 3)).unwrap();
    for (offset, length) in [(0, 1001), (999, 2), (1000, 1), (1001, 0), (u64::MAX, 1)] {
        let mut part = vec![0; length];
        assert_kind(
            store.get_range(&name, offset, &mut part),
            StoreErrorKind::BadLength,
        );
    }
}

/// `a/b` covers `a/b/c`, not `a/bc`; an object's own key covers just it; a prefix that no key can
/// have is refused.
pub fn prefixes_are_whole_parts(store: &dyn Store) {
    for name in ["a/b/c", "a/b/d/e", "a/bc", "ab", "a/b-c", "a/b.c"] {
        store.put(&key(name), b"").unwrap();
    }
    assert_eq!(names(store, "a/b"), ["a/b/c", "a/b/d/e"]);
    assert_eq!(names(store, "a/b/d"), ["a/b/d/e"]);
    assert_eq!(names(store, "a/bc"), ["a/bc"]);
    assert_eq!(names(store, "a").len(), 5);
    assert_eq!(names(store, "").len(), 6);
    assert!(names(store, "b").is_empty());
    for prefix in ["a/", "/", "/a", "..", "a/../b", "A", "a//b"] {
        assert_kind(store.list_all(prefix), StoreErrorKind::Permanent);
    }
}

/// After a break the visitor is not called again.
pub fn list_stops_when_told(store: &dyn Store) {
    for number in 0..10 {
        store.put(&key(&format!("a/{number}")), b"").unwrap();
    }
    let mut seen = 0;
    store
        .list("a", &mut |_| {
            seen += 1;
            if seen == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(seen, 3);
}

/// A visitor may read and delete what it is shown.
pub fn list_may_call_the_store(store: &dyn Store) {
    for number in 0..10 {
        store.put(&key(&format!("a/{number}")), b"x").unwrap();
    }
    let mut seen = BTreeSet::new();
    store
        .list("a", &mut |info| {
            assert_eq!(store.get(&info.key, 1).unwrap(), b"x");
            store.delete(&info.key).unwrap();
            seen.insert(info.key);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen.len(), 10);
    assert!(names(store, "").is_empty());
}

/// From nothing to 10 MiB.
pub fn objects_of_every_size(store: &dyn Store) {
    for length in [0, 1, 4095, 4096, 4097, 10 << 20] {
        let (name, bytes) = (key(&format!("size/{length}")), content(length, 9));
        store.put(&name, &bytes).unwrap();
        assert!(store.get(&name, length).unwrap() == bytes, "{length} bytes");
        assert_eq!(store.stat(&name).unwrap().size, length as u64);
    }
    let mut tail = [0; 4096];
    store
        .get_range(&key("size/10485760"), (10 << 20) - 4096, &mut tail)
        .unwrap();
    assert_eq!(tail, content(10 << 20, 9)[(10 << 20) - 4096..]);
}

/// Threads put into shared and new places while others list: each listing shows at least what was
/// put before it began.
pub fn concurrent_puts_and_lists(store: &dyn Store) {
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            scope.spawn(move || {
                for number in 0..8usize {
                    let name = key(&format!("packs/{number}/{thread}"));
                    store.put(&name, &content(100 * number, thread)).unwrap();
                    let own = names(store, "packs");
                    let own = own
                        .iter()
                        .filter(|name| name.ends_with(&format!("/{thread}")));
                    assert_eq!(own.count(), number + 1);
                    store.barrier().unwrap();
                }
            });
        }
    });
    assert_eq!(names(store, "packs").len(), 32);
    for number in 0..8usize {
        let bytes = store.get(&key(&format!("packs/{number}/3")), 1000).unwrap();
        assert_eq!(bytes, content(100 * number, 3));
    }
}

/// A barrier succeeds with nothing to do, and twice.
pub fn barrier_is_idempotent(store: &dyn Store) {
    store.barrier().unwrap();
    store.put(&key("a/b/c"), b"x").unwrap();
    store.barrier().unwrap();
    store.barrier().unwrap();
    store.delete(&key("a/b/c")).unwrap();
    store.barrier().unwrap();
    assert!(names(store, "").is_empty());
}

/// A sweep takes only what no key names.
pub fn sweeping_spares_objects(store: &dyn Store) {
    store.put(&key("a/b"), b"x").unwrap();
    store.put(&key("c"), b"").unwrap();
    let swept = store.sweep(Timestamp(i64::MAX)).unwrap();
    assert_eq!((swept.files, swept.bytes), (0, 0));
    assert_eq!(names(store, ""), ["a/b", "c"]);
}

/// The location fits a message, is the same every time and carries no credentials of a URL; errors
/// name it and the object.
pub fn location_is_stable_and_single_line(store: &dyn Store) {
    let location = store.location();
    assert!(!location.is_empty() && !location.contains('\n'));
    assert_eq!(location, store.location());
    let authority = location.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or("");
    assert!(!authority.contains('@'), "credentials in {location}");
    let error = store.get(&key("some/object"), 1).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("some/object") && message.contains(&location),
        "{message}"
    );
    assert!(
        !message.contains(&error.source.to_string()),
        "display repeats its source"
    );
}
