#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::forget::{Decided, ForgetError, ForgetPlan, PolicyRequest, undo};
use crate::prune::tests::files;
use crate::prune::tests::support::World;
use crate::retention::{GroupBy, Policy};
use crate::selector::Filters;
use jiff::tz::TimeZone;
use std::collections::HashSet;

fn by_policy<'a>(
    repository: &'a crate::repository::Repository,
    policy: &Policy,
) -> Result<ForgetPlan<'a>, ForgetError> {
    let request = PolicyRequest {
        policy,
        group_by: GroupBy::default(),
        filters: &Filters::default(),
        proven: &HashSet::new(),
        zone: &TimeZone::UTC,
    };
    ForgetPlan::by_policy(repository, &request)
}

fn keep_last(count: u32) -> Policy {
    Policy {
        keep_last: Some(count),
        ..Policy::default()
    }
}

#[test]
fn a_policy_forgets_what_it_does_not_keep_and_says_why() {
    let world = World::new();
    let ids: Vec<_> = (0..4)
        .map(|number| world.snapshot("a", &files(&[("x", &[number])])))
        .collect();
    let other = world.snapshot("b", &files(&[("x", b"other")]));
    let repository = world.open();
    let plan = by_policy(&repository, &keep_last(2)).unwrap();
    let Decided::ByPolicy(groups) = plan.decided() else {
        panic!("by policy")
    };
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].decisions.len(), 4);
    let mut forgotten = plan.forgotten().to_vec();
    forgotten.sort();
    let mut expected = vec![ids[0], ids[1]];
    expected.sort();
    assert_eq!(forgotten, expected);
    plan.execute(false).unwrap();
    assert_eq!(world.visible(), [ids[2], ids[3], other]);
    assert_eq!(world.count("gc"), 1, "one record for all");
    undo(&repository, &expected).unwrap();
    assert_eq!(world.visible().len(), 5);
    let again = undo(&repository, &expected).unwrap_err();
    assert!(matches!(again, ForgetError::NotForgotten(_)));
    // Forgotten again after the counter-record.
    by_policy(&repository, &keep_last(2))
        .unwrap()
        .execute(false)
        .unwrap();
    assert_eq!(world.visible().len(), 3);
}

#[test]
fn more_than_half_of_a_group_wants_force() {
    let world = World::new();
    let ids: Vec<_> = (0..3)
        .map(|number| world.snapshot("a", &files(&[("x", &[number])])))
        .collect();
    let repository = world.open();
    let by_name = |ids| ForgetPlan::by_name(&repository, ids, GroupBy::default()).unwrap();
    let error = by_name(&ids[..2]).execute(false).unwrap_err();
    assert!(error.wants_force() && !error.is_refused(), "{error}");
    let error = by_policy(&repository, &keep_last(1))
        .unwrap()
        .execute(false)
        .unwrap_err();
    assert!(error.to_string().contains("2 of 3"), "{error}");
    assert_eq!(world.visible().len(), 3);
    by_name(&ids[..1]).execute(false).unwrap();
    by_name(&ids[1..]).execute(true).unwrap();
    assert_eq!(world.visible(), []);
}

#[test]
fn what_is_held_is_not_forgotten() {
    let world = World::new();
    let ids: Vec<_> = (0..3)
        .map(|number| world.snapshot("a", &files(&[("x", &[number])])))
        .collect();
    let repository = world.open();
    let hold = repository.add_hold(ids[0], None, "audit").unwrap();
    let error = ForgetPlan::by_name(&repository, &ids[..1], GroupBy::default()).unwrap_err();
    assert!(error.is_refused(), "{error}");
    let plan = by_policy(&repository, &keep_last(1)).unwrap();
    assert_eq!(plan.forgotten(), [ids[1]]);
    // A hold that comes between plan and execution wins.
    repository.add_hold(ids[1], None, "audit").unwrap();
    let error = plan.execute(false).unwrap_err();
    assert!(matches!(error, ForgetError::Held(held) if held == [ids[1]]));
    assert_eq!(world.visible().len(), 3);
    repository.release_hold(hold, "over").unwrap();
    ForgetPlan::by_name(&repository, &ids[..1], GroupBy::default())
        .unwrap()
        .execute(false)
        .unwrap();
    assert_eq!(world.visible(), ids[1..]);
}

#[test]
fn unknown_snapshots_are_refused() {
    let world = World::new();
    let id = world.snapshot("a", &files(&[("x", b"x")]));
    let unknown = crate::id::SnapshotId([1; 32]);
    let repository = world.open();
    let error = ForgetPlan::by_name(&repository, &[id, unknown], GroupBy::default());
    assert!(matches!(error, Err(ForgetError::NotFound(missing)) if missing == unknown));
    let error = undo(&repository, &[unknown]);
    assert!(matches!(error, Err(ForgetError::NotFound(_))));
    let error = repository.add_hold(unknown, None, "nothing").unwrap_err();
    assert!(error.is_refused());
    let holds = repository.load_holds().unwrap();
    assert!(holds.active(repository.clock().now()).next().is_none());
}

#[test]
fn what_is_being_closed_is_neither_held_nor_brought_back() {
    use crate::repository::{HoldError, KeepError};
    use crate::store::ObjectKey;
    let world = World::new();
    let id = world.snapshot("a", &files(&[("x", b"1")]));
    let repository = world.open();
    let forget = || ForgetPlan::by_name(&repository, &[id], GroupBy::default())?.execute(true);
    forget().unwrap();
    let session = repository.load_snapshot(id).unwrap().unwrap().session;
    // Somebody raised a fence and has not looked yet; what a fence holds is irrelevant.
    let fence = ObjectKey::new(crate::format::layout::gc(&session, "fence")).unwrap();
    repository.store().put(&fence, b"up").unwrap();
    let refused = repository.add_hold(id, None, "audit").unwrap_err();
    let is_undecided = |error: &KeepError| matches!(error, KeepError::Undecided(_));
    assert!(matches!(&refused, HoldError::Keep(error) if is_undecided(error)));
    let holds = repository.load_holds().unwrap();
    assert!(!holds.is_held(id, repository.clock().now()));
    let refused = undo(&repository, &[id]).unwrap_err();
    assert!(matches!(&refused, ForgetError::Keep(error) if is_undecided(error)));
    assert_eq!(world.visible(), []);
    let closer = crate::id::SessionId([9; 16]);
    repository.close_session(closer, session).unwrap();
    undo(&repository, &[id]).unwrap();
    assert_eq!(world.visible(), [id]);
    forget().unwrap();
    repository.add_hold(id, None, "audit").unwrap();
    assert_eq!(world.visible(), [id]);
}

#[test]
fn bringing_back_is_finished_after_an_interruption() {
    let world = World::new();
    let id = world.snapshot("a", &files(&[("x", b"1")]));
    let repository = world.open();
    let was_withdrawn = || repository.load_flags().unwrap().was_withdrawn(id);
    let heads = || repository.load_flags().unwrap().hide_heads(id);
    assert!(!was_withdrawn());
    repository.put_hide(vec![id], true, vec![]).unwrap();
    // The first of the two records, and then nothing.
    repository.put_hide(vec![id], false, heads()).unwrap();
    assert_eq!(world.visible(), [id]);
    assert!(was_withdrawn());
    undo(&repository, &[id]).unwrap();
    assert!(!was_withdrawn());
    let again = undo(&repository, &[id]).unwrap_err();
    assert!(matches!(again, ForgetError::NotForgotten(_)));
    repository.put_hide(vec![id], true, heads()).unwrap();
    assert!(was_withdrawn());
    assert_eq!(world.visible(), []);
}
