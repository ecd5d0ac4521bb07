//! The report of a month: facts in, Markdown or one self-contained HTML page out. Pure.

mod calendar;
mod document;
mod html;
mod markdown;
mod month;
mod plot;
mod readiness;
#[cfg(test)]
mod tests;

pub use calendar::{Day, DayState, Taken, days};
pub use document::document;
pub use html::html;
pub use markdown::markdown;
pub use month::{Month, MonthError};
pub use readiness::{Deduction, Readiness, readiness};

use crate::env::Timestamp;
use crate::event::{Activity, Status};
use crate::retention::Period;
use crate::stats::Figures;
use crate::status::Finding;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Everything a report says. Texts from elsewhere are single lines already.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Title.
    pub name: String,
    /// Of which month.
    pub month: Month,
    /// Whose days.
    pub zone: TimeZone,
    /// When its facts end: the end of the month, or now.
    pub until: Timestamp,
    /// When it was made.
    pub now: Timestamp,
    /// Repositories that could be opened.
    pub repositories: Vec<Repository>,
    /// Sources.
    pub sources: Vec<Source>,
    /// What the keep rules of jobs come to.
    pub retention: Vec<Retention>,
    /// What was done in the month, oldest first.
    pub acts: Vec<Act>,
    /// The 3-2-1 rule, for each job.
    pub rules: Vec<Rule>,
    /// What is not as it should be now.
    pub findings: Vec<Finding>,
}

/// A repository.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Its cipher suite.
    pub cipher: String,
    /// Visible snapshots.
    pub snapshots: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// Snapshot objects that are damaged.
    pub damaged: u64,
    /// When its keys were drawn, where this credential sees that.
    pub keys_drawn: Option<Timestamp>,
    /// Audit records that were verified.
    pub records: u64,
    /// In so many chains.
    pub chains: u64,
    /// What is wrong with the chains.
    pub faults: Vec<String>,
    /// Records of the month that this credential cannot open.
    pub sealed: u64,
}

/// A source, over all repositories.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its job.
    pub job: Option<String>,
    /// The days of the month.
    pub days: Vec<Day>,
    /// What was taken in the month: when, its size in bytes, how long it took.
    pub points: Vec<(Timestamp, u64, Duration)>,
    /// The same as sums.
    pub figures: Figures,
    /// When a snapshot of it was last read back.
    pub read_back: Option<Timestamp>,
    /// When a restore was last tried with success, and how long it took.
    pub drill: Option<(Timestamp, Duration)>,
    /// Longest until it is back.
    pub rto: Option<Duration>,
    /// Repositories that hold the newest of it.
    pub copies: Vec<String>,
}

impl Source {
    /// Days on which something was due and nothing good was taken.
    pub fn gaps(&self) -> impl Iterator<Item = &Day> {
        self.days.iter().filter(|day| day.state == DayState::Missed)
    }
}

/// What a job's keep rules come to in a repository.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The job.
    pub job: String,
    /// The repository.
    pub repository: String,
    /// The source.
    pub source: String,
    /// The rules in one word.
    pub policy: String,
    /// Snapshots that are kept.
    pub kept: u64,
    /// Snapshots that no rule keeps and that are still there.
    pub overdue: u64,
    /// Of these, past the maximum age.
    pub past_maximum: u64,
    /// For each counting rule: of which stretch, how many are kept, how many it wants.
    pub counts: Vec<(Period, u64, u64)>,
}

/// Something that was done.
#[derive(Debug, Clone)]
pub struct Act {
    /// When it ended.
    pub time: Timestamp,
    /// What.
    pub activity: Activity,
    /// In which repository.
    pub repository: String,
    /// By whom, user and host.
    pub by: String,
    /// Whether the credential behind it was revoked since.
    pub revoked: bool,
    /// About which job, source or snapshot.
    pub subject: String,
    /// What came of it.
    pub status: Status,
    /// In words.
    pub details: String,
    /// How much, bytes.
    pub bytes: Option<u64>,
    /// How long it took, where its beginning is known.
    pub took: Option<Duration>,
    /// The longest it may take, where a goal says so.
    pub goal: Option<Duration>,
}

/// How far the copies of a job satisfy the 3-2-1 rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The job.
    pub job: String,
    /// Copies, the data itself included.
    pub copies: u64,
    /// Different places.
    pub places: u64,
    /// Of these off-site.
    pub off_site: u64,
    /// Whether it is kept.
    pub kept: bool,
}

impl Facts {
    /// What was done of some kinds.
    pub fn acts_of<'f>(&'f self, kinds: &'f [Activity]) -> impl Iterator<Item = &'f Act> {
        self.acts.iter().filter(|act| kinds.contains(&act.activity))
    }

    /// A moment in the report's zone.
    fn moment(&self, moment: Timestamp) -> String {
        let local = moment.to_jiff().to_zoned(self.zone.clone());
        local.strftime("%Y-%m-%d %H:%M").to_string()
    }
}
