//! The one place where what is done is reported: to the repository's audit chain, to its copy as JSON
//! lines on this host, and to those who are told.
//!
//! A command says when something begins and how it ended. What cannot be written down is told loudly;
//! what deletes or hands out rights is not even begun then.

mod lines;

use crate::cli::commands::snapshot::capture::{host_name, user_name};
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::event::{Activity, Actor, Ending, Event, Status, Subject};
use crate::explain::explain;
use crate::format::audit::{AUDIT_EVENTS_MAX, AuditContent};
use crate::id::RepositoryId;
use crate::monitor::Monitor;
use crate::repository::{AuditChain, LinkRecordError, Repository, Snapshot};
pub use lines::{Line, rfc3339};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is said of something that was asked to stop.
pub const INTERRUPTED: &str = "interrupted";

/// What a check begins with that read all there is: only that ends what another one found.
pub const WHOLE: &str = "every byte of the repository";

/// Whether what cannot be written down may be done all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It is not begun: it deletes, or changes who may do what.
    Refuse,
    /// It is done and counts as done in part: a backup that is not in the audit log is better than none.
    Miss,
    /// It is done with a warning: a restore must not fail because its storage is read-only.
    Warn,
}

/// What this run of the program reported so far.
#[derive(Default)]
pub struct Reporter {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The chain of this process in each repository.
    chains: BTreeMap<RepositoryId, AuditChain>,
    /// Whether something was done that had to be written down and was not.
    missed: bool,
}

impl Reporter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something was done that had to be written down and was not.
    pub fn has_missed(&self) -> bool {
        self.state().missed
    }
}

/// Something that was begun and reported so; its end is to be reported too.
#[must_use = "how it ended must be reported"]
pub struct Act<'i> {
    invocation: &'i Invocation,
    activity: Activity,
    subject: Subject,
    duty: Duty,
}

impl Act<'_> {
    /// Reports how it ended.
    pub fn end(self, repository: &Repository, ending: Ending) {
        let event = self.complete(ending);
        let duty = match self.duty {
            // It is done: too late to refuse.
            Duty::Refuse => Duty::Miss,
            other => other,
        };
        let _told = self.invocation.report(Some(repository), &[event], duty);
    }

    /// Reports how it ended: with what `success` says, or with the error.
    pub fn conclude<T>(
        self,
        repository: &Repository,
        result: CommandResult<T>,
        success: impl FnOnce(&T) -> Ending,
    ) -> CommandResult<T> {
        let ending = match &result {
            Ok(done) => success(done),
            Err(error) => failure(error),
        };
        self.end(repository, ending);
        result
    }

    /// What it is.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// The event of its end, to be reported with others.
    pub fn complete(&self, ending: Ending) -> Event {
        let now = self.invocation.now();
        Event::complete(now, self.activity, &self.subject, ending)
    }
}

/// How something ended that failed: the chain is told what kind of failure it was, the copy on this
/// host in words, which may name files.
pub fn failure(error: &CommandError) -> Ending {
    let kind = match error.kind {
        ErrorKind::Failed => "failed",
        ErrorKind::Interrupted => INTERRUPTED,
        ErrorKind::Key => "failed: wrong or missing key",
        ErrorKind::Damage => "failed: damage",
        ErrorKind::Refused => "refused",
        ErrorKind::NoRepository => "failed: no repository there",
        ErrorKind::Usage | ErrorKind::Choice => "failed: wrong usage",
    };
    let ending = Ending::new(Status::Error, kind).error(error.message());
    match error.kind {
        ErrorKind::Damage => ending.verified(false),
        _ => ending,
    }
}

impl OpenRepository {
    /// What is done to this repository as a whole.
    pub fn subject(&self) -> Subject {
        Subject {
            location: Some(self.place.to_string()),
            ..Subject::default()
        }
    }

    /// What is done with one of its snapshots.
    pub fn subject_of(&self, snapshot: &Snapshot) -> Subject {
        Subject {
            snapshot: Some(snapshot.id),
            source: Some(snapshot.label.source.clone()),
            job: snapshot.label.job.clone(),
            ..self.subject()
        }
    }
}

impl Invocation {
    /// Reports that something begins.
    ///
    /// Errors: with [`Duty::Refuse`], that it could not be written down.
    pub fn begin(
        &self,
        repository: &Repository,
        activity: Activity,
        subject: Subject,
        duty: Duty,
    ) -> CommandResult<Act<'_>> {
        self.report_start(repository, &[activity], &subject, duty)?;
        Ok(Act {
            invocation: self,
            activity,
            subject,
            duty,
        })
    }

    /// The same of several things that begin at once.
    pub fn begin_all(
        &self,
        repository: &Repository,
        activities: &[Activity],
        subject: &Subject,
        duty: Duty,
    ) -> CommandResult<Vec<Act<'_>>> {
        self.report_start(repository, activities, subject, duty)?;
        let acts = activities.iter().map(|activity| Act {
            invocation: self,
            activity: *activity,
            subject: subject.clone(),
            duty,
        });
        Ok(acts.collect())
    }

    fn report_start(
        &self,
        repository: &Repository,
        activities: &[Activity],
        subject: &Subject,
        duty: Duty,
    ) -> CommandResult<()> {
        let now = self.now();
        let events = activities.iter();
        let events: Vec<Event> = events
            .map(|activity| Event::start(now, *activity, subject))
            .collect();
        match (self.report(Some(repository), &events, duty), duty) {
            (Err(error), Duty::Refuse) => {
                let is_told_why = !error.hints.is_empty();
                let error = error
                    .within("nothing was done, because it could not be written to the audit log");
                Err(match is_told_why {
                    true => error,
                    false => {
                        error.hint("make room, or let this host write to audit/ of the storage")
                    }
                })
            }
            _ => Ok(()),
        }
    }

    /// Reports events: to the audit chain of the repository, where one is open, and to everyone else.
    ///
    /// Errors: the chain could not be written. That was told, but for [`Duty::Refuse`].
    pub fn report(
        &self,
        repository: Option<&Repository>,
        events: &[Event],
        duty: Duty,
    ) -> CommandResult<()> {
        if let Err(error) = lines::append(self, repository, events) {
            let error = error.within("the copy of the audit log could not be written");
            self.ui.warn(&error.message());
            self.reporter.state().missed |= duty != Duty::Warn;
        }
        let chained = match repository {
            Some(repository) => self.append(repository, events),
            None => Ok(()),
        };
        self.tell_of_events(events);
        chained.inspect_err(|error| {
            if duty != Duty::Refuse {
                let error = error.within("the audit log could not be written");
                self.ui.warn(&error.message());
            }
            self.reporter.state().missed |= duty == Duty::Miss;
        })
    }

    fn append(&self, repository: &Repository, events: &[Event]) -> CommandResult<()> {
        let id = repository.config().repository;
        let offset = self.zone.to_offset(self.now().to_jiff()).seconds();
        for events in events.chunks(AUDIT_EVENTS_MAX) {
            let program = format!("icecore {}", env!("CARGO_PKG_VERSION"));
            let content = AuditContent::new(&actor(), program, offset, events);
            let known = self.reporter.state().chains.remove(&id);
            let chain = known.map_or_else(|| repository.begin_audit(), Ok);
            let appended =
                chain.and_then(|chain| repository.append_audit(chain, &content, &*self.ui));
            match appended {
                Ok(chain) => drop(self.reporter.state().chains.insert(id, chain)),
                Err(LinkRecordError::Keys(error)) => return Err(error.into()),
                Err(error) => return Err(CommandError::failed(explain(&error))),
            }
        }
        Ok(())
    }
}

/// Who acts: this process.
pub fn actor() -> Actor {
    Actor {
        user: user_name(),
        host: host_name(),
        process: std::process::id(),
    }
}
