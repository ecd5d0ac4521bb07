//! Whether one is safe: facts in, findings out. Pure: the moment is an argument.
//!
//! Silence is the healthy state: every finding says what is wrong with what, and what to do next.

mod space;
#[cfg(test)]
mod tests;

pub use space::{Room, room};

use crate::env::Timestamp;
use crate::selector::SKEW_SECONDS;
use crate::units::elapsed;
use std::fmt;
use std::time::Duration;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Somebody should look.
    Attention,
    /// What is needed may not come back.
    NotSafe,
}

impl Level {
    /// Its name for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::NotSafe => "not-safe",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What kind of thing it is, for scripts and metrics; one word for one state.
    pub state: &'static str,
    /// What it is about: a source, job or repository.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

/// The newest snapshot of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Short id.
    pub id: String,
    /// When it was taken, as its writer says.
    pub taken: Timestamp,
    /// Whether all of it could be read.
    pub complete: bool,
    /// Whether it is not as expected, or its engine's check found faults.
    pub suspect: bool,
    /// When it was read back.
    pub read_back: Option<Timestamp>,
    /// Its size, bytes.
    pub bytes: u64,
    /// Size of the one before, bytes.
    pub bytes_before: Option<u64>,
    /// How much of it the repository did not have, bytes.
    pub changed: u64,
    /// The median of that among the snapshots of the 14 days before it, where there are some.
    pub changed_median: Option<u64>,
}

/// What is known of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// Its name.
    pub name: String,
    /// Its newest snapshot.
    pub newest: Option<Newest>,
    /// The newest one that is whole and as expected: when it was taken.
    pub good: Option<Timestamp>,
    /// Most that may be lost.
    pub rpo: Option<Duration>,
    /// Longest until it is back.
    pub rto: Option<Duration>,
    /// Whether each snapshot is to be read back.
    pub wants_read_back: bool,
    /// When a restore was last tried with success, and how long it took.
    pub drill: Option<(Timestamp, Duration)>,
    /// How often a restore is to be tried.
    pub drill_every: Option<Duration>,
    /// Days lately that have no snapshot, as dates, where its job runs every day.
    pub missing_days: Vec<String>,
    /// Whether a repository that may hold newer snapshots of it could not be looked at.
    pub is_partial: bool,
}

/// What is known of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Its name.
    pub name: String,
    /// Why its last run failed.
    pub error: Option<String>,
    /// Runs since the last that did all it should.
    pub failures: u64,
    /// When it should have run, if that is over.
    pub missed: Option<Timestamp>,
    /// Whether it has a schedule that does not count.
    pub disabled: bool,
    /// Why its last drill failed.
    pub drill_error: Option<String>,
}

/// What is known of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Its name.
    pub name: String,
    /// Why it cannot be opened.
    pub unreachable: Option<String>,
    /// Whether it may be absent.
    pub may_be_absent: bool,
    /// Snapshot objects that are damaged.
    pub damaged: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// Size to stay below, bytes.
    pub max_size: Option<u64>,
    /// Free and whole space of its disk, bytes.
    pub disk: Option<(u64, u64)>,
    /// When its keys were drawn, where this credential sees that.
    pub keys_drawn: Option<Timestamp>,
    /// The locks of its snapshots, where they are to be locked.
    pub locks: Option<LockFacts>,
}

/// What is known of the locks of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockFacts {
    /// Until when the first of them holds; `None`: one is not locked.
    pub soonest: Option<Timestamp>,
    /// What must be left.
    pub least: Duration,
}

/// A size that differs by more than this share of the one before is told.
const SIZE_CHANGE_PERCENT: u64 = 20;

/// Sizes below this are not compared: small things change much.
const SIZE_COMPARED_BYTES: u64 = 1 << 20;

/// Changes of so many times the median are told: a ransomware changes everything.
const CHANGE_FACTOR: u64 = 4;

/// Changes below this are not compared, bytes.
const CHANGE_COMPARED_BYTES: u64 = 1 << 20;

/// Keys are drawn anew once a quarter; some days are nobody's fault.
pub const KEYS_OLD: Duration = Duration::from_secs(100 * 24 * 3600);

/// How much longer than its interval a drill may be away.
const DRILL_SLACK: u32 = 2;

struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        level: Level,
        state: &'static str,
        subject: &str,
        message: String,
        remedy: impl Into<String>,
    ) {
        self.0.push(Finding {
            level,
            state,
            subject: subject.to_owned(),
            message,
            remedy: remedy.into(),
        });
    }
}

/// Judges everything; worst first, otherwise in the order given.
pub fn judge(
    sources: &[SourceFacts],
    jobs: &[JobFacts],
    repositories: &[RepositoryFacts],
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    for repository in repositories {
        judge_repository(repository, now, &mut findings);
        judge_locks(repository, now, &mut findings);
    }
    for source in sources {
        judge_source(source, now, &mut findings);
    }
    for job in jobs {
        judge_job(job, now, &mut findings);
    }
    let mut findings = findings.0;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

/// States that speak of the newest snapshot of a source: of another one they say nothing.
const OF_NEWEST: [&str; 6] = [
    "clock",
    "suspect",
    "incomplete",
    "not-verified",
    "size",
    "change",
];

/// Whether [`judge`] could tell that a state of `subject` is over: that it was not found says nothing
/// where one could not look.
pub fn is_judged(
    state: &str,
    subject: &str,
    sources: &[SourceFacts],
    repositories: &[RepositoryFacts],
) -> bool {
    let mut named = repositories.iter().filter(|one| one.name == subject);
    let is_away = named.any(|one| one.unreachable.is_some());
    let mut named = sources.iter().filter(|one| one.name == subject);
    let is_partial = named.any(|one| one.is_partial);
    let says_nothing = is_away || is_partial && OF_NEWEST.contains(&state);
    !says_nothing
}

fn judge_source(source: &SourceFacts, now: Timestamp, findings: &mut Findings) {
    let name = &source.name;
    let Some(newest) = &source.newest else {
        let message = "there is no snapshot".to_owned();
        findings.add(
            Level::NotSafe,
            "no-snapshot",
            name,
            message,
            "icecore run --all",
        );
        return;
    };
    judge_age(source, now, findings);
    let ahead = newest.taken.seconds().saturating_sub(now.seconds());
    if ahead > SKEW_SECONDS {
        let ahead = elapsed(Duration::from_secs(ahead.unsigned_abs()));
        let message = format!("{} was taken {ahead} from now: a clock is wrong", newest.id);
        let remedy = "set the clocks of this host and the one that took it";
        findings.add(Level::Attention, "clock", name, message, remedy);
    }
    if newest.suspect {
        let message = format!("{} is suspect: not as expected", newest.id);
        let remedy = format!("icecore snapshots -v; icecore diff {}~1 {0}", newest.id);
        findings.add(Level::Attention, "suspect", name, message, remedy);
    }
    if !newest.complete {
        let message = format!("{} is incomplete: some of it could not be read", newest.id);
        let remedy = "see what the run said, and who may read those paths";
        findings.add(Level::Attention, "incomplete", name, message, remedy);
    }
    if source.wants_read_back && newest.read_back.is_none() {
        let message = format!("{} was not read back", newest.id);
        let remedy = "icecore check --read-data --older-than 1d";
        findings.add(Level::Attention, "not-verified", name, message, remedy);
    }
    judge_size(name, newest, findings);
    judge_change(name, newest, findings);
    for day in &source.missing_days {
        let message = format!("{day} has no snapshot");
        let remedy =
            format!("icecore run JOB --date {day}, where the data of that day is still there");
        findings.add(Level::Attention, "missing-day", name, message, remedy);
    }
    judge_drill(source, now, findings);
}

fn judge_age(source: &SourceFacts, now: Timestamp, findings: &mut Findings) {
    let (Some(rpo), name) = (source.rpo, &source.name) else {
        return;
    };
    let Some(good) = source.good else {
        let message = "no snapshot is whole and as expected".to_owned();
        findings.add(
            Level::NotSafe,
            "none-good",
            name,
            message,
            "icecore run --all",
        );
        return;
    };
    let age = now.since(good);
    if age > rpo {
        let message = format!(
            "the newest good snapshot is {} old, goal {}",
            elapsed(age),
            elapsed(rpo)
        );
        findings.add(
            Level::NotSafe,
            "stale",
            name,
            message,
            "icecore jobs; icecore run --all",
        );
    }
}

fn judge_size(name: &str, newest: &Newest, findings: &mut Findings) {
    let Some(before) = newest
        .bytes_before
        .filter(|before| *before >= SIZE_COMPARED_BYTES)
    else {
        return;
    };
    let change = newest.bytes.abs_diff(before);
    if change > before / 100 * SIZE_CHANGE_PERCENT {
        let percent = u128::from(change) * 100 / u128::from(before);
        let direction = match newest.bytes > before {
            true => "more",
            false => "less",
        };
        let message = format!(
            "{} is {percent}% {direction} than the one before",
            newest.id
        );
        let remedy = "look whether that was meant; icecore diff tells what went";
        findings.add(Level::Attention, "size", name, message, remedy);
    }
}

fn judge_change(name: &str, newest: &Newest, findings: &mut Findings) {
    let Some(median) = newest.changed_median else {
        return;
    };
    let usual = median.max(CHANGE_COMPARED_BYTES);
    if newest.changed > usual.saturating_mul(CHANGE_FACTOR) {
        let message = format!(
            "{} changed {}, the median of 14 days is {}",
            newest.id,
            crate::units::bytes(newest.changed),
            crate::units::bytes(median)
        );
        let remedy = format!(
            "look whether that was meant, before old snapshots go: icecore diff {}~1 {0}; \
             icecore hold add keeps a good one",
            newest.id
        );
        findings.add(Level::Attention, "change", name, message, remedy);
    }
}

fn judge_drill(source: &SourceFacts, now: Timestamp, findings: &mut Findings) {
    let name = &source.name;
    let remedy = "icecore drill --job JOB";
    if let Some(every) = source.drill_every {
        match source.drill {
            None => {
                let message = "a restore was never tried with success".to_owned();
                findings.add(Level::Attention, "never-drilled", name, message, remedy);
            }
            Some((tried, _)) if now.since(tried) > every.saturating_mul(DRILL_SLACK) => {
                let message = format!("a restore was last tried {} ago", elapsed(now.since(tried)));
                findings.add(Level::Attention, "drill-overdue", name, message, remedy);
            }
            Some(_) => {}
        }
    }
    if let (Some((_, took)), Some(rto)) = (source.drill, source.rto)
        && took > rto
    {
        let message = format!(
            "the last drill took {}, goal {}",
            elapsed(took),
            elapsed(rto)
        );
        let remedy = "a nearer copy, or a goal that can be kept";
        findings.add(Level::Attention, "slow-restore", name, message, remedy);
    }
}

fn judge_job(job: &JobFacts, now: Timestamp, findings: &mut Findings) {
    if let Some(error) = &job.error {
        let message = match job.failures {
            0 | 1 => format!("its last run failed: {error}"),
            runs => format!("its last {runs} runs failed: {error}"),
        };
        let remedy = format!("icecore run {}", job.name);
        findings.add(Level::Attention, "failed", &job.name, message, remedy);
    }
    if let Some(missed) = job.missed {
        let late = elapsed(now.since(missed));
        let message = format!("it should have run {late} ago: its schedule does not fire");
        let remedy = "see that icecore daemon, the timer or cron is running";
        findings.add(Level::Attention, "missed", &job.name, message, remedy);
    }
    if job.disabled {
        let message = "it is disabled: its schedule does not count".to_owned();
        let remedy = "remove enabled = false from the job, or its schedule with it";
        findings.add(Level::Attention, "disabled", &job.name, message, remedy);
    }
    if let Some(error) = &job.drill_error {
        let message = format!("its last drill failed: {error}");
        let remedy = format!("icecore drill --job {}", job.name);
        findings.add(Level::NotSafe, "drill-failed", &job.name, message, remedy);
    }
}

fn judge_locks(repository: &RepositoryFacts, now: Timestamp, findings: &mut Findings) {
    let (Some(locks), name) = (repository.locks, &repository.name) else {
        return;
    };
    let message = match locks.soonest {
        None => "not everything that is needed is locked".to_owned(),
        Some(soonest) if soonest <= now => "locks have ended".to_owned(),
        Some(soonest) if soonest < now.after(locks.least) => {
            let left = elapsed(soonest.since(now));
            format!("locks end in {left}: nobody extends them")
        }
        Some(_) => return,
    };
    let remedy = format!("icecore prune -r {name}, every day");
    findings.add(Level::NotSafe, "lock-lapsing", name, message, remedy);
}

fn judge_repository(repository: &RepositoryFacts, now: Timestamp, findings: &mut Findings) {
    let name = &repository.name;
    if let Some(why) = &repository.unreachable {
        let level = match repository.may_be_absent {
            true => Level::Attention,
            false => Level::NotSafe,
        };
        let remedy = format!("icecore repo info -r {name}");
        findings.add(level, "unreachable", name, why.clone(), remedy);
        return;
    }
    if repository.damaged > 0 {
        let message = format!("{} snapshot objects are damaged", repository.damaged);
        findings.add(
            Level::NotSafe,
            "damaged",
            name,
            message,
            "icecore check --read-data",
        );
    }
    let remedy = "shorter keep rules, icecore prune, or a larger max_size";
    match space::room(repository.bytes, repository.max_size, None) {
        Room::Short(message) => findings.add(Level::NotSafe, "full", name, message, remedy),
        Room::Low(message) => findings.add(Level::Attention, "nearly-full", name, message, remedy),
        Room::Enough => {}
    }
    let remedy = "make room there, shorter keep rules, icecore prune";
    match space::room(0, None, repository.disk) {
        Room::Short(message) | Room::Low(message) => {
            findings.add(Level::Attention, "disk", name, message, remedy);
        }
        Room::Enough => {}
    }
    if let Some(drawn) = repository.keys_drawn
        && now.since(drawn) > KEYS_OLD
    {
        let message = format!("its keys are {} old", elapsed(now.since(drawn)));
        let remedy = "icecore key rotate, once a quarter";
        findings.add(Level::Attention, "key-old", name, message, remedy);
    }
}
