#![allow(clippy::unwrap_used)]

use super::{Agenda, Ended, PUT_OFF, PUT_OFF_MAX, QUIET, QUIET_MAX, Task, Trigger};
use crate::env::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;

fn moment(text: &str) -> Timestamp {
    Timestamp::from_seconds(text.parse::<jiff::Timestamp>().unwrap().as_second())
}

fn task(schedule: &str, zone: &str, since: &str, uses: &[&str]) -> Task {
    Task {
        schedule: schedule.parse().unwrap(),
        zone: TimeZone::get(zone).unwrap(),
        uses: uses.iter().map(|name| (*name).to_owned()).collect(),
        last: None,
        since: moment(since),
        owed: None,
        change: None,
        setbacks: 0,
    }
}

fn agenda(parallel: usize, tasks: &[(&str, Task)]) -> Agenda {
    let mut agenda = Agenda::new(parallel);
    let tasks = tasks
        .iter()
        .map(|(name, task)| ((*name).to_owned(), task.clone()));
    agenda.replace(tasks.collect());
    agenda
}

/// A machine whose clock moves to the next thing that is due, whose runs take no time, and which
/// sleeps through some stretches. Returns what began, and why.
fn live(agenda: &mut Agenda, from: &str, to: &str, asleep: &[(&str, &str)]) -> Vec<String> {
    let (mut now, end) = (moment(from), moment(to));
    let mut begun = Vec::new();
    while now <= end {
        while let Some((name, trigger)) = agenda.next(now) {
            begun.push(format!("{} {name} {}", now.to_rfc3339(), trigger.name()));
            agenda.begin(&name, now);
            agenda.end(&name, now, now, Ended::Well);
        }
        let Some(wake) = agenda.wake(now) else { break };
        let nap = asleep.iter().map(|(from, to)| (moment(from), moment(to)));
        let nap = nap
            .into_iter()
            .find(|(from, to)| (*from..*to).contains(&wake));
        now = nap.map_or(wake, |(_, to)| to);
    }
    begun
}

#[test]
fn clocks_that_change_skip_and_double_nothing() {
    let daily = task("daily 02:30", "Europe/Berlin", "2026-03-28T12:00:00Z", &[]);
    let mut spring = agenda(1, &[("db", daily.clone())]);
    let begun = live(
        &mut spring,
        "2026-03-28T12:00:00Z",
        "2026-03-30T12:00:00Z",
        &[],
    );
    assert_eq!(
        begun,
        [
            "2026-03-29T01:30:00Z db schedule",
            "2026-03-30T00:30:00Z db schedule"
        ]
    );
    let mut autumn = agenda(
        1,
        &[(
            "db",
            Task {
                since: moment("2026-10-24T12:00:00Z"),
                ..daily
            },
        )],
    );
    let begun = live(
        &mut autumn,
        "2026-10-24T12:00:00Z",
        "2026-10-26T12:00:00Z",
        &[],
    );
    assert_eq!(
        begun,
        [
            "2026-10-25T00:30:00Z db schedule",
            "2026-10-26T01:30:00Z db schedule"
        ]
    );
}

#[test]
fn however_many_times_were_missed_one_run_makes_up_for_them() {
    let hourly = task("0 * * * *", "UTC", "2026-11-01T00:30:00Z", &[]);
    let mut agenda = agenda(1, &[("db", hourly)]);
    let asleep = [("2026-11-01T02:30:00Z", "2026-11-04T05:59:00Z")];
    let begun = live(
        &mut agenda,
        "2026-11-01T00:30:00Z",
        "2026-11-04T07:00:00Z",
        &asleep,
    );
    assert_eq!(
        begun,
        [
            "2026-11-01T01:00:00Z db schedule",
            "2026-11-01T02:00:00Z db schedule",
            "2026-11-04T05:59:00Z db catch-up",
            "2026-11-04T06:00:00Z db schedule",
            "2026-11-04T07:00:00Z db schedule",
        ]
    );
}

#[test]
fn a_time_missed_before_the_first_run_ever_is_made_up_for_too() {
    let daily = task("daily 03:00", "UTC", "2026-11-01T10:00:00Z", &[]);
    let mut agenda = agenda(1, &[("db", daily)]);
    let now = moment("2026-11-02T09:00:00Z");
    assert_eq!(agenda.next(now), Some(("db".to_owned(), Trigger::CatchUp)));
    agenda.begin("db", now);
    agenda.end("db", now, now, Ended::Badly);
    assert_eq!(agenda.next(now), None, "its own attempts are over");
    assert_eq!(agenda.wake(now), Some(moment("2026-11-03T03:00:00Z")));
}

#[test]
fn what_shares_a_source_waits_and_no_more_than_so_many_run() {
    let since = "2026-11-01T00:00:00Z";
    let hourly = |uses: &[&str]| task("0 * * * *", "UTC", since, uses);
    let tasks = [
        ("a", hourly(&["db"])),
        ("b", hourly(&["db", "cache"])),
        ("c", hourly(&["files"])),
        ("d", hourly(&["more"])),
    ];
    let mut agenda = agenda(2, &tasks);
    let now = moment("2026-11-01T01:00:00Z");
    let begin = |agenda: &mut Agenda| {
        let (name, _) = agenda.next(now)?;
        agenda.begin(&name, now);
        Some(name)
    };
    assert_eq!(begin(&mut agenda).as_deref(), Some("a"));
    assert_eq!(
        begin(&mut agenda).as_deref(),
        Some("c"),
        "b shares db with a"
    );
    assert_eq!(begin(&mut agenda), None, "two run");
    agenda.end("c", now, now, Ended::Well);
    assert_eq!(begin(&mut agenda).as_deref(), Some("d"));
    agenda.end("a", now, now, Ended::Well);
    assert_eq!(begin(&mut agenda).as_deref(), Some("b"));
    agenda.end("b", now, now, Ended::Well);
    agenda.end("d", now, now, Ended::Well);
    assert_eq!(begin(&mut agenda), None, "each ran once");
}

#[test]
fn a_change_waits_for_quiet_but_not_for_ever() {
    let start = "2026-11-01T00:00:00Z";
    let mut agenda = agenda(1, &[("env", task("on-change", "UTC", start, &[]))]);
    let start = moment(start);
    assert_eq!((agenda.next(start), agenda.wake(start)), (None, None));
    agenda.changed("env", start);
    assert_eq!(agenda.next(start), None);
    let quiet = start.after(QUIET);
    assert_eq!(agenda.wake(start), Some(quiet));
    assert_eq!(
        agenda.next(quiet),
        Some(("env".to_owned(), Trigger::OnChange))
    );
    let mut now = start;
    while agenda.next(now).is_none() {
        now = now.after(QUIET / 2);
        agenda.changed("env", now);
    }
    assert_eq!(now, start.after(QUIET_MAX));
    // Changed again while it runs: once more afterwards.
    agenda.begin("env", now);
    agenda.changed("env", now);
    agenda.end("env", now, now, Ended::Well);
    let minute = Duration::from_secs(60);
    assert_eq!(
        agenda.wake(now),
        Some(now.after(minute)),
        "no more often than that"
    );
}

#[test]
fn what_could_not_run_is_tried_again_later_and_later() {
    let start = "2026-11-01T00:00:00Z";
    let mut agenda = agenda(
        1,
        &[
            ("daily", task("daily 03:00", "UTC", start, &[])),
            ("env", task("on-change", "UTC", start, &[])),
        ],
    );
    let mut now = moment("2026-11-01T03:00:00Z");
    let mut waits = Vec::new();
    for _ in 0..8 {
        agenda.begin("daily", now);
        agenda.end("daily", now, now, Ended::PutOff);
        let wake = agenda.wake(now).unwrap();
        waits.push(Duration::from_nanos((wake.0 - now.0).unsigned_abs()));
        now = wake;
    }
    assert_eq!(
        (waits[0], waits[1], waits[7]),
        (PUT_OFF, 2 * PUT_OFF, PUT_OFF_MAX)
    );
    assert_eq!(agenda.next(now).unwrap().1, Trigger::CatchUp);
    agenda.begin("daily", now);
    agenda.end("daily", now, now, Ended::Interrupted);
    assert_eq!(agenda.wake(now), Some(now.after(PUT_OFF)), "a run is owed");
    agenda.begin("daily", now);
    agenda.end("daily", now, now, Ended::Well);
    // After a change nothing but the agenda itself would try again.
    agenda.changed("env", now);
    agenda.begin("env", now);
    agenda.end("env", now, now, Ended::Badly);
    assert_eq!(agenda.wake(now), Some(now.after(PUT_OFF)));
    // Somebody ran it by hand meanwhile, and it went well.
    let mut by_hand = Agenda::new(1);
    by_hand.replace(BTreeMap::from([(
        "env".to_owned(),
        agenda.task("env").unwrap().clone(),
    )]));
    by_hand.ran_elsewhere("env", now.after(PUT_OFF / 2), true);
    assert_eq!(by_hand.wake(now), None);
    // A clock that is set back by a day delays nothing by a day.
    let back = moment("2026-10-31T03:00:00Z");
    assert_eq!(agenda.next(back).unwrap().0, "env");
}

#[test]
fn a_new_file_keeps_what_is_known() {
    let start = "2026-11-01T00:00:00Z";
    let mut agenda = agenda(1, &[("a", task("daily 03:00", "UTC", start, &[]))]);
    let now = moment("2026-11-01T03:00:00Z");
    agenda.begin("a", now);
    let later = task("daily 04:00", "UTC", "2026-11-01T03:30:00Z", &[]);
    agenda.replace(BTreeMap::from([("a".to_owned(), later)]));
    assert!(agenda.is_running("a"), "it ends as it will");
    agenda.end("a", now, now, Ended::Well);
    assert_eq!(agenda.wake(now), Some(moment("2026-11-01T04:00:00Z")));
    agenda.replace(BTreeMap::new());
    assert_eq!((agenda.next(now), agenda.wake(now)), (None, None));
}
