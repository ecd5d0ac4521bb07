//! Which snapshots are kept, and why.
//!
//! Pure: snapshots, policy, the present moment and the zone are arguments; nothing is deleted here.
//! The order of the rules is: a hold keeps; the minimum age keeps; the maximum age forgets; the
//! newest proven snapshot of a group is kept; then the keep rules. The newest complete snapshot of
//! a group goes only by the maximum.

mod decide;
mod policy;

pub use decide::{Decision, ForgetReason, GroupPlan, KeepReason, Verdict, plan};
pub use policy::{Period, Policy, PolicyError, PolicyTextError};

use crate::env::Timestamp;
use crate::id::{SnapshotId, WriterId};
use crate::selector::Summary;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Which snapshots compete for the same places. By default those of one writer, host and source, so
/// that no host displaces another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The credential that signed.
    pub writer: bool,
    /// The host.
    pub host: bool,
    /// The source's identity.
    pub source: bool,
    /// All tags.
    pub tags: bool,
    /// The job.
    pub job: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self {
            writer: true,
            host: true,
            source: true,
            tags: false,
            job: false,
        }
    }
}

/// A field that snapshots cannot be grouped by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("snapshots cannot be grouped by {0:?}; write some of writer,host,source,tags,job, or none")]
pub struct GroupByError(pub String);

impl FromStr for GroupBy {
    type Err = GroupByError;

    /// Field names with commas between, or `none` for a single group.
    fn from_str(text: &str) -> Result<Self, GroupByError> {
        let mut fields = Self {
            writer: false,
            host: false,
            source: false,
            tags: false,
            job: false,
        };
        if text == "none" {
            return Ok(fields);
        }
        for name in text.split(',') {
            match name.trim() {
                "writer" => fields.writer = true,
                "host" => fields.host = true,
                "source" => fields.source = true,
                "tags" => fields.tags = true,
                "job" => fields.job = true,
                unknown => return Err(GroupByError(unknown.chars().take(80).collect())),
            }
        }
        Ok(fields)
    }
}

/// What the snapshots of a group have in common; `None` where it was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GroupKey {
    /// Identity of the source.
    pub source: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Writer.
    pub writer: Option<WriterId>,
    /// Job; within, `None` is a snapshot without one.
    pub job: Option<Option<String>>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
}

impl GroupBy {
    /// The group `summary` belongs to.
    pub fn key(self, summary: &Summary) -> GroupKey {
        GroupKey {
            source: self.source.then(|| summary.source.clone()),
            host: self.host.then(|| summary.host.clone()),
            writer: self.writer.then_some(summary.writer),
            job: self.job.then(|| summary.job.clone()),
            tags: self.tags.then(|| summary.tags.clone()),
        }
    }
}

impl fmt::Display for GroupKey {
    /// `sqlite:/srv/app.db on portal-1 by 3fa2b1c0`, as far as it was asked for; `all snapshots`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = self.tags.as_ref().map(|tags| {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("tagged {}", tags.join(","))
        });
        let parts = [
            self.source.clone(),
            self.host.as_ref().map(|host| format!("on {host}")),
            self.writer.map(|writer| format!("by {}", writer.short())),
            self.job.as_ref().map(|job| match job {
                Some(job) => format!("of job {job}"),
                None => "of no job".to_owned(),
            }),
            tags,
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        f.write_str(if text.is_empty() {
            "all snapshots"
        } else {
            &text
        })
    }
}

/// A snapshot that is kept or forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub id: SnapshotId,
    /// The group it competes in.
    pub group: GroupKey,
    /// When its writer says it was taken; signed.
    pub captured: Timestamp,
    /// When the store says it was written; `None` where the store has no times.
    pub stored: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// A hold names it.
    pub held: bool,
    /// A drill or a full verification succeeded.
    pub proven: bool,
    /// Incomplete, suspect or damaged: it stands in where nothing better is, and displaces nothing.
    pub flawed: bool,
}

impl Candidate {
    /// From what is known of a snapshot, and whether a hold names it.
    pub fn new(summary: &Summary, group_by: GroupBy, held: bool) -> Self {
        Self {
            id: summary.id,
            group: group_by.key(summary),
            captured: summary.captured,
            stored: summary.stored,
            tags: summary.tags.clone(),
            held,
            proven: summary.proven,
            flawed: summary.flaw().is_some(),
        }
    }
}

#[cfg(test)]
mod tests;
