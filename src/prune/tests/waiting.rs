//! A prune beside writers that were there before it, and beside another prune.

use crate::env::Sleeper;
use crate::format::layout;
use crate::format::protocol::SessionKind;
use crate::id::{PackId, SessionId, SnapshotId};
use crate::monitor::{Cancel, Silent};
use crate::prune::tests::support::{
    Files, Seeded, World, commit, open_session, prune, snapshot, thorough,
};
use crate::prune::tests::{files, forget};
use crate::prune::{Context, PruneError, PruneOptions, PrunePlan, Pruned};
use crate::repository::index::Index;
use crate::repository::{CommitError, Session};
use crate::store::{ManualTime, StoreExt};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

type Event<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Moves the world's time, and lets one thing happen while a prune waits.
struct Passing<'a> {
    time: ManualTime,
    state: Mutex<(Duration, Option<(Duration, Event<'a>)>)>,
}

impl<'a> Passing<'a> {
    fn new(world: &World) -> Self {
        Self {
            time: world.time.clone(),
            state: Mutex::new((Duration::ZERO, None)),
        }
    }

    fn after(world: &World, wait: Duration, event: impl FnOnce() + Send + 'a) -> Self {
        let passing = Self::new(world);
        passing.state.lock().unwrap().1 = Some((wait, Box::new(event)));
        passing
    }

    fn slept(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Sleeper for Passing<'_> {
    fn sleep(&self, duration: Duration) {
        self.time.advance(duration);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += duration;
        if state.1.as_ref().is_some_and(|(wait, _)| *wait <= state.0) {
            let event = state.1.take();
            drop(state);
            event.unwrap().1();
        }
    }
}

fn prune_while(
    world: &World,
    passing: &Passing<'_>,
    cancel: &Cancel,
    options: PruneOptions,
) -> Result<Pruned, PruneError> {
    let context = Context {
        monitor: &Silent,
        cancel,
        sleeper: passing,
    };
    PrunePlan::new(&world.open(), options, context)?.execute(context)
}

/// A forgotten snapshot, a visible one, and what each holds.
fn prepared() -> (World, Files, SnapshotId, Files) {
    let world = World::new();
    let random = Seeded::new(1);
    let old = files(&[("old", &random.bytes(90_000))]);
    let kept = files(&[("kept", &random.bytes(70_000))]);
    let old_id = world.snapshot("a", &old);
    let kept_id = world.snapshot("a", &kept);
    forget(&world, old_id);
    (world, old, kept_id, kept)
}

/// Sessions that are open.
fn open(world: &World) -> Vec<SessionId> {
    let mut sessions = world.open().list_sessions().unwrap();
    sessions.retain(|session| session.is_open());
    sessions.iter().map(|session| session.id).collect()
}

#[test]
fn what_a_writer_relied_on_before_the_condemn_stays() {
    let (world, old, kept_id, kept) = prepared();
    let (repository, index) = (world.open(), Index::default());
    let writer = open_session(&repository, &index);
    let packs = world.size("packs");
    let new_id = Mutex::new(None);
    let passing = Passing::after(&world, Duration::from_secs(100), || {
        // The content is there, it believes: what it opened with says so.
        let id = commit(&writer, "a", &old).unwrap();
        writer.end().unwrap();
        *new_id.lock().unwrap() = Some(id);
    });
    let pruned = prune_while(&world, &passing, &Cancel::default(), thorough()).unwrap();
    let new_id = new_id.lock().unwrap().take().unwrap();
    assert!(pruned.waited >= Duration::from_secs(100), "{pruned:?}");
    assert!(pruned.waited < Duration::from_secs(120), "{pruned:?}");
    assert_eq!(pruned.snapshots, 1);
    assert!(
        world.size("packs") + 10_000 > packs,
        "nothing was stored twice"
    );
    assert_eq!(world.read(new_id), old);
    assert_eq!(world.read(kept_id), kept);
    assert_eq!(world.count("sessions"), 0);
    assert_eq!(world.count("gc"), 1, "the hide record alone");
}

/// Half of what was condemned is needed again: no segment that stays lists a pack that is gone, which
/// a check would call damage. The next prune takes the other half.
#[test]
fn what_a_segment_lists_goes_with_it_or_stays() {
    let world = World::new();
    let random = Seeded::new(2);
    let (wanted, other) = (random.bytes(90_000), random.bytes(80_000));
    let old_id = world.snapshot("a", &files(&[("wanted", &wanted), ("other", &other)]));
    forget(&world, old_id);
    let (repository, index) = (world.open(), Index::default());
    let writer = open_session(&repository, &index);
    let new = files(&[("wanted", &wanted)]);
    let passing = Passing::after(&world, Duration::from_secs(10), || {
        commit(&writer, "a", &new).unwrap();
        writer.end().unwrap();
    });
    prune_while(&world, &passing, &Cancel::default(), thorough()).unwrap();
    let size = world.size("packs");
    let [new_id] = world.visible()[..] else {
        panic!("not one snapshot")
    };
    for round in 0..2 {
        assert_eq!(world.read(new_id), new);
        let there: HashSet<PackId> = world
            .store
            .list_all(layout::PACKS)
            .unwrap()
            .iter()
            .filter_map(|info| layout::parse_pack(info.key.as_str()))
            .map(|(_, pack)| pack)
            .collect();
        for info in world.store.list_all(layout::SEGMENTS).unwrap() {
            let id = info.key.file_name().parse().unwrap();
            let (_, packs) = world.open().load_segment_of_domain(id).unwrap().unwrap();
            assert!(
                packs.iter().all(|pack| there.contains(&pack.pack)),
                "{round}"
            );
        }
        world.prune(thorough()).unwrap();
    }
    assert!(
        world.size("packs") + 60_000 < size,
        "the other half is gone"
    );
    assert_eq!(world.prune(thorough()).unwrap(), Pruned::default());
}

#[test]
fn a_writer_that_begins_after_the_condemn_is_not_waited_for() {
    let (world, old, kept_id, kept) = prepared();
    let repository = world.open();
    let (first, second) = (Index::default(), Index::default());
    let early = open_session(&repository, &first);
    let late = Mutex::new(None);
    let passing = Passing::after(&world, Duration::from_secs(10), || {
        *late.lock().unwrap() = Some(open_session(&repository, &second));
        early.end().unwrap();
    });
    prune_while(&world, &passing, &Cancel::default(), thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1);
    let late = late.lock().unwrap().take().unwrap();
    assert_eq!(open(&world).len(), 1, "it is still at work");
    let id = commit(&late, "a", &old).unwrap();
    late.end().unwrap();
    assert_eq!(world.read(id), old);
    assert_eq!(world.read(kept_id), kept);
}

#[test]
fn a_writer_that_falls_silent_is_closed_while_it_is_waited_for() {
    let (world, old, kept_id, kept) = prepared();
    let (repository, index) = (world.open(), Index::default());
    let writer = open_session(&repository, &index);
    let options = PruneOptions {
        dead_after: 2 * HOUR,
        ..thorough()
    };
    let passing = Passing::new(&world);
    let pruned = prune_while(&world, &passing, &Cancel::default(), options).unwrap();
    assert!(pruned.waited >= 2 * HOUR && pruned.waited < 3 * HOUR);
    assert_eq!(world.count("snapshots"), 1);
    // It wakes up: what it relied on is gone, and it may not report success.
    let late = commit(&writer, "a", &old).unwrap_err();
    let is_told = matches!(late, CommitError::Fenced(_) | CommitError::Vanished(_));
    assert!(is_told, "{late}");
    let again = snapshot(&world.open(), "a", &old).unwrap();
    assert_eq!(world.read(again), old);
    assert_eq!(world.read(kept_id), kept);
}

#[test]
fn somebody_else_may_close_the_writer_that_is_waited_for() {
    let (world, _, kept_id, kept) = prepared();
    let (repository, index) = (world.open(), Index::default());
    let _writer = open_session(&repository, &index);
    let [session] = open(&world)[..] else {
        panic!("not one session")
    };
    let other = world.copy_handle();
    let passing = Passing::after(&world, HOUR, move || {
        // As `prune --fence-writer` does, which then gives way to the prune that runs.
        let options = PruneOptions {
            fence: vec![session],
            ..thorough()
        };
        let error = prune(&other.open(), options).unwrap_err();
        assert!(matches!(error, PruneError::Busy(_)), "{error}");
    });
    let pruned = prune_while(&world, &passing, &Cancel::default(), thorough()).unwrap();
    assert!(pruned.waited >= HOUR && pruned.waited < 2 * HOUR);
    assert_eq!(world.count("snapshots"), 1);
    assert_eq!(world.count("sessions"), 0);
    assert_eq!(world.read(kept_id), kept);
}

#[test]
fn a_wait_that_is_too_long_ends_without_a_trace() {
    let (world, _, _, _) = prepared();
    let repository = world.open();
    let writer = Session::open(&repository, SessionKind::Write).unwrap();
    let objects = world.count("");
    for wait in [Duration::ZERO, HOUR] {
        let options = PruneOptions { wait, ..thorough() };
        let passing = Passing::new(&world);
        let error = prune_while(&world, &passing, &Cancel::default(), options).unwrap_err();
        assert_eq!(passing.slept(), wait);
        assert!(error.is_refused() && !error.is_damage());
        let PruneError::WritersOpen(writers) = &error else {
            panic!("{error}")
        };
        assert_eq!(writers.len(), 1);
        assert_eq!(writers[0].session, writer.id());
        assert_eq!(writers[0].writer, Some(repository.access().writer()));
        assert!(error.to_string().contains(&writer.id().short()), "{error}");
        assert_eq!(world.count("snapshots"), 2);
        assert_eq!(world.count("gc"), 1, "nothing is condemned any more");
        assert_eq!(open(&world), [writer.id()]);
    }
    writer.end(&repository, Vec::new()).unwrap();
    assert_eq!(world.prune(thorough()).unwrap().snapshots, 1);
    assert!(world.count("") < objects);
    assert_eq!(world.count("sessions"), 0);
}

#[test]
fn interrupted_while_it_waits_a_prune_leaves_no_trace() {
    let (world, _, _, _) = prepared();
    let repository = world.open();
    let writer = Session::open(&repository, SessionKind::Write).unwrap();
    let (packs, cancel) = (world.size("packs"), Cancel::default());
    let passing = Passing::after(&world, HOUR, || cancel.cancel());
    let error = prune_while(&world, &passing, &cancel, thorough()).unwrap_err();
    assert!(matches!(error, PruneError::Interrupted(_)), "{error}");
    assert!(passing.slept() < HOUR + Duration::from_secs(1), "at once");
    assert_eq!(world.size("packs"), packs);
    assert_eq!(world.count("gc"), 1, "the hide record alone");
    assert_eq!(open(&world), [writer.id()]);
    writer.end(&repository, Vec::new()).unwrap();
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1);
}

#[test]
fn a_prune_that_waits_gives_signs_of_life() {
    let (world, _, _, _) = prepared();
    let repository = world.open();
    let writer = Session::open(&repository, SessionKind::Write).unwrap();
    let other = world.copy_handle();
    let passing = Passing::after(&world, 5 * HOUR, move || {
        let options = PruneOptions {
            dead_after: HOUR,
            ..thorough()
        };
        let error = prune(&other.open(), options).unwrap_err();
        assert!(matches!(error, PruneError::Busy(_)), "{error}");
    });
    // The second prune judges by its own bound, and finds the writer dead.
    prune_while(&world, &passing, &Cancel::default(), thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1);
    assert!(writer.is_fenced(&repository).unwrap());
    assert_eq!(world.count("sessions"), 0);
}

#[test]
fn the_grace_passes_after_the_writers() {
    let (world, _, _, _) = prepared();
    let repository = world.open();
    let writer = Mutex::new(Some(
        Session::open(&repository, SessionKind::Write).unwrap(),
    ));
    let passing = Passing::after(&world, HOUR, || {
        let writer = writer.lock().unwrap().take().unwrap();
        writer.end(&repository, Vec::new()).unwrap();
    });
    let options = PruneOptions {
        grace: 3 * HOUR,
        ..thorough()
    };
    prune_while(&world, &passing, &Cancel::default(), options).unwrap();
    assert!(passing.slept() >= 4 * HOUR && passing.slept() < 4 * HOUR + HOUR / 10);
    assert_eq!(world.count("sessions"), 0);
}
