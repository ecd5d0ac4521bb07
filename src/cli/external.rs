//! Commands of the configuration that are run and waited for.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::text;
use crate::monitor::{Cancel, Interrupted};
use crate::source::stream::hide_secrets;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a command, an argument vector, in `directory` with variables added, until it ends. What it
/// prints is not looked at; what it complains of goes to standard error.
///
/// It has a process group of its own: a Ctrl-C on the terminal does not reach what it leaves running.
///
/// Errors: it cannot be started, ends with anything but 0, or a stop was asked for, which ends it and
/// all it has started.
pub fn run_to_end(
    words: &[OsString],
    directory: Option<&Path>,
    variables: &[(OsString, OsString)],
    cancel: &Cancel,
) -> CommandResult<()> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let name = program.to_string_lossy().into_owned();
    let failed = |problem: String| CommandError::failed(format!("command {name} {problem}"));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    hide_secrets(&mut command);
    cancel.check()?;
    let started = command.spawn();
    let mut child = started.map_err(|error| failed(format!("cannot be started: {error}")))?;
    loop {
        let status = child.try_wait();
        match status.map_err(|error| failed(format!("was lost: {error}")))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(format!("ended with {status}"))),
            None if cancel.is_cancelled() => {
                // It may have ended by itself: that is what is wanted.
                let _gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _reaped = child.wait();
                return Err(Interrupted.into());
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// A command as a line that a shell reads back.
pub fn shown(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
    quoted.join(" ")
}
