//! `config init`, `check`, `show`, `fetch`.

use super::{configure, world};
use crate::cli::TestEnvironment;
use std::fs;
use std::path::Path;

#[test]
fn mistakes_are_told_with_their_places() {
    let world = TestEnvironment::bare();
    world.write(
        "icecore.toml",
        "version = 1\n[job.x]\nshedule = \"daily 13am\"\n",
    );
    let checked = world.run(&["config", "check"]).expect(2);
    for part in [
        "icecore.toml:3:1: unknown key \"shedule\" in [job.x]; did you mean \"schedule\"?",
        "icecore.toml:2:6: job.x.sources is missing",
    ] {
        assert!(checked.stderr.contains(part), "{part}\n{}", checked.stderr);
    }
    let none = TestEnvironment::bare().run(&["config", "check"]).expect(2);
    assert!(
        none.stderr.contains("icecore config init"),
        "{}",
        none.stderr
    );
}

#[test]
fn what_is_right_shows_when_its_jobs_run() {
    let world = world("keep = \"forever\"");
    let checked = world.run(&["config", "check", "--json"]).expect(5);
    let summary = checked.summary();
    let next = summary["jobs"][0]["next"].as_str().unwrap();
    assert!(next.ends_with("T22:00:00Z"), "three in Almaty: {next}");
    let remarks = summary["remarks"].as_array().unwrap();
    let remarks: Vec<&str> = remarks.iter().filter_map(|one| one.as_str()).collect();
    assert_eq!(remarks.len(), 1, "one copy only: {remarks:?}");
    assert!(remarks[0].contains("one copy only"), "{remarks:?}");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let told = "[notify.ops]\non = [\"critical\"]\nkind = \"command\"\ncommand = [\"true\"]\n";
    world.write("icecore.toml", format!("{text}{told}"));
    let checked = world.run(&["config", "check"]).expect(5);
    assert!(!checked.stderr.contains("notices"), "{}", checked.stderr);
    let shown = world.run(&["config", "show"]).expect(0);
    assert!(shown.stdout.contains("[job.nightly]") && !shown.stdout.contains("sesame"));
}

#[test]
fn init_writes_what_check_accepts_for_what_it_finds() {
    let world = TestEnvironment::bare();
    world.write("data/readme.txt", "a database");
    world.database("data/app.db", 5);
    world.write(".env", "TOKEN=sesame\n");
    world.write("node_modules/x/index.js", "");
    world.write(
        "docker-compose.yml",
        "services:\n  db:\n    image: postgres:17\n",
    );
    world.run(&["config", "init"]).expect(0);
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    for part in [
        "path = \"data/app.db\"",
        "node_modules",
        "postgres:17",
        "domain = \"secrets\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("sesame"));
    assert_eq!(world.run(&["config", "check"]).code, 5);
    world.run(&["config", "init"]).expect(1);
    world.run(&["config", "init", "--overwrite"]).expect(0);
}

#[test]
fn the_configuration_is_kept_once_and_comes_back_in_an_empty_home() {
    let world = world("");
    for _ in 0..2 {
        world.run(&["run", "nightly"]).expect(0);
    }
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let kept = |world: &TestEnvironment| {
        let listed = [
            "snapshots",
            "-r",
            "./backup",
            "--key-file",
            "host.key",
            "--json",
        ];
        let objects = world.run(&listed).expect(0).objects();
        let kept = objects
            .iter()
            .filter(|one| one["source"] == "config:portal");
        kept.count()
    };
    assert_eq!(kept(&world), 1);
    configure(&world, "verify = \"none\"");
    world.run(&["snapshot", "-r", "local", "srv"]).expect(0);
    assert_eq!(kept(&world), 2);
    let new = fs::read_to_string(world.path("icecore.toml")).unwrap();
    // A new machine: neither the configuration nor the home of the old one.
    fs::remove_dir_all(world.path("home")).unwrap();
    fs::create_dir(world.path("home")).unwrap();
    fs::remove_file(world.path("icecore.toml")).unwrap();
    let fetch = [
        "config",
        "fetch",
        "-r",
        "./backup",
        "--key-file",
        "host.key",
    ];
    assert_eq!(world.run(&fetch).expect(0).stdout, new);
    let fetch = [&fetch[..], &["--output", "icecore.toml"]].concat();
    world.run(&fetch).expect(0);
    assert_eq!(fs::read_to_string(world.path("icecore.toml")).unwrap(), new);
    assert_ne!(text, new);
    world.run(&fetch).expect(1);
    // `latest` never means the configuration by chance.
    let latest = [
        "restore",
        "latest",
        "-r",
        "local",
        "--source",
        "env:TOKEN",
        "--target",
        "t",
    ];
    world.run(&latest).expect(0);
}

#[test]
fn variables_of_older_scripts_count_before_the_file_or_say_why_not() {
    let mut world = world("keep = { days = 14 }");
    let key = world.path("host.key").display().to_string();
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    world.write(
        "icecore.toml",
        text.replace("key = { file = \"host.key\" }\n", ""),
    );
    world.run(&["run", "nightly"]).expect(12);
    world.set("BACKUP_ENCRYPTION_KEY", &key);
    world.set("BACKUP_RETENTION_DAYS", "30");
    world.set("BACKUP_DIR", "/tmp/backups");
    world.set("BACKUP_EMAIL_NOTIFICATIONS", "ops@example.org");
    world.set("DATABASE_URL", "postgres://app:sesame@db/app");
    let shown = world.run(&["config", "show"]).expect(0).stdout;
    for part in [
        &format!("# BACKUP_ENCRYPTION_KEY: key of repository.local: file {key}\n")[..],
        "# BACKUP_RETENTION_DAYS: keep = { days = 30 } of job.nightly\n",
        "# BACKUP_DIR: DOES NOT COUNT: what lies in /tmp/ is gone",
        "# DATABASE_URL: DOES NOT COUNT: no source takes it",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains("sesame"), "{shown}");
    let checked = world.run(&["config", "check"]).expect(5);
    let told = "BACKUP_EMAIL_NOTIFICATIONS is set and does not count: a server and a sender";
    assert!(checked.stderr.contains(told), "{}", checked.stderr);
    let run = world.run(&["run", "nightly"]).expect(0);
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(!run.stderr.contains("DATABASE_URL"), "{}", run.stderr);
    world.set("BACKUP_CIPHER", "AES-256-CBC");
    let cbc = world.run(&["repo", "init", "-r", "./second", "--key-file", "host.key"]);
    assert!(
        cbc.expect(2)
            .stderr
            .contains("BACKUP_CIPHER names no cipher")
    );
    world.set("BACKUP_CIPHER", "AES-256-GCM");
    let made = [
        "repo",
        "init",
        "-r",
        "./second",
        "--key-file",
        "host.key",
        "--json",
    ];
    assert_eq!(
        world.run(&made).expect(0).summary()["cipher"],
        "aes-256-gcm"
    );
}

/// The files of `examples/` are what people copy: each is valid, and nothing about it needs attention.
#[test]
fn the_examples_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut checked = 0;
    for example in fs::read_dir(examples).unwrap() {
        let file = example.unwrap().path().join("icecore.toml");
        let name = file.to_str().unwrap();
        let world = TestEnvironment::bare();
        let told = world.run(&["config", "check", "-c", name, "--json"]);
        let summary = told.expect(0).summary();
        assert_eq!(
            summary["remarks"].as_array().map(Vec::len),
            Some(0),
            "{summary}"
        );
        checked += 1;
    }
    assert!(checked > 0);
}
