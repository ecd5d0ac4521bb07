//! The real code under seeded schedules: several parties on one store that is slow, fails, repeats
//! itself and lists raggedly; parties pause and crash at any call, and clocks are off by hours.
//!
//! A seed decides everything. One that breaks a promise prints itself; with `ICECORE_SIM_SEED` it
//! runs alone and prints what happened, with `ICECORE_SIM_SCHEDULES` more or fewer of them run, from
//! `ICECORE_SIM_FROM` on.

mod parties;
mod schedule;
mod store;
mod world;

use icecore::planted::{Bug, plant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use world::run;

/// What is planted is planted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Schedules of a short run.
const SCHEDULES: u64 = 100;

/// Seeds that are searched for a planted mistake in a short run.
const SEEDS: u64 = 8;

/// Schedules of a long run after which it says how far it is.
const TELL: u64 = 5000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs seeds until one breaks a promise; the first such, by number, of those tried.
fn search(seeds: std::ops::Range<u64>) -> (u64, Option<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let calls = AtomicU64::new(0);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            let mut ran = match seed < seeds.end {
                true => run(seed, false),
                false => return,
            };
            calls.fetch_add(ran.calls, Ordering::SeqCst);
            if seed % TELL == TELL - 1 {
                println!("seed {seed}");
            }
            if let Some(broken) = ran.broken.take() {
                let mut found = found.lock().unwrap();
                if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                    *found = Some((seed, broken));
                }
                next.store(seeds.end, Ordering::SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    (calls.into_inner(), found.into_inner().unwrap())
}

#[test]
fn every_promise_is_kept() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(seed) = number("ICECORE_SIM_SEED") {
        let ran = run(seed, true);
        ran.trace.iter().for_each(|line| println!("{line}"));
        assert_eq!(ran.broken, None, "seed {seed}");
        return;
    }
    let schedules = number("ICECORE_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let begun = Instant::now();
    let from = number("ICECORE_SIM_FROM").unwrap_or(0);
    let (calls, found) = search(from..from + schedules);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{schedules} schedules, {calls} calls, {seconds:.1} s: {:.0} schedules a second",
        schedules as f64 / seconds
    );
    if let Some((seed, broken)) = found {
        panic!(
            "seed {seed}: {broken}\nreplay: ICECORE_SIM_SEED={seed} cargo test --test protocol \
             every_promise -- --nocapture"
        );
    }
}

#[test]
fn a_seed_is_replayed_call_by_call() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for seed in 0..10 {
        let (one, two) = (run(seed, true), run(seed, true));
        let differs = one.trace.iter().zip(&two.trace).position(|(a, b)| a != b);
        assert_eq!(
            one.digest, two.digest,
            "seed {seed} differs at line {differs:?}"
        );
    }
}

/// The first seed, of those that are searched, which breaks a promise with a mistake planted, and
/// the promise; otherwise how many were searched.
pub fn find(bug: Bug) -> Result<(u64, String), u64> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seeds = number("ICECORE_SIM_SEEDS").unwrap_or(SEEDS);
    plant(Some(bug));
    let (_, found) = search(0..seeds);
    plant(None);
    found.ok_or(seeds)
}
