//! Cleaning up after others.

use crate::model::bugs::Bug;
use crate::model::objects::{Named, Object, PRUNES, Set};
use crate::model::pruner::{Pruner, Step, Sweep};
use crate::model::scenario::Scenario;
use crate::model::world::World;

impl Pruner {
    /// Step 9, about others: what nobody needs any more.
    pub(super) fn sweep(&mut self, scenario: &Scenario, world: &World, sweep: Sweep, shown: Set) {
        self.seen = self.seen.union(shown);
        self.step = match sweep {
            Sweep::ListSessions => Step::Sweep(Sweep::ListFlags),
            Sweep::ListFlags => Step::Sweep(Sweep::ListAll),
            Sweep::ListAll | Sweep::Remove => {
                self.doomed = self.left_over(scenario, world);
                self.seen = Set::EMPTY;
                match self.doomed.is_empty() {
                    true => Step::End,
                    false => Step::Sweep(Sweep::Remove),
                }
            }
        };
    }

    fn left_over(&self, scenario: &Scenario, world: &World) -> Set {
        let seen = self.seen;
        let is_closed = |session| Object::closed_by_anyone(session).any(|r| seen.contains(r));
        let is_over = |session| seen.contains(Object::end(session)) || is_closed(session);
        let mut left = Set::EMPTY;
        for session in (0..PRUNES + 3).filter(|session| *session != self.session) {
            if is_over(session) {
                left.insert(Object::open(session));
                if !seen.contains(Object::open(session)) {
                    left.insert(Object::end(session));
                }
            }
            if is_closed(session) && scenario.has(Bug::FenceRemoved) {
                left.insert(Object::fence(session));
            }
            if is_closed(session) && scenario.has(Bug::ClosedRemoved) {
                Object::closed_by_anyone(session).for_each(|record| left.insert(record));
            }
            if session < PRUNES {
                continue;
            }
            let delete = Object::delete(session);
            let may_go = match seen.contains(delete) {
                true if scenario.delete_counts(world, seen, session) => {
                    let named = Named::decode(scenario.content(world, delete));
                    named.objects().intersection(seen).is_empty()
                }
                true => true,
                false => is_over(session),
            };
            if may_go {
                left.insert(Object::condemn(session));
                left.insert(delete);
            }
        }
        left.intersection(seen)
    }
}
