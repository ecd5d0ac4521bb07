//! Others at work: damage at the source, a prune of it, two copies at once.

use super::{Kin, World, contents, copy_all, damage};
use crate::forget::ForgetPlan;
use crate::format::layout;
use crate::format::pack::PackClass;
use crate::id::SnapshotId;
use crate::monitor::{Monitor, Silent, Unit};
use crate::prune::tests::support::{prune, thorough};
use crate::retention::GroupBy;
use crate::store::{Store, StoreExt};
use crate::testing_repository::copy;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_damaged_snapshot_stays_behind_and_the_others_go() {
    let world = World::new(&Kin::Sibling);
    let expected = contents(&world.source());
    let deltas = format!("{}/{}", layout::PACKS, PackClass::Delta.name());
    let packs = world.source.list_all(&deltas).unwrap();
    // One that exactly one snapshot needs.
    let hurts_one = |key| {
        let without = copy(&world.source, world.clock.clone());
        without.delete(key).unwrap();
        let other = World {
            source: without,
            target: copy(&world.target, world.clock.clone()),
            clock: world.clock.clone(),
            taken: world.taken.clone(),
        };
        other.copy().copied.len() == 2
    };
    let hurting = packs.iter().find(|info| hurts_one(&info.key)).unwrap();
    let mut bytes = world.source.get(&hurting.key, usize::MAX).unwrap();
    // Behind the keys, before the table of contents.
    bytes[3900..4100].iter_mut().for_each(|byte| *byte ^= 1);
    world.source.put(&hurting.key, &bytes).unwrap();
    let report = world.copy();
    assert_eq!(
        (report.copied.len(), report.damaged.len()),
        (2, 1),
        "{report:?}"
    );
    assert_eq!(damage(&world.target()), Vec::<String>::new());
    let there = contents(&world.target());
    assert_eq!(there.len(), 2);
    assert!(
        there
            .iter()
            .all(|(time, content)| expected.get(time) == Some(content))
    );
}

/// Calls something when the n-th snapshot is begun.
struct AtSnapshot<'a> {
    number: usize,
    begun: AtomicUsize,
    action: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl Monitor for AtSnapshot<'_> {
    fn phase(&self, _: &'static str, _: Unit, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn warn(&self, _: &str) {}
    fn current(&self, _: &str) {
        if self.begun.fetch_add(1, Ordering::Relaxed) + 1 == self.number
            && let Some(action) = self.action.lock().unwrap().take()
        {
            action();
        }
    }
}

fn forget_and_prune(world: &World, id: SnapshotId) {
    let repository = world.source();
    let plan = ForgetPlan::by_name(&repository, &[id], GroupBy::default()).unwrap();
    plan.execute(true).unwrap();
    prune(&repository, thorough()).unwrap();
}

#[test]
fn a_prune_of_the_source_meanwhile_is_followed() {
    for victim in 0..3 {
        let world = World::new(&Kin::Sibling);
        let mut expected = contents(&world.source());
        let at_second = AtSnapshot {
            number: 2,
            begun: AtomicUsize::new(0),
            action: Mutex::new(Some(Box::new(|| {
                forget_and_prune(&world, world.taken[victim])
            }))),
        };
        let report = copy_all(&world.source(), &world.target(), &at_second).unwrap();
        assert_eq!(report.damaged, [], "victim {victim}");
        // Copied before it was withdrawn, or not at all.
        let copied = report.copied.len() + report.withdrawn.len();
        assert_eq!(copied, 3, "victim {victim}: {report:?}");
        let there = contents(&world.target());
        if !report.withdrawn.is_empty() {
            let times: Vec<i64> = expected.keys().copied().collect();
            expected.remove(&times[victim]);
        }
        assert_eq!(there, expected, "victim {victim}");
        assert_eq!(damage(&world.target()), Vec::<String>::new());
    }
}

#[test]
fn two_copies_at_once_to_one_target_leave_everything_whole() {
    for _ in 0..4 {
        let world = World::new(&Kin::Sibling);
        let expected = contents(&world.source());
        let (source, targets) = (world.source(), [world.target(), world.target()]);
        std::thread::scope(|scope| {
            let source = &source;
            let run = |target| scope.spawn(move || copy_all(source, target, &Silent).unwrap());
            let runs = targets.each_ref().map(run);
            for run in runs {
                let report = run.join().unwrap();
                assert_eq!(report.copied.len() + report.already_there.len(), 3);
            }
        });
        // Either may have brought a snapshot that the other was just committing.
        assert_eq!(contents(&world.target()), expected);
        assert_eq!(damage(&world.target()), Vec::<String>::new());
        assert_eq!(world.copy().already_there.len(), 3);
    }
}
