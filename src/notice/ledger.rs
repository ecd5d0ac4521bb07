//! What was told and is not over, and what waits to be delivered.

use crate::config::Notify;
use crate::env::Timestamp;
use crate::notice::{Notice, RUN_STARTED, Tone};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Most messages to one receiver within ten minutes; the rest waits.
pub const RATE_MAX: usize = 20;

/// Time in which [`RATE_MAX`] messages may go.
const RATE_NANOSECONDS: i64 = 10 * 60 * SECOND;

/// Wait before the second attempt; twice as long before each further one.
const AGAIN_NANOSECONDS: i64 = 15 * SECOND;

/// Longest wait between two attempts.
const AGAIN_MAX_NANOSECONDS: i64 = 15 * 60 * SECOND;

/// How long one attempt may take before another process may make the next.
const LEASE_NANOSECONDS: i64 = 90 * SECOND;

/// After so long it is of no use to anyone.
const USELESS_NANOSECONDS: i64 = 7 * 24 * 3600 * SECOND;

/// Most deliveries that wait; the oldest go beyond it.
const QUEUE_MAX: usize = 1000;

const SECOND: i64 = 1_000_000_000;

/// One message to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number.
    pub number: u64,
    /// The receiver's name in the configuration.
    pub target: String,
    /// What is told.
    pub notice: Notice,
    /// When it is tried next, nanoseconds since 1970.
    pub next: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why that failed, without a secret.
    pub error: Option<String>,
}

/// What is remembered between runs of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Conditions that were told and are not over, by [`Notice::key`].
    pub open: BTreeMap<String, Notice>,
    /// What waits, oldest first.
    pub queue: Vec<Delivery>,
    /// When messages went lately, by receiver.
    sent: BTreeMap<String, Vec<i64>>,
    last_number: u64,
}

impl Ledger {
    /// Takes what is wrong now among what was judged, and queues what is new and what is over. A
    /// condition that goes on is not told again.
    pub fn observe(
        &mut self,
        found: Vec<Notice>,
        judged: &dyn Fn(&Notice) -> bool,
        targets: &BTreeMap<String, Notify>,
        now: Timestamp,
    ) {
        let keys: BTreeSet<String> = found.iter().map(Notice::key).collect();
        let over: Vec<String> = self
            .open
            .iter()
            .filter(|(key, notice)| judged(notice) && !keys.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            if let Some(notice) = self.open.remove(&key) {
                let resolved = Notice {
                    tone: Tone::Resolved,
                    message: format!("over: {}", notice.message),
                    remedy: String::new(),
                    ..notice
                };
                self.tell(resolved, targets, now);
            }
        }
        for notice in found {
            let notice = Notice {
                time: now.0,
                ..notice
            };
            if let Entry::Vacant(place) = self.open.entry(notice.key()) {
                place.insert(notice.clone());
                self.tell(notice, targets, now);
            }
        }
    }

    /// Queues a message to everyone who wants it.
    pub fn tell(&mut self, notice: Notice, targets: &BTreeMap<String, Notify>, now: Timestamp) {
        let notice = Notice {
            time: now.0,
            ..notice
        };
        for (target, notify) in targets {
            if notice.is_for(notify) {
                self.last_number += 1;
                self.queue.push(Delivery {
                    number: self.last_number,
                    target: target.clone(),
                    notice: notice.clone(),
                    next: now.0,
                    attempts: 0,
                    error: None,
                });
            }
        }
        let excess = self.queue.len().saturating_sub(QUEUE_MAX);
        self.queue.drain(..excess);
    }

    /// The next message that is due, which nobody else tries meanwhile; none to the receivers of `skip`.
    pub fn lease(&mut self, now: Timestamp, skip: &BTreeSet<String>) -> Option<Delivery> {
        for times in self.sent.values_mut() {
            // One from the future is of a clock that was set back.
            times.retain(|at| (0..RATE_NANOSECONDS).contains(&now.0.saturating_sub(*at)));
        }
        let sent = &self.sent;
        let has_room =
            |target: &String| sent.get(target).is_none_or(|times| times.len() < RATE_MAX);
        let is_due = |delivery: &&mut Delivery| {
            // A clock that was set back does not hold anything for longer than the longest wait.
            let waits = delivery.next.saturating_sub(now.0);
            waits <= 0 || waits > AGAIN_MAX_NANOSECONDS
        };
        let mut due = self.queue.iter_mut().filter(is_due);
        let delivery =
            due.find(|delivery| has_room(&delivery.target) && !skip.contains(&delivery.target))?;
        delivery.next = now.0.saturating_add(LEASE_NANOSECONDS);
        delivery.attempts = delivery.attempts.saturating_add(1);
        Some(delivery.clone())
    }

    /// Takes what came of an attempt. Returns a message that is given up.
    pub fn settle(
        &mut self,
        number: u64,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Option<Delivery> {
        let at = self.queue.iter().position(|one| one.number == number)?;
        match result {
            Ok(()) => {
                let delivered = self.queue.remove(at);
                self.sent.entry(delivered.target).or_default().push(now.0);
                None
            }
            Err(error) => {
                let delivery = &mut self.queue[at];
                delivery.error = Some(error);
                let doublings = delivery.attempts.saturating_sub(1).min(10);
                let wait = (AGAIN_NANOSECONDS << doublings).min(AGAIN_MAX_NANOSECONDS);
                delivery.next = now.0.saturating_add(wait);
                let age = now.0.saturating_sub(delivery.notice.time);
                // That a run began is told at once or never.
                let is_useless = delivery.notice.condition == RUN_STARTED;
                (is_useless || age > USELESS_NANOSECONDS).then(|| self.queue.remove(at))
            }
        }
    }

    /// Forgets receivers that the configuration names no more.
    pub fn retain(&mut self, targets: &BTreeMap<String, Notify>) {
        self.queue.retain(|one| targets.contains_key(&one.target));
        self.sent.retain(|target, _| targets.contains_key(target));
    }
}
