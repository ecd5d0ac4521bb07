//! `audit show`.

use crate::cli::error::CommandResult;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::output::Report;
use crate::cli::reporting::{Line, rfc3339};
use crate::cli::text;
use crate::env::Timestamp;
use crate::event::{Actor, Phase, Status};
use crate::format::audit::{AuditContent, AuditEvent};
use crate::format::layout::AuditName;
use crate::monitor::Monitor;
use crate::repository::{AuditEntry, AuditTail, RecordLoadError};
use crate::selector::source_matches;
use crate::store::Pacing;
use crate::units::{Span, bytes};
use clap::{Args, ValueEnum};
use jiff::tz::{Offset, TimeZone};
use serde_json::json;
use std::time::Duration;

/// How often is looked for new records.
const LOOK: Duration = Duration::from_secs(2);

/// Options of `audit show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Go on showing what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// At most so many events, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,

    /// Only this recent, such as 7d
    #[arg(long, value_name = "AGE")]
    newer_than: Option<Span>,

    /// Only events whose name begins so, such as restore or backup_create
    #[arg(long, value_name = "NAME")]
    event: Vec<String>,

    /// Only of this status
    #[arg(long, value_name = "STATUS")]
    status: Vec<StatusChoice>,

    /// Only of this source: its name, or the last parts of its path
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,

    /// Only of this job
    #[arg(long, value_name = "JOB")]
    job: Vec<String>,

    /// Only by this user
    #[arg(long, value_name = "USER")]
    user: Vec<String>,

    /// Only on this host
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusChoice {
    Info,
    Success,
    Warning,
    Error,
}

impl StatusChoice {
    fn status(self) -> Status {
        match self {
            Self::Info => Status::Info,
            Self::Success => Status::Success,
            Self::Warning => Status::Warning,
            Self::Error => Status::Error,
        }
    }
}

impl ShowArguments {
    fn wants(&self, content: &AuditContent, event: &AuditEvent, oldest: Option<Timestamp>) -> bool {
        let is_one = |wanted: &[String], found: Option<&str>| {
            wanted.is_empty() || found.is_some_and(|found| wanted.iter().any(|w| w == found))
        };
        let status = Status::from(event.status);
        let source = event.source.as_deref().unwrap_or_default();
        let of_source = |wanted: &String| source_matches(source, wanted);
        oldest.is_none_or(|oldest| event.time >= oldest)
            && (self.event.is_empty() || self.event.iter().any(|name| event.name.starts_with(name)))
            && (self.status.is_empty() || self.status.iter().any(|one| one.status() == status))
            && (self.source.is_empty() || self.source.iter().any(of_source))
            && is_one(&self.job, event.job.as_deref())
            && is_one(&self.user, Some(&content.user))
            && is_one(&self.host, Some(&content.host))
    }
}

/// What is shown so far.
#[derive(Default)]
struct Shown {
    events: u64,
    sealed: u64,
    damaged: u64,
}

/// Shows the log.
pub fn run(invocation: &Invocation, arguments: &ShowArguments) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let span = arguments.newer_than;
    let oldest = span.map(|span| span.before(invocation.now(), &invocation.zone));
    let mut shown = Shown::default();
    let names = open.repository.list_audit()?;
    let mut tail = AuditTail::default();
    tail.skip(names.iter().copied());
    // From the newest back, until there are enough.
    let mut found: Vec<(AuditEntry, Vec<usize>)> = Vec::new();
    let mut left = arguments.last;
    for name in names.iter().rev() {
        invocation.cancel.check()?;
        let is_over = oldest.is_some_and(|oldest| name.created < oldest);
        if left == 0 || is_over {
            break;
        }
        let Some(entry) = load(invocation, &open, name, &mut shown)? else {
            continue;
        };
        let wanted = wanted(&entry, arguments, oldest);
        let skipped = wanted.len().saturating_sub(left);
        left -= wanted.len() - skipped;
        if wanted.len() > skipped {
            found.push((entry, wanted[skipped..].to_vec()));
        }
    }
    for (entry, events) in found.iter().rev() {
        show(invocation, &open, entry, events, &mut shown);
    }
    if shown.sealed > 0 {
        invocation.output.remark(&format!(
            "{} by others that this credential cannot open: a full one can",
            text::counted(shown.sealed, "record")
        ));
    }
    if shown.events == 0 && !arguments.follow {
        invocation.output.line("nothing was found");
    }
    if arguments.follow {
        follow(invocation, &open, arguments, &mut tail, &mut shown)?;
    }
    Ok(Report::with(json!({
        "events": shown.events,
        "records_sealed": shown.sealed,
        "records_damaged": shown.damaged,
    })))
}

fn follow(
    invocation: &Invocation,
    open: &OpenRepository,
    arguments: &ShowArguments,
    tail: &mut AuditTail,
    shown: &mut Shown,
) -> CommandResult<()> {
    let pacing = Pacing::system(invocation.cancel.clone());
    loop {
        invocation.output.flush();
        pacing.pause(LOOK)?;
        for name in open.repository.new_audit(tail, invocation.now())? {
            if let Some(entry) = load(invocation, open, &name, shown)? {
                let events = wanted(&entry, arguments, None);
                if !show(invocation, open, &entry, &events, shown) {
                    return Ok(());
                }
            }
        }
    }
}

/// A record; one that cannot be read is told and passed by.
fn load(
    invocation: &Invocation,
    open: &OpenRepository,
    name: &AuditName,
    shown: &mut Shown,
) -> CommandResult<Option<AuditEntry>> {
    match open.repository.load_audit(name) {
        Ok(entry) => {
            shown.sealed += u64::from(entry.content.is_none());
            Ok(Some(entry))
        }
        Err(error @ RecordLoadError::Store(_)) if !error.is_not_found() => Err(error.into()),
        Err(error) => {
            shown.damaged += 1;
            invocation.ui.warn(&format!(
                "{}: icecore audit verify",
                crate::explain::explain(&error)
            ));
            Ok(None)
        }
    }
}

/// The events of a record that are wanted, by their place in it.
fn wanted(entry: &AuditEntry, arguments: &ShowArguments, oldest: Option<Timestamp>) -> Vec<usize> {
    let Some(content) = &entry.content else {
        return Vec::new();
    };
    let events = content.events.iter().enumerate();
    let wanted = events.filter(|(_, event)| arguments.wants(content, event, oldest));
    wanted.map(|(at, _)| at).collect()
}

/// Shows some events of a record. `false` once nobody reads any more.
fn show(
    invocation: &Invocation,
    open: &OpenRepository,
    entry: &AuditEntry,
    events: &[usize],
    shown: &mut Shown,
) -> bool {
    let Some(content) = &entry.content else {
        return true;
    };
    let zone = Offset::from_seconds(content.offset).unwrap_or(Offset::UTC);
    let zone = TimeZone::fixed(zone);
    let actor = Actor {
        user: content.user.clone(),
        host: content.host.clone(),
        process: content.process,
    };
    let mut is_read = true;
    for event in events.iter().filter_map(|at| content.events.get(*at)) {
        shown.events += 1;
        let line = Line {
            event,
            error: None,
            actor: &actor,
            zone: &zone,
            repository: Some(open.repository.config().repository.short()),
        };
        let mut fields = line.fields();
        fields["chain"] = json!(entry.name.chain.to_string());
        fields["number"] = json!(entry.name.number);
        fields["writer"] = json!(entry.writer.to_string());
        is_read = invocation.output.object("event", fields)
            && invocation
                .output
                .line(&for_people(invocation, content, event));
    }
    is_read
}

fn for_people(invocation: &Invocation, content: &AuditContent, event: &AuditEvent) -> String {
    let status = match (event.phase(), Status::from(event.status)) {
        (Phase::Start, Status::Info) => "",
        (_, status) => status.name(),
    };
    let mut about = vec![format!("{}@{}", content.user, content.host)];
    about.extend(event.job.as_ref().map(|job| format!("job {job}")));
    about.extend(event.source.as_deref().map(text::short_source));
    about.extend(event.snapshot.map(|snapshot| snapshot.short()));
    about.extend(event.bytes.map(bytes));
    about.extend(event.verified.map(|verified| match verified {
        true => "verified".to_owned(),
        false => "NOT VERIFIED".to_owned(),
    }));
    about.extend(event.location.clone());
    about.extend(Some(event.details.clone()).filter(|details| !details.is_empty()));
    text::line(&format!(
        "{}  {:<24} {status:<8} {}",
        rfc3339(event.time, &invocation.zone),
        event.name,
        about.join("  ")
    ))
}
