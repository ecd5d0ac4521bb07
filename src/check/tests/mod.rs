#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Checks of small repositories in memory, against an oracle that reads every file.

mod absent;
mod accumulate;
mod chains;
mod matrix;
mod oracle;
mod references;
mod sharing;

use crate::check::{CheckOptions, CheckReport, ReadData, check};
use crate::entry::Layout;
use crate::env::Timestamp;
use crate::id::SnapshotId;
use crate::monitor::{Cancel, Silent};
use crate::repository::Repository;
use crate::store::{MemoryStore, ObjectKey, StoreExt};
use crate::testing::FixedClock;
use crate::testing_repository::{Files, create, empty_index, noise, take, take_set};
use std::sync::Arc;

/// The start of the tests' time.
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(START))
}

fn all_data() -> CheckOptions {
    CheckOptions {
        read_data: ReadData::All,
        workers: 2,
        ..CheckOptions::default()
    }
}

/// Checks with an index that holds nothing yet.
fn checked(repository: &Repository, options: &CheckOptions) -> CheckReport {
    let index = empty_index();
    check(repository, &index, options, &Silent, &Cancel::default()).unwrap()
}

/// Three snapshots of a few files that share content, directories and groups.
fn sample() -> Vec<Files> {
    let mut files = Files::new();
    let mut add = |path: &str, layout, bytes| files.insert(path.into(), (layout, bytes));
    add("a.db", Layout::Pages, noise(1, 640 << 10));
    add("copies/one", Layout::Stream, noise(2, 90 << 10));
    add("copies/two", Layout::Stream, noise(2, 90 << 10));
    add("empty", Layout::Stream, vec![]);
    for number in 0..5 {
        let text = format!("small file {number}").into_bytes();
        add(&format!("deep/er/{number}"), Layout::Stream, text);
    }
    add("untouched/x", Layout::Stream, noise(3, 1000));
    let mut second = files.clone();
    second.get_mut("a.db").unwrap().1[300 << 10] ^= 1;
    let mut third = second.clone();
    // A difference to a difference.
    third.get_mut("a.db").unwrap().1[301 << 10] ^= 1;
    third.insert("deep/new".into(), (Layout::Stream, noise(4, 200 << 10)));
    third.remove("copies/one");
    vec![files, second, third]
}

/// A repository of the sample in `store`, and the ids of its snapshots.
fn build(store: &MemoryStore, seed: &str, clock: Arc<FixedClock>) -> Vec<(SnapshotId, Files)> {
    let repository = create(Arc::new(store.clone()), seed, clock.clone());
    let all = sample();
    let mut ids = vec![take(&repository, &all[0])];
    clock.set(Timestamp(START.0 + 1));
    ids.extend(take_set(&repository, &all[1..]));
    ids.into_iter().zip(all).collect()
}

fn keys(store: &MemoryStore, prefix: &str) -> Vec<ObjectKey> {
    let infos = store.list_all(prefix).unwrap();
    infos.into_iter().map(|info| info.key).collect()
}
