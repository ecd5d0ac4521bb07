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
use crate::repository::ReadError;
use crate::spill::{Cursor, Scratch, Sorter, SpillError};
use crate::store::{ObjectKey, StoreExt};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

/// Sealed bytes of the deltas that one worker reads at a time.
const BATCH_BYTES: usize = 4 << 20;

/// Most deltas of one batch, but for those of the last chunk in it.
const BATCH_DELTAS: usize = 4096;

/// Most deltas that are read together though they rest on one chunk.
const TREE_DELTAS: usize = 4 * BATCH_DELTAS;

/// Bytes between two deltas that are fetched along, rather than in another request.
const GAP_BYTES: usize = 4 << 10;

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
    let mut bytes = 0;
    while let Some(delta) = cursor.peek()?.as_ref().and_then(decode) {
        let full = bytes >= BATCH_BYTES || batch.len() >= BATCH_DELTAS;
        let same = batch.last().is_some_and(|last| last.root == delta.root);
        let huge = bytes >= 4 * BATCH_BYTES || batch.len() >= TREE_DELTAS;
        if full && !same || huge {
            break;
        }
        bytes += delta.row.stored as usize;
        batch.push(delta);
        cursor.take()?;
    }
    Ok(batch)
}

/// The sealed bytes of a batch: stretches of packs, and where in which each delta is.
struct Fetched {
    stretches: Vec<Vec<u8>>,
    places: Vec<Option<(usize, usize)>>,
}

impl Fetched {
    fn sealed(&self, number: usize, delta: &Delta) -> Option<&[u8]> {
        let (stretch, start) = (*self.places.get(number)?)?;
        let stretch = self.stretches.get(stretch)?;
        stretch.get(start..start + delta.row.stored as usize)
    }
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

    fn read_batch(&self, batch: &[Delta], packs: &[Mutex<Waiting>]) -> Result<(), CheckError> {
        let fetched = self.fetch_batch(batch, packs)?;
        let mut start = 0;
        for tree in batch.chunk_by(|a, b| a.root == b.root) {
            self.read_tree(tree, packs, &|number| {
                fetched.sealed(start + number, &tree[number])
            })?;
            start += tree.len();
        }
        Ok(())
    }

    /// Fetches a batch, neighbours together. What cannot be fetched is tried alone later.
    fn fetch_batch(
        &self,
        batch: &[Delta],
        packs: &[Mutex<Waiting>],
    ) -> Result<Fetched, CheckError> {
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|number| (batch[*number].pack, batch[*number].row.offset));
        let mut fetched = Fetched {
            stretches: Vec::new(),
            places: vec![None; batch.len()],
        };
        let end = |delta: &Delta| delta.row.offset as usize + delta.row.stored as usize;
        let near = |a: &usize, b: &usize| {
            let (a, b) = (&batch[*a], &batch[*b]);
            a.pack == b.pack && (b.row.offset as usize) <= end(a) + GAP_BYTES
        };
        for stretch in order.chunk_by(near) {
            let first = &batch[stretch[0]];
            let start = first.row.offset as usize;
            let last = stretch.iter().map(|number| end(&batch[*number])).max();
            let mut bytes = vec![0; last.unwrap_or(start) - start];
            let chosen = match packs.get(first.pack) {
                Some(waiting) => lock(waiting).chosen,
                None => continue,
            };
            let read = self
                .reader
                .fetch(chosen.pack, chosen.class, start as u64, &mut bytes);
            match read {
                Ok(()) => {}
                Err(error) if read_error_is_damage(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            for number in stretch {
                let place = batch[*number].row.offset as usize - start;
                fetched.places[*number] = Some((fetched.stretches.len(), place));
            }
            fetched.stretches.push(bytes);
        }
        Ok(fetched)
    }

    /// Reads the deltas that rest on one chunk, every base before what rests on it.
    fn read_tree<'f>(
        &self,
        tree: &[Delta],
        packs: &[Mutex<Waiting>],
        sealed: &dyn Fn(usize) -> Option<&'f [u8]>,
    ) -> Result<(), CheckError> {
        let mut resting: BTreeMap<BlobId, Vec<usize>> = BTreeMap::new();
        for (number, delta) in tree.iter().enumerate() {
            resting.entry(delta.base).or_default().push(number);
        }
        let own: HashSet<BlobId> = tree.iter().map(|delta| delta.row.id).collect();
        let bases: Vec<BlobId> = resting.keys().copied().collect();
        for base in bases.into_iter().filter(|base| !own.contains(base)) {
            let plain = match self.reader.read(base, BlobKind::Chunk) {
                Ok(plain) => Some(Rc::new(plain)),
                Err(error) if read_error_is_damage(&error) => None,
                Err(error) => return Err(error.into()),
            };
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
                let plain = self.read_delta(&tree[number], sealed(number), base, packs)?;
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
        sealed: Option<&[u8]>,
        base: Option<&[u8]>,
        packs: &[Mutex<Waiting>],
    ) -> Result<Option<Vec<u8>>, CheckError> {
        let Some(waiting) = packs.get(delta.pack) else {
            return Ok(None);
        };
        let chosen = lock(waiting).chosen;
        let located = located(&chosen, &delta.row);
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
