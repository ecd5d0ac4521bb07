//! One walk over all roots of a [`FilesSource`].

use crate::entry::{Entry, EntryKind};
use crate::env::Timestamp;
use crate::explain::explain;
use crate::limits;
use crate::source::exclude::{CACHE_TAG_NAME, CACHE_TAG_SIGNATURE, Subjects};
use crate::source::files::content::OpenFile;
use crate::source::files::count::{Count, count_below};
use crate::source::files::listing::{Descent, open_at, stat_at};
use crate::source::files::metadata::{
    Attributes, attributes_at, change_stamp, file_type, kind, metadata,
};
use crate::source::files::open::{Found, Opener, failure};
use crate::source::files::owners::OwnerNames;
use crate::source::files::{FilesSource, Root};
use crate::source::{CaptureError, Context, Exclusion, Problem, Sink, SinkError, SourceError};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;

/// Entries between two reports of where the walk is.
const REPORT_EVERY: u64 = 256;

/// Files from this length on are always reported, bytes.
const REPORT_BYTES_MIN: u64 = 16 << 20;

/// What belongs to a SQLite database beside its main file.
const DATABASE_COMPANIONS: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// The state of a walk.
pub(super) struct Walk<'a> {
    source: &'a FilesSource,
    context: &'a Context<'a>,
    sink: &'a mut dyn Sink,
    owners: Arc<OwnerNames>,
    now: Timestamp,
    descent: Descent,
    /// Names of the databases met so far, for every level of `descent`.
    databases: Vec<Vec<Vec<u8>>>,
    /// Path inside the capture.
    path: Vec<u8>,
    /// Path on the host.
    absolute: Vec<u8>,
    root_length: usize,
    root_device: u64,
    entries: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        source: &'a FilesSource,
        context: &'a Context<'a>,
        sink: &'a mut dyn Sink,
    ) -> Self {
        Self {
            owners: Arc::new(OwnerNames::load()),
            now: source.clock.now(),
            source,
            context,
            sink,
            descent: Descent::default(),
            databases: Vec::new(),
            path: Vec::new(),
            absolute: Vec::new(),
            root_length: 0,
            root_device: 0,
            entries: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<(), CaptureError> {
        let mut first_failure = None;
        let mut captured = 0usize;
        let source = self.source;
        for root in &source.roots {
            match self.open_root(root) {
                Ok((directory, name)) => {
                    self.walk_root(root, &directory, &name)?;
                    captured += 1;
                }
                Err(failure) => {
                    self.sink.problem(Problem {
                        path: root.name.clone(),
                        message: explain(&failure),
                    });
                    first_failure.get_or_insert(failure);
                }
            }
        }
        match first_failure {
            Some(failure) if captured == 0 => Err(failure.into()),
            _ => Ok(()),
        }
    }

    /// The directory that holds the root, the root's name there; the root must exist.
    fn open_root(&self, root: &Root) -> Result<(Rc<OwnedFd>, CString), SourceError> {
        let fail = |errno: Errno| failure("open", root.path.as_os_str().as_bytes(), errno);
        let (parent, name) = match (root.path.parent(), root.path.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => (root.path.as_path(), OsStr::new(".")),
        };
        let name = CString::new(name.as_bytes()).map_err(|_| fail(Errno::INVAL))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty()).map_err(fail)?;
        stat_at(&directory, &name).map_err(fail)?;
        Ok((Rc::new(directory), name))
    }

    fn walk_root(
        &mut self,
        root: &Root,
        directory: &Rc<OwnedFd>,
        name: &CStr,
    ) -> Result<(), CaptureError> {
        self.path.clear();
        self.absolute = root.path.as_os_str().as_bytes().to_vec();
        if self.absolute == b"/" {
            // Children are joined with a slash.
            self.absolute.clear();
        }
        self.path.extend_from_slice(&root.name);
        self.root_length = root.name.len();
        self.visit(directory, name, &root.name.clone(), true)?;
        while self.descent.depth() > 0 {
            self.context.cancel.check()?;
            let Some(name) = self.descent.next_name() else {
                self.leave()?;
                continue;
            };
            match self.descent.descriptor() {
                Ok(directory) => {
                    self.push(name.to_bytes());
                    self.visit(&directory, &name, name.to_bytes(), false)?;
                }
                Err(errno) => {
                    self.problem("find again", errno);
                    self.descent.skip_rest();
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8]) {
        for path in [&mut self.path, &mut self.absolute] {
            path.push(b'/');
            path.extend_from_slice(name);
        }
    }

    fn pop(&mut self) {
        for path in [&mut self.path, &mut self.absolute] {
            let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            path.truncate(end);
        }
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        self.descent.leave();
        self.databases.pop();
        self.pop();
        self.sink.leave()
    }

    /// Deals with one name; `path` ends with it. Directories stay entered and keep it there, all
    /// else takes it away.
    fn visit(
        &mut self,
        directory: &Rc<OwnedFd>,
        system_name: &CStr,
        name: &[u8],
        is_root: bool,
    ) -> Result<(), CaptureError> {
        let depth = self.descent.depth();
        match stat_at(directory, system_name) {
            // Gone since it was listed: as if it had never been there.
            Err(Errno::NOENT) => {}
            Err(errno) => self.problem("look at", errno),
            Ok(stat) => {
                let found = Found {
                    directory: Rc::clone(directory),
                    system_name,
                    name,
                    stat,
                };
                self.report(&stat);
                if is_root {
                    self.root_device = stat.st_dev;
                }
                if !self.is_companion(&found) && !self.leave_out(&found, is_root)? {
                    self.capture(&found, is_root)?;
                }
            }
        }
        if self.descent.depth() == depth {
            self.pop();
        }
        Ok(())
    }

    fn report(&mut self, stat: &Stat) {
        self.entries += 1;
        let is_large = file_type(stat) == FileType::RegularFile
            && stat.st_size > REPORT_BYTES_MIN.cast_signed();
        if is_large || self.entries % REPORT_EVERY == 1 {
            self.context.monitor.current(&self.shown_path());
        }
    }

    fn shown_path(&self) -> String {
        String::from_utf8_lossy(&self.absolute).into_owned()
    }

    fn problem(&mut self, operation: &'static str, errno: Errno) {
        let failure = failure(operation, &self.absolute, errno);
        self.sink.problem(Problem {
            path: self.path.clone(),
            message: explain(&failure),
        });
    }

    /// Whether this is a database's log, index or journal: its content is part of what the
    /// database hook captured.
    fn is_companion(&self, found: &Found<'_>) -> bool {
        let Some(databases) = self.databases.last() else {
            return false;
        };
        file_type(&found.stat) == FileType::RegularFile
            && DATABASE_COMPANIONS
                .iter()
                .filter_map(|suffix| found.name.strip_suffix(*suffix))
                .any(|main| databases.iter().any(|database| database == main))
    }

    /// Reports what rules leave out; whether this is it.
    fn leave_out(&mut self, found: &Found<'_>, is_root: bool) -> Result<bool, CaptureError> {
        if is_root {
            return Ok(false);
        }
        let subjects = Subjects {
            path: &self.path,
            root_length: self.root_length,
            absolute: &self.absolute,
            is_directory: file_type(&found.stat) == FileType::Directory,
        };
        let Some(rule) = self.source.rules.excluding(subjects) else {
            return Ok(false);
        };
        let (pattern, reason) = (rule.pattern.clone(), rule.reason.clone());
        self.exclude(found, pattern, reason)?;
        Ok(true)
    }

    fn exclude(
        &mut self,
        found: &Found<'_>,
        rule: String,
        reason: Option<String>,
    ) -> Result<(), CaptureError> {
        let count = count_below(
            &found.directory,
            found.system_name,
            &found.stat,
            self.context.cancel,
        )?;
        self.report_exclusion(rule, reason, count);
        Ok(())
    }

    fn report_exclusion(&mut self, rule: String, reason: Option<String>, count: Count) {
        self.sink.excluded(Exclusion {
            path: self.path.clone(),
            rule,
            reason,
            bytes: count.bytes,
            files: count.files,
        });
    }

    fn capture(&mut self, found: &Found<'_>, is_root: bool) -> Result<(), CaptureError> {
        let is_foreign = self.source.one_file_system && found.stat.st_dev != self.root_device;
        match file_type(&found.stat) {
            FileType::Directory => self.capture_directory(found, is_root, is_foreign),
            _ if is_foreign => {
                let count = Count::default();
                self.report_exclusion("one-file-system".to_owned(), None, count);
                Ok(())
            }
            FileType::RegularFile => self.capture_file(found),
            _ => self.capture_special(found),
        }
    }

    fn attributes(&mut self, found: &Found<'_>) -> Attributes {
        match attributes_at(&found.directory, found.system_name) {
            Ok((attributes, true)) => attributes,
            Ok((attributes, false)) => {
                self.sink.problem(Problem {
                    path: self.path.clone(),
                    message: format!(
                        "cannot keep all extended attributes of {}",
                        self.shown_path()
                    ),
                });
                attributes
            }
            // Gone, or no /proc to look through: the entry itself tells which.
            Err(Errno::NOENT) => Attributes::new(),
            Err(errno) => {
                self.problem("list extended attributes of", errno);
                Attributes::new()
            }
        }
    }

    fn entry(&mut self, found: &Found<'_>, kind: EntryKind) -> Entry {
        let xattrs = self.attributes(found);
        Entry {
            name: found.name.to_vec(),
            kind,
            metadata: metadata(&found.stat, &self.owners, xattrs),
        }
    }

    fn capture_special(&mut self, found: &Found<'_>) -> Result<(), CaptureError> {
        let kind = match kind(&found.stat) {
            Some(kind) => kind,
            None => match rustix::fs::readlinkat(&found.directory, found.system_name, Vec::new()) {
                Ok(target) if target.as_bytes().len() <= limits::SYMLINK_BYTES_MAX => {
                    EntryKind::Symlink {
                        target: target.into_bytes(),
                    }
                }
                Ok(_) => {
                    self.problem("record the target of", Errno::NAMETOOLONG);
                    return Ok(());
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => {
                    self.problem("read", errno);
                    return Ok(());
                }
            },
        };
        let entry = self.entry(found, kind);
        self.sink.special(entry)?;
        Ok(())
    }

    fn capture_directory(
        &mut self,
        found: &Found<'_>,
        is_root: bool,
        is_foreign: bool,
    ) -> Result<(), CaptureError> {
        if self.descent.depth() >= limits::DIRECTORY_DEPTH_MAX {
            self.problem("go deeper than 4096 directories into", Errno::NAMETOOLONG);
            return Ok(());
        }
        let opened = match open_at(&found.directory, found.system_name, OFlags::DIRECTORY) {
            Ok(opened) => Some(opened),
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => {
                self.problem("list", errno);
                None
            }
        };
        if let (Some(opened), false) = (&opened, is_root)
            && let Some(rule) = self.marker_in(opened)
        {
            return self.exclude(found, rule, None);
        }
        let mut entry = self.entry(found, EntryKind::Directory);
        let mut stat = found.stat;
        if let Some(opened) = &opened
            && let Ok(now) = rustix::fs::fstat(opened)
        {
            // What was opened counts, should it have been replaced since it was looked at.
            stat = now;
            let xattrs = std::mem::take(&mut entry.metadata.xattrs);
            entry.metadata = metadata(&stat, &self.owners, xattrs);
        }
        self.sink.enter(entry)?;
        match opened {
            Some(opened) if !is_foreign => {
                self.databases.push(Vec::new());
                if let Err(errno) = self.descent.enter(opened, found.system_name, &stat) {
                    self.problem("list all of", errno);
                }
            }
            _ => {
                if is_foreign {
                    let count = Count::default();
                    self.report_exclusion("one-file-system".to_owned(), None, count);
                }
                self.sink.leave()?;
            }
        }
        Ok(())
    }

    /// The name of the marker that leaves a directory out, if it holds one.
    fn marker_in(&self, directory: &OwnedFd) -> Option<String> {
        let rules = &self.source.rules;
        if rules.skips_cache_directories() && is_cache_directory(directory) {
            return Some(String::from_utf8_lossy(CACHE_TAG_NAME).into_owned());
        }
        let present = rules.markers().iter().find(|marker| {
            CString::new(marker.as_slice()).is_ok_and(|name| stat_at(directory, &name).is_ok())
        })?;
        Some(format!("if-present {}", String::from_utf8_lossy(present)))
    }

    fn capture_file(&mut self, found: &Found<'_>) -> Result<(), CaptureError> {
        let Some(kind) = kind(&found.stat) else {
            return Ok(());
        };
        let entry = self.entry(found, kind);
        let stamp = change_stamp(&found.stat, self.now);
        let mut opener = Opener {
            found,
            owners: &self.owners,
            absolute: &self.absolute,
            offered: entry.clone(),
            open_database: self.source.open_database.as_ref(),
            was_database: false,
        };
        let taken = self.sink.file(entry, stamp, &mut || opener.open());
        let was_database = opener.was_database;
        taken?;
        if was_database && let Some(databases) = self.databases.last_mut() {
            databases.push(found.name.to_vec());
        }
        Ok(())
    }
}

fn is_cache_directory(directory: &OwnedFd) -> bool {
    let Ok(name) = CString::new(CACHE_TAG_NAME) else {
        return false;
    };
    let file = open_at(directory, &name, OFlags::empty()).and_then(OpenFile::new);
    match file {
        Ok(Some(file)) => file.starts_with(CACHE_TAG_SIGNATURE).unwrap_or(false),
        _ => false,
    }
}
