//! `restore --to-origin`: one act, with real commands that stop and start, and a real listener that is
//! asked whether it works.

use super::{flip_in_packs, packs_in};
use crate::cli::{Finished, TestEnvironment, tree};
use crate::support::listeners::HttpListener;
use rusqlite::Connection;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

const STOP: &str = r#"[["sh", "-c", "echo stop >> calls"]]"#;
const START: &str = r#"[["sh", "-c", "echo start >> calls"]]"#;
const ACT: [&str; 5] = ["restore", "--job", "app", "--to-origin", "--yes"];

/// A database and a tree that one job has saved.
fn world(stop: &str, start: &str, health: &str) -> TestEnvironment {
    let world = TestEnvironment::bare();
    let database = Connection::open(world.database("app.db", 100)).unwrap();
    let noise = icecore::testing_repository::noise(7, 60_000);
    database.execute_batch("CREATE TABLE noise(n)").unwrap();
    database
        .execute("INSERT INTO noise VALUES (?)", [noise])
        .unwrap();
    database.close().unwrap();
    world.write("srv/a.txt", "alpha");
    world.write("srv/sub/b.txt", "beta");
    world.write("srv/node_modules/x.js", "rebuilt");
    world.run(&["key", "generate", "host.key"]).expect(0);
    configure(&world, stop, start, health);
    world.run(&["repo", "init", "-r", "local"]).expect(0);
    world.run(&["run", "app"]).expect(0);
    world
}

fn configure(world: &TestEnvironment, stop: &str, start: &str, health: &str) {
    let text = format!(
        "version = 1\n[repository.local]\nurl = \"backup\"\nkey = {{ file = \"host.key\" }}\n\
         [source.db]\ntype = \"sqlite\"\npath = \"app.db\"\n\
         [source.files]\ntype = \"files\"\npaths = [\"srv\"]\n\
         exclude = [{{ glob = \"node_modules\", reason = \"npm ci\" }}]\n\
         [job.app]\nsources = [\"db\", \"files\"]\nrepositories = [\"local\"]\n\
         restore.stop = {stop}\nrestore.start = {start}\n{health}\n"
    );
    world.write("icecore.toml", text);
}

/// Other rows, another text, something new, and something that captures leave out.
fn go_wrong(world: &TestEnvironment) {
    replace_database(world, 3);
    world.write("srv/a.txt", "scribbled over");
    world.write("srv/extra/deep/c.txt", "new");
    world.write("srv/node_modules/y.js", "rebuilt since");
    fs::remove_file(world.path("srv/sub/b.txt")).unwrap();
}

fn replace_database(world: &TestEnvironment, rows: u32) {
    fs::remove_file(world.path("app.db")).unwrap();
    world.database("app.db", rows);
}

fn rows(world: &TestEnvironment) -> i64 {
    let connection = Connection::open(world.path("app.db")).unwrap();
    let counted = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    counted.unwrap()
}

fn calls(world: &TestEnvironment) -> String {
    fs::read_to_string(world.path("calls")).unwrap_or_default()
}

/// The files of the tree by their names, without what captures leave out.
fn files(world: &TestEnvironment) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = tree(&world.path("srv"));
    files.retain(|(path, _)| {
        !path
            .components()
            .any(|part| part.as_os_str() == "node_modules")
    });
    files
}

/// The commands that the summary gives to undo.
fn undo(world: &TestEnvironment, summary: &Value) {
    let commands = summary["undo"].as_array().unwrap();
    assert!(!commands.is_empty(), "{summary}");
    for command in commands {
        let words: Vec<&str> = command.as_str().unwrap().split(' ').skip(1).collect();
        world.run(&[&words[..], &["--yes"]].concat()).expect(0);
    }
}

fn step_names(summary: &Value) -> Vec<&str> {
    let steps = summary["steps"].as_array().unwrap().iter();
    steps.map(|step| step["name"].as_str().unwrap()).collect()
}

fn told(finished: &Finished, parts: &[&str]) {
    for part in parts {
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(all.contains(part), "{part:?} is not in:\n{all}");
    }
}

#[test]
fn a_job_is_brought_back_as_one_act_and_undone_again() {
    let listener = HttpListener::start();
    let health = format!(
        "restore.health = {{ http = \"{}\" }}",
        listener.url("/health")
    );
    let world = world(STOP, START, &health);
    let saved = files(&world);
    go_wrong(&world);
    let wrong = files(&world);
    let shown = world.run(&ACT).expect(0);
    told(
        &shown,
        &[
            "[1/7] verify snapshot",
            "[2/7] safety snapshot",
            "[3/7] stop services",
            "[4/7] last changes",
            "[5/7] restore",
            "integrity_check ok, 101 rows = recorded",
            "3 extra items taken away",
            "[6/7] start services",
            "[7/7] health check     ok",
            "HTTP 200",
            "RESTORED sqlite:app.db to today",
            "Undo:    icecore restore ",
            "Record:  r-0001 in ",
        ],
    );
    assert_eq!(calls(&world), "stop\nstart\n");
    assert_eq!(listener.take().len(), 1);
    assert_eq!((rows(&world), files(&world)), (100, saved.clone()));
    assert!(world.path("srv/node_modules/y.js").exists());
    let record = shown.stdout.split("Record:  r-0001 in ").nth(1).unwrap();
    let record: Value = serde_json::from_slice(&fs::read(record.trim()).unwrap()).unwrap();
    assert_eq!(record["exit_code"], 0);
    assert_eq!(record["steps"].as_array().unwrap().len(), 7);
    undo(&world, &record);
    assert_eq!((rows(&world), files(&world)), (3, wrong));
    // What was kept is no snapshot of the source that anybody means by latest.
    let held = world.run(&["hold", "list", "--json"]).expect(0).objects();
    let reasons = held.iter().filter_map(|hold| hold["reason"].as_str());
    assert!(
        reasons
            .into_iter()
            .any(|reason| reason.contains("before restore r-0001"))
    );
    let json = [&ACT[..], &["--source", "db", "--json"]].concat();
    let summary = world.run(&json).expect(0).summary();
    assert_eq!(rows(&world), 100);
    assert_eq!(step_names(&summary).len(), 7);
    assert_eq!(summary["origin"], "restored");
    assert_eq!(summary["services"], "started");
    let listed = world.run(&["snapshots", "--json"]).expect(0).objects();
    let safety = listed.iter().filter(|one| {
        one["source"]
            .as_str()
            .is_some_and(|source| source.starts_with("safety:sqlite:"))
    });
    assert!(safety.count() >= 2);
    let status = world.run(&["status"]);
    assert!(!status.stdout.contains("safety"), "{}", status.stdout);
}

#[test]
fn a_question_needs_a_terminal_and_a_plan_changes_nothing() {
    let world = world(STOP, START, "restore.health = { command = [\"true\"] }");
    go_wrong(&world);
    let before = (tree(&world.path("backup")), files(&world), rows(&world));
    let refused = world.run(&ACT[..4]).expect(2);
    told(&refused, &["This replaces", "add --yes if it is meant"]);
    let plan = world.run(&[&ACT[..4], &["--dry-run"]].concat()).expect(0);
    told(
        &plan,
        &[
            "plan     ",
            "of sqlite:app.db, taken today",
            "app.db (there now: ",
            "safety snapshot of what is there, held 7 days",
            "stop: sh -c 'echo stop >> calls'",
            "start: sh -c 'echo start >> calls'",
            "health: true, within 1m",
            "expect   unknown: no drill",
            "nothing was done",
        ],
    );
    world.run(&["drill", "--job", "app"]).expect(0);
    let plan = world.run(&[&ACT[..4], &["--dry-run"]].concat()).expect(0);
    told(&plan, &["expect   about ", "proven today"]);
    world.run(&["restore", "--job", "app"]).expect(2);
    assert_eq!((files(&world), rows(&world)), (before.1, before.2));
    assert_eq!(calls(&world), "");
    let packs: BTreeSet<_> = before.0.into_iter().map(|(path, _)| path).collect();
    let packs = packs
        .iter()
        .filter(|path| path.starts_with(world.path("backup/packs")));
    assert!(packs.eq(packs_in(&world, "backup").iter()));
}

#[test]
fn a_stop_that_fails_leaves_everything_as_it_is() {
    let stop = r#"[["sh", "-c", "echo stop >> calls"], ["false"]]"#;
    let world = world(stop, START, "");
    go_wrong(&world);
    let before = files(&world);
    let failed = world.run(&ACT).expect(1);
    told(
        &failed,
        &[
            "FAILED at stop services: false: command false ended with exit status: 1",
            "nothing was changed",
            "of 2 stop commands 1 had succeeded (sh -c 'echo stop >> calls'), nothing was started",
            "start: sh -c 'echo start >> calls'",
        ],
    );
    assert_eq!((files(&world), rows(&world)), (before, 3));
    assert_eq!(calls(&world), "stop\n");
}

#[test]
fn damage_is_found_before_anything_is_touched() {
    let world = world(STOP, START, "");
    go_wrong(&world);
    let before = files(&world);
    flip_in_packs(&packs_in(&world, "backup"), &BTreeSet::new());
    let failed = world.run(&[&ACT[..], &["--json"]].concat()).expect(4);
    let summary = failed.summary();
    assert_eq!(summary["failed_step"], "verify snapshot");
    assert_eq!(summary["parts"][0]["origin"], "as-before");
    assert_eq!(summary["error"]["kind"], "damage");
    assert_eq!((files(&world), rows(&world)), (before, 3));
    assert_eq!(calls(&world), "");
}

/// A stop that spoils the middle of every pack of data.
const SPOIL: &str = "echo stop >> calls; for f in $(find backup/packs -path '*/meta/*' -prune -o -type f \
     -print); do chmod u+w $f; s=$(stat -c %s $f); printf XXXX | dd of=$f bs=1 seek=$((s / 2)) \
     conv=notrunc status=none; done";

#[test]
fn a_restore_that_fails_says_what_is_there_and_starts_only_what_is_whole() {
    let stop = format!("[[\"sh\", \"-c\", \"{SPOIL}\"]]");
    let world = world(&stop, START, "");
    go_wrong(&world);
    let database = world
        .run(&[&ACT[..], &["--source", "db"]].concat())
        .expect(4);
    told(
        &database,
        &[
            "FAILED at restore",
            "app.db: as it was, nothing was replaced",
            "services: started again, with what was there before",
        ],
    );
    assert_eq!(
        (rows(&world), calls(&world)),
        (3, "stop\nstart\n".to_owned())
    );
    // Of a tree some may be new: it is not started.
    fs::remove_dir_all(world.path("backup")).unwrap();
    fs::remove_dir_all(world.path("home/.cache")).unwrap();
    fs::remove_file(world.path("calls")).unwrap();
    world
        .run(&["repo", "init", "-r", "local", "--kit", "kit"])
        .expect(0);
    world.write("srv/big", icecore::testing_repository::noise(1, 300_000));
    world.run(&["run", "app"]).expect(0);
    world.write("srv/big", "small");
    let tree = world
        .run(&[&ACT[..], &["--source", "files"]].concat())
        .expect(4);
    told(
        &tree,
        &[
            "HALF RESTORED",
            "services: STOPPED, and not started",
            "again: the same command",
            "undo:  icecore restore ",
        ],
    );
    assert_eq!(calls(&world), "stop\n");
}

#[test]
fn a_health_check_that_fails_leaves_what_is_restored() {
    let listener = HttpListener::start();
    listener.answer(503);
    let url = listener.url("/health");
    let health = format!("restore.health = {{ http = \"{url}\", within = \"1s\" }}");
    let world = world(STOP, START, &health);
    go_wrong(&world);
    let failed = world
        .run(&[&ACT[..], &["--source", "db"]].concat())
        .expect(1);
    told(
        &failed,
        &[
            &format!("FAILED at health check: HTTP 503 of {url}, for 1s"),
            "app.db: restored and intact, as of today",
            "services: started",
            "undo:  icecore restore ",
        ],
    );
    assert_eq!(rows(&world), 100);
}

#[test]
fn a_damaged_or_absent_database_is_no_obstacle() {
    let world = world(STOP, START, "");
    let database = [&ACT[..], &["--source", "db", "--json"]].concat();
    for damage in [
        &b"no database at all"[..],
        b"SQLite format 3\0 and then nothing of one",
    ] {
        let mut damaged = damage.to_vec();
        damaged.resize(9000, 0x5A);
        fs::write(world.path("app.db"), &damaged).unwrap();
        let restored = world.run(&database).expect(0);
        told(&restored, &["it is kept as plain bytes"]);
        assert_eq!(rows(&world), 100);
        undo(&world, &restored.summary());
        assert!(fs::read(world.path("app.db")).unwrap() == damaged);
        // A reader may have left an empty one there before.
        let log = fs::read(world.path("app.db-wal")).unwrap_or_default();
        assert!(log.is_empty(), "{} bytes", log.len());
    }
    fs::remove_file(world.path("app.db")).unwrap();
    let restored = world
        .run(&[&ACT[..], &["--source", "db"]].concat())
        .expect(0);
    told(
        &restored,
        &[
            "nothing was there",
            "was not there before: no undo takes it away",
        ],
    );
    assert_eq!(rows(&world), 100);
}

#[test]
fn what_is_written_until_the_stop_is_kept() {
    let stop = r#"[["sh", "-c", "touch stop; while [ ! -e stopped ]; do sleep 0.02; done"]]"#;
    let world = world(stop, START, "");
    let (database, stop, stopped) = (
        world.path("app.db"),
        world.path("stop"),
        world.path("stopped"),
    );
    let writer = thread::spawn(move || {
        let connection = Connection::open(database).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        let mut written = 0;
        while !stop.exists() {
            connection
                .execute("INSERT INTO t VALUES (1, 'later')", [])
                .unwrap();
            written += 1;
            thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..50 {
            connection
                .execute("INSERT INTO t VALUES (1, 'last')", [])
                .unwrap();
            written += 1;
        }
        connection.close().unwrap();
        fs::write(stopped, "").unwrap();
        written
    });
    let restored = world.run(&[&ACT[..], &["--source", "db", "--json"]].concat());
    let written: i64 = writer.join().unwrap();
    let restored = restored.expect(0);
    assert_eq!(rows(&world), 100);
    undo(&world, &restored.summary());
    assert_eq!(rows(&world), 100 + written);
}

#[test]
fn without_a_stop_a_database_in_use_is_refused_at_once() {
    let world = TestEnvironment::new();
    let path = world.database("app.db", 20);
    world.run(&["snapshot", "app.db"]).expect(0);
    let open = Connection::open(&path).unwrap();
    open.execute("INSERT INTO t VALUES (1, 'open')", [])
        .unwrap();
    let act = ["restore", "latest", "--to-origin", "--yes"];
    let refused = world.run(&act).expect(11);
    told(&refused, &["restore.stop in the configuration"]);
    drop(open);
    let shown = world.run(&act).expect(0);
    told(&shown, &["[1/3] verify snapshot", "[3/3] restore"]);
    let none = [&act[..], &["--no-safety-snapshot"]].concat();
    let shown = world.run(&none).expect(0);
    told(&shown, &["[2/2] restore"]);
    assert!(!shown.stdout.contains("Undo:"), "{}", shown.stdout);
}

#[test]
fn an_interruption_says_where_things_stand() {
    let kill = r#"[["sh", "-c", "kill -INT $PPID; sleep 600"]]"#;
    let world = world(kill, START, "");
    go_wrong(&world);
    let stopped = world
        .run(&[&ACT[..], &["--source", "db"]].concat())
        .expect(130);
    told(
        &stopped,
        &[
            "INTERRUPTED at stop services",
            "nothing was changed",
            "no stop command succeeded",
        ],
    );
    assert_eq!((rows(&world), calls(&world)), (3, String::new()));
    configure(&world, STOP, kill, "");
    let started = world
        .run(&[&ACT[..], &["--source", "db", "--json"]].concat())
        .expect(130);
    let summary = started.summary();
    assert_eq!(summary["failed_step"], "start services");
    assert_eq!(summary["origin"], "restored");
    assert_eq!(summary["services"], "partly-started");
    assert_eq!(rows(&world), 100);
}
