//! Committing: packs and segments durable, a last look, then the snapshot.
//!
//! Spec: `format-spec/11-ordering.md`, writer, steps 4 to 6.

use crate::crypto::Role;
use crate::format::blob::{BlobKind, Form};
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::Set;
use crate::format::record::PlainPart;
use crate::format::segment::{PackRows, encode_segment};
use crate::format::snapshot::{SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain};
use crate::id::{BlobId, ObjectId, PackId, SegmentId, SessionId, SnapshotId};
use crate::limits;
use crate::monitor::Monitor;
use crate::planted::{self, Bug};
use crate::repository::writer::{
    BlobStatistics, DATA_KEY, LINK_KEY, PreparedBlob, WriteError, WriteSession,
};
use crate::repository::{SessionError, put_named};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Packs after which a run's first segment is written while the run goes on: what a crashed run
/// stored is found again through it. Doubled with every further segment, so that a crash costs
/// about half of a small run, and a large run does not write many.
const SEGMENT_PACKS_FIRST: usize = 2;

/// Most packs that wait for a segment.
const SEGMENT_PACKS_MAX: usize = 16;

/// A snapshot about to be committed.
#[derive(Debug)]
pub struct SnapshotParts {
    /// The root directory's links blob.
    pub root: BlobId,
    /// What retention needs.
    pub label: SnapshotLabel,
    /// What people want to know.
    pub body: SnapshotBody,
    /// The writer's previous commits.
    pub heads: Vec<SnapshotId>,
}

/// A snapshot was not committed. Nothing that was saved before is touched.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Packs that the snapshot relies on went away meanwhile: capture again without them.
    #[error("{} packs that were relied on are gone", .0.len())]
    Vanished(HashSet<PackId>),
    /// Somebody closed this session as dead. The snapshot does not count: capture again.
    #[error("session {0} was closed by another process as dead")]
    Fenced(SessionId),
}

impl<E: Into<SessionError>> From<E> for CommitError {
    fn from(error: E) -> Self {
        Self::Write(WriteError::Session(error.into()))
    }
}

impl WriteSession<'_> {
    /// Adds a blob that [`WriteSession::claim`] said is owed.
    pub fn add(&self, blob: PreparedBlob) -> Result<(), WriteError> {
        self.note(&blob);
        let repository = self.repository();
        let link = &self.keys.link.1;
        self.packs
            .push(blob, link, repository.store(), repository.entropy())?;
        let written = self.state().segments;
        let target = SEGMENT_PACKS_FIRST << written.min(8);
        if self.packs.packs_waiting() >= target.min(SEGMENT_PACKS_MAX) {
            self.write_segments()?;
            self.session.beat(repository)?;
        }
        Ok(())
    }

    fn note(&self, blob: &PreparedBlob) {
        let mut state = self.state();
        let statistics = &mut state.statistics;
        let chunks = std::iter::once(&blob.row).chain(&blob.members);
        for row in chunks.filter(|row| row.kind == BlobKind::Chunk) {
            statistics.chunks_new += 1;
            statistics.bytes_new += u64::from(row.plain);
            statistics.chunks_delta += u64::from(matches!(row.form, Form::Delta { .. }));
        }
    }

    /// Makes everything added so far durable and listed in segments.
    pub fn flush(&self) -> Result<(), WriteError> {
        let repository = self.repository();
        let link = &self.keys.link.1;
        self.packs
            .flush(link, repository.store(), repository.entropy())?;
        self.write_segments()?;
        repository.store().barrier()?;
        Ok(())
    }

    fn write_segments(&self) -> Result<(), WriteError> {
        let mut rows = 0;
        let mut batch: Vec<PackRows> = Vec::new();
        for pack in self.packs.take_rows() {
            if rows + pack.rows.len() > limits::SEGMENT_ROWS_MAX {
                self.write_segment(&std::mem::take(&mut batch))?;
                rows = 0;
            }
            rows += pack.rows.len();
            batch.push(pack);
        }
        match batch.is_empty() {
            true => Ok(()),
            false => self.write_segment(&batch),
        }
    }

    fn write_segment(&self, packs: &[PackRows]) -> Result<(), WriteError> {
        let content = encode_segment(packs);
        let part = PlainPart {
            role: Role::Segment,
            key_number: LINK_KEY,
            key: &self.keys.link.1,
            content: &content,
        };
        let repository = self.repository();
        let envelope = self.envelope(ObjectType::Segment);
        let bytes = repository.seal_record(&envelope, self.session.id(), &[], &[part])?;
        let id = SegmentId(*blake3::hash(&bytes).as_bytes());
        put_named(repository.store(), layout::segment(&id), &bytes)?;
        let index = self.reader.index();
        index.load(id, packs)?;
        index.show(id);
        let mut state = self.state();
        state.statistics.bytes_stored += bytes.len() as u64;
        state.segments += 1;
        for pack in packs {
            for row in &pack.rows {
                state.pending.remove(&row.id);
                let rests_on_others = matches!(row.form, Form::Delta { .. });
                if let Some(settled) = state.awaited.get_mut(&row.id).filter(|_| !rests_on_others) {
                    *settled = Some(pack.pack);
                }
            }
        }
        Ok(())
    }

    /// Commits a snapshot and returns its id and its label, totals filled in: when this returns,
    /// the snapshot is durable and visible.
    pub fn commit(
        &self,
        mut parts: SnapshotParts,
    ) -> Result<(SnapshotId, SnapshotLabel), CommitError> {
        self.flush()?;
        let gone = self.vanished_packs().map_err(WriteError::from)?;
        if !gone.is_empty() {
            return Err(CommitError::Vanished(gone));
        }
        let BlobStatistics {
            bytes_new,
            chunks_new,
            chunks_delta,
            bytes_stored,
        } = self.statistics();
        let totals = &mut parts.label.totals;
        totals.bytes_new = bytes_new;
        totals.chunks_new = chunks_new;
        totals.chunks_delta = chunks_delta;
        totals.bytes_stored = bytes_stored;
        let bytes = self.encode_counting_itself(&mut parts)?;
        let id = SnapshotId(*blake3::hash(&bytes).as_bytes());
        let store = self.repository().store();
        put_named(store, layout::snapshot(&id), &bytes)?;
        store.barrier()?;
        let is_fenced = self.session.is_fenced(self.repository())?;
        if is_fenced && !planted::has(Bug::WriterIgnoresFence) {
            return Err(CommitError::Fenced(self.session.id()));
        }
        let mut state = self.state();
        state.commits.push(ObjectId(id.0));
        // The next snapshot of this session counts its own growth.
        state.statistics = BlobStatistics::default();
        self.packs.reset_bytes();
        Ok((id, parts.label))
    }

    /// Encodes a snapshot whose stored bytes include its own. Its length depends on that number
    /// only where that needs another byte, so a second or third encoding settles it.
    fn encode_counting_itself(&self, parts: &mut SnapshotParts) -> Result<Vec<u8>, WriteError> {
        let others = parts.label.totals.bytes_stored;
        let mut bytes = self.encode_snapshot(parts)?;
        for _ in 0..2 {
            let all = others + bytes.len() as u64;
            if parts.label.totals.bytes_stored == all {
                break;
            }
            parts.label.totals.bytes_stored = all;
            bytes = self.encode_snapshot(parts)?;
        }
        Ok(bytes)
    }

    fn encode_snapshot(&self, parts: &SnapshotParts) -> Result<Vec<u8>, WriteError> {
        let plain = SnapshotPlain {
            heads: parts.heads.clone(),
        };
        let links = SnapshotLinks { root: parts.root }.encode();
        let (label, body) = (parts.label.encode(), parts.body.encode());
        let part = |role: Role, content| PlainPart {
            role,
            key_number: if role.uses_data_key() {
                DATA_KEY
            } else {
                LINK_KEY
            },
            key: match role.uses_data_key() {
                true => &self.keys.data.1,
                false => &self.keys.link.1,
            },
            content,
        };
        let parts = [
            part(Role::SnapshotBody, body.as_slice()),
            part(Role::SnapshotLinks, links.as_slice()),
            part(Role::SnapshotLabel, label.as_slice()),
        ];
        let envelope = self.envelope(ObjectType::Snapshot);
        let repository = self.repository();
        Ok(repository.seal_record(&envelope, self.session.id(), &plain.encode(), &parts)?)
    }

    /// Packs relied on that a LIST no longer shows.
    fn vanished_packs(&self) -> Result<HashSet<PackId>, SessionError> {
        let mut missing = self.state().relied_on.clone();
        if missing.is_empty() {
            return Ok(missing);
        }
        self.repository().store().list(layout::PACKS, &mut |info| {
            if let Some((_, pack)) = layout::parse_pack(info.key.as_str()) {
                missing.remove(&pack);
            }
            ControlFlow::Continue(())
        })?;
        Ok(missing)
    }

    /// Writes the set that joins the snapshots of one run.
    pub fn commit_set(&self, set: &Set) -> Result<(), CommitError> {
        let content = set.encode();
        let part = PlainPart {
            role: Role::Record,
            key_number: LINK_KEY,
            key: &self.keys.link.1,
            content: &content,
        };
        let repository = self.repository();
        let envelope = self.envelope(ObjectType::Set);
        let bytes = repository
            .seal_record(&envelope, self.session.id(), &[], &[part])
            .map_err(WriteError::from)?;
        let id = ObjectId(*blake3::hash(&bytes).as_bytes());
        put_named(
            repository.store(),
            layout::by_content(layout::SETS, &id),
            &bytes,
        )?;
        Ok(repository.store().barrier()?)
    }

    /// Ends a session that commits nothing more, after listing what it stored: the next run finds it.
    /// When that fails too (a full disk, a lost store) the session stays open, to be closed by a prune:
    /// that is told, and the error that led here is the one to report.
    pub fn abandon(self, monitor: &dyn Monitor) {
        if let Err(error) = self.flush().and_then(|()| self.end()) {
            monitor.warn(&format!(
                "the session stays open until a prune closes it: {}",
                crate::explain::explain(&error)
            ));
        }
    }

    /// Ends the session. Only after every commit was acknowledged; without it the session stays
    /// open until a prune closes it.
    pub fn end(self) -> Result<(), WriteError> {
        let repository = self.repository();
        let commits = std::mem::take(&mut self.state().commits);
        Ok(self.session.end(repository, commits)?)
    }
}
