//! On a server of one's own choice, where locks and versions are real: run on purpose.
//!
//! `ICECORE_TEST_S3=http://127.0.0.1:9000 AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… cargo test --test
//! suite s3::real -- --ignored`. It makes buckets and leaves them, since locks keep what is in them.

use super::key;
use super::recovery::{end_of_second, now, recover, snapshots};
use crate::cli::{PASSPHRASE, TestEnvironment};
use crate::support::moto::administrator;
use crate::support::tree::noise;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use icecore::store::{
    Custody, Fact, S3Options, S3Store, Store, StoreErrorKind, StoreExt, Versioning, contract,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

struct Real {
    runtime: Runtime,
    client: Client,
    endpoint: String,
    id: String,
    secret: String,
}

impl Real {
    fn find() -> Self {
        let named = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("set {name}"));
        let (endpoint, id) = (named("ICECORE_TEST_S3"), named("AWS_ACCESS_KEY_ID"));
        let secret = named("AWS_SECRET_ACCESS_KEY");
        let runtime = Runtime::new().unwrap();
        let client = administrator(&endpoint, &id, &secret);
        Self {
            runtime,
            client,
            endpoint,
            id,
            secret,
        }
    }

    fn bucket(&self, locks: bool) -> String {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("icecore-{}-{made}", now().as_nanos());
        let request = self.client.create_bucket().bucket(&name);
        let request = request.object_lock_enabled_for_bucket(locks);
        self.runtime.block_on(request.send()).unwrap();
        name
    }

    fn location(&self, bucket: &str, more: &str) -> String {
        format!(
            "s3://{bucket}/p?endpoint={}&region=us-east-1{more}",
            self.endpoint
        )
    }

    fn open(&self, location: &str) -> S3Store {
        let options = S3Options {
            credentials: Some((self.id.clone(), Zeroizing::new(self.secret.clone()))),
            locked: vec!["packs".to_owned()],
            ..S3Options::default()
        };
        S3Store::open(&location.parse().unwrap(), &options).unwrap()
    }

    fn world(&self, location: &str) -> TestEnvironment {
        let mut world = TestEnvironment::bare();
        world.set("ICECORE_REPO", location);
        world.set("ICECORE_PASSPHRASE", PASSPHRASE);
        world.set("AWS_ACCESS_KEY_ID", &self.id);
        world.set("AWS_SECRET_ACCESS_KEY", &self.secret);
        world
    }
}

#[test]
#[ignore = "needs a server: ICECORE_TEST_S3"]
fn keeps_the_contract() {
    let real = Real::find();
    contract::run(&mut || Box::new(real.open(&real.location(&real.bucket(false), ""))));
}

#[test]
#[ignore = "needs a server: ICECORE_TEST_S3"]
fn says_how_it_is_set() {
    let real = Real::find();
    let plain = real.bucket(false);
    let facts = real.open(&real.location(&plain, "")).facts().unwrap();
    assert_eq!(facts.versioning, Fact::Known(Versioning::Off));
    assert_eq!(facts.object_lock, Fact::Known(None));
    assert_eq!(facts.is_public, Fact::Known(false));
    let locking = real.open(&real.location(&real.bucket(true), ""));
    let facts = locking.facts().unwrap();
    assert_eq!(facts.versioning, Fact::Known(Versioning::On));
    assert!(facts.object_lock.known().unwrap().is_some());
    assert!(facts.rules.known().unwrap().hazards.is_empty());
    let kept = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let request = real.client.put_bucket_versioning().bucket(&plain);
    let request = request.versioning_configuration(kept.build());
    real.runtime.block_on(request.send()).unwrap();
    let facts = real.open(&real.location(&plain, "")).facts().unwrap();
    assert_eq!(facts.versioning, Fact::Known(Versioning::On));
}

#[test]
#[ignore = "needs a server: ICECORE_TEST_S3"]
fn locks_hold_and_cannot_be_shortened() {
    let real = Real::find();
    let store = real.open(&real.location(&real.bucket(true), "&lock=compliance:2d"));
    let (pack, flag) = (key("packs/full/a"), key("gc/a"));
    store.put(&pack, b"locked").unwrap();
    store.put(&flag, b"free").unwrap();
    let held = store.held(&pack).unwrap().unwrap();
    assert_eq!(store.held(&flag).unwrap(), None);
    let later = held.until.after(std::time::Duration::from_secs(24 * 3600));
    store.hold(&pack, later).unwrap();
    let extended = store.held(&pack).unwrap().unwrap();
    assert!(extended.until > held.until);
    // Nearer is longer already; and a deletion for good leaves the version, and says so.
    store.hold(&pack, held.until).unwrap();
    assert_eq!(store.held(&pack).unwrap().unwrap(), extended);
    store.delete_for_good();
    store.delete(&flag).unwrap();
    store.delete(&pack).unwrap();
    assert_eq!(store.removal().refused(), (1, 6));
    assert!(store.list_all("").unwrap().is_empty());
    let plain = real.open(&real.location(&real.bucket(false), "&lock=compliance:2d"));
    let error = plain.put(&pack, b"x").unwrap_err();
    assert!(error.remedy().unwrap().contains("Object Lock"), "{error:?}");
    assert_ne!(error.kind, StoreErrorKind::Transient);
}

/// Everything that a stolen key with every right can do, and what is left.
#[test]
#[ignore = "needs a server: ICECORE_TEST_S3"]
fn a_destroyed_repository_comes_back() {
    let real = Real::find();
    let bucket = real.bucket(true);
    let world = real.world(&real.location(&bucket, "&lock=compliance:1d"));
    world.init(&[]).expect(0);
    world.write("data/a", noise(1, 3_000_000));
    world.run(&["snapshot", "data"]).expect(0);
    let before = end_of_second();
    let request = real.client.list_object_versions().bucket(&bucket);
    let listed = real.runtime.block_on(request.send()).unwrap();
    let mut refused = 0;
    for version in listed.versions() {
        let key = version.key().unwrap();
        let request = real.client.delete_object().bucket(&bucket).key(key);
        let ended = request.clone().version_id(version.version_id().unwrap());
        refused += usize::from(real.runtime.block_on(ended.send()).is_err());
        real.runtime.block_on(request.send()).unwrap();
    }
    assert!(refused > 5, "{refused}");
    assert_ne!(world.run(&["snapshots"]).code, 0);
    recover(&world, &before, "back", &[]).expect(0);
    world.run(&["check", "--read-data", "-r", "back"]).expect(0);
    assert_eq!(snapshots(&world, "back"), 1);
}
