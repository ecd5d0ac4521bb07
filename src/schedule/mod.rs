//! When something is due: a cron line or words for one, read in a named zone.
//!
//! Pure: the moment and the zone are arguments. Local times that the clocks skip fire when the gap
//! ends as many minutes later as they lay in it; those that come twice fire the first time, unless
//! the schedule names every hour, which then means every hour that passes.

pub mod agenda;
mod calendar;
mod parse;
#[cfg(test)]
mod tests;
mod written;

pub use parse::ScheduleError;
pub use written::Timer;

use crate::env::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// At times of the calendar.
    Calendar(Calendar),
    /// So long after the last run began.
    Every(Duration),
    /// When a source has changed.
    OnChange,
}

/// Times of the calendar, as the five fields of a cron line give them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// As it was written.
    text: String,
    /// Minutes 0 to 59, as bits.
    minutes: u64,
    /// Hours 0 to 23.
    hours: u32,
    /// Days of the month 1 to 31.
    days: u32,
    /// Months 1 to 12.
    months: u16,
    /// Days of the week, 0 is Sunday.
    weekdays: u8,
    /// Whether the hour field begins with `*`: it then means hours that pass, not hours on a dial.
    hours_pass: bool,
    /// Whether day of the month and day of the week are both restricted: one of them suffices.
    either_day: bool,
}

impl Schedule {
    /// The first time after `moment`; `None` where time does not decide (on change), or there is
    /// none within eight years (30 February).
    pub fn next(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Calendar(calendar) => calendar.next(moment, zone),
            Self::Every(every) => Some(moment.after(*every)),
            Self::OnChange => None,
        }
    }

    /// The last time at or before `moment`, `None` as above and for intervals.
    pub fn previous(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Calendar(calendar) => calendar.previous(moment, zone),
            Self::Every(_) | Self::OnChange => None,
        }
    }

    /// When a run is due, given when the last one began: at once if a time was missed, and `None`
    /// where only a change can tell.
    pub fn due(
        &self,
        last: Option<Timestamp>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        match (self, last) {
            (Self::OnChange, _) => None,
            (Self::Every(_), None) => Some(now),
            (Self::Calendar(calendar), None) => calendar.next(now, zone),
            // A clock that was set back must not silence the schedule.
            (_, Some(last)) => self.next(last.min(now), zone),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(calendar) => f.write_str(&calendar.text),
            Self::Every(every) => write!(f, "every {}", crate::units::elapsed(*every)),
            Self::OnChange => f.write_str("on-change"),
        }
    }
}
