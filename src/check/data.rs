//! Reading packs whole: name, table of contents, index rows, every blob.
//!
//! Deltas are put off until all packs were read: see `chains.rs`.

use crate::check::CheckError;
use crate::check::chains::Deltas;
use crate::check::findings::{Cause, Findings};
use crate::check::places::BadPlaces;
use crate::check::select::Chosen;
use crate::check::walk::read_error_is_damage;
use crate::env::Timestamp;
use crate::format::blob::{BlobKind, BlobRow, Form, encode_rows};
use crate::format::envelope::UnwrapError;
use crate::format::layout;
use crate::format::pack::{OpenedPack, PackError, open_pack};
use crate::format::protocol::{Proof, ProofKind};
use crate::id::{BlobId, ObjectId, PackId, SegmentId, WriterId};
use crate::limits;
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::index::{Index, Located};
use crate::repository::{PROOF_PACKS_MAX, ReadError, Reader, Repository};
use crate::spill::Scratch;
use crate::store::{ObjectKey, StoreError, StoreExt};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Packs after which a proof is written while reading goes on: what an interrupted check did is
/// not done again. 64 GB or so.
const PROOF_PACKS: usize = 4096;
const _: () = assert!(PROOF_PACKS <= PROOF_PACKS_MAX);

/// What reading found.
#[derive(Debug, Default)]
pub(super) struct PacksRead {
    pub(super) packs: u64,
    pub(super) bytes: u64,
    pub(super) bad: BadPlaces,
    /// A pack was gone when it was to be read.
    pub(super) vanished: bool,
    pub(super) findings: Findings,
    pub(super) proofs: Vec<ObjectId>,
    proven: Vec<(PackId, ObjectId)>,
    error: Option<CheckError>,
}

/// Reads packs, several at once.
pub(super) struct PackReader<'a> {
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) reader: Reader<'a>,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) cancel: &'a Cancel,
    started: Timestamp,
    read: Mutex<PacksRead>,
    pub(super) deltas: Mutex<Deltas>,
}

/// What is known of a pack's blobs so far.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// What is wrong, where something is.
    fault: Option<String>,
    /// What it rests on cannot be read.
    unproven: bool,
    blobs: Vec<BlobId>,
}

impl Verdict {
    /// Takes in how reading one of its blobs went. Errors: those that say nothing about it.
    pub(super) fn note(
        &mut self,
        located: &Located,
        read: Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        match read {
            Ok(()) => {}
            Err(error) if !read_error_is_damage(&error) => return Err(error),
            Err(error) if is_own(&error, located) => {
                self.fault
                    .get_or_insert_with(|| crate::explain::explain(&error));
                self.blobs.push(located.row.id);
            }
            // What it rests on is damaged elsewhere: it is not proven, and not at fault.
            Err(_) => self.unproven = true,
        }
        Ok(())
    }

    /// What it comes to for a pack whose rows hash to `rows`.
    pub(super) fn state(self, rows: ObjectId) -> PackState {
        match self.fault {
            Some(what) => PackState::Damaged(what, self.blobs),
            None if self.unproven => PackState::Unproven,
            None => PackState::Proven(rows),
        }
    }
}

/// What was found in one pack.
pub(super) enum PackState {
    /// It is not known before its deltas were read.
    PutOff,
    /// All of it is as it should be; the hash of its rows.
    Proven(ObjectId),
    /// Its bytes are those it is named by, but this credential cannot open it, or what its deltas
    /// rest on cannot be read.
    Unproven,
    /// It is gone.
    Vanished,
    /// Something is wrong: what, and with which blobs.
    Damaged(String, Vec<BlobId>),
}

impl<'a> PackReader<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        index: &'a Index,
        scratch: &Scratch,
        monitor: &'a dyn Monitor,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            repository,
            index,
            deltas: Mutex::new(Deltas::new(scratch)),
            reader: Reader::new(repository, index),
            monitor,
            cancel,
            started: repository.clock().now(),
            read: Mutex::default(),
        }
    }

    /// Reads the packs in order, `workers` at once, until all are read or a stop is asked for, and
    /// writes proofs of those that are whole.
    pub(super) fn read(self, packs: &[Chosen], workers: usize) -> Result<PacksRead, CheckError> {
        let total = packs.iter().map(|chosen| chosen.size).sum();
        self.monitor.phase("packs", Unit::Bytes, Some(total));
        let next = AtomicUsize::new(0);
        self.in_parallel(workers.min(packs.len()), &|| {
            while let Some(chosen) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.is_stopped() {
                    break;
                }
                let state = self.read_pack(chosen)?;
                self.note(chosen, state);
                self.monitor.advance(chosen.size);
            }
            Ok(())
        });
        self.read_deltas(workers);
        let proven = std::mem::take(&mut self.lock().proven);
        self.prove(proven);
        let mut read = self
            .read
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match read.error.take() {
            Some(error) => Err(error),
            None => Ok(read),
        }
    }

    /// Works with several threads; the first error is kept and stops the others.
    pub(super) fn in_parallel(
        &self,
        workers: usize,
        work: &(dyn Fn() -> Result<(), CheckError> + Sync),
    ) {
        let whole = || {
            if let Err(error) = work() {
                self.lock().error.get_or_insert(error);
            }
        };
        let joined = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(whole)).collect();
            // All are waited for, whatever becomes of one.
            let ends = threads.into_iter().map(|thread| thread.join());
            ends.filter(Result::is_err).count() == 0
        });
        if !joined {
            self.lock().error.get_or_insert(CheckError::Worker);
        }
    }

    /// Whether the user or an error stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.lock().error.is_some()
    }

    pub(super) fn fail(&self, error: CheckError) {
        self.lock().error.get_or_insert(error);
    }

    fn lock(&self) -> MutexGuard<'_, PacksRead> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, chosen: &Chosen, state: PackState) {
        let mut read = self.lock();
        match state {
            PackState::PutOff => return,
            PackState::Vanished => {
                read.vanished = true;
                return;
            }
            _ => {}
        }
        read.packs += 1;
        read.bytes += chosen.size;
        match state {
            PackState::Proven(rows) => read.proven.push((chosen.pack, rows)),
            PackState::Damaged(what, blobs) => {
                let object = layout::pack(chosen.class, &chosen.pack);
                read.findings.add(Cause {
                    object: object.clone(),
                    what,
                    blob: None,
                });
                for blob in blobs {
                    read.bad.add(chosen.pack, blob);
                    let cause = Cause {
                        object: object.clone(),
                        what: String::new(),
                        blob: Some(blob),
                    };
                    read.findings.add(cause);
                }
            }
            PackState::Unproven | PackState::PutOff | PackState::Vanished => {}
        }
        if read.proven.len() >= PROOF_PACKS {
            let proven = std::mem::take(&mut read.proven);
            drop(read);
            self.prove(proven);
        }
    }

    /// Writes a proof. Without it the packs are only read again next time.
    fn prove(&self, mut packs: Vec<(PackId, ObjectId)>) {
        if packs.is_empty() {
            return;
        }
        packs.sort();
        let finished = self.repository.clock().now();
        let nanoseconds = finished.0.saturating_sub(self.started.0).max(0);
        let proof = Proof {
            kind: ProofKind::ReadData,
            finished,
            packs,
            snapshots: Vec::new(),
            milliseconds: nanoseconds.unsigned_abs() / 1_000_000,
            remark: String::new(),
        };
        match self.repository.put_proof(&proof) {
            Ok(id) => self.lock().proofs.push(id),
            Err(error) => self.monitor.warn(&format!(
                "what was read is not remembered: {}",
                crate::explain::explain(&error)
            )),
        }
    }

    fn read_pack(&self, chosen: &Chosen) -> Result<PackState, CheckError> {
        let key = ObjectKey::new(layout::pack(chosen.class, &chosen.pack));
        let Ok(key) = key else {
            return Ok(PackState::Unproven);
        };
        let mut read = self.fetch(&key, chosen);
        if !matches!(read, Ok(Some(_))) {
            // A second time before it is called damage.
            read = self.fetch(&key, chosen);
        }
        let what = match read {
            Ok(Some(bytes)) => return self.verify(chosen, &bytes),
            Ok(None) => "its bytes do not hash to its name".to_owned(),
            Err(error) if error.is_not_found() => return Ok(PackState::Vanished),
            Err(error) if error.blames_object() => crate::explain::explain(&error),
            Err(error) => return Err(error.into()),
        };
        if !self.repository.store().exists(&key)? {
            return Ok(PackState::Vanished);
        }
        // Part of it may be whole yet: every blob is read as a restore would read it.
        let reader = Reader::new(self.repository, self.index);
        let mut blobs = Vec::new();
        for located in self.index.rows_of_pack(&chosen.pack)? {
            if located.class == chosen.class && !gives_blob(&reader, &located)? {
                blobs.push(located.row.id);
            }
        }
        Ok(PackState::Damaged(what, blobs))
    }

    /// The pack's bytes; none when they do not hash to its name.
    fn fetch(&self, key: &ObjectKey, chosen: &Chosen) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.repository.store().get(key, limits::PACK_BYTES_MAX)?;
        let good = blake3::hash(&bytes).as_bytes() == chosen.pack.as_bytes();
        Ok(good.then_some(bytes))
    }

    /// Verifies what is in a pack whose bytes are those it is named by.
    fn verify(&self, chosen: &Chosen, bytes: &[u8]) -> Result<PackState, CheckError> {
        let opened = match open_pack(bytes, self.repository.access()) {
            Ok(opened) => opened,
            Err(PackError::Key(UnwrapError::NotARecipient(_))) => return Ok(PackState::Unproven),
            Err(error) => {
                let mut blobs = Vec::new();
                for located in self.rows(chosen)? {
                    if !gives_blob(&self.reader, &located)? {
                        blobs.push(located.row.id);
                    }
                }
                return Ok(PackState::Damaged(crate::explain::explain(&error), blobs));
            }
        };
        if self
            .repository
            .access()
            .id_key(opened.envelope.domain)
            .is_none()
        {
            return Ok(PackState::Unproven);
        }
        let mut verdict = Verdict::default();
        let deltas = self.verify_blobs(chosen, bytes, &opened, &mut verdict)?;
        if let Some((what, blobs)) = self.compare_rows(chosen, &opened)? {
            verdict.fault.get_or_insert(what);
            verdict.blobs.extend(blobs);
        }
        let mut rows = Vec::new();
        encode_rows(&opened.rows, &mut rows);
        let rows = ObjectId(*blake3::hash(&rows).as_bytes());
        match deltas.is_empty() {
            true => Ok(verdict.state(rows)),
            false => {
                self.put_off(*chosen, verdict, rows, &deltas)?;
                Ok(PackState::PutOff)
            }
        }
    }

    /// Verifies all blobs but the deltas, which are returned.
    fn verify_blobs(
        &self,
        chosen: &Chosen,
        bytes: &[u8],
        opened: &OpenedPack,
        verdict: &mut Verdict,
    ) -> Result<Vec<BlobRow>, CheckError> {
        let mut deltas = Vec::new();
        let mut group: Option<(BlobId, Vec<u8>)> = None;
        self.reader.adopt_head(chosen.pack, bytes)?;
        for row in &opened.rows {
            let located = located(chosen, row);
            let plain = match (row.form, &group) {
                (Form::Delta { .. }, _) => {
                    deltas.push(*row);
                    continue;
                }
                (Form::Member { group: id }, Some((last, plain))) if *last == id => {
                    self.reader.member(&located, plain)
                }
                (Form::Member { .. }, _) => self.reader.read_at(&located),
                (Form::Full, _) => {
                    let start = row.offset as usize;
                    let mut sealed = bytes[start..start + row.stored as usize].to_vec();
                    self.reader.open_sealed(&located, &mut sealed)
                }
            };
            let read = plain.map(|plain| {
                if row.kind == BlobKind::Group {
                    group = Some((row.id, plain));
                }
            });
            verdict.note(&located, read)?;
        }
        Ok(deltas)
    }

    fn rows(&self, chosen: &Chosen) -> Result<Vec<Located>, CheckError> {
        let mut rows = self.index.rows_of_pack(&chosen.pack)?;
        rows.retain(|located| located.class == chosen.class);
        Ok(rows)
    }

    /// What the index says otherwise than the pack, and which blobs it does not find for it.
    fn compare_rows(
        &self,
        chosen: &Chosen,
        opened: &OpenedPack,
    ) -> Result<Option<(String, Vec<BlobId>)>, CheckError> {
        let indexed = self.rows(chosen)?;
        let own: HashSet<&BlobRow> = opened.rows.iter().collect();
        let mut wrong = 0;
        let mut blobs = Vec::new();
        for located in indexed.iter().filter(|l| !own.contains(&l.row)) {
            wrong += 1;
            if !gives_blob(&self.reader, located)? {
                blobs.push(located.row.id);
            }
        }
        let missing = (own.len() + wrong).saturating_sub(indexed.len());
        // One without any rows is just being written, or left by a crash.
        if indexed.is_empty() || wrong + missing == 0 {
            return Ok(None);
        }
        let what =
            format!("the index lists {wrong} blobs that are not in it, and not {missing} that are");
        Ok(Some((what, blobs)))
    }
}

/// Whether a place gives its blob, or would if what it rests on were whole.
fn gives_blob(reader: &Reader<'_>, located: &Located) -> Result<bool, CheckError> {
    match reader.read_at(located) {
        Ok(_) => Ok(true),
        Err(error) if read_error_is_damage(&error) => Ok(!is_own(&error, located)),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error is about this place, not about a base or group elsewhere.
fn is_own(error: &ReadError, located: &Located) -> bool {
    match error {
        ReadError::Store(_) => true,
        error => error.pack() == Some(located.pack),
    }
}

pub(super) fn located(chosen: &Chosen, row: &BlobRow) -> Located {
    Located {
        row: *row,
        pack: chosen.pack,
        class: chosen.class,
        pack_length: u32::try_from(chosen.size).unwrap_or(u32::MAX),
        author: WriterId::default(),
        segment: SegmentId::default(),
    }
}
