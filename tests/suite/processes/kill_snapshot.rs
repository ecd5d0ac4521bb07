//! `kill -9` of `snapshot`, at any moment.

use super::{assert_undamaged, kill_after, make_database, make_files, number, restored, rows_of};
use crate::cli::TestEnvironment;
use crate::support::is_long;
use crate::support::random::Random;
use crate::support::tree::{self, Tree};
use std::fs;
use std::time::{Duration, Instant};

const COMMAND: [&str; 3] = ["snapshot", "data", "--json"];

/// Bytes of noise in files, and as many in a database.
fn half() -> usize {
    if is_long() { 50 << 20 } else { 12 << 20 }
}

fn write_data(world: &TestEnvironment, seed: u64) -> (Tree, blake3::Hash) {
    let data = world.path("data");
    let _ = fs::remove_dir_all(&data);
    let files = make_files(half(), seed);
    tree::write(&data, &files);
    let database = data.join("app.db");
    make_database(&database, half() as u64);
    (files, rows_of(&database))
}

fn assert_restores(world: &TestEnvironment, snapshot: &str, expected: &(Tree, blake3::Hash)) {
    let mut found = restored(world, snapshot);
    assert!(found.remove("data/app.db").is_some(), "no database");
    assert_eq!(rows_of(&world.path("restored/data/app.db")), expected.1);
    let named = |(path, bytes): (&String, &Vec<u8>)| (format!("data/{path}"), bytes.clone());
    let wanted: Tree = expected.0.iter().map(named).collect();
    assert_eq!(tree::differences(&wanted, &found), Vec::<String>::new());
}

#[test]
fn a_killed_snapshot_harms_nothing_and_the_next_one_goes_on() {
    let mut random = Random::fresh("kill -9 of snapshot");
    let world = TestEnvironment::new();
    let first = write_data(&world, random.below(u64::MAX));
    let started = Instant::now();
    let whole = world.run(&COMMAND).expect(0).summary();
    let duration = started.elapsed();
    let first_id = whole["snapshot_id"].as_str().unwrap().to_owned();
    let mut second = write_data(&world, random.below(u64::MAX));
    let mut killed = 0;
    for round in 0..if is_long() { 200 } else { 25 } {
        let moment = duration.mul_f64(random.below(1000) as f64 / 900.0);
        match kill_after(world.command(&COMMAND), moment) {
            true => killed += 1,
            // It was faster: something new to save.
            false => second = write_data(&world, random.below(u64::MAX)),
        }
        if round % 8 == 7 {
            assert_undamaged(&world);
        }
    }
    assert!(killed >= 8, "only {killed} runs were killed");
    assert_undamaged(&world);
    assert_restores(&world, &first_id, &first);
    world.run(&COMMAND).expect(0);
    assert_undamaged(&world);
    assert_restores(&world, "latest", &second);
    assert_restores(&world, &first_id, &first);
}

/// What a killed run stored before its end is not stored again.
#[test]
fn the_run_after_a_killed_one_reuses_what_was_stored() {
    let world = TestEnvironment::new();
    fs::create_dir(world.path("data")).unwrap();
    let bytes = 96 << 20;
    fs::write(world.path("data/large"), tree::noise(5, bytes)).unwrap();
    let packs = world.path("repo/packs");
    let mut child = super::start(world.command(&COMMAND));
    let began = Instant::now();
    let is_time = || {
        let late = began.elapsed() > Duration::from_secs(100);
        late || super::bytes_on_disk(&packs) > bytes as u64 * 8 / 10
    };
    assert!(super::kill_when(&mut child, is_time), "it was too fast");
    let summary = world.run(&COMMAND).expect(0).summary();
    let stored = number(&summary, "bytes_stored");
    println!("of {bytes} bytes the second run stored {stored}");
    assert!(stored < bytes as u64 * 8 / 10, "{summary}");
    assert_undamaged(&world);
}
