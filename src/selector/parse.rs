//! Reading selectors. Spec: the command line's "Selectors".

use crate::selector::moment::AskedTime;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use std::fmt;
use std::str::FromStr;

/// Fewest digits of an id prefix: fewer would change their meaning with every run.
const PREFIX_DIGITS_MIN: usize = 4;

/// Digits of a whole id.
const PREFIX_DIGITS_MAX: usize = 64;

/// Longest selector without its path, bytes.
const SELECTOR_BYTES_MAX: usize = 80;

/// Names one snapshot among many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The beginning of its id: 4 to 64 lower-case hexadecimal digits.
    Prefix(String),
    /// The newest good one, or so many before it.
    Latest {
        /// 0 is the newest.
        back: u32,
    },
    /// The newest good one at or before a time.
    At(AskedTime),
}

/// A snapshot, and optionally something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPath {
    /// Which snapshot.
    pub selector: Selector,
    /// The path after the colon, not empty.
    pub path: Option<String>,
}

/// A text that names no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSelectorError {
    /// None of the forms.
    #[error(
        "{0:?} does not name a snapshot; write the beginning of an id, latest, latest~2 or \
         @2026-11-01T03:00"
    )]
    Unknown(String),
    /// Hexadecimal, and too short.
    #[error("{0:?} is too short for an id; give at least 4 of its digits")]
    ShortPrefix(String),
    /// `latest~` without a number that fits.
    #[error("{0:?} does not say how far back; write latest~1 for the one before the newest")]
    Back(String),
    /// `@` without a time.
    #[error(
        "{0:?} is not a time; write @2026-11-01, @2026-11-01T03:00, @2026-11-01T03:00+06:00 or \
         @03:01 for today"
    )]
    Time(String),
    /// A colon at the end.
    #[error("nothing follows the colon in {0:?}; leave it out for the whole snapshot")]
    EmptyPath(String),
}

fn shown(text: &str) -> String {
    text.chars().take(SELECTOR_BYTES_MAX).collect()
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(ParseSelectorError::Unknown(shown(text)));
        }
        if let Some(time) = text.strip_prefix('@') {
            return asked_time(time)
                .map(Self::At)
                .ok_or_else(|| ParseSelectorError::Time(shown(text)));
        }
        if text == "latest" {
            return Ok(Self::Latest { back: 0 });
        }
        if let Some(back) = text.strip_prefix("latest~") {
            let number = fixed_digits(back, 1..=9).and_then(|digits| digits.parse().ok());
            return number
                .map(|back| Self::Latest { back })
                .ok_or_else(|| ParseSelectorError::Back(shown(text)));
        }
        prefix(text)
    }
}

fn prefix(text: &str) -> Result<Selector, ParseSelectorError> {
    let hexadecimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || text.len() > PREFIX_DIGITS_MAX {
        Err(ParseSelectorError::Unknown(shown(text)))
    } else if text.len() < PREFIX_DIGITS_MIN {
        Err(ParseSelectorError::ShortPrefix(shown(text)))
    } else {
        Ok(Selector::Prefix(text.to_ascii_lowercase()))
    }
}

impl FromStr for SnapshotPath {
    type Err = ParseSelectorError;

    /// Splits at the first colon; after `@`, at the first that leaves the longest valid time before
    /// it, so that `@03:01:30` is a time and `@03:01:app.db` a time and a path. There a path does
    /// not begin with one or two digits alone: that is a mistyped time (`./10` names such a file).
    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        if !text.starts_with('@') {
            return match text.split_once(':') {
                None => Ok(Self {
                    selector: text.parse()?,
                    path: None,
                }),
                Some((selector, path)) => Self::with_path(text, selector.parse()?, path),
            };
        }
        if let Ok(selector) = text.parse() {
            return Ok(Self {
                selector,
                path: None,
            });
        }
        let colons: Vec<usize> = text
            .bytes()
            .take(SELECTOR_BYTES_MAX)
            .enumerate()
            .filter(|(_, byte)| *byte == b':')
            .map(|(position, _)| position)
            .collect();
        for position in colons.into_iter().rev() {
            let path = &text[position + 1..];
            let Ok(selector) = text[..position].parse() else {
                continue;
            };
            return if looks_like_time(path) {
                Err(ParseSelectorError::Time(shown(text)))
            } else {
                Self::with_path(text, selector, path)
            };
        }
        Err(ParseSelectorError::Time(shown(text)))
    }
}

/// Whether `path` may be the tail of a mistyped time, as in `@03:01:3`.
fn looks_like_time(path: &str) -> bool {
    let start = path.split([':', '.', '+', '-', 'Z']).next().unwrap_or(path);
    fixed_digits(start, 1..=2).is_some()
}

impl SnapshotPath {
    fn with_path(text: &str, selector: Selector, path: &str) -> Result<Self, ParseSelectorError> {
        if path.is_empty() {
            return Err(ParseSelectorError::EmptyPath(shown(text)));
        }
        Ok(Self {
            selector,
            path: Some(path.to_owned()),
        })
    }
}

/// `text` if it is digits only and as many as allowed.
fn fixed_digits(text: &str, allowed: std::ops::RangeInclusive<usize>) -> Option<&str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && allowed.contains(&text.len())).then_some(text)
}

fn field<T: FromStr>(text: &str, digits: usize) -> Option<T> {
    fixed_digits(text, digits..=digits)?.parse().ok()
}

/// Reads what follows `@`.
fn asked_time(text: &str) -> Option<AskedTime> {
    if let Some(time) = time_of_day(text) {
        return Some(AskedTime::Today(time));
    }
    let (day, rest) = text.split_at_checked(10)?;
    let day = date(day)?;
    if rest.is_empty() {
        return Some(AskedTime::Day(day));
    }
    let time = rest.strip_prefix(['T', ' '])?;
    let offset_start = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(offset_start);
    let datetime = DateTime::from_parts(day, time_of_day(time)?);
    if zone.is_empty() {
        return Some(AskedTime::Local(datetime));
    }
    Some(AskedTime::Offset(datetime, offset(zone)?))
}

/// `YYYY-MM-DD`.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = field(parts.next()?, 4)?;
    let month = field(parts.next()?, 2)?;
    let day = field(parts.next()?, 2)?;
    if parts.next().is_some() {
        return None;
    }
    Date::new(year, month, day).ok()
}

/// `HH:MM` or `HH:MM:SS`, with up to nine decimals of a second.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let hour = field(parts.next()?, 2)?;
    let minute = field(parts.next()?, 2)?;
    let (second, nanosecond) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (field(seconds, 2)?, 0),
            Some((whole, decimals)) => (field(whole, 2)?, nanoseconds(decimals)?),
        },
    };
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, nanosecond).ok()
}

fn nanoseconds(decimals: &str) -> Option<i32> {
    let digits = fixed_digits(decimals, 1..=9)?;
    format!("{digits:0<9}").parse().ok()
}

/// `Z`, `+HH:MM` or `+HH`, up to a day.
fn offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let text = text.strip_prefix(['+', '-'])?;
    let (hours, minutes) = text.split_once(':').unwrap_or((text, "00"));
    let (hours, minutes): (i32, i32) = (field(hours, 2)?, field(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(digits) => f.write_str(digits),
            Self::Latest { back: 0 } => f.write_str("latest"),
            Self::Latest { back } => write!(f, "latest~{back}"),
            Self::At(time) => write!(f, "@{time}"),
        }
    }
}

impl fmt::Display for SnapshotPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.selector)?;
        match &self.path {
            None => Ok(()),
            Some(path) => write!(f, ":{path}"),
        }
    }
}
