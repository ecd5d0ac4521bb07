//! What people write: variables, rules, names of snapshots, sizes and times.

use icecore::retention::GroupBy;
use icecore::selector::{Selector, SnapshotPath, TagPattern};
use icecore::source::dotenv::{parse, write};
use icecore::source::exclude::{ExcludeRules, Subjects};
use icecore::units::{
    Percent, parse_duration, parse_percent, parse_rate, parse_size, parse_span, {self as human},
};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// A `.env` file: what was read is written so that it reads the same.
pub fn dotenv(data: &[u8]) {
    if let Ok(variables) = parse(data) {
        let text = write(&variables);
        assert_eq!(parse(&text).as_ref(), Ok(&variables));
    }
}

/// Exclude rules: patterns, and after an empty line a path that they are asked about.
pub fn exclude(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (rules, path) = text.split_once("\n\n").unwrap_or((text, "a/b.c"));
    let mut builder = ExcludeRules::builder();
    if builder.lines(rules).is_err() {
        return;
    }
    let Ok(rules) = builder.build() else {
        return;
    };
    let absolute = format!("/srv/{path}");
    for is_directory in [false, true] {
        let root_length = path.find('/').unwrap_or(path.len());
        let excluded = rules.excluding(Subjects {
            path: path.as_bytes(),
            root_length,
            absolute: absolute.as_bytes(),
            is_directory,
        });
        assert!(excluded.is_none_or(|rule| !rule.pattern.starts_with('!')));
    }
}

/// What is accepted prints as a text that means the same.
fn assert_prints_back<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        let again = shown.parse::<T>();
        assert_eq!(
            again.ok().as_ref(),
            Some(&value),
            "{text:?} shows as {shown:?}"
        );
    }
}

/// Names of snapshots, tags, groups.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    assert_prints_back::<Selector>(text);
    assert_prints_back::<SnapshotPath>(text);
    assert_prints_back::<TagPattern>(text);
    let _ = text.parse::<GroupBy>();
}

/// Sizes, rates, durations, spans, shares.
pub fn units(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for number in [parse_size(text), parse_rate(text)].into_iter().flatten() {
        let _ = (human::bytes(number), human::count(number));
    }
    if let Ok(duration) = parse_duration(text) {
        let _ = (human::clock(duration), human::elapsed(duration));
        let _ = (human::seconds(duration), human::rate(u64::MAX, duration));
    }
    if let Ok(span) = parse_span(text) {
        assert_eq!(parse_span(&span.to_string()).as_ref(), Ok(&span));
    }
    if let Ok(share) = parse_percent(text) {
        assert_eq!(parse_percent(&share.to_string()).as_ref(), Ok(&share));
        assert!(share <= Percent::WHOLE);
        assert!(share.of(1_000_000) == u64::from(share.millionths()));
    }
}
