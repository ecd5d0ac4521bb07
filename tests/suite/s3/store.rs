//! The store itself: its contract, what it sends, what it says when it cannot.

use super::{key, open, open_with, retrying};
use crate::support::fault_proxy::FaultProxy;
use crate::support::s3_server::{S3Server, SECRET, location};
use icecore::env::SystemEntropy;
use icecore::explain::explain;
use icecore::monitor::Cancel;
use icecore::store::{
    CreateNew, Pacing, Store, StoreError, StoreErrorKind, StoreExt, contract, observe,
};
use std::time::{Duration, Instant};

#[test]
fn keeps_the_contract() {
    let server = S3Server::start();
    let mut made = 0;
    contract::run(&mut || {
        made += 1;
        let bucket = format!("bucket-{made}");
        server.make_bucket(&bucket);
        let prefix = ["", "deep/prefix"][made % 2];
        Box::new(retrying(open(&location(server.address(), &bucket, prefix))))
    });
}

#[test]
fn neighbours_in_the_bucket_are_not_seen() {
    let server = S3Server::start();
    let (one, other) = (
        open(&server.location("one")),
        open(&server.location("one-more")),
    );
    one.put(&key("packs/a"), b"1").unwrap();
    other.put(&key("packs/b"), b"2").unwrap();
    open(&server.location("")).put(&key("one.c"), b"3").unwrap();
    let names = |store: &dyn Store| store.list_all("").unwrap().len();
    assert_eq!((names(&one), names(&other)), (1, 1));
}

#[test]
fn a_listing_of_many_pages_is_whole() {
    let server = S3Server::start();
    let store = open(&server.location("many"));
    for number in 0..1100 {
        let path = server.object(&format!("many/gc/{number}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    assert_eq!(store.list_all("gc").unwrap().len(), 1100);
}

/// What `vendor.rs` promises to all vendors.
#[test]
fn requests_are_what_every_vendor_takes() {
    let server = S3Server::start();
    let proxy = FaultProxy::start(server.address());
    let class = location(proxy.address(), "bucket", "p") + "&storage-class=STANDARD_IA";
    let store = open(&class);
    store.put(&key("packs/full/ab/cd"), &[7; 100_000]).unwrap();
    store.put(&key("packs/meta/ab/cd"), b"x").unwrap();
    store.put(&key("gc/x.fence"), b"").unwrap();
    store.get(&key("packs/meta/ab/cd"), 10).unwrap();
    let mut range = [0; 10];
    store
        .get_range(&key("packs/full/ab/cd"), 90, &mut range)
        .unwrap();
    store.list_all("packs").unwrap();
    store.delete(&key("gc/x.fence")).unwrap();
    let requests = proxy.requests();
    assert_eq!(requests.len(), 7, "one request each: {requests:#?}");
    for request in &requests {
        let content = request.header("x-amz-content-sha256").unwrap();
        assert!(
            content.len() == 64 && content.bytes().all(|b| b.is_ascii_hexdigit()),
            "the payload is signed: {content}"
        );
        for refused in [
            "accept-encoding",
            "content-encoding",
            "transfer-encoding",
            "x-amz-trailer",
            "x-amz-sdk-checksum-algorithm",
            "expect",
        ] {
            assert_eq!(request.header(refused), None, "{request:#?}");
        }
        assert!(request.path.starts_with("/bucket"), "{}", request.path);
        if request.method == "PUT" {
            assert_eq!(request.header("content-md5").unwrap().len(), 24);
            let length = request.header("content-length").unwrap();
            assert_eq!(length, request.body.to_string());
        }
    }
    let classes: Vec<_> = requests
        .iter()
        .map(|request| request.header("x-amz-storage-class"))
        .collect();
    assert_eq!(classes[..3], [Some("STANDARD_IA"), None, None]);
    let range = requests[4].header("range").unwrap();
    assert_eq!(range, "bytes=90-99");
}

/// Bit rot at the provider is damage, found by the layers above; not a reason to try for ever.
#[test]
fn what_was_changed_where_it_lies_is_given_out_as_it_is() {
    let server = S3Server::start();
    let store = open(&server.location("p"));
    store.put(&key("snapshots/a"), b"content").unwrap();
    std::fs::write(server.object("p/snapshots/a"), b"contemt").unwrap();
    assert_eq!(store.get(&key("snapshots/a"), 100).unwrap(), b"contemt");
}

#[test]
fn a_bucket_is_tried_out() {
    let server = S3Server::start();
    let store = open(&server.location("p"));
    let seen = observe(&store, &Pacing::system(Cancel::default()), &SystemEntropy).unwrap();
    assert_eq!(seen.lag, Duration::ZERO);
    assert_eq!(seen.clock_ahead_seconds, Some(0));
    // This server looks, then writes: who wins a race is chance, that there is a condition is not.
    let create_new = store.probe_create_new(&SystemEntropy).unwrap();
    assert_ne!(create_new, CreateNew::Unsupported);
    assert!(store.list_all("").unwrap().is_empty(), "nothing is left");
}

#[track_caller]
fn assert_says(error: &StoreError, kind: StoreErrorKind, text: &str, remedy: &str) {
    let message = explain(error);
    assert_eq!(error.kind, kind, "{message}");
    assert!(message.contains(text), "{message}");
    let given = error.remedy().unwrap_or_default();
    assert!(given.contains(remedy), "{given}");
    assert!(!message.contains(SECRET) && !given.contains(SECRET));
}

#[test]
fn failures_say_what_and_what_next() {
    let server = S3Server::start();
    let name = key("gc/a");
    let wrong = open_with(&server.location("p"), "another-secret").unwrap();
    let error = wrong.put(&name, b"x").unwrap_err();
    let denied = StoreErrorKind::PermissionDenied;
    assert_says(&error, denied, "SignatureDoesNotMatch", "AWS_ACCESS_KEY_ID");

    let nowhere = open(&location(server.address(), "no-such-bucket", "p"));
    let error = nowhere.list_all("").unwrap_err();
    assert_says(
        &error,
        StoreErrorKind::NoStore,
        "NoSuchBucket",
        "make the bucket",
    );

    let text = "s3://bucket?endpoint=http://192.0.2.1&region=x";
    let error = open_with(text, SECRET).unwrap_err();
    let unavailable = StoreErrorKind::Unavailable;
    assert_says(&error, unavailable, "not encrypted", "https://");

    let tls = format!("s3://bucket?endpoint=https://{}", server.address());
    let error = open(&tls).put(&name, b"x").unwrap_err();
    assert_says(&error, unavailable, "no TLS", "http://");

    let ca = "s3://bucket?endpoint=https://127.0.0.1:9&ca=/dev/null";
    let error = open_with(ca, SECRET).unwrap_err();
    assert_says(&error, unavailable, "there are none", "PEM");
}

#[test]
fn certificates_are_checked_and_a_private_authority_can_be_named() {
    let server = S3Server::start_encrypted();
    let place = format!("s3://bucket/p?endpoint=https://{}", server.address());
    let name = key("gc/a");
    let error = open(&place).put(&name, b"x").unwrap_err();
    let unavailable = StoreErrorKind::Unavailable;
    assert_says(&error, unavailable, "certificate is not trusted", "ca=FILE");
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/s3/tls/ca.pem");
    let store = open(&format!("{place}&ca={ca}"));
    store.put(&name, b"over TLS").unwrap();
    assert_eq!(store.get(&name, 100).unwrap(), b"over TLS");
}

/// A mistyped endpoint is told soon, not after the minutes that a restarting server deserves.
#[test]
fn a_server_that_never_answered_is_given_up_soon() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let store = retrying(open(&location(address, "bucket", "p")));
    let begin = Instant::now();
    let error = store.list_all("").unwrap_err();
    assert_says(
        &error,
        StoreErrorKind::Unavailable,
        "cannot be reached",
        "endpoint",
    );
    assert!(explain(&error).contains(&address.to_string()));
    assert!(begin.elapsed() < Duration::from_secs(10));
}
