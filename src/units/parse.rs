//! Reading quantities.

use crate::units::{DAY_SECONDS, Percent, Quantity, Span, UnitError, UnitProblem};
use std::time::Duration;

/// Longest text that is looked at, bytes.
const TEXT_BYTES_MAX: usize = 64;

/// Most decimals of a number.
const DECIMALS_MAX: usize = 9;

/// A decimal number as written: `whole + fraction / scale`.
struct Number {
    whole: u64,
    fraction: u64,
    scale: u64,
}

impl Number {
    /// Times `factor`, rounded down. `None` when it does not fit.
    fn times(&self, factor: u64) -> Option<u64> {
        let factor = u128::from(factor);
        let fraction = u128::from(self.fraction) * factor / u128::from(self.scale);
        u64::try_from(u128::from(self.whole) * factor + fraction).ok()
    }

    fn is_whole(&self) -> bool {
        self.fraction == 0
    }
}

/// Splits the number that `text` begins with from what follows it.
fn number(text: &str) -> Result<(Number, &str), UnitProblem> {
    let (whole, rest) = digits(text);
    if whole.is_empty() {
        let negative = text.starts_with(['-', '\u{2212}']);
        return Err(if negative {
            UnitProblem::Negative
        } else {
            UnitProblem::NoNumber
        });
    }
    let whole = whole.parse().map_err(|_| UnitProblem::TooLarge)?;
    let Some(decimals) = rest.strip_prefix('.') else {
        let number = Number {
            whole,
            fraction: 0,
            scale: 1,
        };
        return Ok((number, rest));
    };
    let (fraction, rest) = digits(decimals);
    if fraction.is_empty() || fraction.len() > DECIMALS_MAX {
        return Err(UnitProblem::Decimals);
    }
    let scale = fraction.bytes().fold(1, |scale, _| scale * 10);
    let fraction = fraction.parse().map_err(|_| UnitProblem::Decimals)?;
    Ok((
        Number {
            whole,
            fraction,
            scale,
        },
        rest,
    ))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn fail(text: &str, quantity: Quantity, problem: UnitProblem) -> UnitError {
    let advice = match (quantity, &problem) {
        (Quantity::Duration, UnitProblem::AmbiguousUnit(_)) => "m is minutes, mo is months",
        (Quantity::Duration, UnitProblem::Calendar) => "write days or weeks, such as 30d",
        (Quantity::Duration, UnitProblem::Fraction) => "combine units instead, such as 1h30m",
        (Quantity::Duration, _) => "write it like 90s, 1h30m, 30d, 2w, 12 months or 7y",
        (Quantity::Size, UnitProblem::AmbiguousUnit(_)) => "bytes have a capital B, as in MB",
        (Quantity::Size, _) => "write it like 1048576, 10G, 300 GiB or 1.5MB",
        (Quantity::Rate, UnitProblem::AmbiguousUnit(_)) => "bytes have a capital B, as in MB/s",
        (Quantity::Rate, UnitProblem::Zero) => "nothing would ever be moved: leave it out instead",
        (Quantity::Rate, _) => "write bytes a second, like 10M, 1.5MB/s or 200 KiB/s",
        (Quantity::Percentage, _) => "write it like 5% or 0.5%, from 0% to 100%",
    };
    UnitError {
        text: text.chars().take(80).collect(),
        quantity,
        problem,
        advice: advice.to_owned(),
    }
}

fn bounded(text: &str) -> Result<&str, UnitProblem> {
    let trimmed = text.trim_matches(' ');
    if trimmed.is_empty() {
        Err(UnitProblem::Empty)
    } else if text.len() > TEXT_BYTES_MAX {
        Err(UnitProblem::TooLong)
    } else {
        Ok(trimmed)
    }
}

/// Reads a number of bytes. `K M G T P E`, alone or as `KiB`, are powers of 1024; `KB MB GB …` are
/// powers of 1000; no unit or `B` is bytes. Case matters only where it tells bits from bytes: `Mb`
/// is refused. Decimals are allowed with a unit; a fraction of a byte is dropped.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    size(text).map_err(|problem| fail(text, Quantity::Size, problem))
}

fn size(text: &str) -> Result<u64, UnitProblem> {
    let (number, rest) = number(bounded(text)?)?;
    let factor = size_factor(rest.trim_start_matches(' '))?;
    if factor == 1 && !number.is_whole() {
        return Err(UnitProblem::Fraction);
    }
    number.times(factor).ok_or(UnitProblem::TooLarge)
}

fn size_factor(unit: &str) -> Result<u64, UnitProblem> {
    let unknown = || UnitProblem::UnknownUnit(unit.to_owned());
    let Some(letter) = unit.chars().next() else {
        return Ok(1);
    };
    if unit == "B" {
        return Ok(1);
    }
    let power = "KMGTPE"
        .find(letter.to_ascii_uppercase())
        .ok_or_else(unknown)?;
    let power = u32::try_from(power).unwrap_or(0) + 1;
    let rest = &unit[letter.len_utf8()..];
    match rest.to_ascii_lowercase().as_str() {
        "" | "i" | "ib" => Ok(1024u64.pow(power)),
        "b" if rest == "b" && letter.is_ascii_uppercase() => {
            Err(UnitProblem::AmbiguousUnit(unit.to_owned()))
        }
        "b" => Ok(1000u64.pow(power)),
        _ => Err(unknown()),
    }
}

/// Reads bytes a second: a size as [`parse_size`] reads it, with or without `/s`. Not zero.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    let read = || {
        let bounded = bounded(text)?;
        match size(bounded.strip_suffix("/s").unwrap_or(bounded))? {
            0 => Err(UnitProblem::Zero),
            rate => Ok(rate),
        }
    };
    read().map_err(|problem| fail(text, Quantity::Rate, problem))
}

/// One unit of a duration: its place in the order, and how many months or seconds it is.
struct DurationUnit {
    rank: u8,
    months: u32,
    seconds: u64,
}

fn duration_unit(unit: &str) -> Result<DurationUnit, UnitProblem> {
    let (rank, months, seconds) = match unit.to_ascii_lowercase().as_str() {
        "" => return Err(UnitProblem::MissingUnit),
        "m" if unit == "M" => return Err(UnitProblem::AmbiguousUnit(unit.to_owned())),
        "y" | "year" | "years" => (6, 12, 0),
        "mo" | "month" | "months" => (5, 1, 0),
        "w" | "week" | "weeks" => (4, 0, 7 * DAY_SECONDS),
        "d" | "day" | "days" => (3, 0, DAY_SECONDS),
        "h" | "hour" | "hours" => (2, 0, 3600),
        "m" | "min" | "minute" | "minutes" => (1, 0, 60),
        "s" | "sec" | "second" | "seconds" => (0, 0, 1),
        _ => return Err(UnitProblem::UnknownUnit(unit.to_owned())),
    };
    Ok(DurationUnit {
        rank,
        months,
        seconds,
    })
}

/// Reads a length of time: whole numbers with units from large to small, such as `1h30m`, `2w`,
/// `12 months`. `m` is minutes. A day is 24 hours; months and years follow the calendar.
pub fn parse_span(text: &str) -> Result<Span, UnitError> {
    span(text).map_err(|problem| fail(text, Quantity::Duration, problem))
}

fn span(text: &str) -> Result<Span, UnitProblem> {
    let mut rest = bounded(text)?;
    let (mut months, mut seconds) = (0u32, 0u64);
    let mut rank = u8::MAX;
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let after = after.trim_start_matches(' ');
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == ' ')
            .unwrap_or(after.len());
        let unit = duration_unit(&after[..end])?;
        if !number.is_whole() {
            return Err(UnitProblem::Fraction);
        }
        if unit.rank >= rank {
            return Err(UnitProblem::Order);
        }
        rank = unit.rank;
        let more_months = u64::from(unit.months)
            .checked_mul(number.whole)
            .and_then(|more| u32::try_from(more).ok());
        months = more_months
            .and_then(|more| months.checked_add(more))
            .ok_or(UnitProblem::TooLarge)?;
        seconds = unit
            .seconds
            .checked_mul(number.whole)
            .and_then(|more| seconds.checked_add(more))
            .ok_or(UnitProblem::TooLarge)?;
        rest = after[end..].trim_start_matches(' ');
    }
    Span::new(months, seconds).ok_or(UnitProblem::TooLarge)
}

/// Reads a length of time that is the same everywhere: as [`parse_span`], without months and years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let span = parse_span(text)?;
    if span.months() > 0 {
        return Err(fail(text, Quantity::Duration, UnitProblem::Calendar));
    }
    Ok(Duration::from_secs(span.seconds()))
}

/// Reads a share from `0%` to `100%`, with at most four decimals.
pub fn parse_percent(text: &str) -> Result<Percent, UnitError> {
    percent(text).map_err(|problem| fail(text, Quantity::Percentage, problem))
}

fn percent(text: &str) -> Result<Percent, UnitProblem> {
    let (number, rest) = number(bounded(text)?)?;
    match rest.trim_start_matches(' ') {
        "%" => {}
        "" => return Err(UnitProblem::MissingUnit),
        unit => return Err(UnitProblem::UnknownUnit(unit.to_owned())),
    }
    if number.scale > 10_000 {
        return Err(UnitProblem::Decimals);
    }
    let millionths = number.times(10_000).ok_or(UnitProblem::TooLarge)?;
    match u32::try_from(millionths) {
        Ok(share) if share <= Percent::WHOLE.0 => Ok(Percent(share)),
        _ => Err(UnitProblem::TooLarge),
    }
}
