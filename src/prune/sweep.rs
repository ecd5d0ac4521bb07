//! Cleaning up: records of prunes that are over, sessions that ended or were closed, what killed
//! puts left in the store.

use crate::env::Timestamp;
use crate::format::layout;
use crate::format::protocol::Condemned;
use crate::id::{PackId, SegmentId, SessionId, SnapshotId};
use crate::planted::{self, Bug};
use crate::prune::{Context, PruneError};
use crate::repository::gc::SessionState;
use crate::repository::{PruneRecord, Repository};
use crate::store::{StoreExt, Swept};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// What a put that was killed left behind is removed at this age: no put takes that long.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what puts that were killed left in the store, by the store's own time, which `own`
/// tells.
pub(super) fn sweep_leftovers(
    repository: &Repository,
    own: SessionId,
    sessions: &[SessionState],
) -> Result<Swept, PruneError> {
    let own = sessions.iter().find(|session| session.id == own);
    let Some(now) = own.and_then(|session| session.last_sign) else {
        return Ok(Swept::default());
    };
    let age = i64::try_from(LEFTOVER_AGE.as_nanos()).unwrap_or(i64::MAX);
    let before = Timestamp(now.0.saturating_sub(age));
    Ok(repository.store().sweep(before)?)
}

/// Removes what other sessions left and nobody needs. `fence`, `closed` and `hide` stay for ever.
/// `sessions` were listed before: of one that has ended, every record was acknowledged by then.
pub(super) fn sweep(
    repository: &Repository,
    own: SessionId,
    sessions: &[SessionState],
    context: Context<'_>,
) -> Result<(), PruneError> {
    let flags = repository.load_flags()?;
    let is_over = |session: &SessionState| session.has_ended || flags.is_closed(session.id);
    let mut runs: BTreeMap<SessionId, Vec<&PruneRecord>> = BTreeMap::new();
    for record in &flags.prune_records {
        runs.entry(record.session).or_default().push(record);
    }
    let mut there = None;
    for (session, records) in runs.into_iter().filter(|(session, _)| *session != own) {
        context.cancel.check()?;
        let delete = records.iter().find(|record| record.is_delete);
        let may_go = match delete {
            Some(delete) if flags.counts_prune(delete) => {
                let there = match &mut there {
                    Some(there) => there,
                    none => none.insert(There::list(repository)?),
                };
                there.has_none_of(&delete.named)
            }
            // Void: it never deletes anything.
            Some(_) => true,
            None => match sessions.iter().find(|state| state.id == session) {
                Some(state) => is_over(state),
                None => flags.is_closed(session) || !repository.has_open(session)?,
            },
        };
        if may_go {
            repository.remove_prune_records(session)?;
        }
    }
    for session in sessions {
        if planted::has(Bug::ClosedRemoved) {
            repository.remove_closed(session.id)?;
        }
        let is_left = session.id != own && (is_over(session) || !session.is_open());
        if is_left {
            repository.remove_session(session)?;
        }
    }
    Ok(repository.store().barrier()?)
}

/// Removes the objects of this prune's own, ended session.
pub(super) fn remove_own_session(
    repository: &Repository,
    own: SessionId,
) -> Result<(), PruneError> {
    let sessions = repository.list_sessions()?;
    for session in sessions.iter().filter(|session| session.id == own) {
        repository.remove_session(session)?;
    }
    Ok(repository.store().barrier()?)
}

/// What a prune can delete and is still listed.
struct There {
    packs: HashSet<PackId>,
    segments: HashSet<SegmentId>,
    snapshots: HashSet<SnapshotId>,
}

impl There {
    fn list(repository: &Repository) -> Result<Self, PruneError> {
        let names = |prefix| repository.store().list_all(prefix);
        Ok(Self {
            packs: names(layout::PACKS)?
                .iter()
                .filter_map(|info| layout::parse_pack(info.key.as_str()))
                .map(|(_, pack)| pack)
                .collect(),
            segments: names(layout::SEGMENTS)?
                .iter()
                .filter_map(|info| info.key.file_name().parse().ok())
                .collect(),
            snapshots: names(layout::SNAPSHOTS)?
                .iter()
                .filter_map(|info| info.key.file_name().parse().ok())
                .collect(),
        })
    }

    fn has_none_of(&self, named: &Condemned) -> bool {
        !named.packs.iter().any(|pack| self.packs.contains(pack))
            && !named.segments.iter().any(|id| self.segments.contains(id))
            && !named.snapshots.iter().any(|id| self.snapshots.contains(id))
    }
}
