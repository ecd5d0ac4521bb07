//! Walking snapshots' trees: does every reference resolve, and if not, which paths does it hurt.
//!
//! A subtree that was found whole is not walked again: the work is that of the distinct nodes, and
//! of the paths that are damaged.

mod links;

use crate::check::CheckError;
use crate::check::findings::{Cause, Findings, MISSING};
use crate::check::places::{BadPlaces, reaches};
use crate::check::references::References;
use crate::check::view::View;
use crate::format::blob::{BlobKind, Form};
use crate::format::layout;
use crate::format::node::{Child, NodeKind};
use crate::format::wire::FormatError;
use crate::id::{BlobId, PackId, SnapshotId};
use crate::limits;
use crate::monitor::{Cancel, Monitor};
use crate::repository::gc::PackSource;
use crate::repository::index::Located;
use crate::repository::{ReadError, Reader, Snapshot};
use crate::tree::{DirectoryPart, Node, read_links, read_part};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// A blob could not be had, and what is to blame.
type Causes = Vec<Cause>;

/// Walks trees against one view.
pub(super) struct Walk<'a> {
    reader: Reader<'a>,
    view: &'a View,
    bad: &'a BadPlaces,
    cancel: &'a Cancel,
    /// Nodes below which everything is whole: 10 to 20 MB a million.
    clean: CleanNodes,
    /// Where chunks are noted, to be resolved together; otherwise each is looked up at once.
    pub(super) references: Option<References>,
    /// Packs that what was looked up rests on.
    pub(super) needed: HashSet<PackId>,
    pub(super) findings: Findings,
    /// Heads of packs, where only links can be opened.
    heads: HashMap<PackId, PackSource<'a>>,
}

/// Nodes by eight bytes of a hash that nobody can foresee: that two of ten million have the same
/// is as likely as one in 300,000.
#[derive(Default)]
struct CleanNodes {
    hasher: RandomState,
    nodes: HashSet<u64>,
}

impl CleanNodes {
    fn contains(&self, key: &[u8; 16]) -> bool {
        self.nodes.contains(&self.hasher.hash_one(key))
    }

    fn insert(&mut self, key: [u8; 16]) {
        self.nodes.insert(self.hasher.hash_one(key));
    }
}

/// A node of a directory that is being walked.
struct Frame {
    key: [u8; 16],
    rest: Rest,
    clean: bool,
    /// Length of the path of what holds it.
    parent_path: usize,
}

enum Rest {
    Entries(std::vec::IntoIter<Node>),
    Parts(std::vec::IntoIter<BlobId>, u8),
}

/// What a node was read as: the same blob read otherwise may be wrong.
fn visit_key(id: BlobId, kind: NodeKind, above: Option<u8>, length: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&id.0[..16]);
    for (byte, other) in key.iter_mut().zip(length.to_le_bytes()) {
        *byte ^= other;
    }
    key[14] ^= kind as u8;
    key[15] ^= above.unwrap_or(u8::MAX);
    key
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        reader: Reader<'a>,
        view: &'a View,
        bad: &'a BadPlaces,
        cancel: &'a Cancel,
        references: Option<References>,
    ) -> Self {
        Self {
            reader,
            view,
            bad,
            cancel,
            clean: CleanNodes::default(),
            references,
            needed: HashSet::new(),
            findings: Findings::default(),
            heads: HashMap::new(),
        }
    }

    /// Walks the trees of snapshots, as far as this credential opens them.
    pub(super) fn snapshots(
        &mut self,
        snapshots: &[&Snapshot],
        monitor: &dyn Monitor,
    ) -> Result<(), CheckError> {
        let (readable, closed): (Vec<&Snapshot>, Vec<&Snapshot>) =
            snapshots.iter().partition(|snapshot| snapshot.readable);
        for snapshot in &readable {
            self.snapshot(snapshot.id, snapshot.root)?;
            monitor.advance(1);
        }
        let closed = closed.iter().map(|snapshot| (snapshot.id, snapshot.root));
        self.links(&closed.collect::<Vec<_>>())
    }

    /// Walks a snapshot's tree.
    fn snapshot(&mut self, id: SnapshotId, root: BlobId) -> Result<(), CheckError> {
        let mut path = Vec::new();
        let mut stack = Vec::new();
        self.open(id, root, None, &path, 0, &mut stack)?;
        while let Some(frame) = stack.last_mut() {
            self.cancel.check()?;
            let parent_path = path.len();
            let (part, above) = match &mut frame.rest {
                Rest::Entries(nodes) => match nodes.next() {
                    Some(node) => {
                        if !path.is_empty() {
                            path.push(b'/');
                        }
                        path.extend_from_slice(node.name());
                        match node.child {
                            Child::Links { id, .. } if node.is_directory() => (Some(id), None),
                            child => {
                                frame.clean &= self.content(id, &path, child)?;
                                path.truncate(parent_path);
                                continue;
                            }
                        }
                    }
                    None => (None, None),
                },
                Rest::Parts(parts, height) => (parts.next(), Some(*height)),
            };
            match part {
                Some(part) => {
                    if !self.open(id, part, above, &path, parent_path, &mut stack)? {
                        path.truncate(parent_path);
                    }
                }
                None => self.close(&mut stack, &mut path),
            }
        }
        Ok(())
    }

    /// Ends the frame on top: what holds it is as clean as it is.
    fn close(&mut self, stack: &mut Vec<Frame>, path: &mut Vec<u8>) {
        let Some(done) = stack.pop() else { return };
        path.truncate(done.parent_path);
        if done.clean {
            self.clean.insert(done.key);
        } else if let Some(parent) = stack.last_mut() {
            parent.clean = false;
        }
    }

    /// Puts a node on the stack unless it is known to be clean, or hurts its path.
    fn open(
        &mut self,
        snapshot: SnapshotId,
        id: BlobId,
        above: Option<u8>,
        path: &[u8],
        parent_path: usize,
        stack: &mut Vec<Frame>,
    ) -> Result<bool, CheckError> {
        let key = visit_key(id, NodeKind::Directory, above, 0);
        if self.clean.contains(&key) {
            return Ok(false);
        }
        let too_deep = stack.len() > limits::DIRECTORY_DEPTH_MAX + limits::NODE_HEIGHT_MAX;
        let read = match too_deep {
            true => Err(vec![self.nonsense(id, "it is deeper than any tree may be")]),
            false => self.node(id, |reader| read_part(reader, id, above))?,
        };
        let (part, height) = match read {
            Ok(read) => read,
            Err(causes) => {
                for cause in causes {
                    self.findings.hurt_subtree(cause, snapshot, path);
                }
                if let Some(parent) = stack.last_mut() {
                    parent.clean = false;
                }
                return Ok(false);
            }
        };
        let rest = match part {
            DirectoryPart::Entries { body, nodes } => {
                // It was read: this only notes its pack as needed.
                self.resolve(body, BlobKind::NodeBody, limits::DELTA_DEPTH_MAX)?;
                Rest::Entries(nodes.into_iter())
            }
            DirectoryPart::Parts { names, parts } => {
                // Only a search by name needs it: no path is hurt.
                let causes = self.resolve(names, BlobKind::NodeBody, limits::DELTA_DEPTH_MAX)?;
                causes.into_iter().for_each(|c| self.findings.add(c));
                Rest::Parts(parts.into_iter(), height)
            }
        };
        stack.push(Frame {
            key,
            rest,
            clean: true,
            parent_path,
        });
        Ok(true)
    }

    /// Looks for the chunks of a file. False: some cannot be had.
    fn content(
        &mut self,
        snapshot: SnapshotId,
        path: &[u8],
        child: Child,
    ) -> Result<bool, CheckError> {
        let mut offset = 0;
        self.piece(snapshot, path, child, None, &mut offset)
    }

    fn piece(
        &mut self,
        snapshot: SnapshotId,
        path: &[u8],
        child: Child,
        above: Option<u8>,
        offset: &mut u64,
    ) -> Result<bool, CheckError> {
        let range = *offset..offset.saturating_add(child.length());
        let causes = match child {
            Child::Nothing | Child::Hole { .. } => Vec::new(),
            Child::Chunk { id, length } => self.chunk(id, length)?,
            Child::Links { id, length } => {
                let key = visit_key(id, NodeKind::Content, above, length);
                if self.clean.contains(&key) {
                    *offset = range.end;
                    return Ok(true);
                }
                match self.list(id, length, above)? {
                    Ok((children, height)) => {
                        let mut clean = true;
                        for child in children {
                            clean &= self.piece(snapshot, path, child, Some(height), offset)?;
                        }
                        if clean {
                            self.clean.insert(key);
                        }
                        return Ok(clean);
                    }
                    Err(causes) => causes,
                }
            }
        };
        *offset = range.end;
        let clean = causes.is_empty();
        for cause in causes {
            self.findings
                .hurt_content(cause, snapshot, path, range.clone());
        }
        Ok(clean)
    }

    /// The children of a content list, checked against what holds it.
    fn list(
        &mut self,
        id: BlobId,
        length: u64,
        above: Option<u8>,
    ) -> Result<Result<(Vec<Child>, u8), Causes>, CheckError> {
        self.cancel.check()?;
        let links = match self.node(id, |reader| read_links(reader, id))? {
            Ok(links) => links,
            Err(causes) => return Ok(Err(causes)),
        };
        let problem = if links.kind != NodeKind::Content || links.content_length() != length {
            "it is not what its parent says"
        } else if above.is_some_and(|above| links.height >= above) {
            "its height does not fall"
        } else {
            return Ok(Ok((links.children, links.height)));
        };
        Ok(Err(vec![self.nonsense(id, problem)]))
    }

    /// Reads a node; a second time when the first one fails, with nothing remembered.
    fn node<T>(
        &mut self,
        id: BlobId,
        read: impl Fn(&Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<Result<T, Causes>, CheckError> {
        let causes = self.resolve(id, BlobKind::NodeLinks, limits::DELTA_DEPTH_MAX)?;
        if !causes.is_empty() {
            return Ok(Err(causes));
        }
        let mut result = read(&self.reader);
        if result.is_err() {
            result = read(&Reader::new(self.reader.repository(), self.reader.index()));
        }
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(error) if read_error_is_damage(&error) => Ok(Err(self.blame(id, &error)?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Who is to blame for a node that could not be read: its links blob, or its body.
    fn blame(&self, id: BlobId, error: &ReadError) -> Result<Causes, CheckError> {
        let blob = match error {
            ReadError::Missing(blob) => return Ok(vec![unlisted(*blob)]),
            ReadError::Seal { blob, .. }
            | ReadError::Decode { blob, .. }
            | ReadError::Identity { blob, .. }
            | ReadError::Content { blob, .. } => *blob,
            _ => id,
        };
        let what = crate::explain::explain(error);
        let cause = |located: &Located| Cause {
            object: layout::pack(located.class, &located.pack),
            what: what.clone(),
            blob: Some(blob),
        };
        let mut located = self.reader.index().lookup(&blob)?;
        if let Some(pack) = error.pack() {
            located.retain(|located| located.pack == pack);
            if located.is_empty() {
                // A body: its id is not in the error, its pack is.
                let mut rows = self.reader.index().rows_of_pack(&pack)?;
                rows.truncate(1);
                return Ok((rows.iter())
                    .map(|row| Cause {
                        blob: None,
                        ..cause(row)
                    })
                    .collect());
            }
        }
        let causes: Causes = located.iter().map(cause).collect();
        match causes.is_empty() {
            true => Ok(vec![unlisted(blob)]),
            false => Ok(causes),
        }
    }

    /// A node that was read well and is wrong.
    fn nonsense(&self, id: BlobId, problem: &str) -> Cause {
        let source = FormatError::new("node", problem);
        let error = ReadError::Content { blob: id, source };
        let causes = self.blame(id, &error).unwrap_or_default();
        causes.into_iter().next().unwrap_or_else(|| unlisted(id))
    }

    fn chunk(&mut self, id: BlobId, length: u64) -> Result<Causes, CheckError> {
        if let Some(references) = &mut self.references {
            references.note(id, length)?;
            return Ok(Vec::new());
        }
        let located = self.reader.index().lookup(&id)?;
        let of_length = |l: &Located| u64::from(l.row.plain) == length;
        let wrong = located
            .iter()
            .find(|l| l.row.kind == BlobKind::Chunk && !of_length(l))
            .cloned();
        let causes = self.resolve_at(id, BlobKind::Chunk, limits::DELTA_DEPTH_MAX, located)?;
        if !causes.is_empty() {
            return Ok(causes);
        }
        Ok((wrong.iter())
            .map(|l| Cause {
                object: layout::pack(l.class, &l.pack),
                what: format!("a chunk has another length than {length} bytes"),
                blob: Some(id),
            })
            .collect())
    }

    /// Nothing, when a blob can be had by some way; otherwise all that stands in the ways.
    fn resolve(&mut self, id: BlobId, kind: BlobKind, depth: u32) -> Result<Causes, CheckError> {
        let located = self.reader.index().lookup(&id)?;
        self.resolve_at(id, kind, depth, located)
    }

    fn resolve_at(
        &mut self,
        id: BlobId,
        kind: BlobKind,
        depth: u32,
        mut located: Vec<Located>,
    ) -> Result<Causes, CheckError> {
        located.retain(|located| located.row.kind == kind);
        if located.is_empty() {
            return Ok(vec![unlisted(id)]);
        }
        let mut causes = Vec::new();
        for located in located {
            if let Some(what) = self.fault(&located) {
                causes.push(Cause {
                    object: layout::pack(located.class, &located.pack),
                    what,
                    blob: Some(id),
                });
                continue;
            }
            let beneath = match located.row.form {
                Form::Full => Vec::new(),
                Form::Delta { base, .. } => self.beneath(base, kind, depth, &located)?,
                Form::Member { group } => self.beneath(group, BlobKind::Group, depth, &located)?,
            };
            if beneath.is_empty() {
                self.needed.insert(located.pack);
                return Ok(Vec::new());
            }
            causes.extend(beneath);
        }
        Ok(causes)
    }

    fn beneath(
        &mut self,
        base: BlobId,
        kind: BlobKind,
        depth: u32,
        above: &Located,
    ) -> Result<Causes, CheckError> {
        match depth.checked_sub(1) {
            Some(depth) => self.resolve(base, kind, depth),
            None => Ok(vec![Cause {
                object: layout::pack(above.class, &above.pack),
                what: "its deltas are too deep".to_owned(),
                blob: Some(above.row.id),
            }]),
        }
    }

    /// Why this place does not give its blob, as far as is known.
    fn fault(&self, located: &Located) -> Option<String> {
        let Some(stored) = self.view.packs.get(&(located.class, located.pack)) else {
            return Some(MISSING.to_owned());
        };
        let length = u64::from(located.pack_length);
        if !reaches(&located.row, stored.size, length) {
            return Some(format!("has {} bytes instead of {length}", stored.size));
        }
        let bad = self.bad.contains(&located.pack, &located.row.id);
        bad.then(|| "is damaged".to_owned())
    }
}

fn unlisted(blob: BlobId) -> Cause {
    Cause {
        object: layout::SEGMENTS.to_owned(),
        what: "blobs that snapshots need are in no index segment that can be read".to_owned(),
        blob: Some(blob),
    }
}

/// Whether a failed read says something about the blob.
pub(super) fn read_error_is_damage(error: &ReadError) -> bool {
    match error {
        ReadError::Store(error) => error.blames_object(),
        error => error.is_damage(),
    }
}
