//! Reading one content: cut, hand to the workers, list.

use crate::archiver::content::ContentBuilder;
use crate::archiver::group::{GROUPED_BELOW, Grouper};
use crate::archiver::workers::{Job, Workers};
use crate::chunker::Chunker;
use crate::entry::Layout;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::monitor::{Cancel, Interrupted, Monitor};
use crate::repository::{ReadError, Reader, WriteError};
use crate::source::{Content, ContentEnd, Extent, SourceError};
use crate::tree::{ContentCursor, Piece};
use crossbeam_channel::{Receiver, bounded};
use std::collections::VecDeque;

/// Bytes of a stream that are looked at together: several windows of the chunker, so that what is
/// left over is seldom moved.
const STREAM_BUFFER_BYTES: usize = 4 << 20;

/// What one reading of a content gave.
pub(super) struct Reading {
    pub(super) child: Child,
    pub(super) length: u64,
    pub(super) chunks: u64,
    pub(super) end: ContentEnd,
    pub(super) layout: Layout,
}

/// Why a reading gave nothing.
pub(super) enum ReadFailure {
    Source(SourceError),
    Write(WriteError),
    Interrupted(Interrupted),
}

impl From<SourceError> for ReadFailure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<WriteError> for ReadFailure {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<Interrupted> for ReadFailure {
    fn from(error: Interrupted) -> Self {
        Self::Interrupted(error)
    }
}

/// Reads contents one after the other.
pub(super) struct FileReader<'x> {
    chunker: Chunker,
    monitor: &'x dyn Monitor,
    grouper: Grouper,
    buffer: Vec<u8>,
}

impl<'x> FileReader<'x> {
    pub(super) fn new(chunker: Chunker, monitor: &'x dyn Monitor) -> Self {
        Self {
            chunker,
            monitor,
            grouper: Grouper::default(),
            buffer: vec![0; STREAM_BUFFER_BYTES],
        }
    }

    /// Reads a content to its end. `before` is what stood in its place in the parent snapshot.
    pub(super) fn read(
        &mut self,
        mut content: Box<dyn Content>,
        before: Child,
        workers: &Workers<'_>,
        cancel: &Cancel,
    ) -> Result<Reading, ReadFailure> {
        let layout = content.layout();
        let mut file = ChunkedFile::new(layout, before, workers);
        let small = match layout {
            Layout::Pages => {
                self.read_pages(&mut *content, &mut file, cancel)?;
                None
            }
            Layout::Stream => self.read_stream(&mut *content, &mut file, cancel)?,
        };
        let end = content.finish()?;
        let (length, chunks) = (file.length, file.chunks);
        let child = match small {
            Some(0) | None => file.finish()?,
            Some(length) => self.grouper.push(&self.buffer[..length], workers)?,
        };
        Ok(Reading {
            child,
            length,
            chunks: chunks + u64::from(small.is_some_and(|length| length > 0)),
            end,
            layout,
        })
    }

    /// Closes the group of small files under construction.
    pub(super) fn flush(&mut self, workers: &Workers<'_>) -> Result<(), WriteError> {
        self.grouper.flush(workers)
    }

    /// Fills buffers of one page chunk each: what was read is never copied.
    fn read_pages(
        &mut self,
        content: &mut dyn Content,
        file: &mut ChunkedFile<'_, '_>,
        cancel: &Cancel,
    ) -> Result<(), ReadFailure> {
        let window = self.chunker.window(Layout::Pages);
        let mut buffer = file.workers.buffer();
        let mut filled = 0;
        loop {
            cancel.check()?;
            buffer.resize(window, 0);
            let extent = content.read(&mut buffer[filled..])?;
            if let Extent::Data(read) = extent {
                filled += read;
                self.monitor.advance(read as u64);
            }
            let ends = !matches!(extent, Extent::Data(_));
            if filled == window || ends && filled > 0 {
                buffer.truncate(filled);
                filled = 0;
                file.push_chunk(std::mem::replace(&mut buffer, file.workers.buffer()))?;
            }
            match extent {
                Extent::Data(_) => {}
                Extent::Hole(length) => {
                    self.monitor.advance(length);
                    file.push_hole(length)?;
                }
                Extent::End => return Ok(()),
            }
        }
    }

    /// Cuts a stream by its content. Returns the length of a file small enough for a group, whose
    /// bytes are then at the front of the buffer.
    fn read_stream(
        &mut self,
        content: &mut dyn Content,
        file: &mut ChunkedFile<'_, '_>,
        cancel: &Cancel,
    ) -> Result<Option<usize>, ReadFailure> {
        let window = self.chunker.window(Layout::Stream);
        let (mut start, mut end) = (0, 0);
        loop {
            cancel.check()?;
            if self.buffer.len() - end < window {
                self.buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
            }
            let extent = content.read(&mut self.buffer[end..])?;
            match extent {
                Extent::Data(read) => {
                    end += read;
                    self.monitor.advance(read as u64);
                    while end - start >= window {
                        start += self.cut(start, end, file)?;
                    }
                }
                Extent::Hole(length) => {
                    while start < end {
                        start += self.cut(start, end, file)?;
                    }
                    self.monitor.advance(length);
                    file.push_hole(length)?;
                }
                Extent::End => break,
            }
        }
        if file.length == 0 && end < GROUPED_BELOW {
            file.length = end as u64;
            return Ok(Some(end));
        }
        while start < end {
            start += self.cut(start, end, file)?;
        }
        Ok(None)
    }

    fn cut(
        &self,
        start: usize,
        end: usize,
        file: &mut ChunkedFile<'_, '_>,
    ) -> Result<usize, ReadFailure> {
        let length = self.chunker.cut(Layout::Stream, &self.buffer[start..end]);
        let mut chunk = file.workers.buffer();
        chunk.clear();
        chunk.extend_from_slice(&self.buffer[start..start + length]);
        file.push_chunk(chunk)?;
        Ok(length)
    }
}

/// A file being cut: chunks whose ids are still being computed, and the list so far.
struct ChunkedFile<'w, 'scope> {
    workers: &'w Workers<'scope>,
    before: Option<Before<'scope>>,
    builder: ContentBuilder,
    pending: VecDeque<(Receiver<BlobId>, u64)>,
    length: u64,
    chunks: u64,
}

impl<'w, 'scope> ChunkedFile<'w, 'scope> {
    fn new(layout: Layout, before: Child, workers: &'w Workers<'scope>) -> Self {
        let is_list = matches!(before, Child::Links { .. } | Child::Chunk { .. });
        let compared = layout == Layout::Pages && is_list;
        Self {
            workers,
            before: compared.then(|| Before::new(workers.session().reader(), before)),
            builder: ContentBuilder::new(layout),
            pending: VecDeque::new(),
            length: 0,
            chunks: 0,
        }
    }

    fn push_chunk(&mut self, plain: Vec<u8>) -> Result<(), WriteError> {
        let length = plain.len() as u64;
        let before = self.chunk_before()?;
        let (id, reply) = bounded(1);
        self.workers.send(Job::Chunk { plain, before, id })?;
        self.pending.push_back((reply, length));
        self.length += length;
        self.chunks += 1;
        while let Some((reply, length)) = self.pending.front() {
            let Ok(id) = reply.try_recv() else {
                break;
            };
            let length = *length;
            self.pending.pop_front();
            self.list(Child::Chunk { id, length })?;
        }
        Ok(())
    }

    /// The parent's chunk at this offset. A parent that cannot be read is no reason to fail: its
    /// chunks are then stored in full.
    fn chunk_before(&mut self) -> Result<Option<BlobId>, WriteError> {
        let Some(before) = &mut self.before else {
            return Ok(None);
        };
        match before.chunk_at(self.length) {
            Ok(chunk) => Ok(chunk),
            Err(error) if error.is_damage() => {
                self.before = None;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn push_hole(&mut self, length: u64) -> Result<(), WriteError> {
        self.wait()?;
        self.length += length;
        self.list(Child::Hole { length })
    }

    fn list(&mut self, child: Child) -> Result<(), WriteError> {
        self.builder.push(child, self.workers)
    }

    fn wait(&mut self) -> Result<(), WriteError> {
        while let Some((reply, length)) = self.pending.pop_front() {
            let id = reply.recv().map_err(|_| self.workers.failure())?;
            self.list(Child::Chunk { id, length })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Child, WriteError> {
        self.wait()?;
        self.builder.finish(self.workers)
    }
}

/// The chunks of a page file in the parent snapshot, passed over as the new file is read.
struct Before<'r> {
    cursor: ContentCursor<'r, 'r>,
    current: Option<Piece>,
}

impl<'r> Before<'r> {
    fn new(reader: &'r Reader<'r>, content: Child) -> Self {
        Self {
            cursor: ContentCursor::new(reader, content),
            current: None,
        }
    }

    /// The chunk that begins at `offset`; offsets must grow.
    fn chunk_at(&mut self, offset: u64) -> Result<Option<BlobId>, ReadError> {
        while self.current.is_none_or(|piece| piece.offset < offset) {
            match self.cursor.next_piece()? {
                Some(piece) => self.current = Some(piece),
                None => return Ok(None),
            }
        }
        Ok(self
            .current
            .filter(|piece| piece.offset == offset)
            .and_then(|piece| piece.chunk))
    }
}
