//! Reading one content: cut, hand to the workers, list.

use crate::archiver::content::ContentBuilder;
use crate::archiver::group::{GROUPED_BELOW, Grouper};
use crate::archiver::hints::Hints;
use crate::archiver::parent::ParentTree;
use crate::archiver::stream::{Stored, StreamParent};
use crate::archiver::workers::{Before, Job, Workers};
use crate::chunker::Chunker;
use crate::delta::Sketcher;
use crate::entry::Layout;
use crate::format::node::Child;
use crate::id::BlobId;
use crate::monitor::{Cancel, Interrupted, Monitor};
use crate::repository::{ReadError, Reader, WriteError, WriteSession};
use crate::source::{Content, ContentEnd, Extent, SourceError};
use crate::tree::{ContentCursor, Piece};
use crossbeam_channel::{Receiver, bounded};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of a stream that are looked at together: several windows of the chunker, so that what is
/// left over is seldom moved.
const STREAM_BUFFER_BYTES: usize = 4 << 20;

/// Streams of at least so many bytes have sketches kept: in shorter ones the place says enough.
const SKETCHED_FROM: usize = 1 << 20;

/// What one reading of a content gave.
pub(super) struct Reading {
    pub(super) child: Child,
    pub(super) length: u64,
    pub(super) chunks: u64,
    pub(super) end: ContentEnd,
    pub(super) may_be_remembered: bool,
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
    sketcher: Arc<Sketcher>,
    monitor: &'x dyn Monitor,
    grouper: Grouper,
    buffer: Vec<u8>,
    /// Identity of the source.
    source: String,
    parent: ParentTree,
}

impl<'x> FileReader<'x> {
    /// Reads contents of `source`, and compares them with what the tree below `parent` has.
    pub(super) fn new(
        session: &WriteSession<'_>,
        source: &str,
        parent: Option<BlobId>,
        monitor: &'x dyn Monitor,
    ) -> Self {
        let seed = session.domain().ids.sketch_seed();
        Self {
            chunker: session.chunker(),
            sketcher: Arc::new(Sketcher::new(&seed)),
            monitor,
            grouper: Grouper::default(),
            buffer: vec![0; STREAM_BUFFER_BYTES],
            source: source.to_owned(),
            parent: ParentTree::new(parent),
        }
    }

    /// Reads the content at `path` to its end.
    pub(super) fn read(
        &mut self,
        mut content: Box<dyn Content>,
        path: &[u8],
        workers: &Workers<'_>,
        cancel: &Cancel,
    ) -> Result<Reading, ReadFailure> {
        let (layout, may_be_remembered) = (content.layout(), content.may_be_remembered());
        let mut file = ChunkedFile::new(layout, path, workers);
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
            may_be_remembered,
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
        self.find_parent(file, false)?;
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

    /// Looks for what the parent has at the file's path. `is_sketched` says whether a stream is long
    /// enough to be compared by likeness.
    fn find_parent(
        &mut self,
        file: &mut ChunkedFile<'_, '_>,
        is_sketched: bool,
    ) -> Result<(), WriteError> {
        let session = file.workers.session();
        let before = self.parent.content(file.path, session.reader())?;
        let is_there = matches!(before, Child::Links { .. } | Child::Chunk { .. });
        file.parent = match file.layout {
            Layout::Pages if is_there => {
                FileParent::Pages(PagesBefore::new(session.reader(), before))
            }
            Layout::Stream if is_there || is_sketched => {
                let has_parent = self.parent.is_there();
                let hints =
                    is_sketched.then(|| Hints::new(session, &self.source, file.path, has_parent));
                let stream = StreamParent::new(session.reader(), before, hints, &self.sketcher);
                FileParent::Stream(Box::new(stream))
            }
            _ => FileParent::Nothing,
        };
        Ok(())
    }

    fn cut(
        &mut self,
        start: usize,
        end: usize,
        file: &mut ChunkedFile<'_, '_>,
    ) -> Result<usize, ReadFailure> {
        if file.length == 0 {
            self.find_parent(file, end - start >= SKETCHED_FROM)?;
        }
        let length = self.chunker.cut(Layout::Stream, &self.buffer[start..end]);
        let mut chunk = file.workers.buffer();
        chunk.clear();
        chunk.extend_from_slice(&self.buffer[start..start + length]);
        file.push_chunk(chunk)?;
        Ok(length)
    }
}

/// What a file is compared with.
enum FileParent<'scope> {
    Nothing,
    Pages(PagesBefore<'scope>),
    Stream(Box<StreamParent<'scope>>),
}

/// A chunk that is being stored.
struct Pending {
    stored: Receiver<Stored>,
    offset: u64,
    length: u64,
}

/// A file being cut: chunks whose ids are still being computed, and the list so far.
struct ChunkedFile<'w, 'scope> {
    layout: Layout,
    /// In the snapshot.
    path: &'w [u8],
    workers: &'w Workers<'scope>,
    parent: FileParent<'scope>,
    builder: ContentBuilder,
    pending: VecDeque<Pending>,
    length: u64,
    chunks: u64,
}

impl<'w, 'scope> ChunkedFile<'w, 'scope> {
    fn new(layout: Layout, path: &'w [u8], workers: &'w Workers<'scope>) -> Self {
        Self {
            layout,
            path,
            workers,
            parent: FileParent::Nothing,
            builder: ContentBuilder::new(layout),
            pending: VecDeque::new(),
            length: 0,
            chunks: 0,
        }
    }

    fn push_chunk(&mut self, plain: Vec<u8>) -> Result<(), WriteError> {
        let (offset, length) = (self.length, plain.len() as u64);
        let before = self.before(plain.len())?;
        let (reply, stored) = bounded(1);
        let job = Job::Chunk {
            plain,
            before,
            stored: reply,
        };
        self.workers.send(job)?;
        self.pending.push_back(Pending {
            stored,
            offset,
            length,
        });
        self.length += length;
        self.chunks += 1;
        while let Some(pending) = self.pending.front() {
            let Ok(stored) = pending.stored.try_recv() else {
                break;
            };
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            self.take(&pending, &stored)?;
        }
        Ok(())
    }

    /// What the next chunk may be a difference to. A parent that cannot be read is no reason to
    /// fail: its chunks are then stored in full.
    fn before(&mut self, length: usize) -> Result<Before, WriteError> {
        let before = match &mut self.parent {
            FileParent::Nothing => return Ok(Before::Nothing),
            FileParent::Pages(pages) => pages
                .chunk_at(self.length)
                .map(|chunk| chunk.map_or(Before::Nothing, Before::Page)),
            FileParent::Stream(stream) => stream.search(self.length, length).map(Before::Stream),
        };
        match before {
            Err(error) if error.is_damage() => {
                self.parent = FileParent::Nothing;
                Ok(Before::Nothing)
            }
            before => Ok(before?),
        }
    }

    /// Lists a stored chunk.
    fn take(&mut self, pending: &Pending, stored: &Stored) -> Result<(), WriteError> {
        if let FileParent::Stream(stream) = &mut self.parent {
            stream.learn(pending.offset, pending.length, stored);
        }
        self.list(Child::Chunk {
            id: stored.id,
            length: pending.length,
        })
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
        while let Some(pending) = self.pending.pop_front() {
            let stored = pending.stored.recv();
            let stored = stored.map_err(|_| self.workers.failure())?;
            self.take(&pending, &stored)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Child, WriteError> {
        self.wait()?;
        if let FileParent::Stream(stream) = self.parent {
            stream.finish();
        }
        self.builder.finish(self.workers)
    }
}

/// The chunks of a page file in the parent snapshot, passed over as the new file is read.
struct PagesBefore<'r> {
    cursor: ContentCursor<'r, 'r>,
    current: Option<Piece>,
}

impl<'r> PagesBefore<'r> {
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
