//! From a blob to what it rests on. Depth is computed here from visible rows, never believed.

use crate::format::blob::{BlobKind, Form};
use crate::id::BlobId;
use crate::limits;
use crate::repository::index::{Index, IndexError, Located};
use std::collections::HashSet;

/// Most ids that are looked at for one chain. Honest ids have a form or two on each of at most 32
/// levels; a wider web is somebody's attempt to keep us busy.
const IDS_MAX: usize = 1024;

/// A delta on the way, and the delta that rests on it.
struct Step {
    delta: Located,
    above: Option<usize>,
}

impl Index {
    /// The rows to read for a blob: its own form first, then the base's, down to a full one; of all
    /// ways the one over the fewest deltas, at most [`limits::DELTA_DEPTH_MAX`]. A member is followed
    /// by its group. Only rows that `acceptable` agrees to are used (packs not named, authors
    /// trusted). None: there is no such way, so the blob is not usable.
    pub fn chain(
        &self,
        id: &BlobId,
        acceptable: &dyn Fn(&Located) -> bool,
    ) -> Result<Option<Vec<Located>>, IndexError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut seen = HashSet::from([*id]);
        let mut level = vec![(*id, None)];
        for depth in 0..=limits::DELTA_DEPTH_MAX {
            let mut next = Vec::new();
            for (id, above) in level {
                for row in self.lookup(&id)? {
                    let as_base = above.is_none() || row.row.kind == BlobKind::Chunk;
                    if !as_base || !acceptable(&row) {
                        continue;
                    }
                    match row.row.form {
                        Form::Full => return Ok(Some(unwind(&steps, above, vec![row]))),
                        Form::Member { group } => {
                            if let Some(group) = self.group(&group, acceptable)? {
                                return Ok(Some(unwind(&steps, above, vec![row, group])));
                            }
                        }
                        Form::Delta { base, .. } => {
                            let deeper = depth < limits::DELTA_DEPTH_MAX && seen.len() < IDS_MAX;
                            if deeper && seen.insert(base) {
                                steps.push(Step { delta: row, above });
                                next.push((base, Some(steps.len() - 1)));
                            }
                        }
                    }
                }
            }
            level = next;
        }
        Ok(None)
    }

    /// How many deltas must be applied to get the blob, by the shortest way: 0 for a full form or a
    /// member of a group. None as in [`Self::chain`].
    pub fn depth(
        &self,
        id: &BlobId,
        acceptable: &dyn Fn(&Located) -> bool,
    ) -> Result<Option<u32>, IndexError> {
        let chain = self.chain(id, acceptable)?;
        let is_delta = |row: &&Located| matches!(row.row.form, Form::Delta { .. });
        Ok(chain.map(|rows| rows.iter().filter(is_delta).count() as u32))
    }

    fn group(
        &self,
        id: &BlobId,
        acceptable: &dyn Fn(&Located) -> bool,
    ) -> Result<Option<Located>, IndexError> {
        let rows = self.lookup(id)?;
        Ok(rows.into_iter().find(|row| {
            row.row.kind == BlobKind::Group && row.row.form == Form::Full && acceptable(row)
        }))
    }
}

/// The deltas from the top down to `last`, then `end`.
fn unwind(steps: &[Step], last: Option<usize>, end: Vec<Located>) -> Vec<Located> {
    let mut deltas = Vec::new();
    let mut position = last;
    while let Some(step) = position.and_then(|position| steps.get(position)) {
        deltas.push(step.delta.clone());
        position = step.above;
    }
    deltas.reverse();
    deltas.extend(end);
    deltas
}
