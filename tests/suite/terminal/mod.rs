#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The program on a real terminal: progress, questions, Ctrl-C.

use crate::cli::{PASSPHRASE, TestEnvironment, tree};
use crate::support::is_long;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const PROGRAM: &str = include_str!("pseudo.py");
const INTERRUPT: &str = "\x03";

/// What a run on a terminal gave.
struct Session {
    code: i64,
    shown: String,
    /// Seconds until something appeared.
    first: Option<f64>,
}

/// Runs the program on a terminal and goes through `steps`.
fn session(world: &TestEnvironment, arguments: &[&str], steps: &[(&str, Value)]) -> Session {
    run(&world.command(arguments), steps)
}

fn run(command: &Command, steps: &[(&str, Value)]) -> Session {
    let program = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = program.map(|word| word.to_str().unwrap()).collect();
    let text = |word: &std::ffi::OsStr| word.to_str().unwrap().to_owned();
    let mut variables: serde_json::Map<String, Value> = command
        .get_envs()
        .filter_map(|(name, value)| Some((text(name), json!(text(value?)))))
        .collect();
    variables.insert("TERM".to_owned(), json!("xterm"));
    let task = json!({
        "command": words,
        "directory": command.get_current_dir(),
        "variables": variables,
        "steps": steps,
    });
    let mut python = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    input.write_all(task.to_string().as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["problem"].is_null(), "{result}");
    Session {
        code: result["code"].as_i64().unwrap(),
        shown: result["shown"].as_str().unwrap().to_owned(),
        first: result["first"].as_f64(),
    }
}

fn expect(text: &str) -> (&'static str, Value) {
    ("expect", json!(text))
}

fn keys(text: &str) -> (&'static str, Value) {
    ("type", json!(text))
}

/// What is typed where nothing may be echoed.
fn secret(text: &str) -> (&'static str, Value) {
    ("hide", json!(text))
}

/// A repository that a key file opens, with one snapshot.
fn world() -> TestEnvironment {
    let mut world = TestEnvironment::bare();
    world.run(&["key", "generate", "key"]).expect(0);
    world.set("ICECORE_REPO", "repo");
    world.set("ICECORE_KEY_FILE", "key");
    world.init(&["--kit", "kit"]).expect(0);
    world.write("data/a", "saved");
    world.run(&["snapshot", "data"]).expect(0);
    world
}

/// That the one snapshot is there and whole.
fn assert_saved(world: &TestEnvironment) {
    let summary = world.run(&["check", "--read-data", "--json"]).expect(0);
    assert_eq!(summary.summary()["snapshots_checked"], 1);
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(0);
    assert_eq!(tree(&world.path("out")).len(), 1);
}

#[test]
fn a_new_passphrase_is_asked_for_twice_and_not_echoed() {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_REPO", "repo");
    let init = ["init", "--kdf-memory", "8MiB", "--kdf-passes", "1"];
    let line = format!("{PASSPHRASE}\n");
    let differs = [
        expect("new passphrase: "),
        secret(&line),
        expect("again: "),
        secret("another\n"),
        expect("the two passphrases differ"),
    ];
    let refused = session(&world, &init, &differs);
    assert_eq!(refused.code, 12);
    assert!(!world.path("repo").exists());
    let twice = [
        expect("new passphrase: "),
        secret(&line),
        expect("again: "),
        secret(&line),
        expect("created repository"),
    ];
    let made = session(&world, &init, &twice);
    assert_eq!(made.code, 0);
    let once = [
        expect("passphrase: "),
        secret(&line),
        expect("no snapshots"),
    ];
    let opened = session(&world, &["snapshots"], &once);
    for session in [refused, made, opened] {
        let shown = session.shown;
        assert!(!shown.contains(PASSPHRASE) && !shown.contains("another"));
    }
    // Ctrl-C at a prompt ends at once.
    let stopped = [expect("passphrase: "), keys(INTERRUPT)];
    assert_eq!(session(&world, &["snapshots"], &stopped).code, 130);
}

/// The bar is there while the command whose output is saved has not said a word yet.
#[test]
fn progress_is_shown_on_a_terminal_at_once_and_nowhere_else() {
    let world = world();
    let wait = "read line < go; echo done";
    let path = world.path("go");
    let fifo = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(fifo.success());
    let snapshot = ["snapshot", "--exec", "out", "--", "sh", "-c", wait];
    let steps = [
        expect("reading"),
        ("write", json!("go")),
        expect("snapshot "),
    ];
    let shown = session(&world, &snapshot, &steps);
    assert_eq!(shown.code, 0);
    let bar = shown.shown.find("reading").unwrap();
    assert!(bar < shown.shown.find("snapshot ").unwrap());
    // A promise to people; a machine that does ten other things may break it.
    if is_long() {
        assert!(shown.first.unwrap() < 0.2, "{:?}", shown.first);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "go\n").unwrap();
    for quiet in [&["--no-progress"][..], &["-q"], &["--json"]] {
        let session = session(&world, &[quiet, &snapshot].concat(), &[]);
        assert_eq!(session.code, 0);
        assert!(!session.shown.contains("reading"), "{}", session.shown);
    }
    let piped = world.run(&snapshot).expect(0);
    assert!(!piped.stderr.contains("reading") && !piped.stderr.contains('\x1b'));
}

#[test]
fn an_interruption_is_orderly_and_a_second_one_immediate() {
    let world = world();
    // The command ignores the signal; icecore ends it.
    let deaf = "trap '' INT; sleep 600";
    let snapshot = ["snapshot", "--exec", "out", "--", "sh", "-c", deaf];
    let steps = [
        expect("reading"),
        keys(INTERRUPT),
        expect("interrupted"),
        expect("nothing that was saved is harmed"),
    ];
    assert_eq!(session(&world, &snapshot, &steps).code, 130);
    // What waits for a deaf passphrase command does not notice the first one.
    let deaf = "sh -c \"trap '' INT; echo asked >&2; exec sleep 600\"";
    let mut locked = world.command(&["snapshot", "data", "--passphrase-command", deaf]);
    locked.env_remove("ICECORE_KEY_FILE");
    let steps = [
        expect("asked"),
        keys(INTERRUPT),
        ("alive", json!(0.3)),
        keys(INTERRUPT),
    ];
    assert_eq!(run(&locked, &steps).code, 130);
    assert_saved(&world);
}
