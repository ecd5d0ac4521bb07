//! The protocol of `format-spec/11-ordering.md`, searched twice: as a model, state by state, and as
//! the real code, seed by seed. Both are shown to find the mistakes of a list, planted one by one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../model/mod.rs"]
mod model;
#[path = "../simulation/mod.rs"]
mod simulation;

use icecore::planted::Bug as Planted;
use model::bugs::Bug;

/// The same mistake in the real code, where it can be made there by turning one thing around. What
/// cannot: names follow from content that is sealed anew, and a walk or a delta takes every row
/// that it rests on through one and the same question.
fn in_code(bug: Bug) -> Option<Planted> {
    Some(match bug {
        Bug::SessionsBeforeCondemn => Planted::SessionsBeforeCondemn,
        Bug::NoSecondMark => Planted::NoSecondMark,
        Bug::WriterIgnoresFence => Planted::WriterIgnoresFence,
        Bug::ClosedFromOldList => Planted::ClosedFromOldList,
        Bug::LooksBeforeFlag => Planted::LooksBeforeFlag,
        Bug::NamedPacksOfParent => Planted::NamedPacksTrusted,
        Bug::RecordsRemovedEarly => Planted::RecordsRemovedEarly,
        Bug::TwoPrunes => Planted::TwoPrunes,
        Bug::PruneIgnoresFence => Planted::PruneIgnoresFence,
        Bug::DeleteOfOthersIgnored => Planted::DeleteOfOthersIgnored,
        Bug::ClosedRemoved => Planted::ClosedRemoved,
        Bug::FenceTakenForClosed => Planted::FenceTakenForClosed,
        Bug::EndAfterTimeout => Planted::EndAfterTimeout,
        Bug::HoldLooksForDeleteOnly => Planted::HoldLooksForDeleteOnly,
        Bug::HoldIgnoresFence => Planted::HoldIgnoresFence,
        Bug::HiddenAfterCondemn => Planted::HiddenAfterCondemn,
        Bug::StaleParent
        | Bug::DeltaOnCondemnedBase
        | Bug::HitTreeChildrenUnseen
        | Bug::DeleteBeforeSegments
        | Bug::OldName
        | Bug::ReaderListsFlagsFirst
        | Bug::FenceRemoved => return None,
    })
}

/// A table: what finding each mistake took. One that is found by neither fails.
#[test]
fn planted_mistakes_are_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let by_model = model::find(bug);
        let by_simulation = in_code(bug).map(simulation::find);
        let found = by_model.is_some() || matches!(by_simulation, Some(Ok(_)));
        let name = format!("{bug:?}");
        let model = by_model.map_or("not by the model".to_owned(), |found| {
            format!("{} steps, {} states", found.steps, found.states)
        });
        let simulation = match by_simulation {
            None => "not planted in the code".to_owned(),
            Some(Err(tried)) => format!("not in {tried} seeds"),
            Some(Ok((seed, broken))) => format!("seed {seed}: {broken}"),
        };
        println!("{name:24} {model:28} {simulation}");
        if !found {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
