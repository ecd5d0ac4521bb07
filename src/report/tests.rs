#![allow(clippy::unwrap_used)]

use crate::env::Timestamp;
use crate::event::{Activity, Status};
use crate::report::{
    Act, DayState, Facts, Month, Repository, Retention, Rule, Source, Taken, days, document, html,
    markdown, readiness,
};
use crate::stats::Figures;
use crate::status::{Finding, Level};
use crate::units::DAY_SECONDS;
use jiff::tz::TimeZone;
use std::time::Duration;

const DOCS: &str = include_str!("../../docs/report.md");

fn month() -> Month {
    "2026-11".parse().unwrap()
}

/// A moment of that month in UTC.
fn at(day: i64, hour: i64) -> Timestamp {
    let start = month().start(&TimeZone::UTC);
    Timestamp(start.0 + ((day - 1) * DAY_SECONDS as i64 + hour * 3600) * 1_000_000_000)
}

#[test]
fn months_are_read_strictly_and_begin_in_their_zone() {
    assert_eq!(month().to_string(), "2026-11");
    assert_eq!(month().days().count(), 30);
    for odd in [
        "2026-13",
        "2026-1",
        "11-2026",
        "2026-11-01",
        "November",
        "",
        "2026/11",
    ] {
        assert!(odd.parse::<Month>().is_err(), "{odd}");
    }
    assert_eq!(
        month().start(&TimeZone::UTC).to_rfc3339(),
        "2026-11-01T00:00:00Z"
    );
    let almaty = TimeZone::get("Asia/Almaty").unwrap();
    assert_eq!(month().start(&almaty).to_rfc3339(), "2026-10-31T19:00:00Z");
    assert_eq!(
        month().end(&TimeZone::UTC).to_rfc3339(),
        "2026-12-01T00:00:00Z"
    );
    assert_eq!(
        Month::of(month().start(&almaty), &TimeZone::UTC).to_string(),
        "2026-10"
    );
}

#[test]
fn days_say_what_was_due_and_what_came_of_it() {
    let due: Vec<Timestamp> = (2..=9).map(|day| at(day, 3)).collect();
    let good = Taken::Snapshot { good: true };
    let taken = [
        (at(2, 4), good),
        // Late, but before the next: of the third.
        (at(4, 1), good),
        (at(5, 3), Taken::Snapshot { good: false }),
        (at(6, 3), Taken::Failure),
        (at(6, 4), good),
        (at(7, 3), Taken::Failure),
    ];
    let days = days(month(), &TimeZone::UTC, &due, &taken, at(8, 12));
    let states: Vec<DayState> = days.iter().take(9).map(|day| day.state).collect();
    let expected = [
        DayState::Quiet,
        DayState::Good,
        DayState::Good,
        DayState::Missed,
        DayState::Missed,
        DayState::Flawed,
        DayState::Missed,
        // Due, and its time is not over.
        DayState::Quiet,
        DayState::Quiet,
    ];
    assert_eq!(states, expected);
    assert_eq!((days[5].due, days[5].done, days[5].failed), (1, 1, 1));
    assert_eq!(days.len(), 30);
}

fn healthy() -> Facts {
    let source = Source {
        name: "db".to_owned(),
        job: Some("nightly".to_owned()),
        days: days(
            month(),
            &TimeZone::UTC,
            &[at(1, 3), at(2, 3)],
            &[(at(1, 3), Taken::Snapshot { good: true })],
            at(28, 0),
        ),
        points: vec![(at(1, 3), 1 << 20, Duration::from_secs(2))],
        figures: Figures::default(),
        read_back: Some(at(2, 0)),
        drill: Some((at(3, 0), Duration::from_secs(60))),
        rto: Some(Duration::from_secs(900)),
        copies: vec!["local".to_owned()],
    };
    Facts {
        name: "portal".to_owned(),
        month: month(),
        zone: TimeZone::UTC,
        until: at(28, 0),
        now: at(28, 0),
        repositories: vec![Repository {
            name: "local".to_owned(),
            ..Repository::default()
        }],
        sources: vec![source],
        retention: Vec::new(),
        acts: Vec::new(),
        rules: Vec::new(),
        findings: Vec::new(),
    }
}

fn act(activity: Activity, status: Status) -> Act {
    Act {
        time: at(4, 0),
        activity,
        repository: "local".to_owned(),
        by: "ann@host".to_owned(),
        revoked: false,
        subject: "db".to_owned(),
        status,
        details: "told".to_owned(),
        bytes: None,
        took: Some(Duration::from_secs(1000)),
        goal: Some(Duration::from_secs(900)),
    }
}

#[test]
fn every_deduction_is_named_once_with_a_remedy() {
    assert_eq!(readiness(&healthy()).score, 100);
    let with = |change: &dyn Fn(&mut Facts)| {
        let mut facts = healthy();
        change(&mut facts);
        readiness(&facts)
    };
    let kept = |overdue, past_maximum| Retention {
        job: "nightly".to_owned(),
        repository: "local".to_owned(),
        source: "db".to_owned(),
        policy: "daily=7".to_owned(),
        kept: 7,
        overdue,
        past_maximum,
        counts: Vec::new(),
    };
    let finding = |level, state| Finding {
        level,
        state,
        subject: "db".to_owned(),
        message: "is so".to_owned(),
        remedy: "do that".to_owned(),
    };
    type Change<'c> = &'c dyn Fn(&mut Facts);
    let cases: [(&str, u32, Change<'_>); 14] = [
        ("stale", 15, &|facts| {
            facts.findings.push(finding(Level::NotSafe, "stale"))
        }),
        ("key-old", 5, &|facts| {
            facts.findings.push(finding(Level::Attention, "key-old"))
        }),
        ("gap", 2, &|facts| {
            facts.sources[0].days[8].state = DayState::Missed
        }),
        ("gap", 10, &|facts| {
            facts.sources[0].days[8..16]
                .iter_mut()
                .for_each(|day| day.state = DayState::Missed)
        }),
        ("no-drill", 10, &|facts| facts.sources[0].drill = None),
        ("not-read", 10, &|facts| facts.sources[0].read_back = None),
        ("drill-failed", 10, &|facts| {
            facts.acts.push(act(Activity::Drill, Status::Error))
        }),
        ("drill-slow", 5, &|facts| {
            facts.acts.push(act(Activity::Drill, Status::Success))
        }),
        ("restore-failed", 5, &|facts| {
            facts.acts.push(act(Activity::Restore, Status::Error))
        }),
        ("damage-found", 20, &|facts| {
            facts.acts.push(act(Activity::Check, Status::Error))
        }),
        ("audit-fault", 30, &|facts| {
            facts.repositories[0].faults.push("gone".to_owned())
        }),
        ("audit-sealed", 5, &|facts| facts.repositories[0].sealed = 3),
        ("past-maximum", 15, &|facts| {
            facts.retention.push(kept(2, 2))
        }),
        ("overdue", 3, &|facts| facts.retention.push(kept(2, 0))),
    ];
    for (code, points, change) in cases {
        let is_told = DOCS.contains(&format!("| `{code}` | {points} "));
        let by_status = ["stale", "key-old"].contains(&code) || code == "gap";
        assert!(is_told || by_status, "{code} in docs/report.md");
        let judged = with(change);
        let [one] = judged.deductions.as_slice() else {
            panic!("{code}: {judged:?}");
        };
        assert_eq!(
            (one.code.as_str(), one.points, judged.score),
            (code, points, 100 - points)
        );
        assert!(!one.remedy.is_empty() && !one.reason.is_empty());
    }
    let rule = Rule {
        job: "nightly".to_owned(),
        copies: 2,
        places: 1,
        off_site: 0,
        kept: false,
    };
    assert_eq!(with(&|facts| facts.rules.push(rule.clone())).score, 90);
    let ruin = with(&|facts| {
        (0..9).for_each(|_| {
            facts.repositories.push(Repository {
                faults: vec!["gone".to_owned()],
                ..Repository::default()
            })
        })
    });
    assert_eq!(ruin.score, 0);
}

#[test]
fn names_are_text_in_both_forms() {
    let mut facts = healthy();
    let hostile = "<script>alert('1')</script>&\"|*_";
    facts.sources[0].name = hostile.to_owned();
    facts.acts.push(Act {
        details: hostile.to_owned(),
        ..act(Activity::Restore, Status::Success)
    });
    let blocks = document(&facts, &readiness(&facts));
    let page = html(hostile, &blocks);
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;"),
        "{page}"
    );
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("<polyline") && page.contains("class=\"good\""));
    for element in ["table", "tr", "td", "svg", "figure", "text", "title"] {
        let opening = [">", " "].map(|end| page.matches(&format!("<{element}{end}")).count());
        let closing = page.matches(&format!("</{element}>")).count();
        assert_eq!(opening[0] + opening[1], closing, "{element}");
    }
    let text = markdown(hostile, &blocks);
    assert!(!text.replace("\\<", "").contains('<'), "{text}");
    let rows = text.lines().filter(|line| line.starts_with('|'));
    for row in rows {
        let bare = row.replace("\\|", "");
        assert!(bare.ends_with('|'), "{row}");
    }
    assert!(text.starts_with("# \\<script"), "{text}");
}
