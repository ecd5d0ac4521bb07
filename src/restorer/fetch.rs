//! Fetching chunks: which ranges of which packs, in which order, and into which files.

use crate::format::blob::{BlobKind, Form};
use crate::id::{BlobId, PackId};
use crate::monitor::Cancel;
use crate::repository::index::Located;
use crate::repository::{ReadError, Reader};
use crossbeam_channel::bounded;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Ranges with less than this between them are fetched together, bytes.
const GAP_BYTES: u32 = 64 << 10;

/// Bytes of one fetch.
const FETCH_BYTES: usize = 4 << 20;

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

/// One sealed blob in a range, and the chunks that come out of it.
struct Item {
    located: Located,
    /// The blob itself, or members of the group it is.
    yields: Vec<(Located, Vec<Place>)>,
}

/// A stretch of a pack that is fetched at once.
struct Range {
    pack: PackId,
    start: u32,
    end: u32,
    items: Vec<Item>,
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
        let ranges = plan(self.chunks, reader, receiver)?;
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
}

/// Finds every chunk and sorts what has to be read by pack and offset.
fn plan(
    chunks: HashMap<BlobId, Vec<Place>>,
    reader: &Reader<'_>,
    receiver: &dyn Receiver,
) -> Result<Vec<Range>, ReadError> {
    let mut items: BTreeMap<(PackId, u32), Item> = BTreeMap::new();
    for (id, places) in chunks {
        match locate(id, reader) {
            Ok((blob, chunk)) => {
                let key = (blob.pack, blob.row.offset);
                let item = items.entry(key).or_insert_with(|| Item {
                    located: blob,
                    yields: Vec::new(),
                });
                item.yields.push((chunk, places));
            }
            // Another copy may have it.
            Err(error) if error.is_damage() => recover_chunk(id, &places, reader, receiver)?,
            Err(error) => return Err(error),
        }
    }
    Ok(coalesce(items.into_values()))
}

/// The sealed blob to fetch for a chunk, and the chunk's own row.
fn locate(id: BlobId, reader: &Reader<'_>) -> Result<(Located, Located), ReadError> {
    let missing = || ReadError::Missing(id);
    let rows = reader.locate(id, BlobKind::Chunk)?;
    let chunk = rows.into_iter().next().ok_or_else(missing)?;
    let blob = match chunk.row.form {
        Form::Member { group } => {
            let groups = reader.locate(group, BlobKind::Group)?;
            groups.into_iter().next().ok_or_else(missing)?
        }
        Form::Full | Form::Delta { .. } => chunk.clone(),
    };
    Ok((blob, chunk))
}

fn coalesce(items: impl Iterator<Item = Item>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for item in items {
        let (pack, start) = (item.located.pack, item.located.row.offset);
        let end = start.saturating_add(item.located.row.stored);
        match ranges.last_mut() {
            Some(range)
                if range.pack == pack
                    && start.saturating_sub(range.end) <= GAP_BYTES
                    && (end - range.start) as usize <= FETCH_BYTES =>
            {
                range.end = range.end.max(end);
                range.items.push(item);
            }
            _ => ranges.push(Range {
                pack,
                start,
                end,
                items: vec![item],
            }),
        }
    }
    ranges
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
            for item in range.items {
                recover(item, reader, receiver)?;
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    for item in range.items {
        let start = (item.located.row.offset - range.start) as usize;
        let sealed = &mut bytes[start..start + item.located.row.stored as usize];
        match reader.open_sealed(&item.located, sealed) {
            Ok(plain) => deliver(item, &plain, reader, receiver)?,
            Err(error) if error.is_damage() => recover(item, reader, receiver)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn deliver(
    item: Item,
    plain: &[u8],
    reader: &Reader<'_>,
    receiver: &dyn Receiver,
) -> Result<(), ReadError> {
    for (chunk, places) in item.yields {
        let Form::Member { .. } = chunk.row.form else {
            places
                .iter()
                .for_each(|place| receiver.deliver(*place, plain));
            continue;
        };
        match reader.member(&chunk, plain) {
            Ok(member) => places
                .iter()
                .for_each(|place| receiver.deliver(*place, &member)),
            Err(error) if error.is_damage() => {
                recover_chunk(chunk.row.id, &places, reader, receiver)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Tries every place of what an unreadable blob would have given, this one again included: the
/// failure may have been passing.
fn recover(item: Item, reader: &Reader<'_>, receiver: &dyn Receiver) -> Result<(), ReadError> {
    for (chunk, places) in item.yields {
        recover_chunk(chunk.row.id, &places, reader, receiver)?;
    }
    Ok(())
}

fn recover_chunk(
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
