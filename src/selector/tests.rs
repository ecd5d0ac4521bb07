#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::env::Timestamp;
use crate::id::{SetId, SnapshotId, WriterId};
use crate::selector::{
    AskedTime, Filters, Selector, SnapshotPath, Summary, TagPattern, Visibility, resolve,
    source_matches,
};
use crate::units::parse_span;
use jiff::tz::TimeZone;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeMap;
use std::error::Error;

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect(text);
    Timestamp::from_seconds(moment.as_second())
}

fn now() -> Timestamp {
    at("2026-11-20T03:07:00+05:00")
}

fn almaty() -> TimeZone {
    TimeZone::get("Asia/Almaty").unwrap()
}

fn summary(first: u8, captured: &str) -> Summary {
    let mut id = [0x11; 32];
    id[0] = first;
    Summary {
        id: SnapshotId(id),
        captured: at(captured),
        stored: None,
        source: "sqlite:/srv/data/app.db".to_owned(),
        host: "portal-1".to_owned(),
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        job: None,
        set: None,
        writer: WriterId([1; 16]),
        complete: true,
        suspect: false,
        damaged: false,
        proven: false,
        hidden: false,
    }
}

fn history() -> Vec<Summary> {
    vec![
        summary(0xa1, "2026-11-17T03:00:00+05:00"),
        summary(0xa2, "2026-11-18T03:00:00+05:00"),
        summary(0xa3, "2026-11-19T03:00:00+05:00"),
        summary(0xa4, "2026-11-20T03:00:00+05:00"),
    ]
}

/// The first byte of what is found, or the chain of messages.
fn find(selector: &str, filters: &Filters, snapshots: &[Summary]) -> Result<String, String> {
    let selector: Selector = selector.parse().unwrap();
    match resolve(&selector, filters, snapshots, now(), &almaty()) {
        Ok(resolved) => Ok(resolved.snapshot.id.to_string()[..2].to_owned()),
        Err(error) => {
            let cause = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Err(format!("{error}{cause}"))
        }
    }
}

fn find_any(selector: &str, snapshots: &[Summary]) -> Result<String, String> {
    find(selector, &Filters::default(), snapshots)
}

#[test]
fn latest_and_before() {
    assert_eq!(find_any("latest", &history()), Ok("a4".to_owned()));
    assert_eq!(find_any("latest~0", &history()), Ok("a4".to_owned()));
    assert_eq!(find_any("latest~2", &history()), Ok("a2".to_owned()));
    assert_eq!(
        find_any("latest~4", &history()),
        Err("latest~4 names no snapshot: 4 can be used".to_owned())
    );
    assert_eq!(
        find_any("latest", &[]),
        Err("latest names no snapshot: there are none yet".to_owned())
    );
}

#[test]
fn times() {
    let table = [
        ("@2026-11-18", "a2"),
        ("@2026-11-18T03:00", "a2"),
        ("@2026-11-18T02:59:59", "a1"),
        ("@2026-11-18 03:00:00.5", "a2"),
        ("@2026-11-18T03:00+06:00", "a1"),
        ("@2026-11-18T03:00+05", "a2"),
        ("@2026-11-17T22:00Z", "a2"),
        ("@03:01", "a4"),
        ("@02:00", "a3"),
        ("@2030-01-01", "a4"),
    ];
    for (selector, expected) in table {
        assert_eq!(
            find_any(selector, &history()),
            Ok(expected.to_owned()),
            "{selector}"
        );
    }
}

#[test]
fn times_are_echoed_in_both_zones() {
    let snapshots = history();
    let selector = "@03:01".parse().unwrap();
    let filters = Filters::default();
    let resolved = resolve(&selector, &filters, &snapshots, now(), &almaty()).unwrap();
    assert_eq!(
        resolved.remarks(),
        ["newest at or before 2026-11-20 03:01:00 +05 = 2026-11-19 22:01:00Z: a4111111"]
    );
    let day: AskedTime = match "@2026-10-25".parse().unwrap() {
        Selector::At(day) => day,
        other => panic!("{other}"),
    };
    let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
    assert_eq!(
        day.resolve(now(), &kolkata).unwrap().to_string(),
        "2026-10-25 23:59:59 +05:30 = 2026-10-25 18:29:59Z"
    );
}

#[test]
fn golden_time_errors() {
    assert_eq!(
        find_any("@03:08", &history()),
        Err(
            "@03:08:00 cannot be resolved: 03:08:00 is still to come today; \
             yesterday's is @2026-11-19T03:08:00"
                .to_owned()
        )
    );
    assert_eq!(
        find_any("@2026-11-01", &history()),
        Err(
            "no snapshot at or before 2026-11-01 23:59:59 +05 = 2026-11-01 18:59:59Z; \
             the oldest is a1111111 of 2026-11-17 03:00:00 +05 = 2026-11-16 22:00:00Z"
                .to_owned()
        )
    );
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let message = |selector: &str| match selector.parse().unwrap() {
        Selector::At(time) => time.resolve(now(), &berlin).unwrap_err().to_string(),
        other => panic!("{other}"),
    };
    assert_eq!(
        message("@2026-10-25T02:30"),
        "2026-10-25T02:30:00 was there twice in Europe/Berlin; \
         write @2026-10-25T02:30:00+02:00 or @2026-10-25T02:30:00+01:00"
    );
    assert_eq!(
        message("@2026-03-29T02:30"),
        "2026-03-29T02:30:00 did not exist in Europe/Berlin: the clocks went forward; \
         write @2026-03-29T02:30:00+02:00 or @2026-03-29T02:30:00+01:00"
    );
    assert_eq!(
        message("@2262-12-31T00:00"),
        "2262-12-31T00:00:00 is out of range"
    );
}

#[test]
fn flawed_ones_are_passed_by_and_named() {
    let mut snapshots = history();
    snapshots[3].complete = false;
    snapshots[2].damaged = true;
    let selector = "latest".parse().unwrap();
    let filters = Filters::default();
    let resolved = resolve(&selector, &filters, &snapshots, now(), &almaty()).unwrap();
    assert_eq!(resolved.snapshot.id, snapshots[1].id);
    assert_eq!(
        resolved.remarks(),
        ["passed by 1 incomplete (a4111111) and 1 damaged (a3111111)"]
    );
    let selector = "a311".parse().unwrap();
    let resolved = resolve(&selector, &filters, &snapshots, now(), &almaty()).unwrap();
    assert_eq!(resolved.remarks(), ["snapshot a3111111 is damaged"]);
    snapshots[0].suspect = true;
    snapshots[1].suspect = true;
    assert_eq!(
        find_any("latest", &snapshots),
        Err(
            "latest names no snapshot: 0 can be used; passed by 1 incomplete (a4111111) and \
             2 suspect (a2111111, a1111111) and 1 damaged (a3111111)"
                .to_owned()
        )
    );
}

#[test]
fn ids() {
    let mut snapshots = history();
    assert_eq!(find_any("A411", &snapshots), Ok("a4".to_owned()));
    assert_eq!(
        find_any("dead", &snapshots),
        Err("no snapshot's id begins with dead".to_owned())
    );
    let mut twin = snapshots[3].clone();
    twin.id.0[31] = 0x12;
    snapshots.push(twin);
    assert_eq!(
        find_any("a411", &snapshots),
        Err("a411 begins 2 ids: a41111111111, a41111111111; give more digits".to_owned())
    );
    let whole = snapshots[3].id.to_string();
    assert_eq!(find_any(&whole, &snapshots), Ok("a4".to_owned()));
    snapshots[0].hidden = true;
    let first = snapshots[0].id;
    assert_eq!(
        find_any("a111", &snapshots),
        Err(format!(
            "snapshot {first} is forgotten; icecore forget --undo brings it back until the next prune"
        ))
    );
    let forgotten = Filters {
        visibility: Visibility::Forgotten,
        ..Filters::default()
    };
    assert_eq!(find("a111", &forgotten, &snapshots), Ok("a1".to_owned()));
    let elsewhere = Filters {
        hosts: vec!["nas".to_owned()],
        ..Filters::default()
    };
    let second = snapshots[1].id;
    assert_eq!(
        find("a211", &elsewhere, &snapshots),
        Err(format!("snapshot {second} does not pass the filters"))
    );
}

#[test]
fn several_sources_are_a_choice() {
    let mut snapshots = history();
    snapshots[0].source = "/srv/www".to_owned();
    snapshots[1].host = "portal-2".to_owned();
    assert_eq!(
        find_any("latest", &snapshots),
        Err(
            "latest can mean 3 sources: /srv/www on portal-1, sqlite:/srv/data/app.db on \
             portal-1, sqlite:/srv/data/app.db on portal-2; narrow it"
                .to_owned()
        )
    );
    let www = Filters {
        sources: vec!["www".to_owned()],
        ..Filters::default()
    };
    assert_eq!(find("latest", &www, &snapshots), Ok("a1".to_owned()));
    let second = Filters {
        hosts: vec!["portal-2".to_owned()],
        ..Filters::default()
    };
    assert_eq!(find("latest", &second, &snapshots), Ok("a2".to_owned()));
    let none = Filters {
        jobs: vec!["nightly".to_owned()],
        ..Filters::default()
    };
    assert_eq!(
        find("latest", &none, &snapshots),
        Err("latest names no snapshot: none of 4 passes the filters".to_owned())
    );
}

#[test]
fn a_wrong_clock_is_clamped_by_the_store() {
    let mut snapshots = history();
    snapshots[0].captured = at("2040-01-01T00:00:00Z");
    snapshots[0].stored = Some(at("2026-11-17T03:00:00+05:00"));
    assert_eq!(find_any("latest", &snapshots), Ok("a4".to_owned()));
}

#[test]
fn filters_narrow() {
    let mut snapshots = history();
    snapshots[0]
        .tags
        .insert("kind".to_owned(), "full".to_owned());
    snapshots[1].job = Some("nightly".to_owned());
    snapshots[2].set = Some(SetId([7; 16]));
    let count = |filters: Filters| filters.select(&snapshots, now(), &almaty()).len();
    let tags = |text: &str| vec![text.parse::<TagPattern>().unwrap()];
    assert_eq!(count(Filters::default()), 4);
    assert_eq!(
        count(Filters {
            tags: tags("kind=full"),
            ..Filters::default()
        }),
        1
    );
    assert_eq!(
        count(Filters {
            tags: tags("kind"),
            ..Filters::default()
        }),
        1
    );
    assert_eq!(
        count(Filters {
            tags: tags("kind=daily"),
            ..Filters::default()
        }),
        0
    );
    assert_eq!(
        count(Filters {
            jobs: vec!["nightly".to_owned()],
            ..Filters::default()
        }),
        1
    );
    assert_eq!(
        count(Filters {
            set: Some(SetId([7; 16])),
            ..Filters::default()
        }),
        1
    );
    let day = parse_span("25h").ok();
    assert_eq!(
        count(Filters {
            newer_than: day,
            ..Filters::default()
        }),
        2
    );
    assert_eq!(
        count(Filters {
            older_than: day,
            ..Filters::default()
        }),
        2
    );
}

#[test]
fn sources_have_short_names() {
    let identity = "sqlite:/srv/data/app.db";
    for wanted in [
        identity,
        "app.db",
        "sqlite:app.db",
        "data/app.db",
        "/srv/data/app.db",
    ] {
        assert!(source_matches(identity, wanted), "{wanted}");
    }
    for wanted in [
        "",
        "sqlite:",
        "pp.db",
        "files:app.db",
        "/data/app.db",
        "app",
        "/app.db",
    ] {
        assert!(!source_matches(identity, wanted), "{wanted}");
    }
}

#[test]
fn golden_parse_errors() {
    let message = |text: &str| text.parse::<SnapshotPath>().unwrap_err().to_string();
    let forms = "write the beginning of an id, latest, latest~2 or @2026-11-01T03:00";
    assert_eq!(
        message("newest"),
        format!("\"newest\" does not name a snapshot; {forms}")
    );
    assert_eq!(
        message(""),
        format!("\"\" does not name a snapshot; {forms}")
    );
    assert_eq!(
        message("abc"),
        "\"abc\" is too short for an id; give at least 4 of its digits"
    );
    assert_eq!(
        message("latest~-1"),
        "\"latest~-1\" does not say how far back; write latest~1 for the one before the newest"
    );
    assert_eq!(
        message("@yesterday"),
        "\"@yesterday\" is not a time; write @2026-11-01, @2026-11-01T03:00, \
         @2026-11-01T03:00+06:00 or @03:01 for today"
    );
    assert_eq!(
        message("latest:"),
        "nothing follows the colon in \"latest:\"; leave it out for the whole snapshot"
    );
    for text in [
        "@13am",
        "@2026-13-01",
        "@2026-02-30",
        "@26-01-01",
        "@2026-11-01T25:00",
        "@3:01",
        "@2026-11-01T03:00+6",
        "@2026-11-01T03:00+06:60",
        "@2026-11-01T",
        "@2026-11-01Z",
        "@",
        "@03:01Z",
        "@2026-11-01T03:00:00.",
        "@2026-1é-01",
        "latest~99999999999",
        "latest~+1",
        "@03:01:3",
        "@03:01:61",
        "@2026-11-01:10",
        "@03:01:",
    ] {
        assert!(text.parse::<SnapshotPath>().is_err(), "{text}");
    }
}

#[test]
fn paths_follow_a_colon() {
    let table = [
        ("latest:app.db", "latest", Some("app.db")),
        ("3fa2b1c0:a:b", "3fa2b1c0", Some("a:b")),
        ("@03:01:30", "@03:01:30", None),
        ("@03:01:app.db", "@03:01:00", Some("app.db")),
        ("@2026-11-01:./10", "@2026-11-01", Some("./10")),
        (
            "@2026-11-01T03:00+06:00:etc/x:y",
            "@2026-11-01T03:00:00+06:00",
            Some("etc/x:y"),
        ),
    ];
    for (text, selector, path) in table {
        let parsed: SnapshotPath = text.parse().expect(text);
        assert_eq!(parsed.selector.to_string(), selector, "{text}");
        assert_eq!(parsed.path.as_deref(), path, "{text}");
    }
}

fn selectors() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-f]{4,64}",
        "latest(~[1-9][0-9]{0,5})?",
        "@20[0-9]{2}-(0[1-9]|1[0-2])-[0-2][1-8]",
        "@[0-1][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?",
        "@20[0-9]{2}-0[1-9]-1[0-9][T ]0[0-9]:[0-5][0-9](Z|[+-]0[0-9]:[0-5]0)?",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn printing_reads_back(text in selectors(), path in "(:[a-z./]{1,10})?") {
        let parsed: SnapshotPath = format!("{text}{path}").parse().unwrap();
        prop_assert_eq!(parsed.to_string().parse::<SnapshotPath>(), Ok(parsed));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[@a-z0-9:~.+TZ -]{0,90}|.{0,40}") {
        let _ = text.parse::<SnapshotPath>();
        let _ = text.parse::<TagPattern>();
    }
}

#[test]
fn latest_means_no_safety_snapshot_unless_one_is_asked_for() {
    let (good, mut safety) = (
        summary(1, "2026-11-18T02:05:00+05:00"),
        summary(2, "2026-11-19T02:05:00+05:00"),
    );
    safety.source = format!("safety:{}", good.source);
    let all = [good, safety];
    let latest = |sources: &[&str]| {
        let filters = Filters {
            sources: sources.iter().map(|one| (*one).to_owned()).collect(),
            ..Filters::default()
        };
        let selector: Selector = "latest".parse().unwrap();
        let found = resolve(&selector, &filters, &all, now(), &almaty());
        found.unwrap().snapshot.id.0[0]
    };
    assert_eq!(latest(&[]), 1);
    assert_eq!(latest(&["app.db"]), 1);
    assert_eq!(latest(&["safety:sqlite:/srv/data/app.db"]), 2);
    let by_id: Selector = "0211".parse().unwrap();
    let found = resolve(&by_id, &Filters::default(), &all, now(), &almaty());
    assert_eq!(found.unwrap().snapshot.id.0[0], 2);
}
