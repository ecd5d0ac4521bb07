//! What the audit chains of a repository say of a stretch of time.

use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::env::Timestamp;
use crate::event::{Activity, Phase, Status};
use crate::format::audit::AuditEvent;
use crate::monitor::{Monitor, Unit};
use crate::repository::{AuditEntry, Repository};
use std::time::Duration;

/// How much later than an event its record may be made: a clock that is set back between the two.
const LATE: Duration = Duration::from_secs(3600);

/// An event and who is behind it.
#[derive(Debug, Clone)]
pub struct Happened {
    /// The user.
    pub user: String,
    /// The host.
    pub host: String,
    /// Whether the credential that signed it was revoked since.
    pub revoked: bool,
    /// What.
    pub event: AuditEvent,
}

impl Happened {
    /// Whether it is the end of this.
    pub fn ends(&self, activity: Activity) -> bool {
        self.event.phase() == Phase::Complete
            && self.event.name.strip_suffix("_complete") == Some(activity.name())
    }

    /// What came of it.
    pub fn status(&self) -> Status {
        self.event.status.into()
    }
}

/// What happened in a stretch of time, oldest first.
#[derive(Debug, Default)]
pub struct History {
    /// Events.
    pub events: Vec<Happened>,
    /// Records that this credential cannot open.
    pub sealed: u64,
    /// Records that cannot be read.
    pub damaged: u64,
}

impl Invocation {
    /// Reads what the audit chains say of the time from `from` on and before `to`.
    pub fn history(
        &self,
        repository: &Repository,
        from: Timestamp,
        to: Timestamp,
    ) -> CommandResult<History> {
        let mut names = repository.list_audit()?;
        names.retain(|name| from <= name.created.after(LATE) && name.created < to.after(LATE));
        self.ui
            .phase("audit", Unit::Items, Some(names.len() as u64));
        let (ui, cancel) = (&*self.ui, &self.cancel);
        let loaded = repository.load_audits(&names, self.workers(), ui, cancel);
        self.ui.clear();
        let mut history = History::default();
        for entry in loaded? {
            match entry {
                Ok(entry) => history.add(entry, from, to),
                Err(_) => history.damaged += 1,
            }
        }
        history.sort();
        Ok(history)
    }
}

impl History {
    /// What records say of a stretch of time.
    pub fn of(entries: Vec<AuditEntry>, from: Timestamp, to: Timestamp) -> Self {
        let mut history = Self::default();
        for entry in entries {
            let made = entry.name.created;
            if from <= made.after(LATE) && made < to.after(LATE) {
                history.add(entry, from, to);
            }
        }
        history.sort();
        history
    }

    fn add(&mut self, entry: AuditEntry, from: Timestamp, to: Timestamp) {
        let Some(content) = entry.content else {
            self.sealed += 1;
            return;
        };
        let events = content.events.into_iter();
        let within = events.filter(|event| from <= event.time && event.time < to);
        self.events.extend(within.map(|event| Happened {
            user: content.user.clone(),
            host: content.host.clone(),
            revoked: entry.revoked,
            event,
        }));
    }

    fn sort(&mut self) {
        self.events.sort_by_key(|happened| happened.event.time);
    }
}
