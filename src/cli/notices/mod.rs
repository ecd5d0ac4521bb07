//! Who is told what: conditions out of what `status` finds and of what is reported, kept and delivered
//! by a ledger beside the records of jobs.

mod send;

use crate::claim::Claim;
use crate::cli::commands::run::Records;
use crate::cli::commands::status::gather;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::reporting::{INTERRUPTED, WHOLE};
use crate::config::{Notify, Severity};
use crate::event::{Activity, Event, Phase, Status};
use crate::monitor::{Cancel, Monitor};
use crate::notice::{Delivery, Ledger, Notice, OF_EVENTS};
use crate::status::{is_judged, judge};
use crate::store::Pacing;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Name of the ledger among the records.
const LEDGER: &str = "notices.json";

/// Longest wait for another process that writes the ledger.
const LOCK_MAX: Duration = Duration::from_secs(10);

/// How often the lock is tried.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// Those who are told, and what they were told.
pub struct Notices<'i> {
    invocation: &'i Invocation,
    configuration: Arc<Configuration>,
    records: Records,
}

/// What a delivery of everything that is due came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Messages that went.
    pub sent: usize,
    /// Messages that wait.
    pub waiting: usize,
}

impl Invocation {
    /// Those who are told; `None` where the configuration names nobody.
    pub fn notices(&self) -> CommandResult<Option<Notices<'_>>> {
        let Some(configuration) = self.configuration()? else {
            return Ok(None);
        };
        if configuration.config.notify.is_empty() {
            return Ok(None);
        }
        let records = Records::open(self, &configuration)?;
        Ok(Some(Notices {
            invocation: self,
            configuration,
            records,
        }))
    }

    /// Does something with those who are told. That they cannot be told is told here, and stops nothing.
    fn telling(&self, work: impl FnOnce(&Notices<'_>) -> CommandResult<()>) {
        let told = self.notices().and_then(|notices| match notices {
            Some(notices) => work(&notices),
            None => Ok(()),
        });
        if let Err(error) = told {
            self.ui
                .warn(&error.within("nobody could be told").message());
        }
    }

    /// Tells that something happened.
    pub fn tell(&self, notice: Notice) {
        self.telling(|notices| {
            notices.change(|ledger, targets, now| ledger.tell(notice, targets, now))?;
            notices.deliver().map(drop)
        });
    }

    /// Sends what waits and is due. The daemon calls it.
    pub fn deliver_what_waits(&self) -> CommandResult<()> {
        match self.notices()? {
            Some(notices) => notices.deliver().map(drop),
            None => Ok(()),
        }
    }

    /// Judges everything as `status` does, tells what is new and what is over, and delivers what waits.
    /// Every run calls it.
    pub fn tell_what_status_finds(&self) {
        self.telling(|notices| notices.watch().map(drop));
    }

    /// Tells what was just reported, where somebody wants to know at once.
    pub fn tell_of_events(&self, events: &[Event]) {
        let told: Vec<&Event> = events.iter().filter(|event| is_told(event)).collect();
        if told.is_empty() {
            return;
        }
        self.telling(|notices| {
            notices.change(|ledger, targets, now| {
                for event in told {
                    if let Some(notice) = condition(event) {
                        let key = notice.key();
                        let found = match event.status {
                            Status::Error => vec![notice],
                            _ => Vec::new(),
                        };
                        ledger.observe(found, &|open| open.key() == key, targets, now);
                    }
                    if let Some(news) = news(event) {
                        ledger.tell(news, targets, now);
                    }
                }
            })?;
            notices.deliver().map(drop)
        });
    }
}

/// Whether an event is told by itself, rather than as part of what `status` finds of its job.
fn is_told(event: &Event) -> bool {
    let is_end = event.phase == Phase::Complete;
    match event.activity {
        Activity::Restore => true,
        Activity::Drill => is_end && event.details != INTERRUPTED,
        // One that could not look says nothing; damage that it met before it was stopped counts.
        Activity::Check => event.verified == Some(false) || event.details.starts_with(WHOLE),
        // A capture into a bucket is its job's.
        Activity::Mirror | Activity::Upload => {
            is_end && event.details != INTERRUPTED && event.subject.source.is_none()
        }
        _ => false,
    }
}

/// The condition that an event opens or closes; none for a beginning.
fn condition(event: &Event) -> Option<Notice> {
    if event.phase == Phase::Start {
        return None;
    }
    let subject = &event.subject;
    let source = source_of(event);
    let location = subject.location.clone().unwrap_or_default();
    let why = event.error.as_ref().unwrap_or(&event.details);
    let notice = match event.activity {
        Activity::Restore => Notice {
            also: Some(Severity::Critical),
            ..Notice::problem(
                "restore-failed",
                &source,
                Severity::Restore,
                format!("the restore to {location} failed: {why}"),
                "the same command again goes on where it stopped; --fallback takes an older snapshot",
            )
        },
        Activity::Drill => Notice {
            also: Some(Severity::Drill),
            ..Notice::problem(
                "drill-failed",
                &source,
                Severity::Critical,
                format!("a restore was tried and failed: {why}"),
                "icecore check --read-data; then icecore drill of an older snapshot",
            )
        },
        Activity::Check => Notice::problem(
            "verification-failed",
            &location,
            Severity::Critical,
            format!("verification failed: {why}"),
            "icecore check --read-data names what is hurt; icecore check --repair --from COPY",
        ),
        _ => Notice::problem(
            "copy-failed",
            &location,
            Severity::Critical,
            format!("what was saved could not be brought there: {why}"),
            "look whether it is reachable and has room; the next run brings what is missing",
        ),
    };
    Some(of(event, notice))
}

/// What an event tells besides: that a restore began or is done, that a drill passed.
fn news(event: &Event) -> Option<Notice> {
    let source = source_of(event);
    let location = event.subject.location.as_deref().unwrap_or_default();
    let news = |condition, severity, message| Notice::news(condition, &source, severity, message);
    let notice = match (event.activity, event.phase, event.status) {
        (Activity::Restore, Phase::Start, _) => {
            let message = format!("a restore to {location} began");
            news("restore-started", Severity::Restore, message)
        }
        (Activity::Restore, _, status) if status != Status::Error => {
            let restored = crate::units::bytes(event.bytes.unwrap_or(0));
            let message = format!("restored to {location}, {restored}");
            news("restore-finished", Severity::Restore, message)
        }
        (Activity::Drill, _, Status::Success) => {
            let message = format!("a restore was tried: {}", event.details);
            news("drill-passed", Severity::Drill, message)
        }
        _ => return None,
    };
    Some(of(event, notice))
}

/// The source of an event, as people name it.
fn source_of(event: &Event) -> String {
    let source = event.subject.source.as_deref();
    source
        .map(crate::cli::text::short_source)
        .unwrap_or_default()
}

/// With the snapshot of the event.
fn of(event: &Event, notice: Notice) -> Notice {
    Notice {
        snapshot: event.subject.snapshot.map(|id| id.to_string()),
        ..notice
    }
}

impl Notices<'_> {
    /// Those who are told, by name.
    pub fn targets(&self) -> &BTreeMap<String, Notify> {
        &self.configuration.config.notify
    }

    fn path(&self) -> PathBuf {
        self.records.path(LEDGER)
    }

    /// What was told, and what waits.
    pub fn ledger(&self) -> CommandResult<Ledger> {
        let path = self.path();
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(ledger) => Ok(ledger),
                Err(error) => {
                    self.invocation.ui.warn(&format!(
                        "{} is damaged ({error}): who was told what begins anew",
                        path.display()
                    ));
                    Ok(Ledger::default())
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Ledger::default()),
            Err(error) => Err(CommandError::file("read", &path, &error)),
        }
    }

    /// Changes the ledger, durably, while no other process does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Ledger, &BTreeMap<String, Notify>, crate::env::Timestamp) -> T,
    ) -> CommandResult<T> {
        let lock = self.path().with_extension("lock");
        // An interrupted command tells that it was.
        let pacing = Pacing::system(Cancel::default());
        let mut waited = Duration::ZERO;
        let _held = loop {
            let claim = Claim::take(&lock);
            match claim.map_err(|error| CommandError::file("open", &lock, &error))? {
                Some(claim) => break claim,
                None if waited >= LOCK_MAX => {
                    let path = lock.display();
                    return Err(CommandError::failed(format!(
                        "another process holds {path}"
                    )));
                }
                None => pacing.pause(LOCK_AGAIN)?,
            }
            waited += LOCK_AGAIN;
        };
        let before = self.ledger()?;
        let mut ledger = before.clone();
        ledger.retain(self.targets());
        let result = change(&mut ledger, self.targets(), self.invocation.now());
        if ledger != before {
            self.records.write(LEDGER, &ledger)?;
        }
        Ok(result)
    }

    /// Judges everything, tells what is new and what is over, and delivers what waits.
    pub fn watch(&self) -> CommandResult<Delivered> {
        let mut all = self.invocation.clone();
        all.global.repo = None;
        let gathered = gather::gather(&all, None)?;
        let now = self.invocation.now();
        let found = judge(
            &gathered.sources,
            &gathered.jobs,
            &gathered.repositories,
            now,
        );
        let newest = gathered
            .sources
            .iter()
            .filter_map(|source| source.newest.as_ref());
        let newest = newest.max_by_key(|newest| newest.taken);
        // Some things are told when they happen, and not once more.
        let found = found.iter();
        let found = found.filter(|finding| !OF_EVENTS.contains(&finding.state));
        let notices = found.map(|finding| {
            let of = gathered
                .sources
                .iter()
                .find(|source| source.name == finding.subject);
            let of = of.and_then(|source| source.newest.as_ref()).or(newest);
            Notice::of(finding, of.map(|newest| newest.id.clone()))
        });
        let notices: Vec<Notice> = notices.collect();
        let of_status = |open: &Notice| {
            let (sources, repositories) = (&gathered.sources, &gathered.repositories);
            !OF_EVENTS.contains(&open.condition.as_str())
                && is_judged(&open.condition, &open.subject, sources, repositories)
        };
        self.change(|ledger, targets, now| ledger.observe(notices, &of_status, targets, now))?;
        self.deliver()
    }

    /// Sends everything that is due. What fails waits for the next command that calls this, and so does
    /// everything else to that receiver: one that does not answer costs one attempt.
    pub fn deliver(&self) -> CommandResult<Delivered> {
        let mut delivered = Delivered::default();
        let mut silent = BTreeSet::new();
        while let Some(delivery) = self.change(|ledger, _, now| ledger.lease(now, &silent))? {
            let result = self.send(&delivery);
            delivered.sent += usize::from(result.is_ok());
            if result.is_err() {
                silent.insert(delivery.target.clone());
            }
            self.settle(&delivery, result)?;
        }
        delivered.waiting = self.ledger()?.queue.len();
        Ok(delivered)
    }

    fn settle(&self, delivery: &Delivery, result: Result<(), String>) -> CommandResult<()> {
        let failed = result.as_ref().err().cloned();
        let number = delivery.number;
        let given_up = self.change(|ledger, _, now| ledger.settle(number, result, now))?;
        if let Some(why) = failed {
            let then = match given_up {
                Some(_) => "it is given up",
                None => "it waits, and is tried again by what runs next",
            };
            self.invocation.ui.warn(&format!(
                "notify.{} could not be told ({}): {why}; {then}",
                delivery.target, delivery.notice.condition
            ));
        }
        Ok(())
    }
}
