//! The further repositories of a job: copies of what the first one has of it.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::run::attempt::Opened;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::copy::{CopyOptions, Side, copy};
use crate::event::{Ending, Subject};
use crate::metrics::RepositoryRecord;
use crate::repository::{Need, Snapshot};
use crate::units::bytes;
use std::time::Instant;

/// Copies every snapshot of a job that the other repository does not have: those of this run, and
/// those that it missed while it was absent.
pub(super) fn copy_to(
    first: &Opened,
    other: &Opened,
    job_name: &str,
) -> CommandResult<RepositoryRecord> {
    let subject = Subject {
        job: Some(job_name.to_owned()),
        ..other.open.subject()
    };
    let activity = other.open.place.activity();
    let repository = &other.open.repository;
    let act = other
        .invocation
        .begin(repository, activity, subject, Duty::Miss)?;
    let copied = copy_missing(first, other, job_name);
    act.conclude(repository, copied, |record| {
        Ending::success("copied, verified on arrival").bytes(record.bytes_uploaded)
    })
}

fn copy_missing(first: &Opened, other: &Opened, job_name: &str) -> CommandResult<RepositoryRecord> {
    let (invocation, from) = (&first.invocation, &first.open.repository);
    if from.access().check_allowed(Need::Read, "copies").is_err() {
        return Err(CommandError::new(
            ErrorKind::Refused,
            "the credential of the first repository cannot read, so nothing can be copied from it",
        )
        .hint("let a host that may read copy them: icecore copy --to REPO"));
    }
    let set = invocation.list_snapshots(from)?;
    let selection = SelectionArguments {
        job: vec![job_name.to_owned()],
        ..SelectionArguments::default()
    };
    let mut chosen = set.select(&selection, invocation);
    chosen.retain(|snapshot| snapshot.readable);
    let all: Vec<&Snapshot> = set.all().collect();
    let started = Instant::now();
    let (from_index, to_index) = (
        invocation.open_index(from)?,
        other.invocation.open_stale_index(&other.open.repository),
    );
    let source = Side {
        repository: from,
        index: &from_index,
    };
    let target = Side {
        repository: &other.open.repository,
        index: &to_index,
    };
    let options = CopyOptions {
        effort: invocation.global.compression,
        workers: invocation.workers(),
    };
    let (ui, cancel) = (&*other.invocation.ui, &other.invocation.cancel);
    let copied = copy(source, target, (&chosen, &all), options, ui, cancel);
    ui.clear();
    let report = copied?;
    if !report.copied.is_empty() {
        invocation.output.say(&format!(
            "copied {} to {}, {} stored",
            text::counted(report.copied.len() as u64, "snapshot"),
            other.name,
            bytes(report.bytes_stored)
        ));
    }
    if let Some((id, why)) = report.damaged.first() {
        return Err(CommandError::new(
            ErrorKind::Damage,
            format!("{} cannot be copied: {why}", id.short()),
        )
        .hint(format!("icecore check --read-data -r {}", first.name)));
    }
    Ok(RepositoryRecord {
        success: true,
        written: other.invocation.now().0,
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        bytes_uploaded: report.bytes_stored,
        ..RepositoryRecord::default()
    })
}
