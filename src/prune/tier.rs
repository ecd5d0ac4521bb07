//! What only older snapshots need, and may lie where it costs less.
//!
//! Decided by reachability, never by age: the oldest packs hold what the newest snapshot stands on.

use crate::format::pack::PackClass;
use crate::id::SnapshotId;
use crate::prune::mark::{Survey, mark};
use crate::prune::{Context, PruneError, PrunePlan};
use crate::repository::gc::{Commit, PackPlace};
use crate::spill::Bits;
use std::collections::HashSet;

impl PrunePlan<'_> {
    /// Packs with contents of files that snapshots need, and none of the `warm` ones. Metadata is
    /// read by every command and is never among them.
    pub fn cold_packs(
        &self,
        warm: &HashSet<SnapshotId>,
        context: Context<'_>,
    ) -> Result<Vec<PackPlace>, PruneError> {
        let survey = Survey::take(self.repository, context, None, &self.options)?;
        let is_warm = |commit: &Commit| warm.contains(&commit.id);
        let marks = mark(self.repository, context, &survey, &is_warm, &HashSet::new())?;
        let catalog = &survey.inventory.catalog;
        let mut needed = Bits::new(catalog.packs.len());
        survey.inventory.for_each(&mut |number, row| {
            if marks.is_live(number) {
                needed.set(row.pack as usize);
            }
            Ok(())
        })?;
        let is_cold = |place: &&PackPlace| {
            let number = catalog.number(place.id);
            place.class != PackClass::Metadata && number.is_some_and(|number| !needed.get(number))
        };
        Ok(self.needed.iter().filter(is_cold).copied().collect())
    }
}
