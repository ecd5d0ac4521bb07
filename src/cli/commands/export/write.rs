//! One snapshot into a directory of readable files: restored beside its place, proven, then named.

use crate::claim::Claim;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::reporting::Duty;
use crate::cli::text;
use crate::config::Layout;
use crate::event::{Activity, Ending, Subject};
use crate::id::SnapshotId;
use crate::monitor::Monitor;
use crate::repository::{Reader, Snapshot};
use crate::restorer::{RestoreOptions, Restored, Selection, restore};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where what is not whole yet lies, in the target: hidden, and on its file system.
const UNFINISHED: &str = ".icecore-export";

/// A snapshot that was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Which.
    pub snapshot: SnapshotId,
    /// Its source.
    pub source: String,
    /// The file or directory that it is.
    pub path: PathBuf,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether an earlier export had written it.
    pub was_there: bool,
}

impl Exported {
    /// For scripts.
    pub fn describe(&self) -> Value {
        json!({
            "snapshot_id": self.snapshot.to_string(),
            "source": self.source,
            "path": self.path.to_string_lossy(),
            "plaintext": true,
            "files": self.files,
            "bytes": self.bytes,
            "already_there": self.was_there,
        })
    }
}

/// Where a snapshot goes, but for its name.
pub(super) fn directory(
    target: &Path,
    layout: Layout,
    snapshot: &Snapshot,
    zone: &TimeZone,
) -> PathBuf {
    let taken = snapshot.label.captured.to_jiff().to_zoned(zone.clone());
    target.join(taken.strftime(layout.pattern()).to_string())
}

/// What tells an export in its directory from all others: the day, and the beginning of the id.
fn mark(snapshot: &Snapshot, zone: &TimeZone) -> String {
    let taken = snapshot.label.captured.to_jiff().to_zoned(zone.clone());
    format!("-{}-{}", taken.strftime("%F"), snapshot.id.short())
}

/// The name with the mark before its ending: `app-2026-11-25-3fa2b1c0.db`.
fn marked(name: &OsStr, is_directory: bool, mark: &str) -> OsString {
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.');
    let end = dot.filter(|dot| *dot > 0 && !is_directory);
    let (stem, ending) = bytes.split_at(end.unwrap_or(bytes.len()));
    OsString::from_vec([stem, mark.as_bytes(), ending].concat())
}

/// A path without symbolic links, as far as it is there.
fn real(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let there = absolute.ancestors().find_map(|ancestor| {
        let mut real = fs::canonicalize(ancestor).ok()?;
        // Component by component: an empty rest would leave a slash at the end.
        real.extend(absolute.strip_prefix(ancestor).ok()?);
        Some(real)
    });
    Ok(there.unwrap_or(absolute))
}

fn repository(open: &OpenRepository) -> Option<PathBuf> {
    fs::canonicalize(open.place.directory()?).ok()
}

/// A directory that is exported to, for this process alone.
pub(super) struct Exporter<'a> {
    invocation: &'a Invocation,
    open: &'a OpenRepository,
    reader: &'a Reader<'a>,
    target: PathBuf,
    layout: Layout,
    _claim: Claim,
}

impl<'a> Exporter<'a> {
    /// Makes the directory, and clears up what a killed export left there.
    pub(super) fn open(
        invocation: &'a Invocation,
        open: &'a OpenRepository,
        reader: &'a Reader<'a>,
        target: &Path,
        layout: Layout,
    ) -> CommandResult<Self> {
        let target = real(target).map_err(|error| CommandError::file("look at", target, &error))?;
        let repository = self::repository(open);
        if repository.is_some_and(|repository| target.starts_with(repository)) {
            let inside = "the target lies inside the repository, which holds nothing readable";
            return Err(CommandError::usage(inside).hint("give a directory elsewhere"));
        }
        let unfinished = target.join(UNFINISHED);
        make(&unfinished)?;
        let lock = unfinished.join("lock");
        let claim =
            Claim::take(&lock).map_err(|error| CommandError::file("open", &lock, &error))?;
        let claim = claim.ok_or_else(|| {
            let busy = format!("another export writes to {}", target.display());
            CommandError::new(ErrorKind::Refused, busy).hint("wait for it")
        })?;
        Ok(Self {
            invocation,
            open,
            reader,
            target,
            layout,
            _claim: claim,
        })
    }

    /// Where it writes.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Exports one snapshot, unless it is there.
    pub(super) fn export(&self, snapshot: &Snapshot) -> CommandResult<Exported> {
        let zone = &self.invocation.zone;
        let directory = directory(&self.target, self.layout, snapshot, zone);
        let mark = mark(snapshot, zone);
        let exported = |path: PathBuf, restored: &Restored, was_there| Exported {
            snapshot: snapshot.id,
            source: snapshot.label.source.clone(),
            path,
            files: restored.files,
            bytes: restored.bytes,
            was_there,
        };
        if let Some(path) = find(&directory, &mark)? {
            return Ok(exported(path, &Restored::default(), true));
        }
        let repository = &self.open.repository;
        let subject = Subject {
            location: Some(self.target.display().to_string()),
            ..self.open.subject_of(snapshot)
        };
        let act = (self.invocation).begin(repository, Activity::Export, subject, Duty::Refuse)?;
        let written = self.bring_out(snapshot, &directory, &mark);
        self.invocation.ui.clear();
        let (path, restored) = act.conclude(repository, written, |(_, restored)| {
            let files = text::counted(restored.files, "file");
            Ending::success(format!("{files} as plaintext"))
                .bytes(restored.bytes)
                .verified(true)
        })?;
        Ok(exported(path, &restored, false))
    }

    /// Restores beside the place, and gives what is whole its name.
    fn bring_out(
        &self,
        snapshot: &Snapshot,
        directory: &Path,
        mark: &str,
    ) -> CommandResult<(PathBuf, Restored)> {
        let work = self.target.join(UNFINISHED).join("work");
        clear(&work)?;
        make(&work)?;
        let result = self.restore(snapshot, &work).and_then(|restored| {
            make(directory)?;
            let path = self.name(snapshot, &work, directory, mark)?;
            Ok((path, restored))
        });
        match (result, clear(&work)) {
            (Ok(_), Err(error)) => Err(error),
            (result, _) => result,
        }
    }

    fn restore(&self, snapshot: &Snapshot, work: &Path) -> CommandResult<Restored> {
        let invocation = self.invocation;
        let options = RestoreOptions {
            workers: invocation.workers(),
            verify: true,
            ..RestoreOptions::default()
        };
        let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
        let restored = restore(
            self.reader,
            snapshot,
            &Selection::all(),
            work,
            &options,
            ui,
            cancel,
        )?;
        if let Some(warning) = restored.warnings.first() {
            let others = restored.warnings.len() - 1;
            let path = text::path(&warning.path);
            ui.warn(&match others {
                0 => format!("{path}: {}", warning.message),
                _ => format!("{path}: {}; {others} like it", warning.message),
            });
        }
        let mut lost = restored.damaged.iter().chain(&restored.unproven);
        match lost.next() {
            None => Ok(restored),
            Some((path, why)) => Err(CommandError::new(
                ErrorKind::Damage,
                format!(
                    "{} cannot be exported: {}",
                    text::path(path),
                    text::line(why)
                ),
            )
            .hint("nothing was put in place; an older snapshot may be whole: icecore snapshots")
            .hint("another copy: -r A,B reads piece by piece from whichever is whole")),
        }
    }

    /// Moves what was restored to its place: the one thing in it, or all of it as a directory.
    fn name(
        &self,
        snapshot: &Snapshot,
        work: &Path,
        directory: &Path,
        mark: &str,
    ) -> CommandResult<PathBuf> {
        let fail = |path: &Path, error: io::Error| CommandError::file("move", path, &error);
        let entries = fs::read_dir(work).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| fail(work, error))?;
        let (from, name) = match entries.as_slice() {
            [only] => {
                let kind = only.file_type().map_err(|error| fail(work, error))?;
                (only.path(), marked(&only.file_name(), kind.is_dir(), mark))
            }
            _ => {
                let source = text::short_source(&snapshot.label.source);
                let plain = |c: char| match c.is_alphanumeric() || "-_.".contains(c) {
                    true => c,
                    false => '_',
                };
                let name: String = source.chars().map(plain).take(100).collect();
                (work.to_owned(), marked(OsStr::new(&name), true, mark))
            }
        };
        let path = directory.join(name);
        fs::rename(&from, &path).map_err(|error| fail(&path, error))?;
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| CommandError::file("write", directory, &error))?;
        Ok(path)
    }
}

/// What an earlier export of the same snapshot wrote.
fn find(directory: &Path, mark: &str) -> CommandResult<Option<PathBuf>> {
    let fail = |error: io::Error| CommandError::file("list", directory, &error);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(fail)?,
    };
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let mut parts = name.as_bytes().windows(mark.len());
        if parts.any(|part| part == mark.as_bytes()) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Makes a directory and those above it, for their owner only; those that are there stay as they are.
fn make(directory: &Path) -> CommandResult<()> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| {
        CommandError::file("create", directory, &error)
            .hint("give a directory with --target that this user may write to")
    })
}

fn clear(work: &Path) -> CommandResult<()> {
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CommandError::file("remove", work, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::marked;
    use std::ffi::OsStr;

    #[test]
    fn a_name_keeps_its_ending() {
        let mark = "-2026-11-25-3fa2b1c0";
        for (name, is_directory, expected) in [
            ("app.db", false, "app-2026-11-25-3fa2b1c0.db"),
            (".env", false, ".env-2026-11-25-3fa2b1c0"),
            ("dump", false, "dump-2026-11-25-3fa2b1c0"),
            ("a.tar.gz", false, "a.tar-2026-11-25-3fa2b1c0.gz"),
            ("v1.2", true, "v1.2-2026-11-25-3fa2b1c0"),
        ] {
            assert_eq!(marked(OsStr::new(name), is_directory, mark), expected);
        }
    }
}
