//! A crash at every call to either store.

use super::{Contents, Kin, World, contents, copy_all, damage, seed};
use crate::monitor::Silent;
use crate::store::fault::CrashingStore;
use crate::testing_repository::{copy, open};
use std::sync::Arc;

fn calls_of_opening(world: &World) -> u64 {
    let store = Arc::new(CrashingStore::unlimited(world.target.clone(), 0));
    world.target_through(store.clone());
    store.calls_made()
}

/// Whatever is visible at the target is whole; nothing else is. Returns it.
fn assert_nothing_half(world: &World, expected: &Contents, calls: u64) -> Contents {
    let there = contents(&world.target());
    assert!(
        there
            .iter()
            .all(|(time, content)| expected.get(time) == Some(content))
    );
    assert_eq!(
        damage(&world.target()),
        Vec::<String>::new(),
        "after {calls} calls"
    );
    there
}

#[test]
fn the_target_crashes_anywhere_and_the_next_run_goes_on() {
    let prepared = World::new(&Kin::Sibling);
    let expected = contents(&prepared.source());
    let opened = calls_of_opening(&prepared);
    let (mut calls, mut partial) = (0, 0);
    loop {
        let world = World {
            source: prepared.source.clone(),
            target: copy(&prepared.target, prepared.clock.clone()),
            clock: prepared.clock.clone(),
            taken: prepared.taken.clone(),
        };
        let store = Arc::new(CrashingStore::new(
            world.target.clone(),
            opened + calls,
            calls,
        ));
        let target = world.target_through(store);
        let finished = copy_all(&world.source(), &target, &Silent).is_ok();
        let there = assert_nothing_half(&world, &expected, calls);
        partial += usize::from(!there.is_empty() && there.len() < expected.len());
        let next = copy_all(&world.source(), &world.target(), &Silent).unwrap();
        assert_eq!(next.copied.len() + next.already_there.len(), 3);
        assert_eq!(contents(&world.target()), expected, "after {calls} calls");
        if finished {
            break;
        }
        calls += 1;
    }
    assert!(
        calls > 20 && partial > 5,
        "{calls} calls, {partial} partial"
    );
}

#[test]
fn the_source_crashes_anywhere_and_nothing_half_is_visible() {
    let world = World::new(&Kin::Sibling);
    let expected = contents(&world.source());
    let through = |calls| {
        let store = Arc::new(CrashingStore::new(world.source.clone(), calls, 0));
        let opened = open(store.clone(), &seed(), world.clock.clone());
        (store, opened)
    };
    let (counting, opened) = through(u64::MAX);
    opened.unwrap();
    let (mut calls, mut failures) = (counting.calls_made(), 0);
    loop {
        let (_, opened) = through(calls);
        let finished = copy_all(&opened.unwrap(), &world.target(), &Silent).is_ok();
        assert_nothing_half(&world, &expected, calls);
        if finished {
            break;
        }
        failures += 1;
        calls += 1;
    }
    assert!(failures > 0);
    assert_eq!(contents(&world.target()), expected);
}
