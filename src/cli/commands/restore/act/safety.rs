//! What is there is kept before it is replaced: in the same repository, held for a week.

use crate::archiver::{Parent, Taken};
use crate::cli::commands::restore::act::parts::{Part, source_of};
use crate::cli::commands::snapshot::capture::{Common, capture, host_name};
use crate::cli::commands::snapshot::plan::{Plan, database, files, raw_files};
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::listing::SnapshotSet;
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::event::{Activity, Ending, Subject};
use crate::id::{ObjectId, SnapshotId};
use crate::monitor::{Monitor, Silent};
use crate::repository::Repository;
use crate::repository::index::Index;
use crate::selector::SAFETY_SCHEME;
use crate::source::Context;
use crate::source::signal::Signs;
use crate::source::sqlite::{companions, open_for_tree};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long it is held.
pub const HELD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The tag that names the restore a safety snapshot was taken for.
pub const TAG: &str = "safety";

/// What is kept of one part.
pub struct Kept {
    /// The snapshot; `None` where nothing was there.
    pub snapshot: Option<SnapshotId>,
    /// Origins that were not there.
    pub absent: Vec<PathBuf>,
    hold: Option<ObjectId>,
    /// What was seen before it was taken: another sign later tells of a change.
    sign: Option<[u8; 32]>,
}

/// Takes safety snapshots.
pub struct Safety<'a> {
    /// The run of the program.
    pub invocation: &'a Invocation,
    /// Where they go.
    pub open: &'a OpenRepository,
    /// Its index.
    pub index: &'a Index,
    /// What is in it.
    pub set: &'a SnapshotSet,
    /// The job whose they are.
    pub job: Option<String>,
    /// The name of the restore.
    pub restore: String,
}

impl Safety<'_> {
    /// Keeps what is there of a part. Nothing there is nothing to keep; a database that is damaged is
    /// kept as the bytes it has.
    pub fn keep(&self, part: &Part<'_>) -> CommandResult<Kept> {
        let (there, absent): (Vec<_>, Vec<_>) = part
            .origins()
            .into_iter()
            .partition(|path| path.symlink_metadata().is_ok());
        let mut kept = Kept {
            snapshot: None,
            absent,
            hold: None,
            sign: None,
        };
        if there.is_empty() {
            return Ok(kept);
        }
        kept.sign = self.sign(part, &there);
        let taken = self.take(part, &there)?;
        self.tell_unread(&taken);
        kept.snapshot = Some(taken.id);
        kept.hold = self.hold(part, &taken);
        Ok(kept)
    }

    /// Keeps it once more if it changed since; what was kept before need not be held any more.
    /// Returns whether it did.
    pub fn keep_changes(&self, part: &Part<'_>, kept: &mut Kept) -> CommandResult<bool> {
        let mut there = part.origins();
        there.retain(|path| path.symlink_metadata().is_ok());
        let sign = match there.is_empty() {
            true => None,
            false => self.sign(part, &there),
        };
        let is_same = match kept.snapshot {
            Some(_) => sign.is_some() && sign == kept.sign,
            None => there.is_empty(),
        };
        if is_same || there.is_empty() {
            return Ok(false);
        }
        let newer = self.keep(part)?;
        if let (Some(hold), Some(_)) = (kept.hold, newer.hold) {
            let released = self
                .repository()
                .release_hold(hold, "a later one replaces it");
            if let Err(error) = released {
                self.invocation
                    .ui
                    .warn(&CommandError::from(error).message());
            }
        }
        *kept = newer;
        Ok(true)
    }

    fn repository(&self) -> &Repository {
        &self.open.repository
    }

    /// How the part is captured; `None` where a database is to be kept as plain bytes.
    fn plan(&self, part: &Part<'_>, there: &[PathBuf]) -> CommandResult<Option<Plan<'_>>> {
        let found = part.databases_there();
        match (there, found.as_slice()) {
            ([only], [_]) => {
                // Opened and closed again: whether the engine takes it for a database at all.
                let opened = open_for_tree(only, &self.invocation.cancel)?.is_some();
                opened.then(|| database(only, false)).transpose()
            }
            ([only], []) if part.is_database && only.is_file() => Ok(None),
            _ => files(self.invocation, there, &part.exclusions).map(Some),
        }
    }

    fn raw(&self, there: &[PathBuf]) -> CommandResult<Plan<'_>> {
        // The index of a write-ahead log is made anew by whoever opens it.
        let beside = there.iter().flat_map(|path| companions(path));
        let beside = beside.filter(|path| !path.as_os_str().as_bytes().ends_with(b"-shm"));
        let all: Vec<PathBuf> = there.iter().cloned().chain(beside).collect();
        raw_files(self.invocation, &all)
    }

    fn take(&self, part: &Part<'_>, there: &[PathBuf]) -> CommandResult<Taken> {
        if let Some(plan) = self.plan(part, there)? {
            let is_single = there.len() == 1 && !part.databases_there().is_empty();
            match self.capture(part, plan) {
                Err(error) if is_single && error.kind == ErrorKind::Failed => {
                    self.invocation.ui.warn(&format!(
                        "{} cannot be captured as a database ({}): it is kept as plain bytes",
                        shown(there),
                        error.message()
                    ));
                }
                other => return other,
            }
        } else {
            self.invocation.ui.warn(&format!(
                "{} is no database that opens: it is kept as plain bytes",
                shown(there)
            ));
        }
        self.capture(part, self.raw(there)?)
    }

    fn capture(&self, part: &Part<'_>, mut plan: Plan<'_>) -> CommandResult<Taken> {
        let repository = self.repository();
        let original = source_of(part.snapshot);
        plan.source = format!("{SAFETY_SCHEME}{original}");
        let mut domains = repository.access().domains();
        let domain = domains.find(|domain| domain.tag == part.snapshot.domain);
        let host = host_name();
        let alike = self.set.visible().map(|(summary, ..)| summary);
        let newest = alike
            .filter(|one| one.source == original && one.host == host)
            .max_by_key(|one| (one.captured, one.id));
        let common = Common {
            host,
            tags: BTreeMap::from([(TAG.to_owned(), self.restore.clone())]),
            labels: BTreeMap::new(),
            job: self.job.clone(),
            domain: domain.map(|domain| domain.name.clone()),
            captured: None,
            parent: newest.map_or(Parent::Newest, |newest| Parent::Given(newest.id)),
            planned_all: true,
            is_told: false,
        };
        let mut plans = [plan];
        let captured = capture(self.invocation, self.open, self.index, &mut plans, &common)?;
        let outcome = captured.outcomes.into_iter().next();
        outcome.map_or_else(
            || Err(CommandError::failed("nothing was captured")),
            |outcome| outcome.result,
        )
    }

    /// What could not be read is not in it, and may be replaced all the same.
    fn tell_unread(&self, taken: &Taken) {
        let unread = taken.archived.problems.len() as u64;
        if unread > 0 {
            self.invocation.ui.warn(&format!(
                "{} could not be read: the safety snapshot {} is without them",
                text::counted(unread, "item"),
                taken.id.short()
            ));
        }
    }

    /// Without the right to it the snapshot is there all the same, and rules may take it sooner.
    fn hold(&self, part: &Part<'_>, taken: &Taken) -> Option<ObjectId> {
        let (invocation, repository) = (self.invocation, self.repository());
        let until = invocation.now().after(HELD);
        let reason = format!(
            "what was there before restore {} of {}",
            self.restore,
            part.snapshot.id.short()
        );
        let subject = Subject {
            snapshot: Some(taken.id),
            source: Some(taken.label.source.clone()),
            job: taken.label.job.clone(),
            ..self.open.subject()
        };
        let held = invocation
            .begin(repository, Activity::Hold, subject, Duty::Warn)
            .and_then(|act| {
                let added = repository.add_hold(taken.id, Some(until), &reason);
                act.conclude(repository, added.map_err(CommandError::from), |_| {
                    Ending::success(format!("held until {}", until.to_rfc3339()))
                })
            });
        held.inspect_err(|error| {
            invocation.ui.warn(&format!(
                "the safety snapshot {} is not held: {}",
                taken.id.short(),
                error.message()
            ));
        })
        .ok()
    }

    /// A sign of what is there; `None` where it cannot be told.
    fn sign(&self, part: &Part<'_>, there: &[PathBuf]) -> Option<[u8; 32]> {
        let mut signs = Signs::default();
        if let ([only], [_]) = (there, part.databases_there().as_slice()) {
            signs.database(only);
            return Some(signs.finish());
        }
        let context = Context {
            monitor: &Silent,
            cancel: &self.invocation.cancel,
        };
        let mut plan = files(self.invocation, there, &part.exclusions).ok()?;
        let mut source = (plan.open)().ok()?;
        signs.tree(&mut *source, &context).ok()?;
        Some(signs.finish())
    }
}

impl Kept {
    /// For a line.
    pub fn shown(&self) -> String {
        match self.snapshot {
            Some(id) if self.hold.is_some() => format!("{} (held 7 days)", id.short()),
            Some(id) => id.short(),
            None => "nothing was there".to_owned(),
        }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    let shown = paths
        .iter()
        .map(|path: &PathBuf| Path::display(path).to_string());
    shown.collect::<Vec<_>>().join(", ")
}
