//! A calendar month.

use crate::env::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// A month by its first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(Date);

/// A text that is no month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month; write it like 2026-11")]
pub struct MonthError(String);

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let wrong = || MonthError(text.chars().take(40).collect());
        let is_short = text.len() == "2026-11".len();
        let first = format!("{text}-01").parse::<Date>();
        first.ok().filter(|_| is_short).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl Month {
    /// The one a moment is in.
    pub fn of(moment: Timestamp, zone: &TimeZone) -> Self {
        let date = moment.to_jiff().to_zoned(zone.clone()).date();
        Self(date.first_of_month())
    }

    /// Its days.
    pub fn days(self) -> impl Iterator<Item = Date> {
        let first = self.0;
        (0..i64::from(first.days_in_month()))
            .filter_map(move |day| first.checked_add(day.days()).ok())
    }

    /// Its first moment in a zone.
    pub fn start(self, zone: &TimeZone) -> Timestamp {
        Timestamp::start_of(self.0, zone)
    }

    /// The first moment of the month after it.
    pub fn end(self, zone: &TimeZone) -> Timestamp {
        let next = self.0.checked_add(1.month()).unwrap_or(self.0);
        Timestamp::start_of(next, zone)
    }
}
