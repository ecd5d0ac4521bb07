//! A job of kind "export": the newest good snapshot of each of its sources as readable files.

use crate::cli::commands::export::{Exported, Wanted, export};
use crate::cli::commands::run::attempt::Done;
use crate::cli::commands::run::{Records, Run, identities};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::config::{ExportPlan, Job};
use serde::{Deserialize, Serialize};

/// What a job that exports wrote last: what it wrote is readable, and `status` says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRecord {
    /// When, nanoseconds since 1970.
    pub finished: i64,
    /// The newest thing it wrote.
    pub path: String,
}

/// Name of the record of a job.
fn record(job: &str) -> String {
    format!("{job}.export")
}

/// What a job wrote last.
pub fn last_export(records: &Records, job: &str) -> Option<ExportRecord> {
    records.read(&record(job))
}

/// Runs the job once. It reads from the first repository that is there, and from the others what is
/// damaged in that one.
pub(super) fn attempt(
    run: &Run<'_>,
    limited: &Invocation,
    (name, job): (&str, &Job),
    plan: &ExportPlan,
) -> CommandResult<Done> {
    let mut own = limited.clone();
    own.global.repo = Some(job.repositories.join(","));
    let target = run.configuration.resolved(&plan.to);
    let mut done = Done::new();
    let mut first_error = None;
    let mut written: Option<Exported> = None;
    let sources = identities(run.configuration, job);
    let to = (target.as_path(), plan.layout);
    export(&own, &Wanted::Of(&sources), to, run.dry_run, &mut |one| {
        match one {
            Ok(exported) => {
                done.export(1);
                written = Some(exported);
            }
            // A source of which there is nothing good does not stop the others.
            Err(error) => {
                limited.cancel.check()?;
                own.ui.error(&error);
                done.fail(Exit::Partial, error.message());
                first_error.get_or_insert(error);
            }
        }
        Ok(())
    })?;
    if let Some(written) = &written {
        let records = Records::open(limited, run.configuration)?;
        let last = ExportRecord {
            finished: limited.now().0,
            path: written.path.to_string_lossy().into_owned(),
        };
        records.write(&record(name), &last)?;
    }
    match (first_error, written) {
        (Some(error), None) => Err(CommandError::within(&error, "nothing was exported")),
        _ => Ok(done),
    }
}
