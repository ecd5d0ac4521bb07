//! The output of a command as a file.

use crate::entry::{Fact, Facts, Layout};
use crate::env::{Clock, Timestamp};
use crate::monitor::{Cancel, Interrupted, Monitor};
use crate::source::stream::redact::Secrets;
use crate::source::stream::{Outcome, checked_name, stream_entry};
use crate::source::{
    CaptureError, Consistency, Content, ContentEnd, Context, Extent, Sink, Source, SourceError,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Most bytes kept of a command's standard error: the last ones.
const STDERR_BYTES_MAX: usize = 64 << 10;

/// Most bytes of standard error shown in an error.
const STDERR_SHOWN_BYTES_MAX: usize = 2 << 10;

/// How often a request to stop is looked for while a command is silent.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// How long standard error is waited for once the command has ended: a process it left behind may
/// hold it open for ever.
const STDERR_GRACE: Duration = Duration::from_secs(2);

/// Our own secrets, which a command has no business with.
const SECRET_VARIABLES: [&str; 10] = [
    "ICECORE_NEW_PASSPHRASE",
    "ICECORE_PASSPHRASE",
    "ICECORE_PASSPHRASE_FILE",
    "ICECORE_PASSPHRASE_COMMAND",
    "ICECORE_TO_PASSPHRASE",
    "ICECORE_TO_PASSPHRASE_FILE",
    "ICECORE_TO_PASSPHRASE_COMMAND",
    "ICECORE_FROM_PASSPHRASE",
    "ICECORE_FROM_PASSPHRASE_FILE",
    "ICECORE_FROM_PASSPHRASE_COMMAND",
];

/// Keeps our own secrets from a command of the user's.
pub fn hide_secrets(command: &mut Command) {
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
}

/// Runs a command and captures its standard output as one file.
///
/// Its standard input is empty; it gets its own process group, which is killed when the capture
/// is cancelled or given up. Facts: `command` (the program, without arguments, which may be
/// secrets), `command.arguments` (their number), `command.exit_status`, `command.duration_ms`,
/// `command.stderr` (the last 64 KiB, secrets known from arguments and environment removed).
pub struct CommandSource {
    name: Vec<u8>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("no command is given")]
    NoCommand,
    #[error("it ended with {status}{stderr}")]
    Failed { status: String, stderr: String },
    #[error("its output is not connected")]
    NotConnected,
}

impl CommandSource {
    /// Captures what `arguments` (the program first) writes as a file called `name`. `environment`
    /// is added to this process's own. Errors: no program, or `name` is not one path component.
    pub fn new(
        name: &[u8],
        arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SourceError> {
        let name = checked_name(name)?;
        if arguments.is_empty() {
            let object = format!("the command of {}", String::from_utf8_lossy(&name));
            return Err(failure("run", object, CommandError::NoCommand));
        }
        Ok(Self {
            name,
            arguments,
            environment,
            clock,
        })
    }

    fn program(&self) -> String {
        let program = self
            .arguments
            .first()
            .map(|program| program.to_string_lossy());
        program.unwrap_or_default().into_owned()
    }

    /// The command, ready to be started.
    fn prepare(&self) -> Option<Command> {
        let (program, rest) = self.arguments.split_first()?;
        let mut command = Command::new(program);
        command
            .args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        hide_secrets(&mut command);
        Some(command)
    }

    fn start(
        &self,
        context: &Context<'_>,
        outcome: Outcome,
    ) -> Result<CommandContent, SourceError> {
        let fail = |error: std::io::Error| failure("run", self.program(), error);
        let mut command = self
            .prepare()
            .ok_or_else(|| failure("run", "a command", CommandError::NoCommand))?;
        let started = self.clock.now();
        let mut child = command.spawn().map_err(fail)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let running = Running::watch(child, context.cancel.clone());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(failure("run", self.program(), CommandError::NotConnected));
        };
        Ok(CommandContent {
            stdout,
            stderr: StderrTail::follow(stderr),
            running,
            program: self.program(),
            arguments: self.arguments.len().saturating_sub(1),
            secrets: Secrets::new(&self.arguments, &self.environment),
            cancel: context.cancel.clone(),
            clock: Arc::clone(&self.clock),
            started,
            length: 0,
            outcome,
        })
    }
}

fn failure(
    operation: &'static str,
    object: impl Into<String>,
    source: impl std::error::Error + Send + Sync + 'static,
) -> SourceError {
    SourceError {
        operation,
        object: object.into(),
        remedy: None,
        source: Box::new(source),
    }
}

impl Source for CommandSource {
    fn capture(&mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        let entry = stream_entry(&self.name, self.clock.as_ref());
        let outcome = Outcome::default();
        let length = Arc::new(Mutex::new(None));
        let mut start_failure = None;
        sink.file(
            entry,
            None,
            &mut || match self.start(context, outcome.clone()) {
                Ok(content) => Ok(Box::new(Measured {
                    content,
                    length: Arc::clone(&length),
                }) as Box<dyn Content>),
                Err(error) => {
                    start_failure = Some(failure(
                        "run",
                        self.program(),
                        Repeated(error.source.to_string()),
                    ));
                    Err(error)
                }
            },
        )?;
        context.cancel.check()?;
        if let Some(error) = start_failure {
            return Err(error.into());
        }
        outcome.into_result(&self.name)?;
        warn_if_empty(context.monitor, &self.program(), &length);
        Ok(())
    }
}

/// An error told a second time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Repeated(String);

fn warn_if_empty(monitor: &dyn Monitor, program: &str, length: &Mutex<Option<u64>>) {
    if *length.lock().unwrap_or_else(PoisonError::into_inner) == Some(0) {
        monitor.warn(&format!("{program} succeeded but wrote nothing"));
    }
}

/// Tells the source how much was read.
struct Measured {
    content: CommandContent,
    length: Arc<Mutex<Option<u64>>>,
}

impl Content for Measured {
    fn layout(&self) -> Layout {
        Layout::Stream
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        self.content.read(buffer)
    }

    fn finish(self: Box<Self>) -> Result<ContentEnd, SourceError> {
        let length = self.content.length;
        *self.length.lock().unwrap_or_else(PoisonError::into_inner) = Some(length);
        self.content.finish()
    }
}

struct CommandContent {
    stdout: ChildStdout,
    stderr: StderrTail,
    running: Running,
    program: String,
    arguments: usize,
    secrets: Secrets,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    length: u64,
    outcome: Outcome,
}

impl CommandContent {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Extent, SourceError> {
        loop {
            match self.stdout.read(buffer) {
                Ok(0) if self.cancel.is_cancelled() => return Err(self.fail(Interrupted)),
                Ok(0) => return Ok(Extent::End),
                Ok(length) => {
                    self.length += length as u64;
                    return Ok(Extent::Data(length));
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    fn fail(&self, error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
        self.outcome.set(Err(format!("{}: {error}", self.program)));
        failure("read the output of", self.program.clone(), error)
    }

    fn finish(mut self) -> Result<ContentEnd, SourceError> {
        let status = self.running.wait().map_err(|error| self.fail(error))?;
        if self.cancel.is_cancelled() {
            return Err(self.fail(Interrupted));
        }
        let (stderr, is_cut) = self.stderr.take();
        if !status.success() {
            let shown = &stderr[stderr.len().saturating_sub(STDERR_SHOWN_BYTES_MAX)..];
            let shown = self.secrets.redact(shown);
            let stderr = match shown.trim() {
                "" => String::new(),
                text => format!(": {text}"),
            };
            let status = match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit status {}", status.code().unwrap_or(-1)),
            };
            return Err(self.fail(CommandError::Failed { status, stderr }));
        }
        let elapsed = self.clock.now().0.saturating_sub(self.started.0).max(0) / 1_000_000;
        let mut facts = Facts::from([
            ("command".to_owned(), Fact::Text(self.program.clone())),
            (
                "command.arguments".to_owned(),
                Fact::Integer(i64::try_from(self.arguments).unwrap_or(i64::MAX)),
            ),
            (
                "command.exit_status".to_owned(),
                Fact::Integer(i64::from(status.code().unwrap_or(0))),
            ),
            ("command.duration_ms".to_owned(), Fact::Integer(elapsed)),
        ]);
        if !stderr.is_empty() {
            let text = self.secrets.redact(&stderr);
            facts.insert("command.stderr".to_owned(), Fact::Text(text));
            facts.insert("command.stderr_cut".to_owned(), Fact::Bool(is_cut));
        }
        self.outcome.set(Ok(()));
        Ok(ContentEnd {
            entry: None,
            consistency: Consistency::Consistent,
            facts,
        })
    }
}

/// A command and the thread that kills its process group when the work is cancelled. Dropping it
/// kills what still runs.
struct Running {
    child: Arc<Mutex<Option<Child>>>,
    group: Option<Pid>,
    /// Dropped to end the watching thread.
    stop: Option<Sender<()>>,
    watcher: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn watch(child: Child, cancel: Cancel) -> Self {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let child = Arc::new(Mutex::new(Some(child)));
        let (stop, stopped) = channel::<()>();
        let watched = Arc::clone(&child);
        let watcher = thread::spawn(move || watch(&stopped, &cancel, &watched, group));
        Self {
            child,
            group,
            stop: Some(stop),
            watcher: Some(watcher),
        }
    }

    /// The exit status. Polls, because the watching thread must be able to kill meanwhile.
    fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            {
                let mut slot = self.child.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(child) = slot.as_mut() else {
                    return Err(std::io::Error::other("its exit status was taken before"));
                };
                if let Some(status) = child.try_wait()? {
                    // Reaped: its number may be another process's soon.
                    *slot = None;
                    return Ok(status);
                }
            }
            thread::sleep(pause);
            pause = (pause * 2).min(CANCEL_INTERVAL);
        }
    }
}

fn watch(
    stopped: &Receiver<()>,
    cancel: &Cancel,
    child: &Mutex<Option<Child>>,
    group: Option<Pid>,
) {
    use std::sync::mpsc::RecvTimeoutError::Timeout;
    while let Err(Timeout) = stopped.recv_timeout(CANCEL_INTERVAL) {
        if cancel.is_cancelled() {
            kill(&child.lock().unwrap_or_else(PoisonError::into_inner), group);
            return;
        }
    }
}

/// Kills the whole group. Only while the child is not reaped: until then nobody else can get its
/// number.
fn kill(child: &Option<Child>, group: Option<Pid>) {
    if let (Some(_), Some(group)) = (child, group) {
        // It may have ended by itself: that is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        let mut slot = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        kill(&slot, self.group);
        if let Some(child) = slot.as_mut() {
            // Reaps what was killed; its status is nobody's concern any more.
            let _ = child.wait();
        }
        *slot = None;
    }
}

/// The last bytes of a command's standard error, read by a thread so that the command never blocks
/// on it.
struct StderrTail {
    tail: Arc<Mutex<(VecDeque<u8>, bool)>>,
    done: Receiver<()>,
}

impl StderrTail {
    fn follow(mut stderr: ChildStderr) -> Self {
        let tail = Arc::new(Mutex::new((VecDeque::new(), false)));
        let (finished, done) = channel();
        let shared = Arc::clone(&tail);
        thread::spawn(move || {
            let mut buffer = vec![0u8; 8 << 10];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                let mut slot = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let (kept, is_cut) = &mut *slot;
                kept.extend(&buffer[..length]);
                let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
                kept.drain(..surplus);
                *is_cut |= surplus > 0;
            }
            // Nobody may be waiting any more.
            let _ = finished.send(());
        });
        Self { tail, done }
    }

    /// What was kept, and whether something before it was dropped.
    fn take(&self) -> (Vec<u8>, bool) {
        // Late or never: what has come so far is used either way.
        let _ = self.done.recv_timeout(STDERR_GRACE);
        let slot = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        (slot.0.iter().copied().collect(), slot.1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::env::SystemClock;

    #[test]
    fn our_own_passphrases_are_not_inherited() {
        let arguments = vec!["/bin/true".into()];
        let source =
            CommandSource::new(b"x", arguments, Vec::new(), Arc::new(SystemClock)).unwrap();
        let command = source.prepare().unwrap();
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        for name in SECRET_VARIABLES {
            assert!(removed.iter().any(|removed| removed == name), "{name}");
        }
    }
}
