//! `notify`: tries out who is told, and tells.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::config::Severity;
use crate::env::Timestamp;
use crate::notice::{COMPLETED, Notice, Tone};
use clap::Subcommand;
use serde_json::json;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a message to everyone whom the configuration names, or to one, and say what came of it
    Test {
        /// Whom, by the name in the configuration
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Judge everything as `status` does, tell what is new or over, and deliver what waits
    ///
    /// Every run does this too. Let a timer call it where no daemon runs, so that somebody hears when
    /// nothing runs any more.
    Check,
    /// Show what was told and is not over, and what waits to be delivered
    List,
}

/// Runs a subcommand.
pub fn run(invocation: &Invocation, command: &NotifyCommand) -> CommandResult<Report> {
    match command {
        NotifyCommand::Test { name } => test(invocation, name.as_deref()),
        NotifyCommand::Check => check(invocation),
        NotifyCommand::List => list(invocation),
    }
}

fn nobody() -> CommandError {
    CommandError::usage("the configuration names nobody to tell")
        .hint("add [notify.NAME] with on = [\"critical\", \"warning\"] and url = { env = \"…\" }")
}

fn test(invocation: &Invocation, name: Option<&str>) -> CommandResult<Report> {
    invocation.needed_configuration()?;
    let notices = invocation.notices()?.ok_or_else(nobody)?;
    let targets = notices.targets();
    if let Some(name) = name.filter(|name| !targets.contains_key(*name)) {
        let names: Vec<&str> = targets.keys().map(String::as_str).collect();
        let names = names.join(", ");
        return Err(CommandError::usage(format!("there is no notify.{name}"))
            .hint(format!("it is one of {names}")));
    }
    let mut exit = Exit::Done;
    let mut results = Vec::new();
    for (target, notify) in targets {
        if name.is_some_and(|name| name != target) {
            continue;
        }
        invocation.cancel.check()?;
        // A problem and its end: so that pagers ring, and stop.
        let sent = [Tone::Problem, Tone::Resolved]
            .into_iter()
            .try_for_each(|tone| {
                let mut notice = test_notice(tone, invocation.now());
                if let crate::config::NotifyKind::Ping(_) = notify.kind {
                    notice.condition = COMPLETED.to_owned();
                    notice.tone = Tone::News;
                }
                notices.send_to(target, notify, &notice)
            });
        let line = match &sent {
            Ok(()) => format!("{target}  delivered"),
            Err(why) => format!("{target}  FAILED: {}", text::line(why)),
        };
        invocation.output.line(&line);
        if sent.is_err() {
            exit = Exit::Failed;
        }
        results.push(json!({ "name": target, "ok": sent.is_ok(), "error": sent.err() }));
    }
    Ok(Report::with(json!({ "notify": results })).exit(exit))
}

fn test_notice(tone: Tone, now: Timestamp) -> Notice {
    let remedy = "nothing is to be done";
    let message = "this is a test, nothing is wrong".to_owned();
    Notice {
        tone,
        time: now.0,
        ..Notice::problem(
            "test",
            "icecore notify test",
            Severity::Warning,
            message,
            remedy,
        )
    }
}

fn check(invocation: &Invocation) -> CommandResult<Report> {
    invocation.needed_configuration()?;
    let notices = invocation.notices()?.ok_or_else(nobody)?;
    let delivered = notices.watch()?;
    invocation.ui.clear();
    let open = notices.ledger()?.open.len();
    let sent = text::counted(delivered.sent as u64, "message");
    invocation.output.say(&format!(
        "sent {sent}; {} wait; {} not over",
        delivered.waiting,
        text::counted(open as u64, "condition")
    ));
    let report = json!({ "sent": delivered.sent, "waiting": delivered.waiting, "open": open });
    let exit = match delivered.waiting {
        0 => Exit::Done,
        _ => Exit::Attention,
    };
    Ok(Report::with(report).exit(exit))
}

fn list(invocation: &Invocation) -> CommandResult<Report> {
    invocation.needed_configuration()?;
    let notices = invocation.notices()?.ok_or_else(nobody)?;
    let ledger = notices.ledger()?;
    let output = &invocation.output;
    for notice in ledger.open.values() {
        output.line(&text::line(&format!(
            "since {}  {}  {}: {}",
            invocation.moment(Timestamp(notice.time)),
            notice.condition,
            notice.subject,
            notice.message
        )));
        output.object("notice", fields(notice, None, None));
    }
    for delivery in &ledger.queue {
        let why = delivery.error.as_deref().unwrap_or("not tried yet");
        let tried = delivery.attempts;
        output.line(&text::line(&format!(
            "waits for {}  {}  {}, tried {tried} times: {why}",
            delivery.target, delivery.notice.condition, delivery.notice.subject
        )));
        let target = Some(delivery.target.as_str());
        output.object("notice", fields(&delivery.notice, target, Some(why)));
    }
    if ledger.open.is_empty() && ledger.queue.is_empty() {
        output.line("nothing is wrong, and nothing waits");
    }
    Ok(Report::with(
        json!({ "open": ledger.open.len(), "waiting": ledger.queue.len() }),
    ))
}

fn fields(notice: &Notice, waits_for: Option<&str>, why: Option<&str>) -> serde_json::Value {
    json!({
        "condition": notice.condition,
        "subject": notice.subject,
        "severity": notice.severity.name(),
        "state": notice.tone.name(),
        "message": notice.message,
        "remedy": notice.remedy,
        "snapshot_id": notice.snapshot,
        "time": Timestamp(notice.time).to_rfc3339(),
        "waits_for": waits_for,
        "error": why,
    })
}
