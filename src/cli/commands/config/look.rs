//! `config check` and `config show`.

use crate::cli::configuration::Configuration;
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::config::{Config, Job, Override};
use crate::schedule::Schedule;
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeSet;

/// What a job's schedule is read in.
pub fn zone_of(invocation: &Invocation, config: &Config, job: &Job) -> TimeZone {
    let zone = job.timezone.as_ref().or(config.timezone.as_ref());
    zone.unwrap_or(&invocation.zone).clone()
}

/// What is written in the file and not done by this version, and what will not work as it stands.
fn remarks(configuration: &Configuration) -> Vec<String> {
    let config = &configuration.config;
    let mut remarks = Vec::new();
    for (name, source) in &config.sources {
        let kind = source.kind.name();
        if !source.kind.is_captured() {
            remarks.push(format!(
                "source.{name}: this version of icecore cannot capture {kind}; a job that names it \
                 fails"
            ));
        }
        let mut saving = config.jobs.values().filter(|job| job.export.is_none());
        if !saving.any(|job| job.sources.contains(name)) {
            remarks.push(format!("source.{name}: no job captures it"));
        }
    }
    for (name, job) in &config.jobs {
        if let Some(plan) = &job.export {
            let to = plan.to.display();
            remarks.push(format!(
                "job.{name}: writes plaintext to {to}, readable without a key"
            ));
            continue;
        }
        if job.keep.is_none() {
            remarks.push(format!("job.{name}: no keep: nothing is ever forgotten"));
        }
        let is_seen = |source: &String| {
            let source = config.sources.get(source);
            source.is_some_and(|source| source.kind.shows_changes())
        };
        if job.schedule == Some(Schedule::OnChange) && !job.sources.iter().all(is_seen) {
            remarks.push(format!(
                "job.{name}: on-change sees changes of files, SQLite and env_files only, and one of its \
                 sources is none of these"
            ));
        }
        if has_one_copy(config, job) {
            remarks.push(format!(
                "job.{name}: one copy only; 3-2-1 wants a second place"
            ));
        }
    }
    remarks
}

/// Whether a source of the job goes to one repository only, by all jobs together.
fn has_one_copy(config: &Config, job: &Job) -> bool {
    job.sources.iter().any(|source| {
        let jobs = config.jobs.values();
        let saving = jobs.filter(|other| other.export.is_none());
        let capturing = saving.filter(|other| other.sources.contains(source));
        let places: BTreeSet<&String> = capturing.flat_map(|one| &one.repositories).collect();
        places.len() < 2
    })
}

/// Variables of the environment that change what the file says.
fn counting(configuration: &Configuration) -> impl Iterator<Item = &Override> {
    let all = configuration.overrides.all.iter();
    all.filter(|one| one.counts)
}

/// Says whether the file can be meant. Exit code 5 where something needs attention.
pub fn check(invocation: &Invocation) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let config = &configuration.config;
    let output = &invocation.output;
    output.line(&format!(
        "{} is valid: {}, {}, {}",
        configuration.path.display(),
        text::counted(config.sources.len() as u64, "source"),
        match config.repositories.len() {
            1 => "1 repository".to_owned(),
            number => format!("{number} repositories"),
        },
        text::counted(config.jobs.len() as u64, "job"),
    ));
    let now = invocation.now();
    let mut jobs = Vec::new();
    for (name, job) in &config.jobs {
        let zone = zone_of(invocation, config, job);
        let next = match &job.schedule {
            Some(schedule) => schedule.next(now, &zone),
            None => None,
        };
        let when = match (&job.schedule, next) {
            (None, _) => "by hand only".to_owned(),
            _ if !job.enabled => "disabled".to_owned(),
            (Some(Schedule::OnChange), _) => "when a source changes".to_owned(),
            (Some(schedule), None) => format!("{schedule}: never"),
            (Some(schedule), Some(next)) => {
                format!("{schedule}: next {}", text::moment(next, now, &zone))
            }
        };
        output.line(&format!("  job {name}   {when}"));
        jobs.push(json!({
            "job": name,
            "schedule": job.schedule.as_ref().map(ToString::to_string),
            "next": next.map(|next| next.to_rfc3339()),
        }));
    }
    for one in counting(&configuration) {
        output.line(&format!("  {}   {}", one.variable, one.effect));
    }
    let mut remarks = remarks(&configuration);
    let refused = configuration.overrides.all.iter().filter(|one| !one.counts);
    remarks.extend(
        refused.map(|one| format!("{} is set and does not count: {}", one.variable, one.effect)),
    );
    for remark in &remarks {
        invocation.ui.warn_line(&format!("! {remark}"));
    }
    let summary = json!({
        "config": configuration.path.display().to_string(),
        "jobs": jobs,
        "remarks": remarks,
    });
    Ok(Report::with(summary).exit(match remarks.is_empty() {
        true => Exit::Done,
        false => Exit::Attention,
    }))
}

/// Shows the file and where its secrets come from, but no secret.
pub fn show(invocation: &Invocation) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let output = &invocation.output;
    output.line(&format!("# {}", configuration.path.display()));
    for line in configuration.text.lines() {
        output.line(line);
    }
    let overrides = &configuration.overrides.all;
    if !overrides.is_empty() {
        output.line("");
        output.line("# From the environment or env_files, which count before the file:");
    }
    for one in overrides {
        let verb = if one.counts { "" } else { "DOES NOT COUNT: " };
        output.line(&format!("# {}: {verb}{}", one.variable, one.effect));
    }
    let repositories = configuration.config.repositories.iter();
    let repositories: Vec<_> = repositories
        .map(|(name, repository)| {
            let key = repository.key.as_ref().map(ToString::to_string);
            let place = configuration.place(repository)?;
            Ok(json!({ "name": name, "place": place.to_string(), "key": key }))
        })
        .collect::<CommandResult<_>>()?;
    Ok(Report::with(json!({
        "config": configuration.path.display().to_string(),
        "repositories": repositories,
        "sources": configuration.config.sources.keys().collect::<Vec<_>>(),
        "jobs": configuration.config.jobs.keys().collect::<Vec<_>>(),
        "environment": overrides.iter().map(|one| json!({
            "variable": one.variable, "counts": one.counts, "effect": one.effect,
        })).collect::<Vec<_>>(),
    })))
}
