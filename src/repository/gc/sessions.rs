//! Sessions of others: alive, ended, or to be closed.

use crate::env::Timestamp;
use crate::format::certificate::Capabilities;
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::{Closed, SessionKind, SessionOpen};
use crate::format::record::{Authorship, Record};
use crate::id::{ObjectId, SessionId, SnapshotId, WriterId};
use crate::planted::{self, Bug};
use crate::repository::{Flags, RecordLoadError, Repository, SessionError, object_key};
use crate::store::{ObjectKey, StoreExt};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A session as its objects under `sessions/` show it.
#[derive(Debug, Clone)]
pub struct SessionState {
    /// Its name.
    pub id: SessionId,
    /// What it is for; `None` where its `open` cannot be read or is not there.
    pub kind: Option<SessionKind>,
    /// Whose credential opened it; `None` where its `open` cannot be read or is not there.
    pub writer: Option<WriterId>,
    /// Whether `end` is there.
    pub has_ended: bool,
    /// Its last sign of life by the store's time, where the store tells.
    pub last_sign: Option<Timestamp>,
    open: Option<ObjectKey>,
    others: Vec<ObjectKey>,
}

impl SessionState {
    fn new(id: SessionId) -> Self {
        Self {
            id,
            kind: None,
            writer: None,
            has_ended: false,
            last_sign: None,
            open: None,
            others: Vec::new(),
        }
    }

    /// Whether it may still commit, as far as `sessions/` says: `open` is there and no `end`.
    pub fn is_open(&self) -> bool {
        self.open.is_some() && !self.has_ended
    }
}

impl Repository {
    /// Lists `sessions/`.
    pub fn list_sessions(&self) -> Result<Vec<SessionState>, RecordLoadError> {
        let mut sessions: BTreeMap<SessionId, SessionState> = BTreeMap::new();
        let mut ended: Vec<(SessionId, WriterId)> = Vec::new();
        for info in self.store.list_all(layout::SESSIONS)? {
            let Some((id, what)) = layout::parse_flag(info.key.file_name()) else {
                continue;
            };
            let state = sessions.entry(id).or_insert_with(|| SessionState::new(id));
            state.last_sign = state.last_sign.max(info.modified);
            match what {
                "open" => {
                    if let Some((kind, writer)) = self.session_opened(id, &info.key)? {
                        (state.kind, state.writer) = (Some(kind), Some(writer));
                    }
                    state.open = Some(info.key);
                }
                _ => {
                    if what == "end" {
                        ended.extend(self.ended_by(&info.key)?.map(|writer| (id, writer)));
                    }
                    state.others.push(info.key);
                }
            }
        }
        // An `end` that cannot be read ends nothing, nor does one that somebody else signed: a prune
        // would not wait for a writer that is at work.
        for (id, writer) in ended {
            if let Some(state) = sessions.get_mut(&id) {
                state.has_ended = state.open.is_none() || state.writer == Some(writer);
            }
        }
        Ok(sessions.into_values().collect())
    }

    fn session_opened(
        &self,
        id: SessionId,
        key: &ObjectKey,
    ) -> Result<Option<(SessionKind, WriterId)>, RecordLoadError> {
        match self.load_record(key, ObjectType::SessionOpen, None) {
            Ok(record) if record.authorship.session != id => Ok(None),
            Ok(record) => {
                // Who may not maintain prunes nothing, and is no reason for a prune to give way.
                let maintains = record.certificate.capabilities();
                let maintains = maintains.includes(Capabilities::MAINTAIN);
                let kind = |open: SessionOpen| match maintains {
                    true => open.kind,
                    false => SessionKind::Write,
                };
                let opened = SessionOpen::decode(&record.plain).ok();
                Ok(opened.map(|open| (kind(open), record.authorship.writer)))
            }
            Err(error) if error.is_damage() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Who signed the `end` of a session.
    fn ended_by(&self, key: &ObjectKey) -> Result<Option<WriterId>, RecordLoadError> {
        match self.load_record(key, ObjectType::SessionEnd, None) {
            Ok(record) => {
                let Authorship {
                    session, writer, ..
                } = record.authorship;
                Ok((key.as_str() == layout::session(&session, "end")).then_some(writer))
            }
            Err(error) if error.is_damage() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those of `sessions` that a record under `gc/` closes. Reads no other record.
    pub fn closed_among(
        &self,
        sessions: &HashSet<SessionId>,
    ) -> Result<HashSet<SessionId>, RecordLoadError> {
        let flags = self.load_flags_of(&|session, what| {
            what.starts_with("closed.") && sessions.contains(&session)
        })?;
        let closed = sessions.iter().copied();
        Ok(closed.filter(|session| flags.is_closed(*session)).collect())
    }

    /// Closes a session for good: see [`Repository::close_sessions`].
    pub fn close_session(&self, closer: SessionId, session: SessionId) -> Result<(), SessionError> {
        self.close_sessions(closer, &[session])
    }

    /// Closes sessions for good: a fence for each, then a look at what they committed, then the
    /// records of what counts. May be done by several at once.
    pub fn close_sessions(
        &self,
        closer: SessionId,
        sessions: &[SessionId],
    ) -> Result<(), SessionError> {
        let early = match planted::has(Bug::ClosedFromOldList) {
            true => Some(self.commits_of(sessions)?),
            false => None,
        };
        for session in sessions {
            let key = layout::gc(session, "fence");
            self.put_flag(key, ObjectType::Fence, closer, &[])?;
        }
        self.store.barrier()?;
        let commits = match early {
            Some(commits) => commits,
            None => self.commits_of(sessions)?,
        };
        for (session, commits) in sessions.iter().zip(commits) {
            let session = *session;
            let plain = Closed { session, commits }.encode();
            let key = layout::gc(&session, format_args!("closed.{closer}"));
            self.put_flag(key, ObjectType::Closed, closer, &plain)?;
        }
        Ok(self.store.barrier()?)
    }

    /// What each session committed: its snapshots, or its `delete`. Of a revoked writer only what
    /// counts already: a closer must not confirm what was signed with a stolen key.
    fn commits_of(&self, sessions: &[SessionId]) -> Result<Vec<Vec<ObjectId>>, SessionError> {
        let mut commits: Vec<Vec<ObjectId>> = vec![Vec::new(); sessions.len()];
        let numbers: HashMap<_, usize> = sessions.iter().zip(0..).collect();
        let revoked = &self.access.statement().revoked;
        let flags = match revoked.is_empty() {
            true => Flags::default(),
            false => self.load_flags()?,
        };
        let counts = |record: &Record| {
            let Authorship {
                writer, session, ..
            } = record.authorship;
            flags.counts(writer, session, record.id) || !revoked.contains(&writer)
        };
        for info in self.store.list_all(layout::SNAPSHOTS)? {
            let Ok(id) = info.key.file_name().parse::<SnapshotId>() else {
                continue;
            };
            let id = ObjectId(id.0);
            match self.load_record(&info.key, ObjectType::Snapshot, Some(id)) {
                Ok(record) => match numbers.get(&record.authorship.session) {
                    Some(number) if counts(&record) => commits[*number].push(id),
                    _ => {}
                },
                // What is damaged now may be read again from a copy: it must not become void.
                Err(error) if error.is_damage() => commits.iter_mut().for_each(|of| of.push(id)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (session, commits) in sessions.iter().zip(&mut commits) {
            let key = object_key(layout::gc(session, "delete"))?;
            match self.load_record(&key, ObjectType::Delete, None) {
                Ok(record) if counts(&record) => commits.push(record.id),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(commits)
    }

    /// Removes the objects of a session that was ended or closed: `open` first, so that it never
    /// looks open again.
    pub fn remove_session(&self, session: &SessionState) -> Result<(), SessionError> {
        let open = object_key(layout::session(&session.id, "open"))?;
        if session.open.is_some() {
            self.store.delete(&open)?;
            self.store.barrier()?;
        } else if self.store.exists(&open)? {
            // It began while `sessions/` was being listed.
            return Ok(());
        }
        for key in &session.others {
            self.store.delete(key)?;
        }
        Ok(())
    }

    /// Whether a session's `open` is there now.
    pub fn has_open(&self, session: SessionId) -> Result<bool, SessionError> {
        let key = object_key(layout::session(&session, "open"))?;
        Ok(self.store.exists(&key)?)
    }
}
