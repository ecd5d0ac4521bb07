//! Captures planned sources into one repository, one snapshot each, one set for all.

use crate::archiver::{Parent, Run, SnapshotRequest, Taken};
use crate::cli::commands::snapshot::keep_configuration::keep_configuration;
use crate::cli::commands::snapshot::plan::Plan;
use crate::cli::commands::snapshot::screen;
use crate::cli::error::{CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::reporting::{Act, Duty, failure};
use crate::cli::rule_321::{shares_disk, volatile};
use crate::env::Timestamp;
use crate::event::{Activity, Ending, Status, Subject};
use crate::id::{SetId, SnapshotId};
use crate::monitor::{Monitor, Unit};
use crate::repository::index::Index;
use crate::store::SpoolFigures;
use std::collections::BTreeMap;

/// What all snapshots of a run have in common.
#[derive(Debug, Clone)]
pub struct Common {
    /// Host name to record.
    pub host: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The job that asks for them.
    pub job: Option<String>,
    /// Domain to write into.
    pub domain: Option<String>,
    /// The time to record instead of now.
    pub captured: Option<Timestamp>,
    /// What they are compared with.
    pub parent: Parent,
    /// Whether every source that was asked for is among the plans.
    pub planned_all: bool,
    /// Whether what was taken is told by itself, or by whoever asked for it.
    pub is_told: bool,
}

/// One source's outcome.
pub struct Outcome {
    /// What the source is called.
    pub source: String,
    /// Its snapshot.
    pub result: CommandResult<Taken>,
}

/// What came of a run.
pub struct Captured {
    /// The set its snapshots belong to.
    pub set: SetId,
    /// Of each source that was tried, in order.
    pub outcomes: Vec<Outcome>,
    /// Bytes that went to the store.
    pub bytes_uploaded: u64,
    /// What waited before it went up.
    pub spool: Option<SpoolFigures>,
}

impl Captured {
    /// The snapshots that were taken.
    pub fn ids(&self) -> Vec<SnapshotId> {
        let results = self.outcomes.iter().map(|outcome| outcome.result.as_ref());
        results.flatten().map(|taken| taken.id).collect()
    }
}

/// Takes the snapshots, tells each, and joins them in a set. A source that fails does not stop the
/// others.
pub fn capture(
    invocation: &Invocation,
    open: &OpenRepository,
    index: &Index,
    plans: &mut [Plan<'_>],
    common: &Common,
) -> CommandResult<Captured> {
    let mut run = Run::new(&open.repository, index)?;
    let set = run.set();
    let mut outcomes = Vec::new();
    for plan in &mut *plans {
        let request = request(invocation, common, plan);
        let acts = begin(invocation, open, common, plan)?;
        let result = take(invocation, &mut run, &request, plan);
        end(invocation, open, &acts, &result);
        if common.is_told {
            show(invocation, &plan.source, &result);
        }
        let stop = matches!(&result, Err(error) if error.kind == ErrorKind::Interrupted);
        outcomes.push(Outcome {
            source: plan.source.clone(),
            result,
        });
        if stop || invocation.cancel.is_cancelled() {
            break;
        }
    }
    let taken_all = outcomes.len() == plans.len() && outcomes.iter().all(|o| o.result.is_ok());
    let complete = taken_all && common.planned_all;
    if outcomes.iter().any(|outcome| outcome.result.is_ok()) {
        keep_configuration(invocation, open, &mut run, common)?;
        run.finish(complete, &*invocation.ui)?;
    }
    Ok(Captured {
        set,
        outcomes,
        bytes_uploaded: open.traffic.uploaded_bytes(),
        spool: open.spool.as_ref().map(|spool| spool.figures()),
    })
}

/// Reports that a source is captured, sealed, and goes to a bucket: all three at once.
fn begin<'i>(
    invocation: &'i Invocation,
    open: &OpenRepository,
    common: &Common,
    plan: &Plan<'_>,
) -> CommandResult<Vec<Act<'i>>> {
    let subject = Subject {
        source: Some(plan.source.clone()),
        job: common.job.clone(),
        ..open.subject()
    };
    let activities: &[Activity] = match open.place.directory() {
        Some(_) => &[Activity::Create, Activity::Encrypt],
        None => &[Activity::Create, Activity::Encrypt, Activity::Upload],
    };
    invocation.begin_all(&open.repository, activities, &subject, Duty::Miss)
}

fn end(
    invocation: &Invocation,
    open: &OpenRepository,
    acts: &[Act<'_>],
    result: &CommandResult<Taken>,
) {
    let events = acts.iter().map(|act| {
        act.complete(match result {
            Ok(taken) => ending(act.activity(), open, taken),
            Err(error) => failure(error),
        })
    });
    let events: Vec<_> = events.collect();
    let _told = invocation.report(Some(&open.repository), &events, Duty::Miss);
}

/// How a capture ended, as each of its parts sees it.
fn ending(activity: Activity, open: &OpenRepository, taken: &Taken) -> Ending {
    let (label, archived) = (&taken.label, &taken.archived);
    let end = match activity {
        Activity::Create => {
            let mut problems = Vec::new();
            if !archived.problems.is_empty() {
                problems.push(format!("{} items not read", archived.problems.len()));
            }
            if label.suspect || !archived.unmet.is_empty() {
                problems.push("suspect: not as expected".to_owned());
            }
            let size = label.totals.bytes;
            match problems.is_empty() {
                true => Ending::success("").bytes(size),
                false => Ending::new(Status::Warning, problems.join("; ")).bytes(size),
            }
        }
        Activity::Encrypt => {
            let suite = open.repository.suite().name();
            Ending::success(format!("sealed with {suite}")).bytes(label.totals.bytes_stored)
        }
        _ => Ending::success("").bytes(label.totals.bytes_stored),
    };
    end.snapshot(taken.id)
}

/// Takes the snapshot of one plan.
pub(super) fn take(
    invocation: &Invocation,
    run: &mut Run<'_>,
    request: &SnapshotRequest,
    plan: &mut Plan<'_>,
) -> CommandResult<Taken> {
    let ui = &*invocation.ui;
    ui.phase("reading", Unit::Bytes, None);
    let taken = run.snapshot(request, &mut *plan.open, ui, &invocation.cancel);
    ui.clear();
    Ok(taken?)
}

fn show(invocation: &Invocation, source: &str, result: &CommandResult<Taken>) {
    match result {
        Ok(taken) => {
            for line in screen::lines(taken, invocation.global.verbose > 0) {
                invocation.output.say(&line);
            }
            for problem in screen::problems(taken) {
                invocation.ui.warn_line(&problem);
            }
            invocation.output.object("taken", screen::describe(taken));
        }
        Err(error) if error.kind != ErrorKind::Interrupted => {
            let error = error.within(&format!("no snapshot of {source}"));
            invocation.ui.error(&error);
        }
        Err(_) => {}
    }
}

/// What the snapshot of a plan is to be.
pub(super) fn request(
    invocation: &Invocation,
    common: &Common,
    plan: &Plan<'_>,
) -> SnapshotRequest {
    let both = |own: &BTreeMap<String, String>, all: &BTreeMap<String, String>| {
        let mut both = all.clone();
        both.extend(own.clone());
        both
    };
    SnapshotRequest {
        source: plan.source.clone(),
        host: common.host.clone(),
        tags: both(&plan.tags, &common.tags),
        labels: both(&plan.labels, &common.labels),
        job: common.job.clone(),
        captured: common.captured,
        domain: plan.domain.clone().or_else(|| common.domain.clone()),
        roots: plan.roots.clone(),
        user: user_name(),
        parent: common.parent,
        effort: invocation.global.compression,
        workers: invocation.workers(),
        strict: plan.strict,
        expectations: plan.expectations.clone(),
    }
}

/// This host's name.
pub fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    match name.is_empty() {
        true => "localhost".to_owned(),
        false => name,
    }
}

/// The user the program runs as.
pub fn user_name() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(std::env::var_os);
    named.map_or_else(
        || format!("uid {}", rustix::process::geteuid().as_raw()),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// A copy on the same disk dies with it, and a volatile one by itself.
pub fn warn_same_disk(invocation: &Invocation, open: &OpenRepository, plans: &[Plan<'_>]) {
    let Some(repository) = open.place.directory() else {
        return;
    };
    if let Some(why) = volatile(repository) {
        invocation.output.warning(&format!(
            "the repository is volatile ({why}): not for a backup"
        ));
        invocation.output.say(&format!(
            "! The repository is volatile ({why}): fine for a try, not for a backup"
        ));
    }
    let mut paths = plans.iter().flat_map(|plan| &plan.paths);
    if paths.any(|path| shares_disk(path, repository)) {
        invocation.output.warning(
            "the repository is on the same disk as the data: fine for a try, not for a backup",
        );
        invocation
            .output
            .say("! Same disk as the data: fine for a try, not for a backup. Add a copy: icecore copy --to REPO");
    }
}
