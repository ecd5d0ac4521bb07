//! One attempt at a job: capture, verify, look after the repositories.

use crate::archiver::{Parent, Taken};
use crate::check::{CheckOptions, ReadData};
use crate::cli::commands::check::{are_whole, check_and_prove};
use crate::cli::commands::run::space::{self, Space};
use crate::cli::commands::run::{Records, Run, captures, copies, export, maintain, sources};
use crate::cli::commands::snapshot::capture::{
    Captured, Common, capture, host_name, warn_same_disk,
};
use crate::cli::commands::snapshot::{dry_run, verify};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::reporting::{Duty, failure};
use crate::config::{IfAbsent, Job, Verify};
use crate::event::{Activity, Subject};
use crate::metrics::{RepositoryRecord, SourceRecord};
use crate::monitor::Monitor;
use crate::repository::Need;
use crate::repository::index::Index;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// What an attempt did.
pub struct Done {
    /// What the program ends with, if nothing worse comes.
    pub exit: Exit,
    /// Sources that were captured, by name.
    pub sources: BTreeMap<String, SourceRecord>,
    /// Repositories that were looked after, by name.
    pub repositories: BTreeMap<String, RepositoryRecord>,
    /// The set that was written.
    set: Option<String>,
    snapshots: Vec<String>,
    forgotten: u64,
    /// Snapshots that are there as readable files.
    exported: u64,
    /// What is not as it should be, a sentence each.
    problems: Vec<String>,
    /// What was warned about and does not count as a failure.
    warnings: Vec<String>,
}

impl Done {
    pub(super) fn new() -> Self {
        Self {
            exit: Exit::Done,
            sources: BTreeMap::new(),
            repositories: BTreeMap::new(),
            set: None,
            snapshots: Vec::new(),
            forgotten: 0,
            exported: 0,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The snapshots that were taken.
    pub fn snapshots(&self) -> &[String] {
        &self.snapshots
    }

    /// What went wrong, in one sentence.
    pub fn problem(&self) -> Option<String> {
        (!self.problems.is_empty()).then(|| self.problems.join("; "))
    }

    /// For scripts.
    pub fn fields(&self, job: &str) -> Value {
        json!({
            "job": job,
            "ok": self.problems.is_empty(),
            "set_id": self.set,
            "snapshots": self.snapshots,
            "forgotten": self.forgotten,
            "exported": self.exported,
            "problems": self.problems,
            "warnings": self.warnings,
        })
    }

    /// Counts snapshots that are there as readable files.
    pub(super) fn export(&mut self, snapshots: u64) {
        self.exported += snapshots;
    }

    /// A failure of a part, with the exit code it leads to.
    pub(super) fn fail(&mut self, exit: Exit, problem: String) {
        self.exit = super::worse(self.exit, exit);
        self.problems.push(problem);
    }
}

/// A repository of the job that was opened.
pub(super) struct Opened {
    /// Its name in the file.
    pub name: String,
    /// The run of the program, as far as it is about this repository.
    pub invocation: Invocation,
    /// It.
    pub open: OpenRepository,
}

/// Tries a job once. The error is that of a job of which nothing was done.
pub(super) fn attempt(
    run: &Run<'_>,
    limited: &Invocation,
    name: &str,
    job: &Job,
) -> CommandResult<Done> {
    if let Some(plan) = &job.export {
        return export::attempt(run, limited, (name, job), plan);
    }
    let mut done = Done::new();
    let opened = open_all(run, limited, job, &mut done)?;
    for opened in &opened {
        make_room(run, opened, (name, job), &mut done)?;
    }
    if captures(job) {
        let Some(first) = opened.first() else {
            return Err(CommandError::failed("none of its repositories is there"));
        };
        capture_into(run, first, name, job, &mut done)?;
        if !run.dry_run {
            copy_to_others(&opened, name, &mut done)?;
        }
    }
    for opened in &opened {
        if job.prune_by.contains_key(&opened.name) {
            continue;
        }
        look_after(run, opened, name, job, &mut done)?;
    }
    for opened in &opened {
        measure(run, opened, &mut done);
    }
    Ok(done)
}

/// Makes room where it is short, before more is written. What could not be done is told, and the run
/// goes on: a snapshot that is not taken is worse.
fn make_room(
    run: &Run<'_>,
    opened: &Opened,
    (name, job): (&str, &Job),
    done: &mut Done,
) -> CommandResult<()> {
    if run.dry_run {
        return Ok(());
    }
    let pruner = job.prune_by.get(&opened.name).map(String::as_str);
    let made = space::make_room(&opened.invocation, run.configuration, opened, name, pruner);
    opened.invocation.cancel.check()?;
    match made {
        Ok(space::Made::Enough) => {}
        Ok(space::Made::Low(warning)) => {
            opened.invocation.ui.warn(&warning);
            done.warnings.push(warning);
        }
        Ok(space::Made::Short(problem)) => {
            opened.invocation.ui.warn(&problem);
            done.fail(Exit::Attention, problem);
        }
        Err(error) => {
            let error = error.within(&format!("no room was made in {}", opened.name));
            opened.invocation.ui.error(&error);
            done.fail(Exit::Attention, error.message());
        }
    }
    Ok(())
}

/// Notes how large a repository is now; one that cannot be measured has other troubles that are told.
fn measure(run: &Run<'_>, opened: &Opened, done: &mut Done) {
    let Some(record) = done.repositories.get_mut(&opened.name) else {
        return;
    };
    if let (false, Ok(space)) = (run.dry_run, Space::look(&opened.open)) {
        let configured = run.configuration.config.repositories.get(&opened.name);
        record.bytes = space.bytes;
        record.bytes_max = configured.and_then(|one| one.max_size).unwrap_or(0);
        record.bytes_free = space.disk.map(|(free, _)| free);
    }
}

/// Opens what can be opened. One that may be absent is told and passed by.
fn open_all(
    run: &Run<'_>,
    limited: &Invocation,
    job: &Job,
    done: &mut Done,
) -> CommandResult<Vec<Opened>> {
    let mut all = Vec::new();
    for name in &job.repositories {
        let Some(repository) = run.configuration.config.repositories.get(name) else {
            continue;
        };
        let invocation = limited.with_repository(name);
        let opened = match captures(job) {
            true => invocation.open_repository_to_capture("run"),
            false => invocation.open_repository_to(Need::Maintain, "run, of a job that prunes"),
        };
        match opened {
            Ok(open) => all.push(Opened {
                name: name.clone(),
                invocation,
                open,
            }),
            Err(error) if repository.if_absent == IfAbsent::Warn && super::can_pass(&error) => {
                limited.cancel.check()?;
                let warning = format!("repository {name} is not there: {}", error.message());
                limited.ui.warn(&warning);
                done.warnings.push(warning);
                done.repositories
                    .insert(name.clone(), RepositoryRecord::default());
            }
            Err(error) => return Err(error.within(&format!("repository {name}"))),
        }
    }
    Ok(all)
}

/// The first repository was written by the run itself, the others get copies.
fn copy_to_others(opened: &[Opened], job_name: &str, done: &mut Done) -> CommandResult<()> {
    let Some((first, others)) = opened.split_first() else {
        return Ok(());
    };
    for other in others {
        let copied = copies::copy_to(first, other, job_name);
        other.invocation.cancel.check()?;
        let record = copied.unwrap_or_else(|error| {
            let error = error.within(&format!("no copy in {}", other.name));
            other.invocation.ui.error(&error);
            done.fail(Exit::Partial, error.message());
            RepositoryRecord::default()
        });
        done.repositories.insert(other.name.clone(), record);
    }
    Ok(())
}

fn capture_into(
    run: &Run<'_>,
    into: &Opened,
    job_name: &str,
    job: &Job,
    done: &mut Done,
) -> CommandResult<()> {
    let configuration = into.invocation.needed_configuration()?;
    // What was found before is not of this repository.
    let before = done.problems.len();
    let (mut names, mut plans) = (Vec::new(), Vec::new());
    let mut first_error = None;
    let day = run.captured.unwrap_or_else(|| into.invocation.now());
    for (source, plan) in sources::plans(&into.invocation, &configuration, job, day) {
        match plan {
            Ok(plan) => {
                names.push(source);
                plans.push(plan);
            }
            Err(error) => {
                let error = error.within(&format!("source {source}"));
                into.invocation.ui.error(&error);
                if !run.dry_run {
                    report_unplanned(into, (job_name, job), &source, &error);
                }
                done.fail(Exit::Partial, error.message());
                first_error.get_or_insert(error);
            }
        }
    }
    let planned_all = first_error.is_none();
    if let (true, Some(error)) = (plans.is_empty(), first_error) {
        return Err(error);
    }
    if run.dry_run {
        let tried = dry_run::run(&into.invocation, &mut plans)?;
        done.exit = super::worse(done.exit, tried.exit);
        return Ok(());
    }
    warn_same_disk(&into.invocation, &into.open, &plans);
    let common = Common {
        host: host_name(),
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        job: Some(job_name.to_owned()),
        domain: None,
        captured: run.captured,
        parent: Parent::Newest,
        planned_all,
        is_told: true,
    };
    let index = into.invocation.open_stale_index(&into.open.repository);
    let started = Instant::now();
    let captured = capture(&into.invocation, &into.open, &index, &mut plans, &common)?;
    let mut written = RepositoryRecord {
        success: true,
        written: into.invocation.now().0,
        milliseconds: milliseconds(started),
        bytes_uploaded: captured.bytes_uploaded,
        ..RepositoryRecord::default()
    };
    tell(&names, &captured, done)?;
    verify_taken(into, &index, job, &captured, &mut written, done)?;
    written.success = done.problems.len() == before;
    done.repositories.insert(into.name.clone(), written);
    Ok(())
}

/// Reports that a source could not even be looked at: an attempt that failed like any other.
fn report_unplanned(into: &Opened, (name, job): (&str, &Job), source: &str, error: &CommandError) {
    let (invocation, repository) = (&into.invocation, &into.open.repository);
    let configuration = invocation.configuration().ok().flatten();
    let identities = configuration.map(|configuration| sources::identities(&configuration, job));
    let mut identities = identities.unwrap_or_default().into_iter();
    let subject = Subject {
        source: identities
            .find(|(own, _)| own == source)
            .map(|(_, identity)| identity),
        job: Some(name.to_owned()),
        location: Some(into.open.place.to_string()),
        ..Subject::default()
    };
    let begun = invocation.begin(repository, Activity::Create, subject, Duty::Miss);
    if let Ok(act) = begun {
        act.end(repository, failure(error));
    }
}

fn milliseconds(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Notes each source's outcome. Where nothing was captured, the first error is the result.
fn tell(names: &[String], captured: &Captured, done: &mut Done) -> CommandResult<()> {
    done.set = Some(captured.set.to_string());
    for (name, outcome) in names.iter().zip(&captured.outcomes) {
        match &outcome.result {
            Ok(taken) => {
                done.snapshots.push(taken.id.to_string());
                done.sources.insert(name.clone(), record(taken));
                let unread = taken.archived.problems.len();
                if unread > 0 {
                    done.fail(
                        Exit::Partial,
                        format!("source {name}: {unread} items not read"),
                    );
                }
                for unmet in &taken.archived.unmet {
                    done.fail(Exit::Partial, format!("source {name}: {unmet}"));
                }
                if taken.label.suspect && taken.archived.unmet.is_empty() {
                    done.fail(
                        Exit::Partial,
                        format!("source {name}: its own check found faults"),
                    );
                }
            }
            Err(error) => done.fail(Exit::Partial, format!("source {name}: {}", error.message())),
        }
    }
    let results = captured.outcomes.iter().map(|outcome| &outcome.result);
    let failed = results.clone().all(Result::is_err);
    match results.into_iter().find_map(|result| result.as_ref().err()) {
        Some(error) if failed => Err(error.within("nothing was captured")),
        _ => Ok(()),
    }
}

fn record(taken: &Taken) -> SourceRecord {
    let totals = &taken.label.totals;
    SourceRecord {
        snapshot: taken.id.to_string(),
        taken: taken.label.captured.0,
        bytes: totals.bytes,
        bytes_stored: totals.bytes_stored,
        milliseconds: totals.milliseconds,
        good: taken.label.complete && !taken.label.suspect,
        success: true,
    }
}

fn verify_taken(
    into: &Opened,
    index: &Index,
    job: &Job,
    captured: &Captured,
    written: &mut RepositoryRecord,
    done: &mut Done,
) -> CommandResult<()> {
    let (invocation, repository) = (&into.invocation, &into.open.repository);
    let ids = captured.ids();
    let is_whole = match job.verify {
        Verify::None => return Ok(()),
        Verify::ReadBack => verify::run(invocation, repository, index, &ids).is_whole(),
        Verify::Structure => {
            let options = CheckOptions {
                read_data: ReadData::No,
                snapshots: Some(ids.clone()),
                scratch: invocation.scratch(repository),
                ..CheckOptions::default()
            };
            let (report, _) = check_and_prove(invocation, repository, index, &options)?;
            are_whole(&report, &ids)
        }
    };
    match (is_whole, job.verify) {
        (true, Verify::ReadBack) => written.verified = invocation.now().0,
        (true, _) => {}
        (false, _) => {
            let problem = "what was written could not be verified; the snapshots stay";
            done.fail(Exit::Unproven, problem.to_owned());
        }
    }
    Ok(())
}

fn look_after(
    run: &Run<'_>,
    opened: &Opened,
    name: &str,
    job: &Job,
    done: &mut Done,
) -> CommandResult<()> {
    let records = Records::open(&opened.invocation, run.configuration)?;
    let maintained = maintain::maintain(opened, &records, (name, job), run.dry_run);
    opened.invocation.cancel.check()?;
    match maintained {
        Ok(maintained) => done.forgotten += maintained.forgotten,
        // The snapshots are there: what failed is the looking after.
        Err(error) => {
            let error = error.within(&format!("repository {}", opened.name));
            opened.invocation.ui.error(&error);
            done.fail(error.kind.exit(), error.message());
        }
    }
    Ok(())
}
