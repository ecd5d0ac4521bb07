//! The search: what happens next, and what must hold in every state.

use crate::model::objects::{Named, Object, PRUNES, Set, bits};
use crate::model::others::{Forgetter, Holder, Reader};
use crate::model::pruner::Pruner;
use crate::model::scenario::{Part, Scenario};
use crate::model::world::{Action, Actor, World};
use crate::model::writer::Writer;
use stateright::{Model, Property};

/// I1, I2, I3 of the specification, and that nobody reports damage.
pub const PROMISED: &str = "I1: what was promised counts and is whole";
pub const VISIBLE: &str = "I2: what is visible is whole";
pub const DELETED: &str = "I3: nothing that a counting delete names is needed";
pub const DAMAGE: &str = "nobody reports damage";

impl Model for Scenario {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let actor = |(number, part): (usize, &Part)| match part {
            Part::Writer(_) => Actor::Writer(Writer::new(number as u8, self)),
            Part::Pruner {
                session,
                pack,
                segment,
            } => Actor::Pruner(Pruner::new(*session, *pack, *segment)),
            Part::Forgetter(snapshot) => Actor::Forgetter(Forgetter::new(*snapshot)),
            Part::Holder(snapshot) => Actor::Holder(Holder::new(*snapshot, true)),
            Part::Undoer(snapshot) => Actor::Holder(Holder::new(*snapshot, false)),
            Part::Reader => Actor::Reader(Reader::new(self)),
        };
        let actors = self.parts.iter().enumerate().map(actor).collect();
        let mut there = Set::EMPTY;
        (0..self.packs.len() as u8).for_each(|number| there.insert(Object::pack(number)));
        (0..self.segments.len() as u8).for_each(|number| there.insert(Object::segment(number)));
        for number in bits(u16::from(self.snapshots)) {
            there.insert(Object::snapshot(number));
        }
        bits(u16::from(self.hidden)).for_each(|number| there.insert(Object::hide(number)));
        vec![World::new(
            there,
            actors,
            self.faults,
            self.snapshots & !self.hidden,
        )]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(self, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(world.after(self, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(PROMISED, |scenario: &Scenario, world| {
                bits(protected(world)).all(|snapshot| {
                    scenario.counts(world, world.there, snapshot)
                        && scenario.is_whole(world, snapshot, Named::default())
                })
            }),
            Property::always(VISIBLE, |scenario, world| {
                let visible = scenario.visible(world, world.there, world.there);
                let whole = |snapshot| scenario.is_whole(world, snapshot, Named::default());
                !world.broken && bits(u16::from(visible)).all(whole)
            }),
            Property::always(DELETED, |scenario, world| {
                (PRUNES..PRUNES + 3)
                    .filter(|prune| scenario.delete_counts(world, world.there, *prune))
                    .all(|prune| {
                        let content = scenario.content(world, Object::delete(prune));
                        let named = Named::decode(content);
                        let mut protected = bits(protected(world));
                        protected.all(|snapshot| scenario.is_whole(world, snapshot, named))
                    })
            }),
            Property::always(DAMAGE, |_, world: &World| !world.damage),
        ]
    }
}

/// Snapshots that were reported as a success and not withdrawn since, or kept on purpose.
fn protected(world: &World) -> u16 {
    let saved = bits(u16::from(world.saved)).filter(|snapshot| !world.is_withdrawn(*snapshot));
    let kept = bits(u16::from(world.kept));
    saved
        .chain(kept)
        .fold(0, |all, snapshot| all | 1 << snapshot)
}
