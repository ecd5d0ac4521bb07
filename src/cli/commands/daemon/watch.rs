//! Whether sources changed: looked at again and again, as cheaply as that can be told.
//!
//! By looking and not by being told (inotify): that sees changes on network file systems, in trees of
//! any size, and those that were made while nobody looked. A job's sign is written down when a run of
//! it went well, so that a change during a downtime is seen afterwards.

use crate::cli::commands::run::{Records, plans};
use crate::cli::configuration::Configuration;
use crate::cli::invocation::Invocation;
use crate::config::{Job, SourceKind};
use crate::monitor::Silent;
use crate::source::Context;
use crate::source::signal::Signs;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The sign of all sources of a job.
pub type Sign = [u8; 32];

/// Shortest pause between two looks at the same sources.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// Longest.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// How many times as long as a look a pause is: looking takes a twentieth of one processor at most.
const PAUSE_FACTOR: u32 = 20;

/// Looks at the sources of one job until it is dropped.
pub struct Watcher(#[expect(dead_code, reason = "held, not read")] Sender<()>);

impl Watcher {
    /// Begins to look; every sign is given to `take`, until that says that nobody listens.
    pub fn start(
        invocation: &Invocation,
        configuration: &Arc<Configuration>,
        job: &Job,
        take: impl Fn(Sign) -> bool + Send + 'static,
    ) -> Self {
        let (stop, stopped) = bounded(0);
        let (configuration, job) = (Arc::clone(configuration), job.clone());
        let own = match job.repositories.first() {
            Some(first) => invocation.with_repository(first),
            None => invocation.clone(),
        };
        std::thread::spawn(move || look(&own, &configuration, &job, &take, &stopped));
        Self(stop)
    }
}

fn look(
    invocation: &Invocation,
    configuration: &Arc<Configuration>,
    job: &Job,
    take: &dyn Fn(Sign) -> bool,
    stopped: &Receiver<()>,
) {
    loop {
        let started = Instant::now();
        let sign = sign(invocation, configuration, job);
        if sign.is_some_and(|sign| !take(sign)) {
            return;
        }
        let pause = started.elapsed().saturating_mul(PAUSE_FACTOR);
        let pause = pause.clamp(PAUSE_MIN, PAUSE_MAX);
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// The sign of a job's sources; `None` where a stop was asked for.
fn sign(invocation: &Invocation, configuration: &Arc<Configuration>, job: &Job) -> Option<Sign> {
    let mut signs = Signs::default();
    for name in &job.sources {
        let Some(source) = configuration.config.sources.get(name) else {
            continue;
        };
        signs.name(name);
        match &source.kind {
            SourceKind::Sqlite { path, .. } => signs.database(&configuration.resolved(path)),
            SourceKind::Files { .. } => trees(invocation, configuration, job, name, &mut signs)?,
            // Those of the process stay as they are while it lives.
            SourceKind::Environment { .. } => {
                for file in &configuration.config.env_files {
                    signs.file(&configuration.resolved(file));
                }
            }
            _ => {}
        }
    }
    Some(signs.finish())
}

fn trees(
    invocation: &Invocation,
    configuration: &Arc<Configuration>,
    job: &Job,
    name: &str,
    signs: &mut Signs,
) -> Option<()> {
    let only = Job {
        sources: vec![name.to_owned()],
        ..job.clone()
    };
    let context = Context {
        monitor: &Silent,
        cancel: &invocation.cancel,
    };
    for (_, plan) in plans(invocation, configuration, &only, invocation.now()) {
        match plan.map(|mut plan| (plan.open)()) {
            Ok(Ok(mut source)) => signs.tree(&mut *source, &context).ok()?,
            Ok(Err(error)) => signs.name(&error.to_string()),
            Err(error) => signs.name(&error.message()),
        }
    }
    Some(())
}

/// What was seen of each job.
#[derive(Default)]
pub struct Seen {
    /// The last sign.
    latest: BTreeMap<String, Sign>,
    /// The one before the run that goes on.
    begun: BTreeMap<String, Sign>,
}

impl Seen {
    /// Notes a sign; whether it shows a change since the last one, or since the last good run where it
    /// is the first.
    pub fn take(&mut self, records: &Records, job: &str, sign: Sign) -> bool {
        let before = self.latest.insert(job.to_owned(), sign);
        let known = before.or_else(|| records.read(&file(job)));
        known != Some(sign)
    }

    /// Notes that a run begins: what was seen until now will be saved by it.
    pub fn begin(&mut self, job: &str) {
        match self.latest.get(job) {
            Some(sign) => drop(self.begun.insert(job.to_owned(), *sign)),
            None => drop(self.begun.remove(job)),
        }
    }

    /// Notes that the run went well, for the time after a restart too.
    pub fn end_well(
        &mut self,
        records: &Records,
        job: &str,
    ) -> crate::cli::error::CommandResult<()> {
        match self.begun.remove(job) {
            Some(sign) => records.write(&file(job), &sign),
            None => Ok(()),
        }
    }
}

fn file(job: &str) -> String {
    format!("{job}.seen")
}
