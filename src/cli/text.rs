//! Small pieces of text: paths and times for people, arguments for copying.

use crate::env::Timestamp;
use jiff::Unit;
use jiff::tz::TimeZone;

/// A path as a line can show it: control characters and bytes that are no text are escaped, so
/// that a file's name cannot move the cursor or forge a line.
pub fn path(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_direction(character) {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Characters that reorder the text around them.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// One line of text from elsewhere, made safe like a path.
pub fn line(text: &str) -> String {
    path(text.as_bytes())
}

/// An argument as a shell reads it back.
pub fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@~+,%".contains(c);
    if !argument.is_empty() && !argument.starts_with('~') && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// What follows a plain word without a space, as a shell reads it back.
pub fn quoted_after(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => quoted(text),
    }
}

/// A source as a line shows it: its scheme, where that says something, and the last part of each
/// path.
pub fn short_source(identity: &str) -> String {
    let (scheme, paths) = match identity.split_once(":/") {
        Some(("files", _)) => ("", &identity["files:".len()..]),
        Some((scheme, _)) => (scheme, &identity[scheme.len() + 1..]),
        None => return line(identity),
    };
    let last = |path: &str| match path.rsplit('/').next() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => path.to_owned(),
    };
    let names: Vec<String> = paths.split(",/").map(last).collect();
    match scheme {
        "" => line(&names.join(",")),
        scheme => line(&format!("{scheme}:{}", names.join(","))),
    }
}

/// A moment in `zone` as seen at `now`: `today 14:02:11`, `yesterday 09:00:00`, else the date.
pub fn moment(moment: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let local = moment.to_jiff().to_zoned(zone.clone());
    let today = now.to_jiff().to_zoned(zone.clone()).date();
    let days = today
        .since((Unit::Day, local.date()))
        .map_or(i32::MAX, |span| span.get_days());
    let time = local.strftime("%H:%M:%S");
    match days {
        0 => format!("today {time}"),
        1 => format!("yesterday {time}"),
        _ => format!("{} {time}", local.strftime("%Y-%m-%d")),
    }
}

/// The day of a moment in `zone`: `2026-11-24`.
pub fn day(moment: Timestamp, zone: &TimeZone) -> String {
    let local = moment.to_jiff().to_zoned(zone.clone());
    local.strftime("%Y-%m-%d").to_string()
}

/// The zone's offset at `moment`: `UTC`, `+06`, `+05:30`.
pub fn offset(moment: Timestamp, zone: &TimeZone) -> String {
    let seconds = zone.to_offset(moment.to_jiff()).seconds();
    if seconds == 0 {
        return "UTC".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}:{rest:02}", minutes / 60),
    }
}

/// `1 file`, `2 files`: counts with thousands set apart.
pub fn counted(number: u64, one: &str) -> String {
    let count = crate::units::count(number);
    match number {
        1 => format!("{count} {one}"),
        _ => format!("{count} {one}s"),
    }
}

/// Lines of columns, two spaces apart. `right` says which columns are numbers.
pub fn table(rows: &[Vec<String>], right: &[bool]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths.get(column).copied().unwrap_or(0);
            match right.get(column) {
                Some(true) => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_on_their_line() {
        assert_eq!(path(b"a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(path(b"caf\xc3\xa9 \xff"), "café \\xff");
        assert_eq!(path("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }

    #[test]
    fn arguments_read_back() {
        assert_eq!(quoted("sqlite:/srv/app.db"), "sqlite:/srv/app.db");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("~/x"), "'~/x'");
    }

    #[test]
    fn moments_are_relative_to_the_readers_day() {
        let zone = TimeZone::get("Asia/Almaty").unwrap_or(TimeZone::UTC);
        let now = Timestamp::from_seconds(1_793_500_000);
        let hours = |hours: i64| Timestamp::from_seconds(1_793_500_000 - hours * 3600);
        assert!(moment(now, now, &zone).starts_with("today "));
        assert!(moment(hours(24), now, &zone).starts_with("yesterday "));
        assert!(moment(hours(72), now, &zone).starts_with("2026-"));
        assert!(moment(hours(-72), now, &zone).starts_with("2026-"));
        assert_eq!(offset(now, &zone), "+05");
        assert_eq!(offset(now, &TimeZone::UTC), "UTC");
    }
}
