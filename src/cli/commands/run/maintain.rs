//! What a job does for a repository besides writing to it: retention, prune, reading back.

use crate::check::{CheckOptions, ReadData};
use crate::cli::commands::check::check_and_prove;
use crate::cli::commands::run::attempt::Opened;
use crate::cli::commands::run::{Records, captures};
use crate::cli::commands::{forget, prune};
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::config::Job;
use crate::format::protocol::ProofKind;
use crate::repository::Need;
use crate::selector::Filters;
use crate::units::bytes;

/// What was done.
pub struct Maintained {
    /// Snapshots that were forgotten.
    pub forgotten: u64,
}

/// Looks after one repository of a job.
pub(super) fn maintain(
    opened: &Opened,
    records: &Records,
    (name, job): (&str, &Job),
    dry_run: bool,
) -> CommandResult<Maintained> {
    let (invocation, open) = (&opened.invocation, &opened.open);
    let forgotten = {
        // Of two prunes one would give way. Reading back disturbs nobody, and a dry run neither.
        let _care = (!dry_run)
            .then(|| records.claim_care(&opened.name, invocation))
            .transpose()?;
        retain(invocation, open, name, job, dry_run)?
    };
    let may_prune = open.repository.access().check_allowed(Need::Maintain, "");
    if !dry_run && forgotten == 0 && may_prune.is_ok() {
        prune::extend_locks(invocation, open)?;
    }
    if !dry_run {
        check(invocation, open, job)?;
    }
    Ok(Maintained { forgotten })
}

/// Forgets by the job's rules and frees the space. A job that captures looks at its own snapshots
/// only, one that only looks after repositories at all there are.
fn retain(
    invocation: &Invocation,
    open: &OpenRepository,
    name: &str,
    job: &Job,
    dry_run: bool,
) -> CommandResult<u64> {
    let Some(policy) = job.keep.as_ref().filter(|policy| !policy.keep_forever) else {
        return Ok(0);
    };
    let access = open.repository.access();
    if access.check_allowed(Need::Maintain, "retention").is_err() {
        return Err(CommandError::new(
            ErrorKind::Refused,
            "its credential adds and cannot delete, and the job has keep rules",
        )
        .hint("let a job with kind = \"prune\" on another host do it, and name that in prune_by"));
    }
    forget::retain(invocation, open, (policy, &own(name, job)), true, dry_run)
}

/// What a job's rules look at.
pub fn own(name: &str, job: &Job) -> Filters {
    Filters {
        jobs: match captures(job) {
            true => vec![name.to_owned()],
            false => Vec::new(),
        },
        ..Filters::default()
    }
}

/// Reads back what is due.
fn check(invocation: &Invocation, open: &OpenRepository, job: &Job) -> CommandResult<()> {
    let Some(check) = &job.check else {
        return Ok(());
    };
    let proofs = open.repository.load_proofs()?.proofs;
    let read = proofs.iter().filter(|signed| {
        open.repository.believes(signed) && signed.proof.kind == ProofKind::ReadData
    });
    let newest = read.map(|signed| signed.proof.finished).max();
    let now = invocation.now();
    let age = newest.map(|newest| now.0.saturating_sub(newest.0));
    let every = i64::try_from(check.every.as_nanos()).unwrap_or(i64::MAX);
    if age.is_some_and(|age| (0..every).contains(&age)) {
        return Ok(());
    }
    let subset = check.read_data.as_ref().map(|text| text.parse());
    let subset = subset.transpose().map_err(CommandError::usage)?;
    let index = invocation.open_index(&open.repository)?;
    let options = CheckOptions {
        read_data: subset.map_or(ReadData::All, ReadData::Subset),
        scratch: invocation.scratch(&open.repository),
        workers: invocation.workers(),
        ..CheckOptions::default()
    };
    let (report, _) = check_and_prove(invocation, &open.repository, &index, &options)?;
    invocation.ui.clear();
    invocation.cancel.check()?;
    match report.damage.is_empty() {
        true => {
            let read = bytes(report.bytes_read);
            invocation
                .output
                .say(&format!("read back {read}, no damage"));
            Ok(())
        }
        false => Err(CommandError::new(
            ErrorKind::Damage,
            format!("{} objects are damaged", report.damage.len()),
        )
        .hint("icecore check --read-data names the snapshots and paths they hurt")),
    }
}
