//! One drill: restore, open, ask, run.

use crate::cli::commands::drill::Attempt;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::external::run_to_end;
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::repository::{Reader, Repository};
use crate::restorer::{RestoreOptions, Restored, Selection, restore};
use crate::target::sqlite::{Answer, try_out};
use crate::units::{bytes, count};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where a drill's command finds what was restored.
const DIRECTORY_VARIABLE: &str = "ICECORE_DRILL_DIR";

/// What came of a drill.
#[derive(Default)]
pub struct Trial {
    /// From nothing to the last check passed: the measured recovery time.
    pub duration: Duration,
    /// How long each part took.
    pub phases: Vec<(&'static str, Duration)>,
    /// Why it is not proven; nothing if it is.
    pub failures: Vec<String>,
    /// Databases that were opened.
    pub databases: usize,
    /// Tables whose rows are as many as recorded.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// What was asked.
    pub answers: Vec<Answer>,
    files: u64,
    bytes: u64,
    ran_command: bool,
}

impl Trial {
    /// A drill that could not even begin.
    pub fn failed(error: CommandError) -> Self {
        Self {
            failures: vec![error.message()],
            ..Self::default()
        }
    }

    /// What was proven, in one line.
    pub fn summary(&self) -> String {
        let files = text::counted(self.files, "file");
        let mut parts = vec![format!(
            "{files} ({}) restored and read back",
            bytes(self.bytes)
        )];
        if self.databases > 0 {
            let (tables, rows) = (count(self.tables), count(self.rows));
            parts.push(format!(
                "{} opened, integrity_check ok, {tables} of {tables} row counts equal ({rows} rows)",
                text::counted(self.databases as u64, "database")
            ));
        }
        if !self.answers.is_empty() {
            let asked = self.answers.len() as u64;
            parts.push(format!("{} true", text::counted(asked, "query answer")));
        }
        if self.ran_command {
            parts.push("command ok".to_owned());
        }
        parts.join(", ")
    }

    fn phase<T>(&mut self, name: &'static str, run: impl FnOnce(&mut Self) -> T) -> T {
        let started = Instant::now();
        let result = run(self);
        let took = started.elapsed();
        self.phases.push((name, took));
        self.duration += took;
        result
    }
}

/// Tries one snapshot. The error is that of a restore that could not be done at all.
pub(super) fn try_snapshot(
    invocation: &Invocation,
    repository: &Repository,
    attempt: &Attempt<'_>,
    target: &Path,
    command: &[OsString],
) -> CommandResult<Trial> {
    let mut trial = Trial::default();
    let restored = trial.phase("restore", |_| {
        bring_back(invocation, repository, attempt, target)
    })?;
    trial.files = restored.files;
    trial.bytes = restored.bytes;
    let lost = restored.damaged.iter().chain(&restored.unproven);
    trial
        .failures
        .extend(lost.map(|(path, why)| format!("{}: {why}", text::path(path))));
    trial.phase("databases", |trial| ask(&restored, attempt, trial));
    if !command.is_empty() && trial.failures.is_empty() {
        let ended = trial.phase("command", |_| {
            let directory = (DIRECTORY_VARIABLE.into(), target.into());
            run_to_end(command, Some(target), &[directory], &invocation.cancel)
        });
        match ended {
            Ok(()) => trial.ran_command = true,
            Err(error) => trial.failures.push(error.message()),
        }
    }
    Ok(trial)
}

fn bring_back(
    invocation: &Invocation,
    repository: &Repository,
    attempt: &Attempt<'_>,
    target: &Path,
) -> CommandResult<Restored> {
    let index = invocation.open_index(repository)?;
    let reader = Reader::new(repository, &index);
    reader.follow(attempt.snapshot.id);
    let made = std::fs::create_dir(target);
    made.map_err(|error| CommandError::file("create", target, &error))?;
    let options = RestoreOptions {
        workers: invocation.workers(),
        verify: true,
        ..RestoreOptions::default()
    };
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let snapshot = attempt.snapshot;
    Ok(restore(
        &reader,
        snapshot,
        &Selection::all(),
        target,
        &options,
        ui,
        cancel,
    )?)
}

/// Opens every database that came back. Its integrity and its counts were proven by the restore.
fn ask(restored: &Restored, attempt: &Attempt<'_>, trial: &mut Trial) {
    for (path, report) in &restored.databases {
        trial.databases += 1;
        trial.tables += report.proof.tables_compared;
        trial.rows += report.proof.rows_compared;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match try_out(path, &attempt.queries) {
            Ok(tried) => {
                let faults = tried.faults().into_iter();
                trial
                    .failures
                    .extend(faults.map(|fault| format!("{name}: {fault}")));
                trial.answers.extend(tried.answers);
            }
            Err(error) => trial
                .failures
                .push(format!("{name} cannot be asked: {error}")),
        }
    }
    if restored.databases.is_empty() && !attempt.queries.is_empty() {
        trial
            .failures
            .push("there is no database to be asked".to_owned());
    }
}
