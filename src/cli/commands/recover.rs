//! `repo recover`: what a bucket's earlier versions hold of a repository, copied to a new place. Needs
//! no key.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::commands::mirror;
use crate::cli::commands::new_store::open_or_make;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::place::Place;
use crate::cli::text;
use crate::env::Timestamp;
use crate::mirror::{MirrorError, MirrorOptions};
use crate::repository::{OpenError, Repository};
use crate::selector::{AskedTime, Selector};
use crate::store::{AsOfStore, Since};
use clap::Args;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// Options of `repo recover`.
#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// The moment whose state is copied: 2026-11-24T18:30, 2026-11-24T18:30+06:00, a day, or a time
    /// of today; the last one before somebody did the damage
    #[arg(long, value_name = "TIME", value_parser = asked_time)]
    as_of: AskedTime,

    /// Where to: an empty directory or s3://BUCKET/PREFIX, or an earlier try that was interrupted
    #[arg(long, value_name = "REPO")]
    to: String,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

fn asked_time(text: &str) -> Result<AskedTime, String> {
    match format!("@{}", text.trim_start_matches('@')).parse() {
        Ok(Selector::At(time)) => Ok(time),
        _ => Err("give a time such as 2026-11-24T18:30, a day, or a time of today".to_owned()),
    }
}

/// Copies the state of then.
pub fn run(invocation: &Invocation, arguments: &RecoverArguments) -> CommandResult<Report> {
    let source_place = invocation.place()?;
    let Place::Bucket(location) = &source_place else {
        return Err(CommandError::usage(format!(
            "{source_place} is a directory: it keeps no versions"
        ))
        .hint(
            "icecore check --repair --from COPY repairs from a copy; snapshots of the file \
                       system are repositories too: give one of them with -r",
        ));
    };
    let asked = arguments.as_of.resolve(invocation.now(), &invocation.zone);
    let moment = asked
        .map_err(|error| CommandError::usage(error).hint("give --as-of a time with its offset"))?;
    let there = invocation.about(&arguments.to)?;
    let place = there.place()?;
    if source_place.absolute().to_string() == place.absolute().to_string() {
        return Err(CommandError::usage(
            "the repository is not recovered into itself: what is there now may still be needed",
        )
        .hint("give an empty directory or another prefix with --to"));
    }
    let started = Instant::now();
    let bucket = Arc::new(invocation.open_bucket(location)?);
    invocation.ui.waiting("listing versions");
    let looked = AsOfStore::look(Arc::clone(&bucket), moment.timestamp);
    invocation.ui.clear();
    let past = Arc::new(looked?);
    tell_since(invocation, &past);
    let source = invocation.wrap_store(Arc::clone(&past));
    Repository::config_of(&*source.store).map_err(|error| none_there(error, &past))?;
    let dry_run = arguments.dry_run.dry_run;
    let target = open_or_make(&there, &place, dry_run)?;
    let options = MirrorOptions {
        workers: invocation.workers(),
        dry_run,
    };
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let copied = crate::mirror::mirror(&*source.store, &*target.store, options, ui, cancel);
    ui.clear();
    let report = copied.map_err(|error| match error {
        MirrorError::Occupied(_) => CommandError::new(ErrorKind::Refused, error)
            .hint("give an empty directory or prefix with --to"),
        error => error.into(),
    })?;
    mirror::tell(invocation, &place, &report, dry_run, started);
    if !dry_run {
        invocation.output.remark(&format!(
            "Before it is used: icecore check --read-data -r {}",
            text::quoted(&place.to_string())
        ));
    }
    let damaged = report.damaged.iter();
    let damaged = damaged.map(|(object, what)| json!({ "object": object, "what": what }));
    let mut summary = Report::with(json!({
        "to": { "location": place.to_string() },
        "as_of": past.at().to_rfc3339(),
        "since": describe(past.since()),
        "objects_copied": report.objects_copied,
        "objects_already_there": report.objects_there,
        "objects_damaged": damaged.collect::<Vec<_>>(),
        "bytes_stored": report.bytes_copied,
        "duration_seconds": started.elapsed().as_secs_f64(),
    }));
    if dry_run {
        let dry_run = ("dry_run".to_owned(), json!(true));
        summary.summary.extend([dry_run]);
    }
    Ok(match report.damaged.is_empty() {
        true => summary,
        false => summary.exit(Exit::Damage),
    })
}

/// What happened after that moment: whether it is the right one shows here.
fn tell_since(invocation: &Invocation, past: &AsOfStore) {
    let Since {
        deleted,
        overwritten,
        added,
        first,
    } = past.since();
    let first = first.map_or_else(String::new, |first: Timestamp| {
        format!(", the first at {}", invocation.moment(first))
    });
    invocation.output.say(&format!(
        "as of {}: {}; since then {deleted} deleted, {overwritten} overwritten{first}, {added} new",
        invocation.moment(past.at()),
        text::counted(past.count() as u64, "object"),
    ));
}

fn describe(since: Since) -> serde_json::Value {
    json!({
        "deleted": since.deleted,
        "overwritten": since.overwritten,
        "added": since.added,
        "first": since.first.map(Timestamp::to_rfc3339),
    })
}

fn none_there(error: OpenError, past: &AsOfStore) -> CommandError {
    let error = CommandError::from(error);
    let first = past.since().first.map(Timestamp::to_rfc3339);
    match first {
        Some(first) => error.hint(format!(
            "what was there first was deleted or overwritten at {first}: give --as-of a time before that"
        )),
        None => error.hint("the versions of that moment hold no repository: give a later --as-of"),
    }
}
