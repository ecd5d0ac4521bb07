//! `export`, and jobs that do it: readable files that are whole, in their place, and said to be plaintext.

use super::world;
use crate::cli::{TestEnvironment, tree};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const JOB: &str = "\n[job.readable]\nkind = \"export\"\nsources = [\"db\", \"files\"]\n\
    repositories = [\"local\"]\nto = \"readable\"\nschedule = \"monthly 1 05:00\"\n";

/// Visible files below a directory, by their paths in it.
fn files(world: &TestEnvironment, directory: &str) -> Vec<String> {
    let root = world.path(directory);
    let all = tree(&root).into_iter();
    let named = all.map(|(path, _)| path.strip_prefix(&root).unwrap().display().to_string());
    named.filter(|path| !path.starts_with('.')).collect()
}

#[test]
fn a_job_writes_readable_files_once_and_says_so() {
    let world = world(JOB);
    let checked = world.run(&["config", "check"]).stderr;
    assert!(
        checked.contains("job.readable: writes plaintext to readable"),
        "{checked}"
    );
    assert!(!checked.contains("job.readable: no keep"), "{checked}");
    let empty = world.run(&["run", "readable"]).expect(2);
    assert!(
        empty.stderr.contains("no good snapshot"),
        "{}",
        empty.stderr
    );
    world
        .run(&["run", "nightly", "--date", "2026-11-03"])
        .expect(0);
    let dry = world.run(&["run", "readable", "-n"]).expect(0);
    assert!(dry.stdout.contains("readable/2026/11"), "{}", dry.stdout);
    assert!(!world.path("readable").exists());

    let run = world.run(&["run", "readable", "--json"]).expect(0);
    assert_eq!(run.summary()["jobs"][0]["exported"], 2);
    let written = files(&world, "readable");
    let [database, text] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert!(
        database.starts_with("2026/11/app-2026-11-03-") && database.ends_with(".db"),
        "{database}"
    );
    assert!(
        text.starts_with("2026/11/srv-2026-11-03-") && text.ends_with("/a.txt"),
        "{text}"
    );
    assert_eq!(
        fs::read(world.path("readable").join(text)).unwrap(),
        b"alpha"
    );
    let connection = rusqlite::Connection::open(world.path("readable").join(database)).unwrap();
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 100);
    connection.close().unwrap();
    assert_eq!(world.mode("readable/2026/11"), 0o700);

    // What somebody changed there is his: it is neither replaced nor written a second time.
    fs::write(world.path("readable").join(text), "mine").unwrap();
    let again = world.run(&["run", "readable"]).expect(0);
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );
    assert_eq!(files(&world, "readable"), written);
    assert_eq!(
        fs::read(world.path("readable").join(text)).unwrap(),
        b"mine"
    );

    let status = world.run(&["status"]);
    assert!(
        status
            .stdout
            .contains("PLAINTEXT  job readable writes readable files to "),
        "{}",
        status.stdout
    );
    let told = world.run(&["audit", "show", "--json"]).expect(0).objects();
    let of = |event: &str| {
        let found = told.iter().filter(|told| told["event"] == event);
        found.cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("export_start").len(), 2);
    let ends = of("export_complete");
    assert_eq!(ends.len(), 2);
    for end in ends {
        assert!(
            end["details"].as_str().unwrap().contains("plaintext"),
            "{end}"
        );
        assert!(
            end["location"].as_str().unwrap().ends_with("/readable"),
            "{end}"
        );
    }
}

#[test]
fn by_hand_with_another_layout_and_refusals() {
    let world = world("");
    world
        .run(&["run", "nightly", "--date", "2026-11-03"])
        .expect(0);
    let export = ["export", "latest", "--source", "srv", "--target"];
    let flat = [&export[..], &["flat", "--layout", "flat"]].concat();
    let summary = world
        .run(&[&flat[..], &["--json"]].concat())
        .expect(0)
        .summary();
    assert_eq!(
        (&summary["files"], &summary["plaintext"]),
        (&1.into(), &true.into())
    );
    assert!(files(&world, "flat")[0].starts_with("srv-2026-11-03-"));
    let told = world.run(&[&export[..], &["day", "--layout", "year/month/day"]].concat());
    assert!(told.expect(0).stdout.contains("is plaintext"));
    assert!(files(&world, "day")[0].starts_with("2026/11/03/srv-"));
    // Several things at the top of one snapshot stay together.
    world.write("one.txt", "1");
    world.write("two.txt", "2");
    let taken = ["snapshot", "one.txt", "two.txt", "--json"];
    let taken = world.run(&taken).expect(0).summary();
    let id = taken["snapshot_id"].as_str().unwrap();
    let both = ["export", id, "--target", "both", "--layout", "flat"];
    world.run(&both).expect(0);
    let both = files(&world, "both");
    assert!(
        both[0].starts_with("one.txt_two.txt-") && both[0].ends_with("/one.txt"),
        "{both:?}"
    );
    assert_eq!(both.len(), 2);

    let inside = world
        .run(&[&export[..], &["backup/readable"]].concat())
        .expect(2);
    assert!(
        inside.stderr.contains("inside the repository"),
        "{}",
        inside.stderr
    );
    assert!(!world.path("backup/readable").exists());
    let layout = world
        .run(&[&export[..], &["x", "--layout", "monthly"]].concat())
        .expect(2);
    assert!(layout.stderr.contains("year/month"), "{}", layout.stderr);
}

#[test]
fn what_is_damaged_gets_no_name_and_what_was_half_written_goes() {
    let world = world(JOB);
    world.run(&["run", "nightly"]).expect(0);
    // As a killed export leaves it.
    world.write("readable/.icecore-export/work/half", "half");
    let packs: Vec<PathBuf> = tree(&world.path("backup/packs"))
        .into_iter()
        .map(|one| one.0)
        .collect();
    let away = world.path("away");
    fs::create_dir(&away).unwrap();
    for pack in &packs {
        fs::rename(pack, away.join(pack.file_name().unwrap())).unwrap();
    }
    world.run(&["run", "readable"]).expect(4);
    assert_eq!(files(&world, "readable"), Vec::<String>::new());
    assert!(!world.path("readable/.icecore-export/work").exists());
    for pack in &packs {
        fs::rename(away.join(pack.file_name().unwrap()), pack).unwrap();
    }
    world.run(&["run", "readable"]).expect(0);
    assert_eq!(files(&world, "readable").len(), 2);
}

#[test]
fn nothing_is_exported_that_cannot_be_written_to_the_audit_log() {
    let world = world("");
    world.run(&["run", "nightly"]).expect(0);
    let audit = world.path("backup/audit");
    fs::rename(&audit, world.path("audit-away")).unwrap();
    fs::write(&audit, "in the way").unwrap();
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o400)).unwrap();
    let export = [
        "export", "latest", "--source", "srv", "--target", "readable",
    ];
    let refused = world.run(&export).expect(1);
    assert!(
        refused.stderr.contains("nothing was done"),
        "{}",
        refused.stderr
    );
    assert_eq!(files(&world, "readable"), Vec::<String>::new());
}
