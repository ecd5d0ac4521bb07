//! Notices: each condition is caused, and what a real listener got is looked at.

use crate::cli::TestEnvironment;
use crate::support::listeners::{HttpListener, MailListener, Request};
use serde_json::Value;
use std::fs;

/// A URL that is a secret.
const SECRET_PATH: &str = "/hook/T0K3N-in-the-path";

/// A job of a tree into two repositories, watched by a webhook. `more` is added to the file.
fn world(listener: &HttpListener, more: &str) -> TestEnvironment {
    let mut world = TestEnvironment::bare();
    world.set("HOOK", &listener.url(SECRET_PATH));
    world.run(&["key", "generate", "host.key"]).expect(0);
    world.write("srv/a.txt", "alpha");
    configure(&world, "", more);
    for name in ["local", "nas"] {
        let kit = format!("kit-{name}");
        let init = ["repo", "init", "-r", name, "--kit", &kit];
        world.run(&init).expect(0);
    }
    world
}

fn configure(world: &TestEnvironment, of_local: &str, more: &str) {
    let text = format!(
        "version = 1\nname = \"portal\"\n\n\
         [repository.local]\nurl = \"backup\"\nkey = {{ file = \"host.key\" }}\n{of_local}\n\
         [repository.nas]\nurl = \"nas\"\nkey = {{ file = \"host.key\" }}\n\n\
         [source.srv]\ntype = \"files\"\npaths = [\"srv\"]\n\n\
         [job.nightly]\nsources = [\"srv\"]\nrepositories = [\"local\", \"nas\"]\n\
         schedule = \"daily 03:00\"\n\n\
         [notify.ops]\non = [\"warning\", \"critical\", \"completed\", \"restore\", \"drill\"]\n\
         url = {{ env = \"HOOK\" }}\n{more}\n"
    );
    world.write("icecore.toml", text);
}

/// What came, as condition, state and the rest.
fn told(listener: &HttpListener) -> Vec<(String, String, Value)> {
    let requests = listener.take();
    let bodies = requests.iter().map(|request| {
        assert_eq!(request.path, SECRET_PATH);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert!(!request.body.contains("T0K3N"));
        let word = |name: &str| body[name].as_str().unwrap().to_owned();
        (word("condition"), word("state"), body.clone())
    });
    bodies.collect()
}

fn conditions(told: &[(String, String, Value)]) -> Vec<String> {
    let mut words: Vec<String> = told
        .iter()
        .map(|(condition, state, _)| format!("{condition} {state}"))
        .collect();
    words.sort();
    words
}

/// That a condition was told once, with a snapshot, a remedy, and a message that says this.
fn expect_problem(told: &[(String, String, Value)], condition: &str, message: &str) {
    let found: Vec<&Value> = told
        .iter()
        .filter(|(word, state, _)| word == condition && state == "problem")
        .map(|(.., body)| body)
        .collect();
    let [body] = found.as_slice() else {
        panic!("{condition} was told {} times: {told:#?}", found.len());
    };
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    assert!(text("message").contains(message), "{body:#}");
    assert!(!text("remedy").is_empty(), "{body:#}");
    assert!(
        text("snapshot_id").len() >= 8
            || condition == "verification-failed"
            || condition == "copy-failed",
        "{body:#}"
    );
    assert_eq!((text("name"), text("type")), ("portal", "icecore.notice"));
}

/// As if so long had passed that everything is tried again.
fn let_time_pass(world: &TestEnvironment) {
    let records = crate::cli::tree(&world.path("home/.cache/icecore/jobs"));
    let mut paths = records.into_iter().map(|(path, _)| path);
    let ledger = paths.find(|path| path.ends_with("notices.json")).unwrap();
    let text = fs::read(&ledger).unwrap();
    let mut parsed: Value = serde_json::from_slice(&text).unwrap();
    for delivery in parsed["queue"].as_array_mut().unwrap() {
        delivery["next"] = 0.into();
    }
    fs::write(&ledger, parsed.to_string()).unwrap();
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    icecore::testing_repository::noise(seed, length)
}

#[test]
fn a_failed_run_is_told_once_and_so_is_its_recovery() {
    let listener = HttpListener::start();
    let world = world(&listener, "");
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(conditions(&told(&listener)), ["completed news"]);
    fs::rename(world.path("srv"), world.path("gone")).unwrap();
    world.run(&["run", "nightly"]).expect(1);
    let found = told(&listener);
    expect_problem(&found, "failed", "srv");
    assert_eq!(found[0].2["severity"], "critical");
    assert_eq!(found[0].2["remedy"], "icecore run nightly");
    world.run(&["run", "nightly"]).expect(1);
    assert_eq!(conditions(&told(&listener)), Vec::<String>::new(), "once");
    let listed = world.run(&["notify", "list", "--json"]).expect(0);
    assert_eq!(listed.summary()["open"], 1);
    fs::rename(world.path("gone"), world.path("srv")).unwrap();
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(
        conditions(&told(&listener)),
        ["completed news", "failed resolved"]
    );
}

#[test]
fn a_listener_that_is_down_gets_it_later_and_nothing_twice() {
    let listener = HttpListener::start();
    let world = world(&listener, "");
    listener.answer(503);
    let run = world.run(&["run", "nightly"]).expect(0);
    assert!(
        run.stderr.contains("notify.ops could not be told"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("T0K3N"), "{}", run.stderr);
    let_time_pass(&world);
    let check = world.run(&["notify", "check", "--json"]).expect(5);
    assert_eq!(check.summary()["waiting"], 1);
    assert!(told(&listener).is_empty());
    listener.answer(200);
    let_time_pass(&world);
    world.run(&["notify", "check"]).expect(0);
    assert_eq!(conditions(&told(&listener)), ["completed news"]);
    world.run(&["notify", "check"]).expect(0);
    assert!(told(&listener).is_empty());
}

#[test]
fn sizes_changes_and_space_are_told() {
    let listener = HttpListener::start();
    let world = world(&listener, "");
    for day in 0..4 {
        world.write("srv/big", noise(1, 8 << 20));
        world.write("srv/a.txt", format!("day {day}"));
        world.run(&["run", "nightly"]).expect(0);
    }
    told(&listener);
    world.write("srv/big", noise(2, 8 << 20));
    world.run(&["run", "nightly"]).expect(0);
    let found = told(&listener);
    expect_problem(&found, "change", "the median of 14 days");
    assert_eq!(conditions(&found), ["change problem", "completed news"]);
    world.write("srv/more", noise(3, 3 << 20));
    world.run(&["run", "nightly"]).expect(0);
    let found = told(&listener);
    expect_problem(&found, "size", "more than the one before");
    assert_eq!(
        conditions(&found),
        ["change resolved", "completed news", "size problem"]
    );
    configure(&world, "max_size = \"1MiB\"", "");
    world.run(&["notify", "check"]).expect(0);
    let found = told(&listener);
    expect_problem(&found, "full", "of its size is used");
    assert_eq!(conditions(&found), ["full problem"]);
    configure(&world, "", "");
    world.run(&["notify", "check"]).expect(0);
    assert_eq!(conditions(&told(&listener)), ["full resolved"]);
}

#[test]
fn nothing_for_a_day_and_missing_days_are_told() {
    let listener = HttpListener::start();
    let world = world(&listener, "");
    let days = |back: i64| {
        let now = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * back);
        now.strftime("%Y-%m-%dT%H:%MZ").to_string()
    };
    world.run(&["run", "nightly", "--date", &days(3)]).expect(0);
    let found = told(&listener);
    expect_problem(&found, "stale", "old, goal");
    assert_eq!(found.len(), 2, "and that the run was completed: {found:#?}");
    world.run(&["run", "nightly"]).expect(0);
    let found = told(&listener);
    assert_eq!(
        conditions(&found),
        [
            "completed news",
            "missing-day problem",
            "missing-day problem",
            "stale resolved"
        ]
    );
}

#[test]
fn verification_copies_drills_and_restores_are_told() {
    let listener = HttpListener::start();
    let world = world(&listener, "");
    let flag = world.path("flag").display().to_string();
    let drill = format!("[job.nightly.drill]\ncommand = [\"test\", \"-e\", \"{flag}\"]\n");
    configure(&world, "", &drill);
    world.run(&["run", "nightly"]).expect(0);
    told(&listener);

    world
        .run(&["drill", "--job", "nightly", "-r", "local"])
        .expect(6);
    let found = told(&listener);
    expect_problem(&found, "drill-failed", "a restore was tried and failed");
    world.write("flag", "");
    world
        .run(&["drill", "--job", "nightly", "-r", "local"])
        .expect(0);
    assert_eq!(
        conditions(&told(&listener)),
        ["drill-failed resolved", "drill-passed news"]
    );

    world
        .run(&[
            "restore", "latest", "-r", "local", "--source", "srv", "--target", "back",
        ])
        .expect(0);
    let found = told(&listener);
    assert_eq!(
        conditions(&found),
        ["restore-finished news", "restore-started news"]
    );
    assert!(found[0].2["snapshot_id"].as_str().unwrap().len() == 64);

    // The copy cannot be written where a file is in the way.
    fs::rename(world.path("nas/packs"), world.path("away")).unwrap();
    fs::write(world.path("nas/packs"), "in the way").unwrap();
    world.write("srv/new", noise(5, 100_000));
    world.run(&["run", "nightly"]).expect(3);
    let found = told(&listener);
    expect_problem(&found, "copy-failed", "could not be brought there");
    expect_problem(&found, "failed", "no copy in nas");
    fs::remove_file(world.path("nas/packs")).unwrap();
    fs::rename(world.path("away"), world.path("nas/packs")).unwrap();
    world.run(&["run", "nightly"]).expect(0);
    assert_eq!(
        conditions(&told(&listener)),
        ["completed news", "copy-failed resolved", "failed resolved"]
    );

    let packs = crate::cli::tree(&world.path("backup/packs"));
    let (path, bytes) = packs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut spoiled = bytes.clone();
    let middle = spoiled.len() / 2;
    spoiled[middle] ^= 1;
    fs::write(path, &spoiled).unwrap();
    world
        .run(&["check", "--read-data", "-r", "local"])
        .expect(4);
    let found = told(&listener);
    expect_problem(&found, "verification-failed", "damaged object");
    fs::write(path, bytes).unwrap();
    world
        .run(&["check", "--read-data", "-r", "local"])
        .expect(0);
    assert_eq!(
        conditions(&told(&listener)),
        ["verification-failed resolved"]
    );
}

#[test]
fn every_kind_of_receiver_gets_its_form_by_severity() {
    let listener = HttpListener::start();
    let mail = MailListener::start();
    let more = format!(
        "[notify.chat]\nkind = \"slack\"\non = [\"critical\"]\nurl = {{ env = \"SLACK\" }}\n\
         [notify.pager]\nkind = \"pagerduty\"\non = [\"critical\"]\nkey = {{ env = \"ROUTING\" }}\nurl = \"{}\"\n\
         [notify.dead-man]\nkind = \"ping\"\non = [\"completed\", \"critical\"]\nurl = {{ env = \"PING\" }}\n\
         [notify.post]\nkind = \"email\"\non = [\"critical\"]\nserver = \"{}\"\nfrom = \"icecore@example.org\"\nto = [\"ops@example.org\"]\n\
         [notify.script]\nkind = \"command\"\non = [\"critical\"]\ncommand = [\"sh\", \"-c\", \"cat >> told; env > environment\"]\n",
        listener.url("/pager"),
        mail.address,
    );
    let mut world = world(&listener, &more);
    world.set("SLACK", &listener.url("/slack"));
    world.set("ROUTING", "R0UT1NG");
    world.set("PING", &listener.url("/ping"));
    world.set("ICECORE_NEW_PASSPHRASE", "not-for-commands");
    world.run(&["run", "nightly"]).expect(0);
    let paths = |requests: &[Request]| -> Vec<String> {
        let mut paths: Vec<String> = requests.iter().map(|one| one.path.clone()).collect();
        paths.sort();
        paths
    };
    assert_eq!(
        paths(&listener.take()),
        [SECRET_PATH, "/ping", "/ping/start"]
    );
    fs::rename(world.path("srv"), world.path("gone")).unwrap();
    world.run(&["run", "nightly"]).expect(1);
    let requests = listener.take();
    assert_eq!(
        paths(&requests),
        [SECRET_PATH, "/pager", "/ping/fail", "/ping/start", "/slack"]
    );
    let body = |path: &str| {
        let found = requests.iter().find(|one| one.path == path).unwrap();
        serde_json::from_str::<Value>(&found.body).unwrap()
    };
    let pager = body("/pager");
    assert_eq!(
        (&pager["event_action"], &pager["routing_key"]),
        (&"trigger".into(), &"R0UT1NG".into())
    );
    assert_eq!(pager["payload"]["severity"], "critical");
    let slack = body("/slack")["text"].as_str().unwrap().to_owned();
    let mails = mail.take();
    let script = fs::read_to_string(world.path("told")).unwrap();
    let snapshot = pager["payload"]["custom_details"]["snapshot_id"]
        .as_str()
        .unwrap();
    for text in [&slack, &mails[0], &script] {
        assert!(
            text.contains("icecore run nightly") && text.contains(snapshot),
            "{text}"
        );
    }
    assert!(
        mails[0].contains("RCPT TO:<ops@example.org>"),
        "{}",
        mails[0]
    );
    assert!(
        mails[0].contains("Subject: [portal] CRITICAL nightly:"),
        "{}",
        mails[0]
    );
    let environment = fs::read_to_string(world.path("environment")).unwrap();
    assert!(!environment.contains("not-for-commands"));
    fs::rename(world.path("gone"), world.path("srv")).unwrap();
    world.run(&["run", "nightly"]).expect(0);
    let requests = listener.take();
    let resolve = requests.iter().find(|one| one.path == "/pager").unwrap();
    let resolve: Value = serde_json::from_str(&resolve.body).unwrap();
    assert_eq!(
        (&resolve["event_action"], &resolve["dedup_key"]),
        (&"resolve".into(), &pager["dedup_key"])
    );

    // The test says who cannot be told, and why, without the secret.
    let test = world.run(&["notify", "test", "--json"]).expect(0);
    assert_eq!(test.summary()["notify"].as_array().unwrap().len(), 6);
    listener.answer(404);
    let test = world.run(&["notify", "test", "chat"]).expect(1);
    assert!(
        test.stdout.contains("chat  FAILED: it answered 404"),
        "{}",
        test.stdout
    );
    world.set("SLACK", "http://127.0.0.1:1/T0K3N");
    let test = world.run(&["notify", "test", "chat"]).expect(1);
    assert!(!test.stdout.contains("T0K3N"), "{}", test.stdout);
    world.run(&["notify", "test", "nobody"]).expect(2);
}
