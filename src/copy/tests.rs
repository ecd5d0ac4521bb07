#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Copies between repositories in memory.

mod crashes;
mod meddling;
mod repairing;

use crate::check::{CheckOptions, ReadData, check};
use crate::codec::Effort;
use crate::copy::{CopyError, CopyOptions, CopyReport, Side, copy};
use crate::crypto::Argon2Parameters;
use crate::entry::Layout;
use crate::env::Timestamp;
use crate::format::blob::{BlobKind, Form};
use crate::id::SnapshotId;
use crate::monitor::{Cancel, Monitor, Silent};
use crate::repository::{Reader, Repository, Snapshot};
use crate::store::{MemoryStore, Store, StoreExt};
use crate::testing::{FixedClock, SeededEntropy};
use crate::testing_repository::{
    Files, create, empty_index, init_options, noise, open, request, take, unlock,
};
use crate::tree::{Descend, Node, TreeError, for_each_piece, walk};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static SEED: AtomicU64 = AtomicU64::new(0);

/// A seed that no other repository of these tests has.
fn seed() -> String {
    format!("copy {}", SEED.fetch_add(1, Ordering::Relaxed))
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(Timestamp::from_seconds(1_700_000_000)))
}

/// Stores of two repositories, the first with three versions of a database and of small files.
struct World {
    source: MemoryStore,
    target: MemoryStore,
    clock: Arc<FixedClock>,
    taken: Vec<SnapshotId>,
}

#[derive(PartialEq)]
enum Kin {
    Sibling,
    Stranger,
}

/// Version `number` of the files that are saved.
fn files(number: usize) -> Files {
    let mut pages = noise(1, 1 << 20);
    for version in 0..=number {
        let at = 4096 * (37 * version % 256);
        pages[at..at + 100].copy_from_slice(&noise(version as u64 + 10, 100));
    }
    let text = format!("version {number} of a text\n").repeat(9_000);
    let mut files = Files::from([
        ("db/pages.db".to_owned(), (Layout::Pages, pages)),
        ("text.log".to_owned(), (Layout::Stream, text.into_bytes())),
        ("empty".to_owned(), (Layout::Stream, Vec::new())),
    ]);
    for small in 0..20 {
        let content = format!("small file {small} of {}", small * number / 10);
        files.insert(
            format!("small/{small}"),
            (Layout::Stream, content.into_bytes()),
        );
    }
    files
}

impl World {
    fn new(kin: &Kin) -> Self {
        let clock = clock();
        let source = MemoryStore::with_clock(clock.clone());
        let repository = create(Arc::new(source.clone()), &seed(), clock.clone());
        let mut taken = Vec::new();
        for number in 0..3 {
            clock.set(Timestamp::from_seconds(
                1_700_000_000 + 60 * (1 + number as i64),
            ));
            taken.push(take(&repository, &files(number)));
        }
        let like = (*kin == Kin::Sibling).then_some(&repository);
        let target = like_store(like, &clock);
        Self {
            source,
            target,
            clock,
            taken,
        }
    }

    fn source(&self) -> Repository {
        open(Arc::new(self.source.clone()), &seed(), self.clock.clone()).unwrap()
    }

    fn target(&self) -> Repository {
        self.target_through(Arc::new(self.target.clone()))
    }

    fn target_through(&self, store: Arc<dyn Store>) -> Repository {
        open(store, &seed(), self.clock.clone()).unwrap()
    }

    /// Copies everything visible.
    fn copy(&self) -> CopyReport {
        copy_all(&self.source(), &self.target(), &Silent).unwrap()
    }
}

fn like_store(like: Option<&Repository>, clock: &Arc<FixedClock>) -> MemoryStore {
    let store = MemoryStore::with_clock(clock.clone());
    let unlock = unlock();
    let options = init_options(&unlock);
    let entropy = Arc::new(SeededEntropy::new(&seed()));
    let bare = Arc::new(store.clone());
    Repository::init_like(bare, &options, like, entropy, clock.clone()).unwrap();
    store
}

fn copy_all(
    source: &Repository,
    target: &Repository,
    monitor: &dyn Monitor,
) -> Result<CopyReport, CopyError> {
    copy_some(source, target, usize::MAX, monitor)
}

/// Copies the newest `count` snapshots.
fn copy_some(
    source: &Repository,
    target: &Repository,
    count: usize,
    monitor: &dyn Monitor,
) -> Result<CopyReport, CopyError> {
    let (from, to) = (empty_index(), empty_index());
    source.refresh_index(&from, &Silent)?;
    let (list, _) = source.list_snapshots()?;
    let all: Vec<&Snapshot> = list.visible.iter().collect();
    let chosen = &all[all.len().saturating_sub(count)..];
    let side = |repository, index| Side { repository, index };
    let options = CopyOptions {
        effort: Effort::Auto,
        workers: 2,
    };
    let cancel = Cancel::default();
    copy(
        side(source, &from),
        side(target, &to),
        (chosen, &all),
        options,
        monitor,
        &cancel,
    )
}

/// Every snapshot by its time: label, and all content.
/// Of each snapshot, by its time: the source, and its files.
type Contents = BTreeMap<i64, (String, BTreeMap<String, Vec<u8>>)>;

fn contents(repository: &Repository) -> Contents {
    let index = empty_index();
    repository.refresh_index(&index, &Silent).unwrap();
    let (list, _) = repository.list_snapshots().unwrap();
    let reader = Reader::new(repository, &index);
    let read = |snapshot: &Snapshot| {
        let label = &snapshot.label;
        let facts = format!(
            "{} {} {:?} {:?}",
            label.source, label.host, label.tags, label.set
        );
        let content = read_files(&reader, snapshot);
        (label.captured.0, (facts, content))
    };
    list.visible.iter().map(read).collect()
}

/// Every byte of a snapshot's files.
fn read_files(reader: &Reader<'_>, snapshot: &Snapshot) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut visit = |path: &[u8], node: &Node| {
        if node.is_directory() {
            return Ok::<_, TreeError>(Descend::Into);
        }
        let mut content = Vec::new();
        for_each_piece::<TreeError>(reader, node.child, &mut |piece| {
            match piece.chunk {
                Some(chunk) => content.extend(reader.read(chunk, BlobKind::Chunk)?),
                None => content.resize(content.len() + piece.length as usize, 0),
            }
            Ok(())
        })?;
        files.insert(String::from_utf8(path.to_vec()).unwrap(), content);
        Ok(Descend::Into)
    };
    let mut leave = |_: &[u8], _: &Node| Ok(());
    walk(
        reader,
        snapshot.root,
        &Cancel::default(),
        &mut visit,
        &mut leave,
    )
    .unwrap();
    files
}

/// Chunks stored as deltas, and members of groups.
fn forms(repository: &Repository) -> (usize, usize) {
    let index = empty_index();
    repository.refresh_index(&index, &Silent).unwrap();
    let (mut deltas, mut members) = (0, 0);
    index
        .for_each_entry(&mut |entry| {
            deltas += usize::from(matches!(entry.row.form, Form::Delta { .. }));
            members += usize::from(matches!(entry.row.form, Form::Member { .. }));
            ControlFlow::Continue(())
        })
        .unwrap();
    (deltas, members)
}

fn damage(repository: &Repository) -> Vec<String> {
    let options = CheckOptions {
        read_data: ReadData::All,
        workers: 2,
        ..CheckOptions::default()
    };
    let report = check(
        repository,
        &empty_index(),
        &options,
        &Silent,
        &Cancel::default(),
    )
    .unwrap();
    let damage = report.damage.iter();
    damage
        .map(|damage| format!("{} {}", damage.object, damage.what))
        .collect()
}

#[test]
fn a_sibling_gets_everything_as_it_is() {
    let world = World::new(&Kin::Sibling);
    let report = world.copy();
    assert_eq!((report.copied.len(), report.already_there.len()), (3, 0));
    let (source, target) = (world.source(), world.target());
    assert_eq!(contents(&source), contents(&target));
    assert_eq!(forms(&source), forms(&target));
    assert!(
        forms(&target).0 > 0 && forms(&target).1 > 0,
        "{:?}",
        forms(&target)
    );
    let roots = |repository: &Repository| {
        let (list, _) = repository.list_snapshots().unwrap();
        list.visible
            .iter()
            .map(|s| (s.root, s.label.captured))
            .collect::<Vec<_>>()
    };
    assert_eq!(roots(&source), roots(&target));
    assert_eq!(damage(&target), Vec::<String>::new());
    // Parents are those of the copies.
    let (list, _) = target.list_snapshots().unwrap();
    assert_eq!(list.visible[1].label.parent, Some(list.visible[0].id));
    assert!(list.visible[2].heads().unwrap() == [list.visible[1].id]);
    let size = |store: &MemoryStore| -> u64 {
        let packs = store.list_all("packs").unwrap();
        packs.iter().map(|info| info.size).sum()
    };
    let (there, here) = (size(&world.target), size(&world.source));
    assert!(there < here + here / 20, "{there} of {here}");
}

#[test]
fn what_is_there_is_not_copied_again_whoever_brought_it() {
    let world = World::new(&Kin::Sibling);
    world.copy();
    let stored = world.target.list_all("packs").unwrap();
    let again = world.copy();
    assert_eq!((again.copied.len(), again.already_there.len()), (0, 3));
    assert_eq!(again.bytes_fetched, 0);
    assert_eq!(world.target.list_all("packs").unwrap(), stored);
    // A copy of the copy, then the source to the same third one.
    let third = like_store(Some(&world.source()), &world.clock);
    let third = || open(Arc::new(third.clone()), &seed(), world.clock.clone()).unwrap();
    assert_eq!(
        copy_all(&world.target(), &third(), &Silent)
            .unwrap()
            .copied
            .len(),
        3
    );
    let direct = copy_all(&world.source(), &third(), &Silent).unwrap();
    assert_eq!((direct.copied.len(), direct.already_there.len()), (0, 3));
    assert_eq!(contents(&world.source()), contents(&third()));
    // What comes later brings only itself.
    world.clock.set(Timestamp::from_seconds(1_700_009_000));
    take(&world.source(), &files(3));
    let later = world.copy();
    assert_eq!((later.copied.len(), later.already_there.len()), (1, 3));
    assert!(later.chunks_delta > 0 && later.chunks < 20, "{later:?}");
    assert_eq!(damage(&world.target()), Vec::<String>::new());
}

#[test]
fn a_stranger_gets_it_decoded_and_named_anew() {
    let world = World::new(&Kin::Stranger);
    let report = world.copy();
    assert_eq!(report.copied.len(), 3);
    let (source, target) = (world.source(), world.target());
    assert_eq!(contents(&source), contents(&target));
    assert_eq!(damage(&target), Vec::<String>::new());
    let ids = |repository: &Repository| {
        let index = empty_index();
        repository.refresh_index(&index, &Silent).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        index
            .for_each_entry(&mut |entry| {
                ids.insert(entry.row.id);
                ControlFlow::Continue(())
            })
            .unwrap();
        ids
    };
    assert!(ids(&source).is_disjoint(&ids(&target)));
    assert!(
        forms(&target).0 > 0 && forms(&target).1 > 0,
        "{:?}",
        forms(&target)
    );
    let again = world.copy();
    assert_eq!((again.copied.len(), again.already_there.len()), (0, 3));
}

#[test]
fn what_a_delta_rests_on_goes_along() {
    let world = World::new(&Kin::Sibling);
    let report = copy_some(&world.source(), &world.target(), 1, &Silent).unwrap();
    assert_eq!(report.copied.len(), 1);
    assert!(report.chunks_delta > 0, "{report:?}");
    assert_eq!(damage(&world.target()), Vec::<String>::new());
    let (copied, all) = (contents(&world.target()), contents(&world.source()));
    assert_eq!(copied.last_key_value(), all.last_key_value());
    // The older ones come later, and find what is there.
    assert_eq!(world.copy().copied.len(), 2);
    assert_eq!(contents(&world.target()), all);
}

#[test]
fn an_erasable_domain_stays_in_its_kind() {
    use crate::crypto::SecretBytes;
    use crate::format::slot::Unlock;
    use crate::repository::NewCredential;
    let world = World::new(&Kin::Sibling);
    let key = Unlock::Key(SecretBytes::new(vec![9; 32]));
    let new = NewCredential {
        label: "people".into(),
        unlock: &key,
        cost: Argon2Parameters::default(),
    };
    world
        .source()
        .create_erasable_domain("people", &new)
        .unwrap();
    let store = Arc::new(world.source.clone());
    let entropy = Arc::new(SeededEntropy::new(&seed()));
    let people = Repository::open(store, &key, entropy, world.clock.clone()).unwrap();
    let index = empty_index();
    let mut run = crate::archiver::Run::new(&people, &index).unwrap();
    let mut source = || {
        let files = crate::testing_repository::MapSource(files(0));
        Ok(Box::new(files) as Box<dyn crate::source::Source>)
    };
    run.snapshot(&request(), &mut source, &Silent, &Cancel::default())
        .unwrap();
    let refused = copy_all(&people, &world.target(), &Silent).unwrap_err();
    assert!(matches!(refused, CopyError::Erasable(_)), "{refused:?}");
}
