//! How snapshots are named: `abcd12`, `latest`, `latest~2`, `@2026-11-01T03:00+06:00`, and
//! `SNAP:path` for what is inside.
//!
//! Pure: the snapshots, the present moment and the zone are arguments. Nothing here knows where
//! snapshots come from.

mod filter;
mod moment;
mod parse;
mod resolve;

pub use filter::{Filters, TagPattern, TagPatternError, Visibility, source_matches};
pub use moment::{AskedTime, Moment, MomentError};
pub use parse::{ParseSelectorError, Selector, SnapshotPath};
pub use resolve::{Listed, Resolved, SelectError, SourceCandidate, resolve};

use crate::env::Timestamp;
use crate::id::{SetId, SnapshotId, WriterId};
use std::collections::BTreeMap;
use std::fmt;

/// How the source of a kept configuration begins. It is no source that `latest` could mean, unless
/// it is asked for.
pub const CONFIG_SCHEME: &str = "config:";

/// How the source of a safety snapshot begins: what was in the place of a restore before it. Like a
/// kept configuration it is meant by its id, or by a `--source` that begins like this.
pub const SAFETY_SCHEME: &str = "safety:";

/// Whether a source is of icecore's own making: nothing that `latest` means by itself, nor one whose
/// age says anything.
pub fn is_own(source: &str) -> bool {
    source.starts_with(CONFIG_SCHEME) || source.starts_with(SAFETY_SCHEME)
}

/// How far a capture time may lie past the store's time before the store's counts, seconds: more
/// than clocks under NTP differ, less than any bucket of a keep rule.
pub const SKEW_SECONDS: i64 = 300;

/// The time a snapshot is ordered by: its signed capture time, unless that lies in the future of
/// the store's time (or, where the store tells none, of `now`), which then counts instead. A wrong
/// clock can so make a snapshot older, never younger than it is.
pub fn effective_time(captured: Timestamp, stored: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let latest = stored.unwrap_or(now);
    let skew = SKEW_SECONDS * 1_000_000_000;
    if captured.0 > latest.0.saturating_add(skew) {
        latest
    } else {
        captured
    }
}

/// What is known of a snapshot without opening its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub id: SnapshotId,
    /// When its writer says it was taken; signed.
    pub captured: Timestamp,
    /// When the store says it was written; `None` where the store has no times.
    pub stored: Option<Timestamp>,
    /// Identity of the source: scheme and canonical path, or host, port and database.
    pub source: String,
    /// Host it was taken on.
    pub host: String,
    /// Given with `--tag`.
    pub tags: BTreeMap<String, String>,
    /// Given with `--label` or by the config.
    pub labels: BTreeMap<String, String>,
    /// Job that took it.
    pub job: Option<String>,
    /// Run it belongs to.
    pub set: Option<SetId>,
    /// Credential that signed it.
    pub writer: WriterId,
    /// Everything that was to be captured was.
    pub complete: bool,
    /// Signed by a credential that is revoked, or otherwise doubtful.
    pub suspect: bool,
    /// A check found damage in it.
    pub damaged: bool,
    /// A drill or a full verification succeeded.
    pub proven: bool,
    /// Forgotten, and not yet pruned.
    pub hidden: bool,
}

impl Summary {
    /// The time it is ordered by: see [`effective_time`].
    pub fn effective_time(&self, now: Timestamp) -> Timestamp {
        effective_time(self.captured, self.stored, now)
    }

    /// Why it is not a good choice, worst first; `None` when it is one.
    pub fn flaw(&self) -> Option<Flaw> {
        if self.damaged {
            Some(Flaw::Damaged)
        } else if self.suspect {
            Some(Flaw::Suspect)
        } else if !self.complete {
            Some(Flaw::Incomplete)
        } else {
            None
        }
    }
}

/// Why `latest` passes a snapshot by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// Some of what was to be captured is missing.
    Incomplete,
    /// Its writer is not trusted any more.
    Suspect,
    /// A check found damage.
    Damaged,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "incomplete",
            Self::Suspect => "suspect",
            Self::Damaged => "damaged",
        })
    }
}

#[cfg(test)]
mod tests;
