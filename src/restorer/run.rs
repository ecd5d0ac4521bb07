//! One restore: what is selected, where it goes, what became of it.

use crate::entry::{EntryKind, Facts, HardLink};
use crate::format::node::Child;
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::{ReadError, Reader, Snapshot};
use crate::restorer::batch::{Batch, Manner, Order};
use crate::restorer::compare::Names;
use crate::restorer::database;
use crate::restorer::error::RestoreError;
use crate::source::sqlite::Check;
use crate::target::files::{Made, TargetOptions, TargetPath, TargetRoot, Warning};
use crate::target::sqlite::{ReplaceError, ReplacementReport};
use crate::tree::{self, Descend, Node, Visitor};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Whether an entry at a path is wanted; a directory that is not is passed over with all below it.
pub type Wanted<'f> = dyn Fn(&[u8], bool) -> bool + 'f;

/// How to restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// What happens to what is there, owners, modes.
    pub target: TargetOptions,
    /// Threads that compare, fetch and open; 0 is taken as 1.
    pub workers: usize,
    /// Directories made below the target first, each in the one before; all goes into the last.
    pub below: Vec<Vec<u8>>,
    /// Leading directories of the tree that are not made.
    pub strip: usize,
    /// Whether files that are there are compared piece by piece, and only what differs is fetched.
    /// Plain files are changed where they stand; a database is replaced when its image is proven.
    pub in_place: bool,
    /// Whether every file that is written is read back and hashed before it gets its name.
    pub verify: bool,
    /// Whether databases are put in place although their check fails.
    pub accept_damage: bool,
    /// How a database is checked before it is put in place.
    pub check: Check,
}

impl Default for RestoreOptions {
    /// One worker, everything as it was, databases checked in full.
    fn default() -> Self {
        Self {
            target: TargetOptions::default(),
            workers: 1,
            below: Vec::new(),
            strip: 0,
            in_place: false,
            verify: false,
            accept_damage: false,
            check: Check::Integrity,
        }
    }
}

/// What part of a snapshot is wanted.
pub struct Selection<'f> {
    /// A path inside the snapshot; empty for all of it.
    pub path: Vec<u8>,
    /// Which entries below it.
    pub wanted: &'f Wanted<'f>,
}

impl Selection<'_> {
    /// All of a snapshot.
    pub fn all() -> Self {
        Self {
            path: Vec::new(),
            wanted: &|_, _| true,
        }
    }
}

/// What a restore did.
#[derive(Debug, Default)]
pub struct Restored {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes fetched from the repository's packs, bases of deltas and metadata included.
    pub bytes_fetched: u64,
    /// Bytes written: fetched, or copied from what was there.
    pub bytes_written: u64,
    /// Bytes of content that were not there already.
    pub bytes_differed: u64,
    /// Bytes that were read back and are what they should be.
    pub bytes_verified: u64,
    /// Bytes of content restored, holes and what was there already included.
    pub bytes: u64,
    /// What was damaged and therefore not restored: path inside the snapshot, and why.
    pub damaged: Vec<(Vec<u8>, String)>,
    /// What was not read back as it was written, and has no name for that: path inside the
    /// snapshot, and where.
    pub unproven: Vec<(Vec<u8>, String)>,
    /// What could not be made as it was.
    pub warnings: Vec<Warning>,
    /// Databases, with their proofs.
    pub databases: Vec<(PathBuf, ReplacementReport)>,
}

impl Restored {
    /// Counts what another restore did too.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.directories += other.directories;
        self.bytes_fetched += other.bytes_fetched;
        self.bytes_written += other.bytes_written;
        self.bytes_differed += other.bytes_differed;
        self.bytes_verified += other.bytes_verified;
        self.bytes += other.bytes;
        self.damaged.extend(other.damaged);
        self.unproven.extend(other.unproven);
        self.warnings.extend(other.warnings);
        self.databases.extend(other.databases);
    }
}

/// Restores what is selected of a snapshot to `target`.
///
/// A single file goes to `target` itself, unless that is a directory or ends in a slash; a tree
/// goes below it. Damaged files are left out and reported (in place: restored as far as possible,
/// and reported); everything else is restored.
pub fn restore(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    selection: &Selection<'_>,
    target: &Path,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Restored, RestoreError> {
    reader.follow(snapshot.id);
    monitor.phase("restoring", Unit::Bytes, Some(snapshot.label.totals.bytes));
    let fetched_before = reader.fetched_bytes();
    let facts = facts_by_path(reader, snapshot)?;
    let single = single_file(reader, snapshot, &selection.path)?;
    let (root_path, name) = match &single {
        Some((_, node)) if options.below.is_empty() => place_of_file(target, node.name())?,
        _ => (target.to_path_buf(), None),
    };
    let mut root = TargetRoot::open(&root_path, options.target)?;
    root.begin(&[snapshot.id.0.as_slice(), &selection.path].concat())?;
    let below = make_below(&root, &options.below)?;
    let manner = Manner {
        workers: options.workers.max(1),
        in_place: options.in_place,
        verify: options.verify,
        names: Names(reader.repository().access().id_key(snapshot.domain)),
    };
    let mut restore = Restore {
        batch: Batch::new(reader, &root, monitor, cancel, manner),
        target: &root,
        below,
        options,
        selection,
        facts,
        cancel,
        links: HashMap::new(),
        pending_links: Vec::new(),
        pending_directories: Vec::new(),
        pending_databases: Vec::new(),
        prefix: parent_length(&selection.path),
        renamed: name,
        restored: Restored::default(),
    };
    match single {
        Some((path, node)) => {
            restore.visit(&path, &node)?;
        }
        None => restore.tree(reader, snapshot, cancel)?,
    }
    restore.flush()?;
    let mut restored = restore.finish();
    root.end()?;
    restored.bytes_fetched = reader.fetched_bytes() - fetched_before;
    Ok(restored)
}

/// Makes the directories that everything goes into, and returns the last.
fn make_below(root: &TargetRoot, below: &[Vec<u8>]) -> Result<Option<TargetPath>, RestoreError> {
    let mut last: Option<TargetPath> = None;
    for name in below {
        let path = root.child(last.as_ref(), name)?;
        root.make_directory(&path)?;
        last = Some(path);
    }
    Ok(last)
}

fn facts_by_path(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
) -> Result<BTreeMap<Vec<u8>, Facts>, RestoreError> {
    let body = snapshot.body(reader.repository())?;
    let facts = body.facts.into_iter();
    Ok(facts
        .map(|(path, facts)| (path.into(), facts.into()))
        .collect())
}

/// The entry that is wanted, if that is one file: named by its path, or the snapshot's only one.
fn single_file(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &[u8],
) -> Result<Option<(Vec<u8>, Node)>, RestoreError> {
    if !path.is_empty() {
        let found = tree::find(reader, snapshot.root, path)?;
        let node = found.ok_or_else(|| RestoreError::NoSuchPath {
            snapshot: snapshot.id.short(),
            path: String::from_utf8_lossy(path).into_owned(),
        })?;
        return Ok((!node.is_directory()).then(|| (path.to_vec(), node)));
    }
    let mut nodes = Vec::new();
    let read = tree::read_directory::<ReadError>(reader, snapshot.root, &mut |node| {
        nodes.push(node);
        Ok(())
    });
    match read {
        // Reported, with its path, by the walk that follows.
        Err(error) if error.is_damage() => return Ok(None),
        other => other?,
    }
    Ok(match <[Node; 1]>::try_from(nodes) {
        Ok([only]) if !only.is_directory() => Some((only.name().to_vec(), only)),
        _ => None,
    })
}

/// Directory and name for a single file.
fn place_of_file(target: &Path, name: &[u8]) -> Result<(PathBuf, Option<Vec<u8>>), RestoreError> {
    use std::os::unix::ffi::OsStrExt;
    let ends_in_slash = target.as_os_str().as_bytes().ends_with(b"/");
    if ends_in_slash || target.is_dir() {
        return Ok((target.to_path_buf(), Some(name.to_vec())));
    }
    let no_parent = || RestoreError::NoParent(target.display().to_string());
    let new_name = target.file_name().ok_or_else(no_parent)?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((parent, Some(new_name.as_bytes().to_vec())))
}

/// Length of the part of a selected path that is not recreated: its parents.
fn parent_length(path: &[u8]) -> usize {
    let last_slash = path.iter().rposition(|byte| *byte == b'/');
    last_slash.map_or(0, |position| position + 1)
}

/// A name of a file: where it goes, and its path inside the snapshot.
#[derive(Clone)]
struct Name {
    place: TargetPath,
    shown: Vec<u8>,
}

struct Restore<'x, 'a, 'f> {
    batch: Batch<'x, 'a>,
    target: &'x TargetRoot,
    below: Option<TargetPath>,
    options: &'x RestoreOptions,
    selection: &'x Selection<'f>,
    facts: BTreeMap<Vec<u8>, Facts>,
    cancel: &'x Cancel,
    /// The first name restored of each file with several.
    links: HashMap<HardLink, Name>,
    /// Further names, each with the first.
    pending_links: Vec<(Name, Name)>,
    /// Directories all of whose entries were met, deepest first.
    pending_directories: Vec<(TargetPath, crate::entry::Entry)>,
    /// Databases written as images: where they go, and what was recorded of them.
    pending_databases: Vec<database::Pending>,
    prefix: usize,
    renamed: Option<Vec<u8>>,
    restored: Restored,
}

impl Restore<'_, '_, '_> {
    fn tree(
        &mut self,
        reader: &Reader<'_>,
        snapshot: &Snapshot,
        cancel: &Cancel,
    ) -> Result<(), RestoreError> {
        if self.selection.path.is_empty() {
            return tree::walk_with(reader, snapshot.root, cancel, self);
        }
        let path = self.selection.path.clone();
        let Some(node) = tree::find(reader, snapshot.root, &path)? else {
            return Ok(());
        };
        self.visit(&path, &node)?;
        let Child::Links { id, .. } = node.child else {
            return Ok(());
        };
        let mut below = Below {
            restore: self,
            prefix: path.clone(),
        };
        tree::walk_with(reader, id, cancel, &mut below)?;
        self.leave(&path, &node)
    }

    /// Where an entry goes. `None` for the directories that are stripped off.
    fn place(&self, path: &[u8]) -> Result<Option<TargetPath>, RestoreError> {
        if let Some(name) = &self.renamed {
            return Ok(Some(self.target.child(None, name)?));
        }
        let below = &path[self.prefix.min(path.len())..];
        let parts = below.split(|byte| *byte == b'/').skip(self.options.strip);
        let mut place: Option<TargetPath> = None;
        for part in parts {
            let parent = place.as_ref().or(self.below.as_ref());
            place = Some(self.target.child(parent, part)?);
        }
        Ok(place)
    }

    fn file(&mut self, path: &[u8], node: &Node, place: TargetPath) -> Result<(), RestoreError> {
        let entry = &node.entry.entry;
        if let Some(link) = entry.metadata.hard_link {
            let name = Name {
                place: place.clone(),
                shown: path.to_vec(),
            };
            if let Some(first) = self.links.get(&link) {
                self.pending_links.push((name, first.clone()));
                return Ok(());
            }
            self.links.insert(link, name);
        }
        let is_database = self.facts.get(path).is_some_and(database::is_database);
        // In place nothing is believed by its looks.
        let by_looks = !is_database && !self.options.in_place;
        if by_looks && self.target.is_done(&place, entry)? {
            return Ok(());
        }
        self.restored.bytes += node.child.length();
        let (path_written, image_of) = match is_database {
            true => (self.image_for(path, node, &place)?, Some(place)),
            false => (place, None),
        };
        self.batch.add(Order {
            path: path_written,
            shown: path.to_vec(),
            entry: node.entry.clone(),
            content: node.child,
            image_of,
        })?;
        match self.batch.is_full() {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// A database is written beside its place, to be proven before it takes it.
    fn image_for(
        &mut self,
        path: &[u8],
        node: &Node,
        place: &TargetPath,
    ) -> Result<TargetPath, RestoreError> {
        let overwrite = self.options.target.overwrite;
        let facts = self.facts.get(path).cloned().unwrap_or_default();
        let pending = database::Pending::new(self.target, place, path, node, facts, overwrite)?;
        let image = pending.image.clone();
        self.pending_databases.push(pending);
        Ok(image)
    }

    /// Finishes everything met so far: contents, further names, databases, then directories.
    fn flush(&mut self) -> Result<(), RestoreError> {
        self.batch.flush()?;
        for (name, first) in std::mem::take(&mut self.pending_links) {
            let outcome = &mut self.batch.outcome;
            let is_first = |(shown, _): &(Vec<u8>, String)| *shown == first.shown;
            if outcome.unproven.iter().any(is_first) {
                let why = "it is another name of a file that was not read back whole".to_owned();
                outcome.unproven.push((name.shown, why));
                continue;
            }
            if outcome.damaged.iter().any(is_first) {
                let why = "it is another name of a damaged file".to_owned();
                outcome.damaged.push((name.shown, why));
                continue;
            }
            self.target.hard_link(&name.place, &first.place)?;
            self.restored.files += 1;
        }
        for pending in std::mem::take(&mut self.pending_databases) {
            let outcome = &mut self.batch.outcome;
            let mut failed = outcome.damaged.iter().chain(&outcome.unproven);
            if failed.any(|(shown, _)| *shown == pending.shown) {
                continue;
            }
            let (accept, check) = (self.options.accept_damage, self.options.check);
            match pending.put_in_place(accept, check, self.cancel) {
                Ok(report) => self.restored.databases.push(report),
                Err(error @ ReplaceError::Damaged { .. }) => {
                    outcome.files -= 1;
                    let remedy = error.remedy().unwrap_or_default();
                    let message = format!("{}; {remedy}", crate::explain::explain(&error));
                    outcome.damaged.push((pending.shown, message));
                }
                Err(error) => return Err(error.into()),
            }
        }
        for (path, entry) in std::mem::take(&mut self.pending_directories) {
            let warnings = self.target.finish_directory(&path, &entry)?;
            self.restored.warnings.extend(warnings);
        }
        Ok(())
    }

    fn finish(self) -> Restored {
        let mut restored = self.restored;
        let outcome = self.batch.outcome;
        restored.files += outcome.files;
        restored.bytes_written = outcome.bytes_written;
        restored.bytes_differed = outcome.bytes_differed;
        restored.bytes_verified = outcome.bytes_verified;
        restored.damaged.extend(outcome.damaged);
        restored.unproven = outcome.unproven;
        restored.warnings.extend(outcome.warnings);
        restored
    }
}

impl Visitor<RestoreError> for Restore<'_, '_, '_> {
    fn visit(&mut self, path: &[u8], node: &Node) -> Result<Descend, RestoreError> {
        let wanted = (self.selection.wanted)(path, node.is_directory());
        if !wanted {
            return Ok(Descend::Over);
        }
        let Some(place) = self.place(path)? else {
            return Ok(Descend::Into);
        };
        let entry = &node.entry.entry;
        match &entry.kind {
            EntryKind::Directory => {
                if let Made::Created(_) = self.target.make_directory(&place)? {
                    self.restored.directories += 1;
                }
            }
            EntryKind::File { .. } => self.file(path, node, place)?,
            _ if self.target.is_done(&place, entry)? => {}
            _ => match self.target.make_special(&place, entry)? {
                Made::Created(warnings) => self.restored.warnings.extend(warnings),
                Made::Skipped(warning) => self.restored.warnings.push(warning),
                Made::Existed => {}
            },
        }
        Ok(Descend::Into)
    }

    fn leave(&mut self, path: &[u8], node: &Node) -> Result<(), RestoreError> {
        let Some(place) = self.place(path)? else {
            return Ok(());
        };
        let entry = node.entry.entry.clone();
        self.pending_directories.push((place, entry));
        // With nothing waiting the directory is done: what is kept does not grow with the tree.
        let idle = self.batch.is_empty()
            && self.pending_links.is_empty()
            && self.pending_databases.is_empty();
        match idle {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn unreadable(&mut self, path: &[u8], error: ReadError) -> Result<(), RestoreError> {
        if !error.is_damage() {
            return Err(error.into());
        }
        let message = crate::explain::explain(&error);
        self.restored.damaged.push((path.to_vec(), message));
        Ok(())
    }
}

/// Walks a selected directory with paths as seen from the snapshot's root.
struct Below<'r, 'x, 'a, 'f> {
    restore: &'r mut Restore<'x, 'a, 'f>,
    prefix: Vec<u8>,
}

impl Below<'_, '_, '_, '_> {
    fn full(&self, path: &[u8]) -> Vec<u8> {
        match path.is_empty() {
            true => self.prefix.clone(),
            false => [&self.prefix, &b"/"[..], path].concat(),
        }
    }
}

impl Visitor<RestoreError> for Below<'_, '_, '_, '_> {
    fn visit(&mut self, path: &[u8], node: &Node) -> Result<Descend, RestoreError> {
        self.restore.visit(&self.full(path), node)
    }

    fn leave(&mut self, path: &[u8], node: &Node) -> Result<(), RestoreError> {
        self.restore.leave(&self.full(path), node)
    }

    fn unreadable(&mut self, path: &[u8], error: ReadError) -> Result<(), RestoreError> {
        self.restore.unreadable(&self.full(path), error)
    }
}
