//! What storing costs: a price table, and a projection of what is stored day by day under keep rules.
//!
//! Pure. The model, worked by hand in `docs/cost.md`: a source is one state of so many bytes that grows,
//! and of which a part is replaced every day, never the same part twice before all of it was. What was
//! replaced stays for as long as a kept snapshot needs it, and goes to a colder class when only snapshots
//! of that age do. Which snapshots are kept, the keep rules themselves decide.

mod prices;
mod project;
#[cfg(test)]
mod tests;

pub use prices::{Price, built_in};
pub use project::project;

use crate::env::Timestamp;
use crate::retention::Policy;
use std::time::Duration;

/// Days of a month here, so that 100 GB kept for a month are 100 GB-months in every month.
pub const MONTH_DAYS: u32 = 30;

/// Most months that are projected.
pub const MONTHS_MAX: u32 = 240;

/// The most frequent snapshots that are projected, one by one.
pub const EVERY_MIN: Duration = Duration::from_secs(3600);

/// Requests of one snapshot besides its packs that are billed as writing: session, index, labels, audit
/// records, and the listings that look for those of others.
pub const PUTS_PER_SNAPSHOT: u64 = 12;

/// What is stored, and how that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What the newest state takes in the repository, bytes.
    pub bytes: u64,
    /// What it grows by in a day, bytes as stored.
    pub growth: u64,
    /// What of it is replaced in a day, bytes as stored.
    pub change: u64,
    /// Time from one snapshot to the next; from [`EVERY_MIN`] on.
    pub every: Duration,
    /// Snapshots that are there already.
    pub past: Vec<Timestamp>,
    /// What only these need, bytes.
    pub past_bytes: u64,
    /// What is kept; everything without.
    pub policy: Option<Policy>,
}

/// A storage class and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Price,
    /// Data goes there when only snapshots of so many days need it; 0 for where it is written.
    pub after_days: u32,
}

/// What one class costs in one month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Line {
    /// The mean of what lies there, bytes over a month.
    pub bytes: f64,
    /// Storage, small objects billed at their minimum included.
    pub storage: f64,
    /// What is billed of storage because objects are smaller than the class's minimum.
    pub small_objects: f64,
    /// What is billed of data that was deleted or moved before the class's minimum time.
    pub early: f64,
    /// Requests that write, move or list.
    pub puts: u64,
    /// What they cost.
    pub requests: f64,
}

impl Line {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.storage + self.early + self.requests
    }

    /// Adds another line, class by class or month by month.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.storage += other.storage;
        self.small_objects += other.small_objects;
        self.early += other.early;
        self.puts += other.puts;
        self.requests += other.requests;
    }
}

/// One month of a projection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Month {
    /// What is stored at its end, bytes.
    pub bytes_end: u64,
    /// Snapshots that are kept at its end.
    pub snapshots_end: u64,
    /// What each class costs, in the order of the classes.
    pub lines: Vec<Line>,
}

impl Month {
    /// All classes together.
    pub fn sum(&self) -> Line {
        let mut sum = Line::default();
        for line in &self.lines {
            sum.add(line);
        }
        sum
    }

    /// Adds what another workload takes in the same month and classes.
    pub fn add(&mut self, other: &Self) {
        self.bytes_end += other.bytes_end;
        self.snapshots_end += other.snapshots_end;
        self.lines
            .resize(self.lines.len().max(other.lines.len()), Line::default());
        for (line, more) in self.lines.iter_mut().zip(&other.lines) {
            line.add(more);
        }
    }
}
