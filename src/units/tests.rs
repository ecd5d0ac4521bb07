#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::env::Timestamp;
use crate::units::{
    Percent, Span, bytes, clock, count, elapsed, parse_duration, parse_percent, parse_rate,
    parse_size, parse_span, rate, ratio, seconds,
};
use jiff::tz::TimeZone;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
use std::time::Duration;

#[test]
fn sizes() {
    let table = [
        ("0", 0),
        ("1048576", 1 << 20),
        ("512 B", 512),
        ("10G", 10 << 30),
        ("10g", 10 << 30),
        ("300 GiB", 300 << 30),
        ("4Ki", 4096),
        ("1.5MB", 1_500_000),
        ("1.5 MiB", 1_572_864),
        ("10mb", 10_000_000),
        ("0.5K", 512),
        ("15E", 15 << 60),
    ];
    for (text, expected) in table {
        assert_eq!(parse_size(text), Ok(expected), "{text}");
    }
}

#[test]
fn golden_size_errors() {
    let like = "write it like 1048576, 10G, 300 GiB or 1.5MB";
    let table = [
        ("", "it is empty"),
        ("NaN", "it does not begin with a number"),
        ("inf", "it does not begin with a number"),
        ("+5", "it does not begin with a number"),
        (".5G", "it does not begin with a number"),
        ("-1G", "it is negative"),
        ("1.G", "its decimals are malformed"),
        ("1.5", "it is not a whole number"),
        ("1,5G", "\",5G\" is not a unit"),
        ("1e9", "\"e9\" is not a unit"),
        ("10 Mbit", "\"Mbit\" is not a unit"),
        ("10 parsec", "\"parsec\" is not a unit"),
        ("16E", "it is too large"),
        ("99999999999999999999", "it is too large"),
    ];
    for (text, problem) in table {
        let message = parse_size(text).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("{text:?} is not a size: {problem}; {like}")
        );
    }
    assert_eq!(
        parse_size("10Mb").unwrap_err().to_string(),
        "\"10Mb\" is not a size: \"Mb\" can mean two things; bytes have a capital B, as in MB"
    );
    let long = parse_size(&"9".repeat(5000)).unwrap_err();
    assert_eq!(long.text.len(), 80);
}

#[test]
fn rates() {
    assert_eq!(parse_rate("10M"), Ok(10 << 20));
    assert_eq!(parse_rate("1.5MB/s"), Ok(1_500_000));
    assert_eq!(parse_rate("200 KiB/s"), Ok(200 << 10));
    for text in ["0", "10Mbps", "10M/m", "/s", "10Mb/s"] {
        assert!(parse_rate(text).is_err(), "{text}");
    }
    assert_eq!(
        parse_rate("0 MB/s").unwrap_err().to_string(),
        "\"0 MB/s\" is not a rate: it is zero; nothing would ever be moved: leave it out instead"
    );
}

#[test]
fn spans() {
    let day = 86_400;
    let table = [
        ("30d", 0, 30 * day),
        ("1h30m", 0, 5400),
        ("1h 30m", 0, 5400),
        ("25h", 0, 25 * 3600),
        ("12 months", 12, 0),
        ("2w", 0, 14 * day),
        ("2555d", 0, 2555 * day),
        ("7y", 84, 0),
        ("1 year 2 months 3 days", 14, 3 * day),
        ("1y2mo3d4h5m6s", 14, 3 * day + 4 * 3600 + 306),
        ("0s", 0, 0),
    ];
    for (text, months, seconds) in table {
        let span = parse_span(text).expect(text);
        assert_eq!((span.months(), span.seconds()), (months, seconds), "{text}");
    }
}

#[test]
fn golden_span_errors() {
    let like = "write it like 90s, 1h30m, 30d, 2w, 12 months or 7y";
    let table = [
        ("13am", "\"am\" is not a unit", like),
        ("90", "the unit is missing", like),
        ("1h30", "the unit is missing", like),
        ("-1d", "it is negative", like),
        ("NaN", "it does not begin with a number", like),
        ("30m1h", "its units do not go from large to small", like),
        ("1h1h", "its units do not go from large to small", like),
        ("1d and 2h", "it does not begin with a number", like),
        ("1001y", "it is too large", like),
        ("18446744073709551615w", "it is too large", like),
        (
            "1.5h",
            "it is not a whole number",
            "combine units instead, such as 1h30m",
        ),
        (
            "1M",
            "\"M\" can mean two things",
            "m is minutes, mo is months",
        ),
    ];
    for (text, problem, advice) in table {
        let message = parse_span(text).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("{text:?} is not a duration: {problem}; {advice}")
        );
    }
    assert_eq!(
        parse_duration("1mo").unwrap_err().to_string(),
        "\"1mo\" is not a duration: months and years have no fixed length; \
         write days or weeks, such as 30d"
    );
    assert_eq!(parse_duration("40m"), Ok(Duration::from_secs(2400)));
}

#[test]
fn percentages() {
    assert_eq!(parse_percent("5%").unwrap(), Percent::new(5).unwrap());
    assert_eq!(parse_percent("0.25 %").unwrap().millionths(), 2500);
    assert_eq!(parse_percent("100%").unwrap().of(u64::MAX), u64::MAX);
    assert_eq!(parse_percent("20%").unwrap().of(1204), 240);
    for text in [
        "5",
        "100.0001%",
        "-5%",
        "NaN%",
        "5 percent",
        "0.00001%",
        "%",
    ] {
        assert!(parse_percent(text).is_err(), "{text}");
    }
    assert_eq!(
        parse_percent("120%").unwrap_err().to_string(),
        "\"120%\" is not a percentage: it is too large; \
         write it like 5% or 0.5%, from 0% to 100%"
    );
}

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_seconds(moment.as_second())
}

#[test]
fn spans_follow_the_calendar() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let month = parse_span("1mo").unwrap();
    let table = [
        ("2026-03-31T12:00:00+02:00", "2026-02-28T12:00:00+01:00"),
        ("2024-03-31T12:00:00+02:00", "2024-02-29T12:00:00+01:00"),
        // 02:30 on 29 March 2026 does not exist; 02:30 on 25 October 2026 is there twice.
        ("2026-04-29T02:30:00+02:00", "2026-03-29T03:30:00+02:00"),
        ("2026-11-25T02:30:00+01:00", "2026-10-25T02:30:00+02:00"),
    ];
    for (moment, expected) in table {
        assert_eq!(month.before(at(moment), &berlin), at(expected), "{moment}");
    }
    let day = Span::days(1);
    assert_eq!(
        day.before(at("2026-03-29T12:00:00+02:00"), &berlin),
        at("2026-03-28T11:00:00+01:00"),
        "a day is 24 hours"
    );
    let ages = parse_span("900y").unwrap();
    assert_eq!(
        ages.before(at("2026-01-01T00:00:00Z"), &berlin),
        Timestamp(i64::MIN)
    );
}

#[test]
fn spans_compare_without_a_date() {
    let table = [
        ("7d", "30d", false),
        ("30d", "30d", false),
        ("31d", "30d", true),
        ("2555d", "7y", false),
        ("7y", "2555d", true),
        ("12mo", "1y", false),
        ("1mo", "30d", true),
        ("28d", "1mo", false),
        ("29d", "1mo", true),
        ("366d", "1y", true),
        ("1y", "366d", false),
    ];
    for (one, other, expected) in table {
        let exceeds = parse_span(one)
            .unwrap()
            .may_exceed(parse_span(other).unwrap());
        assert_eq!(exceeds, expected, "{one} against {other}");
    }
}

#[test]
fn shown_to_people() {
    assert_eq!(bytes(0), "0 B");
    assert_eq!(bytes(999), "999 B");
    assert_eq!(bytes(1000), "1.0 kB");
    assert_eq!(bytes(999_949), "999.9 kB");
    assert_eq!(bytes(999_950), "1.0 MB");
    assert_eq!(bytes(540_000_000), "540.0 MB");
    assert_eq!(bytes(u64::MAX), "18.4 EB");
    assert_eq!(ratio(540_000_000, 171_300_000), "3.2x");
    assert_eq!(ratio(5, 0), "-");
    assert_eq!(count(7), "7");
    assert_eq!(count(1204), "1,204");
    assert_eq!(count(3_812_044), "3,812,044");
    let second = Duration::from_secs;
    assert_eq!(clock(second(2)), "0:02");
    assert_eq!(clock(second(98)), "1:38");
    assert_eq!(clock(second(3723)), "1:02:03");
    assert_eq!(seconds(Duration::from_millis(2240)), "2.2 s");
    assert_eq!(seconds(Duration::from_millis(59_960)), "59.9 s");
    assert_eq!(seconds(second(243)), "4m 03s");
    assert_eq!(elapsed(second(120)), "2m");
    assert_eq!(elapsed(second(320)), "5m 20s");
    assert_eq!(elapsed(second(7500)), "2h 05m");
    assert_eq!(elapsed(second(4 * 3600 + 3 * 86_400)), "3d 4h");
    assert_eq!(rate(540_000_000, Duration::from_millis(2186)), "247 MB/s");
    assert_eq!(rate(3_600_000, second(1)), "3.6 MB/s");
    assert_eq!(rate(1, Duration::ZERO), "-");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn spans_survive_printing(months in 0u32..12_000, seconds in 0u64..30_000_000_000) {
        let span = Span::new(months, seconds).unwrap();
        prop_assert_eq!(parse_span(&span.to_string()), Ok(span));
    }

    #[test]
    fn percentages_survive_printing(hundredths in 0u32..=10_000) {
        let text = format!("{}.{:02}%", hundredths / 100, hundredths % 100);
        let percent = parse_percent(&text).unwrap();
        prop_assert_eq!(percent.millionths(), hundredths * 100);
        prop_assert_eq!(parse_percent(&percent.to_string()), Ok(percent));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,70}") {
        let _ = (parse_size(&text), parse_rate(&text), parse_span(&text), parse_percent(&text));
    }

    #[test]
    fn shown_sizes_read_back_closely(size in 0u64..1 << 60) {
        let shown = parse_size(&bytes(size)).unwrap();
        proptest::prop_assert!(shown.abs_diff(size) <= size / 20 + 1);
    }
}
