//! Who works on the repository: the real operations, each with its own view of the store.

use crate::simulation::schedule::{Core, PartyTime, Random};
use crate::simulation::world::{
    Base, DEAD_AFTER, alarms, files, one_worker, plain, prune, read_through, store_of,
};
use icecore::archiver::Run;
use icecore::check::{CheckOptions, check};
use icecore::env::{Clock, Sleeper};
use icecore::forget::{ForgetPlan, undo};
use icecore::id::SnapshotId;
use icecore::monitor::{Cancel, Silent};
use icecore::prune::{Context, PruneOptions};
use icecore::repository::{ReadError, Reader, Repository};
use icecore::retention::GroupBy;
use icecore::source::Source;
use icecore::testing_repository::{StampedSource, empty_index, open};
use icecore::tree::TreeError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Writer,
    Pruner,
    Forgetter,
    Holder,
    Undoer,
    Checker,
    Reader,
}

impl Party {
    /// A writer, a pruner, and one to three more.
    pub fn drawn(random: &mut Random) -> Vec<Self> {
        let others = [
            Self::Writer,
            Self::Writer,
            Self::Pruner,
            Self::Pruner,
            Self::Forgetter,
            Self::Holder,
            Self::Undoer,
            Self::Checker,
            Self::Reader,
        ];
        let mut parties = vec![Self::Writer, Self::Pruner];
        for _ in 0..1 + random.below(3) {
            parties.push(others[random.below(others.len() as u64) as usize]);
        }
        parties
    }
}

/// What the parties were told, and what they found broken.
pub struct Promises {
    pub contents: BTreeMap<SnapshotId, BTreeMap<String, Vec<u8>>>,
    saved: BTreeSet<SnapshotId>,
    /// Snapshots that somebody tried to withdraw since the beginning.
    withdrawn: BTreeSet<SnapshotId>,
    held: BTreeSet<SnapshotId>,
    undone: BTreeSet<SnapshotId>,
    pub broken: Vec<String>,
}

impl Promises {
    pub fn new(base: &Base) -> Self {
        Self {
            contents: base.contents.clone(),
            saved: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            held: BTreeSet::new(),
            undone: BTreeSet::new(),
            broken: Vec::new(),
        }
    }

    /// Snapshots that must be visible.
    pub fn saved(&self) -> BTreeSet<SnapshotId> {
        &self.saved - &self.withdrawn
    }

    /// Snapshots that must be there.
    pub fn kept(&self) -> BTreeSet<SnapshotId> {
        &self.held | &(&self.undone - &self.withdrawn)
    }
}

/// Tells the schedule that a party is done, whatever ended it.
struct Presence<'a>(&'a Core, usize);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.finish(self.1);
    }
}

struct AtWork<'a> {
    number: usize,
    seed: u64,
    core: &'a Arc<Core>,
    random: Random,
    promises: &'a Mutex<Promises>,
}

/// Does a party's work. What fails because the store fails or a rule says so is no news.
pub fn run_party(
    party: Party,
    number: usize,
    seed: u64,
    core: &Arc<Core>,
    promises: &Mutex<Promises>,
) {
    let _presence = Presence(core, number);
    let mut at_work = AtWork {
        number,
        seed,
        core,
        random: Random::new(seed ^ (number as u64 + 1) << 48),
        promises,
    };
    let begins = at_work.random.time(16);
    at_work.time().sleep(begins);
    let Some(repository) = at_work.open() else {
        return;
    };
    match party {
        Party::Writer => at_work.write(&repository),
        Party::Pruner => at_work.prune(&repository),
        Party::Forgetter => at_work.forget(&repository),
        Party::Holder => at_work.hold(&repository),
        Party::Undoer => at_work.undo(&repository),
        Party::Checker => at_work.check(&repository),
        Party::Reader => at_work.read(&repository),
    }
}

impl AtWork<'_> {
    fn time(&self) -> PartyTime {
        PartyTime {
            core: self.core.clone(),
            party: self.number,
        }
    }

    fn open(&mut self) -> Option<Repository> {
        let clock: Arc<dyn Clock> = Arc::new(self.time());
        let seed = format!("{}/{}", self.seed, self.number);
        let repeats = self.random.one_in(2);
        open(store_of(self.core, self.number, repeats), &seed, clock).ok()
    }

    fn promise(&self, with: impl FnOnce(&mut Promises)) {
        with(&mut self.promises.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn broken(&self, text: String) {
        self.promise(|promises| promises.broken.push(text));
    }

    fn write(&mut self, repository: &Repository) {
        let index = empty_index();
        let Ok(mut run) = Run::new(repository, &index) else {
            return;
        };
        for _ in 0..1 + self.random.below(2) {
            let files = files(&mut self.random);
            let stamped = StampedSource {
                files: files.clone(),
                ..StampedSource::default()
            };
            let mut source = || Ok(Box::new(stamped.clone()) as Box<dyn Source>);
            let taken = run.snapshot(&one_worker(), &mut source, &Silent, &Cancel::default());
            if let Ok(taken) = taken {
                self.promise(|promises| {
                    promises.contents.insert(taken.id, plain(&files));
                    promises.saved.insert(taken.id);
                });
            }
        }
    }

    fn prune(&mut self, repository: &Repository) {
        let time = self.time();
        let context = Context {
            monitor: &Silent,
            cancel: &Cancel::default(),
            sleeper: &time,
        };
        let mut options = PruneOptions {
            max_unused: [0.0, 0.0, 0.3][self.random.below(3) as usize],
            dead_after: DEAD_AFTER,
            wait: Duration::from_secs(300),
            grace: Duration::from_secs(self.random.below(2) * 20),
            ..PruneOptions::default()
        };
        if self.random.one_in(4)
            && let Ok(sessions) = repository.list_sessions()
        {
            let open = sessions.iter().filter(|session| session.is_open());
            options.fence = open.map(|session| session.id).collect();
        }
        if let Err(error) = prune(repository, options, context)
            && error.is_damage()
        {
            let text = icecore::explain::explain(&error);
            self.broken(format!("a prune reports damage: {text}"));
        }
    }

    fn listed(&mut self, repository: &Repository, hidden_too: bool) -> Option<SnapshotId> {
        let (list, _) = repository.list_snapshots().ok()?;
        let hidden = if hidden_too { &list.hidden[..] } else { &[] };
        let all: Vec<SnapshotId> = list
            .visible
            .iter()
            .chain(hidden)
            .map(|snapshot| snapshot.id)
            .collect();
        let chosen = self.random.below(all.len() as u64) as usize;
        all.get(chosen).copied()
    }

    fn forget(&mut self, repository: &Repository) {
        let Some(id) = self.listed(repository, false) else {
            return;
        };
        if let Ok(plan) = ForgetPlan::by_name(repository, &[id], GroupBy::default()) {
            self.promise(|promises| promises.withdrawn.extend([id]));
            // Withdrawn or not: nobody relies on it from here on.
            drop(plan.execute(true));
        }
    }

    fn hold(&mut self, repository: &Repository) {
        let Some(id) = self.listed(repository, true) else {
            return;
        };
        if repository.add_hold(id, None, "simulated").is_ok() {
            self.promise(|promises| promises.held.extend([id]));
        }
    }

    fn undo(&mut self, repository: &Repository) {
        let Ok((list, _)) = repository.list_snapshots() else {
            return;
        };
        let chosen = self.random.below(list.hidden.len() as u64) as usize;
        let Some(id) = list.hidden.get(chosen).map(|snapshot| snapshot.id) else {
            return;
        };
        if undo(repository, &[id]).is_ok() {
            self.promise(|promises| promises.undone.extend([id]));
        }
    }

    fn check(&mut self, repository: &Repository) {
        for _ in 0..3 {
            let report = check(
                repository,
                &empty_index(),
                &CheckOptions::default(),
                &Silent,
                &Cancel::default(),
            );
            if let Ok(report) = report
                && let alarms = alarms(&report.damage)
                && !alarms.is_empty()
            {
                self.broken(format!("a check reports damage: {alarms:?}"));
            }
        }
    }

    /// Reads all that is visible, as a restore does.
    fn read(&self, repository: &Repository) {
        let Ok((list, _)) = repository.list_snapshots() else {
            return;
        };
        let index = empty_index();
        if repository.refresh_index(&index, &Silent).is_err() {
            return;
        }
        for snapshot in list.visible {
            let reader = Reader::new(repository, &index);
            reader.follow(snapshot.id);
            let id = snapshot.id;
            match read_through(&reader, snapshot.root) {
                Ok(files) => self.promise(|promises| {
                    if promises.contents.get(&id).is_some_and(|was| *was != files) {
                        let text = format!("a reader finds something else in {id}");
                        promises.broken.push(text);
                    }
                }),
                Err(TreeError::Read(ReadError::Store(error))) if !error.is_not_found() => {}
                Err(TreeError::Read(ReadError::Withdrawn(_))) => {}
                Err(error) => {
                    let text = icecore::explain::explain(&error);
                    self.broken(format!("a reader cannot read {id}: {text}"));
                }
            }
        }
    }
}
