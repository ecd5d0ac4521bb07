//! `cost`: the sheets of `docs/cost.md`, and what is measured in a repository.

use crate::cli::TestEnvironment;
use crate::jobs::{configure, world};
use serde_json::Value;
use std::fs;

const DOCS: &str = include_str!("../../../docs/cost.md");

/// Runs a command of the documentation.
fn sheet(command: &str) -> (Value, Value) {
    assert!(DOCS.contains(command), "{command} is in docs/cost.md");
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let run = TestEnvironment::bare().run(&[&words[..], &["--json"]].concat());
    let objects = run.expect(0).objects();
    (objects[0].clone(), objects[1].clone())
}

fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found}"));
    assert!((found - expected).abs() < 5e-7, "{found}, not {expected}");
}

#[test]
fn a_hundred_gigabytes_cost_what_the_users_know() {
    let (cost, _) = sheet("icecore cost --size 100GB --months 1");
    let compared = cost["compared"].as_array().unwrap();
    for (class, price) in [
        ("STANDARD", 2.30),
        ("STANDARD_IA", 1.25),
        ("GLACIER_IR", 0.40),
    ] {
        let found = compared.iter().find(|one| one["class"] == class).unwrap();
        near(&found["month"], price);
        assert!(
            DOCS.contains(&format!("**{price:.2}** in {class}")),
            "{class}"
        );
    }
    near(&cost["months"][0]["classes"][0]["storage"], 2.30);
    let shown = TestEnvironment::bare().run(&["cost", "--size", "100GB", "--months", "1"]);
    let shown = shown.expect(0).stdout;
    for part in ["STANDARD 2.30", "STANDARD_IA 1.25", "GLACIER_IR 0.40"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn the_sheets_of_the_documentation_are_what_is_computed() {
    let (cost, summary) = sheet(
        "icecore cost --size 100GB --daily-growth 500MB --daily-change 1GB --keep daily=50 --tier STANDARD_IA=30d --months 3",
    );
    let months = &cost["months"];
    let expected = [
        [2.800_25, 0.0, 0.0, 0.044_655, 0.0, 2.844_905],
        [
            3.478_75,
            0.170_833_333,
            0.041_666_667,
            0.0153,
            0.018,
            3.724_55,
        ],
        [3.823_75, 0.25, 0.125, 0.0153, 0.018, 4.232_05],
    ];
    for (month, expected) in expected.iter().enumerate() {
        let [warm, cold] = [&months[month]["classes"][0], &months[month]["classes"][1]];
        let found = [
            &warm["storage"],
            &cold["storage"],
            &cold["early"],
            &warm["requests"],
            &cold["requests"],
            &months[month]["total"],
        ];
        for (found, expected) in found.into_iter().zip(expected) {
            near(found, *expected);
        }
        assert!(
            DOCS.contains(&format!("**{}**", expected[5])),
            "{}",
            expected[5]
        );
    }
    assert_eq!(months[0]["classes"][0]["puts"], 8931);
    near(&summary["total"], 10.801_505);
    let (small, _) = sheet(
        "icecore cost --size 20MB --daily-change 32KiB --every 1h --keep daily=50 --tier STANDARD_IA=30d --months 3",
    );
    let month = &small["months"][2];
    let cold = &month["classes"][1];
    near(&cold["storage"], 0.000_032_768);
    near(&cold["small_objects"], 0.000_032_768 * 0.75);
    near(&cold["early"], 0.000_016_384);
    assert_eq!(month["classes"][0]["puts"], 9360);
    near(&month["total"], 0.047_631_008);
}

#[test]
fn a_repository_is_measured_by_job_and_priced_as_the_file_says() {
    let world = world("keep = { daily = 7 }");
    for day in ["2026-01-05", "2026-01-06", "2026-01-07"] {
        world.run(&["run", "nightly", "--date", day]).expect(0);
    }
    let cost = |options: &[&str]| {
        let run = world.run(&[&["cost", "--json", "--months", "2"][..], options].concat());
        run.expect(0).objects().remove(0)
    };
    let own = cost(&[]);
    assert_eq!(
        (&own["repository"], &own["restore"]),
        (&"local".into(), &0.0.into())
    );
    assert_eq!(own["months"][0]["total"], 0.0, "a directory costs nothing");
    let job = &own["jobs"][0];
    assert_eq!(
        (&job["job"], &job["keep"]),
        (&"nightly".into(), &"daily=7".into())
    );
    assert_eq!(job["measured"], true);
    let taken = own["bytes"].as_u64().unwrap();
    let state = job["bytes"].as_u64().unwrap();
    assert!(0 < state && state <= taken, "{state} of {taken}");
    // The first month begins with what is there.
    let mean = own["months"][0]["classes"][0]["gb_months"]
        .as_f64()
        .unwrap()
        * 1e9;
    assert!(mean >= state as f64, "{mean} of {state}");

    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let priced = text.replace("url = \"backup\"", "url = \"backup\"\nprice = \"nas\"");
    world.write(
        "icecore.toml",
        format!("{priced}\n[prices.nas]\nstorage = 1000000.0\n"),
    );
    let priced = cost(&[]);
    let month = priced["months"][0]["classes"][0].clone();
    let storage = month["storage"].as_f64().unwrap();
    let expected = month["gb_months"].as_f64().unwrap() * 1e6;
    assert!(
        (storage - expected).abs() < 0.01 * expected,
        "{storage}, not {expected}"
    );
    // Larger every day, whatever is kept.
    let growing = cost(&["--daily-growth", "1GB", "--class", "STANDARD"]);
    let ends = [0, 1].map(|month| growing["months"][month]["bytes_end"].as_u64().unwrap());
    assert!(
        (29..31).contains(&((ends[1] - ends[0]) / 1_000_000_000)),
        "{ends:?}"
    );

    configure(&world, "keep = { daily = 7 }");
    let odd = world.run(&["cost", "--class", "COLD"]).expect(2);
    assert!(odd.stderr.contains("[prices.COLD]"), "{}", odd.stderr);
    let odd = world
        .run(&["cost", "--size", "1GB", "--keep", "dayly=3"])
        .expect(2);
    assert!(odd.stderr.contains("daily=14"), "{}", odd.stderr);
    // One that is away is told, and the others counted.
    fs::rename(world.path("backup"), world.path("away")).unwrap();
    let away = world.run(&["cost"]);
    assert_ne!(away.code, 0);
    assert!(
        away.stderr
            .contains("repository local is not in the estimate"),
        "{}",
        away.stderr
    );
}
