//! What runs when, side by side, and what waits for what. Pure: every moment is an argument.
//!
//! A task is due when its schedule says so, when a change has settled, or when a run is owed: one
//! that was interrupted, put off, or failed where nothing else would start it again. However many
//! times were missed, one run makes up for them.

#[cfg(test)]
mod tests;

use crate::env::Timestamp;
use crate::schedule::Schedule;
use crate::schedule::parse::INTERVAL_MIN;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a source must be quiet before a change counts.
pub const QUIET: Duration = Duration::from_secs(10);

/// How long a change waits at most for a source that is never quiet.
pub const QUIET_MAX: Duration = Duration::from_secs(300);

/// How long a run that could not begin is put off the first time; twice as long each further time.
pub const PUT_OFF: Duration = Duration::from_secs(60);

/// Longest time that a run is put off.
pub const PUT_OFF_MAX: Duration = Duration::from_secs(3600);

/// A run that begins so much later than its time makes up for a missed one.
const LATE: Duration = Duration::from_secs(120);

/// What is run again and again.
#[derive(Debug, Clone)]
pub struct Task {
    /// When.
    pub schedule: Schedule,
    /// The zone its schedule is read in.
    pub zone: TimeZone,
    /// What no two tasks use at the same time.
    pub uses: BTreeSet<String>,
    /// When its last run began.
    pub last: Option<Timestamp>,
    /// Since when it is known: times before that were not missed.
    pub since: Timestamp,
    /// A run is owed, from this moment on.
    pub owed: Option<Timestamp>,
    /// A change that no run has taken up.
    pub change: Option<Change>,
    /// How often in a row it was put off or failed.
    pub setbacks: u32,
}

/// A change that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// First.
    pub first: Timestamp,
    /// Last.
    pub last: Timestamp,
}

/// Why a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Somebody asked for it.
    Hand,
    /// Its time came.
    Schedule,
    /// Its time had come while nothing could run.
    CatchUp,
    /// A source changed.
    OnChange,
    /// A past date is filled in.
    BackFill,
}

impl Trigger {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("hand", Self::Hand),
        ("schedule", Self::Schedule),
        ("catch-up", Self::CatchUp),
        ("on-change", Self::OnChange),
        ("back-fill", Self::BackFill),
    ];

    /// Its name in records and options.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, trigger)| *trigger == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did all it should.
    Well,
    /// It failed, after whatever attempts of its own.
    Badly,
    /// It was asked to stop before it was done.
    Interrupted,
    /// It could not begin: something else was at work.
    PutOff,
}

/// All tasks by name, and which of them run.
#[derive(Debug, Default)]
pub struct Agenda {
    tasks: BTreeMap<String, Task>,
    running: BTreeMap<String, BTreeSet<String>>,
    parallel: usize,
}

impl Task {
    /// When a run is due; `None` where only a change can tell, or never.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was set back must not put it off for longer than it ever is.
        let owed = self.owed.filter(|owed| *owed <= now.after(PUT_OFF_MAX));
        if self.owed.is_some() {
            return Some(owed.unwrap_or(now));
        }
        match self.schedule {
            Schedule::OnChange => self.change.map(|change| {
                let settled = change.last.after(QUIET).min(change.first.after(QUIET_MAX));
                // What a run itself changes must not start it again and again.
                let rested = self.last.filter(|last| *last <= now);
                settled.max(rested.map_or(settled, |last| last.after(INTERVAL_MIN)))
            }),
            Schedule::Every(_) => self.schedule.due(self.last, now, &self.zone),
            Schedule::Calendar(_) => {
                let from = self.last.unwrap_or(self.since);
                self.schedule.due(Some(from), now, &self.zone)
            }
        }
    }

    fn trigger(&self, due: Timestamp, now: Timestamp) -> Trigger {
        match self.schedule {
            _ if self.owed.is_some() => Trigger::CatchUp,
            Schedule::OnChange => Trigger::OnChange,
            _ if due.after(LATE) < now => Trigger::CatchUp,
            _ => Trigger::Schedule,
        }
    }

    fn put_off(&mut self, now: Timestamp) {
        let longer = 1u32.checked_shl(self.setbacks).unwrap_or(u32::MAX);
        let wait = PUT_OFF.saturating_mul(longer).min(PUT_OFF_MAX);
        self.setbacks = (self.setbacks + 1).min(16);
        self.owed = Some(now.after(wait));
    }
}

impl Agenda {
    /// An empty one, for at most `parallel` runs at a time.
    pub fn new(parallel: usize) -> Self {
        Self {
            parallel: parallel.max(1),
            ..Self::default()
        }
    }

    /// Replaces the tasks. What is known of one that stays is kept, where the new one does not know
    /// better; one that runs and is gone ends as it will.
    pub fn replace(&mut self, tasks: BTreeMap<String, Task>) {
        let before = std::mem::replace(&mut self.tasks, tasks);
        for (name, old) in before {
            let Some(task) = self.tasks.get_mut(&name) else {
                continue;
            };
            task.last = task.last.max(old.last);
            task.since = task.since.min(old.since);
            task.setbacks = old.setbacks;
            let is_same = task.schedule == old.schedule;
            if is_same {
                task.owed = task.owed.or(old.owed);
                task.change = task.change.or(old.change);
            }
        }
    }

    /// A task.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.get(name)
    }

    /// Names of all tasks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str)
    }

    /// Whether a task runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    /// The next task that can begin now, the longest due first, and why.
    pub fn next(&self, now: Timestamp) -> Option<(String, Trigger)> {
        if self.running.len() >= self.parallel {
            return None;
        }
        let in_use: BTreeSet<&String> = self.running.values().flatten().collect();
        let free = self.tasks.iter().filter(|(name, task)| {
            !self.running.contains_key(*name) && !task.uses.iter().any(|one| in_use.contains(one))
        });
        let due = free.filter_map(|(name, task)| Some((task.due(now)?, name, task)));
        let first = due
            .filter(|(due, ..)| *due <= now)
            .min_by_key(|(due, name, _)| (*due, *name));
        first.map(|(due, name, task)| (name.clone(), task.trigger(due, now)))
    }

    /// When something that does not run will be due next, if nothing else happens.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let idle = self.tasks.iter().filter(|(name, _)| !self.is_running(name));
        let due = idle.filter_map(|(_, task)| task.due(now));
        due.filter(|due| *due > now).min()
    }

    /// Notes that a run begins.
    pub fn begin(&mut self, name: &str, now: Timestamp) {
        if let Some(task) = self.tasks.get_mut(name) {
            (task.owed, task.change) = (None, None);
            task.last = Some(now);
            self.running.insert(name.to_owned(), task.uses.clone());
        }
    }

    /// Notes how a run ended that began at `began`.
    pub fn end(&mut self, name: &str, began: Timestamp, now: Timestamp, ended: Ended) {
        self.running.remove(name);
        let Some(task) = self.tasks.get_mut(name) else {
            return;
        };
        task.last = Some(began);
        match ended {
            Ended::Well => (task.setbacks, task.owed) = (0, None),
            Ended::PutOff => task.put_off(now),
            Ended::Interrupted => task.owed = Some(now.after(PUT_OFF)),
            // A calendar comes round by itself; after a change nothing would.
            Ended::Badly if task.schedule == Schedule::OnChange => task.put_off(now),
            Ended::Badly => task.setbacks = task.setbacks.saturating_add(1).min(16),
        }
    }

    /// Notes a run that something else began, at `began`.
    pub fn ran_elsewhere(&mut self, name: &str, began: Timestamp, well: bool) {
        if let Some(task) = self.tasks.get_mut(name)
            && task.last.is_none_or(|last| last < began)
        {
            task.last = Some(began);
            if well {
                (task.owed, task.setbacks) = (None, 0);
            }
        }
    }

    /// Notes a change of what a task waits for.
    pub fn changed(&mut self, name: &str, now: Timestamp) {
        if let Some(task) = self.tasks.get_mut(name) {
            let first = task.change.map_or(now, |change| change.first.min(now));
            task.change = Some(Change { first, last: now });
        }
    }
}
