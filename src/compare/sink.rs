//! Receives what is live, in the order of names, beside what the snapshot has.

use crate::compare::content::{self, ContentError, Hashing, Tally};
use crate::compare::database::{self, LiveDatabase};
use crate::compare::{CompareError, Comparing, LiveChange, LiveDifference, LiveTotals, Tell};
use crate::crypto::IdKey;
use crate::entry::{Aspect, ChangeStamp, Entry, EntryKind, Facts, Layout};
use crate::explain::explain;
use crate::format::node::Child;
use crate::format::snapshot::SnapshotBody;
use crate::repository::ReadError;
use crate::source::{
    Consistency, Content, ContentEnd, Exclusion, Problem, Sink, SinkError, SourceError,
};
use crate::tree::{self, Descend, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

/// A directory that is live and being passed over.
struct Level {
    /// Path inside the snapshot.
    path: Vec<u8>,
    /// What the snapshot has in it and was not met yet, in the order of names.
    expected: std::iter::Peekable<std::vec::IntoIter<Node>>,
}

impl Level {
    fn new(path: Vec<u8>, expected: Vec<Node>) -> Self {
        let expected = expected.into_iter().peekable();
        Self { path, expected }
    }
}

pub(super) struct LiveSink<'c, 'a, 't> {
    comparing: &'c Comparing<'c, 'a>,
    ids: &'c IdKey,
    facts: BTreeMap<Vec<u8>, Facts>,
    left_out: BTreeSet<Vec<u8>>,
    unknown: BTreeSet<Vec<u8>>,
    levels: Vec<Level>,
    tell: &'t mut Tell<'t>,
    pub(super) totals: LiveTotals,
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

impl<'c, 'a, 't> LiveSink<'c, 'a, 't> {
    pub(super) fn new(
        comparing: &'c Comparing<'c, 'a>,
        body: &SnapshotBody,
        tell: &'t mut Tell<'t>,
    ) -> Result<Self, CompareError> {
        let access = comparing.reader.repository().access();
        let ids = access.id_key(comparing.snapshot.domain);
        let facts = body.facts.iter().cloned();
        let left_out = body.exclusions.iter().map(|(path, ..)| path.to_vec());
        Ok(Self {
            ids: ids.ok_or(CompareError::NoKey)?,
            comparing,
            facts: facts
                .map(|(path, facts)| (path.into(), facts.into()))
                .collect(),
            left_out: left_out.collect(),
            unknown: BTreeSet::new(),
            levels: Vec::new(),
            tell,
            totals: LiveTotals::default(),
        })
    }

    /// Expects one entry, whose path begins with `parent` (empty, or with a slash at its end).
    pub(super) fn begin(&mut self, parent: &[u8], node: Node) {
        let path = parent.strip_suffix(b"/").unwrap_or(parent).to_vec();
        self.levels = vec![Level::new(path, vec![node])];
    }

    /// Nothing more is live.
    pub(super) fn end(&mut self) -> Result<(), CompareError> {
        while !self.levels.is_empty() {
            self.close()?;
        }
        Ok(())
    }

    fn tell(&mut self, difference: LiveDifference) -> Result<(), CompareError> {
        let totals = &mut self.totals;
        let number = match difference.change {
            LiveChange::Missing => &mut totals.missing,
            LiveChange::Extra => &mut totals.extra,
            LiveChange::Content => &mut totals.different,
            LiveChange::Kind => &mut totals.kinds,
            LiveChange::Metadata => &mut totals.metadata,
        };
        *number += 1;
        match (self.tell)(difference) {
            true => Ok(()),
            false => Err(CompareError::Unheard),
        }
    }

    fn one_sided(
        &mut self,
        path: Vec<u8>,
        before: Option<Entry>,
        after: Option<Entry>,
    ) -> Result<(), CompareError> {
        let change = match before {
            Some(_) => LiveChange::Missing,
            None => LiveChange::Extra,
        };
        self.tell(LiveDifference {
            path,
            change,
            before,
            after,
            aspects: Vec::new(),
            database: None,
        })
    }

    /// The snapshot's entry of this name in the directory under way; those before it are missing.
    fn expect(&mut self, name: &[u8]) -> Result<(Vec<u8>, Option<Node>), CompareError> {
        loop {
            let Some(level) = self.levels.last_mut() else {
                return Ok((name.to_vec(), None));
            };
            let path = joined(&level.path, name);
            match level.expected.next_if(|node| node.name() <= name) {
                Some(node) if node.name() == name => return Ok((path, Some(node))),
                Some(node) => {
                    let missing = joined(&level.path, node.name());
                    self.missing(missing, &node)?;
                }
                None => return Ok((path, None)),
            }
        }
    }

    /// Leaves the directory under way; what was not met in it is missing.
    fn close(&mut self) -> Result<(), CompareError> {
        let Some(mut level) = self.levels.pop() else {
            return Ok(());
        };
        // What could not be listed is not missing.
        if self.unknown.contains(&level.path) {
            return Ok(());
        }
        level.expected.try_for_each(|node| {
            let path = joined(&level.path, node.name());
            self.missing(path, &node)
        })
    }

    /// An entry of the snapshot is not live, with all that is below it; unless the live one could
    /// not be read, and nothing is known.
    fn missing(&mut self, path: Vec<u8>, node: &Node) -> Result<(), CompareError> {
        if self.unknown.contains(&path) {
            return Ok(());
        }
        self.one_sided(path.clone(), Some(node.entry.entry.clone()), None)?;
        self.missing_below(&path, node)
    }

    fn missing_below(&mut self, path: &[u8], node: &Node) -> Result<(), CompareError> {
        let (Child::Links { id, .. }, true) = (node.child, node.is_directory()) else {
            return Ok(());
        };
        let comparing = self.comparing;
        let mut visit = |below: &[u8], node: &Node| {
            let entry = node.entry.entry.clone();
            self.one_sided(joined(path, below), Some(entry), None)?;
            Ok(Descend::Into)
        };
        tree::walk::<CompareError>(
            comparing.reader,
            id,
            comparing.cancel,
            &mut visit,
            &mut |_, _| Ok(()),
        )
    }

    fn is_left_out(&self, path: &[u8]) -> bool {
        if self.left_out.is_empty() {
            return false;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ancestors = ends.map(|(end, _)| &path[..end]);
        self.left_out.contains(path) || ancestors.any(|above| self.left_out.contains(above))
    }

    fn extra(&mut self, path: Vec<u8>, entry: Entry) -> Result<(), CompareError> {
        match self.is_left_out(&path) {
            true => Ok(()),
            false => self.one_sided(path, None, Some(entry)),
        }
    }

    /// Tells of another kind; what the snapshot has below is missing.
    fn other_kind(&mut self, path: Vec<u8>, node: &Node, live: Entry) -> Result<(), CompareError> {
        self.tell(LiveDifference {
            path: path.clone(),
            change: LiveChange::Kind,
            before: Some(node.entry.entry.clone()),
            after: Some(live),
            aspects: Vec::new(),
            database: None,
        })?;
        self.missing_below(&path, node)
    }

    /// Tells of two entries of one kind, if they differ.
    fn same_kind(
        &mut self,
        path: Vec<u8>,
        node: &Node,
        live: Entry,
        found: Found,
    ) -> Result<(), CompareError> {
        let before = &node.entry.entry;
        let mut aspects = before.metadata.differences(&live.metadata, &live.kind);
        if found.database.is_some() {
            // A checkpoint touches the file without changing what is in the database.
            aspects.retain(|aspect| *aspect != Aspect::Modified);
        }
        let change = match (found.differs, aspects.is_empty()) {
            (true, _) => LiveChange::Content,
            (false, false) if self.comparing.options.metadata => LiveChange::Metadata,
            _ => {
                self.totals.same += u64::from(before.kind != EntryKind::Directory);
                return Ok(());
            }
        };
        self.tell(LiveDifference {
            path,
            change,
            before: Some(before.clone()),
            after: Some(live),
            aspects,
            database: found.database.filter(|_| found.differs),
        })
    }

    fn unreadable(&mut self, path: Vec<u8>, message: String) {
        self.unknown.insert(path.clone());
        self.totals.problems.push(Problem { path, message });
    }

    fn compare_file(
        &mut self,
        path: Vec<u8>,
        node: &Node,
        entry: Entry,
        open: &mut Open<'_>,
    ) -> Result<(), CompareError> {
        let recorded = self.facts.get(&path).cloned().unwrap_or_default();
        let is_database = database::is_database(&recorded);
        // Nothing needs to be read to see that another length is another content.
        if !is_database && entry.kind != node.entry.entry.kind {
            return self.same_kind(path, node, entry, Found::other());
        }
        let found = open()
            .map_err(ContentError::Live)
            .and_then(|content| self.compare_content(node.child, content, &recorded));
        match found {
            Ok((found, live)) => self.same_kind(path, node, live.unwrap_or(entry), found),
            Err(ContentError::Other(error)) => Err(*error),
            Err(ContentError::Live(_)) if self.comparing.cancel.is_cancelled() => {
                Err(crate::monitor::Interrupted.into())
            }
            Err(ContentError::Live(error)) if error.has_vanished() => self.missing(path, node),
            Err(ContentError::Live(error)) => {
                self.unreadable(path, explain(&error));
                Ok(())
            }
        }
    }

    fn compare_content(
        &mut self,
        stored: Child,
        mut content: Box<dyn Content>,
        recorded: &Facts,
    ) -> Result<(Found, Option<Entry>), ContentError> {
        let comparing = self.comparing;
        let hashing = Hashing {
            reader: comparing.reader,
            ids: self.ids,
            monitor: comparing.monitor,
            cancel: comparing.cancel,
        };
        if content.layout() == Layout::Pages {
            let tally = match database::is_compacted(recorded) {
                true => None,
                false => Some(content::compare(&hashing, stored, &mut *content, true)?),
            };
            self.totals.bytes_read += tally.map_or(0, |tally| tally.bytes);
            let ContentEnd {
                entry,
                facts,
                consistency,
            } = content.finish()?;
            // Other files of pages, such as a server's relation, are no more than their bytes.
            if let (true, Some(tally)) = (facts.is_empty(), tally) {
                let differs = tally.chunks_different > 0 || consistency == Consistency::Changed;
                return Ok((
                    Found {
                        differs,
                        database: None,
                    },
                    entry,
                ));
            }
            let database = LiveDatabase::new(recorded, &facts, tally);
            let differs = !database.is_same();
            let database = Some(database);
            return Ok((Found { differs, database }, entry));
        }
        let tally: Tally = content::compare(&hashing, stored, &mut *content, false)?;
        self.totals.bytes_read += tally.bytes;
        if tally.chunks_different > 0 {
            return Ok((Found::other(), None));
        }
        let end = content.finish()?;
        let differs = end.consistency == Consistency::Changed;
        let database = None;
        Ok((Found { differs, database }, end.entry))
    }
}

/// What a comparison of two contents found.
struct Found {
    differs: bool,
    database: Option<LiveDatabase>,
}

impl Found {
    fn same() -> Self {
        Self {
            differs: false,
            database: None,
        }
    }

    fn other() -> Self {
        Self {
            differs: true,
            database: None,
        }
    }
}

/// Opens a live file.
type Open<'o> = dyn FnMut() -> Result<Box<dyn Content>, SourceError> + 'o;

impl Sink for LiveSink<'_, '_, '_> {
    fn enter(&mut self, directory: Entry) -> Result<(), SinkError> {
        let entered = self.enter_directory(directory);
        entered.map_err(CompareError::into_sink)
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        self.close().map_err(CompareError::into_sink)
    }

    fn special(&mut self, entry: Entry) -> Result<(), SinkError> {
        let mut compare = || {
            let (path, node) = self.expect(&entry.name)?;
            let Some(node) = node else {
                return self.extra(path, entry.clone());
            };
            let before = &node.entry.entry.kind;
            if discriminant(before) != discriminant(&entry.kind) {
                return self.other_kind(path, &node, entry.clone());
            }
            let found = match *before == entry.kind {
                true => Found::same(),
                false => Found::other(),
            };
            self.same_kind(path, &node, entry.clone(), found)
        };
        compare().map_err(CompareError::into_sink)
    }

    fn file(
        &mut self,
        entry: Entry,
        _: Option<ChangeStamp>,
        open: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError> {
        let compare = |sink: &mut Self| {
            let (path, node) = sink.expect(&entry.name)?;
            match node {
                None => sink.extra(path, entry),
                Some(node) if matches!(node.entry.entry.kind, EntryKind::File { .. }) => {
                    sink.compare_file(path, &node, entry, open)
                }
                Some(node) => sink.other_kind(path, &node, entry),
            }
        };
        compare(self).map_err(CompareError::into_sink)
    }

    fn problem(&mut self, problem: Problem) {
        // The source knows no more than the root's name of the path above it.
        let above = self.levels.first().map(|level| level.path.clone());
        let path = joined(&above.unwrap_or_default(), &problem.path);
        self.unreadable(path, problem.message);
    }

    fn excluded(&mut self, _: Exclusion) {}
}

impl LiveSink<'_, '_, '_> {
    fn enter_directory(&mut self, directory: Entry) -> Result<(), CompareError> {
        let (path, node) = self.expect(&directory.name)?;
        let expected = match node {
            None => {
                self.extra(path.clone(), directory)?;
                Vec::new()
            }
            Some(node) if node.is_directory() => {
                let expected = self.read(node.child)?;
                self.same_kind(path.clone(), &node, directory, Found::same())?;
                expected
            }
            Some(node) => {
                self.other_kind(path.clone(), &node, directory)?;
                Vec::new()
            }
        };
        self.levels.push(Level::new(path, expected));
        Ok(())
    }

    fn read(&self, child: Child) -> Result<Vec<Node>, ReadError> {
        let mut nodes = Vec::new();
        if let Child::Links { id, .. } = child {
            tree::read_directory::<ReadError>(self.comparing.reader, id, &mut |node| {
                nodes.push(node);
                Ok(())
            })?;
        }
        Ok(nodes)
    }
}
