//! The protocol of `format-spec/11-ordering.md` as a model, searched state by state: writers,
//! prunes, closing, forget, hold and readers, with PUTs that come late and twice, lists that show
//! or miss what changes meanwhile, and parties that stop anywhere (they are just not scheduled).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bugs;
mod objects;
mod others;
mod protocol;
mod pruner;
mod scenario;
mod scenarios;
mod world;
mod writer;

use crate::bugs::Bug;
use crate::scenario::Scenario;
use crate::world::Action;
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

/// Every mistake is found.
#[test]
fn planted_bugs_are_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let mut scenarios = scenarios::short().into_iter();
        let scenario = scenarios.find(|scenario| scenario.name == bug.scenario());
        let searched = search(Scenario {
            bug: Some(bug),
            ..scenario.unwrap()
        });
        let name = format!("{bug:?}");
        match searched.violation {
            Some((property, actions)) => println!(
                "{name:24} {:>2} steps, {:>7} states, breaks {property} ({})",
                actions.len(),
                searched.states,
                bug.scenario()
            ),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
