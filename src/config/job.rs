//! `[job.NAME]`.

use crate::config::export::{ExportPlan, layout};
use crate::config::keep::keep;
use crate::config::value::{Problem, Table, Value};
use crate::config::{command, path, zone};
use crate::retention::Policy;
use crate::schedule::Schedule;
use crate::units::{parse_duration, parse_percent, parse_size};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;

/// Which sources go to which repositories, when, and what happens to them there.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it does.
    pub kind: JobKind,
    /// Whether its schedule counts; by hand it runs all the same.
    pub enabled: bool,
    /// Names of sources; none for a job that only looks after repositories.
    pub sources: Vec<String>,
    /// Names of repositories in the order of writing: the first by the run itself, the others as
    /// copies of it.
    pub repositories: Vec<String>,
    /// When; by hand only without.
    pub schedule: Option<Schedule>,
    /// Zone of its schedule; the configuration's without.
    pub timezone: Option<TimeZone>,
    /// A run that takes longer is ended.
    pub timeout: Option<Duration>,
    /// What happens after a failure.
    pub retry: Retry,
    /// What status and reports judge by.
    pub goals: Goals,
    /// What is verified after each snapshot.
    pub verify: Verify,
    /// What is kept; everything without.
    pub keep: Option<Policy>,
    /// Repositories that another job prunes: repository, job.
    pub prune_by: BTreeMap<String, String>,
    /// How the sources are brought back in place.
    pub restore: RestorePlan,
    /// How restores are tried.
    pub drill: Option<Drill>,
    /// What is read back, and how often.
    pub check: Option<Check>,
    /// Where readable files go, of a job that exports.
    pub export: Option<ExportPlan>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobKind {
    /// Takes snapshots.
    #[default]
    Backup,
    /// Looks after repositories: retention, prune, check.
    Prune,
    /// Writes the newest snapshots as readable files.
    Export,
}

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried again.
    pub times: u32,
    /// How long is waited before the first; twice as long before each further one.
    pub wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            times: 0,
            wait: Duration::from_secs(60),
        }
    }
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Goals {
    /// Most that may be lost.
    pub rpo: Option<Duration>,
    /// Longest until it is back.
    pub rto: Option<Duration>,
}

/// What is verified after each snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// Nothing more.
    None,
    /// That every reference resolves.
    #[default]
    Structure,
    /// That all of it reads back.
    ReadBack,
}

/// How the sources of a job are brought back in place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestorePlan {
    /// Run first, in order.
    pub stop: Vec<Vec<String>>,
    /// Run after, in order.
    pub start: Vec<Vec<String>>,
    /// Asked last.
    pub health: Option<Health>,
}

/// How one sees that it works again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Answers with a status below 400.
    pub http: Option<String>,
    /// Ends with status 0.
    pub command: Vec<String>,
    /// Asked again for so long.
    pub within: Duration,
}

/// How restores are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drill {
    /// When.
    pub schedule: Option<Schedule>,
    /// Queries whose first value must be true, by source.
    pub query: BTreeMap<String, String>,
    /// Run last, with the restored paths in its environment.
    pub command: Vec<String>,
}

/// What a maintenance job reads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How often.
    pub every: Duration,
    /// How much, as `check --subset` takes it; everything without.
    pub read_data: Option<String>,
}

pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Job> {
    let kind = table.take("kind", |value| {
        value.choice(&[
            ("backup", JobKind::Backup),
            ("prune", JobKind::Prune),
            ("export", JobKind::Export),
        ])
    });
    let kind = kind.unwrap_or_default();
    let names = |value: &Value<'_, '_>| value.strict_list(Value::text);
    let sources = match kind {
        JobKind::Backup | JobKind::Export => table.require("sources", "[\"db\"]", names),
        JobKind::Prune => table.take("sources", names),
    };
    let repositories = table.require("repositories", "[\"local\"]", names);
    let duration = |value: &Value<'_, '_>| value.parsed(parse_duration);
    let mut job = Job {
        kind,
        enabled: table.take("enabled", Value::boolean).unwrap_or(true),
        sources: sources.unwrap_or_default(),
        repositories: repositories.unwrap_or_default(),
        schedule: table.take("schedule", schedule),
        timezone: table.take("timezone", zone),
        timeout: table.take("timeout", duration),
        retry: table.take("retry", retry).unwrap_or_default(),
        goals: Goals::default(),
        verify: Verify::default(),
        keep: None,
        prune_by: BTreeMap::new(),
        restore: RestorePlan::default(),
        drill: None,
        check: None,
        export: None,
    };
    if kind == JobKind::Export {
        // What is for jobs that write to a repository is unknown here, and a mistake.
        let to = table.require("to", "\"/srv/readable\"", path);
        let layout = table.take("layout", |value| value.parsed(layout));
        job.export = to.map(|to| ExportPlan {
            to,
            layout: layout.unwrap_or_default(),
        });
        return Some(job);
    }
    job.goals = table.take("goals", goals).unwrap_or_default();
    job.verify = table.take("verify", verify).unwrap_or_default();
    job.keep = table.take("keep", keep);
    let pruners = table.take("prune_by", crate::config::texts);
    job.prune_by = pruners.unwrap_or_default();
    job.restore = table.take("restore", restore).unwrap_or_default();
    job.drill = table.take("drill", drill);
    job.check = table.take("check", check);
    Some(job)
}

fn schedule(value: &Value<'_, '_>) -> Result<Schedule, Problem> {
    value.parsed(str::parse)
}

fn verify(value: &Value<'_, '_>) -> Result<Verify, Problem> {
    value.choice(&[
        ("none", Verify::None),
        ("structure", Verify::Structure),
        ("read-back", Verify::ReadBack),
    ])
}

fn retry(value: &Value<'_, '_>) -> Result<Retry, Problem> {
    let mut table = value.table()?;
    let times = table.require("times", "3", |value| value.count(0));
    let wait = table.take("wait", |value| value.parsed(parse_duration));
    table.finish();
    Ok(Retry {
        times: times.unwrap_or_default(),
        wait: wait.unwrap_or(Retry::default().wait),
    })
}

fn goals(value: &Value<'_, '_>) -> Result<Goals, Problem> {
    let mut table = value.table()?;
    let duration = |value: &Value<'_, '_>| value.parsed(parse_duration);
    let goals = Goals {
        rpo: table.take("rpo", duration),
        rto: table.take("rto", duration),
    };
    table.finish();
    Ok(goals)
}

fn restore(value: &Value<'_, '_>) -> Result<RestorePlan, Problem> {
    let mut table = value.table()?;
    let commands = |value: &Value<'_, '_>| value.strict_list(command);
    let plan = RestorePlan {
        stop: table.take("stop", commands).unwrap_or_default(),
        start: table.take("start", commands).unwrap_or_default(),
        health: table.take("health", health),
    };
    table.finish();
    Ok(plan)
}

fn health(value: &Value<'_, '_>) -> Result<Health, Problem> {
    let mut table = value.table()?;
    let http =
        table.take("http", |value| {
            value.parsed(|url| match url.strip_prefix("http://") {
                Some(rest) if !rest.starts_with(['/', ':', '?', '#']) && !rest.is_empty() => {
                    Ok(url.to_owned())
                }
                Some(_) => Err(Problem::new("it names no host")
                    .help("write it like http://127.0.0.1:3000/health")),
                None => Err(Problem::new("it begins with http://").help(
                    "ask a service behind TLS with a command: [\"curl\", \"-fsS\", \"https://…\"]",
                )),
            })
        });
    let command = table.take("command", command).unwrap_or_default();
    let within = table.take("within", |value| {
        let within: Duration = value.parsed(parse_duration)?;
        match within.is_zero() {
            true => Err(Problem::new(format!("{} is no time at all", value.name))
                .help("write how long it may take to come up, such as 60s")),
            false => Ok(within),
        }
    });
    let given = (table.contains("http"), command.is_empty());
    table.finish();
    match given {
        (true, true) | (false, false) => Ok(Health {
            http,
            command,
            within: within.unwrap_or(Duration::from_secs(60)),
        }),
        _ => Err(Problem::new(format!(
            "{} needs http or command, one of them",
            value.name
        ))),
    }
}

fn drill(value: &Value<'_, '_>) -> Result<Drill, Problem> {
    let mut table = value.table()?;
    let drill = Drill {
        schedule: table.take("schedule", schedule),
        query: table
            .take("query", crate::config::texts)
            .unwrap_or_default(),
        command: table.take("command", command).unwrap_or_default(),
    };
    table.finish();
    Ok(drill)
}

fn check(value: &Value<'_, '_>) -> Result<Check, Problem> {
    let mut table = value.table()?;
    let every = table.require("every", "\"1d\"", |value| value.parsed(parse_duration));
    let read_data = table.take("read_data", |value| value.parsed(share));
    table.finish();
    Ok(Check {
        every: every.unwrap_or(Duration::from_secs(86_400)),
        read_data,
    })
}

/// `1/7`, `5%` or `10G`.
fn share(text: &str) -> Result<String, Problem> {
    let number = |part: &str| part.parse::<u32>().ok();
    let is_part = text.split_once('/').is_some_and(|(part, of)| {
        let (part, of) = (number(part), number(of));
        part.zip(of)
            .is_some_and(|(part, of)| part >= 1 && part <= of)
    });
    match is_part || parse_percent(text).is_ok() || parse_size(text).is_ok() {
        true => Ok(text.to_owned()),
        false => Err(Problem::new(format!("{text:?} is no share of the data"))
            .help("write it like 1/7, 5% or 10G")),
    }
}
