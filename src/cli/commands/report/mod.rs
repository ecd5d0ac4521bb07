//! `report`: a month for those who have to answer for it.

mod collect;
mod describe;
mod sources;

use crate::cli::commands::status::gather::gather_visiting;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::rule_321;
use crate::cli::text;
use crate::config::JobKind;
use crate::env::Timestamp;
use crate::report::{Facts, Month, Rule, document, html, markdown, readiness};
use crate::status::judge;
use clap::Args;
use collect::Collected;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Who may read a report: it names people and what they did.
const MODE: u32 = 0o600;

/// Options of `report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Markdown unless --html or --json is given. What takes points from the score: \
    docs/report.md. Exit code 4 where the audit log is not whole or a snapshot is damaged, 3 where a \
    repository could not be looked at"
)]
pub struct ReportArguments {
    /// The month, such as 2026-11, by the configuration's zone [default: this month so far]
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<Month>,

    /// One HTML page that needs nothing from elsewhere, with plots, to this file; without one to
    /// standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    html: Option<Option<PathBuf>>,
}

/// Writes the report.
pub fn run(invocation: &Invocation, arguments: &ReportArguments) -> CommandResult<Report> {
    let page = arguments.html.as_ref();
    if matches!(page, Some(None)) && invocation.output.is_json() {
        let error = CommandError::usage("--json and --html cannot both go to standard output");
        return Err(error.hint("give --html a file"));
    }
    let facts = facts(invocation, arguments.month)?;
    invocation.ui.clear();
    let readiness = readiness(&facts);
    let title = format!("Backup report {} · {}", facts.month, facts.name);
    let blocks = document(&facts, &readiness);
    match page {
        Some(Some(file)) => write(invocation, file, &html(&title, &blocks))?,
        Some(None) => {
            invocation.output.bytes(html(&title, &blocks).as_bytes());
        }
        None if invocation.output.is_json() => {}
        None => {
            invocation
                .output
                .bytes(markdown(&title, &blocks).as_bytes());
        }
    }
    let exit = exit(&facts);
    Ok(Report::with(json!({
        "score": readiness.score,
        "report": describe::describe(&facts, &readiness),
    }))
    .exit(exit))
}

fn write(invocation: &Invocation, file: &Path, page: &str) -> CommandResult<()> {
    write_whole(file, page.as_bytes(), MODE)?;
    invocation.output.say(&format!("wrote {}", file.display()));
    Ok(())
}

fn exit(facts: &Facts) -> Exit {
    let is_hurt = |repository: &crate::report::Repository| {
        repository.damaged > 0 || !repository.faults.is_empty()
    };
    match facts.repositories.iter().any(is_hurt) {
        true => Exit::Damage,
        false
            if facts
                .findings
                .iter()
                .any(|finding| finding.state == "unreachable") =>
        {
            Exit::Partial
        }
        false => Exit::Done,
    }
}

/// Gathers everything.
fn facts(invocation: &Invocation, month: Option<Month>) -> CommandResult<Facts> {
    let configuration = match invocation.global.repo {
        Some(_) => None,
        None => invocation.configuration()?,
    };
    let configuration = configuration.as_deref();
    let own = configuration.and_then(|configuration| configuration.config.timezone.clone());
    let zone = own.unwrap_or_else(|| invocation.zone.clone());
    let now = invocation.now();
    let month = month.unwrap_or_else(|| Month::of(now, &zone));
    let (from, until) = (month.start(&zone), month.end(&zone).min(now));
    if from >= now {
        let error = CommandError::usage(format!("{month} has not begun"));
        return Err(error.hint("give a month that has, such as last month's"));
    }
    let mut collected: Vec<Collected> = Vec::new();
    let gathered = gather_visiting(invocation, None, &mut |own, name, open, set| {
        let one = collect::collect(own, configuration, (name, open, set), (from, until))?;
        collected.push(one);
        Ok(())
    })?;
    let sources = sources::sources(
        invocation,
        configuration,
        &collected,
        &gathered,
        (month, until),
    );
    let mut facts = Facts {
        name: text::line(&gathered.name),
        month,
        zone,
        until,
        now,
        findings: judge(
            &gathered.sources,
            &gathered.jobs,
            &gathered.repositories,
            now,
        ),
        acts: collected
            .iter()
            .flat_map(|one| collect::acts(one, configuration))
            .collect(),
        sources,
        rules: rules(configuration, &collected),
        retention: collected
            .iter()
            .flat_map(|one| one.retention.clone())
            .collect(),
        repositories: collected.into_iter().map(|one| one.repository).collect(),
    };
    facts.acts.sort_by_key(|act| act.time);
    for finding in &mut facts.findings {
        finding.message = text::line(&finding.message);
    }
    Ok(facts)
}

fn rules(configuration: Option<&Configuration>, collected: &[Collected]) -> Vec<Rule> {
    let jobs = configuration
        .into_iter()
        .flat_map(|configuration| &configuration.config.jobs);
    let jobs = jobs.filter(|(_, job)| job.kind == JobKind::Backup);
    let rules = jobs.map(|(name, job)| {
        let own = collected
            .iter()
            .filter(|one| job.repositories.contains(&one.repository.name));
        let places: Vec<_> = own.map(|one| &one.place).collect();
        let rule = rule_321::Rule::of(&places);
        Rule {
            job: name.clone(),
            copies: rule.copies as u64,
            places: rule.places as u64,
            off_site: rule.off_site as u64,
            kept: rule.is_kept(),
        }
    });
    rules.collect()
}

/// The stretch of time of a report.
type Stretch = (Timestamp, Timestamp);
