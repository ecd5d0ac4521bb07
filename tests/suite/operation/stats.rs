//! `stats`: figures of two stretches of time, from snapshots that were taken in them.

use crate::cli::TestEnvironment;
use crate::jobs::world;
use serde_json::Value;
use std::fs;

/// The sources of a run, by the ends of their names.
fn rows(world: &TestEnvironment, options: &[&str]) -> (Vec<Value>, Value) {
    let run = world.run(&[&["stats", "--json"][..], options].concat());
    let mut objects = run.expect(0).objects();
    let summary = objects.pop().unwrap();
    (objects, summary)
}

fn of<'r>(rows: &'r [Value], end: &str) -> &'r Value {
    let found = rows
        .iter()
        .find(|row| row["source"].as_str().unwrap().ends_with(end));
    found.unwrap_or_else(|| panic!("{end} in {rows:?}"))
}

/// A day some days ago.
fn day(ago: i64) -> String {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let span = jiff::Span::new().days(ago);
    today.checked_sub(span).unwrap().to_string()
}

#[test]
fn two_weeks_are_told_apart_and_say_what_was_new_and_stored() {
    let world = TestEnvironment::new();
    let take = |ago: i64| {
        let day = day(ago);
        world.run(&["snapshot", "data", "--date", &day]).expect(0);
    };
    // Compressible: a few letters, no repetition that deduplication could find.
    let text = |seed: u64, bytes: usize| {
        let mut random = crate::support::random::Random::seeded(seed);
        let letters = (0..bytes).map(|_| b'a' + random.below(4) as u8);
        letters.collect::<Vec<u8>>()
    };
    world.write("data/one.txt", text(1, 100_000));
    take(10);
    take(9);
    world.write("data/two.txt", text(2, 50_000));
    take(3);
    take(2);
    let (rows, summary) = rows(&world, &["--last", "7d"]);
    let row = of(&rows, "/data");
    let (now, before) = (&row["now"], &row["before"]);
    assert_eq!(
        (&now["snapshots"], &before["snapshots"]),
        (&2.into(), &2.into())
    );
    assert_eq!(now["bytes_read"], 300_000);
    assert_eq!(now["bytes_new"], 50_000);
    assert_eq!(
        (&now["bytes"], &before["bytes"]),
        (&150_000.into(), &100_000.into())
    );
    assert_eq!(before["bytes_new"], 100_000);
    assert_eq!(row["size_change_percent"], 50.0);
    assert_eq!((&now["failures"], &now["flawed"]), (&0.into(), &0.into()));
    assert_eq!(now["deduplication"], 6.0);
    assert!(now["compression"].as_f64().unwrap() > 1.2, "{now}");
    let stored = now["bytes_stored"].as_u64().unwrap();
    assert_eq!(now["bytes_stored_daily"].as_u64().unwrap(), stored / 7);
    let trend = row["trend"].as_array().unwrap();
    assert_eq!(
        (trend.len(), &trend[0], &trend[13]),
        (14, &0.into(), &150_000.into())
    );
    let repository = &summary["repositories"][0];
    assert_eq!(repository["snapshots"], 4);
    assert!(repository["bytes"].as_u64().unwrap() > 0 && repository["bytes_free"].is_u64());
    // What was measured is what a listing says.
    let listed = world.run(&["snapshots", "--json"]).expect(0).objects();
    let listed: u64 = listed
        .iter()
        .filter_map(|one| one["bytes_stored"].as_u64())
        .sum();
    assert_eq!(stored + before["bytes_stored"].as_u64().unwrap(), listed);

    let shown = world.run(&["stats"]).expect(0).stdout;
    for part in ["4 snapshots", "+50.0 %", "6.0x", "  before", "▁", "█"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let none = world.run(&["stats", "--source", "other"]).expect(0).stdout;
    assert!(none.contains("no snapshots"), "{none}");
    world.run(&["stats", "--last", "soon"]).expect(2);
}

#[test]
fn jobs_are_named_and_their_failures_counted() {
    let world = world("");
    world.run(&["run", "nightly"]).expect(0);
    fs::rename(world.path("srv"), world.path("away")).unwrap();
    world.run(&["run", "nightly"]);
    let (all, _) = rows(&world, &[]);
    assert_eq!(all.len(), 4, "no configuration among {all:?}");
    let files = of(&all, "/srv");
    assert_eq!(
        (&files["repository"], &files["jobs"][0]),
        (&"local".into(), &"nightly".into())
    );
    assert_eq!(
        (&files["now"]["failures"], &files["now"]["snapshots"]),
        (&1.into(), &1.into())
    );
    let database = of(&all, "app.db");
    assert_eq!(
        (&database["now"]["failures"], &database["now"]["snapshots"]),
        (&0.into(), &2.into())
    );
    let (one, _) = rows(&world, &["--source", "app.db"]);
    assert_eq!(one.len(), 1);
    // Of several repositories one that is away is told, alone it is the error.
    fs::rename(world.path("backup"), world.path("gone")).unwrap();
    let away = world.run(&["stats"]).expect(1);
    assert!(
        away.stderr
            .contains("repository local is not in the figures"),
        "{}",
        away.stderr
    );
    world.run(&["stats", "-r", "local"]).expect(10);
}
