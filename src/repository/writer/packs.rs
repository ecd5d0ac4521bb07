//! Collecting sealed blobs into packs, and storing packs while the run goes on.
//!
//! One pack per class is under construction. A finished one is stored by the thread that finished
//! it, while others go on: with several workers the disk and the processors overlap, and memory
//! is bounded by one pack per worker.

use crate::env::Entropy;
use crate::format::blob::{BlobKind, Form};
use crate::format::envelope::{Envelope, SessionKey};
use crate::format::layout;
use crate::format::pack::{FinishedPack, PackBuilder, PackClass};
use crate::format::segment::PackRows;
use crate::limits;
use crate::repository::writer::{LINK_KEY, PreparedBlob, WriteError};
use crate::repository::{Repository, put_named};
use crate::store::Store;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct PackSink {
    envelope: Option<Envelope>,
    author: crate::id::WriterId,
    open: [Mutex<Option<PackBuilder>>; 3],
    stored: Mutex<Vec<PackRows>>,
    bytes: AtomicU64,
    failed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PackSink {
    pub(super) fn new(repository: &Repository) -> Self {
        Self {
            envelope: None,
            author: repository.access().writer(),
            open: Default::default(),
            stored: Mutex::default(),
            bytes: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    pub(super) fn set_envelope(&mut self, envelope: Envelope) {
        self.envelope = Some(envelope);
    }

    pub(super) fn bytes_stored(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts stored bytes from zero again.
    pub(super) fn reset_bytes(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Adds a blob to the pack of its class; stores the pack when that is full.
    pub(super) fn push(
        &self,
        blob: PreparedBlob,
        link: &SessionKey,
        store: &dyn Store,
        entropy: &dyn Entropy,
    ) -> Result<(), WriteError> {
        let class = class_of(&blob);
        let full = {
            let mut slot = lock(&self.open[class as usize]);
            let builder = match slot.as_mut() {
                Some(builder) => builder,
                None => {
                    let envelope = self.envelope.clone().ok_or(WriteError::PackLost)?;
                    slot.insert(PackBuilder::new(envelope))
                }
            };
            builder.push(blob.row, &blob.sealed);
            blob.members
                .into_iter()
                .for_each(|member| builder.push_member(member));
            let rows_full =
                builder.rows().len() + limits::NODE_CHILDREN_MAX > limits::PACK_ROWS_MAX;
            match builder.length() >= limits::PACK_BYTES_TARGET || rows_full {
                true => slot.take(),
                false => None,
            }
        };
        match full {
            Some(builder) => self.store(class, builder, link, store, entropy),
            None => Ok(()),
        }
    }

    /// Stores what is under construction.
    pub(super) fn flush(
        &self,
        link: &SessionKey,
        store: &dyn Store,
        entropy: &dyn Entropy,
    ) -> Result<(), WriteError> {
        for class in PackClass::ALL {
            let builder = lock(&self.open[class as usize]).take();
            if let Some(builder) = builder.filter(|builder| !builder.is_empty()) {
                self.store(class, builder, link, store, entropy)?;
            }
        }
        match self.failed.load(Ordering::Relaxed) {
            true => Err(WriteError::PackLost),
            false => Ok(()),
        }
    }

    /// Rows of the packs stored since the last call.
    pub(super) fn take_rows(&self) -> Vec<PackRows> {
        std::mem::take(&mut lock(&self.stored))
    }

    /// How many rows wait for a segment.
    pub(super) fn rows_waiting(&self) -> usize {
        lock(&self.stored).iter().map(|pack| pack.rows.len()).sum()
    }

    fn store(
        &self,
        class: PackClass,
        builder: PackBuilder,
        link: &SessionKey,
        store: &dyn Store,
        entropy: &dyn Entropy,
    ) -> Result<(), WriteError> {
        let stored = builder
            .finish(link, LINK_KEY, entropy)
            .map_err(WriteError::from)
            .and_then(|pack| self.put(class, pack, store));
        if stored.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        stored
    }

    fn put(
        &self,
        class: PackClass,
        pack: FinishedPack,
        store: &dyn Store,
    ) -> Result<(), WriteError> {
        put_named(store, layout::pack(class, &pack.id), &pack.bytes)?;
        self.bytes
            .fetch_add(pack.bytes.len() as u64, Ordering::Relaxed);
        lock(&self.stored).push(PackRows {
            pack: pack.id,
            class,
            length: pack.bytes.len() as u32,
            author: self.author,
            rows: pack.rows,
        });
        Ok(())
    }
}

fn class_of(blob: &PreparedBlob) -> PackClass {
    match (blob.row.kind, blob.row.form) {
        (BlobKind::NodeBody | BlobKind::NodeLinks, _) => PackClass::Metadata,
        (_, Form::Delta { .. }) => PackClass::Delta,
        _ => PackClass::Full,
    }
}
