//! Reading packs whole: name, table of contents, index rows, every blob.

use crate::check::CheckError;
use crate::check::findings::{Cause, Findings};
use crate::check::places::BadPlaces;
use crate::check::select::Chosen;
use crate::check::view::store_error_is_damage;
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
    repository: &'a Repository,
    index: &'a Index,
    reader: Reader<'a>,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    started: Timestamp,
    read: Mutex<PacksRead>,
}

/// What was found in one pack.
enum PackState {
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
        monitor: &'a dyn Monitor,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            repository,
            index,
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
        let work = || {
            while let Some(chosen) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.cancel.is_cancelled() || self.lock().error.is_some() {
                    break;
                }
                match self.read_pack(chosen) {
                    Ok(state) => self.note(chosen, state),
                    Err(error) => self.lock().error = Some(error),
                }
                self.monitor.advance(chosen.size);
            }
        };
        let workers = workers.clamp(1, packs.len().max(1));
        let joined = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        let proven = std::mem::take(&mut self.lock().proven);
        self.prove(proven);
        let mut read = self
            .read
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match (read.error.take(), joined) {
            (Some(error), _) => Err(error),
            (None, false) => Err(CheckError::Worker),
            (None, true) => Ok(read),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PacksRead> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, chosen: &Chosen, state: PackState) {
        let mut read = self.lock();
        if matches!(state, PackState::Vanished) {
            read.vanished = true;
            return;
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
            PackState::Unproven | PackState::Vanished => {}
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
            Err(error) if store_error_is_damage(&error) => crate::explain::explain(&error),
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
        let mut state = self.verify_blobs(chosen, bytes, &opened)?;
        if let Some((what, blobs)) = self.compare_rows(chosen, &opened)? {
            match &mut state {
                PackState::Damaged(_, bad) => bad.extend(blobs),
                state => *state = PackState::Damaged(what, blobs),
            }
        }
        Ok(state)
    }

    fn verify_blobs(
        &self,
        chosen: &Chosen,
        bytes: &[u8],
        opened: &OpenedPack,
    ) -> Result<PackState, CheckError> {
        let mut fault = None;
        let mut unproven = false;
        let mut blobs = Vec::new();
        let mut group: Option<(BlobId, Vec<u8>)> = None;
        self.reader.adopt_head(chosen.pack, bytes)?;
        for row in &opened.rows {
            let located = located(chosen, row);
            let plain = match (row.form, &group) {
                (Form::Member { group: id }, Some((last, plain))) if *last == id => {
                    self.reader.member(&located, plain)
                }
                (Form::Member { .. }, _) => self.reader.read_at(&located),
                _ => {
                    let start = row.offset as usize;
                    let mut sealed = bytes[start..start + row.stored as usize].to_vec();
                    self.reader.open_sealed(&located, &mut sealed)
                }
            };
            match plain {
                Ok(plain) if row.kind == BlobKind::Group => group = Some((row.id, plain)),
                Ok(_) => {}
                Err(error) if !read_error_is_damage(&error) => return Err(error.into()),
                Err(error) if is_own(&error, &located) => {
                    fault.get_or_insert_with(|| crate::explain::explain(&error));
                    blobs.push(row.id);
                }
                // What it rests on is damaged elsewhere: it is not proven, and not at fault.
                Err(_) => unproven = true,
            }
        }
        Ok(match fault {
            Some(what) => PackState::Damaged(what, blobs),
            None if unproven => PackState::Unproven,
            None => {
                let mut rows = Vec::new();
                encode_rows(&opened.rows, &mut rows);
                PackState::Proven(ObjectId(*blake3::hash(&rows).as_bytes()))
            }
        })
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

fn located(chosen: &Chosen, row: &BlobRow) -> Located {
    Located {
        row: *row,
        pack: chosen.pack,
        class: chosen.class,
        pack_length: u32::try_from(chosen.size).unwrap_or(u32::MAX),
        author: WriterId::default(),
        segment: SegmentId::default(),
    }
}
