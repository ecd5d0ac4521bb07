//! One error type for people and scripts: what failed, on what, what to do next.

use crate::archiver::{ArchiveError, SnapshotError};
use crate::check::CheckError;
use crate::cli::exit_code::Exit;
use crate::copy::CopyError;
use crate::env::EntropyError;
use crate::explain::explain;
use crate::forget::ForgetError;
use crate::mirror::MirrorError;
use crate::monitor::Interrupted;
use crate::prune::PruneError;
use crate::repository::{
    CommitError, HoldError, KeepError, KeyError, OpenError, ReadError, RecordLoadError,
    SessionError, WriteError,
};
use crate::restorer::RestoreError;
use crate::selector::SelectError;
use crate::source::SourceError;
use crate::store::{StoreError, StoreErrorKind};
use crate::target::files::{TargetError, TargetErrorKind};
use crate::target::sqlite::ReplaceError;
use crate::tree::TreeError;
use std::error::Error;
use std::fmt;

/// What an error means to the caller: decides the exit code, and is named in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Anything without a class of its own.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Several things could be meant.
    Choice,
    /// What was read from the repository is damaged.
    Damage,
    /// There is no repository.
    NoRepository,
    /// Something stands against it.
    Refused,
    /// The passphrase or key is wrong or missing.
    Key,
    /// Asked to stop.
    Interrupted,
}

impl ErrorKind {
    /// The exit code it leads to.
    pub fn exit(self) -> Exit {
        match self {
            Self::Failed => Exit::Failed,
            Self::Usage | Self::Choice => Exit::Usage,
            Self::Damage => Exit::Damage,
            Self::NoRepository => Exit::NoRepository,
            Self::Refused => Exit::Refused,
            Self::Key => Exit::Key,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Choice => "choice",
            Self::Damage => "damage",
            Self::NoRepository => "no-repository",
            Self::Refused => "refused",
            Self::Key => "key",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub struct CommandError {
    /// What it means.
    pub kind: ErrorKind,
    /// What happened.
    pub source: Box<dyn Error + Send + Sync>,
    /// What to do next: sentences or ready commands, the best first.
    pub hints: Vec<String>,
    /// Whether people were told already.
    pub is_told: bool,
}

/// Result of a command's step.
pub type CommandResult<T> = Result<T, CommandError>;

impl CommandError {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
            hints: Vec::new(),
            is_told: false,
        }
    }

    /// A wrong command line.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, message.to_string())
    }

    /// A failure that has no better class.
    pub fn failed(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Failed, source)
    }

    /// A failed call on a file.
    pub fn file(operation: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(format!("cannot {operation} {}: {error}", path.display()))
    }

    /// The same as a fault of what the caller wrote.
    pub fn usage_kind(mut self) -> Self {
        self.kind = ErrorKind::Usage;
        self
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Told already: only the exit code and the JSON summary are left to say.
    pub fn told(mut self) -> Self {
        self.is_told = self.kind != ErrorKind::Interrupted;
        self
    }

    /// The same with something in front of its message.
    pub fn within(&self, context: &str) -> Self {
        Self {
            kind: self.kind,
            source: format!("{context}: {}", self.message()).into(),
            hints: self.hints.clone(),
            is_told: false,
        }
    }

    /// The error and its causes, one sentence.
    pub fn message(&self) -> String {
        explain(&*self.source)
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotFound(_) => Self::new(ErrorKind::NoRepository, error)
                .hint("look at -r and ICECORE_REPO; icecore repo init -r PATH makes a new one"),
            OpenError::Exists(_) => Self::new(ErrorKind::Refused, error)
                .hint("icecore repo info shows it; choose another path for a new one"),
            OpenError::Config(_) => Self::new(ErrorKind::Damage, error)
                .hint("restore the file `config` from a copy of the repository: it never changes"),
            OpenError::Keys(error) => error.into(),
            OpenError::Store(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> Self {
        if let KeyError::Store(error) = error {
            return error.into();
        }
        match &error {
            KeyError::WrongKey { .. } => Self::new(ErrorKind::Key, error)
                .hint("the recovery kit says which kind of key the repository was made with"),
            KeyError::NoSuchSlot { kind, .. } => {
                let other = match *kind {
                    "passphrase" => "give --key-file, or a passphrase command that prints the key",
                    _ => "give the passphrase instead of a key file",
                };
                Self::new(ErrorKind::Key, error).hint(other)
            }
            KeyError::Slot(_) | KeyError::Format(..) | KeyError::Missing(_) => {
                Self::new(ErrorKind::Damage, error)
                    .hint("restore the directory `keys` from a copy of the repository")
            }
            KeyError::ForeignRoot => Self::new(ErrorKind::Damage, error)
                .hint("restore the file `config` from a copy of the repository"),
            KeyError::Replayed { .. } => Self::new(ErrorKind::Refused, error)
                .hint("bring the newer objects of keys/statements back from a copy: somebody took them away")
                .hint(
                    "if an older copy of the repository was put back on purpose: icecore cache clear \
                     lets this machine forget the newer one",
                ),
            KeyError::RevokesItself => Self::new(ErrorKind::Refused, error)
                .hint("unlock with another full credential"),
            KeyError::Revoked(_) => Self::new(ErrorKind::Key, error)
                .hint("unlock with another credential: icecore key list shows them"),
            KeyError::Concurrent | KeyError::LastCredential(_) | KeyError::NotErasable(_) => {
                Self::new(ErrorKind::Refused, error)
            }
            KeyError::Lacks(_) => Self::new(ErrorKind::Key, error).hint(
                "unlock with such a one: icecore key list, with a full credential, shows them all",
            ),
            KeyError::RotatedElsewhere => Self::new(ErrorKind::Refused, error).hint(
                "run it again; if it says the same, a rotation was interrupted: icecore key rotate, \
                 with the credential that began it, finishes it",
            ),
            KeyError::SlotMissing(_) => Self::new(ErrorKind::Damage, error)
                .hint("restore the directory `keys` from a copy of the repository")
                .hint("or give that credential up: icecore key remove NAME"),
            KeyError::SecretInUse => Self::new(ErrorKind::Usage, error)
                .hint("every credential needs a secret of its own: icecore key generate FILE"),
            KeyError::KeysOutside(_) => Self::new(ErrorKind::Refused, error)
                .hint("give its key file to who needs it, or use a domain that is not erasable"),
            KeyError::NoSuchCredential(_) => {
                Self::new(ErrorKind::Usage, error).hint("icecore key list shows their names")
            }
            KeyError::NoSuchDomain(_) => {
                Self::new(ErrorKind::Usage, error).hint("icecore domain list shows their names")
            }
            KeyError::DomainExists(_)
            | KeyError::CredentialExists(_)
            | KeyError::PassphraseForErasable => {
                Self::new(ErrorKind::Usage, error)
            }
            _ => Self::failed(error),
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let known = error.remedy().map(str::to_owned);
        let kind = match error.kind {
            StoreErrorKind::NoStore => ErrorKind::NoRepository,
            _ => ErrorKind::Failed,
        };
        let hint = match error.kind {
            StoreErrorKind::NoStore => "look at -r and ICECORE_REPO",
            StoreErrorKind::NotFound => "check the repository: icecore check",
            StoreErrorKind::PermissionDenied => {
                "run as the user that owns the repository, or change its owner"
            }
            StoreErrorKind::Full => "free some space, then run the command again",
            StoreErrorKind::Transient => "run the command again when the storage answers",
            StoreErrorKind::BadLength => "check the repository: icecore check",
            StoreErrorKind::Unavailable => "look at the storage, then try again",
            StoreErrorKind::Permanent => "look at the storage and its mount, then try again",
        };
        Self::new(kind, error).hint(known.unwrap_or_else(|| hint.to_owned()))
    }
}

impl From<RecordLoadError> for CommandError {
    fn from(error: RecordLoadError) -> Self {
        match error {
            RecordLoadError::Store(error) => error.into(),
            damage => Self::new(ErrorKind::Damage, damage).hint("find its extent: icecore check"),
        }
    }
}

impl From<ReadError> for CommandError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            error if error.is_damage() => Self::new(ErrorKind::Damage, error)
                .hint("find its extent: icecore check --read-data"),
            error @ ReadError::Withdrawn(_) => {
                Self::failed(error).hint("icecore snapshots lists what there is")
            }
            error => Self::failed(error).hint("drop the local cache: icecore cache clear"),
        }
    }
}

impl From<TreeError> for CommandError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Read(error) => error.into(),
            TreeError::Interrupted(error) => error.into(),
            error => Self::new(ErrorKind::Damage, error),
        }
    }
}

impl From<SessionError> for CommandError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Store(error) => error.into(),
            SessionError::Record(error) => error.into(),
            SessionError::Keys(error) => error.into(),
            error => Self::failed(error).hint("drop the local cache: icecore cache clear"),
        }
    }
}

impl From<WriteError> for CommandError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Session(error) => error.into(),
            WriteError::Keys(error) => error.into(),
            WriteError::Read(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

impl From<CommitError> for CommandError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Write(error) => error.into(),
            error => Self::new(ErrorKind::Refused, error)
                .hint("run the command again: another operation got in between"),
        }
    }
}

impl From<CopyError> for CommandError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Same => Self::new(ErrorKind::Usage, error)
                .hint("give another repository with --to; icecore mirror keeps one byte for byte"),
            CopyError::Erasable(_) => Self::new(ErrorKind::Refused, error).hint(
                "make an erasable domain of the same name at the target: icecore domain create",
            ),
            CopyError::Read(error) => Self::from(error).within("cannot read the source"),
            CopyError::Write(error) => Self::from(error).within("cannot write to the target"),
            CopyError::Commit(error) => Self::from(error).within("cannot commit at the target"),
            CopyError::Record(error) => error.into(),
            CopyError::Keys(error) => error.into(),
            CopyError::Store(error) => error.into(),
            CopyError::Interrupted(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

impl From<MirrorError> for CommandError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Source(error) => error.into(),
            MirrorError::Occupied(_) => Self::new(ErrorKind::Refused, error)
                .hint("give an empty place, or an earlier mirror of this repository"),
            MirrorError::Record(error) => error.into(),
            MirrorError::Store(error) => error.into(),
            MirrorError::Interrupted(error) => error.into(),
            error @ MirrorError::Restless => Self::failed(error)
                .hint("run it again when that prune is done; what was copied stays"),
            error => Self::failed(error),
        }
    }
}

impl From<SourceError> for CommandError {
    fn from(error: SourceError) -> Self {
        let remedy = error.remedy.clone();
        let error = Self::failed(error);
        match remedy {
            Some(remedy) => error.hint(remedy),
            None => error,
        }
    }
}

impl From<ArchiveError> for CommandError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Source(error) => error.into(),
            ArchiveError::Write(error) => error.into(),
            ArchiveError::Interrupted(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

impl From<SelectError> for CommandError {
    fn from(error: SelectError) -> Self {
        let hint = match &error {
            SelectError::Empty { .. } => "take one: icecore snapshot PATH",
            SelectError::Forgotten(_) => "bring it back: icecore forget --undo ID",
            _ => "icecore snapshots lists what there is",
        };
        Self::new(ErrorKind::Choice, error).hint(hint)
    }
}

impl From<Interrupted> for CommandError {
    fn from(error: Interrupted) -> Self {
        Self::new(ErrorKind::Interrupted, error)
            .hint("nothing that was saved is harmed; run the command again to go on")
    }
}

impl From<EntropyError> for CommandError {
    fn from(error: EntropyError) -> Self {
        Self::failed(error)
    }
}

impl From<SnapshotError> for CommandError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Archive(error) => error.into(),
            SnapshotError::Commit(error) => error.into(),
            SnapshotError::Write(error) => error.into(),
            SnapshotError::Keys(error) => error.into(),
            SnapshotError::Record(error) => error.into(),
        }
    }
}

impl From<TargetError> for CommandError {
    fn from(error: TargetError) -> Self {
        let hint = match error.kind {
            TargetErrorKind::Exists => {
                "restore to an empty directory, or add --overwrite to replace what differs"
            }
            TargetErrorKind::NotBeneath => "remove the symbolic link, or restore elsewhere",
            TargetErrorKind::Full => "free some space, then run the command again",
            TargetErrorKind::PermissionDenied => {
                "run as a user that may write there, or restore elsewhere"
            }
            _ => "what is finished stays; add --overwrite to go on from there",
        };
        let kind = match error.kind {
            TargetErrorKind::Exists => ErrorKind::Refused,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error).hint(hint)
    }
}

impl From<ReplaceError> for CommandError {
    fn from(error: ReplaceError) -> Self {
        let kind = match &error {
            ReplaceError::Damaged { .. } => ErrorKind::Damage,
            ReplaceError::InUse { .. } | ReplaceError::WrittenMeanwhile { .. } => {
                ErrorKind::Refused
            }
            ReplaceError::Interrupted(_) => ErrorKind::Interrupted,
            _ => ErrorKind::Failed,
        };
        let remedy = error.remedy().map(str::to_owned);
        let mut converted = Self::new(kind, error);
        converted.hints.extend(remedy);
        converted
    }
}

impl From<RestoreError> for CommandError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Record(error) => error.into(),
            RestoreError::Tree(error) => error.into(),
            RestoreError::Read(error) => error.into(),
            RestoreError::Target(error) => error.into(),
            RestoreError::Replace(error) => error.into(),
            RestoreError::Interrupted(error) => error.into(),
            error @ RestoreError::NoSuchPath { .. } => {
                Self::usage(error).hint("icecore ls SNAP shows what is in it")
            }
            error @ RestoreError::Exists(_) => Self::new(ErrorKind::Refused, error)
                .hint("restore to another path, or add --overwrite to replace the database"),
            error => Self::failed(error),
        }
    }
}

impl From<CheckError> for CommandError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Store(error) => error.into(),
            CheckError::Record(error) => error.into(),
            CheckError::Read(error) => error.into(),
            CheckError::Interrupted(error) => error.into(),
            error @ CheckError::Spill(_) => Self::failed(error).hint(NEEDS_SCRATCH),
            error @ CheckError::Index(_) => {
                Self::failed(error).hint("drop the local cache: icecore cache clear")
            }
            error => Self::failed(error),
        }
    }
}

/// What is told where intermediate records find no room.
const NEEDS_SCRATCH: &str = "make room there, or give --cache-dir with a directory that has some";

/// What a credential that may not maintain is told.
const NEEDS_MAINTAINER: &str =
    "unlock with a full credential, or one for maintenance: icecore key test shows which this is";

impl From<ForgetError> for CommandError {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Record(error) => error.into(),
            ForgetError::Session(error) => error.into(),
            ForgetError::Keep(error) => error.into(),
            error @ ForgetError::NotMaintainer(_) => {
                Self::new(ErrorKind::Key, error).hint(NEEDS_MAINTAINER)
            }
            error @ ForgetError::Policy(_) => Self::usage(error),
            error @ ForgetError::Held(_) => Self::new(ErrorKind::Refused, error)
                .hint("icecore hold list shows the holds; icecore hold release SNAP ends one"),
            error @ ForgetError::WantsForce { .. } => Self::new(ErrorKind::Refused, error)
                .hint("look first: add --dry-run")
                .hint("add --force if it is meant"),
            error => Self::usage(error).hint("icecore snapshots lists what there is"),
        }
    }
}

impl From<PruneError> for CommandError {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Session(error) => error.into(),
            PruneError::Record(error) => error.into(),
            PruneError::Interrupted(error) => error.into(),
            error @ PruneError::NotMaintainer(_) => {
                Self::new(ErrorKind::Key, error).hint(NEEDS_MAINTAINER)
            }
            error @ PruneError::Busy(_) => Self::new(ErrorKind::Refused, error)
                .hint("run it again when that prune has ended")
                .hint(
                    "one that crashed counts as running for 24 h; --dead-after 1h closes it sooner",
                ),
            error @ PruneError::Spill(_) => Self::failed(error).hint(NEEDS_SCRATCH),
            error @ PruneError::WritersOpen(_) => Self::new(ErrorKind::Refused, error)
                .hint("run it again later, or wait longer: --wait 24h")
                .hint(
                    "a backup that crashed counts as running for 24 h: --fence-writer with its \
                     session closes it now, --dead-after 1h sooner",
                ),
            error if error.is_refused() => Self::new(ErrorKind::Refused, error),
            error if error.is_damage() => Self::new(ErrorKind::Damage, error)
                .hint("find its extent: icecore check --read-data"),
            error => Self::failed(error),
        }
    }
}

impl From<HoldError> for CommandError {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Session(error) => error.into(),
            HoldError::Keys(error) => error.into(),
            error @ HoldError::NotMaintainer(_) => {
                Self::new(ErrorKind::Key, error).hint(NEEDS_MAINTAINER)
            }
            HoldError::Keep(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

impl From<KeepError> for CommandError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Session(error) => error.into(),
            error @ KeepError::Undecided(_) => Self::new(ErrorKind::Refused, error)
                .hint("if no prune is running, one was interrupted: icecore prune decides it"),
            error => {
                Self::new(ErrorKind::Refused, error).hint("icecore snapshots lists what there is")
            }
        }
    }
}
