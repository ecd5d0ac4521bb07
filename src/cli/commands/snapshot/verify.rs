//! `snapshot --verify-after`: what was stored is read back before it is relied on.

use crate::check::{CheckOptions, CheckReport, ReadData};
use crate::cli::commands::check::{are_whole, check_and_prove};
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::repository::index::Index;
use crate::units::bytes;
use serde_json::json;
use std::time::Duration;

/// What came of reading back.
pub struct Verification {
    bytes: u64,
    is_whole: bool,
}

impl Verification {
    /// Whether all of it read back.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Puts it into the report of the snapshots.
    pub fn added_to(self, mut report: Report) -> Report {
        let summary = &mut report.summary;
        summary.insert("bytes_verified".to_owned(), json!(self.bytes));
        summary.insert("verified".to_owned(), json!(self.is_whole));
        match self.is_whole {
            true => report,
            false => report.exit(Exit::Unproven),
        }
    }
}

/// Reads the packs that the snapshots `taken` need and that no proof names yet, and tells the
/// result. The snapshots stay, whatever it is.
pub fn run(
    invocation: &Invocation,
    repository: &Repository,
    index: &Index,
    taken: &[SnapshotId],
) -> Verification {
    let read = read(invocation, repository, index, taken);
    invocation.ui.clear();
    match read {
        Ok(report) => tell(invocation, &report, taken),
        Err(error) => {
            let error = error.within("the snapshot is stored, but could not be read back");
            invocation.ui.error(&error);
            Verification {
                bytes: 0,
                is_whole: false,
            }
        }
    }
}

fn read(
    invocation: &Invocation,
    repository: &Repository,
    index: &Index,
    taken: &[SnapshotId],
) -> CommandResult<CheckReport> {
    let options = CheckOptions {
        read_data: ReadData::All,
        // However long ago a pack was proven, it counts.
        older_than: Some(Duration::MAX),
        snapshots: Some(taken.to_vec()),
        scratch: invocation.scratch(repository),
        workers: invocation.workers(),
    };
    let (report, _) = check_and_prove(invocation, repository, index, &options)?;
    invocation.cancel.check()?;
    Ok(report)
}

fn tell(invocation: &Invocation, report: &CheckReport, taken: &[SnapshotId]) -> Verification {
    let is_whole = are_whole(report, taken);
    let read = bytes(report.bytes_read);
    if is_whole {
        let number = text::counted(taken.len() as u64, "snapshot");
        let line = format!("read back {read}, all as stored   {number} proven");
        invocation.output.say(&line);
    } else {
        let number = text::counted(report.damage.len() as u64, "object");
        let ui = &invocation.ui;
        ui.warn_line(&format!(
            "NOT PROVEN  read back {read}, {number} damaged; the snapshot stays"
        ));
        ui.warn_line("  try: icecore check --read-data, then look at the repository's disk");
    }
    Verification {
        bytes: report.bytes_read,
        is_whole,
    }
}
