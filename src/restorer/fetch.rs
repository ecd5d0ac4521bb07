//! Fetching chunks: ranges of packs, several at once, opened and handed on in any order.

use crate::format::blob::{BlobKind, Form};
use crate::id::BlobId;
use crate::monitor::Cancel;
use crate::repository::{ReadError, Reader, Stretches};
use crate::restorer::plan::{Item, Plan, Range, Yield};
use crossbeam_channel::bounded;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Where one chunk goes: number of the file in the batch, and offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) offset: u64,
}

/// Receives what was fetched. Called from several threads, in any order.
pub(super) trait Receiver: Sync {
    /// A chunk's verified plaintext, for one place.
    fn deliver(&self, place: Place, plain: &[u8]);
    /// The chunk for these places cannot be had.
    fn fail(&self, places: &[Place], error: &ReadError);
}

/// Chunks wanted by a batch, each with all places it goes to.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    chunks: HashMap<BlobId, Vec<Place>>,
}

impl Wanted {
    pub(super) fn add(&mut self, chunk: BlobId, place: Place) {
        self.chunks.entry(chunk).or_default().push(place);
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Fetches everything and hands it to `receiver`.
    ///
    /// Errors: only what says nothing about the chunks (a lost store). A damaged or missing chunk
    /// is a failure of its places.
    pub(super) fn fetch(
        self,
        reader: &Reader<'_>,
        receiver: &dyn Receiver,
        workers: usize,
        cancel: &Cancel,
    ) -> Result<(), ReadError> {
        let ranges = self.plan(reader, receiver)?.ranges(workers);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            let (sender, queue) = bounded::<Range>(workers);
            for _ in 0..workers {
                let queue = queue.clone();
                scope.spawn(|| {
                    let mut buffer = Vec::new();
                    for range in queue {
                        let done = fetch_range(range, reader, receiver, &mut buffer);
                        if let Err(error) = done {
                            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                            first.get_or_insert(error);
                            return;
                        }
                    }
                });
            }
            drop(queue);
            for range in ranges {
                if cancel.is_cancelled() || sender.send(range).is_err() {
                    break;
                }
            }
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    /// Finds every chunk and sorts what has to be read by pack and offset.
    fn plan(self, reader: &Reader<'_>, receiver: &dyn Receiver) -> Result<Plan, ReadError> {
        let mut plan = Plan::default();
        for (id, places) in self.chunks {
            match plan.add(id, &places, reader) {
                Ok(()) => {}
                // Another copy may have it.
                Err(error) if error.is_damage() => recover(id, &places, reader, receiver)?,
                Err(error) => return Err(error),
            }
        }
        Ok(plan)
    }
}

fn fetch_range(
    range: Range,
    reader: &Reader<'_>,
    receiver: &dyn Receiver,
    buffer: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let Some(first) = range.items.first() else {
        return Ok(());
    };
    let class = first.located.class;
    // One buffer for all ranges of a worker: its pages are faulted in and cleared once.
    buffer.resize((range.end - range.start) as usize, 0);
    let bytes = buffer.as_mut_slice();
    match reader.fetch(range.pack, class, u64::from(range.start), bytes) {
        Ok(()) => {}
        // The blobs may be whole in another pack: each is looked for by itself.
        Err(error) if error.is_damage() => {
            for item in &range.items {
                recover_all(item, reader, receiver)?;
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let yields = range.items.iter().flat_map(|item| &item.yields);
    let deltas = reader.fetch_together(yields.flat_map(|one| &one.deltas).collect())?;
    for item in &range.items {
        let start = (item.located.row.offset - range.start) as usize;
        let sealed = &mut bytes[start..start + item.located.row.stored as usize];
        match open(item, sealed, &deltas, reader, receiver) {
            Ok(()) => {}
            Err(error) if error.is_damage() => recover_all(item, reader, receiver)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens one blob and delivers what comes out of it. Damage is an error only where it is that of
/// the blob itself.
fn open(
    item: &Item,
    sealed: &mut [u8],
    deltas: &Stretches,
    reader: &Reader<'_>,
    receiver: &dyn Receiver,
) -> Result<(), ReadError> {
    if item.located.row.form != Form::Full || item.located.row.kind == BlobKind::Group {
        let plain = reader.open_sealed(&item.located, sealed)?;
        return item.yields.iter().try_for_each(|one| {
            let row = &one.row;
            let opened = match row.row.form {
                Form::Member { .. } => reader.member(row, &plain),
                Form::Full | Form::Delta { .. } => Ok(plain.clone()),
            };
            deliver(one, opened, reader, receiver)
        });
    }
    // What rests on it has an id of its own, so that its own is looked at only where it is wanted.
    let full = reader.open_unverified(&item.located, sealed, None)?;
    let Some((last, others)) = item.yields.split_last() else {
        return Ok(());
    };
    for one in others {
        deliver(
            one,
            apply(one, full.clone(), deltas, reader),
            reader,
            receiver,
        )?;
    }
    deliver(last, apply(last, full, deltas, reader), reader, receiver)
}

/// A chunk from the full form below it.
fn apply(
    one: &Yield,
    full: Vec<u8>,
    deltas: &Stretches,
    reader: &Reader<'_>,
) -> Result<Vec<u8>, ReadError> {
    let mut plain = full;
    for delta in &one.deltas {
        let sealed = deltas.sealed(delta);
        let mut sealed = sealed.ok_or(ReadError::Missing(delta.row.id))?.to_vec();
        plain = reader.open_unverified(delta, &mut sealed, Some(plain))?;
    }
    reader.verify_plain(&one.row, &plain)?;
    Ok(plain)
}

/// Hands a chunk on, or looks for it in all of its places: the failure may have been passing.
fn deliver(
    one: &Yield,
    opened: Result<Vec<u8>, ReadError>,
    reader: &Reader<'_>,
    receiver: &dyn Receiver,
) -> Result<(), ReadError> {
    match opened {
        Ok(plain) => {
            let places = one.places.iter();
            places.for_each(|place| receiver.deliver(*place, &plain));
            Ok(())
        }
        Err(error) if error.is_damage() => recover(one.row.row.id, &one.places, reader, receiver),
        Err(error) => Err(error),
    }
}

/// Tries every place of what an unreadable blob would have given, this one again included.
fn recover_all(item: &Item, reader: &Reader<'_>, receiver: &dyn Receiver) -> Result<(), ReadError> {
    let mut yields = item.yields.iter();
    yields.try_for_each(|one| recover(one.row.row.id, &one.places, reader, receiver))
}

fn recover(
    chunk: BlobId,
    places: &[Place],
    reader: &Reader<'_>,
    receiver: &dyn Receiver,
) -> Result<(), ReadError> {
    match reader.read(chunk, BlobKind::Chunk) {
        Ok(plain) => {
            let deliver = |place: &Place| receiver.deliver(*place, &plain);
            places.iter().for_each(deliver);
            Ok(())
        }
        Err(error) if error.is_damage() => {
            receiver.fail(places, &error);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
