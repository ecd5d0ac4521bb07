#![allow(clippy::unwrap_used)]

use crate::env::Timestamp;
use crate::schedule::Schedule;
use jiff::tz::TimeZone;

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap()
}

fn moment(text: &str) -> Timestamp {
    Timestamp::from_seconds(text.parse::<jiff::Timestamp>().unwrap().as_second())
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The first `count` times after a moment.
fn after(text: &str, from: &str, name: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (schedule(text), zone(name));
    let mut now = moment(from);
    let mut times = Vec::new();
    for _ in 0..count {
        now = schedule.next(now, &zone).unwrap();
        if !text.starts_with("every") {
            assert_eq!(schedule.previous(now, &zone), Some(now), "{text}");
        }
        times.push(now.to_rfc3339());
    }
    times
}

#[test]
fn words_and_fields_name_times_in_a_zone() {
    let next = |text: &str| after(text, "2026-11-25T08:30:00Z", "Asia/Almaty", 1).remove(0);
    assert_eq!(next("daily 03:00"), "2026-11-25T22:00:00Z");
    assert_eq!(next("0 3 * * *"), "2026-11-25T22:00:00Z");
    assert_eq!(next("hourly"), "2026-11-25T09:00:00Z");
    assert_eq!(next("@hourly"), "2026-11-25T09:00:00Z");
    assert_eq!(next("@weekly"), "2026-11-28T19:00:00Z");
    assert_eq!(next("Sun 03:00"), "2026-11-28T22:00:00Z");
    assert_eq!(next("weekly sunday 3:00"), "2026-11-28T22:00:00Z");
    assert_eq!(next("0 3 * * 7"), "2026-11-28T22:00:00Z");
    assert_eq!(next("monthly 1 03:00"), "2026-11-30T22:00:00Z");
    assert_eq!(next("monthly 00:05"), "2026-11-30T19:05:00Z");
    assert_eq!(next("*/20 9-17 * * mon-fri"), "2026-11-25T08:40:00Z");
    assert_eq!(next("30 4 29 2 *"), "2028-02-28T23:30:00Z");
    assert_eq!(next("0 0 13 * fri"), "2026-11-26T19:00:00Z");
    assert_eq!(next("every 6h"), "2026-11-25T14:30:00Z");
}

#[test]
fn a_skipped_time_fires_once_later_and_a_doubled_one_once() {
    // Clocks in Berlin went from 02:00 to 03:00 on 29 March 2026, from 03:00 to 02:00 on 25 October.
    let spring = after("daily 02:30", "2026-03-27T12:00:00Z", "Europe/Berlin", 3);
    assert_eq!(
        spring,
        [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-30T00:30:00Z"
        ]
    );
    let autumn = after("daily 02:30", "2026-10-24T12:00:00Z", "Europe/Berlin", 2);
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let hours = after("30 * * * *", "2026-10-24T23:31:00Z", "Europe/Berlin", 4);
    assert_eq!(
        hours,
        [
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:30:00Z",
            "2026-10-25T03:30:00Z"
        ]
    );
    let hours = after("30 * * * *", "2026-03-29T00:31:00Z", "Europe/Berlin", 2);
    assert_eq!(hours, ["2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]);
}

#[test]
fn a_missed_time_is_due_at_once() {
    let daily = schedule("daily 03:00");
    let now = moment("2026-11-25T08:30:00Z");
    let utc = TimeZone::UTC;
    let due = |last: Option<&str>| daily.due(last.map(moment), now, &utc).unwrap();
    assert!(due(Some("2026-11-22T03:00:00Z")) <= now);
    assert!(due(Some("2026-11-25T03:00:05Z")) > now);
    assert!(due(None) > now);
    // A last run in the future is a wrong clock's.
    assert_eq!(
        due(Some("2027-01-01T00:00:00Z")),
        moment("2026-11-26T03:00:00Z")
    );
    assert_eq!(schedule("every 6h").due(None, now, &utc), Some(now));
    assert_eq!(schedule("on-change").due(None, now, &utc), None);
}

#[test]
fn what_is_no_schedule_says_why() {
    let message = |text: &str| text.parse::<Schedule>().unwrap_err().to_string();
    assert_eq!(
        message("daily 13am"),
        "\"13am\" is no time of day; write it from 00:00 to 23:59"
    );
    assert_eq!(
        message("daily 24:00"),
        "\"24:00\" is no time of day; write it from 00:00 to 23:59"
    );
    assert_eq!(
        message("daily"),
        "\"daily\" needs a time, as in \"daily 03:00\""
    );
    assert_eq!(
        message("60 * * * *"),
        "\"60\" is no minute; it goes from 0 to 59"
    );
    assert_eq!(
        message("* * 30 2 *"),
        "no month that is named has such a day"
    );
    assert_eq!(
        message("*/0 * * * *"),
        "the step of \"*/0\" is no number up to 59"
    );
    assert_eq!(message("5-1 * * * *"), "\"5-1\" ends before it begins");
    assert_eq!(
        message("every 10s"),
        "nothing runs more often than every minute"
    );
    assert!(message("now and then").contains("is no schedule"));
    assert!(message("weekly someday 03:00").contains("no day of the week"));
}
