//! What only older snapshots need, and may lie where it costs less.
//!
//! Decided by reachability, never by age: the oldest packs hold what the newest snapshot stands on.

use crate::format::pack::PackClass;
use crate::id::SnapshotId;
use crate::prune::mark::{Survey, looking_again, mark};
use crate::prune::{Context, PruneError, PrunePlan};
use crate::repository::gc::{Commit, PackPlace};
use std::collections::HashSet;

impl PrunePlan<'_> {
    /// Packs with contents of files that `old` snapshots need, and none of all others that are kept.
    /// Metadata is read by every command and is never among them.
    pub fn cold_packs(
        &self,
        old: &HashSet<SnapshotId>,
        context: Context<'_>,
    ) -> Result<Vec<PackPlace>, PruneError> {
        looking_again(&|| self.cold_packs_once(old, context))
    }

    fn cold_packs_once(
        &self,
        old: &HashSet<SnapshotId>,
        context: Context<'_>,
    ) -> Result<Vec<PackPlace>, PruneError> {
        let survey = Survey::take(self.repository, context, None, &self.options)?;
        let is_warm = |commit: &Commit| !survey.may_go(commit) && !old.contains(&commit.id);
        let marks = mark(self.repository, context, &survey, &is_warm, &HashSet::new())?;
        let catalog = &survey.inventory.catalog;
        let needed = marks.packs(&survey.inventory)?;
        let is_cold = |place: &&PackPlace| {
            let number = catalog.number(place.id);
            place.class != PackClass::Metadata && number.is_some_and(|number| !needed.get(number))
        };
        Ok(self.needed.iter().filter(is_cold).copied().collect())
    }
}
