#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The fuzz bodies on stable Rust: every body over seeds and mutations of them, for a bounded time.
//!
//! Half of the time goes to a fixed stream of mutations, the same in every run; the rest to one
//! that nobody has seen before. A failure prints what repeats it:
//! `ICECORE_FUZZ_SEED=N cargo test --test suite fuzz::NAME`. `ICECORE_LONG=1` mutates for a minute
//! a body.

#[path = "../../../fuzz/src/lib.rs"]
mod bodies;
mod mutate;
mod seeds;

use crate::support::is_long;
use bodies::Body;
use mutate::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

const FIXED_SEED: u64 = 2026;

/// A time that a body must not take for one input: a decoder's work is bounded.
const SLOWEST: Duration = Duration::from_secs(5);

struct Failure {
    seed: u64,
    round: u64,
    input: Vec<u8>,
}

/// Runs mutations of `seeds` until one fails or the time is over.
fn mutations(body: Body, seeds: &[Vec<u8>], seed: u64, time: Duration) -> Result<u64, Failure> {
    let mut mutator = Mutator::new(seed, seeds);
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < time {
        let input = mutator.next_input();
        let started = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| body(&input))).is_ok();
        if !survived || started.elapsed() > SLOWEST {
            return Err(Failure { seed, round, input });
        }
        round += 1;
    }
    Ok(round)
}

fn fresh_seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn fuzz(name: &str) {
    let (_, body) = *bodies::BODIES
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap();
    let seeds = seeds::of(name);
    for seed in &seeds {
        body(seed);
    }
    let time = Duration::from_millis(if is_long() { 30_000 } else { 300 });
    let given = std::env::var("ICECORE_FUZZ_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("ICECORE_FUZZ_SEED is a number"));
    for seed in [FIXED_SEED, given.unwrap_or_else(fresh_seed)] {
        if let Err(failure) = mutations(body, &seeds, seed, time) {
            let hex: String = failure
                .input
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            panic!(
                "{name} failed (or was slow): ICECORE_FUZZ_SEED={}, round {}, {} bytes: {hex}",
                failure.seed,
                failure.round,
                failure.input.len(),
            );
        }
    }
}

macro_rules! fuzz_tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name));
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

fuzz_tests! {
    certificate codec config dotenv entries envelope exclude first_names keyring links
    names_of_objects pack protocol record restore_paths retention rows segment selector slot
    snapshot statement tampered units
}

#[test]
fn every_body_has_a_test_and_a_target() {
    let names: Vec<&str> = bodies::BODIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, TESTED);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for name in names.iter().chain(&["canary"]) {
        let target = folder.join(format!("fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(&target).expect(name);
        assert!(text.contains(&format!("icecore_fuzz::{name}(")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

/// A harness that cannot fail proves nothing.
#[test]
fn the_canary_dies() {
    let seeds = [b"canary".to_vec()];
    let failure = mutations(bodies::canary, &seeds, FIXED_SEED, Duration::from_secs(20));
    let failure = failure.expect_err("the canary survived");
    assert!(catch_unwind(|| bodies::canary(&failure.input)).is_err());
    let mut again = Mutator::new(failure.seed, &seeds);
    let repeated = (0..=failure.round).map(|_| again.next_input()).last();
    assert_eq!(repeated, Some(failure.input), "a seed does not repeat");
}
