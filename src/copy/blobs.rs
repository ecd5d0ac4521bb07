//! Moving blobs: read and verified at the source, known or stored at the target.
//!
//! Nothing is claimed at the target before it was read whole: what a damaged snapshot needs must not
//! look stored to the next one.

use crate::codec::Effort;
use crate::copy::{CopyError, CopyOptions};
use crate::entry::Layout;
use crate::format::blob::{BlobKind, Codec, Form};
use crate::id::BlobId;
use crate::monitor::Cancel;
use crate::repository::index::Located;
use crate::repository::{Known, PreparedBlob, ReadError, Reader, Sealer, WriteSession};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ids of a stranger's blobs that are remembered, 100 MB or so. What is beyond is read again.
const RENAMES_MAX: usize = 1 << 20;

/// Fewer chunks than this are not worth another thread.
const CHUNKS_PER_WORKER: usize = 4;

/// What a stranger's blobs are called at the target.
pub(super) type Renames = Mutex<HashMap<BlobId, BlobId>>;

/// What was moved so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) chunks: AtomicU64,
    pub(super) deltas: AtomicU64,
}

/// Moves blobs into one session of the target.
pub(super) struct Transfer<'s, 'a> {
    reader: &'s Reader<'a>,
    session: &'s WriteSession<'a>,
    cancel: &'s Cancel,
    /// `None` between siblings: ids stay.
    renames: Option<&'s Renames>,
    sealers: Vec<Mutex<Sealer<'s, 'a>>>,
    /// Members of one group are asked for together; it is moved once.
    groups: Mutex<()>,
    counts: &'s Counts,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'s, 'a> Transfer<'s, 'a> {
    pub(super) fn new(
        reader: &'s Reader<'a>,
        session: &'s WriteSession<'a>,
        renames: Option<&'s Renames>,
        options: CopyOptions,
        counts: &'s Counts,
        cancel: &'s Cancel,
    ) -> Self {
        let sealer = |effort: Effort| Mutex::new(Sealer::new(session, effort));
        let workers = 0..options.workers.max(1);
        Self {
            reader,
            session,
            cancel,
            renames,
            sealers: workers.map(|_| sealer(options.effort)).collect(),
            groups: Mutex::default(),
            counts,
        }
    }

    pub(super) fn reader(&self) -> &Reader<'a> {
        self.reader
    }

    pub(super) fn is_renaming(&self) -> bool {
        self.renames.is_some()
    }

    /// What a blob is called at the target, where it is usable there or on its way.
    pub(super) fn known(&self, id: BlobId, kind: BlobKind) -> Result<Option<BlobId>, CopyError> {
        let there = match self.renames {
            None => id,
            Some(renames) => match lock(renames).get(&id) {
                Some(there) => *there,
                None => return Ok(None),
            },
        };
        Ok(self.session.is_known(there, kind)?.then_some(there))
    }

    fn remember(&self, id: BlobId, there: BlobId) {
        if let Some(renames) = self.renames {
            let mut renames = lock(renames);
            if renames.len() < RENAMES_MAX {
                renames.insert(id, there);
            }
        }
    }

    /// Stores metadata whose plaintext was read; `id` is its name at the source.
    pub(super) fn put_node(
        &self,
        id: BlobId,
        kind: BlobKind,
        plain: &[u8],
    ) -> Result<BlobId, CopyError> {
        let mut sealer = lock(&self.sealers[0]);
        let there = sealer.id(kind, plain);
        self.put_full(&mut sealer, there, kind, plain)?;
        self.remember(id, there);
        Ok(there)
    }

    /// Moves chunks, several at once; gives their names at the target, in order.
    pub(super) fn chunks(&self, ids: &[BlobId]) -> Result<Vec<BlobId>, CopyError> {
        let mut names = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for (position, id) in ids.iter().enumerate() {
            let there = self.known(*id, BlobKind::Chunk)?;
            if there.is_none() {
                missing.push(position);
            }
            names.push(there.unwrap_or_default());
        }
        let workers = missing.len().div_ceil(CHUNKS_PER_WORKER);
        let moved = self.in_parallel(workers, &missing, &|worker, position| {
            self.cancel.check()?;
            self.chunk(&mut lock(&self.sealers[worker]), ids[position])
        })?;
        for (position, there) in moved {
            names[position] = there;
        }
        Ok(names)
    }

    /// Works through `jobs` with several threads; the first error stops all.
    fn in_parallel(
        &self,
        workers: usize,
        jobs: &[usize],
        work: &(dyn Fn(usize, usize) -> Result<BlobId, CopyError> + Sync),
    ) -> Result<Vec<(usize, BlobId)>, CopyError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let whole = |worker: usize| {
            let mut done = Vec::new();
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                match work(worker, *job) {
                    Ok(there) => done.push((*job, there)),
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
            Ok(done)
        };
        let workers = workers.min(self.sealers.len());
        if workers <= 1 {
            return whole(0);
        }
        let whole = &whole;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|worker| scope.spawn(move || whole(worker)))
                .collect();
            // All are waited for, whatever becomes of one.
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            let mut all = Vec::with_capacity(jobs.len());
            for end in ends {
                all.extend(end.map_err(|_| CopyError::Worker)??);
            }
            Ok(all)
        })
    }

    fn chunk(&self, sealer: &mut Sealer<'s, 'a>, id: BlobId) -> Result<BlobId, CopyError> {
        let chain = self.reader.index().chain(&id, &|_| true)?;
        let moved = match chain {
            // What cannot be resolved is looked for again, and then it is damage.
            None => Err(CopyError::Read(ReadError::Missing(id))),
            Some(chain) if self.is_renaming() => self.rename(sealer, &chain),
            Some(chain) => self.adopt(sealer, &chain),
        };
        match moved {
            // Another place may be whole, or a prune has moved it.
            Err(CopyError::Read(error)) if error.is_damage() => {
                let plain = self.reader.read(id, BlobKind::Chunk)?;
                self.put_chunk(sealer, id, &plain)
            }
            moved => moved,
        }
    }

    /// Stores a chunk in full.
    fn put_chunk(
        &self,
        sealer: &mut Sealer<'s, 'a>,
        id: BlobId,
        plain: &[u8],
    ) -> Result<BlobId, CopyError> {
        let there = sealer.id(BlobKind::Chunk, plain);
        self.put_full(sealer, there, BlobKind::Chunk, plain)?;
        self.remember(id, there);
        Ok(there)
    }

    fn put_full(
        &self,
        sealer: &mut Sealer<'s, 'a>,
        there: BlobId,
        kind: BlobKind,
        plain: &[u8],
    ) -> Result<(), CopyError> {
        if self.session.claim(there, kind)? == Known::No {
            let prepared = sealer.prepare(there, kind, plain)?;
            self.add(prepared)?;
        }
        Ok(())
    }

    fn add(&self, prepared: PreparedBlob) -> Result<(), CopyError> {
        let chunks = std::iter::once(&prepared.row).chain(&prepared.members);
        for row in chunks.filter(|row| row.kind == BlobKind::Chunk) {
            self.counts.chunks.fetch_add(1, Ordering::Relaxed);
            let is_delta = matches!(row.form, Form::Delta { .. });
            let delta = u64::from(is_delta);
            self.counts.deltas.fetch_add(delta, Ordering::Relaxed);
        }
        Ok(self.session.add(prepared)?)
    }

    /// Between siblings: moves what the first blob of a chain rests on, then itself, as encoded.
    fn adopt(&self, sealer: &mut Sealer<'s, 'a>, chain: &[Located]) -> Result<BlobId, CopyError> {
        let mut below: Option<(BlobId, Vec<u8>)> = None;
        let mut depth = 0;
        for (position, located) in chain.iter().enumerate().rev() {
            let row = &located.row;
            let plain = match row.form {
                // A group goes with the member above it.
                _ if row.kind == BlobKind::Group => continue,
                Form::Member { .. } => self.member(sealer, located, chain.get(position + 1))?,
                Form::Full | Form::Delta { .. } => {
                    let (base, base_plain) = below.take().unzip();
                    let encoded = self.reader.read_encoded(located, base_plain)?;
                    if self.session.claim(row.id, row.kind)? == Known::No {
                        let as_it_is = match base {
                            Some(base) => self.can_rest_on(base, depth)?,
                            None => true,
                        };
                        let prepared = match as_it_is {
                            true => sealer.adopt(row, &encoded.bytes, &[])?,
                            false => sealer.prepare(row.id, row.kind, &encoded.plain)?,
                        };
                        self.add(prepared)?;
                    }
                    depth += u32::from(base.is_some());
                    encoded.plain
                }
            };
            below = Some((row.id, plain));
        }
        let top = chain.first().map(|located| located.row.id);
        top.ok_or(CopyError::Read(ReadError::Missing(BlobId::default())))
    }

    /// Whether a delta may rest on `base`: at the target it rests on no more deltas than the `depth`
    /// that it has at the source, so that none there gets deeper than here.
    fn can_rest_on(&self, base: BlobId, depth: u32) -> Result<bool, CopyError> {
        let there = self.session.depth(base)?;
        Ok(there.is_none_or(|there| there <= depth))
    }

    /// Moves the group of a member, with all that the index lists in it; gives the member's plaintext.
    fn member(
        &self,
        sealer: &mut Sealer<'s, 'a>,
        member: &Located,
        group: Option<&Located>,
    ) -> Result<Vec<u8>, CopyError> {
        let _one_at_a_time = lock(&self.groups);
        let plain = self.reader.read_at(member)?;
        let Some(group) = group else {
            return Err(CopyError::Read(ReadError::Missing(member.row.id)));
        };
        if self.session.is_known(member.row.id, BlobKind::Chunk)? {
            return Ok(plain);
        }
        let encoded = self.reader.read_encoded(group, None)?;
        let mut whole = Vec::new();
        for other in self.reader.members_of(group)? {
            // One that is not what it says stays behind.
            if self.reader.member(&other, &encoded.plain).is_ok() {
                whole.push(other.row);
            }
        }
        if self.session.claim(group.row.id, BlobKind::Group)? == Known::Yes {
            // The group is there, and nothing lists this member in it.
            self.put_full(sealer, member.row.id, BlobKind::Chunk, &plain)?;
            return Ok(plain);
        }
        let mut members = Vec::new();
        for row in whole {
            if self.session.claim(row.id, BlobKind::Chunk)? == Known::No {
                members.push(row);
            }
        }
        self.add(sealer.adopt(&group.row, &encoded.bytes, &members)?)?;
        Ok(plain)
    }

    /// For a stranger: decodes a chunk and stores it under its name there, as a delta of its base's
    /// copy where that pays.
    fn rename(&self, sealer: &mut Sealer<'s, 'a>, chain: &[Located]) -> Result<BlobId, CopyError> {
        let Some(top) = chain.first() else {
            return Err(CopyError::Read(ReadError::Missing(BlobId::default())));
        };
        if let (Form::Member { .. }, Some(group)) = (top.row.form, chain.get(1)) {
            return self.rename_group(sealer, top, group);
        }
        let plain = self.reader.read_chain(chain)?;
        let there = sealer.id(BlobKind::Chunk, &plain);
        if self.session.claim(there, BlobKind::Chunk)? == Known::No {
            let delta = match self.before(top) {
                Some((before, layout)) => sealer.prepare_delta(there, &plain, before, layout)?,
                None => None,
            };
            let prepared = match delta {
                Some(delta) => delta,
                None => sealer.prepare(there, BlobKind::Chunk, &plain)?,
            };
            self.add(prepared)?;
        }
        self.remember(top.row.id, there);
        Ok(there)
    }

    /// The copy of what a delta rests on, and how the two are compared.
    fn before(&self, delta: &Located) -> Option<(BlobId, Layout)> {
        let Form::Delta { base, .. } = delta.row.form else {
            return None;
        };
        let before = self
            .renames
            .and_then(|renames| lock(renames).get(&base).copied())?;
        let layout = match delta.row.codec {
            Codec::ZstdUnits => Layout::Pages,
            _ => Layout::Stream,
        };
        Some((before, layout))
    }

    fn rename_group(
        &self,
        sealer: &mut Sealer<'s, 'a>,
        member: &Located,
        group: &Located,
    ) -> Result<BlobId, CopyError> {
        let _one_at_a_time = lock(&self.groups);
        if let Some(there) = self.known(member.row.id, BlobKind::Chunk)? {
            return Ok(there);
        }
        let encoded = self.reader.read_encoded(group, None)?;
        let mut named = Vec::new();
        for other in self.reader.members_of(group)? {
            if let Ok(plain) = self.reader.member(&other, &encoded.plain) {
                named.push((other.row.id, sealer.id(BlobKind::Chunk, &plain), plain));
            }
        }
        let (mut joined, mut members) = (Vec::new(), Vec::new());
        for (_, there, plain) in &named {
            if self.session.claim(*there, BlobKind::Chunk)? == Known::No {
                joined.extend_from_slice(plain);
                members.push((*there, plain.len() as u32));
            }
        }
        if !members.is_empty() {
            let prepared = sealer.prepare_group(&joined, &members)?;
            // The same members may have been joined before, and one of them lost since.
            self.session.claim(prepared.row.id, BlobKind::Group)?;
            self.add(prepared)?;
        }
        for (id, there, _) in &named {
            self.remember(*id, *there);
        }
        let own = named.iter().find(|(id, _, _)| *id == member.row.id);
        match own {
            Some((_, there, _)) => Ok(*there),
            None => {
                let plain = self.reader.read(member.row.id, BlobKind::Chunk)?;
                self.put_chunk(sealer, member.row.id, &plain)
            }
        }
    }
}
