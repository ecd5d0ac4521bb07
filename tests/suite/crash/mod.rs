#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Whatever happens to the store, and whenever: what was acknowledged stays, and the next run goes
//! on.
//!
//! One flow (`init`, a first snapshot, a second one) is repeated with a store that fails at call 1,
//! 2, 3, … until it is no longer reached. `power_loss` also loses what no barrier covered.

mod power_loss;
mod store_failures;

use crate::support::library::{assert_undamaged, init, open, restored, snapshot};
use crate::support::tree::{self, DATABASE_MAGIC, Tree, noise};
use icecore::id::SnapshotId;
use icecore::store::{MemoryStore, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A directory `data` at two moments.
struct Moments {
    _directory: TempDir,
    trees: [Tree; 2],
    paths: [PathBuf; 2],
}

/// The snapshots that a run was told of, and which moment each shows.
type Acknowledged = BTreeMap<SnapshotId, usize>;

impl Moments {
    fn new() -> Self {
        let mut database = DATABASE_MAGIC.to_vec();
        database.extend(noise(1, (300 << 10) - DATABASE_MAGIC.len()));
        let mut first = Tree::from([
            ("data/app.db".to_owned(), database),
            ("data/logs/empty".to_owned(), Vec::new()),
            ("data/logs/app.log".to_owned(), b"a line\n".repeat(30_000)),
        ]);
        for number in 0..20 {
            let content = format!("number {number}").into_bytes();
            first.insert(format!("data/small/{number}"), content);
        }
        let mut second = first.clone();
        // A page changes, a file goes, one comes: deltas, groups and full chunks.
        second.get_mut("data/app.db").unwrap()[100_000] ^= 1;
        second.remove("data/small/7");
        second.insert("data/new".to_owned(), noise(2, 70_000));
        let directory = TempDir::new().unwrap();
        let trees = [first, second];
        let paths = [0, 1].map(|moment| {
            let path = directory.path().join(moment.to_string());
            tree::write(&path, &trees[moment]);
            path.join("data")
        });
        Self {
            _directory: directory,
            trees,
            paths,
        }
    }

    /// A repository with snapshots of the first `count` moments.
    fn repository(&self, count: usize) -> (MemoryStore, Acknowledged) {
        let store = MemoryStore::new();
        let repository = init(Arc::new(store.clone())).unwrap();
        let paths = self.paths.iter().enumerate().take(count);
        let taken = paths.map(|(moment, path)| (snapshot(&repository, path).unwrap(), moment));
        (store, taken.collect())
    }

    /// The promises, looked at through a store that works again.
    fn assert_whole(&self, store: &MemoryStore, acknowledged: &Acknowledged, context: &str) {
        let repository = self.reopen(store, acknowledged, context);
        self.assert_snapshots(&repository, acknowledged, context);
        let mut all = acknowledged.clone();
        for moment in [1, 0] {
            let next = snapshot(&repository, &self.paths[moment]);
            let next = next.unwrap_or_else(|error| panic!("{context}: the next run: {error}"));
            all.insert(next, moment);
        }
        self.assert_snapshots(&repository, &all, context);
        assert_undamaged(&repository, context);
    }

    /// Opens the repository; where none was ever acknowledged, `init` must work instead.
    fn reopen(
        &self,
        store: &MemoryStore,
        acknowledged: &Acknowledged,
        context: &str,
    ) -> icecore::repository::Repository {
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        match open(Arc::clone(&shared)) {
            Ok(repository) => repository,
            Err(icecore::repository::OpenError::NotFound(_)) if acknowledged.is_empty() => {
                init(shared).unwrap_or_else(|error| panic!("{context}: init again: {error}"))
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }

    /// Every acknowledged snapshot is there; every one that is there, acknowledged or not, restores
    /// to the bytes of its moment.
    fn assert_snapshots(
        &self,
        repository: &icecore::repository::Repository,
        acknowledged: &Acknowledged,
        context: &str,
    ) {
        let (list, _) = repository.list_snapshots().unwrap();
        assert!(list.damaged.is_empty(), "{context}: {:?}", list.damaged);
        for id in acknowledged.keys() {
            let there = list.visible.iter().any(|snapshot| snapshot.id == *id);
            assert!(there, "{context}: snapshot {id} is gone");
        }
        for snapshot in &list.visible {
            let found = restored(repository, snapshot)
                .unwrap_or_else(|error| panic!("{context}: {}: {error}", snapshot.id));
            let moments = match acknowledged.get(&snapshot.id) {
                Some(moment) => vec![*moment],
                None => vec![0, 1],
            };
            let differences: Vec<_> = moments
                .iter()
                .map(|moment| tree::differences(&self.trees[*moment], &found))
                .collect();
            assert!(
                differences.iter().any(Vec::is_empty),
                "{context}: {}: {differences:?}",
                snapshot.id
            );
        }
    }
}
