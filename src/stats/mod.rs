//! What snapshots say of themselves, summed up: sizes, savings, paces, periods. Pure.

mod figures;
mod pace;
#[cfg(test)]
mod tests;

pub use figures::{Figures, change, sizes, sparkline};
pub use pace::{Pace, pace};

use crate::env::Timestamp;

/// One snapshot, as far as figures go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// The source's identity.
    pub source: String,
    /// The host.
    pub host: String,
    /// The job that took it.
    pub job: Option<String>,
    /// When it was taken.
    pub taken: Timestamp,
    /// The size of what it holds, bytes.
    pub bytes: u64,
    /// Of this the repository did not have so much, bytes.
    pub bytes_new: u64,
    /// What it made the repository grow by, bytes.
    pub bytes_stored: u64,
    /// How long it took, milliseconds.
    pub milliseconds: u64,
    /// Whether it was stored without one before it.
    pub is_whole: bool,
    /// Whether all that was asked for is in it, as expected.
    pub is_good: bool,
}
