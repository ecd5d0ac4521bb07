//! Steps 1 and 4: another prune is given way, writers that were seen are waited for or closed,
//! readers get their grace.
//!
//! Writers never wait for any of this. Waiting is polling: safety needs only that every writer of
//! the first look has ended or was closed before anything is marked again.

use crate::env::Timestamp;
use crate::format::protocol::SessionKind;
use crate::id::{SessionId, WriterId};
use crate::monitor::Unit;
use crate::planted::{self, Bug};
use crate::prune::PruneError;
use crate::prune::execute::Round;
use crate::repository::gc::SessionState;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

/// The first pause between two looks; doubled up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(125);

/// The longest pause between two looks: what a prune is late at most.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Longest sleep before a request to stop is looked at.
const SLICE: Duration = Duration::from_millis(250);

/// An own sign of life, which also asks the store for its time, is written at least this often.
const PROBE_MAX: Duration = Duration::from_secs(15 * 60);

/// And at most this often.
const PROBE_MIN: Duration = Duration::from_millis(500);

/// A writer that a prune waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWriter {
    /// Its session: what `fence` takes.
    pub session: SessionId,
    /// Whose credential it uses, where its flag can be read.
    pub writer: Option<WriterId>,
    /// How long its last sign of life is ago, where the store tells times.
    pub silent: Option<Duration>,
}

impl OpenWriter {
    fn of(look: &Look, session: &SessionState) -> Self {
        Self {
            session: session.id,
            writer: session.writer,
            silent: look.silence(session),
        }
    }
}

impl fmt::Display for OpenWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.session.short())?;
        if let Some(writer) = self.writer {
            write!(f, " of writer {}", writer.short())?;
        }
        if let Some(silent) = self.silent {
            let ago = crate::units::seconds(silent);
            write!(f, ", last sign of life {ago} ago")?;
        }
        Ok(())
    }
}

/// The open sessions of others as one look shows them, and the store's time of that look.
struct Look {
    open: Vec<SessionState>,
    now: Option<Timestamp>,
}

impl Look {
    /// How long a session has given no sign of life, by the store's time.
    fn silence(&self, session: &SessionState) -> Option<Duration> {
        Some(self.now?.since(session.last_sign?))
    }
}

impl Round<'_> {
    /// Step 1. Closes who was named or is judged dead, whatever it does; then refuses beside
    /// another prune. Of two that begin at once both may refuse, never none.
    pub(super) fn give_way(&self) -> Result<(), PruneError> {
        let mut look = self.look()?;
        let (closed, open): (Vec<_>, Vec<_>) = std::mem::take(&mut look.open)
            .into_iter()
            .partition(|session| {
                self.options.fence.contains(&session.id) || self.is_dead(&look, session)
            });
        for session in closed {
            self.close(&look, &session)?;
        }
        let is_prune = |session: &&SessionState| session.kind == Some(SessionKind::Prune);
        match open.iter().find(is_prune) {
            _ if planted::has(Bug::TwoPrunes) => Ok(()),
            Some(other) => Err(PruneError::Busy(other.id)),
            None => Ok(()),
        }
    }

    /// Step 4. The look comes after the condemn: a writer that it does not show opens later and
    /// sees the condemn. Those it shows are waited for until each has ended or is closed. A prune
    /// that opens now sees this one and gives way.
    pub(super) fn wait_for_writers(&self) -> Result<(), PruneError> {
        let mut look = self.look()?;
        let mut waiting: HashSet<SessionId> = look
            .open
            .iter()
            .filter(|session| session.kind != Some(SessionKind::Prune))
            .map(|session| session.id)
            .collect();
        let (all, mut pause) = (waiting.len(), PAUSE_FIRST);
        if all > 0 {
            let name = "waiting for running backups";
            self.context.monitor.phase(name, Unit::Items, None);
        }
        loop {
            look.open.retain(|session| waiting.contains(&session.id));
            let (dead, open): (Vec<_>, Vec<_>) = std::mem::take(&mut look.open)
                .into_iter()
                .partition(|session| self.is_dead(&look, session));
            for session in dead {
                self.close(&look, &session)?;
            }
            waiting = open.iter().map(|session| session.id).collect();
            if open.is_empty() {
                return Ok(());
            }
            if self.waited.get() >= self.options.wait {
                let open = open.iter().map(|session| OpenWriter::of(&look, session));
                return Err(PruneError::WritersOpen(open.collect()));
            }
            let text = format!("{} of {all}: {}", open.len(), names(&open));
            self.context.monitor.current(&text);
            let left = self.options.wait - self.waited.get();
            pause = pause.min(left);
            // Before it gives up it asks for the time anew: who is dead by then is closed.
            let probe = if pause == left {
                Duration::ZERO
            } else {
                self.probe()
            };
            self.pause(pause, probe)?;
            self.waited.set(self.waited.get() + pause);
            pause = (pause * 2).min(PAUSE_MAX);
            look = self.look_for(&waiting)?;
        }
    }

    /// Leaves what is condemned for readers that began before. Not for safety.
    pub(super) fn wait_for_readers(&self) -> Result<(), PruneError> {
        let mut left = self.options.grace;
        if !left.is_zero() {
            let name = "waiting for running restores";
            self.context.monitor.phase(name, Unit::Items, None);
        }
        while !left.is_zero() {
            let pause = left.min(PAUSE_MAX);
            self.pause(pause, self.probe())?;
            left -= pause;
        }
        Ok(())
    }

    fn is_dead(&self, look: &Look, session: &SessionState) -> bool {
        let silence = look.silence(session);
        silence.is_some_and(|silence| silence > self.options.dead_after)
    }

    fn close(&self, look: &Look, session: &SessionState) -> Result<(), PruneError> {
        self.repository
            .close_session(self.session.id(), session.id)?;
        let closed = OpenWriter::of(look, session);
        self.context.monitor.warn(&format!("closed {closed}"));
        Ok(())
    }

    /// Lists `sessions/`, then `gc/`.
    fn look(&self) -> Result<Look, PruneError> {
        let sessions = self.repository.list_sessions()?;
        let flags = self.repository.load_flags()?;
        let mut fenced = HashSet::new();
        if planted::has(Bug::FenceTakenForClosed) {
            for session in &sessions {
                if self.repository.is_fenced(session.id)? {
                    fenced.insert(session.id);
                }
            }
        }
        let is_closed = |id| flags.is_closed(id) || fenced.contains(&id);
        Ok(self.looked(sessions, &is_closed))
    }

    /// The same, without reading the records of others.
    fn look_for(&self, waiting: &HashSet<SessionId>) -> Result<Look, PruneError> {
        let sessions = self.repository.list_sessions()?;
        let closed = self.repository.closed_among(waiting)?;
        Ok(self.looked(sessions, &|id| closed.contains(&id)))
    }

    fn looked(&self, sessions: Vec<SessionState>, is_closed: &dyn Fn(SessionId) -> bool) -> Look {
        let own = self.session.id();
        // What this session put tells the store's time.
        let now = sessions.iter().find(|session| session.id == own);
        let now = now.and_then(|session| session.last_sign);
        // What a revoked writer commits counts only where it was closed before: nothing waits for it.
        let revoked = &self.repository.access().statement().revoked;
        let is_revoked =
            |session: &SessionState| session.writer.is_some_and(|by| revoked.contains(&by));
        let mut open = sessions;
        open.retain(|session| {
            session.id != own && session.is_open() && !is_closed(session.id) && !is_revoked(session)
        });
        Look { open, now }
    }

    /// Age of an own sign of life after which the next one is due.
    fn probe(&self) -> Duration {
        (self.options.dead_after / 8).clamp(PROBE_MIN, PROBE_MAX)
    }

    /// Lets time pass, with signs of life, until it is over or somebody asks to stop.
    fn pause(&self, duration: Duration, probe: Duration) -> Result<(), PruneError> {
        let mut left = duration;
        while !left.is_zero() {
            self.context.cancel.check()?;
            let slice = left.min(SLICE);
            self.context.sleeper.sleep(slice);
            left -= slice;
        }
        self.context.cancel.check()?;
        Ok(self.session.beat_after(self.repository, probe)?)
    }
}

fn names(open: &[SessionState]) -> String {
    let names: Vec<String> = open.iter().map(|session| session.id.short()).collect();
    names.join(", ")
}
