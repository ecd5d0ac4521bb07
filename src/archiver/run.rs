//! One run: sessions, parents, commits, and the set that joins its snapshots.

use crate::archiver::expectations::{Expectation, UNMET, counts, unmet};
use crate::archiver::sink::{ArchiveError, ArchiveOptions, Archived, archive, checked};
use crate::codec::Effort;
use crate::entry::{Fact, Facts};
use crate::env::Timestamp;
use crate::format::protocol::Set;
use crate::format::snapshot::{REMARKS_MAX, SnapshotBody, SnapshotLabel, Totals, WireFacts};
use crate::id::{PackId, SetId, SnapshotId};
use crate::monitor::{Cancel, Monitor};
use crate::planted::{self, Bug};
use crate::repository::index::{Index, IndexError};
use crate::repository::{
    CommitError, KeyError, RecordLoadError, Repository, Snapshot, SnapshotParts, WriteError,
    WriteSession,
};
use crate::source::{Source, SourceError};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// A capture is repeated this often when what it relied on went away meanwhile.
const ATTEMPTS: usize = 3;

/// What a snapshot is to be.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// Identity of the source: scheme and canonical path, or host, port and database.
    pub source: String,
    /// Host name.
    pub host: String,
    /// Tags, key and value.
    pub tags: BTreeMap<String, String>,
    /// Labels, such as sensitivity.
    pub labels: BTreeMap<String, String>,
    /// The job that asks for it.
    pub job: Option<String>,
    /// The time to record instead of now: a back-fill.
    pub captured: Option<Timestamp>,
    /// The domain to write into; the default one without.
    pub domain: Option<String>,
    /// Names at the root and the paths they come from.
    pub roots: Vec<(Vec<u8>, Vec<u8>)>,
    /// The user the program runs as.
    pub user: String,
    /// Which snapshot to compare with.
    pub parent: Parent,
    /// Compression effort.
    pub effort: Effort,
    /// Worker threads.
    pub workers: usize,
    /// Whether content that cannot be read fails the snapshot.
    pub strict: bool,
    /// What must be true of a database; where it is not, the snapshot is kept as suspect.
    pub expectations: Vec<Expectation>,
}

/// Which snapshot a new one is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent {
    /// The newest of the same source and host.
    #[default]
    Newest,
    /// None: everything is read.
    Without,
    /// This one.
    Given(SnapshotId),
}

/// A committed snapshot.
#[derive(Debug)]
pub struct Taken {
    /// Its name.
    pub id: SnapshotId,
    /// What it was compared with.
    pub parent: Option<SnapshotId>,
    /// What it says of itself.
    pub label: SnapshotLabel,
    /// What was captured.
    pub archived: Archived,
}

/// A snapshot was not taken. Nothing that was saved before is touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The capture failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The domain cannot be written to.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The snapshots cannot be listed.
    #[error(transparent)]
    Record(#[from] RecordLoadError),
}

/// Opens the source of one attempt. A source that can be read only once (a pipe) fails when it is
/// asked again.
pub type OpenSource<'f> = dyn FnMut() -> Result<Box<dyn Source>, SourceError> + 'f;

/// The snapshots of one run: one set.
#[derive(Debug)]
pub struct Run<'a> {
    repository: &'a Repository,
    index: &'a Index,
    set: SetId,
    taken: Vec<SnapshotId>,
}

impl<'a> Run<'a> {
    /// Begins a run.
    pub fn new(repository: &'a Repository, index: &'a Index) -> Result<Self, WriteError> {
        Ok(Self {
            repository,
            index,
            set: SetId(repository.entropy().array()?),
            taken: Vec::new(),
        })
    }

    /// The set's name.
    pub fn set(&self) -> SetId {
        self.set
    }

    /// Takes a snapshot: when this returns, it is durable and visible.
    pub fn snapshot(
        &mut self,
        request: &SnapshotRequest,
        open: &mut OpenSource<'_>,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Taken, SnapshotError> {
        let mut distrusted = HashSet::new();
        let mut attempt = 1;
        loop {
            let taken = self.attempt(request, open, distrusted.clone(), monitor, cancel);
            match taken {
                Ok(taken) => {
                    self.taken.push(taken.id);
                    return Ok(taken);
                }
                Err(SnapshotError::Commit(
                    error @ (CommitError::Vanished(_) | CommitError::Fenced(_)),
                )) if attempt < ATTEMPTS => {
                    monitor.warn(&format!("{error}; capturing again"));
                    if let CommitError::Vanished(packs) = error {
                        distrusted.extend(packs);
                    }
                }
                // The index cache is disposable: the next attempt loads it anew.
                Err(error) if attempt < ATTEMPTS && is_unreadable_index(&error) => {
                    monitor.warn(&format!("{error}; capturing again"));
                    self.index.clear();
                }
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        request: &SnapshotRequest,
        open: &mut OpenSource<'_>,
        distrusted: HashSet<PackId>,
        monitor: &dyn Monitor,
        cancel: &Cancel,
    ) -> Result<Taken, SnapshotError> {
        let repository = self.repository;
        let started = repository.clock().elapsed();
        let domain = repository.access().domain(request.domain.as_deref())?;
        let tag = domain.tag;
        let session = WriteSession::open(repository, self.index, domain, distrusted, monitor)?;
        let history = History::load(repository, request, tag)?;
        let captured = request.captured.unwrap_or(repository.clock().now());
        let options = ArchiveOptions {
            effort: request.effort,
            workers: request.workers,
            source: format!("{}@{}", request.source, request.host),
            strict: request.strict,
            use_cache: request.parent != Parent::Without,
            parent: history.root,
        };
        let archived = open()
            .map_err(ArchiveError::from)
            .and_then(|mut source| archive(&session, &mut *source, &options, monitor, cancel));
        let mut archived = match archived {
            Ok(archived) => archived,
            Err(error) => {
                session.abandon(monitor);
                return Err(error.into());
            }
        };
        let before = || history.facts(repository);
        judge(request, &mut archived, before)?;
        let parent = history.parent.as_ref().map(|parent| parent.id);
        let label = self.label(request, &archived, captured, parent, started);
        let parts = SnapshotParts {
            root: archived.root,
            label,
            body: body(request, &archived),
            heads: history.heads,
        };
        let (id, label) = match session.commit(parts) {
            Err(error) if planted::has(Bug::EndAfterTimeout) => {
                session.end()?;
                return Err(error.into());
            }
            committed => committed?,
        };
        std::mem::take(&mut archived.unplaced).write(&session);
        session.end()?;
        Ok(Taken {
            id,
            parent,
            label,
            archived,
        })
    }

    fn label(
        &self,
        request: &SnapshotRequest,
        archived: &Archived,
        captured: Timestamp,
        parent: Option<SnapshotId>,
        started: Duration,
    ) -> SnapshotLabel {
        let took = self.repository.clock().elapsed().saturating_sub(started);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        SnapshotLabel {
            source: request.source.clone(),
            host: request.host.clone(),
            captured,
            tags: request.tags.clone(),
            set: self.set,
            parent,
            job: request.job.clone(),
            complete: archived.problems.is_empty(),
            suspect: archived.suspect,
            totals: Totals {
                milliseconds,
                ..archived.totals
            },
            checked: checked(&archived.facts),
        }
    }

    /// Ends the run: joins its snapshots, if there are several, in a set. `complete` says whether
    /// every source that was asked for has one.
    pub fn finish(self, complete: bool, monitor: &dyn Monitor) -> Result<(), SnapshotError> {
        if self.taken.len() < 2 && complete {
            return Ok(());
        }
        let domain = self.repository.access().domain(None)?;
        let nothing = HashSet::new();
        let session = WriteSession::open(self.repository, self.index, domain, nothing, monitor)?;
        session.commit_set(&Set {
            id: self.set,
            snapshots: self.taken,
            complete,
        })?;
        Ok(session.end()?)
    }
}

fn is_unreadable_index(error: &SnapshotError) -> bool {
    let write = match error {
        SnapshotError::Archive(ArchiveError::Write(error))
        | SnapshotError::Commit(CommitError::Write(error))
        | SnapshotError::Write(error) => error,
        _ => return false,
    };
    matches!(write, WriteError::Index(IndexError::Unreadable { .. }))
}

/// What was there before.
struct History {
    parent: Option<Snapshot>,
    /// The parent's root directory.
    root: Option<crate::id::BlobId>,
    heads: Vec<SnapshotId>,
}

impl History {
    /// What was recorded with the parent.
    fn facts(&self, repository: &Repository) -> Result<Vec<Facts>, RecordLoadError> {
        let parent = self.parent.as_ref().filter(|parent| parent.readable);
        let body = parent.map(|parent| parent.body(repository));
        let facts = body.transpose()?.map(|body| body.facts).unwrap_or_default();
        Ok(facts.into_iter().map(|(_, facts)| facts.into()).collect())
    }

    fn load(
        repository: &Repository,
        request: &SnapshotRequest,
        domain: crate::id::DomainTag,
    ) -> Result<Self, SnapshotError> {
        let (list, flags) = repository.list_snapshots()?;
        let same = |snapshot: &&Snapshot| {
            snapshot.label.source == request.source
                && snapshot.label.host == request.host
                && snapshot.domain == domain
        };
        let parent = match request.parent {
            Parent::Newest => list.visible.iter().rfind(same),
            Parent::Without => None,
            Parent::Given(id) => list.visible.iter().find(|snapshot| snapshot.id == id),
        };
        // Names and content of a tree that cannot be opened are nothing to compare with.
        let readable = parent.filter(|snapshot| snapshot.readable);
        Ok(Self {
            parent: parent.cloned(),
            root: readable.map(|snapshot| snapshot.root),
            heads: repository.own_heads(&list, &flags)?,
        })
    }
}

/// Marks a capture that is not as expected, and says in its facts what is not.
fn judge(
    request: &SnapshotRequest,
    archived: &mut Archived,
    before: impl Fn() -> Result<Vec<Facts>, RecordLoadError>,
) -> Result<(), RecordLoadError> {
    let expectations = &request.expectations;
    if expectations.is_empty() {
        return Ok(());
    }
    let before = match expectations.iter().any(|one| one.max_drop.is_some()) {
        true => before()?,
        false => Vec::new(),
    };
    let before = before.iter().find_map(counts);
    let now = archived.facts.iter().find_map(|(_, facts)| counts(facts));
    let unmet = unmet(expectations, now, before);
    if unmet.is_empty() {
        return Ok(());
    }
    archived.suspect = true;
    if archived.facts.is_empty() {
        archived.facts.push((Vec::new(), Facts::new()));
    }
    for (_, facts) in archived.facts.iter_mut().take(1) {
        facts.insert(UNMET.to_owned(), Fact::List(unmet.clone()));
    }
    archived.unmet = unmet;
    Ok(())
}

fn body(request: &SnapshotRequest, archived: &Archived) -> SnapshotBody {
    let bytes = |bytes: &[u8]| minicbor::bytes::ByteVec::from(bytes.to_vec());
    let exclusions = archived
        .exclusions
        .iter()
        .take(REMARKS_MAX)
        .map(|left_out| {
            (
                bytes(&left_out.path),
                left_out.rule.clone(),
                left_out.reason.clone(),
                left_out.bytes,
                left_out.files,
            )
        });
    let problems = archived.problems.iter().take(REMARKS_MAX);
    let facts = archived.facts.iter();
    let roots = request.roots.iter();
    SnapshotBody {
        roots: roots
            .map(|(name, path)| (bytes(name), bytes(path)))
            .collect(),
        facts: facts
            .map(|(path, facts)| (bytes(path), WireFacts::from(facts)))
            .collect(),
        exclusions: exclusions.collect(),
        problems: problems
            .map(|problem| (bytes(&problem.path), problem.message.clone()))
            .collect(),
        labels: request.labels.clone(),
        program: concat!("icecore ", env!("CARGO_PKG_VERSION")).to_owned(),
        user: request.user.clone(),
    }
}
