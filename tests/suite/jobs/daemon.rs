//! The daemon as a service manager meets it: started, told, stopped, killed.

use super::{configure, world};
use crate::cli::TestEnvironment;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon and what it tells.
struct Daemon {
    process: Child,
    objects: Receiver<Value>,
    errors: Receiver<String>,
}

impl Daemon {
    fn start(world: &TestEnvironment, options: &[&str]) -> Self {
        let words = [&["daemon", "--json"], options].concat();
        let mut process = world
            .command(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, objects) = channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let object = serde_json::from_str(&line.unwrap()).expect("a JSON line");
                let _unheard = send.send(object);
            }
        });
        let (send, errors) = channel();
        let mut stderr = process.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            let _unheard = send.send(text);
        });
        Self {
            process,
            objects,
            errors,
        }
    }

    /// The next event of this name.
    fn wait(&self, event: &str) -> Value {
        loop {
            let object = self.objects.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!("no {event}: {error}");
            });
            if object["event"] == event {
                return object;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.process.id()), signal).unwrap();
    }

    /// Asks it to stop; its summary.
    fn stop(mut self) -> (Value, String) {
        self.signal(Signal::TERM);
        let status = self.process.wait().unwrap();
        let errors = self.errors.recv_timeout(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(0), "{errors}");
        let summary = std::iter::from_fn(|| self.objects.recv_timeout(PATIENCE).ok());
        let summary = summary.last().unwrap();
        assert_eq!(summary["type"], "summary");
        (summary, errors)
    }

    /// The runs that go on.
    fn children(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
        let text: String = lists.map(Result::unwrap_or_default).collect();
        text.split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// Replaces parts of the configuration.
fn change(world: &TestEnvironment, pairs: &[(&str, &str)]) {
    let mut text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    for (from, to) in pairs {
        assert!(text.contains(from), "{from}\n{text}");
        text = text.replace(from, to);
    }
    world.write("icecore.toml", text);
}

/// The job's command now waits for whoever writes to a pipe.
fn block(world: &TestEnvironment) -> PathBuf {
    let pipe = world.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    change(
        world,
        &[("[\"printenv\", \"TOKEN\"]", "[\"cat\", \"pipe\"]")],
    );
    pipe
}

/// The record of the last run.
fn record(world: &TestEnvironment) -> (PathBuf, Value) {
    state(world, "nightly.json")
}

/// What is remembered in a file of this name.
fn state(world: &TestEnvironment, name: &str) -> (PathBuf, Value) {
    let jobs = world.path("home/.cache/icecore/jobs");
    let found = fs::read_dir(jobs).unwrap();
    let mut found = found.map(|entry| entry.unwrap().path().join(name));
    let path = found.find(|path| path.exists()).unwrap();
    let value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (path, value)
}

fn jobs(world: &TestEnvironment) -> Value {
    let objects = world.run(&["jobs", "--json"]).expect(0).objects();
    objects
        .into_iter()
        .find(|one| one["job"] == "nightly")
        .unwrap()
}

#[test]
fn what_is_due_runs_and_a_stop_is_clean() {
    let world =
        world("drill = { schedule = \"every 24h\", command = [\"test\", \"-e\", \"app.db\"] }");
    change(
        &world,
        &[
            ("\"daily 03:00\"", "\"every 6h\""),
            ("[observe]", "[observe]\nlisten = \"127.0.0.1:0\""),
        ],
    );
    let dry = world.run(&["daemon", "--dry-run"]).expect(0).stdout;
    assert!(
        dry.contains("would run nightly: every 6h, next at once"),
        "{dry}"
    );
    let daemon = Daemon::start(&world, &[]);
    let address = daemon.wait("listening")["address"]
        .as_str()
        .unwrap()
        .to_owned();
    // Beside it, the drill finds nothing to try or something: it comes when it comes.
    let ended = loop {
        let ended = daemon.wait("run-ended");
        if ended["task"] == "nightly" {
            break ended;
        }
    };
    assert_eq!(
        (&ended["ok"], &ended["trigger"]),
        (&Value::Bool(true), &"schedule".into()),
        "{ended}"
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let success = "portal_backup_success{job=\"nightly\"} 1";
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(success),
        "{answer}"
    );
    assert!(
        answer.contains("portal_repository_size_bytes{repository=\"local\"} "),
        "{answer}"
    );
    let second = world.run(&["daemon"]).expect(11);
    assert!(
        second.stderr.contains("another daemon"),
        "{}",
        second.stderr
    );
    assert_eq!(jobs(&world)["trigger"], "schedule");
    let (summary, _) = daemon.stop();
    assert!(summary["runs"].as_u64().unwrap() >= 1, "{summary}");
    world.run(&["check", "-r", "local"]).expect(0);
}

#[test]
fn times_that_were_missed_are_made_up_for_once() {
    let world = world("");
    world.run(&["run", "nightly"]).expect(0);
    let (path, mut value) = record(&world);
    for key in ["started", "present"] {
        let long_ago = value[key].as_i64().unwrap() - 4 * 86_400 * 1_000_000_000;
        value[key] = long_ago.into();
    }
    fs::write(path, value.to_string()).unwrap();
    let late = world.run(&["status", "--json"]).expect(5).summary();
    assert_eq!(late["findings"][0]["state"], "missed", "{late}");
    let daemon = Daemon::start(&world, &[]);
    let ended = daemon.wait("run-ended");
    assert_eq!(
        (&ended["ok"], &ended["trigger"]),
        (&Value::Bool(true), &"catch-up".into()),
        "{ended}"
    );
    let (summary, _) = daemon.stop();
    assert_eq!(summary["runs"], 1);
    world.run(&["status"]).expect(0);
    // A past date that is filled in is no run of today's.
    let before = record(&world).1["present"].clone();
    world
        .run(&["run", "nightly", "--date", "2026-01-05"])
        .expect(0);
    assert_eq!(record(&world).1["present"], before);
    assert_eq!(jobs(&world)["trigger"], "back-fill");
}

#[test]
fn a_stop_interrupts_what_runs_and_the_next_start_makes_up_for_it() {
    let world = world("");
    change(&world, &[("\"daily 03:00\"", "\"every 6h\"")]);
    let pipe = block(&world);
    let daemon = Daemon::start(&world, &["--grace", "1s"]);
    daemon.wait("run-started");
    // The command is reached when somebody has the pipe open for reading.
    let held = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let (summary, _) = daemon.stop();
    drop(held);
    assert_eq!(summary["runs"], 1);
    let (_, value) = record(&world);
    assert_eq!(
        (&value["interrupted"], &value["success"]),
        (&true.into(), &false.into()),
        "{value}"
    );
    world.run(&["check", "-r", "local"]).expect(0);
    fs::remove_file(&pipe).unwrap();
    world.write("pipe", "now a file");
    let daemon = Daemon::start(&world, &[]);
    let ended = daemon.wait("run-ended");
    assert_eq!(
        (&ended["ok"], &ended["trigger"]),
        (&Value::Bool(true), &"catch-up".into()),
        "{ended}"
    );
    daemon.stop();
}

#[test]
fn a_run_that_is_killed_is_a_failed_one_everywhere() {
    let world = world("");
    change(&world, &[("\"daily 03:00\"", "\"every 6h\"")]);
    let pipe = block(&world);
    let daemon = Daemon::start(&world, &[]);
    daemon.wait("run-started");
    let held = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let children = daemon.children();
    assert_eq!(children.len(), 1, "{children:?}");
    kill_process(pid(children[0]), Signal::KILL).unwrap();
    let ended = daemon.wait("run-ended");
    drop(held);
    let error = ended["error"].as_str().unwrap();
    assert!(error.contains("killed by signal 9"), "{ended}");
    let metrics = fs::read_to_string(world.path("portal.prom")).unwrap();
    assert!(
        metrics.contains("portal_backup_success{job=\"nightly\"} 0"),
        "{metrics}"
    );
    let status = world.run(&["status", "--json"]).expect(6).summary();
    let failed = status["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["state"] == "failed");
    assert!(failed, "{status}");
    daemon.stop();
}

#[test]
fn one_source_is_never_captured_twice_at_once() {
    let world = world("");
    change(&world, &[("\"daily 03:00\"", "\"every 6h\"")]);
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let other = "[job.other]\nsources = [\"dump\"]\nrepositories = [\"local\"]\n";
    world.write("icecore.toml", format!("{text}\n{other}"));
    let pipe = block(&world);
    let mut by_hand = world.command(&["run", "other"]).spawn().unwrap();
    let mut held = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let refused = world.run(&["run", "nightly"]).expect(11);
    let told = "source dump is being captured by another run";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    let daemon = Daemon::start(&world, &[]);
    let ended = daemon.wait("run-ended");
    assert!(ended["error"].as_str().unwrap().contains(told), "{ended}");
    held.write_all(b"one").unwrap();
    drop(held);
    assert_eq!(by_hand.wait().unwrap().code(), Some(0));
    daemon.stop();
    assert!(jobs(&world)["last_run"].is_null(), "put off is not failed");
}

#[test]
fn a_broken_file_changes_nothing_and_a_changed_source_starts_its_job() {
    let world = world("verify = \"none\"");
    change(&world, &[("\"daily 03:00\"", "\"on-change\"")]);
    let good = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let daemon = Daemon::start(&world, &[]);
    daemon.wait("daemon-started");
    world.write(
        "icecore.toml",
        "version = 1\n[job.nightly]\nsource = [\"db\"]\n",
    );
    daemon.signal(Signal::HUP);
    let refused = daemon.wait("reload-refused");
    assert!(
        refused["error"].as_str().unwrap().contains("icecore.toml"),
        "{refused}"
    );
    // Nothing was ever saved, so everything is new; and the file in its place is still broken.
    let ended = daemon.wait("run-ended");
    assert_eq!(
        (&ended["ok"], &ended["trigger"]),
        (&Value::Bool(true), &"on-change".into()),
        "{ended}"
    );
    let more =
        "[job.more]\nsources = [\"files\"]\nrepositories = [\"local\"]\nschedule = \"every 1h\"\n";
    world.write("icecore.toml", format!("{good}\n{more}"));
    daemon.signal(Signal::HUP);
    daemon.wait("reloaded");
    assert_eq!(daemon.wait("run-ended")["task"], "more");
    let (_, errors) = daemon.stop();
    assert!(errors.contains("the old one goes on"), "{errors}");
}

#[test]
fn a_disabled_job_is_told_and_left_out() {
    let world = world("");
    world.run(&["run", "nightly"]).expect(0);
    configure(&world, "enabled = false");
    let status = world.run(&["status", "--json"]).expect(5).summary();
    assert_eq!(status["findings"][0]["state"], "disabled", "{status}");
    let jobs = world.run(&["jobs"]).expect(0).stdout;
    assert!(jobs.contains("disabled"), "{jobs}");
    let all = world.run(&["run", "--all"]).expect(0);
    assert!(
        all.stderr.contains("job nightly is disabled"),
        "{}",
        all.stderr
    );
    let none = world.run(&["daemon"]).expect(2);
    assert!(
        none.stderr
            .contains("no job of the configuration has a schedule"),
        "{}",
        none.stderr
    );
    world.run(&["run", "nightly"]).expect(0);
}

#[test]
fn a_job_that_never_ran_is_missed_since_the_daemon_knew_it() {
    let world = world("");
    let daemon = Daemon::start(&world, &[]);
    daemon.wait("daemon-started");
    let (summary, _) = daemon.stop();
    assert_eq!(summary["runs"], 0, "its time did not come");
    let (path, mut value) = state(&world, "daemon.state");
    value["nightly"] = (value["nightly"].as_i64().unwrap() - 4 * 86_400 * 1_000_000_000).into();
    fs::write(path, value.to_string()).unwrap();
    let status = world.run(&["status", "--json"]).expect(6).summary();
    let findings = status["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|one| one["state"] == "missed"),
        "{status}"
    );
    let daemon = Daemon::start(&world, &[]);
    let ended = daemon.wait("run-ended");
    assert_eq!(
        (&ended["ok"], &ended["trigger"]),
        (&Value::Bool(true), &"catch-up".into()),
        "{ended}"
    );
    daemon.stop();
}

#[test]
fn an_address_in_use_or_a_broken_file_stops_it_at_the_start() {
    let world = world("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("[observe]\nlisten = \"{}\"", taken.local_addr().unwrap());
    change(&world, &[("[observe]", &listen)]);
    let refused = world.run(&["daemon"]).expect(1);
    assert!(
        refused.stderr.contains("cannot listen at 127.0.0.1:"),
        "{}",
        refused.stderr
    );
    world.write("icecore.toml", "version = 1\n[job.nightly]\n");
    world.run(&["daemon"]).expect(2);
}
