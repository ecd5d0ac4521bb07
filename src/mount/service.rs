//! Answers that need the repository: names, listings, contents.

use crate::entry::EntryKind;
use crate::explain::explain;
use crate::format::blob::BlobKind;
use crate::format::entry::decode_first_names;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::monitor::Monitor;
use crate::mount::objects::{Contents, Known, Object, Table, number_of};
use crate::repository::{ReadError, Reader};
use crate::tree::{DirectoryPart, Node, RandomReader, Recent, read_part};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Directory entries that are kept decoded, over all directories: some 30 MB at most.
const ENTRIES_MAX: u64 = 100_000;

/// Most objects that are named in a message: a damaged disk must not fill the log.
const COMPLAINTS_MAX: usize = 100;

/// Something could not be read: the caller was told so, the user too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A line of a directory listing.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: Vec<u8>,
    pub(super) number: u64,
    pub(super) kind: EntryKind,
}

/// One node of a directory, decoded.
enum Part {
    Leaf(Vec<Node>),
    Index {
        first_names: Vec<Vec<u8>>,
        parts: Vec<BlobId>,
        height: u8,
    },
}

/// Reads on behalf of the kernel. Shared between threads.
pub(super) struct Service<'s, 'a> {
    random: RandomReader<'s, 'a>,
    parts: Mutex<Recent<Part>>,
    table: Arc<Mutex<Table>>,
    monitor: &'s dyn Monitor,
    complained: Mutex<HashSet<u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'s, 'a> Service<'s, 'a> {
    pub(super) fn new(
        reader: &'s Reader<'a>,
        cache_bytes: u64,
        table: Arc<Mutex<Table>>,
        monitor: &'s dyn Monitor,
    ) -> Self {
        Self {
            random: RandomReader::new(reader, cache_bytes),
            parts: Mutex::new(Recent::new(ENTRIES_MAX)),
            table,
            monitor,
            complained: Mutex::default(),
        }
    }

    /// Tells the user what cannot be read and why, once for each object.
    fn complain(&self, number: u64, error: &ReadError) -> Unreadable {
        let mut complained = lock(&self.complained);
        if complained.len() < COMPLAINTS_MAX && complained.insert(number) {
            let path = lock(&self.table).path(number);
            let path = String::from_utf8_lossy(&path).into_owned();
            let remedy = match error.is_damage() {
                true => "; find its extent: icecore check --read-data",
                false => "",
            };
            let why = explain(error);
            let message = format!("cannot read {path} for whoever asked: {why}{remedy}");
            self.monitor.warn(&message);
        }
        Unreadable
    }

    /// The object of this name in a directory.
    pub(super) fn find(&self, parent: &Known, name: &[u8]) -> Result<Option<Object>, Unreadable> {
        if let Contents::Made(objects) = &parent.object.contents {
            let found = objects.iter().find(|object| object.entry.name == name);
            return Ok(found.cloned());
        }
        let Some(directory) = parent.object.stored_directory() else {
            return Ok(None);
        };
        let found = self.find_stored(directory, name);
        let found = found.map_err(|error| self.complain(parent.number, &error))?;
        Ok(found.map(Object::stored))
    }

    fn find_stored(&self, directory: BlobId, name: &[u8]) -> Result<Option<Node>, ReadError> {
        let (mut id, mut above) = (directory, None);
        loop {
            match &*self.part(id, above)? {
                Part::Leaf(nodes) => {
                    let found = nodes.binary_search_by(|node| node.name().cmp(name));
                    return Ok(found.ok().map(|number| nodes[number].clone()));
                }
                Part::Index {
                    first_names,
                    parts,
                    height,
                } => {
                    let number = first_names.partition_point(|first| first.as_slice() <= name);
                    let Some(part) = number.checked_sub(1).and_then(|n| parts.get(n)) else {
                        return Ok(None);
                    };
                    (id, above) = (*part, Some(*height));
                }
            }
        }
    }

    fn part(&self, id: BlobId, above: Option<u8>) -> Result<Arc<Part>, ReadError> {
        // The height of a kept part was checked against another parent: it is read again where
        // that could differ.
        if let Some(part) = lock(&self.parts).get(&id)
            && (above.is_none() || matches!(*part, Part::Leaf(_)))
        {
            return Ok(part);
        }
        let (part, height) = read_part(self.random.reader(), id, above)?;
        let (part, weight) = match part {
            DirectoryPart::Entries { nodes, .. } => {
                let weight = nodes.len();
                (Part::Leaf(nodes), weight)
            }
            DirectoryPart::Parts { names, parts } => {
                let plain = self.random.reader().read(names, BlobKind::NodeBody)?;
                let first_names = decode_first_names(&plain).map_err(|source| {
                    let blob = names;
                    ReadError::Content { blob, source }
                })?;
                let weight = parts.len();
                let part = Part::Index {
                    first_names,
                    parts,
                    height,
                };
                (part, weight)
            }
        };
        let part = Arc::new(part);
        lock(&self.parts).put(id, Arc::clone(&part), weight as u64 + 1);
        Ok(part)
    }

    /// Everything in a directory, in the order of names.
    pub(super) fn list(&self, directory: &Known) -> Result<Vec<Line>, Unreadable> {
        if let Contents::Made(objects) = &directory.object.contents {
            let lines = objects.iter().map(|object| line(directory, &object.entry));
            return Ok(lines.collect());
        }
        let mut lines = Vec::new();
        if let Some(id) = directory.object.stored_directory() {
            let listed = self.list_stored(directory, id, None, &mut lines);
            listed.map_err(|error| self.complain(directory.number, &error))?;
        }
        Ok(lines)
    }

    /// Recursion is bounded by the height of directory nodes.
    fn list_stored(
        &self,
        directory: &Known,
        id: BlobId,
        above: Option<u8>,
        lines: &mut Vec<Line>,
    ) -> Result<(), ReadError> {
        match &*self.part(id, above)? {
            Part::Leaf(nodes) => {
                let entries = nodes.iter().map(|node| &node.entry.entry);
                lines.extend(entries.map(|entry| line(directory, entry)));
                Ok(())
            }
            Part::Index { parts, height, .. } => parts
                .iter()
                .try_for_each(|part| self.list_stored(directory, *part, Some(*height), lines)),
        }
    }

    /// Bytes of a file from `offset` on, at most `length`, fewer at its end.
    pub(super) fn read(
        &self,
        file: &Known,
        content: Child,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, Unreadable> {
        let left = content.length().saturating_sub(offset);
        let mut bytes = vec![0; left.min(u64::from(length)) as usize];
        let read = self.random.read(content, offset, &mut bytes);
        let read = read.map_err(|error| self.complain(file.number, &error))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The first offset from `offset` on that is data, or that is a hole; `None` when there is no
    /// data any more. The end of a file counts as a hole.
    pub(super) fn seek(
        &self,
        file: &Known,
        content: Child,
        offset: u64,
        hole: bool,
    ) -> Result<Option<u64>, Unreadable> {
        let mut at = offset;
        loop {
            let piece = self.random.piece_at(content, at);
            match piece.map_err(|error| self.complain(file.number, &error))? {
                None => return Ok(hole.then_some(content.length())),
                Some(piece) if piece.chunk.is_none() == hole => return Ok(Some(at)),
                Some(piece) => at = piece.offset + piece.length,
            }
        }
    }
}

fn line(directory: &Known, entry: &crate::entry::Entry) -> Line {
    Line {
        name: entry.name.clone(),
        number: number_of(directory, entry),
        kind: entry.kind.clone(),
    }
}
