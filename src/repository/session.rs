//! Sessions: the unit of trust between writers and prunes.
//!
//! Spec: `format-spec/11-ordering.md`. A session raises its flag, then looks.

use crate::env::{EntropyError, Timestamp};
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::{SessionBeat, SessionEnd, SessionKind, SessionOpen};
use crate::id::{ObjectId, SegmentId, SessionId};
use crate::monitor::Monitor;
use crate::repository::index::{Index, IndexError};
use crate::repository::records::FlagError;
use crate::repository::{KeyError, RecordLoadError, Repository, object_key};
use crate::store::{StoreError, StoreExt};
use std::sync::Mutex;
use std::time::Duration;

/// A sign of life is written this often.
const BEAT: Duration = Duration::from_secs(15 * 60);

/// A session could not be opened, kept or ended, or the index not be brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Nothing that this credential writes would count.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
    /// The local index failed.
    #[error("cannot update the local index")]
    Index(#[from] IndexError),
}

impl From<FlagError> for SessionError {
    fn from(error: FlagError) -> Self {
        match error {
            FlagError::Keys(error) => Self::Keys(error),
            FlagError::Store(error) => Self::Store(error),
            FlagError::Entropy(error) => Self::Entropy(error),
        }
    }
}

/// An open session. Dropped without [`Session::end`] it stays open, to be closed by a prune.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    beat: Mutex<(u64, Timestamp)>,
}

impl Session {
    /// Raises the flag: durable before anything is looked at.
    pub fn open(repository: &Repository, kind: SessionKind) -> Result<Self, SessionError> {
        let id = SessionId(repository.entropy().array()?);
        let plain = SessionOpen { kind }.encode();
        let key = layout::session(&id, "open");
        repository.put_flag(key, ObjectType::SessionOpen, id, &plain)?;
        repository.store().barrier()?;
        Ok(Self {
            id,
            beat: Mutex::new((0, repository.clock().now())),
        })
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Writes a sign of life when the last one is 15 minutes old.
    pub fn beat(&self, repository: &Repository) -> Result<(), SessionError> {
        self.beat_after(repository, BEAT)
    }

    /// Writes a sign of life when the last one is older than `interval`. It also tells the
    /// store's time.
    pub fn beat_after(
        &self,
        repository: &Repository,
        interval: Duration,
    ) -> Result<(), SessionError> {
        let number = {
            let mut beat = self
                .beat
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = repository.clock().now();
            // A clock that was set back must not silence the session.
            let age = u64::try_from(now.0.saturating_sub(beat.1.0));
            if age.is_ok_and(|age| Duration::from_nanos(age) < interval) {
                return Ok(());
            }
            *beat = (beat.0 + 1, now);
            beat.0
        };
        let key = layout::session(&self.id, format_args!("beat.{number}"));
        let plain = SessionBeat { number }.encode();
        repository.put_flag(key, ObjectType::SessionBeat, self.id, &plain)?;
        Ok(())
    }

    /// Whether somebody is closing this session: what it commits may not count.
    pub fn is_fenced(&self, repository: &Repository) -> Result<bool, SessionError> {
        Ok(repository.is_fenced(self.id)?)
    }

    /// Lowers the flag. Only when every commit PUT was acknowledged.
    pub fn end(self, repository: &Repository, commits: Vec<ObjectId>) -> Result<(), SessionError> {
        let plain = SessionEnd { commits }.encode();
        let key = layout::session(&self.id, "end");
        repository.put_flag(key, ObjectType::SessionEnd, self.id, &plain)?;
        repository.store().barrier()?;
        Ok(())
    }
}

impl Repository {
    /// Whether somebody has begun to close a session: what of it counts may not be decided yet.
    pub(crate) fn is_fenced(&self, session: SessionId) -> Result<bool, StoreError> {
        self.store()
            .exists(&object_key(layout::gc(&session, "fence"))?)
    }

    /// Lists `index/`, loads the segments that `index` lacks and lets it show exactly those
    /// listed. A segment that is damaged or in a domain that this credential does not hold is
    /// passed over: what only it names cannot be found, and `check` says so.
    pub fn refresh_index(&self, index: &Index, monitor: &dyn Monitor) -> Result<(), SessionError> {
        match self.load_missing(index, monitor) {
            // The cache is disposable: empty it and load everything again.
            Err(SessionError::Index(IndexError::Unreadable { .. })) => {
                index.clear();
                self.load_missing(index, monitor)
            }
            done => done,
        }
    }

    fn load_missing(&self, index: &Index, monitor: &dyn Monitor) -> Result<(), SessionError> {
        let listed: Vec<SegmentId> = self
            .store()
            .list_all(layout::SEGMENTS)?
            .iter()
            .filter_map(|info| info.key.file_name().parse().ok())
            .collect();
        index.recover();
        for segment in index.missing(&listed) {
            match self.load_segment(segment) {
                Ok(Some(packs)) => index.load(segment, &packs)?,
                Ok(None) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_damage() => {
                    monitor.warn(&format!(
                        "index segment {segment} is damaged and passed over"
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        index.set_visible(&listed);
        if let Some(warning) = index.take_warning() {
            monitor.warn(&warning);
        }
        Ok(())
    }
}
