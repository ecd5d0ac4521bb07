//! From the configuration and the records to tasks.

use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::{Records, identities};
use crate::cli::configuration::Configuration;
use crate::cli::invocation::Invocation;
use crate::config::Job;
use crate::env::Timestamp;
use crate::schedule::Schedule;
use crate::schedule::agenda::Task;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Runs the job.
    Run,
    /// Drills it.
    Drill,
}

/// Names a task. As a text `JOB` or `JOB drill`: names of jobs have no spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskName {
    /// The job.
    pub job: String,
    /// What is done with it.
    pub kind: Kind,
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Run => f.write_str(&self.job),
            Kind::Drill => write!(f, "{} drill", self.job),
        }
    }
}

/// A task and what the agenda need not know of it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its name.
    pub name: TaskName,
    /// As the agenda takes it.
    pub task: Task,
    /// When its run is ended.
    pub timeout: Option<Duration>,
}

/// A job or drill whose schedule counts.
pub struct Scheduled {
    /// Its name.
    pub name: TaskName,
    /// When.
    pub schedule: Schedule,
    /// The zone its schedule is read in.
    pub zone: TimeZone,
    /// When its run is ended.
    pub timeout: Option<Duration>,
}

/// What a configuration wants done by itself.
pub fn scheduled(invocation: &Invocation, configuration: &Configuration) -> Vec<Scheduled> {
    let mut all = Vec::new();
    let jobs = configuration.config.jobs.iter();
    for (job_name, job) in jobs.filter(|(_, job)| job.enabled) {
        let zone = zone_of(invocation, &configuration.config, job);
        let drill = job.drill.as_ref();
        let schedules = [
            (Kind::Run, job.schedule.clone(), job.timeout),
            (
                Kind::Drill,
                drill.and_then(|drill| drill.schedule.clone()),
                None,
            ),
        ];
        for (kind, schedule, timeout) in schedules {
            all.extend(schedule.map(|schedule| Scheduled {
                name: TaskName {
                    job: job_name.clone(),
                    kind,
                },
                schedule,
                zone: zone.clone(),
                timeout,
            }));
        }
    }
    all
}

/// The tasks of a configuration, by their names as texts.
pub fn planned(
    invocation: &Invocation,
    configuration: &Configuration,
    records: &Records,
) -> BTreeMap<String, Planned> {
    let now = invocation.now();
    let known = records.known();
    let mut all = BTreeMap::new();
    for one in scheduled(invocation, configuration) {
        let Some(job) = configuration.config.jobs.get(&one.name.job) else {
            continue;
        };
        let last = last(records, &one.name);
        let since = known.get(&one.name.to_string()).copied();
        let task = Task {
            schedule: one.schedule,
            zone: one.zone,
            uses: uses(configuration, job, one.name.kind),
            last: last.began,
            // A clock that was ahead must not hide what is missed from now on.
            since: since.map_or(now, |since| since.min(now)),
            owed: last.interrupted.then_some(now),
            change: None,
            setbacks: 0,
        };
        let planned = Planned {
            name: one.name.clone(),
            task,
            timeout: one.timeout,
        };
        all.insert(one.name.to_string(), planned);
    }
    all
}

/// What is written down of a task's last run, by whom ever.
#[derive(Debug, Clone, Default)]
pub struct Last {
    /// When it began.
    pub began: Option<Timestamp>,
    /// Whether it did all it should.
    pub success: bool,
    /// Whether it was asked to stop before it was done.
    pub interrupted: bool,
    /// What went wrong.
    pub error: Option<String>,
}

/// What is written down of a task's last run.
pub fn last(records: &Records, name: &TaskName) -> Last {
    let run = || {
        let record = records.of(&name.job)?;
        Some(Last {
            began: Some(record.last()),
            success: record.success,
            interrupted: record.interrupted,
            error: record.error,
        })
    };
    let drill = || {
        let record = records.drill_of(&name.job)?;
        Some(Last {
            began: Some(Timestamp(record.started)),
            success: record.success,
            interrupted: record.interrupted,
            error: record.error,
        })
    };
    let last = match name.kind {
        Kind::Run => run(),
        Kind::Drill => drill(),
    };
    last.unwrap_or_default()
}

/// What no two tasks use at once. Drills need room and the disk: one at a time.
fn uses(configuration: &Configuration, job: &Job, kind: Kind) -> BTreeSet<String> {
    match (kind, &job.export) {
        (Kind::Drill, _) => BTreeSet::from(["drill".to_owned()]),
        // It reads from repositories; two of them may write to one directory.
        (Kind::Run, Some(plan)) => BTreeSet::from([format!("export:{}", plan.to.display())]),
        (Kind::Run, None) => {
            let sources = identities(configuration, job).into_iter();
            sources.map(|(_, identity)| identity).collect()
        }
    }
}

/// Jobs that run when their sources change, by the names of their tasks.
pub fn on_change(tasks: &BTreeMap<String, Planned>) -> impl Iterator<Item = &Planned> {
    let all = tasks.values();
    all.filter(|one| one.task.schedule == Schedule::OnChange && one.name.kind == Kind::Run)
}
