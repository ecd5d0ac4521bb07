//! `doctor`: what a backup and a restore need, each looked at before it is needed.

mod host;
mod repositories;
mod sources;

use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::config::Job;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Only what this job needs
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Attention,
    /// A backup or a restore would fail.
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Attention => "attention",
            Self::Failed => "FAILED",
        }
    }
}

/// One precondition, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// What it is of: `repository local`, `source db`, `host`.
    pub of: String,
    /// Which one, a word.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub message: String,
    /// What to do; empty where it is as it should be.
    pub remedy: String,
}

/// Preconditions of one thing.
pub struct Looked {
    of: String,
    found: Vec<Precondition>,
}

impl Looked {
    /// Nothing of it yet.
    pub fn of(what: impl Into<String>) -> Self {
        Self {
            of: what.into(),
            found: Vec::new(),
        }
    }

    /// One that is as it should be.
    pub fn ok(&mut self, name: &'static str, message: impl Into<String>) {
        self.add(State::Ok, name, message.into(), "");
    }

    /// One that works, and that somebody should look at.
    pub fn attention(
        &mut self,
        name: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(State::Attention, name, message.into(), remedy);
    }

    /// One that does not work.
    pub fn failed(
        &mut self,
        name: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(State::Failed, name, message.into(), remedy);
    }

    /// One that does not work, as an error says it.
    pub fn error(&mut self, name: &'static str, error: &CommandError, otherwise: &str) {
        let hints = error.hints.join("; ");
        let remedy = match hints.is_empty() {
            true => otherwise.to_owned(),
            false => hints,
        };
        self.failed(name, error.message(), remedy);
    }

    fn add(
        &mut self,
        state: State,
        name: &'static str,
        message: String,
        remedy: impl Into<String>,
    ) {
        self.found.push(Precondition {
            of: self.of.clone(),
            name,
            state,
            message,
            remedy: remedy.into(),
        });
    }
}

/// Looks at everything. Exit code 0: all is well; 5: somebody should look; 6: something would fail.
pub fn run(invocation: &Invocation, arguments: &DoctorArguments) -> CommandResult<Report> {
    let mut looked = vec![host::look(invocation)];
    match configuration(invocation, &mut looked) {
        Some(configuration) => {
            of_configuration(invocation, &configuration, arguments, &mut looked)?;
        }
        None if invocation.global.repo.is_some() => {
            looked.push(repositories::look_at_given(invocation));
        }
        None => {}
    }
    invocation.ui.clear();
    invocation.cancel.check()?;
    let found: Vec<Precondition> = looked.into_iter().flat_map(|looked| looked.found).collect();
    show(invocation, &found);
    let worst = found.iter().map(|one| one.state).max();
    let exit = match worst.unwrap_or(State::Ok) {
        State::Ok => Exit::Done,
        State::Attention => Exit::Attention,
        State::Failed => Exit::Unproven,
    };
    let count = |state| found.iter().filter(|one| one.state == state).count();
    Ok(Report::with(json!({
        "preconditions": found.len(),
        "attention": count(State::Attention),
        "failed": count(State::Failed),
    }))
    .exit(exit))
}

/// The configuration; what is wrong with it is the first thing to say.
fn configuration(
    invocation: &Invocation,
    looked: &mut Vec<Looked>,
) -> Option<std::sync::Arc<Configuration>> {
    let mut own = Looked::of("configuration");
    let configuration = match invocation.configuration() {
        Ok(Some(configuration)) => {
            own.ok("file", configuration.path.display().to_string());
            host::look_at_mode(&mut own, &configuration.path, host::Secrecy::Unchanged);
            for file in &configuration.config.env_files {
                let path = configuration.resolved(file);
                host::look_at_mode(&mut own, &path, host::Secrecy::Unread);
            }
            Some(configuration)
        }
        Ok(None) => {
            own.attention(
                "file",
                "there is none: only what is given by hand is looked at",
                "icecore config init writes one for what it finds here",
            );
            None
        }
        Err(error) => {
            own.error("file", &error, "icecore config check");
            None
        }
    };
    looked.push(own);
    configuration
}

fn of_configuration(
    invocation: &Invocation,
    configuration: &Configuration,
    arguments: &DoctorArguments,
    looked: &mut Vec<Looked>,
) -> CommandResult<()> {
    let chosen = match &arguments.job {
        Some(name) => vec![(name.clone(), configuration.job(name)?)],
        None => {
            let jobs = configuration.config.jobs.iter();
            jobs.map(|(name, job)| (name.clone(), job)).collect()
        }
    };
    let named = |of: fn(&Job) -> &Vec<String>| -> BTreeSet<&String> {
        chosen.iter().flat_map(|(_, job)| of(job)).collect()
    };
    let (of_jobs, sources) = (named(|job| &job.repositories), named(|job| &job.sources));
    for (name, repository) in &configuration.config.repositories {
        if arguments.job.is_none() || of_jobs.contains(name) {
            invocation.cancel.check()?;
            let of = (configuration, name.as_str(), repository);
            looked.push(repositories::look(invocation, of, &chosen));
        }
    }
    for (name, source) in &configuration.config.sources {
        if arguments.job.is_none() || sources.contains(name) {
            invocation.cancel.check()?;
            looked.push(sources::look(
                configuration,
                name,
                source,
                &invocation.cancel,
            ));
        }
    }
    for (name, job) in &chosen {
        looked.push(host::look_at_schedule(invocation, configuration, name, job));
    }
    looked.push(host::look_at_observers(invocation, configuration));
    Ok(())
}

fn show(invocation: &Invocation, found: &[Precondition]) {
    let output = &invocation.output;
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            vec![
                one.state.name().to_owned(),
                text::line(&one.of),
                one.name.to_owned(),
                text::line(&one.message),
            ]
        })
        .collect();
    for (line, one) in text::table(&rows, &[]).iter().zip(found) {
        match one.state {
            State::Ok => output.say(line),
            _ => {
                output.line(line);
                output.line(&format!("           try: {}", text::line(&one.remedy)));
            }
        }
        output.object(
            "precondition",
            json!({
                "of": one.of,
                "name": one.name,
                "state": one.state.name().to_lowercase(),
                "message": one.message,
                "remedy": one.remedy,
            }),
        );
    }
}
