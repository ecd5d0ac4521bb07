use crate::env::Timestamp;
use crate::stats::{Figures, Sample, change, pace, sizes, sparkline};
use crate::units::DAY_SECONDS;
use std::time::Duration;

const DAY: i64 = DAY_SECONDS as i64;

fn sample(day: i64, bytes: u64, bytes_new: u64, bytes_stored: u64) -> Sample {
    Sample {
        taken: Timestamp::from_seconds(day * DAY),
        bytes,
        bytes_new,
        bytes_stored,
        milliseconds: 100 * bytes_new,
        is_whole: day == 0,
        is_good: true,
        ..Sample::default()
    }
}

#[test]
fn sums_are_of_their_period_only() {
    let samples = [
        sample(0, 100, 100, 50),
        sample(1, 110, 20, 5),
        sample(2, 120, 30, 10),
    ];
    let samples: Vec<&Sample> = samples.iter().collect();
    let at = |day: i64| Timestamp::from_seconds(day * DAY);
    let late = Figures::of(&samples, at(1), at(3));
    let expected = Figures {
        snapshots: 2,
        flawed: 0,
        bytes: 120,
        bytes_read: 230,
        bytes_new: 50,
        bytes_stored: 15,
        milliseconds: 5000,
        milliseconds_max: 3000,
    };
    assert_eq!(late, expected);
    assert_eq!(late.milliseconds_mean(), Some(2500));
    assert_eq!(Figures::of(&samples, at(3), at(9)), Figures::default());
    assert_eq!(sizes(&samples, at(-1), at(3), 4), [0, 100, 110, 120]);
}

#[test]
fn a_pace_tells_growth_from_change() {
    let samples = [
        sample(0, 1000, 1000, 500),
        sample(1, 1100, 200, 100),
        sample(2, 1200, 200, 100),
    ];
    let pace = pace(&samples.iter().collect::<Vec<_>>());
    // Half of what is new makes it larger; a byte takes half.
    assert_eq!((pace.bytes, pace.growth, pace.change), (600, 50, 50));
    assert_eq!(pace.every, Some(Duration::from_secs(DAY_SECONDS)));
    assert!(pace.measured);
    let one = super::pace(&[&samples[0]]);
    assert_eq!((one.bytes, one.measured, one.every), (500, false, None));
}

#[test]
fn lines_and_changes() {
    assert_eq!(sparkline(&[1, 2, 3, 4, 5, 6, 7, 8]), "▁▂▃▄▅▆▇█");
    assert_eq!(sparkline(&[5, 5]), "▁▁");
    assert_eq!(sparkline(&[0, u64::MAX]), "▁█");
    assert_eq!(sparkline(&[]), "");
    assert_eq!(change(200, 203), Some(15));
    assert_eq!(change(200, 100), Some(-500));
    assert_eq!(change(0, 1), None);
}
