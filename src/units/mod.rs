//! Quantities as people write and read them: sizes, rates, durations, percentages.
//!
//! Reading is strict: what could mean two things is refused with a proposal. Nothing here knows the
//! time; calendar spans are applied to a moment and a zone that the caller gives.

mod human;
mod parse;

pub use human::{bytes, clock, count, elapsed, rate, ratio, seconds};
pub use parse::{parse_duration, parse_percent, parse_rate, parse_size, parse_span};

use crate::env::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// Seconds of a day here: always 24 hours, so that "30d" is one length whatever the clocks do.
pub const DAY_SECONDS: u64 = 86_400;

/// Longest span that is accepted, years: far beyond any duty to keep, far below any overflow.
pub const SPAN_YEARS_MAX: u32 = 1000;

/// What a text was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A number of bytes.
    Size,
    /// Bytes a second.
    Rate,
    /// A length of time.
    Duration,
    /// A share of a whole.
    Percentage,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Rate => "rate",
            Self::Duration => "duration",
            Self::Percentage => "percentage",
        })
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitProblem {
    /// Empty, or spaces only.
    #[error("it is empty")]
    Empty,
    /// Longer than any quantity needs.
    #[error("it is too long")]
    TooLong,
    /// No digit where a number has to begin: `NaN`, `inf`, `.5`, `ten`.
    #[error("it does not begin with a number")]
    NoNumber,
    /// A minus sign.
    #[error("it is negative")]
    Negative,
    /// A point without digits after it, or more digits than are meaningful.
    #[error("its decimals are malformed")]
    Decimals,
    /// A fraction where only whole numbers are read.
    #[error("it is not a whole number")]
    Fraction,
    /// A number without a unit where one is needed.
    #[error("the unit is missing")]
    MissingUnit,
    /// A unit that is not known.
    #[error("{0:?} is not a unit")]
    UnknownUnit(String),
    /// A unit that can be read in two ways.
    #[error("{0:?} can mean two things")]
    AmbiguousUnit(String),
    /// Units not from large to small, or one given twice.
    #[error("its units do not go from large to small")]
    Order,
    /// Months and years, where a fixed length is needed.
    #[error("months and years have no fixed length")]
    Calendar,
    /// Zero, where nothing would ever happen.
    #[error("it is zero")]
    Zero,
    /// More than can be represented, or more than the whole.
    #[error("it is too large")]
    TooLarge,
}

/// A text that is not the quantity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {quantity}: {problem}; {advice}")]
pub struct UnitError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What it should have been.
    pub quantity: Quantity,
    /// What is wrong with it.
    pub problem: UnitProblem,
    /// What to write instead.
    pub advice: String,
}

/// A length of time with a calendar part: months are applied in a zone's calendar, then seconds.
/// A day is 24 hours and a week seven of them; a year is twelve months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    months: u32,
    seconds: u64,
}

impl Span {
    /// So many months and seconds. `None` past [`SPAN_YEARS_MAX`].
    pub fn new(months: u32, seconds: u64) -> Option<Self> {
        let years_of_seconds = seconds / (DAY_SECONDS * 365);
        (months / 12 < SPAN_YEARS_MAX && years_of_seconds < u64::from(SPAN_YEARS_MAX))
            .then_some(Self { months, seconds })
    }

    /// So many days of 24 hours; saturates at the longest span.
    pub fn days(days: u32) -> Self {
        let longest = u64::from(SPAN_YEARS_MAX) * 365 * DAY_SECONDS - 1;
        Self {
            months: 0,
            seconds: (u64::from(days) * DAY_SECONDS).min(longest),
        }
    }

    /// The calendar part.
    pub fn months(self) -> u32 {
        self.months
    }

    /// The fixed part.
    pub fn seconds(self) -> u64 {
        self.seconds
    }

    /// The moment that lies this long before `moment`. Months end at the last day of a shorter
    /// month; a local time that a change of clocks skips moves on, one that it repeats is the first.
    /// Saturates at the earliest [`Timestamp`].
    pub fn before(self, moment: Timestamp, zone: &TimeZone) -> Timestamp {
        let nanoseconds = self
            .months_before(moment, zone)
            .saturating_sub(i128::from(self.seconds) * 1_000_000_000);
        Timestamp(i64::try_from(nanoseconds).unwrap_or(i64::MIN))
    }

    fn months_before(self, moment: Timestamp, zone: &TimeZone) -> i128 {
        if self.months == 0 {
            return i128::from(moment.0);
        }
        jiff::Span::new()
            .try_months(self.months)
            .and_then(|months| moment.to_jiff().to_zoned(zone.clone()).checked_sub(months))
            .map_or(i128::from(i64::MIN), |zoned| {
                zoned.timestamp().as_nanosecond()
            })
    }

    /// Whether this can ever be longer than `other`, whichever months are meant.
    pub fn may_exceed(self, other: Self) -> bool {
        let months = i64::from(self.months) - i64::from(other.months);
        let most_days = if months >= 0 {
            longest_days(months)
        } else {
            -shortest_days(-months)
        };
        let day = DAY_SECONDS as i128;
        i128::from(most_days) * day + i128::from(self.seconds) > i128::from(other.seconds)
    }
}

/// Days of the longest run of so many months: never less than the truth.
fn longest_days(months: i64) -> i64 {
    months / 12 * 366 + months % 12 * 31
}

/// Days of the shortest run of so many months: never more than the truth.
fn shortest_days(months: i64) -> i64 {
    months / 12 * 365 + (months % 12 * 30 - 2).max(0)
}

impl fmt::Display for Span {
    /// The shortest form that [`parse_span`] reads back: `1y2mo`, `30d`, `1h30m`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("0s");
        }
        let of_day = self.seconds % DAY_SECONDS;
        let parts = [
            (u64::from(self.months / 12), "y"),
            (u64::from(self.months % 12), "mo"),
            (self.seconds / DAY_SECONDS, "d"),
            (of_day / 3600, "h"),
            (of_day / 60 % 60, "m"),
            (of_day % 60, "s"),
        ];
        parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

impl std::str::FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_span(text)
    }
}

impl From<Duration> for Span {
    /// Whole seconds, rounded down; saturates at the longest span.
    fn from(duration: Duration) -> Self {
        let longest = u64::from(SPAN_YEARS_MAX) * 365 * DAY_SECONDS - 1;
        Self {
            months: 0,
            seconds: duration.as_secs().min(longest),
        }
    }
}

/// A share of a whole from 0 to 100 %, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u32);

impl Percent {
    /// All of it.
    pub const WHOLE: Self = Self(1_000_000);

    /// So many whole per cent, at most 100.
    pub const fn new(percent: u32) -> Option<Self> {
        if percent <= 100 {
            Some(Self(percent * 10_000))
        } else {
            None
        }
    }

    /// In millionths of the whole.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// This share of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let share = u128::from(whole) * u128::from(self.0) / 1_000_000;
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Percent {
    /// With as many decimals as it needs: `5%`, `0.25%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 10_000, self.0 % 10_000);
        if decimals == 0 {
            return write!(f, "{whole}%");
        }
        let digits = format!("{decimals:04}");
        write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests;
