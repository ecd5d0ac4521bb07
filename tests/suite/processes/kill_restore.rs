//! `kill -9` of `restore`, and what the second run makes of the first one's files.

use super::{bytes_on_disk, kill_after, kill_when, make_database, make_files, number};
use super::{rows_of, start};
use crate::cli::TestEnvironment;
use crate::support::is_long;
use crate::support::random::Random;
use crate::support::tree::{self, Tree};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BYTES: usize = 80 << 20;

/// Slow enough to be killed in the middle.
const RESTORE: [&str; 9] = [
    "restore",
    "latest",
    "--target",
    "out",
    "--overwrite",
    "--json",
    "--limit-download",
    "60MB/s",
    "--quiet",
];

fn with_data(files: &Tree) -> TestEnvironment {
    let world = TestEnvironment::new();
    tree::write(&world.path("data"), files);
    world.run(&["snapshot", "data"]).expect(0);
    world
}

/// The unfinished file that takes most of the disk.
fn half_written(directory: &Path) -> PathBuf {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(current) = waiting.pop() {
        for entry in fs::read_dir(&current).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => waiting.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    let unfinished = |path: &PathBuf| path.to_string_lossy().contains(".icecore-");
    let mut found: Vec<_> = found.into_iter().filter(unfinished).collect();
    found.sort_by_key(|path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).unwrap().blocks()
    });
    found.pop().expect("no unfinished file")
}

/// Changes one byte that was written already.
fn flip_a_written_byte(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut page = [0; 4096];
    let pages = file.metadata().unwrap().len() / 4096;
    let written = (0..pages).find(|number| {
        file.read_exact_at(&mut page, number * 4096).unwrap();
        page.iter().any(|byte| *byte != 0)
    });
    let offset = written.expect("nothing was written") * 4096 + 100;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[test]
fn a_killed_restore_resumes_and_trusts_no_byte() {
    let files = Tree::from([
        ("large.bin".to_owned(), tree::noise(7, BYTES)),
        ("small".to_owned(), b"x".to_vec()),
    ]);
    let world = with_data(&files);
    let out = world.path("out");
    let mut child = start(world.command(&RESTORE));
    let began = Instant::now();
    let is_time = || {
        let late = began.elapsed() > Duration::from_secs(100);
        late || bytes_on_disk(&out) >= BYTES as u64 * 6 / 10
    };
    assert!(kill_when(&mut child, is_time), "it was too fast");
    flip_a_written_byte(&half_written(&out));
    let summary = world.run(&RESTORE).expect(0).summary();
    let fetched = number(&summary, "bytes_fetched");
    println!("killed at 60 %; the second run fetched {fetched} of {BYTES} bytes");
    assert!(fetched <= BYTES as u64 * 45 / 100, "{summary}");
    let found = tree::read(&out.join("data"));
    assert_eq!(tree::differences(&files, &found), Vec::<String>::new());
    let nothing = world.run(&RESTORE).expect(0).summary();
    assert!(number(&nothing, "bytes_fetched") < 1 << 20, "{nothing}");
}

/// What a power loss can leave: a file of the right size and time that holds nothing.
fn tear(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let metadata = file.metadata().unwrap();
    file.write_all_at(&vec![0; metadata.len() as usize], 0)
        .unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
}

#[test]
fn after_a_restore_that_did_not_finish_no_file_is_believed_by_its_looks() {
    let mut files = Tree::from([("zlarge.bin".to_owned(), tree::noise(7, BYTES))]);
    // More than are open at a time, so that some have their names while others are written.
    for number in 0..1200 {
        files.insert(format!("many/{number:04}"), tree::noise(number, 3000));
    }
    let world = with_data(&files);
    let out = world.path("out");
    let named = || {
        let named = fs::read_dir(out.join("data/many")).into_iter().flatten();
        let named = named.map(|entry| entry.unwrap().path());
        named.filter(|path| !path.to_string_lossy().contains(".icecore-"))
    };
    let mut child = start(world.command(&RESTORE));
    let began = Instant::now();
    let is_time = || began.elapsed() > Duration::from_secs(100) || named().count() > 100;
    assert!(kill_when(&mut child, is_time), "it was too fast");
    for path in named() {
        tear(&path);
    }
    world.run(&RESTORE).expect(0);
    let found = tree::read(&out.join("data"));
    assert_eq!(tree::differences(&files, &found), Vec::<String>::new());
    let left: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["data"]);
    // Finished, it believes again what looks right, and so is quick.
    let nothing = world.run(&RESTORE).expect(0).summary();
    assert!(number(&nothing, "bytes_fetched") < 1 << 20, "{nothing}");
}

#[test]
fn a_killed_restore_of_a_database_resumes_and_trusts_no_byte() {
    let world = TestEnvironment::new();
    let database = world.path("app.db");
    make_database(&database, BYTES as u64);
    world.run(&["snapshot", "sqlite:app.db"]).expect(0);
    let size = fs::metadata(&database).unwrap().len();
    fs::create_dir(world.path("out")).unwrap();
    let out = world.path("out");
    let mut child = start(world.command(&RESTORE));
    let began = Instant::now();
    let is_time = || {
        let late = began.elapsed() > Duration::from_secs(100);
        late || bytes_on_disk(&out) >= size * 6 / 10
    };
    assert!(kill_when(&mut child, is_time), "it was too fast");
    flip_a_written_byte(&half_written(&out));
    let summary = world.run(&RESTORE).expect(0).summary();
    let fetched = number(&summary, "bytes_fetched");
    println!("killed at 60 %; the second run fetched {fetched} of {size} bytes");
    assert!(fetched <= size * 45 / 100, "{summary}");
    assert_eq!(rows_of(&out.join("app.db")), rows_of(&database));
    // As if it had been killed while the finished image was being checked.
    let image = out.join(".app.db.icecore-image");
    fs::rename(out.join("app.db"), &image).unwrap();
    flip_a_written_byte(&image);
    let summary = world.run(&RESTORE).expect(0).summary();
    let fetched = number(&summary, "bytes_fetched");
    assert!(fetched <= size * 2 / 100, "{summary}");
    assert_eq!(rows_of(&out.join("app.db")), rows_of(&database));
    let names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["app.db"]);
}

#[test]
fn a_restore_killed_at_any_moment_can_be_repeated() {
    let mut random = Random::fresh("kill -9 of restore");
    let files = make_files(12 << 20, 11);
    let world = with_data(&files);
    let database = world.path("data/app.db");
    make_database(&database, 12 << 20);
    world.run(&["snapshot", "data"]).expect(0);
    let expected = rows_of(&database);
    let started = Instant::now();
    world.run(&RESTORE).expect(0);
    let duration = started.elapsed();
    for _ in 0..if is_long() { 100 } else { 15 } {
        let _ = fs::remove_dir_all(world.path("out"));
        for _ in 0..2 {
            let moment = duration.mul_f64(random.below(1000) as f64 / 1000.0);
            kill_after(world.command(&RESTORE), moment);
        }
        world.run(&RESTORE).expect(0);
        let mut found = tree::read(&world.path("out/data"));
        found.remove("app.db");
        assert_eq!(tree::differences(&files, &found), Vec::<String>::new());
        assert_eq!(rows_of(&world.path("out/data/app.db")), expected);
    }
}
