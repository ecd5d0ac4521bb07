//! How operations tell what they are doing, without knowing who listens.
//!
//! The library reports through [`Monitor`]; the command line draws bars, tests record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What one step of work consists of, for a progress line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of plaintext.
    Bytes,
    /// Things: files, packs, snapshots.
    Items,
}

/// Receives progress and remarks. Called from several threads, often: must be cheap.
pub trait Monitor: Send + Sync {
    /// A phase begins; `total` is an estimate, where there is one.
    fn phase(&self, name: &'static str, unit: Unit, total: Option<u64>);
    /// The current phase got `amount` further.
    fn advance(&self, amount: u64);
    /// What is being worked on now (a path, a table).
    fn current(&self, what: &str);
    /// Something the user should know, which does not stop the work. One sentence, no final stop.
    fn warn(&self, message: &str);
}

/// A monitor that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn phase(&self, _: &'static str, _: Unit, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn current(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

/// A request to stop, set by Ctrl-C or a timeout and looked at between steps.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    /// When it counts as asked for by itself.
    until: Option<Instant>,
}

/// The user asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Cancel {
    /// The flag itself, for a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Asks everyone who holds this to stop.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.is_over()
    }

    /// The same request, which also counts as made once `until` is over.
    pub fn until(&self, until: Instant) -> Self {
        let sooner = self.until.map_or(until, |own| own.min(until));
        Self {
            asked: Arc::clone(&self.asked),
            until: Some(sooner),
        }
    }

    /// Whether the time is over, asked or not.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Returns [`Interrupted`] once a stop was asked for.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_cancelled() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }
}
