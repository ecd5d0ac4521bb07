//! One run as a process of its own: `icecore run JOB` or `icecore drill --job JOB`, as by hand. What
//! goes wrong in it, memory included, does not touch the daemon or the other runs.

use crate::cli::arguments::global::GlobalArguments;
use crate::cli::commands::daemon::limits::Limits;
use crate::cli::commands::daemon::tasks::{Kind, TaskName};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::codec::Effort;
use crate::env::Timestamp;
use crate::schedule::agenda::Trigger;
use crossbeam_channel::{Receiver, bounded};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest line of a run that is passed on, bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// How long the last lines of a run that ended are waited for: what it started may still hold them.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A run that was started.
pub struct Child {
    process: std::process::Child,
    /// When it began, by the clock.
    pub began: Timestamp,
    /// Why.
    pub trigger: Trigger,
    /// How long it may live.
    pub limits: Limits,
    error: Arc<Mutex<String>>,
    readers: Vec<Receiver<()>>,
}

impl Child {
    /// Starts a run with the configuration as it was accepted.
    pub fn start(
        invocation: &Invocation,
        (name, trigger): (&TaskName, Trigger),
        (path, copy): (&Path, &Path),
        timeout: Option<Duration>,
    ) -> CommandResult<Self> {
        let fail = |error| CommandError::failed(format!("cannot start a run: {error}"));
        // By what is running: the file may have been replaced since.
        let program = std::env::current_exe().map_err(fail)?;
        let mut command = Command::new(program);
        command.args(inherited(&invocation.global));
        command.arg("--config").arg(path);
        command.arg("--config-copy").arg(copy);
        if invocation.output.is_json() {
            command.arg("--json");
        }
        match name.kind {
            Kind::Run => command.args(["run", &name.job, "--trigger", trigger.name()]),
            Kind::Drill => command.args(["drill", "--job", &name.job]),
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the daemon, which passes it on.
            .process_group(0);
        let (began, since) = (invocation.now(), invocation.clock.elapsed());
        let mut process = command.spawn().map_err(fail)?;
        let error = Arc::<Mutex<String>>::default();
        let mut readers = Vec::new();
        if let Some(stdout) = process.stdout.take() {
            let lines = Lines::new(invocation, name);
            readers.push(follow(stdout, move |line| lines.out(line)));
        }
        if let Some(stderr) = process.stderr.take() {
            let (lines, error) = (Lines::new(invocation, name), Arc::clone(&error));
            readers.push(follow(stderr, move |line| lines.error(line, &error)));
        }
        Ok(Self {
            process,
            began,
            trigger,
            limits: Limits {
                began: since,
                timeout,
                asked: None,
                ended: false,
            },
            error,
            readers,
        })
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.try_wait().ok().flatten()?;
        for reader in self.readers.drain(..) {
            let _late = reader.recv_timeout(LAST_LINES);
        }
        Some(status)
    }

    /// The last error that it told.
    pub fn last_error(&self) -> String {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone()
    }

    /// Asks it to stop.
    pub fn ask(&mut self, now: Duration) {
        self.limits.asked = Some(now);
        // Not reaped yet, so the number is still its own.
        if let Ok(Some(pid)) = i32::try_from(self.process.id()).map(Pid::from_raw) {
            let _gone = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.limits.ended = true;
        let _gone = self.process.kill();
    }
}

/// What every run of the daemon gets of its own options.
pub(super) fn inherited(global: &GlobalArguments) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--no-progress".into(), "--color=never".into()];
    let mut option = |name: &str, value: Option<OsString>| {
        words.extend(value.map(|value| {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            word
        }));
    };
    let path = |path: &Option<std::path::PathBuf>| path.clone().map(OsString::from);
    let text = |value: String| Some(OsString::from(value));
    option("--cache-dir", path(&global.cache_dir));
    option("--log-file", path(&global.log_file));
    option("--spool-dir", path(&global.spool_dir));
    option(
        "--spool-size",
        global.spool_size.and_then(|size| text(format!("{size}B"))),
    );
    option(
        "--jobs",
        global.jobs.and_then(|jobs| text(jobs.to_string())),
    );
    if global.compression != Effort::default() {
        option("--compression", text(global.compression.to_string()));
    }
    let rate =
        |rate: Option<std::num::NonZeroU64>| rate.and_then(|rate| text(format!("{rate}B/s")));
    option("--limit-upload", rate(global.limit_upload));
    option("--limit-download", rate(global.limit_download));
    if global.quiet {
        words.push("--quiet".into());
    }
    words.extend((0..global.verbose).map(|_| "-v".into()));
    words
}

/// Where the lines of a run go, each with the name of the task.
struct Lines {
    invocation: Invocation,
    name: String,
}

impl Lines {
    fn new(invocation: &Invocation, name: &TaskName) -> Self {
        Self {
            invocation: invocation.clone(),
            name: name.to_string(),
        }
    }

    fn out(&self, line: &str) {
        let output = &self.invocation.output;
        match output.is_json() {
            true => self.object(line),
            false => drop(output.line(&format!("{} | {}", self.name, text::line(line)))),
        }
        output.flush();
    }

    /// The objects of a run, without its summary: there is one for all.
    fn object(&self, line: &str) {
        let Ok(Value::Object(mut object)) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let kind = object.remove("type");
        match kind.as_ref().and_then(Value::as_str) {
            Some("summary" | "progress") | None => {}
            Some(kind) => drop(self.invocation.output.object(kind, Value::Object(object))),
        }
    }

    fn error(&self, line: &str, last: &Mutex<String>) {
        let line = text::line(line);
        if let Some(message) = line.strip_prefix("error: ") {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = message.to_owned();
        }
        self.invocation
            .ui
            .stderr_line(&format!("{} | {line}", self.name));
    }
}

/// Passes lines on until there are none. The receiver hears of the end.
fn follow(
    stream: impl Read + Send + 'static,
    take: impl Fn(&str) + Send + 'static,
) -> Receiver<()> {
    let (ended, receiver) = bounded(1);
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut stream)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line);
            if !read.is_ok_and(|length| length > 0) {
                break;
            }
            take(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        }
        let _unheard = ended.send(());
    });
    receiver
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::inherited;
    use crate::cli::arguments::Arguments;
    use clap::Parser;

    #[test]
    fn runs_get_the_options_of_the_daemon() {
        let words = [
            "icecore",
            "daemon",
            "--jobs",
            "3",
            "--compression",
            "-3",
            "--limit-upload",
            "10MB/s",
            "--limit-download",
            "1kB/s",
            "--spool-size",
            "4GiB",
            "--spool-dir",
            "spool",
            "--cache-dir",
            "cache",
            "--log-file",
            "log",
            "-vv",
        ];
        let given = Arguments::try_parse_from(words).unwrap().global;
        let mut again = vec!["icecore".into(), "jobs".into()];
        again.extend(inherited(&given));
        let parsed = Arguments::try_parse_from(again).unwrap().global;
        let same = |global: &crate::cli::arguments::global::GlobalArguments| {
            format!(
                "{:?}",
                (
                    &global.jobs,
                    &global.compression,
                    (&global.limit_upload, &global.limit_download),
                    (&global.spool_size, &global.spool_dir),
                    (
                        &global.cache_dir,
                        &global.log_file,
                        global.verbose,
                        global.quiet
                    ),
                )
            )
        };
        assert_eq!(same(&parsed), same(&given));
    }
}
