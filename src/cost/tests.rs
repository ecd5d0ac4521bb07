#![allow(clippy::unwrap_used)]

use crate::cost::{Class, Month, Workload, built_in, project};
use crate::env::Timestamp;
use crate::units::DAY_SECONDS;
use jiff::tz::TimeZone;
use std::time::Duration;

const GB: u64 = 1_000_000_000;
const DAY: Duration = Duration::from_secs(DAY_SECONDS);

fn class(name: &str, after_days: u32) -> Class {
    Class {
        name: name.to_owned(),
        price: built_in()[name],
        after_days,
    }
}

fn workload(bytes: u64, growth: u64, change: u64, keep: &str) -> Workload {
    Workload {
        bytes,
        growth,
        change,
        every: DAY,
        past: Vec::new(),
        past_bytes: 0,
        policy: Some(keep.parse().unwrap()),
    }
}

fn months(workload: &Workload, classes: &[Class], count: u32) -> Vec<Month> {
    let start = Timestamp::from_seconds(1_793_491_200);
    project(workload, classes, count, start, &TimeZone::UTC).unwrap()
}

fn is(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

#[test]
fn a_hundred_gigabytes_cost_what_the_price_says() {
    for (name, expected) in [
        ("STANDARD", 2.30),
        ("STANDARD_IA", 1.25),
        ("GLACIER_IR", 0.40),
    ] {
        let months = months(&workload(100 * GB, 0, 0, "forever"), &[class(name, 0)], 2);
        for month in months {
            assert!(is(month.lines[0].storage, expected), "{name} {month:?}");
            assert!(is(month.lines[0].early, 0.0));
        }
    }
}

#[test]
fn what_grows_adds_up_whatever_is_kept() {
    let month = |keep: &str| months(&workload(0, GB, 0, keep), &[class("STANDARD", 0)], 3);
    for keep in ["last=1", "forever"] {
        let ends: Vec<u64> = month(keep)
            .iter()
            .map(|month| month.bytes_end / GB)
            .collect();
        assert_eq!(ends, [29, 59, 89], "{keep}");
    }
}

#[test]
fn what_is_replaced_stays_as_long_as_a_snapshot_needs_it() {
    let ends = |keep: &str, count| {
        let months = months(
            &workload(100 * GB, 0, GB, keep),
            &[class("STANDARD", 0)],
            count,
        );
        months
            .iter()
            .map(|month| month.bytes_end / GB - 100)
            .collect::<Vec<u64>>()
    };
    assert_eq!(ends("last=1", 2), [0, 0]);
    assert_eq!(ends("daily=10", 2), [9, 9]);
    assert_eq!(ends("forever", 3), [29, 59, 89]);
    // Two states far apart share nothing once all was replaced, and need no more than each by itself.
    let sparse = ends("last=1,yearly=3", 36);
    assert!(sparse.iter().all(|old| *old <= 300), "{sparse:?}");
    assert!(sparse[30] >= 199, "{sparse:?}");
}

#[test]
fn cold_classes_bill_what_leaves_early() {
    let classes = [class("STANDARD", 0), class("STANDARD_IA", 30)];
    let months = months(&workload(100 * GB, 0, GB, "daily=50"), &classes, 3);
    let gigabyte_months = |month: usize, class: usize| months[month].lines[class].bytes / GB as f64;
    assert!(is(gigabyte_months(0, 0), 114.5) && is(gigabyte_months(0, 1), 0.0));
    assert!(is(gigabyte_months(1, 0), 129.0) && is(gigabyte_months(1, 1), 410.0 / 30.0));
    assert!(is(gigabyte_months(2, 1), 20.0));
    assert!(is(months[1].lines[1].early, 10.0 * 0.0125 / 3.0));
    assert!(is(months[2].lines[1].early, 30.0 * 0.0125 / 3.0));
    // Where all of it stays for its minimum, nothing is billed for nothing.
    let longer = project(
        &workload(100 * GB, 0, GB, "daily=60"),
        &classes,
        4,
        Timestamp::from_seconds(1_793_491_200),
        &TimeZone::UTC,
    );
    assert!(
        longer
            .unwrap()
            .iter()
            .all(|month| is(month.sum().early, 0.0))
    );
}

#[test]
fn small_objects_are_billed_at_their_minimum() {
    let classes = [class("STANDARD", 0), class("STANDARD_IA", 1)];
    let small = workload(20_000_000, 0, 32 << 10, "forever");
    let month = project(
        &small,
        &classes,
        1,
        Timestamp::from_seconds(1_793_491_200),
        &TimeZone::UTC,
    )
    .unwrap()
    .remove(0);
    let cold = month.lines[1];
    assert!(is(cold.small_objects, cold.storage * 0.75), "{cold:?}");
}
