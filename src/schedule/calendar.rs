//! From fields to moments.

use crate::env::Timestamp;
use crate::schedule::Calendar;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Days that are searched: past every leap day, one of which falls out in 2100.
const DAYS_SEARCHED: usize = 8 * 366 + 2;

impl Calendar {
    pub(super) fn next(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(moment.to_jiff()).date();
        // Yesterday's last times may lie in a gap that ends today.
        date = date.yesterday().unwrap_or(date);
        for _ in 0..DAYS_SEARCHED {
            let found = self.moments(date, zone).into_iter().find(|m| *m > moment);
            if found.is_some() {
                return found;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    pub(super) fn previous(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(moment.to_jiff()).date();
        for _ in 0..DAYS_SEARCHED {
            let moments = self.moments(date, zone);
            let found = moments.into_iter().rev().find(|m| *m <= moment);
            if found.is_some() {
                return found;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().to_sunday_zero_offset() & 1 == 1;
        let month = self.months >> date.month() & 1 == 1;
        let fits = match self.either_day {
            true => day || weekday,
            false => day && weekday,
        };
        month && fits
    }

    /// The moments of one local day, in order, each once.
    fn moments(&self, date: Date, zone: &TimeZone) -> Vec<Timestamp> {
        let mut moments = Vec::new();
        if !self.is_day(date) {
            return moments;
        }
        for hour in (0..24).filter(|hour| self.hours >> hour & 1 == 1) {
            for minute in (0..60).filter(|minute| self.minutes >> minute & 1 == 1) {
                if let Ok(time) = Time::new(hour, minute, 0, 0) {
                    self.moments_at(date.to_datetime(time), zone, &mut moments);
                }
            }
        }
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    fn moments_at(&self, local: DateTime, zone: &TimeZone, moments: &mut Vec<Timestamp>) {
        let ambiguous = zone.to_ambiguous_timestamp(local);
        let is_twice = matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. });
        if is_twice && self.hours_pass {
            moments.extend(ambiguous.later().ok().and_then(timestamp));
        }
        moments.extend(ambiguous.compatible().ok().and_then(timestamp));
    }
}

fn timestamp(moment: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp)
}
