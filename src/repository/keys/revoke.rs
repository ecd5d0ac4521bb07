//! Revoking a writer: what it committed so far counts, nothing that it signs later does.
//!
//! Spec: `format-spec/04-keys.md`, statement. Its sessions that committed something are closed
//! first, which names what counts; then the statement is published. A crash in between leaves
//! closed sessions, and the writer as it was.

use crate::id::{SessionId, WriterId};
use crate::repository::{KeyError, Repository, SessionError};

impl Repository {
    /// Revokes a writer, once; of the credential in use it is refused. Returns how many sessions
    /// were closed: each leaves two small records for ever.
    pub fn revoke_writer(&mut self, writer: WriterId) -> Result<usize, SessionError> {
        self.check_revocation(writer)?;
        let mut statement = self.access.statement().clone();
        if statement.revoked.contains(&writer) {
            return Ok(0);
        }
        let sessions = self.sessions_of(writer)?;
        let closer = SessionId(self.entropy.array()?);
        self.close_sessions(closer, &sessions)?;
        statement.revoked.push(writer);
        self.publish(statement)?;
        Ok(sessions.len())
    }

    /// Fails where [`Repository::revoke_writer`] would before it writes. Changes nothing.
    pub fn check_revocation(&self, writer: WriterId) -> Result<(), KeyError> {
        self.check_key_change()?;
        match writer == self.access.writer() {
            true => Err(KeyError::RevokesItself),
            false => Ok(()),
        }
    }

    /// The sessions in which a writer committed snapshots or deletes. A snapshot that cannot be
    /// read may be one of its own, and would not count any more when it can be read again: an error.
    fn sessions_of(&self, writer: WriterId) -> Result<Vec<SessionId>, SessionError> {
        let mut flags = self.load_flags()?;
        if let Some(damaged) = flags.damaged.pop() {
            return Err(damaged.into());
        }
        let deletes = flags.prune_records.iter().filter(|record| record.is_delete);
        let deletes = deletes.map(|record| (record.writer, record.session));
        let snapshots = self.list_commits()?;
        let snapshots = snapshots
            .iter()
            .map(|commit| (commit.writer, commit.session));
        let own = snapshots.chain(deletes).filter(|(by, _)| *by == writer);
        let mut sessions: Vec<_> = own.map(|(_, session)| session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        Ok(sessions)
    }
}
