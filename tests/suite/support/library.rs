//! Repositories through the library: made, written to, restored, checked.

use crate::support::tree::{self, Tree};
use icecore::archiver::Run;
use icecore::check::{CheckOptions, ReadData, check};
use icecore::crypto::{Argon2Parameters, SecretBytes, Suite};
use icecore::entry::Facts;
use icecore::env::{SystemClock, SystemEntropy};
use icecore::explain::explain;
use icecore::format::slot::Unlock;
use icecore::id::SnapshotId;
use icecore::monitor::{Cancel, Silent};
use icecore::repository::index::{Index, IndexOptions};
use icecore::repository::{InitOptions, OpenError, Reader, Repository, Snapshot};
use icecore::restorer::{RestoreOptions, Selection, restore};
use icecore::source::files::FilesSource;
use icecore::source::{Consistency, Content, ContentEnd, Extent, Source, SourceError};
use icecore::store::{MemoryStore, Store, StoreExt};
use icecore::testing_repository;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn unlock() -> Unlock {
    Unlock::Key(SecretBytes::new(vec![7; 32]))
}

/// Makes a repository.
pub fn init(store: Arc<dyn Store>) -> Result<Repository, OpenError> {
    let options = InitOptions {
        suite: Suite::default(),
        unlock: &unlock(),
        cost: Argon2Parameters::default(),
        label: "test".into(),
        settle: std::time::Duration::ZERO,
    };
    Repository::init(
        store,
        &options,
        Arc::new(SystemEntropy),
        Arc::new(SystemClock),
    )
}

/// Opens one that [`init`] made.
pub fn open(store: Arc<dyn Store>) -> Result<Repository, OpenError> {
    Repository::open(
        store,
        &unlock(),
        Arc::new(SystemEntropy),
        Arc::new(SystemClock),
    )
}

/// An index in memory that holds nothing yet.
pub fn empty_index() -> Index {
    Index::open(&IndexOptions::default(), &Silent)
}

/// A store of its own with the same objects.
pub fn copy(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    for info in store.list_all("").unwrap() {
        let bytes = store.get(&info.key, usize::MAX).unwrap();
        copy.put(&info.key, &bytes).unwrap();
    }
    copy
}

/// Reads a file that begins like a database as pages: these tests make no real ones.
struct Pages(File);

impl Content for Pages {
    fn layout(&self) -> icecore::entry::Layout {
        icecore::entry::Layout::Pages
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        Ok(match self.0.read(buffer).unwrap() {
            0 => Extent::End,
            length => Extent::Data(length),
        })
    }

    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts: Facts::new(),
        })
    }
}

/// Takes a snapshot of the directory `from`, whose tree is restored under its base name. The error
/// is the sentence that a user would read.
pub fn snapshot(repository: &Repository, from: &Path) -> Result<SnapshotId, String> {
    let index = empty_index();
    let mut run = Run::new(repository, &index).map_err(|error| explain(&error))?;
    let paths = [from.to_path_buf()];
    let mut source = || {
        let source =
            FilesSource::new(&paths, Arc::new(SystemClock))?.open_database(Box::new(|path| {
                let file = File::open(path).unwrap();
                Ok(Some(Box::new(Pages(file)) as Box<dyn Content>))
            }));
        Ok(Box::new(source) as Box<dyn Source>)
    };
    let taken = run
        .snapshot(
            &testing_repository::request(),
            &mut source,
            &Silent,
            &Cancel::default(),
        )
        .map_err(|error| explain(&error))?;
    assert!(taken.label.complete, "{:?}", taken.archived.problems);
    Ok(taken.id)
}

/// Restores a snapshot to a new directory and reads it.
pub fn restored(repository: &Repository, snapshot: &Snapshot) -> Result<Tree, String> {
    let index = empty_index();
    repository
        .refresh_index(&index, &Silent)
        .map_err(|error| explain(&error))?;
    let reader = Reader::new(repository, &index);
    let directory = TempDir::new().unwrap();
    let selection = Selection {
        path: Vec::new(),
        wanted: &|_, _| true,
    };
    let options = RestoreOptions {
        workers: 1,
        ..RestoreOptions::default()
    };
    let outcome = restore(
        &reader,
        snapshot,
        &selection,
        directory.path(),
        &options,
        &Silent,
        &Cancel::default(),
    )
    .map_err(|error| explain(&error))?;
    match outcome.damaged.as_slice() {
        [] => Ok(tree::read(directory.path())),
        damaged => Err(format!("damaged: {damaged:?}")),
    }
}

/// Asserts that a check of all data finds nothing wrong.
pub fn assert_undamaged(repository: &Repository, context: &str) {
    let options = CheckOptions {
        read_data: ReadData::All,
        workers: 1,
        ..CheckOptions::default()
    };
    let index = empty_index();
    let report = check(repository, &index, &options, &Silent, &Cancel::default());
    let report = report.unwrap_or_else(|error| panic!("{context}: {}", explain(&error)));
    assert!(report.complete, "{context}");
    assert!(report.damage.is_empty(), "{context}: {:#?}", report.damage);
}
