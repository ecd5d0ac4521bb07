//! One run: sessions at the target, snapshots one after the other, oldest first.

use crate::copy::blobs::{Counts, Renames, Transfer};
use crate::copy::there::{Destination, There, domain_for};
use crate::copy::tree::Walk;
use crate::copy::{CopyError, CopyOptions, CopyReport, Pair, Side};
use crate::id::{DomainTag, PackId, SnapshotId};
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::{
    CommitError, ReadError, Reader, Snapshot, SnapshotParts, WriteError, WriteSession,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

/// Sessions that are begun anew in a row because another party got in between.
const ATTEMPTS: usize = 3;

/// Copies snapshots of the source; `all` is what the source lists, for the parents that they name.
///
/// Snapshots that are damaged or withdrawn at the source are passed over and reported. Errors: what
/// is wrong with a store, a key or the request; snapshots committed before stay.
pub fn copy<'a>(
    source: Side<'a>,
    target: Side<'a>,
    (snapshots, all): (&[&Snapshot], &'a [&'a Snapshot]),
    options: CopyOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
) -> Result<CopyReport, CopyError> {
    if source.repository.config().repository == target.repository.config().repository {
        return Err(CopyError::Same);
    }
    let (list, flags) = target.repository.list_snapshots()?;
    let mut run = Run {
        source,
        target,
        options,
        monitor,
        cancel,
        all,
        there: There::of(&list),
        heads: target.repository.own_heads(&list, &flags)?,
        reader: Reader::new(source.repository, source.index),
        renames: Renames::default(),
        counts: Counts::default(),
        distrusted: HashSet::new(),
        destinations: HashMap::new(),
        report: CopyReport::default(),
    };
    let result = run.all(snapshots);
    run.report.chunks = run.counts.chunks.load(Ordering::Relaxed);
    run.report.chunks_delta = run.counts.deltas.load(Ordering::Relaxed);
    run.report.bytes_fetched = run.reader.fetched_bytes();
    result.map(|()| run.report)
}

struct Run<'a> {
    source: Side<'a>,
    target: Side<'a>,
    options: CopyOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    all: &'a [&'a Snapshot],
    there: There,
    /// The newest commit of this writer at the target.
    heads: Vec<SnapshotId>,
    reader: Reader<'a>,
    renames: Renames,
    counts: Counts,
    /// Packs of the target that were found gone.
    distrusted: HashSet<PackId>,
    destinations: HashMap<DomainTag, Destination>,
    report: CopyReport,
}

/// What became of one snapshot.
enum Step {
    /// Go on with the next.
    Done,
    /// The session has to be begun anew for it: packs went away, or somebody closed it.
    Again(CommitError),
}

impl<'a> Run<'a> {
    fn all(&mut self, snapshots: &[&Snapshot]) -> Result<(), CopyError> {
        let mut wanted: Vec<(Destination, Vec<&Snapshot>)> = Vec::new();
        let mut bytes = 0;
        for snapshot in snapshots {
            let destination = self.destination(snapshot.domain)?;
            if let Some(target) = self.there.find(snapshot, &destination) {
                self.report.already_there.push(pair(snapshot, target));
                continue;
            }
            bytes += snapshot.label.totals.bytes;
            match wanted.iter_mut().find(|(to, _)| *to == destination) {
                Some((_, group)) => group.push(snapshot),
                None => wanted.push((destination, vec![snapshot])),
            }
        }
        self.monitor.phase("copying", Unit::Bytes, Some(bytes));
        for (destination, group) in wanted {
            self.group(&destination, group)?;
        }
        Ok(())
    }

    fn destination(&mut self, domain: DomainTag) -> Result<Destination, CopyError> {
        if let Some(known) = self.destinations.get(&domain) {
            return Ok(known.clone());
        }
        let found = domain_for(self.source.repository, self.target.repository, domain)?;
        self.destinations.insert(domain, found.clone());
        Ok(found)
    }

    /// Copies snapshots into one domain, in one session as far as nobody gets in between.
    fn group(&mut self, destination: &Destination, group: Vec<&Snapshot>) -> Result<(), CopyError> {
        let mut left = group.into_iter().peekable();
        let mut attempts = 0;
        while left.peek().is_some() {
            let (repository, index) = (self.target.repository, self.target.index);
            let domain = repository.access().domain(Some(&destination.name))?;
            let distrusted = self.distrusted.clone();
            let session = WriteSession::open(repository, index, domain, distrusted, self.monitor)?;
            let mut walk = Walk {
                monitor: self.monitor,
                cancel: self.cancel,
                walked: HashSet::new(),
            };
            let mut stopped = None;
            while let Some(snapshot) = left.peek().copied() {
                match self.snapshot(&session, &mut walk, snapshot, destination) {
                    Ok(Step::Done) => {
                        attempts = 0;
                        left.next();
                    }
                    Ok(Step::Again(error)) => {
                        attempts += 1;
                        stopped = Some(CopyError::Commit(error));
                        break;
                    }
                    Err(error) => {
                        stopped = Some(error);
                        break;
                    }
                }
            }
            self.leave(session, stopped.as_ref());
            match stopped {
                Some(CopyError::Commit(CommitError::Vanished(packs))) if attempts < ATTEMPTS => {
                    self.distrusted.extend(packs);
                }
                Some(CopyError::Commit(CommitError::Fenced(_))) if attempts < ATTEMPTS => {}
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(())
    }

    /// Ends a session, after listing what it stored. One whose commit may still arrive, or that
    /// somebody is closing, is left to be closed: what it committed must not count as decided.
    fn leave(&self, session: WriteSession<'_>, stopped: Option<&CopyError>) {
        let may_end = match stopped {
            Some(CopyError::Commit(error)) => matches!(error, CommitError::Vanished(_)),
            _ => true,
        };
        if may_end {
            session.abandon(self.monitor);
        }
    }

    fn snapshot(
        &mut self,
        session: &WriteSession<'a>,
        walk: &mut Walk<'_>,
        snapshot: &Snapshot,
        destination: &Destination,
    ) -> Result<Step, CopyError> {
        self.cancel.check()?;
        self.monitor.current(&format!(
            "{} {}",
            snapshot.id.short(),
            snapshot.label.source
        ));
        self.reader.follow(snapshot.id);
        let renames = (!destination.is_sibling).then_some(&self.renames);
        let transfer = Transfer::new(
            &self.reader,
            session,
            renames,
            self.options,
            &self.counts,
            self.cancel,
        );
        let moved = walk.tree(&transfer, snapshot.root);
        drop(transfer);
        let root = match moved {
            Ok(root) => root,
            Err(error) => return self.pass_over(snapshot, error),
        };
        let body = match snapshot.body(self.source.repository) {
            Ok(body) => body,
            Err(error) if error.is_damage() => {
                let what = crate::explain::explain(&error);
                self.report.damaged.push((snapshot.id, what));
                return Ok(Step::Done);
            }
            Err(error) => return Err(error.into()),
        };
        // Another copy may have brought it meanwhile.
        self.there.look_again(self.target.repository)?;
        if let Some(target) = self.there.find(snapshot, destination) {
            self.report.already_there.push(pair(snapshot, target));
            return Ok(Step::Done);
        }
        let mut label = snapshot.label.clone();
        label.parent = label.parent.and_then(|parent| self.copy_of(parent));
        let parts = SnapshotParts {
            root,
            label,
            body,
            heads: self.heads.clone(),
        };
        match session.commit(parts) {
            Ok((id, label)) => self.committed(snapshot, id, label.totals.bytes_stored),
            Err(error @ (CommitError::Vanished(_) | CommitError::Fenced(_))) => {
                self.monitor
                    .warn(&format!("{error}; copying the snapshot again"));
                Ok(Step::Again(error))
            }
            Err(error) => Err(CopyError::Commit(error)),
        }
    }

    fn committed(
        &mut self,
        snapshot: &Snapshot,
        id: SnapshotId,
        bytes: u64,
    ) -> Result<Step, CopyError> {
        self.heads = vec![id];
        self.report.bytes_stored += bytes;
        self.report.copied.push(pair(snapshot, id));
        self.there.look_again(self.target.repository)?;
        Ok(Step::Done)
    }

    /// A snapshot that cannot be read does not stand in the way of the others.
    fn pass_over(&mut self, snapshot: &Snapshot, error: CopyError) -> Result<Step, CopyError> {
        match error {
            CopyError::Read(ReadError::Withdrawn(id)) => {
                self.report.withdrawn.push(id);
                Ok(Step::Done)
            }
            CopyError::Read(error) if error.is_damage() => {
                let what = crate::explain::explain(&error);
                self.report.damaged.push((snapshot.id, what));
                Ok(Step::Done)
            }
            error @ CopyError::Depth => {
                self.report.damaged.push((snapshot.id, error.to_string()));
                Ok(Step::Done)
            }
            CopyError::Write(WriteError::Read(error)) => Err(WriteError::Read(error).into()),
            error => Err(error),
        }
    }

    /// The copy of the snapshot that another was compared with.
    fn copy_of(&mut self, parent: SnapshotId) -> Option<SnapshotId> {
        let parent = self.all.iter().find(|snapshot| snapshot.id == parent)?;
        let destination = self.destinations.get(&parent.domain)?;
        self.there.find(parent, destination)
    }
}

fn pair(snapshot: &Snapshot, target: SnapshotId) -> Pair {
    Pair {
        source: snapshot.id,
        target,
    }
}
