#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Thirty simulated days of the example's jobs, with failures injected: every alert, every snapshot that
//! is kept and every line of the audit log is what an independent script says, from the injections alone.

use crate::cli::{Finished, TestEnvironment};
use crate::support::python::python;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const EXAMPLE: &str = include_str!("../../examples/sqlite-team/icecore.toml");
const CLOCK: &str = include_str!("../oracle/clock.c");
const DAYS: i64 = 30;

/// What goes wrong, and when: never on a Sunday, which has a drill.
const INJECTIONS: [(i64, &str); 5] = [
    (6, "source-down"),
    (10, "store-down"),
    (14, "store-refuses"),
    (18, "killed"),
    (23, "clock-jump"),
];

/// How far the clock jumps back, hours.
const JUMP_HOURS: i64 = 40 * 24;

fn zone() -> TimeZone {
    TimeZone::get("Asia/Almaty").unwrap()
}

/// The example with its paths inside `world`, an off-site that is a directory, no waiting between
/// attempts, and messages that go to a file.
fn configuration(world: &TestEnvironment) -> String {
    let srv = world.path("srv").display().to_string();
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let line = match key {
            "credentials" => continue,
            "retry" => "retry = { times = 0 }".to_owned(),
            "url" if line.contains("s3://") => "url = \"offsite\"".to_owned(),
            "url" if line.contains("TEAM_WEBHOOK_URL") => continue,
            "kind" => "kind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat >> told\"]".to_owned(),
            _ => line
                .replace("/srv/team", &srv)
                .replace("/var/backups/team", "local")
                .replace("/etc/icecore/host.key", "host.key")
                .replace("/var/lib/node_exporter/icecore.prom", "icecore.prom")
                .replace("/var/log/icecore/audit.log", "audit.log"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

struct Simulation {
    world: TestEnvironment,
    /// Moves the clock.
    shim: PathBuf,
    /// The first day, a Saturday.
    start: Date,
    /// Bytes of messages that were looked at.
    told: usize,
    alerts: Vec<String>,
}

impl Simulation {
    fn new() -> Self {
        let world = TestEnvironment::bare();
        world.write("icecore.toml", configuration(&world));
        world.write("backup.env", "");
        world.write("srv/app/.env", "TOKEN=1\n");
        world.write("srv/app/node_modules/x.js", "rebuilt");
        fs::create_dir_all(world.path("srv/data")).unwrap();
        let database = rusqlite::Connection::open(world.path("srv/data/app.db")).unwrap();
        let rows = "CREATE TABLE users(a); INSERT INTO users WITH RECURSIVE n(i) AS (VALUES(1) UNION \
            ALL SELECT i+1 FROM n WHERE i<100) SELECT i FROM n;";
        database.execute_batch(rows).unwrap();
        drop(database);
        let source = world.write("clock.c", CLOCK);
        let shim = world.path("clock.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&shim, &source])
            .arg("-ldl")
            .status();
        assert!(
            built.unwrap().success(),
            "the clock's shim does not compile"
        );
        let today = Timestamp::now().to_zoned(zone()).date();
        let first = today.checked_sub((DAYS + 1).days()).unwrap();
        let back = i64::from(first.weekday().since(jiff::civil::Weekday::Saturday));
        let start = first.checked_sub(back.days()).unwrap();
        let simulation = Self {
            world,
            shim,
            start,
            told: 0,
            alerts: Vec::new(),
        };
        let run = |arguments: &[&str]| simulation.run(simulation.at(0, 1, 0), arguments).expect(0);
        run(&["key", "generate", "host.key"]);
        for name in ["local", "offsite"] {
            run(&["repo", "init", "-r", name, "--kit", &format!("kit-{name}")]);
            run(&["domain", "create", "secrets", "-r", name]);
        }
        simulation
    }

    fn at(&self, day: i64, hour: i8, minute: i8) -> Timestamp {
        let date = self.start.checked_add(day.days()).unwrap();
        let zoned = date.at(hour, minute, 0, 0).to_zoned(zone()).unwrap();
        zoned.timestamp()
    }

    /// The program, at that time.
    fn command(&self, at: Timestamp, arguments: &[&str]) -> Command {
        let offset = at.as_second() - Timestamp::now().as_second();
        let mut command = self.world.command(arguments);
        command
            .env("LD_PRELOAD", &self.shim)
            .env("SIMULATED_CLOCK_OFFSET", offset.to_string());
        command
    }

    fn run(&self, at: Timestamp, arguments: &[&str]) -> Finished {
        crate::cli::finished(self.command(at, arguments).output().unwrap())
    }

    /// Runs a job, and notes what was told.
    fn job(&mut self, (day, job): (i64, &str), at: Timestamp, code: i32) {
        self.run(at, &["run", job]).expect(code);
        let all = fs::read_to_string(self.world.path("told")).unwrap_or_default();
        let new = serde_json::Deserializer::from_str(&all[self.told..]).into_iter::<Value>();
        for notice in new {
            let notice = notice.unwrap();
            let word = |name: &str| notice[name].as_str().unwrap();
            let (condition, mut subject) = (word("condition"), word("subject").to_owned());
            // Whether the disk of the machine that runs this is full says nothing.
            if condition == "disk" {
                continue;
            }
            if condition == "missing-day" {
                let message = word("message").trim_start_matches("over: ");
                subject = format!("{subject}@{}", &message[..10]);
            }
            let line = format!("{day} {job} {condition} {subject} {}", word("state"));
            self.alerts.push(line);
        }
        self.told = all.len();
    }

    /// One day, with what is injected into it.
    fn day(&mut self, day: i64, injected: &str) {
        let path = |name: &str| self.world.path(name);
        let (database, packs, offsite, away) = (
            path("srv/data/app.db"),
            path("local/packs"),
            path("offsite"),
            path("away"),
        );
        self.world.write("srv/app/main.js", format!("day {day}"));
        if day == 0 || day == 12 {
            self.world.write("srv/app/.env", format!("TOKEN={day}\n"));
            self.job((day, "secrets"), self.at(day, 2, 0), 0);
        }
        let jump = match injected {
            "clock-jump" => SignedDuration::from_hours(JUMP_HOURS),
            _ => SignedDuration::ZERO,
        };
        let nightly = self.at(day, 3, 0) - jump;
        let later = self.at(day, 4, 30) - jump;
        let (mut code, mut code_later) = (0, 0);
        match injected {
            "source-down" => {
                fs::rename(&database, &away).unwrap();
                (code, code_later) = (3, 3);
            }
            "store-refuses" => {
                fs::rename(&packs, &away).unwrap();
                fs::write(&packs, "in the way").unwrap();
                code = 1;
            }
            _ => {}
        }
        match injected {
            "killed" => {
                let mut command = self.command(nightly, &["run", "nightly"]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                let mut child = command.spawn().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
            }
            _ => self.job((day, "nightly"), nightly, code),
        }
        match injected {
            "store-refuses" => {
                fs::remove_file(&packs).unwrap();
                fs::rename(&away, &packs).unwrap();
            }
            "store-down" => {
                fs::rename(&offsite, &away).unwrap();
                code_later = 1;
            }
            _ => {}
        }
        self.job((day, "offsite"), later, code_later);
        match injected {
            "store-down" => fs::rename(&away, &offsite).unwrap(),
            "source-down" => fs::rename(&away, &database).unwrap(),
            _ => {}
        }
        if self.at(day, 5, 0).to_zoned(zone()).weekday() == jiff::civil::Weekday::Sunday {
            let drill = ["drill", "--job", "nightly"];
            self.run(self.at(day, 5, 0), &drill).expect(0);
        }
    }

    /// What is there at the end, as the script tells it.
    fn outcome(mut self) -> Value {
        let (mut kept, mut audit) = (Vec::new(), Vec::new());
        let end = self.at(DAYS, 0, 0);
        let day = |time: &Value| {
            let moment: Timestamp = time.as_str().unwrap().parse().unwrap();
            moment.to_zoned(zone()).date()
        };
        let name = |source: &Value| {
            let source = source.as_str().unwrap().to_owned();
            source.rsplit('/').next().unwrap_or_default().to_owned()
        };
        for place in ["local", "offsite"] {
            let listed = self
                .run(end, &["snapshots", "-r", place, "--json"])
                .expect(0);
            for one in listed.objects() {
                let is_of_source = one["type"] == "snapshot" && one["source"] != "config:team";
                if is_of_source {
                    kept.push(format!(
                        "{place} {} {}",
                        day(&one["taken"]),
                        name(&one["source"])
                    ));
                }
            }
            let show = ["audit", "show", "-r", place, "--json", "--last", "5000"];
            for one in self.run(end, &show).expect(0).objects() {
                if one["event"] == "backup_create_complete" {
                    let status = one["status"].as_str().unwrap();
                    let (day, name) = (day(&one["timestamp"]), name(&one["source"]));
                    audit.push(format!("{place} {day} {name} {status}"));
                }
            }
            self.run(end, &["audit", "verify", "-r", place]).expect(0);
            let read = ["check", "--read-data", "-r", place];
            self.run(end, &read).expect(0);
        }
        kept.sort();
        audit.sort();
        self.alerts.sort();
        json!({ "alerts": self.alerts, "kept": kept, "audit": audit })
    }
}

/// What the script says that these injections lead to.
fn expected(start: Date, injections: &[(i64, &str)]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/thirty_days.py");
    let injections = injections.iter();
    let injections: Vec<Value> = injections
        .map(|(day, kind)| json!({ "day": day, "kind": kind }))
        .collect();
    let asked = json!({ "days": DAYS, "start": start.to_string(), "injections": injections });
    let mut child = Command::new(python("import json"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(asked.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Lines of one that the other does not have, for people.
fn differing(actual: &Value, expected: &Value) -> String {
    let mut told = String::new();
    for part in ["alerts", "kept", "audit"] {
        let lines = |of: &Value| -> Vec<String> {
            let lines = of[part].as_array().unwrap().iter();
            lines
                .map(|line| line.as_str().unwrap().to_owned())
                .collect()
        };
        let (actual, expected) = (lines(actual), lines(expected));
        for line in actual.iter().filter(|line| !expected.contains(line)) {
            told.push_str(&format!("{part}: happened, not expected: {line}\n"));
        }
        for line in expected.iter().filter(|line| !actual.contains(line)) {
            told.push_str(&format!("{part}: expected, did not happen: {line}\n"));
        }
    }
    told
}

#[test]
fn thirty_days_come_out_as_the_injections_say() {
    let mut simulation = Simulation::new();
    let start = simulation.start;
    for day in 0..DAYS {
        let injected = INJECTIONS.iter().find(|(on, _)| *on == day);
        simulation.day(day, injected.map_or("", |(_, kind)| kind));
    }
    let actual = simulation.outcome();
    let all = expected(start, &INJECTIONS);
    assert!(actual == all, "{}", differing(&actual, &all));
    // The comparison sees each of them: one that is left out of the list fails it.
    for left_out in 0..INJECTIONS.len() {
        let mut fewer = INJECTIONS.to_vec();
        let (_, kind) = fewer.remove(left_out);
        let without = expected(start, &fewer);
        assert!(actual != without, "{kind} makes no difference");
    }
}
