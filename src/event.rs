//! Events: what was done to backups, by whom, and what came of it.
//!
//! Whoever acts reports here and does not know who listens: the audit chain of the repository, its
//! copy as JSON lines, those who are told. An event never holds a secret, nor the name of a file
//! inside a snapshot: maintenance reads the chain and may know neither.

use crate::env::Timestamp;
use crate::id::SnapshotId;

/// Longest text of an event that is kept, characters.
pub const DETAILS_CHARS_MAX: usize = 2000;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// A source is captured.
    Create,
    /// What was captured is compressed and sealed.
    Encrypt,
    /// Sealed objects go to another directory.
    Mirror,
    /// Sealed objects go to a bucket.
    Upload,
    /// A snapshot is brought back.
    Restore,
    /// Snapshots are withdrawn or brought back.
    Forget,
    /// What no snapshot needs is deleted.
    Prune,
    /// Credentials, keys or domains change.
    Key,
    /// A restore is tried.
    Drill,
    /// What is stored is read back.
    Check,
    /// A hold is placed or released.
    Hold,
    /// The configuration that is kept with the repository changes.
    Config,
    /// A snapshot is written as readable files.
    Export,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Create,
        Self::Encrypt,
        Self::Mirror,
        Self::Upload,
        Self::Restore,
        Self::Forget,
        Self::Prune,
        Self::Key,
        Self::Drill,
        Self::Check,
        Self::Hold,
        Self::Config,
        Self::Export,
    ];

    /// What its events are called, before `_start` and `_complete`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "backup_create",
            Self::Encrypt => "backup_encrypt",
            Self::Mirror => "backup_mirror",
            Self::Upload => "backup_upload",
            Self::Restore => "restore",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Key => "key",
            Self::Drill => "drill",
            Self::Check => "check",
            Self::Hold => "hold",
            Self::Config => "config",
            Self::Export => "export",
        }
    }
}

/// Whether it begins or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It begins.
    Start,
    /// It ended, well or not.
    Complete,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing yet.
    Info,
    /// Done.
    Success,
    /// Done, and something about it is not as it should be.
    Warning,
    /// Not done, or what was found is bad.
    Error,
}

impl Status {
    /// All of them, by number.
    pub const ALL: [Self; 4] = [Self::Info, Self::Success, Self::Warning, Self::Error];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The source's identity.
    pub source: Option<String>,
    /// The job of the configuration.
    pub job: Option<String>,
    /// Where it is or goes: a repository, a restore's target. Never with a secret.
    pub location: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub activity: Activity,
    /// Beginning or end.
    pub phase: Phase,
    /// What came of it.
    pub status: Status,
    /// In words.
    pub details: String,
    /// About what.
    pub subject: Subject,
    /// How much, bytes.
    pub bytes: Option<u64>,
    /// Whether what was written or read is what it should be, where that was looked at.
    pub verified: Option<bool>,
    /// Why it failed, in words that may name files: for this host and those it tells, never for the chain.
    pub error: Option<String>,
}

impl Event {
    /// Something begins.
    pub fn start(time: Timestamp, activity: Activity, subject: &Subject) -> Self {
        Self {
            time,
            activity,
            phase: Phase::Start,
            status: Status::Info,
            details: String::new(),
            subject: subject.clone(),
            bytes: None,
            verified: None,
            error: None,
        }
    }

    /// Something ended.
    pub fn complete(time: Timestamp, activity: Activity, subject: &Subject, end: Ending) -> Self {
        Self {
            time,
            activity,
            phase: Phase::Complete,
            status: end.status,
            details: end.details,
            subject: Subject {
                snapshot: end.snapshot.or(subject.snapshot),
                ..subject.clone()
            },
            bytes: end.bytes,
            verified: end.verified,
            error: end.error,
        }
    }

    /// Its name in the audit log, such as `backup_create_start`.
    pub fn name(&self) -> String {
        let phase = match self.phase {
            Phase::Start => "start",
            Phase::Complete => "complete",
        };
        format!("{}_{phase}", self.activity.name())
    }
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What came of it.
    pub status: Status,
    /// In words.
    pub details: String,
    /// The snapshot, where it was not known before.
    pub snapshot: Option<SnapshotId>,
    /// How much, bytes.
    pub bytes: Option<u64>,
    /// Whether what was written or read is what it should be, where that was looked at.
    pub verified: Option<bool>,
    /// Why it failed, in words that may name files: for this host and those it tells, never for the chain.
    pub error: Option<String>,
}

impl Ending {
    /// An end of this status.
    pub fn new(status: Status, details: impl Into<String>) -> Self {
        Self {
            status,
            details: cut(details.into()),
            snapshot: None,
            bytes: None,
            verified: None,
            error: None,
        }
    }

    /// All went well.
    pub fn success(details: impl Into<String>) -> Self {
        Self::new(Status::Success, details)
    }

    /// Why it failed, in words that may name files.
    pub fn error(mut self, error: String) -> Self {
        self.error = Some(cut(error));
        self
    }

    /// It was about so much.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// It was looked at whether all is as it should be.
    pub fn verified(mut self, verified: bool) -> Self {
        self.verified = Some(verified);
        self
    }

    /// It was about this snapshot.
    pub fn snapshot(mut self, snapshot: SnapshotId) -> Self {
        self.snapshot = Some(snapshot);
        self
    }
}

fn cut(text: String) -> String {
    match text.len() > DETAILS_CHARS_MAX {
        true => text.chars().take(DETAILS_CHARS_MAX).collect(),
        false => text,
    }
}

/// Who acts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// The user the program runs as.
    pub user: String,
    /// On which host.
    pub host: String,
    /// In which process.
    pub process: u32,
}
