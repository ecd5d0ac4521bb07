//! Reading deltas in the order of what they rest on, so that each blob is decoded once.
//!
//! Deltas that were put off are sorted by the place of the full chunk at the end of their chains,
//! whatever packs they are in. That chunk is read, then what rests on it, then what rests on that,
//! with no more in memory than one chain. What does not go this way (a base that was not to be
//! read, or is damaged) is read as a restore would read it.

use crate::check::CheckError;
use crate::check::data::{PackReader, PackState, Verdict, located};
use crate::check::select::Chosen;
use crate::check::walk::read_error_is_damage;
use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
use crate::format::layout;
use crate::id::{BlobId, ObjectId};
use crate::monitor::Unit;
use crate::repository::index::Located;
use crate::repository::{ReadError, Stretches};
use crate::spill::{Cursor, Scratch, Sorter, SpillError};
use crate::store::{ObjectKey, StoreExt};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

/// Sealed bytes of the deltas that one worker reads at a time.
const BATCH_BYTES: usize = 4 << 20;

/// Most deltas of one batch, but for those of the last chunk in it.
const BATCH_DELTAS: usize = 4096;

/// Chunks whose deltas are read together: some megabytes, and enough batches for all workers.
const BATCH_CHUNKS: usize = 64;

/// Most deltas that are read together though they rest on one chunk.
const TREE_DELTAS: usize = 4 * BATCH_DELTAS;

/// Where a chain ends: pack 8 (its first bytes), offset 4, blob 32.
const ROOT: usize = 44;

/// Root, pack 4, number 4, blob 32, base 32, offset 4, stored 4, plain 4, key 2, codec 1,
/// generation 2.
const DELTA: usize = ROOT + 89;

/// Deltas whose turn comes later.
#[derive(Debug)]
pub(super) struct Deltas {
    sorter: Sorter<DELTA>,
    count: u64,
    packs: Vec<Waiting>,
}

/// A pack whose deltas were not all read yet.
#[derive(Debug)]
struct Waiting {
    chosen: Chosen,
    verdict: Verdict,
    rows: ObjectId,
    left: usize,
    vanished: bool,
}

/// A delta whose turn it is.
struct Delta {
    root: [u8; ROOT],
    pack: usize,
    row: BlobRow,
    base: BlobId,
}

impl Deltas {
    pub(super) fn new(scratch: &Scratch) -> Self {
        Self {
            sorter: Sorter::new(scratch),
            count: 0,
            packs: Vec::new(),
        }
    }
}

fn encode(root: &[u8; ROOT], pack: u32, number: u32, row: &BlobRow, base: BlobId) -> [u8; DELTA] {
    let mut record = [0; DELTA];
    let parts: [&[u8]; 11] = [
        root,
        &pack.to_be_bytes(),
        &number.to_be_bytes(),
        row.id.as_bytes(),
        base.as_bytes(),
        &row.offset.to_be_bytes(),
        &row.stored.to_be_bytes(),
        &row.plain.to_be_bytes(),
        &row.key.to_be_bytes(),
        &[row.codec as u8],
        &row.form.generation().to_be_bytes(),
    ];
    let mut rest = record.as_mut_slice();
    for part in parts {
        let (place, behind) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    record
}

/// None: not what [`encode`] made.
fn decode(record: &[u8; DELTA]) -> Option<Delta> {
    let number = |at: usize| Some(u32::from_be_bytes(*record.get(at..)?.first_chunk()?));
    let small = |at: usize| Some(u16::from_be_bytes(*record.get(at..)?.first_chunk()?));
    let id = |at: usize| Some(BlobId(*record.get(at..)?.first_chunk()?));
    let at = ROOT + 8;
    let base = id(at + 32)?;
    Some(Delta {
        root: *record.first_chunk()?,
        pack: number(ROOT)? as usize,
        base,
        row: BlobRow {
            id: id(at)?,
            kind: BlobKind::Chunk,
            offset: number(at + 64)?,
            stored: number(at + 68)?,
            plain: number(at + 72)?,
            key: small(at + 76)?,
            codec: Codec::from_number(record[at + 78])?,
            form: Form::Delta {
                base,
                generation: small(at + 79)?,
            },
        },
    })
}

/// Takes deltas for one batch, all of one chunk together.
fn next_batch(cursor: &mut Cursor<'_, DELTA>) -> Result<Vec<Delta>, SpillError> {
    let mut batch: Vec<Delta> = Vec::new();
    let (mut bytes, mut chunks) = (0, 0);
    while let Some(delta) = cursor.peek()?.as_ref().and_then(decode) {
        let same = batch.last().is_some_and(|last| last.root == delta.root);
        let full = bytes >= BATCH_BYTES || batch.len() >= BATCH_DELTAS || chunks >= BATCH_CHUNKS;
        let huge = bytes >= 4 * BATCH_BYTES || batch.len() >= TREE_DELTAS;
        if full && !same || huge {
            break;
        }
        chunks += usize::from(!same);
        bytes += delta.row.stored as usize;
        batch.push(delta);
        cursor.take()?;
    }
    Ok(batch)
}

impl PackReader<'_> {
    /// Notes the deltas of a pack that was read and is otherwise judged.
    pub(super) fn put_off(
        &self,
        chosen: Chosen,
        verdict: Verdict,
        rows: ObjectId,
        deltas: &[BlobRow],
    ) -> Result<(), CheckError> {
        let mut found = Vec::with_capacity(deltas.len());
        for row in deltas {
            let base = row.form.base().unwrap_or_default();
            found.push((self.root_of(base)?, row, base));
        }
        let mut waiting = self.deltas.lock().unwrap_or_else(PoisonError::into_inner);
        let pack = waiting.packs.len() as u32;
        waiting.count += found.len() as u64;
        waiting.packs.push(Waiting {
            chosen,
            verdict,
            rows,
            left: found.len(),
            vanished: false,
        });
        for (number, (root, row, base)) in found.into_iter().enumerate() {
            let record = encode(&root, pack, number as u32, row, base);
            waiting.sorter.push(record)?;
        }
        Ok(())
    }

    /// Where the chain below a base ends; the base itself where that is not known.
    fn root_of(&self, base: BlobId) -> Result<[u8; ROOT], CheckError> {
        let chain = self.index.chain(&base, &|_| true)?.unwrap_or_default();
        let mut chunks = chain.iter().filter(|l| l.row.kind == BlobKind::Chunk);
        let id = chunks.next_back().map_or(base, |located| located.row.id);
        let mut root = [0; ROOT];
        if let Some(end) = chain.last() {
            root[..8].copy_from_slice(&end.pack.as_bytes()[..8]);
            root[8..12].copy_from_slice(&end.row.offset.to_be_bytes());
        }
        root[12..].copy_from_slice(id.as_bytes());
        Ok(root)
    }

    /// Reads what was put off. Packs that are not finished when it is stopped are not judged.
    pub(super) fn read_deltas(&self, workers: usize) {
        let (sorter, count, packs) = {
            let mut deltas = self.deltas.lock().unwrap_or_else(PoisonError::into_inner);
            let empty = Deltas::new(&Scratch::default());
            let Deltas {
                sorter,
                count,
                packs,
            } = std::mem::replace(&mut *deltas, empty);
            (sorter, count, packs)
        };
        if count == 0 || self.is_stopped() {
            return;
        }
        self.monitor.phase("deltas", Unit::Items, Some(count));
        let sorted = match sorter.finish() {
            Ok(sorted) => sorted,
            Err(error) => return self.fail(error.into()),
        };
        let cursor = Mutex::new(sorted.cursor());
        let packs: Vec<Mutex<Waiting>> = packs.into_iter().map(Mutex::new).collect();
        self.in_parallel(workers, &|| {
            while !self.is_stopped() {
                let batch = {
                    let mut cursor = cursor.lock().unwrap_or_else(PoisonError::into_inner);
                    next_batch(&mut cursor)?
                };
                if batch.is_empty() {
                    break;
                }
                self.read_batch(&batch, &packs)?;
                self.monitor.advance(batch.len() as u64);
            }
            Ok(())
        });
    }

    /// Fetches a batch and the chunks it rests on, neighbours together, and reads it.
    fn read_batch(&self, batch: &[Delta], packs: &[Mutex<Waiting>]) -> Result<(), CheckError> {
        let trees: Vec<&[Delta]> = batch.chunk_by(|a, b| a.root == b.root).collect();
        let mut roots = Vec::with_capacity(trees.len());
        for tree in &trees {
            roots.push(self.root(tree)?);
        }
        let deltas: Vec<Option<Located>> = batch
            .iter()
            .map(|delta| Some(located(&lock(packs.get(delta.pack)?).chosen, &delta.row)))
            .collect();
        let wanted = roots.iter().chain(&deltas).flatten();
        let sealed = self.reader.fetch_together(wanted.collect())?;
        for (tree, root) in trees.into_iter().zip(&roots) {
            self.read_tree(tree, root.as_ref(), packs, &sealed)?;
        }
        Ok(())
    }

    /// The full chunk that deltas rest on, where it is known.
    fn root(&self, tree: &[Delta]) -> Result<Option<Located>, CheckError> {
        let Some(Delta { root, .. }) = tree.first() else {
            return Ok(None);
        };
        let Some(id) = root.last_chunk().copied().map(BlobId) else {
            return Ok(None);
        };
        let is_it = |located: &Located| {
            located.row.form == Form::Full
                && located.row.kind == BlobKind::Chunk
                && located.pack.as_bytes()[..8] == root[..8]
                && located.row.offset.to_be_bytes() == root[8..12]
        };
        Ok(self.index.lookup(&id)?.into_iter().find(is_it))
    }

    /// What deltas rest on. A chunk of a pack that was read needs no second proof; none: it is
    /// damaged.
    fn base(
        &self,
        id: BlobId,
        root: Option<&Located>,
        sealed: &Stretches,
    ) -> Result<Option<Rc<Vec<u8>>>, CheckError> {
        if let Some(root) = root.filter(|root| root.row.id == id)
            && let Some(sealed) = sealed.sealed(root)
            && let Ok(plain) = self
                .reader
                .open_unverified(root, &mut sealed.to_vec(), None)
        {
            return Ok(Some(Rc::new(plain)));
        }
        match self.reader.read(id, BlobKind::Chunk) {
            Ok(plain) => Ok(Some(Rc::new(plain))),
            Err(error) if read_error_is_damage(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the deltas that rest on one chunk, every base before what rests on it.
    fn read_tree(
        &self,
        tree: &[Delta],
        root: Option<&Located>,
        packs: &[Mutex<Waiting>],
        sealed: &Stretches,
    ) -> Result<(), CheckError> {
        let mut resting: BTreeMap<BlobId, Vec<usize>> = BTreeMap::new();
        for (number, delta) in tree.iter().enumerate() {
            resting.entry(delta.base).or_default().push(number);
        }
        let own: HashSet<BlobId> = tree.iter().map(|delta| delta.row.id).collect();
        let bases: Vec<BlobId> = resting.keys().copied().collect();
        for base in bases.into_iter().filter(|base| !own.contains(base)) {
            let plain = self.base(base, root, sealed)?;
            let mut stack: Vec<(usize, Option<Rc<Vec<u8>>>)> = Vec::new();
            let mut next = Some((base, plain));
            loop {
                if let Some((id, plain)) = next.take() {
                    let above = resting.remove(&id).unwrap_or_default();
                    stack.extend(above.into_iter().map(|number| (number, plain.clone())));
                }
                let Some((number, base)) = stack.pop() else {
                    break;
                };
                let base = base.as_ref().map(|base| base.as_slice());
                let plain = self.read_delta(&tree[number], Some(sealed), base, packs)?;
                next = Some((tree[number].row.id, plain.map(Rc::new)));
            }
        }
        // Those that rest on each other.
        for number in resting.into_values().flatten() {
            self.read_delta(&tree[number], None, None, packs)?;
        }
        Ok(())
    }

    /// Reads one delta, from what is in memory already if that is good, and notes how it went.
    fn read_delta(
        &self,
        delta: &Delta,
        sealed: Option<&Stretches>,
        base: Option<&[u8]>,
        packs: &[Mutex<Waiting>],
    ) -> Result<Option<Vec<u8>>, CheckError> {
        let Some(waiting) = packs.get(delta.pack) else {
            return Ok(None);
        };
        let chosen = lock(waiting).chosen;
        let located = located(&chosen, &delta.row);
        let sealed = sealed.and_then(|sealed| sealed.sealed(&located));
        let quick = match (sealed, base) {
            (Some(sealed), Some(base)) => {
                let mut sealed = sealed.to_vec();
                self.reader.open_over(&located, &mut sealed, base).ok()
            }
            _ => None,
        };
        let (plain, read) = match quick.map_or_else(|| self.reader.read_at(&located), Ok) {
            Ok(plain) => (Some(plain), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let vanished = match &read {
            Err(ReadError::Pack { pack, .. }) if *pack == chosen.pack => !self.is_there(&chosen)?,
            _ => false,
        };
        let mut waiting = lock(waiting);
        waiting.vanished |= vanished;
        waiting.verdict.note(&located, read)?;
        waiting.left -= 1;
        if waiting.left == 0 {
            let verdict = std::mem::take(&mut waiting.verdict);
            let state = match waiting.vanished {
                true => PackState::Vanished,
                false => verdict.state(waiting.rows),
            };
            self.note(&chosen, state);
        }
        Ok(plain)
    }

    fn is_there(&self, chosen: &Chosen) -> Result<bool, CheckError> {
        match ObjectKey::new(layout::pack(chosen.class, &chosen.pack)) {
            Ok(key) => Ok(self.repository.store().exists(&key)?),
            Err(_) => Ok(false),
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> std::sync::MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
