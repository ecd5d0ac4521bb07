//! Prune and the sessions of others.

use crate::format::protocol::SessionKind;
use crate::prune::tests::support::{Seeded, World, commit, open_session, prune, thorough};
use crate::prune::tests::{files, forget};
use crate::prune::{PruneError, Pruned};
use crate::prune::{PruneOptions, tests::support};
use crate::repository::index::Index;
use crate::repository::{CommitError, Session};
use std::time::Duration;

#[test]
fn another_prune_is_given_way() {
    let world = World::new();
    let repository = world.open();
    let session = Session::open(&repository, SessionKind::Prune).unwrap();
    let id = session.id();
    let before = world.count("");
    let error = world.prune(thorough()).unwrap_err();
    assert!(matches!(error, PruneError::Busy(busy) if busy == id));
    assert!(error.is_refused());
    assert_eq!(world.count("gc"), 0);
    assert_eq!(world.count(""), before + 2, "it opened and ended");
    session.end(&repository, Vec::new()).unwrap();
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("sessions"), 0);
}

#[test]
fn a_prune_without_work_waits_for_nobody() {
    let world = World::new();
    let repository = world.open();
    let writer = Session::open(&repository, SessionKind::Write).unwrap();
    assert_eq!(world.prune(thorough()).unwrap(), Pruned::default());
    assert_eq!(world.count("sessions"), 1);
    writer.end(&repository, Vec::new()).unwrap();
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("sessions"), 0);
}

#[test]
fn a_dead_session_is_closed_and_what_it_commits_later_is_void() {
    let world = World::new();
    let random = Seeded::new(1);
    let kept = files(&[("x", &random.bytes(80_000))]);
    let id = world.snapshot("a", &kept);
    let repository = world.open();
    let index = Index::default();
    let sleeper = open_session(&repository, &index);
    world.time.advance(Duration::from_secs(25 * 3600));
    world.prune(thorough()).unwrap();
    // It wakes up, and finds itself fenced.
    let late = commit(&sleeper, "a", &files(&[("y", &random.bytes(80_000))])).unwrap_err();
    assert!(matches!(late, CommitError::Fenced(_)), "{late}");
    assert_eq!(world.visible(), [id]);
    let (list, _) = world.open().list_snapshots().unwrap();
    assert_eq!(list.void.len(), 1);
    world.prune(thorough()).unwrap();
    assert_eq!(world.count("snapshots"), 1, "the void one goes");
    assert_eq!(world.read(id), kept);
}

#[test]
fn what_a_closed_session_had_committed_counts() {
    let world = World::new();
    let random = Seeded::new(2);
    let content = files(&[("x", &random.bytes(80_000))]);
    let repository = world.open();
    let index = Index::default();
    let session = open_session(&repository, &index);
    let id = commit(&session, "a", &content).unwrap();
    let open = repository.list_sessions().unwrap()[0].id;
    let options = PruneOptions {
        fence: vec![open],
        ..thorough()
    };
    world.prune(options).unwrap();
    assert_eq!(world.visible(), [id]);
    assert_eq!(world.read(id), content);
}

/// Two prunes planned the same; the one that was fenced meanwhile deletes nothing.
#[test]
fn a_plan_that_is_overtaken_is_harmless() {
    let world = World::new();
    let random = Seeded::new(3);
    let old = world.snapshot("a", &files(&[("x", &random.bytes(80_000))]));
    let kept = files(&[("y", &random.bytes(80_000))]);
    let id = world.snapshot("a", &kept);
    forget(&world, old);
    let repository = world.open();
    support::with_context(|context| {
        let plan = crate::prune::PrunePlan::new(&repository, thorough(), context).unwrap();
        crate::forget::undo(&world.open(), &[old]).unwrap();
        plan.execute(context).unwrap();
        assert_eq!(world.visible().len(), 2, "brought back after the plan");
        let plan = crate::prune::PrunePlan::new(&repository, thorough(), context).unwrap();
        forget(&world, old);
        let stale = crate::prune::PrunePlan::new(&repository, thorough(), context).unwrap();
        plan.execute(context).unwrap();
        assert_eq!(world.count("snapshots"), 2, "hidden after the plan");
        prune(&world.open(), thorough()).unwrap();
        assert_eq!(world.count("snapshots"), 1);
        stale.execute(context).unwrap();
    });
    assert_eq!(world.read(id), kept);
}
