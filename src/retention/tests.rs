#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::env::Timestamp;
use crate::id::{SnapshotId, WriterId};
use crate::retention::{
    Candidate, ForgetReason, GroupBy, GroupKey, GroupPlan, KeepReason, Period, Policy, PolicyError,
    Verdict, plan,
};
use crate::units::{Span, parse_span};
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeMap;

const DAY: i64 = 86_400;

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_seconds(moment.as_second())
}

fn now() -> Timestamp {
    at("2026-11-20T03:00:00Z")
}

fn candidate(number: u8, captured: Timestamp) -> Candidate {
    Candidate {
        id: SnapshotId([number; 32]),
        group: GroupKey::default(),
        captured,
        stored: Some(captured),
        tags: BTreeMap::new(),
        held: false,
        proven: false,
        flawed: false,
    }
}

/// One a day, number 0 the newest, an hour before now.
fn days(count: u8) -> Vec<Candidate> {
    let newest = now().seconds() - 3600;
    (0..count)
        .map(|day| candidate(day, Timestamp::from_seconds(newest - i64::from(day) * DAY)))
        .collect()
}

fn span(text: &str) -> Option<Span> {
    Some(parse_span(text).expect(text))
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn one_group(policy: &Policy, candidates: &[Candidate]) -> GroupPlan {
    let mut groups = plan(policy, candidates, now(), &berlin()).unwrap();
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

/// The kept numbers, newest first.
fn kept(policy: &Policy, candidates: &[Candidate]) -> Vec<u8> {
    let group = one_group(policy, candidates);
    let decisions = group.decisions.iter().filter(|decision| decision.is_kept());
    decisions.map(|decision| decision.id.0[0]).collect()
}

fn verdict(policy: &Policy, candidates: &[Candidate], number: u8) -> Verdict {
    let group = one_group(policy, candidates);
    let mut decisions = group.decisions.into_iter();
    let decision = decisions.find(|decision| decision.id.0[0] == number);
    decision.unwrap().verdict
}

fn last(count: u32) -> Policy {
    Policy {
        keep_last: Some(count),
        ..Policy::default()
    }
}

#[test]
fn an_empty_policy_is_an_error() {
    let zeros = Policy {
        keep_last: Some(0),
        keep_daily: Some(0),
        ..Policy::default()
    };
    for policy in [Policy::default(), zeros] {
        assert_eq!(
            plan(&policy, &days(3), now(), &berlin()),
            Err(PolicyError::Empty)
        );
    }
    assert_eq!(
        PolicyError::Empty.to_string(),
        "the retention policy is empty; give at least one keep rule, or say forever"
    );
}

#[test]
fn contradictions_are_errors() {
    let both = Policy {
        min: span("2555d"),
        max: span("30d"),
        ..Policy::default()
    };
    assert_eq!(
        both.validate().unwrap_err().to_string(),
        "the minimum age 2555d can be longer than the maximum age 30d: both cannot hold"
    );
    let forever = Policy {
        keep_forever: true,
        max: span("30d"),
        ..Policy::default()
    };
    assert_eq!(
        forever.validate().unwrap_err().to_string(),
        "snapshots cannot be kept forever and be dropped at the maximum age 30d"
    );
    let equal = Policy {
        min: span("30d"),
        max: span("30d"),
        ..Policy::default()
    };
    assert_eq!(equal.validate(), Ok(()));
}

#[test]
fn counts_keep_the_newest_of_each_stretch() {
    assert_eq!(kept(&last(2), &days(5)), [0, 1]);
    let weekly = Policy {
        keep_weekly: Some(2),
        ..Policy::default()
    };
    // 20 November 2026 is a Friday: the week before ends five days earlier, on Sunday.
    assert_eq!(kept(&weekly, &days(14)), [0, 5]);
    let monthly = Policy {
        keep_monthly: Some(2),
        ..Policy::default()
    };
    assert_eq!(kept(&monthly, &days(40)), [0, 20]);
}

#[test]
fn a_week_belongs_to_its_iso_year() {
    let snapshots = [
        candidate(0, at("2026-01-02T12:00:00Z")),
        candidate(1, at("2025-12-29T12:00:00Z")),
        candidate(2, at("2025-12-28T12:00:00Z")),
    ];
    let weekly = Policy {
        keep_weekly: Some(5),
        ..Policy::default()
    };
    assert_eq!(kept(&weekly, &snapshots), [0, 2]);
}

#[test]
fn a_repeated_hour_is_two() {
    let snapshots = [
        candidate(0, at("2026-10-25T02:50:00+01:00")),
        candidate(1, at("2026-10-25T02:10:00+01:00")),
        candidate(2, at("2026-10-25T02:50:00+02:00")),
        candidate(3, at("2026-10-25T02:10:00+02:00")),
    ];
    let hourly = Policy {
        keep_hourly: Some(9),
        ..Policy::default()
    };
    assert_eq!(kept(&hourly, &snapshots), [0, 2]);
    let daily = Policy {
        keep_daily: Some(9),
        ..Policy::default()
    };
    assert_eq!(kept(&daily, &snapshots), [0]);
}

#[test]
fn holds_win_over_the_maximum() {
    let mut snapshots = days(60);
    snapshots[50].held = true;
    let policy = Policy {
        max: span("30d"),
        ..last(2)
    };
    assert_eq!(kept(&policy, &snapshots), [0, 1, 50]);
    assert_eq!(
        verdict(&policy, &snapshots, 50),
        Verdict::Keep(vec![KeepReason::Hold])
    );
}

#[test]
fn the_minimum_counts_from_the_stores_time() {
    let mut snapshots = days(60);
    // Taken 40 days ago, copied here yesterday: too old by its capture, too young by the store.
    snapshots[40].stored = Some(Timestamp::from_seconds(now().seconds() - DAY));
    let policy = Policy {
        min: span("7d"),
        max: span("30d"),
        ..last(1)
    };
    assert_eq!(kept(&policy, &snapshots), [0, 1, 2, 3, 4, 5, 6, 40]);
}

#[test]
fn the_newest_proven_goes_only_by_the_maximum() {
    let mut snapshots = days(60);
    snapshots[20].proven = true;
    snapshots[21].proven = true;
    assert_eq!(kept(&last(1), &snapshots), [0, 20]);
    assert_eq!(one_group(&last(1), &snapshots).lost_proof(), None);
    let policy = Policy {
        max: span("14d"),
        ..last(1)
    };
    let group = one_group(&policy, &snapshots);
    assert_eq!(group.lost_proof(), Some(SnapshotId([20; 32])));
    let lost = Verdict::Forget(ForgetReason::Maximum {
        newest_proven: true,
    });
    assert_eq!(verdict(&policy, &snapshots, 20), lost);
    let usual = Verdict::Forget(ForgetReason::Maximum {
        newest_proven: false,
    });
    assert_eq!(verdict(&policy, &snapshots, 21), usual);
}

#[test]
fn flawed_ones_displace_nothing() {
    let mut snapshots = days(6);
    snapshots[0].flawed = true;
    // The newest stands in for today, and the three newest complete ones are all there.
    assert_eq!(kept(&last(3), &snapshots), [0, 1, 2, 3]);
    let daily = Policy {
        keep_daily: Some(3),
        ..Policy::default()
    };
    assert_eq!(kept(&daily, &snapshots), [0, 1, 2, 3]);
    // A later flawed one of the same day gives way to the complete one.
    let mut same_day = days(2);
    same_day[0].captured = Timestamp::from_seconds(same_day[1].captured.seconds() + 60);
    same_day[0].stored = None;
    same_day[0].flawed = true;
    assert_eq!(kept(&daily, &same_day), [1]);
}

#[test]
fn a_minimum_or_maximum_alone() {
    let clean_up = Policy {
        max: span("2d"),
        ..Policy::default()
    };
    assert_eq!(kept(&clean_up, &days(5)), [0, 1]);
    assert!(one_group(&clean_up, &days(5)).wants_force());
    let ledger = Policy {
        min: span("2555d"),
        ..Policy::default()
    };
    assert_eq!(kept(&ledger, &days(5)).len(), 5);
}

#[test]
fn an_age_that_is_just_reached() {
    let on_the_day = |age: i64| Timestamp::from_seconds(now().seconds() - age * DAY);
    let snapshots = [
        candidate(0, now()),
        candidate(1, on_the_day(7)),
        candidate(2, on_the_day(8)),
    ];
    let minimum = Policy {
        min: span("7d"),
        ..last(1)
    };
    assert_eq!(kept(&minimum, &snapshots), [0], "the minimum is over");
    let maximum = Policy {
        max: span("7d"),
        ..Policy::default()
    };
    assert_eq!(
        kept(&maximum, &snapshots),
        [0, 1],
        "the maximum is not passed"
    );
    let within = Policy {
        keep_within: span("7d"),
        ..Policy::default()
    };
    assert_eq!(
        kept(&within, &snapshots),
        [0, 1],
        "a span holds both its ends"
    );
}

#[test]
fn an_abandoned_source_keeps_its_last_ones() {
    let mut snapshots = days(5);
    for snapshot in &mut snapshots {
        snapshot.captured = Timestamp::from_seconds(snapshot.captured.seconds() - 900 * DAY);
    }
    let within = Policy {
        keep_within: span("2d"),
        ..Policy::default()
    };
    assert_eq!(kept(&within, &snapshots), [0, 1, 2]);
    let tagged = Policy {
        keep_tags: vec!["kind=full".parse().unwrap()],
        ..Policy::default()
    };
    assert_eq!(
        kept(&tagged, &snapshots),
        [0],
        "the newest stays even when no rule keeps it"
    );
}

#[test]
fn a_clock_that_is_ahead_does_not_win() {
    let mut snapshots = days(3);
    snapshots[2].captured = at("2031-01-01T00:00:00Z");
    assert_eq!(kept(&last(1), &snapshots), [0]);
    snapshots[2].stored = None;
    assert_eq!(
        kept(&last(1), &snapshots),
        [2],
        "without the store's time it counts as now"
    );
    assert_eq!(one_group(&last(1), &snapshots).decisions[0].taken, now());
}

#[test]
fn hosts_do_not_displace_each_other() {
    let mut snapshots = days(4);
    for (snapshot, writer) in snapshots.iter_mut().zip([1, 1, 2, 2]) {
        snapshot.group.writer = Some(WriterId([writer; 16]));
    }
    let groups = plan(&last(1), &snapshots, now(), &berlin()).unwrap();
    let counts: Vec<usize> = groups
        .iter()
        .map(|group| group.forgotten().count())
        .collect();
    assert_eq!(counts, [1, 1]);
    assert!(
        groups.iter().all(|group| !group.wants_force()),
        "half is not more than half"
    );
}

#[test]
fn group_fields_are_read() {
    let by: GroupBy = "host, source".parse().unwrap();
    assert!(by.host && by.source && !by.writer && !by.tags && !by.job);
    assert_eq!(
        "host,colour".parse::<GroupBy>().unwrap_err().to_string(),
        "snapshots cannot be grouped by \"colour\"; \
         write some of writer,host,source,tags,job, or none"
    );
    let key = GroupKey {
        source: Some("sqlite:/srv/app.db".to_owned()),
        host: Some("portal-1".to_owned()),
        ..GroupKey::default()
    };
    assert_eq!(key.to_string(), "sqlite:/srv/app.db on portal-1");
    assert_eq!(GroupKey::default().to_string(), "all snapshots");
}

#[test]
fn reasons_are_all_given() {
    let policy = Policy {
        keep_daily: Some(1),
        keep_within: span("1d"),
        ..last(1)
    };
    let Verdict::Keep(reasons) = verdict(&policy, &days(3), 0) else {
        panic!("the newest is kept");
    };
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(reasons, ["newest", "last", "daily", "within"]);
    assert_eq!(KeepReason::Within(Period::Day).to_string(), "within daily");
}

fn calendars() -> impl Strategy<Value = Vec<Candidate>> {
    let snapshot = (
        0i64..900 * DAY,
        -3 * DAY..400 * DAY,
        any::<[bool; 4]>(),
        0u8..8,
    );
    vec(snapshot, 1..40).prop_map(|snapshots| {
        let mut calendar = Vec::new();
        for (number, (age, late, flags, rare)) in snapshots.into_iter().enumerate() {
            let captured = Timestamp::from_seconds(now().seconds() - age);
            let mut snapshot = candidate(number as u8, captured);
            let stored = Timestamp::from_seconds(captured.seconds() + late).min(now());
            snapshot.stored = flags[0].then_some(stored);
            snapshot.held = rare == 0;
            snapshot.proven = rare == 1;
            snapshot.flawed = flags[1] && flags[2];
            if flags[3] {
                snapshot.tags.insert("kind".to_owned(), "full".to_owned());
            }
            calendar.push(snapshot);
        }
        calendar
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let counts = vec(proptest::option::of(0u32..12), 6);
    let within = vec(proptest::option::weighted(0.2, 0u32..200), 6);
    let ages = proptest::option::weighted(0.3, (0u32..300, 0u32..500));
    (counts, within, ages, any::<bool>()).prop_map(|(counts, within, ages, tagged)| {
        let within: Vec<_> = within
            .into_iter()
            .map(|days| days.map(Span::days))
            .collect();
        Policy {
            // Never empty, so that every generated policy is valid.
            keep_last: Some(counts[0].unwrap_or(0) + 1),
            keep_hourly: counts[1],
            keep_daily: counts[2],
            keep_weekly: counts[3],
            keep_monthly: counts[4],
            keep_yearly: counts[5],
            keep_forever: false,
            keep_within: within[0],
            keep_within_hourly: within[1],
            keep_within_daily: within[2],
            keep_within_weekly: within[3],
            keep_within_monthly: within[4],
            keep_within_yearly: within[5],
            keep_tags: tagged
                .then(|| "kind=full".parse().unwrap())
                .into_iter()
                .collect(),
            min: ages.map(|(min, _)| Span::days(min)),
            max: ages.map(|(min, more)| Span::days(min + more)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn keeps_holds_and_at_least_one(calendar in calendars(), policy in policies()) {
        let kept = kept(&policy, &calendar);
        for held in calendar.iter().filter(|snapshot| snapshot.held) {
            prop_assert!(kept.contains(&held.id.0[0]));
        }
        prop_assert!(policy.max.is_some() || !kept.is_empty());
    }

    #[test]
    fn raising_a_count_forgets_no_more(
        calendar in calendars(),
        policy in policies(),
        which in 0usize..6,
        more in 1u32..5,
    ) {
        let mut larger = policy.clone();
        let count = match which {
            0 => &mut larger.keep_last,
            1 => &mut larger.keep_hourly,
            2 => &mut larger.keep_daily,
            3 => &mut larger.keep_weekly,
            4 => &mut larger.keep_monthly,
            _ => &mut larger.keep_yearly,
        };
        *count = Some(count.unwrap_or(0) + more);
        let with_more = kept(&larger, &calendar);
        for number in kept(&policy, &calendar) {
            prop_assert!(with_more.contains(&number), "{number} is lost");
        }
    }

    #[test]
    fn a_second_run_forgets_nothing(calendar in calendars(), policy in policies()) {
        let first = kept(&policy, &calendar);
        let survivors: Vec<Candidate> = calendar
            .into_iter()
            .filter(|snapshot| first.contains(&snapshot.id.0[0]))
            .collect();
        if !survivors.is_empty() {
            prop_assert_eq!(kept(&policy, &survivors), first);
        }
    }
}

#[test]
fn rules_in_one_word_are_read_back() {
    for text in [
        "forever",
        "daily=14,weekly=8,monthly=12,min=7d",
        "last=3,hourly=48,yearly=2,within=30d,max=1y",
    ] {
        let policy: Policy = text.parse().unwrap();
        assert_eq!(policy.to_string(), text);
    }
    let days: Policy = "days=14".parse().unwrap();
    assert_eq!(days.to_string(), "within=14d");
    for (text, part) in [
        ("", "is no rule with a value"),
        ("dayly=3", "\"dayly\" is no rule"),
        ("daily=many", "is no count"),
        ("min=60d,max=30d", "both cannot hold"),
        ("daily=0", "is empty"),
    ] {
        let error = text.parse::<Policy>().unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("daily=14"),
            "{text}: {error}"
        );
    }
}
