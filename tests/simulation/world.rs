//! One schedule: a small repository, parties at work on it, and what must be true afterwards.

use crate::simulation::parties::{Party, Promises, run_party};
use crate::simulation::schedule::{Core, Fate, Late, Objects, PartyTime, Random};
use crate::simulation::store::PartyStore;
use icecore::archiver::{Run, SnapshotRequest};
use icecore::check::{CheckOptions, Damage, check};
use icecore::entry::Layout;
use icecore::forget::ForgetPlan;
use icecore::format::blob::BlobKind;
use icecore::id::{BlobId, SnapshotId};
use icecore::monitor::{Cancel, Silent};
use icecore::prune::{Context, PruneError, PruneOptions, PrunePlan};
use icecore::repository::index::Index;
use icecore::repository::{Reader, Repository};
use icecore::retention::GroupBy;
use icecore::source::Source;
use icecore::store::{
    ManualTime, MemoryStore, Pacing, Retrier, RetryPolicy, RetryStore, Store, StoreExt,
};
use icecore::testing::SeededEntropy;
use icecore::testing_repository::{Files, MapSource, create, empty_index, noise, open, request};
use icecore::tree::{Descend, Node, TreeError, for_each_piece, walk};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Sessions that are silent for longer are closed: pauses are longer and shorter than this.
pub const DEAD_AFTER: Duration = Duration::from_secs(120);

/// What every schedule begins with: a withdrawn snapshot and a visible one that share content.
pub struct Base {
    objects: Objects,
    now: i64,
    pub contents: BTreeMap<SnapshotId, BTreeMap<String, Vec<u8>>>,
}

/// Seeds of the contents that every schedule begins with.
const WITHDRAWN: u64 = 3;
const VISIBLE: u64 = 4;

/// What a writer saves: often all that a prune is just deleting.
pub fn files(random: &mut Random) -> Files {
    match random.one_in(3) {
        true => drawn(&mut Random::new(WITHDRAWN)),
        false => drawn(random),
    }
}

/// A page file and small files, from a small pool: much of it is what others stored.
fn drawn(random: &mut Random) -> Files {
    let mut pages = noise(1, 16 << 10);
    let version = random.below(4);
    if version > 0 {
        pages[4096..8192].copy_from_slice(&noise(100 + version, 4096));
    }
    let mut files = Files::new();
    files.insert("a.db".to_owned(), (Layout::Pages, pages));
    for number in 0..4 {
        if random.one_in(2) {
            files.insert(
                format!("f{number}"),
                (Layout::Stream, noise(200 + number, 900)),
            );
        }
    }
    files
}

/// One worker: with more of them packs may be filled in another order.
pub fn one_worker() -> SnapshotRequest {
    SnapshotRequest {
        workers: 1,
        ..request()
    }
}

fn take(repository: &Repository, files: &Files) -> SnapshotId {
    let index = empty_index();
    let mut run = Run::new(repository, &index).unwrap();
    let mut source = || Ok(Box::new(MapSource(files.clone())) as Box<dyn Source>);
    let taken = run.snapshot(&one_worker(), &mut source, &Silent, &Cancel::default());
    taken.unwrap().id
}

pub fn plain(files: &Files) -> BTreeMap<String, Vec<u8>> {
    let plain = |(name, (_, bytes)): (&String, &(Layout, Vec<u8>))| (name.clone(), bytes.clone());
    files.iter().map(plain).collect()
}

pub fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        // The same records are verified and opened in every schedule.
        icecore::crypto::recall::begin();
        let time = ManualTime::default();
        time.advance(Duration::from_secs(1_700_000_000));
        let clock = Arc::new(time.clone());
        let store = MemoryStore::with_clock(clock.clone());
        let repository = create(Arc::new(store.clone()), "base", clock.clone());
        let mut contents = BTreeMap::new();
        let mut ids = Vec::new();
        for seed in [WITHDRAWN, VISIBLE] {
            let files = drawn(&mut Random::new(seed));
            time.advance(Duration::from_secs(60));
            let id = take(&repository, &files);
            contents.insert(id, plain(&files));
            ids.push(id);
        }
        let plan = ForgetPlan::by_name(&repository, &ids[..1], GroupBy::default()).unwrap();
        plan.execute(true).unwrap();
        time.advance(Duration::from_secs(60));
        let now = icecore::env::Clock::now(&time).0;
        Base {
            objects: objects_of(&store),
            now,
            contents,
        }
    })
}

fn objects_of(store: &MemoryStore) -> Objects {
    let object = |info: icecore::store::ObjectInfo| {
        let bytes = store.get(&info.key, usize::MAX).unwrap();
        (info.key, (bytes.into(), info.modified.unwrap()))
    };
    store
        .list_all("")
        .unwrap()
        .into_iter()
        .map(object)
        .collect()
}

/// What a schedule was.
pub struct Ran {
    pub calls: u64,
    pub digest: u64,
    pub trace: Vec<String>,
    /// The first promise that was broken.
    pub broken: Option<String>,
}

/// Runs the schedule of a seed to its end and holds the promises against the store.
pub fn run(seed: u64, wants_trace: bool) -> Ran {
    let base = base();
    let mut random = Random::new(seed);
    let parties = Party::drawn(&mut random);
    let fates = parties.iter().map(|_| Fate::drawn(&mut random)).collect();
    let core = Core::new(base.objects.clone(), base.now, fates, random);
    core.state().trace = wants_trace.then(Vec::new);
    let promises = Mutex::new(Promises::new(base));
    std::thread::scope(|scope| {
        for (number, party) in parties.iter().enumerate() {
            let (core, promises) = (core.clone(), &promises);
            scope.spawn(move || run_party(*party, number, seed, &core, promises));
        }
    });
    let promises = promises
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut state = core.state();
    let (calls, digest) = (state.calls, state.digest);
    let broken = match promises.broken.first() {
        Some(broken) => Some(broken.clone()),
        None => {
            let late = std::mem::take(&mut state.late);
            let objects = std::mem::take(&mut state.objects);
            afterwards(seed, objects, late, state.now, &promises).err()
        }
    };
    Ran {
        calls,
        digest,
        trace: state.trace.take().unwrap_or_default(),
        broken,
    }
}

/// Late PUTs come, a quiet prune runs, more late PUTs come: every promise holds at every moment.
fn afterwards(
    seed: u64,
    objects: Objects,
    late: Vec<Late>,
    now: i64,
    promises: &Promises,
) -> Result<(), String> {
    let time = ManualTime::default();
    time.advance(Duration::from_nanos(u64::try_from(now).unwrap()));
    let store = MemoryStore::with_clock(Arc::new(time.clone()));
    for (key, (bytes, _)) in &objects {
        store.put(key, bytes).unwrap();
    }
    let after = After {
        seed,
        store,
        time,
        promises,
    };
    after.verify("at the end")?;
    let (early, rest) = late.split_at(late.len().div_ceil(2));
    if !early.is_empty() {
        after.land(early);
        after.verify("after late PUTs")?;
    }
    after.prune("first")?;
    after.verify("after a prune")?;
    if rest.is_empty() {
        return Ok(());
    }
    after.land(rest);
    after.verify("after the last late PUTs")?;
    after.prune("second")?;
    after.verify("after the second prune")
}

struct After<'a> {
    seed: u64,
    store: MemoryStore,
    time: ManualTime,
    promises: &'a Promises,
}

impl After<'_> {
    fn land(&self, late: &[Late]) {
        for late in late {
            self.store.put(&late.key, &late.bytes).unwrap();
        }
    }

    fn open(&self, purpose: &str) -> Result<Repository, String> {
        let store = Arc::new(self.store.clone());
        let seed = format!("{} {purpose}", self.seed);
        let opened = open(store, &seed, Arc::new(self.time.clone()));
        opened.map_err(|error| format!("the repository does not open: {error}"))
    }

    fn prune(&self, purpose: &str) -> Result<(), String> {
        self.time.advance(Duration::from_secs(7200));
        let repository = self.open(purpose)?;
        let context = Context {
            monitor: &Silent,
            cancel: &Cancel::default(),
            sleeper: &self.time,
        };
        let options = PruneOptions {
            max_unused: 0.0,
            dead_after: DEAD_AFTER,
            ..PruneOptions::default()
        };
        prune(&repository, options, context).map_err(|error| {
            let text = icecore::explain::explain(&*error);
            format!("the {purpose} prune: {text}")
        })
    }

    fn verify(&self, when: &str) -> Result<(), String> {
        let repository = self.open(when)?;
        let index = empty_index();
        let explain = |error: &dyn std::error::Error| icecore::explain::explain(error);
        repository
            .refresh_index(&index, &Silent)
            .map_err(|error| explain(&error))?;
        let (list, _) = repository
            .list_snapshots()
            .map_err(|error| explain(&error))?;
        let visible: BTreeMap<SnapshotId, BlobId> = list
            .visible
            .iter()
            .map(|snapshot| (snapshot.id, snapshot.root))
            .collect();
        for (id, root) in &visible {
            self.read(&repository, &index, *id, *root, when)?;
        }
        for id in self.promises.saved() {
            if !visible.contains_key(&id) {
                return Err(format!("{when}: saved snapshot {id} is not visible"));
            }
        }
        for id in self.promises.kept() {
            match repository.load_snapshot(id) {
                Ok(Some(snapshot)) => self.read(&repository, &index, id, snapshot.root, when)?,
                _ => return Err(format!("{when}: kept snapshot {id} is gone")),
            }
        }
        let report = check(
            &repository,
            &empty_index(),
            &CheckOptions::default(),
            &Silent,
            &Cancel::default(),
        );
        match report {
            Ok(report) => match alarms(&report.damage)[..] {
                [] => Ok(()),
                ref alarms => Err(format!("{when}: check finds {alarms:?}")),
            },
            Err(error) => Err(format!("{when}: check fails: {}", explain(&error))),
        }
    }

    fn read(
        &self,
        repository: &Repository,
        index: &Index,
        id: SnapshotId,
        root: BlobId,
        when: &str,
    ) -> Result<(), String> {
        let files = read(repository, index, root).map_err(|error| {
            let text = icecore::explain::explain(&error);
            format!("{when}: snapshot {id} does not restore: {text}")
        })?;
        match self.promises.contents.get(&id) {
            Some(expected) if *expected != files => {
                Err(format!("{when}: snapshot {id} restores to something else"))
            }
            _ => Ok(()),
        }
    }
}

/// Plans and executes.
pub fn prune(
    repository: &Repository,
    options: PruneOptions,
    context: Context<'_>,
) -> Result<(), Box<PruneError>> {
    let plan = PrunePlan::new(repository, options, context).map_err(Box::new)?;
    plan.execute(context).map(drop).map_err(Box::new)
}

/// What a check must not report here. A pack that is listed, gone and needed by nobody is no broken
/// promise: a segment that comes late, or stays for another pack's sake, lists such packs until the
/// next prune.
pub fn alarms(damage: &[Damage]) -> Vec<&Damage> {
    let is_alarm =
        |damage: &&Damage| !damage.hurts.is_empty() || !damage.object.starts_with("packs/");
    damage.iter().filter(is_alarm).collect()
}

/// Every byte of a snapshot.
pub fn read(
    repository: &Repository,
    index: &Index,
    root: BlobId,
) -> Result<BTreeMap<String, Vec<u8>>, TreeError> {
    read_through(&Reader::new(repository, index), root)
}

/// The same through a reader that may follow what happens to the snapshot.
pub fn read_through(
    reader: &Reader<'_>,
    root: BlobId,
) -> Result<BTreeMap<String, Vec<u8>>, TreeError> {
    let mut files = BTreeMap::new();
    let mut visit = |path: &[u8], node: &Node| {
        let mut content = Vec::new();
        for_each_piece::<TreeError>(reader, node.child, &mut |piece| {
            if let Some(chunk) = piece.chunk {
                content.extend(reader.read(chunk, BlobKind::Chunk)?);
            }
            Ok(())
        })?;
        files.insert(String::from_utf8_lossy(path).into_owned(), content);
        Ok::<_, TreeError>(Descend::Into)
    };
    let mut leave = |_: &[u8], _: &Node| Ok(());
    walk(reader, root, &Cancel::default(), &mut visit, &mut leave)?;
    Ok(files)
}

/// A party's view of the store; `repeats`: through what repeats failed calls in the real program.
pub fn store_of(core: &Arc<Core>, party: usize, repeats: bool) -> Arc<dyn Store> {
    let store = PartyStore {
        core: core.clone(),
        party,
    };
    if !repeats {
        return Arc::new(store);
    }
    let time = || {
        Arc::new(PartyTime {
            core: core.clone(),
            party,
        })
    };
    let pacing = Pacing {
        clock: time(),
        sleeper: time(),
        cancel: Cancel::default(),
    };
    let entropy = Arc::new(SeededEntropy::new(&format!("pauses of {party}")));
    let policy = RetryPolicy::default();
    Arc::new(RetryStore::new(
        store,
        Arc::new(Retrier::new(policy, pacing, entropy, Arc::new(Silent))),
    ))
}
