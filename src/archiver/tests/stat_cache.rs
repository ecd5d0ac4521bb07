//! What is remembered of unchanged files, and when it does not count.

use super::{contents, read_back, repository, sample};
use crate::archiver::remembered::decode;
use crate::archiver::{Run, Taken};
use crate::crypto::Suite;
use crate::entry::Layout;
use crate::forget::ForgetPlan;
use crate::format::layout::PACKS;
use crate::monitor::{Cancel, Silent};
use crate::prune::{Context, PruneOptions, PrunePlan};
use crate::repository::Repository;
use crate::repository::index::{Cache, Index};
use crate::retention::GroupBy;
use crate::source::Source;
use crate::store::{ManualTime, MemoryStore, Store, StoreExt};

use crate::testing_repository::{StampedSource, empty_index, request};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn snapshot(repository: &Repository, index: &Index, source: &StampedSource) -> Taken {
    let mut run = Run::new(repository, index).unwrap();
    let mut open = || Ok(Box::new(source.clone()) as Box<dyn Source>);
    let taken = run.snapshot(&request(), &mut open, &Silent, &Cancel::default());
    run.finish(true, &Silent).unwrap();
    taken.unwrap()
}

fn stamped() -> StampedSource {
    let mut files = sample();
    files.insert("hole".into(), (Layout::Stream, vec![0; 100_000]));
    StampedSource {
        files,
        ..StampedSource::default()
    }
}

/// Entries of the cache, and how many of them name no pack.
fn entries(index: &Index) -> (usize, usize) {
    let (mut all, mut bare) = (0, 0);
    index.cache_visit(Cache::Stat, &[], &mut |_, value| {
        all += 1;
        bare += usize::from(decode(value).unwrap().carriers.is_empty());
        ControlFlow::Continue(())
    });
    (all, bare)
}

#[test]
fn unchanged_files_are_not_opened_and_soon_known_by_their_packs() {
    let repository = repository(&MemoryStore::new(), Suite::XChaCha20Poly1305);
    let (index, mut source) = (empty_index(), stamped());
    let first = snapshot(&repository, &index, &source);
    assert_eq!(source.opened.swap(0, Ordering::Relaxed), source.files.len());
    // A database is never remembered, and read every time.
    let count = source.files.len() - 1;
    let (all, bare) = entries(&index);
    assert_eq!(all, count);
    // The second of two equal files, content of several chunks, and an empty file.
    assert!(bare < count / 2 + 10, "{bare} of {count}");

    let second = snapshot(&repository, &index, &source);
    assert_eq!(source.opened.swap(0, Ordering::Relaxed), 1);
    assert_eq!(second.archived.root, first.archived.root);
    assert_eq!(entries(&index), (count, 1));

    source.files.get_mut("many/00007").unwrap().1.push(b'!');
    source.files.remove("many/00008");
    let third = snapshot(&repository, &index, &source);
    assert_eq!(source.opened.load(Ordering::Relaxed), 2);
    let back = read_back(&repository, third.archived.root).unwrap();
    assert!(contents(&back) == contents(&source.files));
}

#[test]
fn packs_that_are_gone_from_the_store_are_not_relied_on() {
    let store = MemoryStore::new();
    let repository = repository(&store, Suite::XChaCha20Poly1305);
    let (index, source) = (empty_index(), stamped());
    snapshot(&repository, &index, &source);
    snapshot(&repository, &index, &source);
    source.opened.store(0, Ordering::Relaxed);
    let packs = store.list_all(PACKS).unwrap();
    store.delete(&packs.last().unwrap().key).unwrap();
    let third = snapshot(&repository, &index, &source);
    assert!(source.opened.load(Ordering::Relaxed) > 0);
    let back = read_back(&repository, third.archived.root).unwrap();
    assert!(contents(&back) == contents(&source.files));
}

#[test]
fn packs_that_a_prune_took_away_are_not_relied_on() {
    let repository = repository(&MemoryStore::new(), Suite::XChaCha20Poly1305);
    let (index, source) = (empty_index(), stamped());
    let first = snapshot(&repository, &index, &source);
    let plan = ForgetPlan::by_name(&repository, &[first.id], GroupBy::default()).unwrap();
    plan.execute(true).unwrap();
    let options = PruneOptions {
        max_unused: 0.0,
        grace: Duration::ZERO,
        ..PruneOptions::default()
    };
    let context = Context {
        monitor: &Silent,
        cancel: &Cancel::default(),
        sleeper: &ManualTime::default(),
    };
    let plan = PrunePlan::new(&repository, options, context).unwrap();
    plan.execute(context).unwrap();
    source.opened.store(0, Ordering::Relaxed);
    let second = snapshot(&repository, &index, &source);
    // Everything that differs; the second of two equal files is known again by then.
    let different: BTreeSet<&Vec<u8>> = source.files.values().map(|(_, bytes)| bytes).collect();
    let opened = source.opened.load(Ordering::Relaxed);
    assert_eq!(opened, different.len() - 1, "all but the empty file");
    let back = read_back(&repository, second.archived.root).unwrap();
    assert!(contents(&back) == contents(&source.files));
}
