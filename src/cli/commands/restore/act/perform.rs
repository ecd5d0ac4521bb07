//! The steps of a restore to the origin, in order, until one fails.

use crate::cli::commands::restore::act::outcome::{Origin, note_safety};
use crate::cli::commands::restore::act::parts::Part;
use crate::cli::commands::restore::act::safety::Safety;
use crate::cli::commands::restore::act::steps::{Failed, Steps};
use crate::cli::commands::restore::act::{Act, Course, Progress, Standing, exact};
use crate::cli::commands::restore::{Task, fallback, screen};
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::text;
use crate::monitor::Cancel;
use crate::restorer::{Restored, Selection, read_through};
use crate::target::sqlite::clear_companions;
use crate::units::bytes;
use std::os::unix::fs::MetadataExt;

impl Act<'_> {
    /// All steps, until one fails.
    pub(super) fn perform<'p>(
        &'p self,
        task: &Task<'_>,
        steps: &mut Steps<'_>,
        course: &mut Course<'p>,
    ) -> Result<(), Failed> {
        steps.step("verify snapshot", || self.verify())?;
        let safety = Safety {
            invocation: self.invocation,
            open: self.open,
            index: self.index,
            set: self.set,
            job: self.job.as_ref().map(|(_, name)| name.clone()),
            restore: steps.name().to_owned(),
        };
        if !self.arguments.no_safety_snapshot {
            steps.step("safety snapshot", || keep(&safety, course))?;
            note_safety(steps, course);
        }
        if self.services.stops() {
            let standing = &mut course.services;
            steps.step("stop services", || self.stop(standing))?;
            if !self.arguments.no_safety_snapshot {
                steps.step("last changes", || keep_changes(&safety, course))?;
                note_safety(steps, course);
            }
        }
        steps.step("restore", || self.restore(task, course))?;
        if self.services.starts() {
            let standing = &mut course.services;
            let cancel = &self.invocation.cancel;
            steps.step("start services", || self.start(standing, cancel))?;
        }
        if self.services.asks() {
            let health = steps.step("health check", || {
                let answer = self.services.check(self.invocation)?;
                Ok((answer.clone(), answer))
            })?;
            course.health = Some(health);
        }
        Ok(())
    }

    /// Reads everything that will be needed. With `--fallback` damage is left to the restore.
    fn verify(&self) -> CommandResult<((), String)> {
        let (mut files, mut size) = (0, 0);
        let mut damaged = Vec::new();
        for part in &self.parts {
            let Ok(chosen) = &part.chosen else { continue };
            let is_wanted = |path: &[u8], is_directory| chosen.is_wanted(path, is_directory);
            for place in &part.places {
                let selection = Selection {
                    path: place.path.clone(),
                    wanted: &is_wanted,
                };
                let read = read_through(
                    self.reader,
                    part.snapshot,
                    &selection,
                    self.invocation.workers(),
                    &*self.invocation.ui,
                    &self.invocation.cancel,
                )?;
                files += read.files;
                size += read.bytes;
                damaged.extend(read.damaged);
            }
        }
        let read = format!("{} in {}", bytes(size), text::counted(files, "file"));
        let Some((path, why)) = damaged.first() else {
            return Ok(((), read));
        };
        let number = text::counted(damaged.len() as u64, "item");
        let first = format!("{}: {}", text::path(path), text::line(why));
        match self.arguments.fallback {
            true => Ok(((), format!("{read}, {number} damaged: {first}"))),
            false => Err(CommandError::new(
                ErrorKind::Damage,
                format!("{number} of the snapshot cannot be had ({first})"),
            )
            .hint("an older one: icecore snapshots, or --fallback for what is damaged alone")
            .hint("another copy: -r A,B reads piece by piece from whichever is whole")),
        }
    }

    fn stop(&self, standing: &mut Standing) -> CommandResult<((), String)> {
        let stopped = self.services.stop(&self.invocation.cancel);
        *standing = match &stopped {
            Ok(()) => Standing::Stopped,
            Err(halted) => Standing::PartlyStopped(halted.done),
        };
        stopped
            .map(|()| ((), self.services.stop_lines().join(" · ")))
            .map_err(|halted| halted.error)
    }

    fn start(&self, standing: &mut Standing, cancel: &Cancel) -> CommandResult<((), String)> {
        let started = self.services.start(cancel);
        *standing = match &started {
            Ok(()) => Standing::Started,
            Err(halted) => Standing::PartlyStarted(halted.done),
        };
        started
            .map(|()| ((), self.services.start_lines().join(" · ")))
            .map_err(|halted| halted.error)
    }

    fn restore(&self, task: &Task<'_>, course: &mut Course<'_>) -> CommandResult<((), String)> {
        let mut told = Vec::new();
        for progress in &mut course.parts {
            self.restore_part(task, progress)?;
            told.push(progress.told());
        }
        Ok(((), told.join(" · ")))
    }

    fn restore_part(&self, task: &Task<'_>, progress: &mut Progress<'_>) -> CommandResult<()> {
        let part = progress.part;
        progress.origin = Origin::Begun(progress.inode());
        let arguments = self.arguments;
        let is_whole = arguments.include.is_empty() && arguments.exclude.is_empty();
        let kept = progress.kept.as_ref().and_then(|kept| kept.snapshot);
        if let (true, false, Some(kept)) = (is_whole, part.is_database, kept) {
            let repository = &self.open.repository;
            if let Some(safety) = repository.load_snapshot(kept)? {
                progress.extra = exact::remove(self.invocation, self.reader, part, &safety)?;
            }
        }
        if !part.is_database {
            // What replaces a database as a plain file must not meet its write-ahead log.
            for database in part.databases_there() {
                clear_companions(&database, &self.invocation.cancel)?;
            }
        }
        let task = Task {
            path: &part.path,
            in_place: task.in_place || part.is_database,
            ..*task
        };
        progress.restored = task.all(part.snapshot, part.chosen.as_ref(), &part.places)?;
        if arguments.fallback && !progress.restored.damaged.is_empty() {
            let restored = &mut progress.restored;
            progress.fallbacks = fallback::restore_older(&task, self.set, part.snapshot, restored)?;
        }
        let restored = &progress.restored;
        let missing = restored.damaged.len() > progress.fallbacks.len();
        if !missing && restored.unproven.is_empty() {
            progress.origin = Origin::Restored;
            return Ok(());
        }
        let mut items = restored.damaged.iter().chain(&restored.unproven);
        let first = items.next().map_or_else(String::new, |(path, why)| {
            format!("{}: {}", text::path(path), text::line(why))
        });
        Err(CommandError::new(
            ErrorKind::Damage,
            format!("not all of it could be restored ({first})"),
        ))
    }

    /// Where nothing was replaced, what was stopped runs again: the host is as it was before.
    pub(super) fn start_again(
        &self,
        steps: &mut Steps<'_>,
        course: &mut Course<'_>,
        failed: &mut Failed,
    ) {
        let is_untouched = course.parts.iter().all(|one| one.origin.is_as_before());
        if course.services != Standing::Stopped || !is_untouched || !self.services.starts() {
            return;
        }
        let standing = &mut course.services;
        // A stop that was asked for has been heard: this is part of it.
        let again = steps.always("start again", || self.start(standing, &Cancel::default()));
        if let Err(again) = again {
            let hint = format!(
                "and they could not be started again: {}",
                again.error.message()
            );
            failed.error.hints.push(hint);
        }
    }
}

fn keep(safety: &Safety<'_>, course: &mut Course<'_>) -> CommandResult<((), String)> {
    let mut shown = Vec::new();
    for progress in &mut course.parts {
        let kept = safety.keep(progress.part)?;
        shown.push(kept.shown());
        progress.kept = Some(kept);
    }
    Ok(((), shown.join(" · ")))
}

fn keep_changes(safety: &Safety<'_>, course: &mut Course<'_>) -> CommandResult<((), String)> {
    let mut shown = Vec::new();
    for progress in &mut course.parts {
        if let Some(kept) = &mut progress.kept
            && safety.keep_changes(progress.part, kept)?
        {
            shown.push(format!("kept too: {}", kept.shown()));
        }
    }
    match shown.is_empty() {
        true => Ok(((), "none".to_owned())),
        false => Ok(((), shown.join(" · "))),
    }
}

impl<'p> Progress<'p> {
    /// One that is not begun.
    pub(super) fn new(part: &'p Part<'p>) -> Self {
        Self {
            part,
            origin: Origin::Untouched,
            kept: None,
            extra: exact::Extra::default(),
            restored: Restored::default(),
            fallbacks: Vec::new(),
        }
    }

    /// What identifies a single file at the origin: another one after its replacement.
    fn inode(&self) -> Option<u64> {
        match self.part.origins().as_slice() {
            [only] if self.part.is_database => only.symlink_metadata().ok().map(|one| one.ino()),
            _ => None,
        }
    }

    /// Finds out what is at the origin of what was begun and not ended.
    pub(super) fn look(&mut self) {
        let Origin::Begun(before) = self.origin else {
            return;
        };
        self.origin = match self.part.is_database {
            // Replaced at once or not at all.
            true if self.inode() == before => Origin::AsBefore,
            true => Origin::Restored,
            false => Origin::Mixed,
        };
    }

    /// What was done, for a line.
    fn told(&self) -> String {
        let restored = &self.restored;
        let mut parts = vec![format!(
            "{} of {} differed",
            bytes(restored.bytes_differed),
            bytes(restored.bytes)
        )];
        if let [(_, report)] = restored.databases.as_slice() {
            parts.extend(screen::proof(report));
        }
        if self.extra.removed > 0 {
            let removed = text::counted(self.extra.removed, "extra item");
            parts.push(format!("{removed} taken away"));
        }
        if !self.fallbacks.is_empty() {
            let older = text::counted(self.fallbacks.len() as u64, "item");
            parts.push(format!("{older} from older snapshots"));
        }
        parts.join(", ")
    }
}
