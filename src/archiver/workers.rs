//! The threads that hash, compress and seal, and the bounded queue before them.

use crate::archiver::stream::{Search, Stored};
use crate::codec::Effort;
use crate::entry::Layout;
use crate::format::blob::BlobKind;
use crate::id::BlobId;
use crate::repository::{Known, Sealer, WriteError, WriteSession};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// Jobs that wait for each worker: enough that none idles while the source's thread reads.
const QUEUED_PER_WORKER: usize = 2;

/// Buffers kept for reuse.
const POOLED_BUFFERS: usize = 32;

/// What a chunk may be stored as a difference to.
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// The chunk of a page file that stood in its place in the parent snapshot.
    Page(BlobId),
    /// Chunks of a stream's parent, by likeness and by place.
    Stream(Search),
}

/// Something to be stored.
pub(super) enum Job {
    /// A chunk whose id is not known yet; it is sent back.
    Chunk {
        /// Its plaintext.
        plain: Vec<u8>,
        /// What it may be a difference to.
        before: Before,
        /// Where its id goes, and what became of it.
        stored: Sender<Stored>,
    },
    /// A blob that this session owes.
    Owed {
        /// Its id.
        id: BlobId,
        /// What it is.
        kind: BlobKind,
        /// Its plaintext.
        plain: Vec<u8>,
    },
    /// A group of small chunks that this session owes.
    Group {
        /// Their concatenation.
        plain: Vec<u8>,
        /// Id and length of each.
        members: Vec<(BlobId, u32)>,
    },
}

/// The queue, the pool of buffers, and the first failure.
pub(super) struct Workers<'scope> {
    session: &'scope WriteSession<'scope>,
    jobs: Option<Sender<Job>>,
    buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    failure: &'scope Mutex<Option<WriteError>>,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Workers<'scope> {
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        session: &'env WriteSession<'env>,
        effort: Effort,
        count: usize,
        failure: &'env Mutex<Option<WriteError>>,
    ) -> Self {
        let (jobs, queue) = bounded::<Job>(count * QUEUED_PER_WORKER);
        let buffers = bounded(POOLED_BUFFERS);
        let threads = (0..count)
            .map(|_| {
                let (queue, pool) = (queue.clone(), buffers.0.clone());
                scope.spawn(move || work(session, effort, &queue, &pool, failure))
            })
            .collect();
        Self {
            session,
            jobs: Some(jobs),
            buffers,
            failure,
            threads,
        }
    }

    /// The session that is written to.
    pub(super) fn session(&self) -> &'scope WriteSession<'scope> {
        self.session
    }

    /// A buffer, with whatever it held before: growing it again would cost more than reading.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.buffers.1.try_recv().unwrap_or_default()
    }

    /// Queues a job; waits while the queue is full. Fails with the first failure of any worker.
    pub(super) fn send(&self, job: Job) -> Result<(), WriteError> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(self.failure()),
        }
    }

    /// What made a worker stop.
    pub(super) fn failure(&self) -> WriteError {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().unwrap_or(WriteError::PackLost)
    }

    /// Waits until everything queued is done.
    pub(super) fn finish(mut self) -> Result<(), WriteError> {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                return Err(WriteError::PackLost);
            }
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}

fn work(
    session: &WriteSession<'_>,
    effort: Effort,
    queue: &Receiver<Job>,
    pool: &Sender<Vec<u8>>,
    failure: &Mutex<Option<WriteError>>,
) {
    let mut sealer = Sealer::new(session, effort);
    for job in queue {
        let done = perform(session, &mut sealer, job);
        match done {
            // A full pool means that the buffer is not needed.
            Ok(buffer) => drop(pool.try_send(buffer)),
            Err(error) => {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                return;
            }
        }
    }
}

/// Does a job and gives its buffer back.
fn perform(
    session: &WriteSession<'_>,
    sealer: &mut Sealer<'_, '_>,
    job: Job,
) -> Result<Vec<u8>, WriteError> {
    Ok(match job {
        Job::Chunk {
            plain,
            before,
            stored: reply,
        } => {
            let stored = store_chunk(session, sealer, &plain, &before)?;
            // Nobody waits any more when the capture failed meanwhile.
            let _ = reply.send(stored);
            plain
        }
        Job::Owed { id, kind, plain } => {
            session.add(sealer.prepare(id, kind, &plain)?)?;
            plain
        }
        Job::Group { plain, members } => {
            session.add(sealer.prepare_group(&plain, &members)?)?;
            plain
        }
    })
}

fn store_chunk(
    session: &WriteSession<'_>,
    sealer: &mut Sealer<'_, '_>,
    plain: &[u8],
    before: &Before,
) -> Result<Stored, WriteError> {
    let id = sealer.id(BlobKind::Chunk, plain);
    let known = session.claim(id, BlobKind::Chunk)? == Known::Yes;
    let mut stored = Stored {
        id,
        sketch: None,
        follows: known.then_some(id),
    };
    let (candidates, layout) = match before {
        Before::Nothing => ([None, None], Layout::Stream),
        Before::Page(before) => ([Some(*before), None], Layout::Pages),
        Before::Stream(search) => {
            stored.sketch = search.sketch(&id, plain, known);
            (search.candidates(stored.sketch.as_ref()), Layout::Stream)
        }
    };
    if known {
        return Ok(stored);
    }
    for candidate in candidates.into_iter().flatten() {
        if let Some(delta) = sealer.prepare_delta(id, plain, candidate, layout)? {
            session.add(delta)?;
            stored.follows = Some(candidate);
            break;
        }
    }
    if stored.follows.is_none() {
        if let (Before::Stream(search), [_, Some(_)]) = (before, candidates) {
            search.miss();
        }
        session.add(sealer.prepare(id, BlobKind::Chunk, plain)?)?;
    }
    Ok(stored)
}
