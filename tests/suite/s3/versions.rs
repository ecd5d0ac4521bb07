//! On a server with versions: the contract, what a bucket says of itself, what was.

use super::{key, open, retrying};
use crate::support::moto::Moto;
use crate::support::s3_server::S3Server;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter,
};
use icecore::store::{Fact, Harm, Store, StoreExt, contract};

#[test]
fn keeps_the_contract_where_versions_are_kept() {
    let server = Moto::start();
    let mut made = 0;
    contract::run(&mut || {
        made += 1;
        let bucket = format!("bucket-{made}");
        match made % 2 {
            0 => server.make_bucket(&bucket),
            _ => server.make_versioned_bucket(&bucket),
        }
        Box::new(retrying(open(&server.location(&bucket, "deep/prefix"))))
    });
}

#[test]
fn a_bucket_says_how_it_is_set() {
    let server = Moto::start();
    server.make_bucket("plain");
    let facts = open(&server.location("plain", "p")).facts().unwrap();
    // Its answer has a name that no S3 server gives it; the real ones are read.
    assert_eq!(facts.versioning, Fact::Unsupported);
    assert_eq!(facts.object_lock, Fact::Known(None));
    assert!(facts.rules.known().unwrap().hazards.is_empty());
    // This server lets everybody in, and that is what has to be told.
    assert_eq!(facts.is_public, Fact::Known(true));

    server.make_locking_bucket("locking");
    let filter = LifecycleRuleFilter::builder().prefix("p/packs/").build();
    let rule = LifecycleRule::builder()
        .id("tidy")
        .status(ExpirationStatus::Enabled)
        .filter(filter)
        .expiration(LifecycleExpiration::builder().days(90).build())
        .build()
        .unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build();
    let request = server.client.put_bucket_lifecycle_configuration();
    let request = request.bucket("locking");
    let request = request.lifecycle_configuration(rules.unwrap());
    server.wait(request.send()).unwrap();
    let facts = open(&server.location("locking", "p")).facts().unwrap();
    assert!(facts.object_lock.known().unwrap().is_some());
    let hazards = &facts.rules.known().unwrap().hazards;
    assert_eq!(hazards[0].rule, "tidy");
    assert_eq!(hazards[0].harm, Harm::Expires(Some(90)));
    let other = open(&server.location("locking", "q")).facts().unwrap();
    assert!(other.rules.known().unwrap().hazards.is_empty());
}

/// A server that checks who asks lets no stranger in; of what it does not know it says so.
#[test]
fn a_private_bucket_is_private() {
    let server = S3Server::start();
    let facts = open(&server.location("p")).facts().unwrap();
    assert_eq!(facts.is_public, Fact::Known(false));
    assert_eq!(facts.rules, Fact::Unsupported);
    let nowhere = crate::support::s3_server::location(server.address(), "no-such-bucket", "p");
    open(&nowhere).list_all("").unwrap_err();
}

#[test]
fn deleting_for_good_leaves_no_version() {
    let server = Moto::start();
    server.make_versioned_bucket("bucket");
    let store = open(&server.location("bucket", "p"));
    let names = ["packs/a", "packs/ab"].map(key);
    for name in &names {
        store.put(name, b"one").unwrap();
        store.put(name, b"two").unwrap();
    }
    store.delete(&names[0]).unwrap();
    assert_eq!(
        server.versions("bucket", "p/packs/a"),
        4,
        "a deletion keeps them"
    );
    store.delete_for_good();
    store.delete(&names[0]).unwrap();
    assert_eq!(server.versions("bucket", "p/packs/a"), 2, "the neighbour's");
    assert_eq!(store.get(&names[1], 10).unwrap(), b"two");
    store.delete(&names[1]).unwrap();
    store.delete(&names[1]).unwrap();
    assert_eq!(server.versions("bucket", "p/packs/a"), 0);
    assert_eq!(store.removal().refused(), (0, 0));
}
