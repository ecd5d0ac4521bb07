//! `schedule`: what other schedulers need to run the jobs, shown or installed.
//!
//! Nothing secret is in it: a unit names the configuration, and that names where secrets are.

mod cron;
mod install;
mod kubernetes;
mod systemd;

use crate::cli::commands::daemon::tasks::{Kind, TaskName, scheduled};
use crate::cli::commands::snapshot::capture::user_name;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::config::{Job, Secret, SourceKind};
use crate::schedule::Schedule;
use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Show what would run the jobs, as files for another scheduler
    Print(ScheduleArguments),
    /// Put these files where the scheduler looks for them, and take away those of jobs that are gone
    Install(install::InstallArguments),
}

/// What is written for whom.
#[derive(Debug, Clone, Args)]
pub struct ScheduleArguments {
    /// Who keeps the schedules: systemd (a timer for each job), cron, or k8s (CronJobs, untried)
    #[arg(value_enum)]
    scheduler: Scheduler,

    /// With systemd: one unit for icecore daemon instead of a timer for each job
    #[arg(long)]
    daemon: bool,

    /// Run the jobs as this user [default: root for the system's scheduler]
    #[arg(long, value_name = "USER", value_parser = user)]
    run_as: Option<String>,

    /// With k8s: the image that has icecore
    #[arg(long, value_name = "IMAGE", default_value = concat!("icecore:", env!("CARGO_PKG_VERSION")))]
    image: String,
}

/// A scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheduler {
    Systemd,
    Cron,
    #[value(name = "k8s", alias = "kubernetes")]
    Kubernetes,
}

fn user(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match starts && text.chars().all(fits) && text.len() <= 32 {
        true => Ok(text.to_owned()),
        false => Err("this is no name of a user".to_owned()),
    }
}

/// A file for a scheduler.
struct ScheduledFile {
    /// Its name.
    name: String,
    /// What is in it.
    text: String,
}

/// A job or drill that has a schedule.
struct Item<'c> {
    name: TaskName,
    job: &'c Job,
    schedule: Schedule,
    zone: TimeZone,
    timeout: Option<Duration>,
}

/// Everything that the files are made of.
struct Plan<'c> {
    configuration: &'c Configuration,
    /// The program.
    program: PathBuf,
    /// Where records and indexes are: the same as for who looks at them.
    cache: PathBuf,
    items: Vec<Item<'c>>,
    /// Whether the units are for the user's own manager.
    for_user: bool,
    run_as: Option<&'c str>,
    image: &'c str,
    /// The system's zone.
    zone: TimeZone,
    /// What the files cannot say, and what is missing.
    remarks: Vec<String>,
}

impl Plan<'_> {
    /// What the names of all files begin with.
    fn prefix(&self) -> String {
        format!("icecore-{}", self.configuration.name())
    }

    /// The name of the files of a job or drill.
    fn file_of(&self, item: &Item<'_>) -> String {
        let suffix = match item.name.kind {
            Kind::Run => "",
            Kind::Drill => "-drill",
        };
        file_name(&format!("{}-{}{suffix}", self.prefix(), item.name.job))
    }

    /// The words that run it.
    fn command(&self, item: &Item<'_>) -> Vec<String> {
        let path = |path: &std::path::Path| path.display().to_string();
        let mut words = vec![
            path(&self.program),
            "--config".to_owned(),
            path(&self.configuration.path),
            "--cache-dir".to_owned(),
            path(&self.cache),
        ];
        words.extend(self.action(item));
        words
    }

    /// The words after the options.
    fn action(&self, item: &Item<'_>) -> Vec<String> {
        let words = match item.name.kind {
            Kind::Run => vec!["run", &item.name.job, "--trigger", "schedule"],
            Kind::Drill => vec!["drill", "--job", &item.name.job],
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// By which a file is known again as one of this configuration.
    fn mark(&self) -> String {
        Self::mark_of(self.configuration)
    }

    fn mark_of(configuration: &Configuration) -> String {
        let path = configuration.path.display();
        format!("# Written by icecore schedule for {path}: changes here are lost, make them there.")
    }
}

/// A name that file systems and schedulers take.
fn file_name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect()
}

/// Shows or installs.
pub fn run(invocation: &Invocation, command: &ScheduleCommand) -> CommandResult<Report> {
    match command {
        ScheduleCommand::Print(arguments) => print(invocation, arguments),
        ScheduleCommand::Install(arguments) => install::run(invocation, arguments),
    }
}

fn print(invocation: &Invocation, arguments: &ScheduleArguments) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let (files, remarks) = files(invocation, &configuration, arguments)?;
    if files.is_empty() {
        return Err(
            CommandError::usage("no job of the configuration has a schedule that counts")
                .hint("give a job schedule = \"daily 03:00\", and see icecore config check"),
        );
    }
    for file in &files {
        // One file can be piped somewhere as it is.
        if files.len() > 1 {
            invocation.output.line(&format!("# ---- {}", file.name));
        }
        invocation.output.line(file.text.trim_end());
        let fields = json!({ "name": file.name, "text": file.text });
        invocation.output.object("file", fields);
    }
    Ok(told(invocation, &files, &remarks))
}

/// The end of both commands. Exit code 5 where a job is left out or something is missing.
fn told(invocation: &Invocation, files: &[ScheduledFile], remarks: &[String]) -> Report {
    invocation.output.flush();
    for remark in remarks {
        invocation.ui.warn_line(&format!("! {remark}"));
    }
    let names: Vec<&String> = files.iter().map(|file| &file.name).collect();
    let exit = match remarks.is_empty() {
        true => Exit::Done,
        false => Exit::Attention,
    };
    Report::with(json!({ "files": names, "remarks": remarks })).exit(exit)
}

/// The files, and what they cannot say.
fn files(
    invocation: &Invocation,
    configuration: &Arc<Configuration>,
    arguments: &ScheduleArguments,
) -> CommandResult<(Vec<ScheduledFile>, Vec<String>)> {
    let items = scheduled(invocation, configuration);
    let items: Vec<Item<'_>> = items
        .into_iter()
        .filter_map(|one| {
            let job = configuration.config.jobs.get(&one.name.job)?;
            Some(Item {
                name: one.name,
                job,
                schedule: one.schedule,
                zone: one.zone,
                timeout: one.timeout,
            })
        })
        .collect();
    if arguments.daemon && arguments.scheduler != Scheduler::Systemd {
        return Err(CommandError::usage("--daemon is a unit of systemd"));
    }
    // Nothing to keep: what was installed before is taken away.
    if items.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let is_chosen = invocation.global.cache_dir.is_some();
    let another = arguments
        .run_as
        .as_ref()
        .filter(|user| **user != user_name());
    if let (Some(user), false) = (another, is_chosen) {
        let message = format!("{user} cannot use the cache of who installs this");
        return Err(CommandError::usage(message).hint(
            "give --cache-dir, a directory of that user, and use the same for icecore status",
        ));
    }
    let cache = invocation.cache_root().ok_or_else(|| {
        CommandError::usage("there is nowhere to remember what jobs did")
            .hint("set HOME, or give --cache-dir")
    })?;
    let cache = std::path::absolute(cache).map_err(CommandError::failed)?;
    let program = std::env::current_exe().map_err(CommandError::failed)?;
    let is_root = rustix::process::geteuid().is_root();
    let mut plan = Plan {
        configuration,
        program,
        cache: std::path::absolute(&cache).unwrap_or(cache),
        items,
        for_user: !is_root && arguments.run_as.is_none(),
        run_as: arguments.run_as.as_deref(),
        image: &arguments.image,
        zone: invocation.zone.clone(),
        remarks: Vec::new(),
    };
    let missing = variables_missing(configuration, arguments.scheduler);
    plan.remarks.extend(missing);
    let files: Vec<ScheduledFile> = match arguments.scheduler {
        Scheduler::Systemd if arguments.daemon => systemd::daemon(&mut plan)?,
        Scheduler::Systemd => systemd::timers(&mut plan)?,
        Scheduler::Cron => cron::table(&mut plan)?,
        Scheduler::Kubernetes => kubernetes::jobs(&mut plan)?,
    };
    let mut names = BTreeSet::new();
    if let Some(twice) = files.iter().find(|file| !names.insert(&file.name)) {
        let message = format!("two jobs would share the file {}", twice.name);
        return Err(CommandError::usage(message).hint("rename one of the jobs"));
    }
    Ok((files, plan.remarks))
}

/// Secrets in variables that no scheduler sets and no file of the configuration does.
fn variables_missing(configuration: &Configuration, scheduler: Scheduler) -> Vec<String> {
    let how = match scheduler {
        Scheduler::Systemd => "EnvironmentFile= in a drop-in (systemctl edit)",
        Scheduler::Cron => "a line NAME=value in a file that only its user may read",
        Scheduler::Kubernetes => "the secret that the CronJobs take their environment from",
    };
    let config = &configuration.config;
    let of_repositories = config.repositories.iter().flat_map(|(name, repository)| {
        let credentials = repository.credentials.iter();
        let credentials = credentials.flat_map(|both| [&both.id, &both.secret]);
        let secrets = repository.key.iter().chain(credentials);
        secrets.map(move |secret| (format!("repository.{name}"), secret))
    });
    let missing = of_repositories.filter_map(|(what, secret)| match secret {
        Secret::Env(variable) if !configuration.is_of_file(variable) => Some(format!(
            "{what} takes a secret from the variable {variable}, which is in no file of env_files: name \
             one there, or use {how}"
        )),
        Secret::Fd(number) => Some(format!(
            "{what} takes a secret from file descriptor {number}, which nobody opens here"
        )),
        _ => None,
    });
    let mut missing: Vec<String> = missing.collect();
    let without_key = config
        .repositories
        .iter()
        .filter(|(_, one)| one.key.is_none());
    missing.extend(without_key.map(|(name, _)| {
        format!(
            "repository.{name} has no key in the configuration, and nobody is there to be asked: add \
             key = {{ file = \"…\" }}"
        )
    }));
    missing
}

/// Whether a job runs commands that the user chose: what they need is not known.
fn runs_commands(configuration: &Configuration, item: &Item<'_>) -> bool {
    let sources = item.job.sources.iter();
    let mut sources = sources.filter_map(|name| configuration.config.sources.get(name));
    let of_drill = item.job.drill.as_ref();
    match item.name.kind {
        Kind::Run => sources.any(|source| matches!(source.kind, SourceKind::Command { .. })),
        Kind::Drill => of_drill.is_some_and(|drill| !drill.command.is_empty()),
    }
}
