#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::entry::Fact;
use crate::env::SystemClock;
use crate::monitor::Silent;
use crate::source::recording::RecordingSink;
use std::ffi::OsString;
use std::time::{Duration, Instant};

fn run(source: &mut dyn Source, cancel: &Cancel) -> (RecordingSink, Result<(), CaptureError>) {
    let mut sink = RecordingSink::default();
    let context = Context {
        monitor: &Silent,
        cancel,
    };
    let result = source.capture(&context, &mut sink);
    (sink, result)
}

fn command(arguments: &[&str]) -> CommandSource {
    let arguments = arguments.iter().map(OsString::from).collect();
    let environment = vec![("DB_PASSWORD".into(), "hunter2".into())];
    CommandSource::new(b"out.sql", arguments, environment, Arc::new(SystemClock)).unwrap()
}

fn shell(script: &str) -> CommandSource {
    command(&["/bin/sh", "-c", script])
}

fn cause(error: &CaptureError) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn output_is_content_and_facts_hide_secrets() {
    let mut source = shell("echo body; echo \"password is $DB_PASSWORD\" >&2");
    let (sink, result) = run(&mut source, &Cancel::default());
    result.unwrap();
    let file = sink.file_named("out.sql").unwrap();
    assert_eq!(file.bytes, b"body\n");
    assert_eq!(file.facts["command"], Fact::Text("/bin/sh".into()));
    assert_eq!(file.facts["command.arguments"], Fact::Integer(2));
    assert_eq!(file.facts["command.exit_status"], Fact::Integer(0));
    assert_eq!(
        file.facts["command.stderr"],
        Fact::Text("password is ***\n".into())
    );
    assert!(!format!("{:?}", file.facts).contains("hunter2"));
}

#[test]
fn a_failing_command_fails_the_capture_whatever_it_wrote() {
    for script in ["echo lots; echo why >&2; exit 3", "echo why >&2; exit 3"] {
        let (_, result) = run(&mut shell(script), &Cancel::default());
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "cannot capture stream out.sql");
        assert_eq!(cause(&error), "/bin/sh: it ended with exit status 3: why");
    }
    let (_, result) = run(&mut shell("kill -9 $$"), &Cancel::default());
    assert!(cause(&result.unwrap_err()).contains("signal 9"));
    let (_, result) = run(&mut command(&["/nonexistent/program"]), &Cancel::default());
    assert_eq!(
        result.unwrap_err().to_string(),
        "cannot run /nonexistent/program"
    );
    assert!(CommandSource::new(b"x", Vec::new(), Vec::new(), Arc::new(SystemClock)).is_err());
}

#[test]
fn only_the_end_of_standard_error_is_kept_and_never_blocks() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789 >&2; \
                  i=$((i+1)); done; echo the end >&2; echo ok";
    let (sink, result) = run(&mut shell(script), &Cancel::default());
    result.unwrap();
    let file = sink.file_named("out.sql").unwrap();
    let Fact::Text(stderr) = &file.facts["command.stderr"] else {
        panic!("not a text");
    };
    assert_eq!(stderr.len(), 64 << 10);
    assert!(stderr.ends_with("the end\n"));
    assert_eq!(file.facts["command.stderr_cut"], Fact::Bool(true));
}

#[test]
fn cancelling_kills_the_whole_group() {
    let cancel = Cancel::default();
    let from_outside = cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        from_outside.cancel();
    });
    let start = Instant::now();
    let (_, result) = run(&mut shell("sleep 60 | sleep 60"), &cancel);
    assert!(matches!(result, Err(CaptureError::Interrupted(_))));
    assert!(start.elapsed() < Duration::from_secs(20));
    canceller.join().unwrap();
}

fn reader(bytes: &'static [u8]) -> ReaderSource {
    ReaderSource::new(b"dump", Box::new(bytes), Arc::new(SystemClock)).unwrap()
}

#[test]
fn a_reader_is_captured_once() {
    let mut source = reader(b"hello");
    let (sink, result) = run(&mut source, &Cancel::default());
    result.unwrap();
    let file = sink.file_named("dump").unwrap();
    assert_eq!(file.bytes, b"hello");
    assert_eq!(file.entry.metadata.mode, 0o600);
    let (_, result) = run(&mut source, &Cancel::default());
    assert_eq!(cause(&result.unwrap_err()), "the stream was read before");
}

#[test]
fn an_empty_stream_needs_consent() {
    let (_, result) = run(&mut reader(b""), &Cancel::default());
    assert_eq!(cause(&result.unwrap_err()), "the stream is empty");
    let (sink, result) = run(&mut reader(b"").allow_empty(true), &Cancel::default());
    result.unwrap();
    assert!(sink.file_named("dump").is_some());
}

#[test]
fn a_failing_reader_fails_the_capture() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken pipe"))
        }
    }
    let mut source = ReaderSource::new(b"dump", Box::new(Broken), Arc::new(SystemClock)).unwrap();
    let (_, result) = run(&mut source, &Cancel::default());
    assert_eq!(cause(&result.unwrap_err()), "broken pipe");
    for name in ["", "a/b", "..", "a\0"] {
        assert!(
            ReaderSource::new(name.as_bytes(), Box::new(Broken), Arc::new(SystemClock)).is_err()
        );
    }
}
