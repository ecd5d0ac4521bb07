//! The days of a month: what was due, what was taken, what failed.

use crate::env::Timestamp;
use crate::report::Month;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// How a day was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayState {
    /// Nothing was due, or it is still to come.
    Quiet,
    /// All that was due was taken, and is good.
    Good,
    /// Something is incomplete or not as expected, or a part of what was due is missing.
    Flawed,
    /// Something was due, and nothing good was taken.
    Missed,
}

impl DayState {
    /// Its name for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Good => "good",
            Self::Flawed => "flawed",
            Self::Missed => "missed",
        }
    }

    /// Its sign.
    pub fn sign(self) -> char {
        match self {
            Self::Quiet => '·',
            Self::Good => '✓',
            Self::Flawed => '~',
            Self::Missed => '✗',
        }
    }
}

/// A day of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Which.
    pub date: Date,
    /// How it was.
    pub state: DayState,
    /// Snapshots that were taken.
    pub taken: u32,
    /// Of these incomplete, or not as expected.
    pub flawed: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// Runs that were due; none where nothing says when.
    pub due: u32,
    /// Of these with a good snapshot before the next was due.
    pub done: u32,
}

/// A snapshot or a failed attempt of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A snapshot, whole and as expected or not.
    Snapshot {
        /// Whether it is.
        good: bool,
    },
    /// Nothing came of it.
    Failure,
}

/// The days of `month` in `zone`. `due` are the moments at which runs were due, one after the month too, of
/// which only those count that `until` left time for; `taken` is in the order of time.
pub fn days(
    month: Month,
    zone: &TimeZone,
    due: &[Timestamp],
    taken: &[(Timestamp, Taken)],
    until: Timestamp,
) -> Vec<Day> {
    let date = |moment: Timestamp| moment.to_jiff().to_zoned(zone.clone()).date();
    let mut days: BTreeMap<Date, Day> = month.days().map(|date| (date, quiet(date))).collect();
    for (moment, what) in taken {
        let Some(day) = days.get_mut(&date(*moment)) else {
            continue;
        };
        match what {
            Taken::Failure => day.failed += 1,
            Taken::Snapshot { good } => {
                day.taken += 1;
                day.flawed += u32::from(!good);
            }
        }
    }
    let good: Vec<Timestamp> = taken
        .iter()
        .filter(|(_, what)| *what == Taken::Snapshot { good: true })
        .map(|(moment, _)| *moment)
        .collect();
    for pair in due.windows(2) {
        let &[at, next] = pair else { continue };
        let Some(day) = days.get_mut(&date(at)) else {
            continue;
        };
        let after = good.partition_point(|moment| *moment < at);
        let is_done = good.get(after).is_some_and(|moment| *moment < next);
        if is_done || next <= until {
            day.due += 1;
            day.done += u32::from(is_done);
        }
    }
    let judged = days.into_values().map(|day| Day {
        state: judge(&day),
        ..day
    });
    judged.collect()
}

fn quiet(date: Date) -> Day {
    Day {
        date,
        state: DayState::Quiet,
        taken: 0,
        flawed: 0,
        failed: 0,
        due: 0,
        done: 0,
    }
}

fn judge(day: &Day) -> DayState {
    let has_good = day.taken > day.flawed;
    match day.due {
        0 if day.taken == 0 && day.failed == 0 => DayState::Quiet,
        0 if !has_good => DayState::Missed,
        due if due > 0 && day.done == 0 => DayState::Missed,
        due if day.done < due || day.flawed > 0 || day.failed > 0 => DayState::Flawed,
        _ => DayState::Good,
    }
}
