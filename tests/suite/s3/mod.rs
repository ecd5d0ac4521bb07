#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Buckets, on a real server in this process, and on one behind a network that fails.

mod commands;
mod faults;
mod locks;
mod real;
mod recovery;
mod store;
mod tiers;
mod versions;

use crate::support::s3_server::{KEY_ID, SECRET};
use icecore::env::SystemEntropy;
use icecore::monitor::{Cancel, Silent};
use icecore::store::{
    ObjectKey, Pacing, Patience, Retrier, RetryPolicy, RetryStore, S3Options, S3Store, StoreResult,
};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A store in a bucket, with little patience: what hangs here hangs for ever.
fn open(location: &str) -> S3Store {
    open_with(location, SECRET).unwrap()
}

fn open_with(location: &str, secret: &str) -> StoreResult<S3Store> {
    let options = S3Options {
        credentials: Some((KEY_ID.to_owned(), Zeroizing::new(secret.to_owned()))),
        classed: vec!["packs/full".to_owned(), "packs/delta".to_owned()],
        patience: Patience {
            connect: Duration::from_secs(2),
            stall: Duration::from_secs(1),
            call: Duration::from_secs(3),
            ..Patience::default()
        },
        ..S3Options::default()
    };
    S3Store::open(&location.parse().unwrap(), &options)
}

/// As the command line wraps it, with shorter waits.
fn retrying(store: S3Store) -> RetryStore<S3Store> {
    let policy = RetryPolicy {
        delay_first: Duration::from_millis(5),
        delay_max: Duration::from_millis(50),
        ..RetryPolicy::default()
    };
    RetryStore::new(
        store,
        Arc::new(Retrier::new(
            policy,
            Pacing::system(Cancel::default()),
            Arc::new(SystemEntropy),
            Arc::new(Silent),
        )),
    )
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}
