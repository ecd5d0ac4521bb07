//! One run of a command that reads the message.

use crate::notify::{ATTEMPT_MAX, SendError};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a command, gives it `input`, and waits for its end. What it prints is not looked at: it goes to
/// standard error.
pub fn run(command: &mut Command, input: &str) -> Result<(), SendError> {
    let fail = |error: std::io::Error| SendError(format!("the command cannot run: {error}"));
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(fail)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Short enough for the pipe; one that does not read at all is no failure.
        let _unread = stdin.write_all(input.as_bytes());
    }
    wait(&mut child)
}

fn wait(child: &mut Child) -> Result<(), SendError> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(SendError(format!("the command ended with {status}"))),
            Ok(None) if started.elapsed() < ATTEMPT_MAX => std::thread::sleep(LOOK),
            Ok(None) => {
                let _gone = child.kill();
                let _gone = child.wait();
                let seconds = ATTEMPT_MAX.as_secs();
                return Err(SendError(format!(
                    "the command took longer than {seconds} s"
                )));
            }
            Err(error) => return Err(SendError(format!("the command is lost: {error}"))),
        }
    }
}
