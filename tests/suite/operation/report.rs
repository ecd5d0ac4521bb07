//! `report`: what was caused in a month is what the report says of it.

use crate::cli::TestEnvironment;
use crate::jobs::{configure, world};
use serde_json::Value;
use std::fs;

/// The month now in the zone of the configuration, and days of it by their number.
fn now() -> jiff::civil::Date {
    let zone = jiff::tz::TimeZone::get("Asia/Almaty").unwrap();
    jiff::Timestamp::now().to_zoned(zone).date()
}

fn report(world: &TestEnvironment, options: &[&str], code: i32) -> Value {
    let run = world.run(&[&["report", "--json"][..], options].concat());
    run.expect(code).summary()["report"].clone()
}

fn codes(report: &Value) -> Vec<&str> {
    let deductions = report["deductions"].as_array().unwrap().iter();
    let mut codes: Vec<&str> = deductions
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn acts<'r>(report: &'r Value, activity: &str) -> Vec<&'r Value> {
    let acts = report["acts"].as_array().unwrap().iter();
    acts.filter(|act| act["activity"] == activity).collect()
}

/// A month that is over, and of which nothing changes any more.
const MONTH: &str = "2026-02";

#[test]
fn a_month_that_is_over_shows_its_runs_and_its_gaps() {
    let world = world("verify = \"none\"");
    for day in 20..=28 {
        // Two days without a run, at the end of one week.
        if ![23, 24].contains(&day) {
            let date = format!("2026-02-{day:02}T04:00+05:00");
            world.run(&["run", "nightly", "--date", &date]).expect(0);
        }
    }
    let past = report(&world, &["--month", MONTH], 0);
    assert_eq!(past["zone"], "Asia/Almaty");
    assert_eq!(past["from"], "2026-01-31T19:00:00Z");
    assert_eq!(past["until"], "2026-02-28T19:00:00Z");
    let database = &past["sources"][0];
    assert_eq!(
        (&database["source"], &database["job"]),
        (&"db".into(), &"nightly".into())
    );
    assert_eq!(database["snapshots"], 7);
    assert_eq!(
        database["gaps"],
        serde_json::json!(["2026-02-23", "2026-02-24"])
    );
    let days = database["days"].as_array().unwrap();
    assert_eq!(days.len(), 28);
    assert_eq!(
        (&days[21]["state"], &days[22]["state"]),
        (&"good".into(), &"missed".into())
    );
    let gap = past["deductions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["code"] == "gap");
    let reason = gap.unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("2026-02-23, 2026-02-24"), "{reason}");
    let text = world.run(&["report", "--month", MONTH]).expect(0).stdout;
    assert!(
        text.starts_with("# Backup report 2026-02 · portal\n"),
        "{text}"
    );
    assert!(text.contains("✓✓✗✗✓"), "{text}");
    // A month before there was anything has nothing to say, and says so.
    let empty = report(&world, &["--month", "2025-06"], 0);
    assert_eq!(empty["sources"][0]["gaps"], serde_json::json!([]));
    assert!(
        world
            .run(&["report", "--month", "2999-01"])
            .expect(2)
            .stderr
            .contains("has not begun")
    );
    world.run(&["report", "--month", "13-2026"]).expect(2);
}

#[test]
fn who_did_what_is_told_and_what_is_missing_takes_points() {
    let mut world = world("keep = { daily = 7 }\ngoals = { rto = \"1s\" }");
    world.set("USER", "ulugbek");
    world.run(&["run", "nightly"]).expect(0);
    let first = report(&world, &[], 0);
    // One copy on the disk of the data, never tried, never read.
    let found = codes(&first);
    for code in ["rule-321", "no-drill", "not-read"] {
        assert!(found.contains(&code), "{code} in {found:?}");
    }
    assert!(
        !found.contains(&"gap") && !found.contains(&"overdue"),
        "{found:?}"
    );
    let lost: u64 = first["deductions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["points"].as_u64().unwrap())
        .sum();
    assert_eq!(
        first["score"].as_u64().unwrap(),
        100u64.saturating_sub(lost)
    );

    world
        .run(&["check", "-r", "local", "--read-data"])
        .expect(0);
    world.run(&["drill", "--job", "nightly"]).expect(0);
    let options = ["-r", "local", "--source", "srv"];
    world
        .run(&[&["restore", "latest", "--target", "back"], &options[..]].concat())
        .expect(0);
    world
        .run(&[&["forget", "latest", "--force"], &options[..]].concat())
        .expect(0);
    world.run(&["prune", "-r", "local"]).expect(0);
    world.run(&["key", "generate", "second.key"]).expect(0);
    let add = [
        "key",
        "add",
        "-r",
        "local",
        "--label",
        "second",
        "--new-key-file",
        "second.key",
    ];
    world.run(&add).expect(0);
    let second = report(&world, &[], 0);
    assert!(
        second["score"].as_u64() > first["score"].as_u64(),
        "{}",
        second["deductions"]
    );
    for (activity, count, part) in [
        ("check", 1, "every byte of the repository"),
        ("drill", 4, "passed"),
        ("restore", 1, ""),
        ("forget", 1, "forgot 1 snapshot"),
        ("prune", 1, "deleted 1 forgotten snapshot"),
        ("key", 1, "added credential second"),
    ] {
        let mut found = acts(&second, activity);
        found.retain(|act| act["details"].as_str().unwrap().contains(part));
        assert_eq!(found.len(), count, "{activity}: {}", second["acts"]);
        for act in found {
            assert!(act["by"].as_str().unwrap().starts_with("ulugbek@"), "{act}");
            assert!(act["duration_seconds"].is_number(), "{act}");
            assert_eq!(act["status"], "success");
        }
    }
    let drill = acts(&second, "drill")[0];
    assert_eq!(drill["goal_seconds"], 1);
    let restored = acts(&second, "restore")[0]["subject"].as_str().unwrap();
    assert!(
        restored.contains("srv") && restored.contains("back"),
        "{restored}"
    );
    let kept = &second["retention"][0];
    assert_eq!(
        (&kept["job"], &kept["keep"], &kept["met"]),
        (&"nightly".into(), &"daily=7".into(), &true.into())
    );
    let repository = &second["repositories"][0];
    assert_eq!(repository["audit_faults"], serde_json::json!([]));
    assert!(
        repository["keys_drawn"].is_string() && repository["audit_records"].as_u64() > Some(10)
    );

    // A page by itself, for its owner only.
    world.run(&["report", "--html", "report.html"]).expect(0);
    let page = fs::read_to_string(world.path("report.html")).unwrap();
    assert_eq!(world.mode("report.html"), 0o600);
    for part in [
        "<!doctype html>",
        "ulugbek@",
        "<polyline",
        "class=\"good\"",
        "added credential second",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["http://", "https://", "<script", "@import", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(
        world
            .run(&["report", "--html"])
            .expect(0)
            .stdout
            .lines()
            .next(),
        Some("<!doctype html>")
    );
    // What a write-only host cannot open, it says so of.
    let mut add = vec![
        "key",
        "add",
        "-r",
        "local",
        "--label",
        "host",
        "--capability",
        "write-only",
    ];
    world.run(&["key", "generate", "host2.key"]).expect(0);
    add.extend(["--new-key-file", "host2.key"]);
    world.run(&add).expect(0);
    let sealed = report(&world, &["-r", "./backup", "--key-file", "host2.key"], 0);
    assert!(
        sealed["repositories"][0]["audit_sealed"].as_u64() > Some(0),
        "{sealed}"
    );
    assert!(codes(&sealed).contains(&"audit-sealed"));
}

#[test]
fn rules_that_are_not_met_damage_and_a_log_that_was_cut_are_told() {
    let world = world("verify = \"none\"");
    let date = now();
    for back in [40, 39] {
        let day = date.checked_sub(jiff::Span::new().days(back)).unwrap();
        let day = day.to_string();
        world.run(&["run", "nightly", "--date", &day]).expect(0);
    }
    world.run(&["run", "nightly"]).expect(0);
    configure(&world, "keep = { last = 10, max = \"30d\" }");
    let kept = report(&world, &[], 0);
    let database = kept["retention"].as_array().unwrap().iter();
    let database: Vec<&Value> = database
        .filter(|one| one["source"] == "sqlite:app.db")
        .collect();
    assert_eq!(
        (&database[0]["past_maximum"], &database[0]["met"]),
        (&2.into(), &false.into())
    );
    assert!(codes(&kept).contains(&"past-maximum"));

    // One record of the log is taken away, after somebody else has seen it.
    world.run(&["audit", "verify", "-r", "local"]).expect(0);
    let records = crate::cli::tree(&world.path("backup/audit"));
    let newest = records.iter().max_by_key(|(path, _)| path.clone()).unwrap();
    fs::remove_file(&newest.0).unwrap();
    let cut = report(&world, &[], 4);
    assert_eq!(
        cut["repositories"][0]["audit_faults"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(codes(&cut).contains(&"audit-fault"));
    fs::write(&newest.0, &newest.1).unwrap();

    // A pack loses a byte; a check finds it, and the report tells of both.
    let packs = crate::cli::tree(&world.path("backup/packs"));
    let largest = packs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut bytes = largest.1.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest.0, bytes).unwrap();
    world
        .run(&["check", "-r", "local", "--read-data"])
        .expect(4);
    let hurt = report(&world, &[], 0);
    assert_eq!(acts(&hurt, "check").last().unwrap()["status"], "error");
    assert!(codes(&hurt).contains(&"damage-found"));
}
