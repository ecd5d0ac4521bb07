//! `status`: one honest answer to "are we safe?".

pub mod gather;

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::env::Timestamp;
use crate::status::{Finding, Level, SourceFacts, judge};
use crate::units::{elapsed, parse_duration};
use clap::Args;
use gather::{Gathered, Plaintext};
use serde_json::{Value, json};
use std::time::Duration;

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// How old the newest good snapshot of a source may be [default: the goal of its job, else what
    /// its schedule gives, else 25h]
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    max_age: Option<Duration>,

    /// One line, and exit code 0, 1 or 2, as Nagios and its kin want it
    #[arg(long)]
    nagios: bool,
}

/// Looks at everything in reach. Exit code 0: safe; 5: attention; 6: not safe.
pub fn run(invocation: &Invocation, arguments: &StatusArguments) -> CommandResult<Report> {
    let gathered = gather::gather(invocation, arguments.max_age)?;
    invocation.ui.clear();
    if gathered.sources.is_empty()
        && gathered
            .repositories
            .iter()
            .all(|r| r.unreachable.is_none())
    {
        return Err(
            CommandError::usage("there is nothing to judge: no snapshot, and no job")
                .hint("icecore snapshot takes the first; icecore config init writes jobs"),
        );
    }
    let now = invocation.now();
    let findings = judge(
        &gathered.sources,
        &gathered.jobs,
        &gathered.repositories,
        now,
    );
    let worst = findings.first().map(|finding| finding.level);
    let exit = match (worst, arguments.nagios) {
        (None, _) => Exit::Done,
        (Some(Level::Attention), false) => Exit::Attention,
        (Some(Level::NotSafe), false) => Exit::Unproven,
        (Some(Level::Attention), true) => Exit::Failed,
        (Some(Level::NotSafe), true) => Exit::Usage,
    };
    match arguments.nagios {
        true => {
            invocation.output.line(&nagios(&findings, &gathered));
        }
        false => show(invocation, &gathered, &findings, exit),
    }
    for finding in &findings {
        invocation.output.object("finding", describe(finding));
    }
    Ok(Report::with(json!({
        "state": state(worst),
        "findings": findings.iter().map(describe).collect::<Vec<_>>(),
        "exports": gathered.plaintext.iter().map(plaintext_fields).collect::<Vec<_>>(),
        "sources": gathered.sources.iter().map(|source| fields(source, &gathered, now)).collect::<Vec<_>>(),
    }))
    .exit(exit))
}

fn state(worst: Option<Level>) -> &'static str {
    worst.map_or("safe", Level::name)
}

fn describe(finding: &Finding) -> Value {
    json!({
        "level": finding.level.name(),
        "state": finding.state,
        "subject": finding.subject,
        "message": finding.message,
        "remedy": finding.remedy,
    })
}

fn fields(source: &SourceFacts, gathered: &Gathered, now: Timestamp) -> Value {
    let newest = source.newest.as_ref();
    json!({
        "source": source.name,
        "newest": newest.map(|newest| newest.taken.to_rfc3339()),
        "age_seconds": newest.map(|newest| (now.seconds() - newest.taken.seconds()).max(0)),
        "goal_seconds": source.rpo.map(|rpo| rpo.as_secs()),
        "read_back": newest.and_then(|newest| newest.read_back).map(Timestamp::to_rfc3339),
        "drill": source.drill.map(|(tried, _)| tried.to_rfc3339()),
        "rto_seconds": source.drill.map(|(_, took)| took.as_secs_f64()),
        "copies": gathered.copies.get(&source.name),
    })
}

fn plaintext_fields(plaintext: &Plaintext) -> Value {
    json!({
        "job": plaintext.job,
        "to": plaintext.to.to_string_lossy(),
        "last": plaintext.last.map(Timestamp::to_rfc3339),
    })
}

fn nagios(findings: &[Finding], gathered: &Gathered) -> String {
    let word = match findings.first().map(|finding| finding.level) {
        None => {
            return format!(
                "OK - {}",
                text::counted(gathered.sources.len() as u64, "source")
            );
        }
        Some(Level::Attention) => "WARNING",
        Some(Level::NotSafe) => "CRITICAL",
    };
    let told: Vec<String> = findings
        .iter()
        .map(|finding| text::line(&finding.to_string()))
        .collect();
    format!("{word} - {}", told.join("; "))
}

fn show(invocation: &Invocation, gathered: &Gathered, findings: &[Finding], exit: Exit) {
    let now = invocation.now();
    let zone = &gathered.zone;
    let local = now.to_jiff().to_zoned(zone.clone());
    let verdict = match findings.first().map(|finding| finding.level) {
        None => "SAFE",
        Some(Level::Attention) => "ATTENTION",
        Some(Level::NotSafe) => "NOT SAFE",
    };
    let output = &invocation.output;
    output.line(&format!(
        "{} · {} {} ({})   {verdict}   exit {}",
        text::line(&gathered.name),
        local.strftime("%a %-d %b %H:%M"),
        text::offset(now, zone),
        now.to_jiff().strftime("%H:%MZ"),
        exit.number()
    ));
    let head = [
        "  SOURCE",
        "NEWEST",
        "AGE",
        "GOAL",
        "READ BACK",
        "DRILL",
        "COPIES",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for source in &gathered.sources {
        let bad = findings
            .iter()
            .any(|finding| finding.subject == source.name);
        let mark = if bad { '✗' } else { '✓' };
        let newest = source.newest.as_ref();
        let at = |moment: Timestamp| text::moment(moment, now, zone);
        let age = |newest: &crate::status::Newest| {
            let seconds = (now.seconds() - newest.taken.seconds()).max(0);
            elapsed(Duration::from_secs(seconds.unsigned_abs()))
        };
        let nothing = || "-".to_owned();
        let copies = gathered.copies.get(&source.name);
        rows.push(vec![
            format!("{mark} {}", text::line(&source.name)),
            newest.map_or_else(nothing, |newest| at(newest.taken)),
            newest.map_or_else(nothing, age),
            source.rpo.map_or_else(nothing, elapsed),
            newest
                .and_then(|newest| newest.read_back)
                .map_or_else(nothing, at),
            source.drill.map_or_else(nothing, |(tried, took)| {
                format!("{}, RTO {}", at(tried), crate::units::seconds(took))
            }),
            copies.map_or_else(nothing, |copies| copies.join(" ")),
        ]);
    }
    for line in text::table(&rows, &[]) {
        output.line(&line);
    }
    for plaintext in &gathered.plaintext {
        let last = plaintext.last;
        output.line(&format!(
            "  PLAINTEXT  job {} writes readable files to {}, {}",
            text::line(&plaintext.job),
            plaintext.to.display(),
            last.map_or_else(
                || "none yet".to_owned(),
                |last| format!("the last {}", text::moment(last, now, zone))
            ),
        ));
    }
    for finding in findings {
        output.line(&format!("✗ {}", text::line(&finding.to_string())));
        output.line(&format!("    {}", text::line(&finding.remedy)));
    }
}
