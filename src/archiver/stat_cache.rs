//! Remembering what unchanged files consist of, so that they need not be read again.
//!
//! Kept in the local cache under keyed hashes of source, directory and name: no name is written
//! there, and what one directory holds lies together. Only files that were captured as plain,
//! consistent files are remembered: never a database, because its main file may stay as it is while
//! its log grows.
//!
//! An entry also names the packs that carry the content. Packs never change, so that to know these
//! few usable replaces looking up every chunk.

use crate::archiver::remembered::{Remembered, decode, encode};
use crate::crypto::Role;
use crate::entry::ChangeStamp;
use crate::format::blob::BlobKind;
use crate::format::node::{Child, Links};
use crate::id::{BlobId, PackId};
use crate::limits;
use crate::repository::index::Cache;
use crate::repository::{Carriers, WriteError, WriteSession};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

/// Entries written to the cache at once.
const BATCH: usize = 1024;

/// Most entries that wait for their packs to be listed, some 20 MB of them.
const WAITING_MAX: usize = 1 << 16;

/// Most entries of directories that are held in memory, some 15 MB of them. Of larger directories
/// each entry is read by itself.
const LOADED_MAX: usize = 1 << 16;

/// Most packs that an entry names. Content that is spread wider is looked up chunk by chunk.
pub(super) const CARRIERS_MAX: usize = 8;

/// Bytes of the hash of a directory in a key, and of a name.
const HALF: usize = 16;

type Half = [u8; HALF];

/// The entries of one directory.
struct Loaded {
    /// Its path, with a slash behind it.
    path: Vec<u8>,
    hash: Half,
    /// By the hash of the name; `None` where there are too many.
    entries: Option<HashMap<Half, Vec<u8>>>,
}

/// An entry whose packs are not known yet.
#[derive(Debug)]
struct Waiting {
    key: Vec<u8>,
    stamp: ChangeStamp,
    child: Child,
    awaited: Option<BlobId>,
}

/// The stat cache of one capture.
pub(super) struct StatCache<'s, 'a> {
    session: &'s WriteSession<'a>,
    source: Vec<u8>,
    /// From the root to the directory asked about last, as far as they were asked about.
    loaded: Vec<Loaded>,
    waiting: Unplaced,
    /// So many wait when those are looked at again.
    next_look: usize,
    ready: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'s, 'a> StatCache<'s, 'a> {
    pub(super) fn new(session: &'s WriteSession<'a>, source: &str) -> Self {
        Self {
            session,
            source: [source.as_bytes(), b"\0"].concat(),
            loaded: Vec::new(),
            waiting: Unplaced::default(),
            next_look: BATCH,
            ready: Vec::new(),
        }
    }

    fn hash(&self, parts: [&[u8]; 2]) -> Half {
        let name = [&self.source, parts[0], parts[1]].concat();
        let hash = self.session.domain().ids.blob_id(Role::Cache, &name).0;
        let mut half = [0; HALF];
        half.copy_from_slice(&hash[..HALF]);
        half
    }

    /// The content of a file with this stamp, if all of it is usable in this session.
    pub(super) fn get(
        &mut self,
        path: &[u8],
        stamp: &ChangeStamp,
    ) -> Result<Option<Child>, WriteError> {
        let (directory, name) = split(path);
        let name = self.hash([b"name\0", name]);
        let index = self.session.reader().index();
        let loaded = self.enter(directory);
        let key = [loaded.hash, name].concat();
        let value = match &loaded.entries {
            Some(entries) => entries.get(&name).cloned(),
            None => index.cache_get(Cache::Stat, &key),
        };
        let Some(Ok(remembered)) = value.map(|value| decode(&value)) else {
            return Ok(None);
        };
        if remembered.stamp != *stamp {
            return Ok(None);
        }
        self.usable(key, remembered)
    }

    /// Decides by the packs, and chunk by chunk where they are not known or no longer there: those
    /// that carry it now are then remembered.
    fn usable(&mut self, key: Vec<u8>, entry: Remembered) -> Result<Option<Child>, WriteError> {
        let is_bare = matches!(entry.child, Child::Nothing | Child::Hole { .. });
        let by_packs = is_bare || !entry.carriers.is_empty();
        if by_packs && self.session.rely_on_packs(&entry.carriers)? {
            return Ok(Some(entry.child));
        }
        let mut carriers = Some(BTreeSet::new());
        if !rely_on(self.session, entry.child, 0, &mut carriers)? {
            return Ok(None);
        }
        if let Some(carriers) = carriers {
            let carriers: Vec<PackId> = carriers.into_iter().collect();
            let value = encode(&entry.stamp, entry.child, &carriers);
            self.write(key, value);
        }
        Ok(Some(entry.child))
    }

    /// Remembers a file's content.
    pub(super) fn put(&mut self, path: &[u8], stamp: &ChangeStamp, child: Child) {
        let (directory, name) = split(path);
        let name = self.hash([b"name\0", name]);
        let key = [self.hash([b"directory\0", directory]), name].concat();
        let awaited = match child {
            Child::Chunk { id, .. } => self.session.await_pack(id).then_some(id),
            _ => None,
        };
        self.waiting.0.push(Waiting {
            key,
            stamp: *stamp,
            child,
            awaited,
        });
        if self.waiting.0.len() >= self.next_look {
            self.look();
        }
    }

    /// Writes what no longer waits, and all of it where too much does.
    fn look(&mut self) {
        let all = self.waiting.0.len() >= WAITING_MAX;
        let session = self.session;
        let is_ready = |waiting: &mut Waiting| {
            let awaited = waiting.awaited.as_ref();
            all || awaited.is_none_or(|id| session.settled(id).is_some())
        };
        let ready = Unplaced(self.waiting.0.extract_if(.., is_ready).collect());
        ready.write(session);
        self.next_look = BATCH.max(2 * self.waiting.0.len()).min(WAITING_MAX);
    }

    fn write(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.ready.push((key, value));
        if self.ready.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        let index = self.session.reader().index();
        index.cache_put(Cache::Stat, &ready);
    }

    /// Ends the capture: what remains is to be written when all packs are listed.
    pub(super) fn finish(mut self) -> Unplaced {
        self.flush();
        self.waiting
    }

    /// The directory's entries; those of the directories above stay, since the walk comes back.
    fn enter(&mut self, directory: &[u8]) -> &Loaded {
        let path = [directory, b"/"].concat();
        while (self.loaded.last()).is_some_and(|last| !path.starts_with(&last.path)) {
            self.loaded.pop();
        }
        if self.loaded.last().is_none_or(|last| last.path != path) {
            let loaded = self.load(path, directory);
            self.loaded.push(loaded);
        }
        &self.loaded[self.loaded.len() - 1]
    }

    fn load(&self, path: Vec<u8>, directory: &[u8]) -> Loaded {
        let hash = self.hash([b"directory\0", directory]);
        let held: usize = self.loaded.iter().map(Loaded::len).sum();
        let mut entries = HashMap::new();
        let mut is_whole = true;
        let index = self.session.reader().index();
        index.cache_visit(Cache::Stat, &hash, &mut |key, value| {
            if held + entries.len() >= LOADED_MAX {
                is_whole = false;
                return ControlFlow::Break(());
            }
            if let Some(name) = key.get(HALF..).and_then(|name| name.try_into().ok()) {
                entries.entry(name).or_insert_with(|| value.to_vec());
            }
            ControlFlow::Continue(())
        });
        Loaded {
            path,
            hash,
            entries: is_whole.then_some(entries),
        }
    }
}

impl Loaded {
    fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, HashMap::len)
    }
}

/// A path's directory, empty at the root, and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Entries of files that were read in a session, not written yet.
#[derive(Debug, Default)]
pub(super) struct Unplaced(Vec<Waiting>);

impl Unplaced {
    /// Writes all of them, with the packs that are known by now. Before the session's segments list
    /// them, entries might name blobs that are never stored; the next run finds those unusable.
    pub(super) fn write(self, session: &WriteSession<'_>) {
        for batch in self.0.chunks(BATCH) {
            let entry = |waiting: &Waiting| {
                let settled = waiting.awaited.and_then(|id| session.settled(&id));
                let carriers: Vec<PackId> = settled.into_iter().collect();
                let value = encode(&waiting.stamp, waiting.child, &carriers);
                (waiting.key.clone(), value)
            };
            let entries: Vec<_> = batch.iter().map(entry).collect();
            session.reader().index().cache_put(Cache::Stat, &entries);
        }
        session.cease_to_await(self.0.iter().filter_map(|waiting| waiting.awaited));
    }
}

/// Whether everything below `child` is usable, children of hit nodes included. Adds the packs that
/// carry it to `carriers`, which becomes `None` where they cannot be told or are too many.
fn rely_on(
    session: &WriteSession<'_>,
    child: Child,
    depth: usize,
    carriers: &mut Option<BTreeSet<PackId>>,
) -> Result<bool, WriteError> {
    match child {
        Child::Nothing | Child::Hole { .. } => Ok(true),
        Child::Chunk { id, .. } => is_usable(session, id, BlobKind::Chunk, carriers),
        Child::Links { id, .. } => {
            if depth > limits::NODE_HEIGHT_MAX
                || !is_usable(session, id, BlobKind::NodeLinks, carriers)?
            {
                return Ok(false);
            }
            let plain = match session.reader().read(id, BlobKind::NodeLinks) {
                Ok(plain) => plain,
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let Ok(links) = Links::decode(&plain) else {
                return Ok(false);
            };
            for child in links.children {
                if !rely_on(session, child, depth + 1, carriers)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn is_usable(
    session: &WriteSession<'_>,
    id: BlobId,
    kind: BlobKind,
    carriers: &mut Option<BTreeSet<PackId>>,
) -> Result<bool, WriteError> {
    match session.carriers(id, kind)? {
        None => return Ok(false),
        Some(Carriers::Unsettled) => *carriers = None,
        Some(Carriers::Own(packs)) => {
            if let Some(known) = carriers {
                known.extend(packs);
            }
        }
    }
    if carriers
        .as_ref()
        .is_some_and(|known| known.len() > CARRIERS_MAX)
    {
        *carriers = None;
    }
    Ok(true)
}
