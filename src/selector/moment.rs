//! Times as people ask for them, and the moments they mean.

use crate::env::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use std::fmt;

/// A time as asked for, before a zone and today's date make it a [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedTime {
    /// A date: the last instant of that day.
    Day(Date),
    /// A time of today.
    Today(Time),
    /// A local date and time.
    Local(DateTime),
    /// A date and time with its offset from UTC.
    Offset(DateTime, Offset),
}

/// A local time that names no moment, or two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MomentError {
    /// The clocks went back over it.
    #[error("{local} was there twice in {zone}; write {first} or {second}")]
    Twice {
        /// The local time.
        local: String,
        /// The zone's name.
        zone: String,
        /// With the offset before the change.
        first: String,
        /// With the offset after it.
        second: String,
    },
    /// The clocks went forward over it.
    #[error("{local} did not exist in {zone}: the clocks went forward; write {first} or {second}")]
    Skipped {
        /// The local time.
        local: String,
        /// The zone's name.
        zone: String,
        /// Read with the offset after the change: the earlier moment.
        first: String,
        /// Read with the offset before it: the later moment.
        second: String,
    },
    /// A bare time of day that is still to come.
    #[error("{time} is still to come today; yesterday's is @{yesterday}")]
    StillToCome {
        /// The time of day.
        time: String,
        /// The same time of the day before.
        yesterday: String,
    },
    /// Outside of what can be represented, 1677 to 2262.
    #[error("{0} is out of range")]
    Range(String),
}

/// A moment, and the zone it is shown in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub timestamp: Timestamp,
    /// Where.
    pub zone: TimeZone,
}

impl fmt::Display for Moment {
    /// Local and UTC, to the second: `2026-11-20 03:01:00 +06 = 2026-11-19 21:01:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self.timestamp.to_jiff();
        let offset = self.zone.to_offset(moment);
        write!(
            f,
            "{} {} = {}",
            offset.to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S"),
            offset_text(offset),
            moment.strftime("%Y-%m-%d %H:%M:%SZ"),
        )
    }
}

/// `+06` or `+05:30`; seconds of historical offsets are not shown.
fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}:{rest:02}", minutes / 60),
    }
}

fn rfc3339(datetime: DateTime, offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("@{datetime}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

impl AskedTime {
    /// The moment it means to someone in `zone` at `now`. Errors: the local time names no moment or
    /// two; a time of today that has not come.
    pub fn resolve(&self, now: Timestamp, zone: &TimeZone) -> Result<Moment, MomentError> {
        let timestamp = match *self {
            Self::Offset(datetime, offset) => moment_at(datetime, offset)?,
            Self::Local(datetime) => local(datetime, zone)?,
            Self::Day(date) => end_of_day(date, zone)?,
            Self::Today(time) => today(time, now, zone)?,
        };
        Ok(Moment {
            timestamp,
            zone: zone.clone(),
        })
    }
}

fn moment_at(datetime: DateTime, offset: Offset) -> Result<Timestamp, MomentError> {
    let range = || MomentError::Range(datetime.to_string());
    let moment = offset.to_timestamp(datetime).map_err(|_| range())?;
    let nanoseconds = i64::try_from(moment.as_nanosecond()).map_err(|_| range())?;
    Ok(Timestamp(nanoseconds))
}

fn local(datetime: DateTime, zone: &TimeZone) -> Result<Timestamp, MomentError> {
    let zone_name = || zone.iana_name().unwrap_or("the local zone").to_owned();
    match zone.to_ambiguous_timestamp(datetime).offset() {
        AmbiguousOffset::Unambiguous { offset } => moment_at(datetime, offset),
        AmbiguousOffset::Fold { before, after } => Err(MomentError::Twice {
            local: datetime.to_string(),
            zone: zone_name(),
            first: rfc3339(datetime, before),
            second: rfc3339(datetime, after),
        }),
        AmbiguousOffset::Gap { before, after } => Err(MomentError::Skipped {
            local: datetime.to_string(),
            zone: zone_name(),
            first: rfc3339(datetime, after),
            second: rfc3339(datetime, before),
        }),
    }
}

/// The last nanosecond before the next day begins; a day's start that the clocks skip or repeat is
/// the first moment of the new date.
fn end_of_day(date: Date, zone: &TimeZone) -> Result<Timestamp, MomentError> {
    let range = || MomentError::Range(date.to_string());
    let start = date
        .tomorrow()
        .and_then(|tomorrow| tomorrow.to_zoned(zone.clone()))
        .and_then(|midnight| midnight.start_of_day())
        .map_err(|_| range())?;
    let nanoseconds = start.timestamp().as_nanosecond() - 1;
    i64::try_from(nanoseconds)
        .map(Timestamp)
        .map_err(|_| range())
}

fn today(time: Time, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, MomentError> {
    let date = zone.to_datetime(now.to_jiff()).date();
    let moment = local(date.to_datetime(time), zone)?;
    if moment <= now {
        return Ok(moment);
    }
    let yesterday = date
        .yesterday()
        .map_err(|_| MomentError::Range(date.to_string()))?;
    Err(MomentError::StillToCome {
        time: time.to_string(),
        yesterday: yesterday.to_datetime(time).to_string(),
    })
}

impl fmt::Display for AskedTime {
    /// The form after `@` that reads back to the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(date) => write!(f, "{date}"),
            Self::Today(time) => write!(f, "{time}"),
            Self::Local(datetime) => write!(f, "{datetime}"),
            Self::Offset(datetime, offset) => {
                f.write_str(rfc3339(*datetime, *offset).trim_start_matches('@'))
            }
        }
    }
}
