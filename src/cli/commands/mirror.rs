//! `mirror`: the repository's objects, byte for byte, in another place. Needs no key.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::commands::new_store::open_or_make;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::place::Place;
use crate::cli::reporting::{Duty, failure};
use crate::cli::text;
use crate::event::{Ending, Event, Status, Subject};
use crate::mirror::{MirrorOptions, MirrorReport, mirror};
use crate::monitor::Monitor;
use crate::repository::Repository;
use crate::units::{bytes, seconds};
use clap::Args;
use serde_json::json;
use std::time::Instant;

/// Options of `mirror`.
#[derive(Debug, Args)]
pub struct MirrorArguments {
    /// Where to: an empty directory or s3://BUCKET/PREFIX, or an earlier mirror of this repository
    #[arg(long, value_name = "REPO")]
    to: String,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// Brings a mirror up to date.
pub fn run(invocation: &Invocation, arguments: &MirrorArguments) -> CommandResult<Report> {
    let source_place = invocation.place()?;
    let there = invocation.about(&arguments.to)?;
    let place = there.place()?;
    if source_place.absolute().to_string() == place.absolute().to_string() {
        return Err(CommandError::usage("source and target are the same place"));
    }
    let source = invocation.open_store()?;
    Repository::config_of(&*source.store)?;
    let dry_run = arguments.dry_run.dry_run;
    let target = open_or_make(&there, &place, dry_run)?;
    let options = MirrorOptions {
        workers: invocation.workers(),
        dry_run,
    };
    let started = Instant::now();
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let subject = Subject {
        location: Some(place.to_string()),
        ..Subject::default()
    };
    // Without a key there is nobody to sign: the chains are mirrored, and only this host's copy tells.
    let report_event = |event: Event| match dry_run {
        true => Ok(()),
        false => invocation.report(None, &[event], Duty::Miss),
    };
    let activity = place.activity();
    report_event(Event::start(invocation.now(), activity, &subject))?;
    let mirrored = mirror(&*source.store, &*target.store, options, ui, cancel);
    ui.clear();
    let mirrored = mirrored.map_err(CommandError::from);
    let ending = match &mirrored {
        Ok(report) if report.damaged.is_empty() => {
            Ending::success("mirrored").bytes(report.bytes_copied)
        }
        Ok(report) => Ending::new(Status::Error, "damaged objects were not mirrored")
            .bytes(report.bytes_copied),
        Err(error) => failure(error),
    };
    let now = invocation.now();
    report_event(Event::complete(now, activity, &subject, ending))?;
    let report = mirrored?;
    tell(invocation, &place, &report, dry_run, started);
    let damaged = report.damaged.iter();
    let damaged = damaged.map(|(object, what)| json!({ "object": object, "what": what }));
    let mut summary = Report::with(json!({
        "to": { "location": place.to_string() },
        "objects_copied": report.objects_copied,
        "objects_already_there": report.objects_there,
        "objects_deleted": report.objects_deleted,
        "objects_only_there": report.objects_kept,
        "bytes_only_there": report.bytes_kept,
        "objects_damaged": damaged.collect::<Vec<_>>(),
        "bytes_stored": report.bytes_copied,
        "duration_seconds": started.elapsed().as_secs_f64(),
    }));
    if dry_run {
        summary
            .summary
            .extend([("dry_run".to_owned(), json!(true))]);
    }
    Ok(match report.damaged.is_empty() {
        true => summary,
        false => summary.exit(Exit::Damage),
    })
}

/// Says what a mirror did, or would do.
pub fn tell(
    invocation: &Invocation,
    place: &Place,
    report: &MirrorReport,
    dry_run: bool,
    started: Instant,
) {
    let (copied, deleted) = match dry_run {
        true => ("would copy", "would delete"),
        false => ("copied", "deleted"),
    };
    let mut line = format!(
        "{copied} {}, {}, to {place}; {} there already",
        text::counted(report.objects_copied, "object"),
        bytes(report.bytes_copied),
        report.objects_there,
    );
    if report.objects_deleted > 0 {
        let pruned = text::counted(report.objects_deleted, "object");
        line.push_str(&format!("; {deleted} {pruned} that a prune deleted"));
    }
    if !dry_run {
        line.push_str(&format!("; in {}", seconds(started.elapsed())));
    }
    invocation.output.line(&line);
    if report.objects_kept > 0 {
        invocation.output.remark(&format!(
            "{} ({}) are at the mirror and no longer at the source: they stay, since no record that \
             counts says who deleted them",
            text::counted(report.objects_kept, "object"),
            bytes(report.bytes_kept),
        ));
    }
    if report.slots_kept > 0 {
        invocation.ui.warn(&format!(
            "{} removed at the source still open the mirror: delete its keys/slots/ and mirror again \
             to end that",
            text::counted(report.slots_kept, "credential"),
        ));
    }
    for (object, what) in &report.damaged {
        let (object, what) = (text::line(object), text::line(what));
        invocation
            .output
            .line(&format!("DAMAGE  {object}  {what}: not copied"));
    }
}
