//! Showing quantities: short, aligned by their decimals, the same on every screen.

use std::time::Duration;

const DECIMAL_UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `bytes` in tenths of the decimal unit that leaves at most three digits before the point.
fn scaled(bytes: u64) -> (u64, &'static str) {
    let mut unit = 0;
    let mut divisor = 1u128;
    let tenths = |divisor: u128| (u128::from(bytes) * 10 + divisor / 2) / divisor;
    while tenths(divisor) >= 10_000 && unit + 1 < DECIMAL_UNITS.len() {
        unit += 1;
        divisor *= 1000;
    }
    let tenths = u64::try_from(tenths(divisor)).unwrap_or(u64::MAX);
    (tenths, DECIMAL_UNITS[unit])
}

/// A size in powers of 1000 with one decimal: `812 B`, `3.6 MB`, `540.0 MB`.
pub fn bytes(bytes: u64) -> String {
    match scaled(bytes) {
        (tenths, "B") => format!("{} B", tenths / 10),
        (tenths, unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// Bytes a second: `247 MB/s`, below ten with a decimal: `3.6 MB/s`; `-` where no time passed.
pub fn rate(bytes: u64, duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "-".to_owned();
    }
    let a_second = u128::from(bytes) * 1_000_000_000 / nanoseconds;
    match scaled(u64::try_from(a_second).unwrap_or(u64::MAX)) {
        (tenths, unit) if tenths < 100 && unit != "B" => {
            format!("{}.{} {unit}/s", tenths / 10, tenths % 10)
        }
        (tenths, unit) => format!("{} {unit}/s", (tenths + 5) / 10),
    }
}

/// How many times `whole` is `part`: `3.2x`; `-` where there is no part.
pub fn ratio(whole: u64, part: u64) -> String {
    if part == 0 {
        return "-".to_owned();
    }
    let part = u128::from(part);
    let tenths = (u128::from(whole) * 10 + part / 2) / part;
    format!("{}.{}x", tenths / 10, tenths % 10)
}

/// A count with thousands set apart: `1,204`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A running clock, rounded down: `0:02`, `1:38`, `1:02:03`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, second) = (seconds / 60, seconds % 60);
    if minutes < 60 {
        return format!("{minutes}:{second:02}");
    }
    format!("{}:{:02}:{second:02}", minutes / 60, minutes % 60)
}

/// How long something took: `0.4 s` below a minute, else as [`elapsed`].
pub fn seconds(duration: Duration) -> String {
    if duration.as_secs() >= 60 {
        return elapsed(duration);
    }
    let tenths = ((duration.as_millis() + 50) / 100).min(599);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// A length of time in its two largest units, rounded down: `58s`, `2m`, `4m 03s`, `2h 05m`,
/// `3d 4h`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        two(format!("{days}d"), hours % 24, format!("{}h", hours % 24))
    } else if hours > 0 {
        two(
            format!("{hours}h"),
            minutes % 60,
            format!("{:02}m", minutes % 60),
        )
    } else if minutes > 0 {
        two(
            format!("{minutes}m"),
            seconds % 60,
            format!("{:02}s", seconds % 60),
        )
    } else {
        format!("{seconds}s")
    }
}

fn two(large: String, small: u64, small_text: String) -> String {
    if small == 0 {
        large
    } else {
        format!("{large} {small_text}")
    }
}
