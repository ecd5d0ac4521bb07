//! One live content, cut and hashed as the snapshot's is.

use crate::compare::CompareError;
use crate::crypto::IdKey;
use crate::format::blob::BlobKind;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::monitor::{Cancel, Interrupted, Monitor};
use crate::repository::{ReadError, Reader};
use crate::source::{Content, Extent, SourceError};
use crate::tree::ContentCursor;
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

/// Bytes that are hashed together, by all processors.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes read at once where only zeros are expected.
const ZERO_BYTES: usize = 64 << 10;

/// How much of a content is the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Pieces of the snapshot's content, and a last one for what the live content has more.
    pub(super) chunks: u64,
    /// Those that are not live.
    pub(super) chunks_different: u64,
    /// Bytes of the live content that were read.
    pub(super) bytes: u64,
}

/// What a comparison of contents is given.
pub(super) struct Hashing<'h, 'a> {
    pub(super) reader: &'h Reader<'a>,
    pub(super) ids: &'h IdKey,
    pub(super) monitor: &'h dyn Monitor,
    pub(super) cancel: &'h Cancel,
}

/// Why a content could not be compared.
pub(super) enum ContentError {
    /// The live one cannot be read.
    Live(SourceError),
    /// Anything else.
    Other(Box<CompareError>),
}

impl From<SourceError> for ContentError {
    fn from(error: SourceError) -> Self {
        Self::Live(error)
    }
}

impl From<ReadError> for ContentError {
    fn from(error: ReadError) -> Self {
        Self::Other(Box::new(error.into()))
    }
}

impl From<Interrupted> for ContentError {
    fn from(error: Interrupted) -> Self {
        Self::Other(Box::new(error.into()))
    }
}

/// A live content, a hole of it pending.
struct Live<'l> {
    content: &'l mut dyn Content,
    hole: u64,
    has_ended: bool,
}

impl Live<'_> {
    /// Fills `buffer`; fewer bytes at the end only.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() && !self.has_ended {
            if self.hole > 0 {
                let zeros = self.hole.min((buffer.len() - filled) as u64);
                buffer[filled..filled + zeros as usize].fill(0);
                filled += zeros as usize;
                self.hole -= zeros;
                continue;
            }
            match self.content.read(&mut buffer[filled..])? {
                Extent::Data(read) => filled += read,
                Extent::Hole(length) => self.hole = length,
                Extent::End => self.has_ended = true,
            }
        }
        Ok(filled)
    }

    /// Passes over as much of a pending hole as `length` allows.
    fn skip_hole(&mut self, length: u64) -> u64 {
        let skipped = self.hole.min(length);
        self.hole -= skipped;
        skipped
    }
}

/// Compares to the first difference, or `thoroughly` to the end.
pub(super) fn compare(
    hashing: &Hashing<'_, '_>,
    stored: Child,
    content: &mut dyn Content,
    thoroughly: bool,
) -> Result<Tally, ContentError> {
    let mut live = Live {
        content,
        hole: 0,
        has_ended: false,
    };
    let mut tally = Tally::default();
    let mut batch: Vec<(BlobId, Vec<u8>)> = Vec::new();
    let mut batched = 0;
    let mut cursor = ContentCursor::new(hashing.reader, stored);
    while let Some(piece) = cursor.next_piece()? {
        hashing.cancel.check()?;
        tally.chunks += 1;
        match piece.chunk {
            None => {
                let is_zero = is_zero(&mut live, piece.length, &mut tally.bytes)?;
                tally.chunks_different += u64::from(!is_zero);
            }
            Some(id) => {
                let mut bytes = vec![0; piece.length as usize];
                let read = live.fill(&mut bytes)?;
                tally.bytes += read as u64;
                match read == bytes.len() {
                    true => {
                        batched += bytes.len();
                        batch.push((id, bytes));
                    }
                    false => tally.chunks_different += 1,
                }
            }
        }
        hashing.monitor.advance(piece.length);
        if batched >= BATCH_BYTES {
            tally.chunks_different += differing(hashing.ids, &batch);
            batch.clear();
            batched = 0;
        }
        if tally.chunks_different > 0 && !thoroughly {
            return Ok(tally);
        }
    }
    tally.chunks_different += differing(hashing.ids, &batch);
    let mut more = [0];
    if live.fill(&mut more)? > 0 {
        tally.chunks += 1;
        tally.chunks_different += 1;
    }
    Ok(tally)
}

/// Whether the next `length` live bytes are zeros; passes over all of them.
fn is_zero(live: &mut Live<'_>, length: u64, bytes: &mut u64) -> Result<bool, SourceError> {
    let mut left = length;
    let mut buffer = vec![0; ZERO_BYTES];
    let mut is_zero = true;
    while left > 0 {
        left -= live.skip_hole(left);
        let wanted = left.min(ZERO_BYTES as u64) as usize;
        let read = live.fill(&mut buffer[..wanted])?;
        *bytes += read as u64;
        is_zero &= buffer[..read].iter().all(|byte| *byte == 0);
        if read < wanted {
            return Ok(false);
        }
        left -= read as u64;
    }
    Ok(is_zero)
}

fn differing(ids: &IdKey, batch: &[(BlobId, Vec<u8>)]) -> u64 {
    let differs =
        |(id, bytes): &&(BlobId, Vec<u8>)| ids.blob_id(BlobKind::Chunk.role(), bytes) != *id;
    match batch {
        // Not worth waking anybody.
        [only] => u64::from(differs(&only)),
        batch => batch.par_iter().filter(differs).count() as u64,
    }
}
