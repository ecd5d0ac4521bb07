//! Retention against an independent implementation: `tests/oracle/retention.py`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use icecore::env::Timestamp;
use icecore::id::{SnapshotId, WriterId};
use icecore::retention::{Candidate, GroupKey, Policy, plan};
use icecore::selector::TagPattern;
use icecore::units::Span;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const CASES: u64 = 1000;
const DAY: i64 = 86_400;

/// SplitMix64: the same calendars on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    fn below(&mut self, end: i64) -> i64 {
        (self.next() % end as u64) as i64
    }

    fn one_in(&mut self, odds: i64) -> bool {
        self.below(odds) == 0
    }

    fn choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as i64) as usize]
    }
}

/// Zones, each with moments just after its clocks changed or its year began.
const ZONES: [(&str, &[&str]); 4] = [
    (
        "Europe/Berlin",
        &[
            "2026-03-29T01:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-01-03T02:00:00Z",
        ],
    ),
    (
        "Asia/Almaty",
        &[
            "2024-02-29T18:00:00Z",
            "2004-10-30T21:00:00Z",
            "2025-01-02T05:00:00Z",
        ],
    ),
    (
        "Australia/Lord_Howe",
        &["2026-04-04T15:00:00Z", "2025-10-04T15:30:00Z"],
    ),
    (
        "America/New_York",
        &["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"],
    ),
];

fn random_now(random: &mut Random) -> (&'static str, i64) {
    let (zone, changes) = random.choice(&ZONES);
    let change: jiff::Timestamp = random.choice(changes).parse().unwrap();
    let after = match random.below(3) {
        0 => random.below(6 * 3600),
        1 => random.below(10 * DAY),
        _ => random.below(500 * DAY),
    };
    (zone, change.as_second() + after)
}

fn random_span(random: &mut Random) -> Span {
    match random.below(4) {
        0 => Span::new(1 + random.below(30) as u32, 0).unwrap(),
        1 => Span::new(random.below(3) as u32, random.below(400_000) as u64).unwrap(),
        _ => Span::days(random.below(120) as u32),
    }
}

fn random_policy(random: &mut Random) -> Policy {
    loop {
        let mut count = |most| random.one_in(3).then(|| random.below(most) as u32);
        let mut policy = Policy {
            keep_last: count(8),
            keep_hourly: count(30),
            keep_daily: count(16),
            keep_weekly: count(9),
            keep_monthly: count(14),
            keep_yearly: count(4),
            ..Policy::default()
        };
        let mut span = |odds| random.one_in(odds).then(|| random_span(random));
        policy.keep_within = span(6);
        policy.keep_within_hourly = span(10);
        policy.keep_within_daily = span(10);
        policy.keep_within_weekly = span(10);
        policy.keep_within_monthly = span(10);
        policy.keep_within_yearly = span(10);
        policy.min = span(4);
        policy.max = span(4);
        policy.keep_forever = random.one_in(40);
        if random.one_in(5) {
            policy
                .keep_tags
                .push(random.choice(&["kind=full", "kind"]).parse().unwrap());
        }
        if policy.validate().is_ok() {
            return policy;
        }
    }
}

fn random_snapshot(random: &mut Random, number: u64, captured: i64, now: i64) -> Candidate {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&random.next().to_be_bytes());
    id[8..16].copy_from_slice(&number.to_be_bytes());
    let (captured, stored) = match random.below(12) {
        // Back-filled or copied: written long after it was taken.
        0 => (captured, Some((captured + random.below(90 * DAY)).min(now))),
        // A clock that is ahead, by seconds to days.
        1 => (
            captured + random.choice(&[30, 299, 300, 301, 4000, 40 * DAY]),
            Some(captured),
        ),
        // A clock that is ahead, and a store that tells no time.
        2 => (
            captured + random.choice(&[0, 0, 400, 3 * DAY, 900 * DAY]),
            None,
        ),
        3..=6 => (captured, Some(captured)),
        _ => (captured, Some(captured + random.below(600))),
    };
    let group = GroupKey {
        writer: Some(WriterId([random.choice(&[1, 1, 2]); 16])),
        source: Some(random.choice(&["sqlite:/srv/app.db", "/srv"]).to_owned()),
        ..GroupKey::default()
    };
    let kind = random.choice(&["", "", "full", "daily"]);
    let tag = (!kind.is_empty()).then(|| ("kind".to_owned(), kind.to_owned()));
    Candidate {
        id: SnapshotId(id),
        group,
        captured: Timestamp::from_seconds(captured),
        stored: stored.map(Timestamp::from_seconds),
        tags: tag.into_iter().collect(),
        held: random.one_in(40),
        proven: random.one_in(12),
        flawed: random.one_in(8),
    }
}

fn random_calendar(random: &mut Random, now: i64) -> Vec<Candidate> {
    let length = 1 + random.below(70) as u64;
    let pace = random.choice(&[600, 1800, 3600, 7200, DAY / 2, DAY, 7 * DAY, 30 * DAY]);
    // A regular calendar has snapshots that are exactly as old as a span is long.
    let regular = random.one_in(2);
    let mut moment = now;
    let mut snapshots = Vec::new();
    for number in 0..length {
        let gap = if random.one_in(15) { 10 * pace } else { pace };
        moment -= if regular || random.one_in(2) {
            gap
        } else {
            random.below(2 * gap)
        };
        snapshots.push(random_snapshot(random, number, moment, now));
        if random.one_in(20) {
            let twin = random_snapshot(random, number + length, moment, now);
            snapshots.push(twin);
        }
    }
    snapshots
}

fn policy_json(policy: &Policy) -> Value {
    let span = |span: Span| json!([span.months(), span.seconds()]);
    let counts: BTreeMap<&str, u32> = [
        ("last", policy.keep_last),
        ("hourly", policy.keep_hourly),
        ("daily", policy.keep_daily),
        ("weekly", policy.keep_weekly),
        ("monthly", policy.keep_monthly),
        ("yearly", policy.keep_yearly),
    ]
    .into_iter()
    .filter_map(|(name, count)| Some((name, count?)))
    .collect();
    let within: BTreeMap<&str, Value> = [
        ("last", policy.keep_within),
        ("hourly", policy.keep_within_hourly),
        ("daily", policy.keep_within_daily),
        ("weekly", policy.keep_within_weekly),
        ("monthly", policy.keep_within_monthly),
        ("yearly", policy.keep_within_yearly),
    ]
    .into_iter()
    .filter_map(|(name, within)| Some((name, span(within?))))
    .collect();
    let tags: Vec<Value> = policy
        .keep_tags
        .iter()
        .map(|TagPattern { key, value }| json!([key, value]))
        .collect();
    let mut json = json!({
        "counts": counts, "within": within, "tags": tags, "forever": policy.keep_forever,
    });
    for (name, age) in [("min", policy.min), ("max", policy.max)] {
        if let Some(age) = age {
            json[name] = span(age);
        }
    }
    json
}

fn snapshot_json(candidate: &Candidate) -> Value {
    json!({
        "id": candidate.id.to_string(),
        "writer": candidate.group.writer.unwrap().to_string(),
        "source": candidate.group.source,
        "captured": candidate.captured.seconds(),
        "stored": candidate.stored.map(Timestamp::seconds),
        "tags": candidate.tags,
        "held": candidate.held,
        "proven": candidate.proven,
        "flawed": candidate.flawed,
    })
}

/// Runs the oracle once over all cases.
fn ask_oracle(cases: Vec<Value>) -> Vec<Vec<String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/retention.py");
    let mut oracle = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs python3 (3.9 or newer): {error}"));
    let mut input = oracle.stdin.take().unwrap();
    // A write fails when the oracle gives up early; what it says then is shown below.
    let written = input.write_all(json!({ "cases": cases }).to_string().as_bytes());
    drop(input);
    let output = oracle.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the oracle failed: {said}");
    written.unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn agrees_with_the_oracle() {
    let mut cases = Vec::new();
    let mut kept = Vec::new();
    let mut forgotten = 0;
    for case in 0..CASES {
        let mut random = Random(case);
        let (zone_name, now) = random_now(&mut random);
        let policy = random_policy(&mut random);
        let snapshots = random_calendar(&mut random, now);
        let zone = TimeZone::get(zone_name).unwrap();
        let groups = plan(&policy, &snapshots, Timestamp::from_seconds(now), &zone).unwrap();
        let decisions = groups.iter().flat_map(|group| &group.decisions);
        let mut ids: Vec<String> = decisions
            .filter(|decision| decision.is_kept())
            .map(|decision| decision.id.to_string())
            .collect();
        ids.sort();
        forgotten += snapshots.len() - ids.len();
        kept.push(ids);
        cases.push(json!({
            "zone": zone_name,
            "now": now,
            "group_by": ["writer", "source"],
            "policy": policy_json(&policy),
            "snapshots": snapshots.iter().map(snapshot_json).collect::<Vec<_>>(),
        }));
    }
    let oracle = ask_oracle(cases.clone());
    assert_eq!(oracle.len(), kept.len());
    for (case, (ours, theirs)) in kept.iter().zip(&oracle).enumerate() {
        assert_eq!(ours, theirs, "case {case}: {}", cases[case]);
    }
    let total: usize = kept.iter().map(Vec::len).sum();
    assert!(
        total > 5000 && forgotten > 5000,
        "the cases say little: {total} kept, {forgotten} not"
    );
}
