//! Both trees at once, directory by directory.

use crate::diff::content::{self, CompareError};
use crate::diff::database::{self, DatabaseDifference, Version};
use crate::diff::entries::{Pair, Pairs};
use crate::diff::{Change, DiffError, DiffOptions, DiffTotals, Difference, Side};
use crate::entry::{EntryKind, Facts};
use crate::format::node::Child;
use crate::id::BlobId;
use crate::limits;
use crate::monitor::{Cancel, Monitor};
use crate::repository::{ReadError, Reader};
use crate::tree::{self, Node};
use std::collections::BTreeMap;
use std::mem::discriminant;

/// Receives differences.
type Visit<'v, E> = dyn FnMut(Difference) -> Result<(), E> + 'v;

/// A directory that one or both sides have.
struct Frame<'r, 'a> {
    /// Path below what is compared.
    path: Vec<u8>,
    pairs: Pairs<'r, 'a>,
}

/// One comparison.
pub(super) struct Walk<'r, 'a, 'v, E> {
    reader: &'r Reader<'a>,
    sides: [&'r Side<'r>; 2],
    facts: [BTreeMap<Vec<u8>, Facts>; 2],
    same_domain: bool,
    options: DiffOptions,
    monitor: &'r dyn Monitor,
    cancel: &'r Cancel,
    visit: &'v mut Visit<'v, E>,
    stack: Vec<Frame<'r, 'a>>,
    totals: DiffTotals,
}

fn facts_by_path(
    reader: &Reader<'_>,
    side: &Side<'_>,
) -> Result<BTreeMap<Vec<u8>, Facts>, DiffError> {
    let body = side.snapshot.body(reader.repository())?;
    let facts = body.facts.into_iter();
    Ok(facts
        .map(|(path, facts)| (path.into(), facts.into()))
        .collect())
}

fn directory(node: Option<&Node>) -> Option<BlobId> {
    match node {
        Some(Node {
            child: Child::Links { id, .. },
            entry,
        }) if entry.entry.kind == EntryKind::Directory => Some(*id),
        _ => None,
    }
}

fn shown(path: &[u8]) -> String {
    match path.is_empty() {
        true => "the root of the tree".to_owned(),
        false => String::from_utf8_lossy(path).into_owned(),
    }
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

impl<'r, 'a, 'v, E: From<DiffError>> Walk<'r, 'a, 'v, E> {
    pub(super) fn new(
        reader: &'r Reader<'a>,
        sides: [&'r Side<'r>; 2],
        options: DiffOptions,
        monitor: &'r dyn Monitor,
        cancel: &'r Cancel,
        visit: &'v mut Visit<'v, E>,
    ) -> Result<Self, DiffError> {
        let [before, after] = sides;
        Ok(Self {
            reader,
            sides,
            facts: [
                facts_by_path(reader, before)?,
                facts_by_path(reader, after)?,
            ],
            same_domain: before.snapshot.domain == after.snapshot.domain,
            options,
            monitor,
            cancel,
            visit,
            stack: Vec::new(),
            totals: DiffTotals::default(),
        })
    }

    pub(super) fn run(mut self) -> Result<DiffTotals, E> {
        let [before, after] = self.sides;
        if before.path.is_empty() && after.path.is_empty() {
            let roots = [before, after].map(|side| Some(side.snapshot.root));
            self.enter(Vec::new(), roots)?;
        } else {
            let pair = (self.find(before)?, self.find(after)?);
            if pair == (None, None) {
                return Err(DiffError::NoSuchPath(shown(&after.path)).into());
            }
            self.pair(Vec::new(), pair)?;
        }
        while let Some(frame) = self.stack.last_mut() {
            self.cancel.check().map_err(DiffError::from)?;
            let next = frame.pairs.next_pair();
            let path = frame.path.clone();
            match next.map_err(|source| self.unreadable(&path, source))? {
                None => {
                    self.stack.pop();
                }
                Some(pair) => {
                    let name = pair.1.as_ref().or(pair.0.as_ref()).map(Node::name);
                    let path = joined(&path, name.unwrap_or_default());
                    self.pair(path, pair)?;
                }
            }
        }
        Ok(self.totals)
    }

    fn unreadable(&self, path: &[u8], source: ReadError) -> DiffError {
        DiffError::Read {
            path: shown(&self.full(1, path)),
            source: Box::new(source),
        }
    }

    /// A path as one side has it.
    fn full(&self, side: usize, path: &[u8]) -> Vec<u8> {
        let prefix = &self.sides[side].path;
        match path.is_empty() {
            true => prefix.clone(),
            false => joined(prefix, path),
        }
    }

    fn find(&self, side: &Side<'_>) -> Result<Option<Node>, DiffError> {
        let found = tree::find(self.reader, side.snapshot.root, &side.path);
        found.map_err(|source| DiffError::Read {
            path: shown(&side.path),
            source: Box::new(source),
        })
    }

    /// Goes into a directory of one or both sides, unless it is the same.
    fn enter(&mut self, path: Vec<u8>, ids: [Option<BlobId>; 2]) -> Result<(), DiffError> {
        let [before, after] = ids;
        if before == after {
            return Ok(());
        }
        if self.stack.len() > limits::DIRECTORY_DEPTH_MAX {
            return Err(DiffError::Depth);
        }
        let pairs = Pairs::open(self.reader, before, after)
            .map_err(|source| self.unreadable(&path, source))?;
        self.stack.push(Frame { path, pairs });
        Ok(())
    }

    /// Tells how the entries under one name differ, and looks below.
    fn pair(&mut self, path: Vec<u8>, pair: Pair) -> Result<(), E> {
        if pair.0 == pair.1 {
            return Ok(());
        }
        let below = [directory(pair.0.as_ref()), directory(pair.1.as_ref())];
        if let Some(difference) = self.difference(&path, pair)? {
            self.count(&difference);
            (self.visit)(difference)?;
        }
        Ok(self.enter(path, below)?)
    }

    fn difference(&self, path: &[u8], pair: Pair) -> Result<Option<Difference>, DiffError> {
        let side = usize::from(pair.1.is_some());
        let mut difference = Difference {
            path: self.full(side, path),
            change: Change::Added,
            before: None,
            after: None,
            aspects: Vec::new(),
            database: None,
        };
        let (change, aspects) = match &pair {
            (None, _) => (Change::Added, Vec::new()),
            (_, None) => (Change::Removed, Vec::new()),
            (Some(before), Some(after)) => {
                let (old, new) = (&before.entry.entry, &after.entry.entry);
                let aspects = old.metadata.differences(&new.metadata, &new.kind);
                let change = if discriminant(&old.kind) != discriminant(&new.kind) {
                    Change::Kind
                } else if self.differs(path, before, after)? {
                    difference.database = self.database(path, before, after)?;
                    Change::Content
                } else if !aspects.is_empty() && self.options.metadata {
                    Change::Metadata
                } else {
                    return Ok(None);
                };
                (change, aspects)
            }
        };
        (difference.change, difference.aspects) = (change, aspects);
        (difference.before, difference.after) = pair;
        Ok(Some(difference))
    }

    /// Whether two entries of the same kind have another content.
    fn differs(&self, path: &[u8], before: &Node, after: &Node) -> Result<bool, DiffError> {
        match (&before.entry.entry.kind, &after.entry.entry.kind) {
            (EntryKind::Directory, _) => Ok(false),
            (EntryKind::File { .. }, EntryKind::File { .. }) => {
                let (reader, cancel) = (self.reader, self.cancel);
                let (before, after) = (before.child, after.child);
                let differs = content::differs(reader, before, after, self.same_domain, cancel);
                differs.map_err(|error| match error {
                    CompareError::Read(source) => self.unreadable(path, source),
                    CompareError::Interrupted(error) => error.into(),
                })
            }
            (before, after) => Ok(before != after),
        }
    }

    fn database(
        &self,
        path: &[u8],
        before: &Node,
        after: &Node,
    ) -> Result<Option<DatabaseDifference>, DiffError> {
        let facts = |side: usize| self.facts[side].get(&self.full(side, path));
        let (Some(facts_before), Some(facts_after)) = (facts(0), facts(1)) else {
            return Ok(None);
        };
        if !database::is_database(facts_before) || !database::is_database(facts_after) {
            return Ok(None);
        }
        let version = |node: &Node, facts| Version {
            content: node.child,
            facts,
        };
        let compared = database::compare(
            self.reader,
            version(before, facts_before),
            version(after, facts_after),
            self.options.rows,
            self.monitor,
            self.cancel,
        );
        match compared {
            Err(DiffError::Database(source)) => Err(self.unreadable(path, *source)),
            compared => compared.map(Some),
        }
    }

    fn count(&mut self, difference: &Difference) {
        let bytes = |node: &Option<Node>| match node.as_ref().map(|node| &node.entry.entry.kind) {
            Some(EntryKind::File { size }) => *size,
            _ => 0,
        };
        let totals = &mut self.totals;
        match difference.change {
            Change::Added => {
                totals.added += 1;
                totals.bytes_added = totals.bytes_added.saturating_add(bytes(&difference.after));
            }
            Change::Removed => {
                totals.removed += 1;
                let removed = bytes(&difference.before);
                totals.bytes_removed = totals.bytes_removed.saturating_add(removed);
            }
            Change::Content => totals.changed += 1,
            Change::Kind => totals.kinds += 1,
            Change::Metadata => totals.metadata += 1,
        }
    }
}
