//! What a prune plans, and what it decides when it marks again.

use crate::model::bugs::Bug;
use crate::model::objects::{Named, Object, Packs, Set, bits};
use crate::model::pruner::{Looked, Pruner, Step, Sweep};
use crate::model::scenario::{Scenario, is_hidden};
use crate::model::world::World;

impl Pruner {
    /// The new pack, and what stays of condemned segments.
    pub(super) fn listed_again(&self, scenario: &Scenario, world: &World) -> Packs {
        let staying = scenario
            .listed_packs(world, self.condemned.segments)
            .without(self.condemned.packs)
            .intersection(world.there.packs());
        match self.moved {
            0 => staying,
            _ => staying.union(Set::EMPTY.with(Object::pack(self.pack)).packs()),
        }
    }

    /// Step 2, by one look at the store: a guess.
    pub(super) fn plan(&mut self, scenario: &Scenario, world: &World, last: bool) {
        let there = world.there;
        let packs = self.known_packs(scenario, world, there);
        let is_live = |snapshot: &u8| {
            !scenario.is_gone(world, there, *snapshot)
                && (!is_hidden(there, *snapshot) || there.contains(Object::hold(*snapshot)))
        };
        let listed = there.snapshots();
        let live = bits(u16::from(listed))
            .filter(is_live)
            .fold(0, |all, number| all | 1 << number);
        let needed = scenario.closure_of_all(live);
        if needed & !scenario.readable(world, packs) != 0 {
            (self.step, self.reports_damage) = (Step::Stopped, true);
            return;
        }
        let support = scenario.support(world, needed, packs, Packs::NONE, last);
        let used = |pack: u8| {
            let forms = support.iter().filter(|(other, _)| *other == pack);
            forms.fold(0u16, |all, (_, form)| all | 1 << form)
        };
        let goes = |pack: &u8| {
            let whole = scenario.content(world, Object::pack(*pack)) as u16;
            used(*pack) == 0 || scenario.repack && used(*pack) != whole
        };
        let condemned = Packs(
            there
                .packs()
                .iter()
                .filter(goes)
                .fold(0, |all, pack| all | 1 << pack),
        );
        self.moved = condemned.iter().fold(0, |all, pack| all | used(pack));
        let lists_any = |segment: &u8| {
            let listed = scenario.listed_packs(world, 1 << segment);
            !listed.intersection(condemned).is_empty() || !listed.without(there.packs()).is_empty()
        };
        self.condemned = Named {
            packs: condemned,
            segments: bits(there.segments())
                .filter(lists_any)
                .fold(0, |all, n| all | 1 << n),
            snapshots: listed & !live,
        };
        self.step = match self.condemned.is_empty() {
            true if scenario.sweep => Step::Sweep(Sweep::ListSessions),
            true => Step::End,
            false if scenario.has(Bug::SessionsBeforeCondemn) => {
                Step::ListSessions(Looked::ForWriters)
            }
            false => Step::Condemn,
        };
    }

    /// The packs that rows can be found in: listed, there, and not as good as gone.
    fn known_packs(&self, scenario: &Scenario, world: &World, shown: Set) -> Packs {
        let listed = scenario.listed_packs(world, shown.segments());
        let packs = listed.intersection(world.there.packs());
        match scenario.has(Bug::DeleteOfOthersIgnored) {
            true => packs,
            false => packs.without(scenario.deleted_packs(world, shown)),
        }
    }

    /// Step 6: marks again, and takes of what is condemned only what nothing needs.
    pub(super) fn decide(&mut self, scenario: &Scenario, world: &World) {
        let shown = self.seen;
        let packs = self.known_packs(scenario, world, shown);
        let is_live = |snapshot: &u8| {
            let is_named = self.condemned.snapshots >> snapshot & 1 == 1
                || scenario.has(Bug::HiddenAfterCondemn);
            let may_go = is_hidden(shown, *snapshot) && !shown.contains(Object::hold(*snapshot));
            !(scenario.is_gone(world, shown, *snapshot) || is_named && may_go)
        };
        let listed = shown.snapshots();
        let live = bits(u16::from(listed))
            .filter(is_live)
            .fold(0, |all, number| all | 1 << number);
        let needed = scenario.closure_of_all(live);
        if needed & !scenario.readable(world, packs) != 0 {
            self.step = match self.has_listed_again {
                false => Step::MarkSnapshots,
                true => Step::Stopped,
            };
            self.reports_damage = self.has_listed_again;
            self.has_listed_again = true;
            return;
        }
        let avoided = self.condemned.packs;
        let support = scenario.support(world, needed, packs, avoided, false);
        let used = Packs(support.iter().fold(0, |all, (pack, _)| all | 1 << pack));
        let going = avoided.without(used);
        let staying_segments = shown.segments() & !self.condemned.segments;
        let elsewhere = scenario.listed_packs(world, staying_segments);
        let is_free = |segment: &u8| {
            let listed = scenario.listed_packs(world, 1 << segment);
            let there = listed.intersection(world.there.packs());
            there.without(going).without(elsewhere).is_empty()
        };
        let condemned_segments = self.condemned.segments & shown.segments();
        let delete = Named {
            packs: going,
            segments: bits(condemned_segments)
                .filter(is_free)
                .fold(0, |all, n| all | 1 << n),
            snapshots: self.condemned.snapshots & listed & !live,
        };
        self.seen = Set::EMPTY;
        self.doomed = delete.objects();
        self.step = Step::PutDelete;
    }
}
