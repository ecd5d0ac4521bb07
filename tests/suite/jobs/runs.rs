//! `run` and `jobs`.

use super::{configure, world};
use std::fs;

fn metric(world: &crate::cli::TestEnvironment, name: &str) -> String {
    let text = fs::read_to_string(world.path("portal.prom")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is missing in:\n{text}"));
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_job_saves_all_its_sources_as_one_set_and_tells_its_metrics() {
    let world = world("verify = \"read-back\"");
    let run = world.run(&["run", "nightly", "--json"]).expect(0);
    let summary = run.summary();
    let job = &summary["jobs"][0];
    assert_eq!(
        (
            job["ok"].as_bool(),
            job["snapshots"].as_array().unwrap().len()
        ),
        (Some(true), 4)
    );
    let listed = world.run(&["snapshots", "-r", "local", "--json"]).expect(0);
    let listed = listed.objects();
    let set = job["set_id"].as_str().unwrap();
    let of_set = listed
        .iter()
        .filter(|one| one["set_id"] == set && one["job"] == "nightly");
    assert_eq!(
        of_set.count(),
        5,
        "four sources and the configuration: {listed:#?}"
    );
    for (name, value) in [
        ("portal_backup_success{job=\"nightly\"}", "1"),
        ("portal_backup_failures{job=\"nightly\"}", "0"),
        (
            "portal_backup_source_success{job=\"nightly\",source=\"db\"}",
            "1",
        ),
        (
            "portal_backup_upload_success{job=\"nightly\",repository=\"local\"}",
            "1",
        ),
    ] {
        assert_eq!(metric(&world, name), value, "{name}");
    }
    assert_ne!(metric(&world, "portal_last_check_timestamp_seconds"), "0");
    let bytes = metric(
        &world,
        "portal_backup_size_bytes{job=\"nightly\",source=\"db\"}",
    );
    let size = fs::metadata(world.path("app.db")).unwrap().len();
    assert_eq!(bytes, size.to_string());
    // Variables of files reach commands and env sources, and nothing else.
    let cat = [
        "cat",
        "latest:dump.txt",
        "-r",
        "local",
        "--source",
        "exec:dump.txt",
    ];
    assert_eq!(world.run(&cat).expect(0).stdout, "sesame\n");
    // The only repository of the configuration need not be named.
    let restore = ["restore", "latest", "--source", "srv", "--target", "back"];
    world.run(&restore).expect(0);
    assert!(world.path("back/srv/a.txt").exists());
    assert!(!world.path("back/srv/node_modules").exists());
    let jobs = world.run(&["jobs"]).expect(0).stdout;
    assert!(jobs.contains("nightly") && jobs.contains("ok"), "{jobs}");
}

#[test]
fn only_what_was_read_counts_as_read_back() {
    let proven = |world: &crate::cli::TestEnvironment| {
        let listed = world
            .run(&["snapshots", "-r", "local", "--json"])
            .expect(0)
            .objects();
        let proven = listed.iter().filter(|one| !one["proven"].is_null());
        proven.count()
    };
    let world = world("verify = \"structure\"");
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(proven(&world), 0, "nothing was read");
    // A share of the packs proves those packs, and no snapshot.
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let care = "[job.care]\nkind = \"prune\"\nrepositories = [\"local\"]\n";
    let share = "check = { every = \"1d\", read_data = \"1/2\" }\n";
    world.write("icecore.toml", format!("{text}{care}{share}"));
    let run = world.run(&["run", "care"]).expect(0);
    assert!(run.stdout.contains("no damage"), "{}", run.stdout);
    assert_eq!(proven(&world), 0, "half was read");
    configure(&world, "verify = \"read-back\"");
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(proven(&world), 4, "all of four sources was read");
}

#[test]
fn what_fails_is_told_by_exit_code_metrics_and_jobs() {
    let world = world("");
    world.run(&["run", "--all"]).expect(0);
    let good = metric(&world, "portal_last_backup_timestamp");
    fs::rename(world.path("srv"), world.path("gone")).unwrap();
    let failed = world.run(&["run", "nightly", "--json"]).expect(3);
    let job = &failed.summary()["jobs"][0];
    assert_eq!(
        (
            job["ok"].as_bool(),
            job["snapshots"].as_array().unwrap().len()
        ),
        (Some(false), 3)
    );
    assert_eq!(metric(&world, "portal_backup_success"), "0");
    assert_eq!(metric(&world, "portal_backup_failures"), "1");
    assert_eq!(metric(&world, "portal_last_backup_timestamp"), good);
    let jobs = world.run(&["jobs"]).expect(0).stdout;
    assert!(jobs.contains("FAILED: source files"), "{jobs}");
    fs::rename(world.path("gone"), world.path("srv")).unwrap();
    // None can be captured: the first one's error is the result.
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let only = text.replace(
        "sources = [\"db\", \"files\", \"token\", \"dump\"]",
        "sources = [\"token\"]",
    );
    world.write("icecore.toml", only);
    world.write("app.env", "OTHER=1\n");
    let none = world.run(&["run", "nightly"]);
    assert!(
        none.code != 0 && none.stderr.contains("TOKEN"),
        "{}",
        none.stderr
    );
    assert_eq!(metric(&world, "portal_backup_failures"), "2");
    configure(&world, "");
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(metric(&world, "portal_backup_failures"), "0");
}

#[test]
fn a_database_that_is_not_as_expected_is_kept_as_suspect() {
    let world = world("");
    world.run(&["run", "nightly"]).expect(0);
    let connection = rusqlite::Connection::open(world.path("app.db")).unwrap();
    connection
        .execute("DELETE FROM t WHERE rowid > 70", [])
        .unwrap();
    let run = world.run(&["run", "nightly"]).expect(3);
    let told = "table t went from 100 to 70 rows, more than 20% less";
    assert!(
        run.stderr.contains("SUSPECT") && run.stderr.contains(told),
        "{}",
        run.stderr
    );
    assert_eq!(
        metric(
            &world,
            "portal_backup_source_success{job=\"nightly\",source=\"db\"}"
        ),
        "0"
    );
    let restore = [
        "restore", "latest", "--source", "app.db", "--target", "back.db",
    ];
    let restored = world.run(&restore).expect(0);
    assert!(restored.stderr.contains("suspect"), "{}", restored.stderr);
    let back = rusqlite::Connection::open(world.path("back.db")).unwrap();
    let rows = back.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u32>(0));
    assert_eq!(rows.unwrap(), 100, "the one that is as expected");
}

#[test]
fn rules_forget_and_prune_what_the_job_itself_took() {
    let world = world("keep = { last = 2 }");
    world
        .run(&["snapshot", "-r", "local", "srv/a.txt", "--as", "by hand"])
        .expect(0);
    for number in 0..3 {
        world.write("srv/a.txt", format!("version {number}"));
        world.run(&["run", "nightly"]).expect(0);
    }
    let listed = world.run(&["snapshots", "-r", "local", "--json"]).expect(0);
    let of = |source: &str| {
        let objects = listed.objects();
        let found = objects.iter().filter(|one| {
            let name = one["source"].as_str().unwrap_or_default();
            one["type"] == "snapshot" && name.starts_with(source)
        });
        found.count()
    };
    assert_eq!((of("files:"), of("sqlite:"), of("by hand")), (2, 2, 1));
    let dry = world.run(&["run", "nightly", "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("would save"), "{}", dry.stdout);
}

#[test]
fn days_are_those_of_the_jobs_zone() {
    // An hour before and an hour after midnight in Almaty: one day in UTC.
    let world = world("keep = { daily = 9 }");
    for moment in ["2026-01-05T18:00+00:00", "2026-01-05T20:00+00:00"] {
        world.write("srv/a.txt", moment);
        world.run(&["run", "nightly", "--date", moment]).expect(0);
    }
    let listed = world.run(&["snapshots", "-r", "local", "--json"]).expect(0);
    let of_db = listed.objects();
    let of_db = of_db.iter().filter(|one| {
        let source = one["source"].as_str().unwrap_or_default();
        source.starts_with("sqlite:")
    });
    assert_eq!(of_db.count(), 2);
}

#[test]
fn a_repository_that_may_be_absent_is_told_and_passed_by() {
    let world = world("");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let nas = "[repository.nas]\nurl = \"mnt/nas\"\nkey = { file = \"host.key\" }\nif_absent = \"warn\"\n";
    let both = text.replace(
        "repositories = [\"local\"]",
        "repositories = [\"nas\", \"local\"]",
    );
    world.write("icecore.toml", format!("{both}\n{nas}"));
    let run = world.run(&["run", "nightly"]).expect(0);
    assert!(
        run.stderr.contains("repository nas is not there"),
        "{}",
        run.stderr
    );
    let nas = "portal_backup_upload_success{job=\"nightly\",repository=\"nas\"}";
    assert_eq!(metric(&world, nas), "0");
    let strict = both.replace("env_files", "# env_files");
    world.write(
        "icecore.toml",
        format!("{strict}\n[repository.nas]\nurl = \"mnt/nas\"\nkey = {{ file = \"host.key\" }}\n"),
    );
    world.run(&["run", "nightly"]).expect(10);
}

#[test]
fn further_repositories_get_copies_and_catch_up_on_what_they_missed() {
    let world = world("keep = { last = 9 }");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let nas = "[repository.nas]\nurl = \"mnt/nas\"\nkey = { file = \"host.key\" }\nif_absent = \"warn\"\n";
    let both = text.replace(
        "repositories = [\"local\"]",
        "repositories = [\"local\", \"nas\"]",
    );
    world.write("icecore.toml", format!("{both}\n{nas}"));
    // The first run while the second place is not there.
    world.run(&["run", "nightly"]).expect(0);
    fs::create_dir(world.path("mnt")).unwrap();
    world
        .run(&["repo", "init", "-r", "nas", "--like", "local"])
        .expect(0);
    world.write("srv/a.txt", "beta");
    let run = world.run(&["run", "nightly"]).expect(0);
    assert!(
        run.stdout.contains("copied") && run.stdout.contains("to nas"),
        "{}",
        run.stdout
    );
    let number = |name: &str| {
        let listed = world.run(&["snapshots", "-r", name, "--json"]).expect(0);
        let objects = listed.objects();
        objects.iter().filter(|one| one["job"] == "nightly").count()
    };
    assert_eq!(
        (number("local"), number("nas")),
        (9, 9),
        "both runs, and the configuration once"
    );
    let nas = "portal_backup_upload_success{job=\"nightly\",repository=\"nas\"}";
    assert_eq!(metric(&world, nas), "1");
    let status = world.run(&["status", "--json"]).expect(0).summary();
    assert_eq!(
        status["sources"][0]["copies"],
        serde_json::json!(["local", "nas"])
    );
    // Either serves when the other is gone, by the names of the configuration.
    fs::remove_dir_all(world.path("backup/packs")).unwrap();
    let restore = [
        "restore",
        "latest",
        "--source",
        "srv",
        "-r",
        "local,nas",
        "--target",
        "back",
    ];
    world.run(&restore).expect(0);
    assert_eq!(
        fs::read_to_string(world.path("back/srv/a.txt")).unwrap(),
        "beta"
    );
}

#[test]
fn a_wrong_key_or_name_is_not_tried_again() {
    let world = world("retry = { times = 5, wait = \"1h\" }");
    let unknown = world.run(&["run", "nightyl"]).expect(2);
    assert!(
        unknown.stderr.contains("it is one of nightly"),
        "{}",
        unknown.stderr
    );
    fs::remove_file(world.path("host.key")).unwrap();
    world.run(&["key", "generate", "host.key"]).expect(0);
    world.run(&["run", "nightly"]).expect(12);
    let none = world
        .run(&["run", "nightly", "--config", "nowhere.toml"])
        .expect(2);
    assert!(none.stderr.contains("nowhere.toml"), "{}", none.stderr);
}

#[test]
fn a_run_that_takes_too_long_is_ended_and_says_so() {
    let world = world("timeout = \"1s\"");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let slow = text.replace("[\"printenv\", \"TOKEN\"]", "[\"sleep\", \"60\"]");
    world.write("icecore.toml", slow);
    let run = world.run(&["run", "nightly"]);
    assert_ne!(run.code, 0);
    assert!(
        run.stderr.contains("longer than the job's timeout"),
        "{}",
        run.stderr
    );
    assert_eq!(metric(&world, "portal_backup_success"), "0");
}

#[test]
fn a_back_fill_tells_commands_the_day_in_the_zone_of_the_job() {
    let world = world("verify = \"none\"");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let dated = text.replace(
        "[\"printenv\", \"TOKEN\"]",
        "[\"printenv\", \"ICECORE_DATE\"]",
    );
    world.write("icecore.toml", dated);
    // Late in the evening in UTC, tomorrow in Almaty.
    let moment = "2026-01-04T22:00+00:00";
    world.run(&["run", "nightly", "--date", moment]).expect(0);
    let cat = |snapshot: &str| {
        let words = ["cat", snapshot, "-r", "local", "--source", "exec:dump.txt"];
        world.run(&words).expect(0).stdout
    };
    assert_eq!(cat("latest:dump.txt"), "2026-01-05\n");
    world
        .run(&["run", "nightly", "--date", "2026-01-07"])
        .expect(0);
    assert_eq!(cat("latest:dump.txt"), "2026-01-07\n");
    let listed = world
        .run(&["snapshots", "-r", "local", "--json"])
        .expect(0)
        .objects();
    let dump = listed
        .iter()
        .rfind(|one| one["source"] == "exec:dump.txt")
        .unwrap();
    assert!(
        dump["taken"].as_str().unwrap().starts_with("2026-01-0"),
        "{dump}"
    );
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    world.write(
        "icecore.toml",
        format!("{text}\n[job.care]\nkind = \"prune\"\nrepositories = [\"local\"]\n"),
    );
    let refused = world
        .run(&["run", "care", "--date", "2026-01-05"])
        .expect(2);
    assert!(
        refused.stderr.contains("takes no snapshots"),
        "{}",
        refused.stderr
    );
}
