//! Files and directory trees.
//!
//! All roots of one source are one capture; each is entered under its base name. Symbolic links
//! are recorded, never followed; FIFOs, sockets and devices are recorded, never opened. What was
//! opened is checked again through its descriptor, so that nothing swapped in meanwhile is read.
//!
//! A regular file that begins as a SQLite database goes to [`DatabaseHook`], never raw into the
//! capture, and its `-wal`, `-shm` and `-journal` files are left out as parts of it.

mod content;
mod count;
mod listing;
mod metadata;
mod open;
mod owners;
mod relation;
mod walk;

use crate::env::Clock;
use crate::source::exclude::ExcludeRules;
use crate::source::{CaptureError, Content, Context, Sink, Source, SourceError};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a database found in a tree. Given its path, it returns the content to store instead of
/// the raw bytes, or `None` when the file only looks like a database. Called when this process
/// holds no descriptor of the file: closing one would drop the POSIX locks of an open connection.
pub type DatabaseHook = Box<dyn Fn(&Path) -> Result<Option<Box<dyn Content>>, SourceError>>;

/// One file or directory to capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// What it is called in the capture.
    pub name: Vec<u8>,
    /// Where it is: absolute, without symbolic links.
    pub path: PathBuf,
}

/// Captures files and trees.
pub struct FilesSource {
    roots: Vec<Root>,
    rules: ExcludeRules,
    one_file_system: bool,
    open_database: Option<DatabaseHook>,
    clock: Arc<dyn Clock>,
}

impl FilesSource {
    /// Captures `paths`, which must exist; one given twice is taken once. Every root is named
    /// after the last component of its canonical path, the second of equal names `NAME~2`.
    pub fn new(paths: &[PathBuf], clock: Arc<dyn Clock>) -> Result<Self, SourceError> {
        Ok(Self::of_roots(name_roots(paths)?, clock))
    }

    /// Captures `roots`, whose names differ, under the names they are given.
    pub fn of_roots(mut roots: Vec<Root>, clock: Arc<dyn Clock>) -> Self {
        roots.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            roots,
            rules: ExcludeRules::default(),
            one_file_system: false,
            open_database: None,
            clock,
        }
    }

    /// Leaves out what the rules say.
    pub fn exclude(mut self, rules: ExcludeRules) -> Self {
        self.rules = rules;
        self
    }

    /// Stays on the file system of each root; a mount point is recorded as an empty directory.
    pub fn one_file_system(mut self, yes: bool) -> Self {
        self.one_file_system = yes;
        self
    }

    /// Captures databases through `hook`. Without one they are copied raw, as pages, with their
    /// companions: right only when nothing has them open.
    pub fn open_database(mut self, hook: DatabaseHook) -> Self {
        self.open_database = Some(hook);
        self
    }

    /// The roots, sorted by name.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }
}

impl Source for FilesSource {
    fn capture(&mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<(), CaptureError> {
        walk::Walk::new(self, context, sink).run()
    }
}

fn name_roots(paths: &[PathBuf]) -> Result<Vec<Root>, SourceError> {
    let mut found = BTreeSet::new();
    for path in paths {
        let canonical = std::fs::canonicalize(path).map_err(|source| SourceError {
            operation: "open",
            object: path.display().to_string(),
            remedy: None,
            source: Box::new(source),
        })?;
        found.insert(canonical);
    }
    let base_name = |path: &Path| {
        path.file_name()
            .map_or(b"root".to_vec(), |name| name.as_bytes().to_vec())
    };
    let mut taken = BTreeSet::new();
    let mut roots = Vec::new();
    let mut later = Vec::new();
    // Plain names first, so that a file that is really called `a~2` keeps its name.
    for path in found {
        let name = base_name(&path);
        if taken.insert(name.clone()) {
            roots.push(Root { name, path });
        } else {
            later.push(path);
        }
    }
    for path in later {
        let base = base_name(&path);
        let mut number = 2u64;
        let name = loop {
            let name = [&base[..], format!("~{number}").as_bytes()].concat();
            if taken.insert(name.clone()) {
                break name;
            }
            number += 1;
        };
        roots.push(Root { name, path });
    }
    roots.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(roots)
}

#[cfg(test)]
mod tests;
