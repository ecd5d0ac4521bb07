//! What uses the origin: stopped before, started after, asked whether it works.

use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::external::{run_to_end, shown};
use crate::cli::invocation::Invocation;
use crate::config::{Health, RestorePlan};
use crate::monitor::Cancel;
use crate::notify;
use crate::units::elapsed;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two questions.
const AGAIN: Duration = Duration::from_millis(500);

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Statuses below this are an answer of something that works.
const STATUS_BAD: u16 = 400;

/// What the configuration says of a job's services.
#[derive(Default)]
pub struct Services {
    plan: RestorePlan,
    /// Where its commands run.
    directory: Option<PathBuf>,
    /// What they find in their environment.
    variables: Vec<(OsString, OsString)>,
}

/// How far a row of commands came.
pub struct Halted {
    /// Commands that had ended well.
    pub done: usize,
    /// Why the next one did not.
    pub error: CommandError,
}

impl Services {
    /// Those of a job.
    pub fn of(configuration: &Configuration, plan: &RestorePlan) -> Self {
        Self {
            plan: plan.clone(),
            directory: configuration.path.parent().map(PathBuf::from),
            variables: configuration.variables(),
        }
    }

    /// Whether something is stopped before.
    pub fn stops(&self) -> bool {
        !self.plan.stop.is_empty()
    }

    /// Whether something is started after.
    pub fn starts(&self) -> bool {
        !self.plan.start.is_empty()
    }

    /// Whether somebody is asked at the end.
    pub fn asks(&self) -> bool {
        self.plan.health.is_some()
    }

    /// The commands that stop, as lines.
    pub fn stop_lines(&self) -> Vec<String> {
        self.plan.stop.iter().map(|words| shown(words)).collect()
    }

    /// The commands that start, as lines.
    pub fn start_lines(&self) -> Vec<String> {
        self.plan.start.iter().map(|words| shown(words)).collect()
    }

    /// What is asked at the end, as a line.
    pub fn health_line(&self) -> Option<String> {
        let health = self.plan.health.as_ref()?;
        let asked = match &health.http {
            Some(url) => url.clone(),
            None => shown(&health.command),
        };
        Some(format!("{asked}, within {}", elapsed(health.within)))
    }

    /// Where to look when what was started does not work.
    pub fn look(&self) -> Option<String> {
        let units = self.plan.start.iter().filter_map(|words| {
            let [program, verb, units @ ..] = words.as_slice() else {
                return None;
            };
            let starts = matches!(verb.as_str(), "start" | "restart");
            let unit = units.iter().find(|word| !word.starts_with('-'))?;
            (program.ends_with("systemctl") && starts).then(|| format!("-u {unit}"))
        });
        let units: Vec<String> = units.collect();
        (!units.is_empty()).then(|| format!("journalctl {}", units.join(" ")))
    }

    /// Stops them, in order.
    pub fn stop(&self, cancel: &Cancel) -> Result<(), Halted> {
        self.each(&self.plan.stop, cancel)
    }

    /// Starts them, in order.
    pub fn start(&self, cancel: &Cancel) -> Result<(), Halted> {
        self.each(&self.plan.start, cancel)
    }

    fn each(&self, commands: &[Vec<String>], cancel: &Cancel) -> Result<(), Halted> {
        for (done, words) in commands.iter().enumerate() {
            self.run(words, cancel)
                .map_err(|error| Halted { done, error })?;
        }
        Ok(())
    }

    fn run(&self, words: &[String], cancel: &Cancel) -> CommandResult<()> {
        let line = shown(words);
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let ended = run_to_end(&words, self.directory.as_deref(), &self.variables, cancel);
        ended.map_err(|error| match error.kind {
            ErrorKind::Interrupted => error,
            _ => error.within(&line),
        })
    }

    /// Asks until it works or the time is over; returns what it answered.
    pub fn check(&self, invocation: &Invocation) -> CommandResult<String> {
        let Some(health) = &self.plan.health else {
            return Ok(String::new());
        };
        let now = Instant::now();
        let end = now.checked_add(health.within).unwrap_or(now);
        loop {
            let problem = match self.ask(health, end, &invocation.cancel) {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            invocation.cancel.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let within = elapsed(health.within);
                return Err(CommandError::failed(format!("{problem}, for {within}")));
            }
            std::thread::sleep(AGAIN.min(left));
        }
    }

    /// Asks once.
    fn ask(&self, health: &Health, end: Instant, cancel: &Cancel) -> Result<String, String> {
        let Some(url) = &health.http else {
            let ended = self.run(&health.command, &cancel.until(end));
            let line = shown(&health.command);
            return match ended {
                Ok(()) => Ok(format!("{line}: ok")),
                Err(error) if error.kind == ErrorKind::Interrupted => {
                    Err(format!("{line} did not end"))
                }
                Err(error) => Err(error.message()),
            };
        };
        let left = end.saturating_duration_since(Instant::now());
        let within = left.clamp(Duration::from_secs(1), ANSWER_MAX);
        match notify::status(url, within) {
            Ok(status) if status < STATUS_BAD => Ok(format!("HTTP {status}")),
            Ok(status) => Err(format!("HTTP {status} of {url}")),
            Err(error) => Err(format!("no answer of {url}: {error}")),
        }
    }
}
