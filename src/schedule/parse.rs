//! Reading schedules: `0 * * * *`, `daily 03:00`, `Sun 03:00`, `every 6h`, `on-change`.

use crate::schedule::{Calendar, Schedule};
use crate::units::parse_duration;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Longest text that is looked at, bytes.
const TEXT_BYTES_MAX: usize = 200;

/// Nothing runs more often than this.
pub(super) const INTERVAL_MIN: Duration = Duration::from_secs(60);

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

fn bad<T>(message: impl Into<String>) -> Result<T, ScheduleError> {
    Err(ScheduleError(message.into()))
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > TEXT_BYTES_MAX {
            return bad("a schedule is not that long");
        }
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let fields = match lower.as_slice() {
            ["on-change"] => return Ok(Self::OnChange),
            ["every", rest @ ..] => return every(&rest.join(" ")),
            ["hourly" | "@hourly"] => "0 * * * *".to_owned(),
            ["@daily" | "@midnight"] => "0 0 * * *".to_owned(),
            ["@weekly"] => "0 0 * * 0".to_owned(),
            ["@monthly"] => "0 0 1 * *".to_owned(),
            ["@yearly" | "@annually"] => "0 0 1 1 *".to_owned(),
            ["daily", time] => format!("{} * * *", clock(time)?),
            ["weekly", day, time] => weekly(day, time)?,
            ["monthly", time] => format!("{} 1 * *", clock(time)?),
            ["monthly", day, time] => format!("{} {day} * *", clock(time)?),
            ["daily" | "weekly" | "monthly"] => {
                return bad(format!("{text:?} needs a time, as in \"daily 03:00\""));
            }
            [day, time] if weekday(day).is_some() => weekly(day, time)?,
            [_, _, _, _, _] => lower.join(" "),
            _ => {
                return bad(format!(
                    "{text:?} is no schedule; write \"daily 03:00\", \"Sun 03:00\", \"monthly 1 \
                     03:00\", \"every 6h\", \"on-change\" or five cron fields"
                ));
            }
        };
        Calendar::parse(words.join(" "), &fields).map(Self::Calendar)
    }
}

fn every(text: &str) -> Result<Schedule, ScheduleError> {
    let every = parse_duration(text).map_err(|error| ScheduleError(error.to_string()))?;
    match every < INTERVAL_MIN {
        true => bad("nothing runs more often than every minute"),
        false => Ok(Schedule::Every(every)),
    }
}

fn weekly(day: &str, time: &str) -> Result<String, ScheduleError> {
    let Some(number) = weekday(day) else {
        return bad(format!("{day:?} is no day of the week; write Sun, Mon, …"));
    };
    Ok(format!("{} * * {number}", clock(time)?))
}

fn weekday(word: &str) -> Option<usize> {
    let full = [
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
    ];
    let index = |names: &[&str]| names.iter().position(|name| *name == word);
    index(&WEEKDAYS).or_else(|| index(&full))
}

/// `03:00` as the first two fields of a cron line.
fn clock(text: &str) -> Result<String, ScheduleError> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let two = |part: &str| part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !two(hour) || !two(minute) || minute.len() != 2 {
            return None;
        }
        let (hour, minute) = (hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?);
        (hour < 24 && minute < 60).then(|| format!("{minute} {hour}"))
    });
    parsed.ok_or_else(|| {
        ScheduleError(format!(
            "{text:?} is no time of day; write it from 00:00 to 23:59"
        ))
    })
}

impl Calendar {
    fn parse(text: String, fields: &str) -> Result<Self, ScheduleError> {
        let mut parts = fields.split_ascii_whitespace();
        let mut part = || parts.next().unwrap_or_default();
        let (minute, hour, day, month, weekday) = (part(), part(), part(), part(), part());
        let weekdays = field("day of the week", weekday, 0..=7, &WEEKDAYS, 0)?;
        let calendar = Self {
            text,
            minutes: field("minute", minute, 0..=59, &[], 0)?,
            hours: narrow(field("hour", hour, 0..=23, &[], 0)?),
            days: narrow(field("day of the month", day, 1..=31, &[], 0)?),
            months: narrow(field("month", month, 1..=12, &MONTHS, 1)?),
            // 7 is Sunday too.
            weekdays: narrow((weekdays | weekdays >> 7) & 0x7f),
            hours_pass: hour.starts_with('*'),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match calendar.can_happen() {
            true => Ok(calendar),
            false => bad("no month that is named has such a day"),
        }
    }

    /// Whether some named month has some named day.
    fn can_happen(&self) -> bool {
        const LONGEST: [u32; 13] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let has = |month: usize| self.days & (u32::MAX >> (31 - LONGEST[month])) != 0;
        self.either_day || (1..=12).any(|month| self.months >> month & 1 == 1 && has(month))
    }
}

/// Fewer bits; what lies above the range of a field is never set.
fn narrow<N: TryFrom<u64> + Default>(bits: u64) -> N {
    N::try_from(bits).unwrap_or_default()
}

/// The numbers that one field of a cron line names, as bits.
fn field(
    what: &str,
    text: &str,
    range: RangeInclusive<u64>,
    names: &[&str],
    first: u64,
) -> Result<u64, ScheduleError> {
    let (low, high) = (*range.start(), *range.end());
    let number = |word: &str| {
        let named = names.iter().position(|name| *name == word);
        let value = named.map_or_else(|| word.parse().ok(), |index| Some(index as u64 + first));
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            ScheduleError(format!(
                "{word:?} is no {what}; it goes from {low} to {high}"
            ))
        })
    };
    let mut bits = 0;
    for item in text.split(',') {
        let (span, step) = match item.split_once('/') {
            None => (item, None),
            Some((span, step)) => (span, Some(step)),
        };
        let step = match step.map(str::parse::<u64>) {
            None => 1,
            Some(Ok(step)) if step > 0 && step <= high => step,
            Some(_) => return bad(format!("the step of {item:?} is no number up to {high}")),
        };
        let (from, to) = match (span, span.split_once('-')) {
            ("*", _) => (low, high),
            (_, Some((from, to))) => (number(from)?, number(to)?),
            (_, None) if item.contains('/') => (number(span)?, high),
            (_, None) => (number(span)?, number(span)?),
        };
        if from > to {
            return bad(format!("{item:?} ends before it begins"));
        }
        let mut value = from;
        while value <= to {
            bits |= 1 << value;
            value += step;
        }
    }
    Ok(bits)
}
