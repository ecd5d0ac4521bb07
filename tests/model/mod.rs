//! The protocol of `format-spec/11-ordering.md` as a model, searched state by state: writers,
//! prunes, closing, forget, hold and readers, with PUTs that come late and twice, lists that show
//! or miss what changes meanwhile, and parties that stop anywhere (they are just not scheduled).

pub mod bugs;
mod objects;
mod others;
mod protocol;
mod pruner;
mod scenario;
mod scenarios;
mod world;
mod writer;

use crate::model::bugs::Bug;
use crate::model::scenario::Scenario;
use crate::model::world::Action;
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

/// What a search found.
struct Searched {
    states: usize,
    depth: usize,
    violation: Option<(&'static str, Vec<Action>)>,
}

fn search(scenario: Scenario) -> Searched {
    let checker = scenario
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::Any)
        .spawn_bfs()
        .join();
    let violation = checker.discoveries().into_iter().next();
    assert!(violation.is_some() || checker.is_done());
    Searched {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        violation: violation.map(|(property, path)| (property, path.into_actions())),
    }
}

/// Prints what a search took, and fails where an invariant does not hold.
fn must_hold(scenario: Scenario) {
    let (name, begun) = (scenario.name, Instant::now());
    let searched = search(scenario);
    println!(
        "{name:42} {:>9} states, {:>3} steps deep, {:>6.1} s",
        searched.states,
        searched.depth,
        begun.elapsed().as_secs_f64()
    );
    if let Some((property, actions)) = searched.violation {
        panic!("{name}: not so: {property}, after {actions:#?}");
    }
}

/// The searches end by themselves: every state that can be reached was visited.
#[test]
fn invariants_hold_in_every_state() {
    scenarios::short().into_iter().for_each(must_hold);
    if std::env::var_os("ICECORE_MODEL_LONG").is_some() {
        scenarios::long().into_iter().for_each(must_hold);
    }
}

/// What finding a mistake took.
pub struct Found {
    pub steps: usize,
    pub states: usize,
}

/// Searches the scenario of a mistake until an invariant does not hold.
pub fn find(bug: Bug) -> Option<Found> {
    let mut scenarios = scenarios::short().into_iter();
    let scenario = scenarios.find(|scenario| scenario.name == bug.scenario());
    let searched = search(Scenario {
        bug: Some(bug),
        ..scenario.unwrap()
    });
    searched.violation.map(|(_, actions)| Found {
        steps: actions.len(),
        states: searched.states,
    })
}
