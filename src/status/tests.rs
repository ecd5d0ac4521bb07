#![allow(clippy::unwrap_used)]

use crate::env::Timestamp;
use crate::status::{
    JobFacts, Level, LockFacts, Newest, RepositoryFacts, SourceFacts, is_judged, judge,
};
use std::time::Duration;

const HOUR: u64 = 3600;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_000_000_000)
}

fn ago(hours: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000_000 - hours * 3600)
}

fn healthy() -> SourceFacts {
    SourceFacts {
        name: "db".to_owned(),
        newest: Some(Newest {
            id: "aaaa".to_owned(),
            taken: ago(1),
            complete: true,
            suspect: false,
            read_back: Some(ago(1)),
            bytes: 10 << 20,
            bytes_before: Some(10 << 20),
            changed: 2 << 20,
            changed_median: Some(1 << 20),
        }),
        good: Some(ago(1)),
        rpo: Some(Duration::from_secs(25 * HOUR)),
        rto: Some(Duration::from_secs(HOUR)),
        wants_read_back: true,
        drill: Some((ago(24), Duration::from_secs(60))),
        drill_every: Some(Duration::from_secs(7 * 24 * HOUR)),
        missing_days: Vec::new(),
        is_partial: false,
    }
}

/// Locks that end in so many hours, and must last for 48.
fn locks(hours: Option<i64>) -> Option<LockFacts> {
    Some(LockFacts {
        soonest: hours.map(|hours| ago(-hours)),
        least: Duration::from_secs(48 * HOUR),
    })
}

/// The states, with their levels, that a source is in.
fn states(source: SourceFacts) -> Vec<(&'static str, Level)> {
    let found = judge(&[source], &[], &[], now());
    found
        .iter()
        .map(|finding| (finding.state, finding.level))
        .collect()
}

fn with(change: impl FnOnce(&mut SourceFacts, &mut Newest)) -> SourceFacts {
    let mut source = healthy();
    let mut newest = source.newest.take().unwrap();
    change(&mut source, &mut newest);
    source.newest = Some(newest);
    source
}

#[test]
fn health_is_silent() {
    assert_eq!(states(healthy()), []);
    let repository = RepositoryFacts {
        bytes: 79,
        max_size: Some(100),
        disk: Some((10, 100)),
        ..RepositoryFacts::default()
    };
    assert_eq!(judge(&[], &[JobFacts::default()], &[repository], now()), []);
}

#[test]
fn each_state_of_a_source_has_its_own_finding() {
    let attention = |state| vec![(state, Level::Attention)];
    let not_safe = |state| vec![(state, Level::NotSafe)];
    let none = SourceFacts {
        newest: None,
        ..healthy()
    };
    assert_eq!(states(none), not_safe("no-snapshot"));
    assert_eq!(
        states(with(|s, _| s.good = Some(ago(26)))),
        not_safe("stale")
    );
    assert_eq!(states(with(|s, _| s.good = None)), not_safe("none-good"));
    assert_eq!(states(with(|_, n| n.taken = ago(-2))), attention("clock"));
    assert_eq!(states(with(|_, n| n.suspect = true)), attention("suspect"));
    assert_eq!(
        states(with(|_, n| n.complete = false)),
        attention("incomplete")
    );
    assert_eq!(
        states(with(|_, n| n.read_back = None)),
        attention("not-verified")
    );
    assert_eq!(states(with(|_, n| n.bytes = 13 << 20)), attention("size"));
    assert_eq!(states(with(|_, n| n.bytes = 7 << 20)), attention("size"));
    assert_eq!(
        states(with(|s, _| s.drill = None)),
        attention("never-drilled")
    );
    let late = with(|s, _| s.drill = Some((ago(24 * 15), Duration::from_secs(60))));
    assert_eq!(states(late), attention("drill-overdue"));
    let slow = with(|s, _| s.drill = Some((ago(1), Duration::from_secs(2 * HOUR))));
    assert_eq!(states(slow), attention("slow-restore"));
}

#[test]
fn jobs_and_repositories_are_judged_and_the_worst_comes_first() {
    let job = JobFacts {
        name: "nightly".to_owned(),
        error: Some("no such table".to_owned()),
        failures: 3,
        missed: Some(ago(5)),
        disabled: true,
        drill_error: Some("app.db: malformed".to_owned()),
    };
    let repository = |change: fn(&mut RepositoryFacts)| {
        let mut repository = RepositoryFacts {
            name: "nas".to_owned(),
            max_size: Some(100),
            ..RepositoryFacts::default()
        };
        change(&mut repository);
        repository
    };
    let repositories = [
        repository(|r| r.unreachable = Some("gone".to_owned())),
        repository(|r| {
            r.unreachable = Some("gone".to_owned());
            r.may_be_absent = true;
        }),
        repository(|r| r.damaged = 1),
        repository(|r| r.bytes = 80),
        repository(|r| r.bytes = 95),
        repository(|r| r.disk = Some((4, 100))),
        repository(|r| r.locks = locks(None)),
        repository(|r| r.locks = locks(Some(-1))),
        repository(|r| r.locks = locks(Some(47))),
        repository(|r| r.locks = locks(Some(49))),
    ];
    let found = judge(&[], &[job], &repositories, now());
    let states: Vec<_> = found.iter().map(|finding| finding.state).collect();
    assert_eq!(
        states,
        [
            "unreachable",
            "damaged",
            "full",
            "lock-lapsing",
            "lock-lapsing",
            "lock-lapsing",
            "drill-failed",
            "unreachable",
            "nearly-full",
            "disk",
            "failed",
            "missed",
            "disabled"
        ]
    );
    let failed = found
        .iter()
        .find(|finding| finding.state == "failed")
        .unwrap();
    assert_eq!(
        failed.to_string(),
        "nightly: its last 3 runs failed: no such table"
    );
    assert!(found.iter().all(|finding| !finding.remedy.is_empty()));
}

#[test]
fn unusual_change_a_missing_day_and_old_keys_are_told() {
    let change = with(|_, newest| newest.changed = 5 << 20);
    assert_eq!(states(change), [("change", Level::Attention)]);
    let small = with(|_, newest| {
        newest.changed = 3 << 20;
        newest.changed_median = Some(10);
    });
    assert_eq!(states(small), [], "small things change much");
    let missing = with(|source, _| source.missing_days = vec!["2001-09-08".to_owned()]);
    assert_eq!(states(missing), [("missing-day", Level::Attention)]);
    let old = |hours| RepositoryFacts {
        keys_drawn: Some(ago(hours)),
        ..RepositoryFacts::default()
    };
    let of = |hours| judge(&[], &[], &[old(hours)], now()).len();
    assert_eq!((of(99 * 24), of(101 * 24)), (0, 1));
}

#[test]
fn what_could_not_be_looked_at_is_not_over() {
    let repository = |why: Option<&str>| RepositoryFacts {
        name: "nas".to_owned(),
        unreachable: why.map(str::to_owned),
        ..RepositoryFacts::default()
    };
    let partial = SourceFacts {
        is_partial: true,
        ..healthy()
    };
    let cases = [
        // What a repository that is away had, it may still have.
        ("damaged", "nas", healthy(), Some("no route"), false),
        ("damaged", "nas", healthy(), None, true),
        // Its newer snapshots are not seen, those elsewhere are as new as they are.
        ("suspect", "db", partial.clone(), Some("no route"), false),
        ("stale", "db", partial, Some("no route"), true),
        ("suspect", "db", healthy(), None, true),
    ];
    for (state, subject, source, why, expected) in cases {
        let judged = is_judged(state, subject, &[source], &[repository(why)]);
        assert_eq!(judged, expected, "{state} of {subject}, {why:?}");
    }
}
