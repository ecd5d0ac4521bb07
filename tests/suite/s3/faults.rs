//! Networks and servers that fail: everything is repeated, nothing wrong is taken for right, and
//! what a call did is known in the end.

use super::{key, open, retrying};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::s3_server::{S3Server, location};
use crate::support::tree::noise;
use icecore::monitor::Cancel;
use icecore::store::{S3Options, S3Store, Store, StoreErrorKind, StoreExt};
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Each request meets the fault the first time that it is made.
fn once(fault: Fault) -> impl Fn(&crate::support::fault_proxy::Request) -> Option<Fault> {
    let met = Mutex::new(HashSet::new());
    move |request| {
        let name = (
            request.method.clone(),
            request.path.clone(),
            request.header("range").map(str::to_owned),
        );
        met.lock().unwrap().insert(name).then_some(fault)
    }
}

#[test]
fn every_call_survives_every_fault() {
    let server = S3Server::start();
    let faults = [
        Fault::Delay(Duration::from_millis(150)),
        Fault::Refuse,
        Fault::LoseAnswer,
        Fault::Truncate,
        Fault::Shorten,
        Fault::CorruptRequest,
        Fault::Duplicate,
        Fault::Status(503, "SlowDown"),
        Fault::Status(429, "TooManyRequests"),
        Fault::Status(500, "InternalError"),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let proxy = FaultProxy::start(server.address());
        proxy.plan(once(fault));
        let place = location(proxy.address(), "bucket", &format!("p{number}"));
        let store = retrying(open(&place));
        let bytes = noise(number as u64, 200_000);
        let name = key("packs/data/aa/bb");
        store.put(&name, &bytes).unwrap();
        assert!(store.get(&name, 1 << 20).unwrap() == bytes, "{fault:?}");
        let mut part = vec![0; 1000];
        store.get_range(&name, 77_777, &mut part).unwrap();
        assert!(part == bytes[77_777..78_777], "{fault:?}");
        assert_eq!(store.stat(&name).unwrap().size, 200_000, "{fault:?}");
        let listed = store.list_all("packs").unwrap();
        assert_eq!((listed.len(), listed[0].size), (1, 200_000), "{fault:?}");
        store.delete(&name).unwrap();
        assert!(!store.exists(&name).unwrap(), "{fault:?}");
    }
}

/// A whole object carries its checksum; of a range the layers above find out.
#[test]
fn a_corrupt_answer_is_read_again() {
    let server = S3Server::start();
    let proxy = FaultProxy::start(server.address());
    let store = open(&location(proxy.address(), "bucket", "p"));
    let bytes = noise(1, 50_000);
    store.put(&key("index/a"), &bytes).unwrap();
    proxy.plan(once(Fault::CorruptAnswer));
    assert!(store.get(&key("index/a"), 1 << 20).unwrap() == bytes);
    assert_eq!(proxy.requests().len(), 3, "a put, and two readings");
}

/// What a server that is overloaded for long, or a dead connection, comes to: an error that says
/// that it may pass, in bounded time, and nothing half-written.
#[test]
fn what_does_not_pass_ends_in_bounded_time() {
    let server = S3Server::start();
    for fault in [
        Fault::Status(503, "SlowDown"),
        Fault::Hang,
        Fault::LoseAnswer,
    ] {
        let proxy = FaultProxy::start(server.address());
        proxy.plan(move |request| (request.method == "PUT").then_some(fault));
        let store = open(&location(proxy.address(), "bucket", "p"));
        let begin = Instant::now();
        let error = store.put(&key("a"), &noise(2, 10_000)).unwrap_err();
        assert_eq!(
            error.kind,
            StoreErrorKind::Transient,
            "{fault:?}: {error:?}"
        );
        assert!(begin.elapsed() < Duration::from_secs(20), "{fault:?}");
        match store.get(&key("a"), 1 << 20) {
            Ok(found) => assert!(found == noise(2, 10_000), "{fault:?}"),
            Err(error) => assert!(error.is_not_found(), "{fault:?}: {error:?}"),
        }
    }
}

#[test]
fn a_stop_ends_a_call_that_hangs() {
    let server = S3Server::start();
    let proxy = FaultProxy::start(server.address());
    proxy.plan(|_| Some(Fault::Hang));
    let cancel = Cancel::default();
    let options = S3Options {
        credentials: Some(("id".to_owned(), "key".to_owned().into())),
        cancel: cancel.clone(),
        ..S3Options::default()
    };
    let place = location(proxy.address(), "bucket", "p").parse().unwrap();
    let store = S3Store::open(&place, &options).unwrap();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            cancel.cancel();
        });
        store.list_all("").unwrap_err();
    });
    assert!(begin.elapsed() < Duration::from_secs(10));
}
