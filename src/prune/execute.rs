//! Executing a plan, in the order of the protocol: condemn, wait, move, mark again, delete. Every
//! step has a module: `condemn`, `wait`, `repack`, `decide`, `delete`.
//!
//! Every round is a session of its own: packs that are wholly dead go in the first, so that a full
//! disk has space before live blobs are moved.

use crate::format::protocol::SessionKind;
use crate::id::{PackId, SnapshotId};
use crate::planted::{self, Bug};
use crate::prune::moves::Moves;
use crate::prune::plan::{NAMED_PACKS_MAX, PrunePlan};
use crate::prune::sweep::{remove_own_session, sweep, sweep_leftovers};
use crate::prune::{Context, PruneError, PruneOptions};
use crate::repository::{Repository, Session};
use std::cell::Cell;
use std::time::Duration;

/// What a prune did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Snapshots deleted.
    pub snapshots: u64,
    /// Packs deleted.
    pub packs: u64,
    /// Segments deleted.
    pub segments: u64,
    /// Bytes of deleted packs.
    pub bytes_freed: u64,
    /// Bytes of new packs and segments.
    pub bytes_written: u64,
    /// Leftovers of killed puts that were removed.
    pub leftovers: u64,
    /// How long writers that were running were waited for.
    pub waited: Duration,
}

impl PrunePlan<'_> {
    /// Condemns, moves, marks again and deletes. Errors before a deletion leave everything as it
    /// was, but for new packs that hold copies; the next prune takes those.
    pub fn execute(&self, context: Context<'_>) -> Result<Pruned, PruneError> {
        let mut pruned = Pruned::default();
        let waited = Cell::new(Duration::ZERO);
        let none = Moves::default();
        let mut dead = self.dead.chunks(NAMED_PACKS_MAX);
        let first = dead.next().unwrap_or(&[]);
        let mut round = |dead, moves, is_last| {
            let work = Work {
                dead,
                moves,
                is_last,
            };
            self.round(work, context, &waited, &mut pruned)
        };
        let moves_nothing = self.moves.is_empty();
        let is_last = |left: usize| moves_nothing && left == 0;
        // The first round also cleans up after others, so it is run in any case.
        if !first.is_empty() || moves_nothing {
            round(first, &none, is_last(dead.len()))?;
        }
        while let Some(next) = dead.next() {
            round(next, &none, is_last(dead.len()))?;
        }
        if !moves_nothing {
            round(&[], &self.moves, true)?;
        }
        pruned.waited = waited.get();
        Ok(pruned)
    }

    fn round(
        &self,
        work: Work<'_>,
        context: Context<'_>,
        waited: &Cell<Duration>,
        pruned: &mut Pruned,
    ) -> Result<(), PruneError> {
        let session = Session::open(self.repository, SessionKind::Prune)?;
        let round = Round {
            repository: self.repository,
            options: &self.options,
            context,
            session: &session,
            snapshots: &self.snapshots,
            dead: work.dead,
            moves: work.moves,
            is_last: work.is_last,
            waited,
        };
        let mut stage = Stage::Revocable;
        match round.run(&mut stage, pruned) {
            Ok(()) => round.clean_up(pruned)?,
            Err(error) => {
                // What the user has to hear is why it failed, not why it could not tidy up.
                let _tidied = round.give_up(stage).map(|may_end| match may_end {
                    true => session.end(self.repository, Vec::new()),
                    false => Ok(()),
                });
                return Err(error);
            }
        }
        let id = session.id();
        session.end(self.repository, Vec::new())?;
        remove_own_session(self.repository, id)
    }
}

/// How far a round got: what may be taken back when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was committed.
    Revocable,
    /// The `delete` may be in the store or arrive there: only a closer can say.
    Unknown,
    /// The `delete` is acknowledged.
    Committed,
}

/// What one round is to do.
struct Work<'a> {
    dead: &'a [PackId],
    moves: &'a Moves,
    is_last: bool,
}

/// One condemn and one delete.
pub(super) struct Round<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a PruneOptions,
    pub(super) context: Context<'a>,
    pub(super) session: &'a Session,
    pub(super) snapshots: &'a [SnapshotId],
    pub(super) dead: &'a [PackId],
    pub(super) moves: &'a Moves,
    /// Whether no round follows.
    pub(super) is_last: bool,
    /// How long all rounds so far waited for writers.
    pub(super) waited: &'a Cell<Duration>,
}

impl Round<'_> {
    /// The steps of the protocol, each finished and acknowledged before the next begins.
    fn run(&self, stage: &mut Stage, pruned: &mut Pruned) -> Result<(), PruneError> {
        self.give_way()?;
        let condemned = self.condemnation()?;
        if condemned.is_empty() {
            return Ok(());
        }
        let id = self.session.id();
        if planted::has(Bug::SessionsBeforeCondemn) {
            self.wait_for_writers()?;
        }
        self.repository.put_condemn(id, &condemned.record)?;
        if !planted::has(Bug::SessionsBeforeCondemn) {
            self.wait_for_writers()?;
        }
        self.wait_for_readers()?;
        pruned.bytes_written += self.rewrite(&condemned)?;
        let delete = match planted::has(Bug::NoSecondMark) {
            true => condemned.record.clone(),
            false => self.decide(&condemned)?,
        };
        self.context.cancel.check()?;
        *stage = Stage::Unknown;
        self.repository.put_delete(id, &delete)?;
        *stage = Stage::Committed;
        if self.session.is_fenced(self.repository)? && !planted::has(Bug::PruneIgnoresFence) {
            *stage = Stage::Unknown;
            return Err(PruneError::Fenced(id));
        }
        if planted::has(Bug::RecordsRemovedEarly) {
            self.repository.remove_prune_records(id)?;
        }
        self.delete(&delete, &condemned.places, pruned)
    }

    /// After success: all that this round named is gone, and what others left may be too.
    fn clean_up(&self, pruned: &mut Pruned) -> Result<(), PruneError> {
        let own = self.session.id();
        self.repository.remove_prune_records(own)?;
        let sessions = self.repository.list_sessions()?;
        if self.is_last {
            pruned.leftovers += sweep_leftovers(self.repository, own, &sessions)?.files;
        }
        sweep(self.repository, own, &sessions, self.context)
    }

    /// After a failure: takes the flags down, as far as that is known to be right. Whether the
    /// session may be ended: not where its commit may still arrive.
    fn give_up(&self, stage: Stage) -> Result<bool, PruneError> {
        match stage {
            Stage::Unknown => Ok(false),
            // The next prune condemns what is left.
            Stage::Committed => Ok(true),
            Stage::Revocable => {
                self.repository.remove_prune_records(self.session.id())?;
                Ok(true)
            }
        }
    }
}
