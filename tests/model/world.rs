//! The store, who works on it, and what was promised: one state of the search, and its steps.

use crate::model::objects::{Object, Set};
use crate::model::others::{Forgetter, Holder, Reader};
use crate::model::pruner::Pruner;
use crate::model::scenario::Scenario;
use crate::model::writer::Writer;

/// What a party does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Put(Object, u64),
    Delete(Object),
    /// Lists what of these is there. It takes two steps: what comes or goes between them may be
    /// shown or not, each object by itself.
    List(Set),
    Get(Object),
    /// Something that is not the protocol's to decide: one of so many.
    Choose(u8),
    /// Waits until the session has ended or was closed, or judges it dead.
    Await(u8),
    Done,
}

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Done,
    /// A PUT failed: it may take effect later, once or twice.
    Failed,
    Listed(Set),
    Found(bool),
    Chosen(u8),
}

/// What a party tells the world outside the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    Nothing,
    /// The snapshot was reported as a success.
    Saved(u8),
    /// The snapshot was held, or brought back.
    Kept(u8),
    /// A reader found something visible that had not its whole closure.
    Broken,
    /// A reader or a prune reported damage.
    Damage,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Actor {
    Writer(Writer),
    Pruner(Pruner),
    Forgetter(Forgetter),
    Holder(Holder),
    Reader(Reader),
}

impl Actor {
    fn operation(&self, scenario: &Scenario, world: &World) -> Operation {
        match self {
            Self::Writer(writer) => writer.operation(scenario, world),
            Self::Pruner(pruner) => pruner.operation(scenario, world),
            Self::Forgetter(forgetter) => forgetter.operation(),
            Self::Holder(holder) => holder.operation(scenario),
            Self::Reader(reader) => reader.operation(scenario),
        }
    }

    fn resume(&mut self, scenario: &Scenario, world: &World, answer: Answer) -> Told {
        match self {
            Self::Writer(writer) => writer.resume(scenario, world, answer),
            Self::Pruner(pruner) => pruner.resume(scenario, world, answer),
            Self::Forgetter(forgetter) => {
                forgetter.resume(answer);
                Told::Nothing
            }
            Self::Holder(holder) => holder.resume(scenario, world, answer),
            Self::Reader(reader) => reader.resume(scenario, world, answer),
        }
    }
}

/// A list that was begun.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Listing {
    prefix: Set,
    at_first: Set,
    changed: Set,
}

/// A step of the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The party's operation takes effect, and the party is told. A list begins.
    Perform(u8),
    /// The party's PUT fails, as far as it knows.
    Fail(u8),
    /// The party's PUT succeeds, and the network will repeat it.
    Repeat(u8),
    /// The party's list ends, and of what changed meanwhile it shows this.
    Show(u8, Set),
    Choose(u8, u8),
    /// The party judges the session that it waits for dead.
    JudgeDead(u8),
    /// A PUT that failed or was repeated takes effect.
    Land(Object),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    pub there: Set,
    /// PUTs that may still take effect, and those of them that may do so twice.
    late: Set,
    later: Set,
    /// What the objects say that were put since the beginning, by object.
    contents: Vec<(Object, u64)>,
    faults: u8,
    actors: Vec<(Actor, Option<Listing>)>,
    /// Snapshots reported as a success, and snapshots held or brought back.
    pub saved: u8,
    pub kept: u8,
    pub broken: bool,
    pub damage: bool,
}

impl World {
    pub fn new(there: Set, actors: Vec<Actor>, faults: u8, saved: u8) -> Self {
        Self {
            there,
            late: Set::EMPTY,
            later: Set::EMPTY,
            contents: Vec::new(),
            faults,
            actors: actors.into_iter().map(|actor| (actor, None)).collect(),
            saved,
            kept: 0,
            broken: false,
            damage: false,
        }
    }

    pub fn content(&self, object: Object) -> Option<u64> {
        let found = self
            .contents
            .binary_search_by_key(&object, |(object, _)| *object);
        found.ok().map(|place| self.contents[place].1)
    }

    /// Whether somebody has begun to withdraw the snapshot.
    pub fn is_withdrawn(&self, snapshot: u8) -> bool {
        self.there.union(self.late).contains(Object::hide(snapshot))
    }

    /// Whether a session has ended or was closed, or its objects were cleaned away.
    fn is_over(&self, session: u8) -> bool {
        !self.there.contains(Object::open(session))
            || self.there.contains(Object::end(session))
            || Object::closed_by_anyone(session).any(|record| self.there.contains(record))
    }

    pub fn actions(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        for (number, (actor, listing)) in self.actors.iter().enumerate() {
            let number = number as u8;
            if !self.may_begin(scenario, number) {
                continue;
            }
            if let Some(listing) = listing {
                let shown = listing.changed.subsets();
                actions.extend(shown.map(|shown| Action::Show(number, shown)));
                continue;
            }
            match actor.operation(scenario, self) {
                Operation::Put(object, _) => {
                    actions.push(Action::Perform(number));
                    if self.faults > 0 && !self.late.contains(object) {
                        actions.extend([Action::Fail(number), Action::Repeat(number)]);
                    }
                }
                Operation::Delete(_) | Operation::Get(_) | Operation::List(_) => {
                    actions.push(Action::Perform(number));
                }
                Operation::Choose(choices) => {
                    actions.extend((0..choices).map(|chosen| Action::Choose(number, chosen)));
                }
                Operation::Await(session) => {
                    if self.is_over(session) {
                        actions.push(Action::Perform(number));
                    }
                    actions.push(Action::JudgeDead(number));
                }
                Operation::Done => {}
            }
        }
        actions.extend(self.late.iter().map(Action::Land));
    }

    /// Parties that are alike begin in order: what they do otherwise is the same with their names
    /// exchanged.
    fn may_begin(&self, scenario: &Scenario, number: u8) -> bool {
        let Some(before) = number.checked_sub(1).map(usize::from) else {
            return true;
        };
        let first = |place: usize| scenario.parts[place].first_flag();
        match (first(before), first(usize::from(number))) {
            (Some((kind, flag)), Some((other, _))) if kind == other => self.has_been_put(flag),
            _ => true,
        }
    }

    fn has_been_put(&self, object: Object) -> bool {
        self.content(object).is_some()
    }

    pub fn after(&self, scenario: &Scenario, action: Action) -> Self {
        let mut next = self.clone();
        match action {
            Action::Perform(number) => next.perform(scenario, number),
            Action::Fail(number) => next.put_faultily(scenario, number, Answer::Failed),
            Action::Repeat(number) => next.put_faultily(scenario, number, Answer::Done),
            Action::Show(number, shown) => {
                if let Some(listing) = next.actors[usize::from(number)].1.take() {
                    let shown = listing.at_first.without(listing.changed).union(shown);
                    next.tell(scenario, number, Answer::Listed(shown));
                }
            }
            Action::Choose(number, chosen) => next.tell(scenario, number, Answer::Chosen(chosen)),
            Action::JudgeDead(number) => next.tell(scenario, number, Answer::Found(false)),
            Action::Land(object) => {
                next.put(object);
                match next.later.contains(object) {
                    true => next.later.remove(object),
                    false => next.late.remove(object),
                }
            }
        }
        next
    }

    fn perform(&mut self, scenario: &Scenario, number: u8) {
        let answer = match self.actors[usize::from(number)].0.operation(scenario, self) {
            Operation::Put(object, content) => {
                self.remember(object, content);
                self.put(object);
                Answer::Done
            }
            Operation::Delete(object) => {
                self.there.remove(object);
                self.note_change(object);
                Answer::Done
            }
            Operation::Get(object) => Answer::Found(self.there.contains(object)),
            Operation::Await(_) => Answer::Found(true),
            Operation::List(prefix) if scenario.lists_at_once => {
                self.note_begin(scenario, number);
                Answer::Listed(self.there.intersection(prefix))
            }
            Operation::List(prefix) => {
                self.note_begin(scenario, number);
                self.actors[usize::from(number)].1 = Some(Listing {
                    prefix,
                    at_first: self.there.intersection(prefix),
                    changed: Set::EMPTY,
                });
                return;
            }
            Operation::Choose(_) | Operation::Done => return,
        };
        self.tell(scenario, number, answer);
    }

    fn note_begin(&mut self, scenario: &Scenario, number: u8) {
        if let Actor::Reader(mut reader) = self.actors[usize::from(number)].0.clone() {
            reader.list_begins(scenario, self);
            self.actors[usize::from(number)].0 = Actor::Reader(reader);
        }
    }

    fn put_faultily(&mut self, scenario: &Scenario, number: u8, answer: Answer) {
        let operation = self.actors[usize::from(number)].0.operation(scenario, self);
        let Operation::Put(object, content) = operation else {
            return;
        };
        self.faults -= 1;
        self.remember(object, content);
        self.late.insert(object);
        match answer {
            Answer::Failed => self.later.insert(object),
            _ => self.put(object),
        }
        self.tell(scenario, number, answer);
    }

    fn tell(&mut self, scenario: &Scenario, number: u8, answer: Answer) {
        let mut actor = self.actors[usize::from(number)].0.clone();
        match actor.resume(scenario, self, answer) {
            Told::Nothing => {}
            Told::Saved(snapshot) => self.saved |= 1 << snapshot,
            Told::Kept(snapshot) => self.kept |= 1 << snapshot,
            Told::Broken => self.broken = true,
            Told::Damage => self.damage = true,
        }
        self.actors[usize::from(number)].0 = actor;
    }

    fn remember(&mut self, object: Object, content: u64) {
        if let Err(place) = self
            .contents
            .binary_search_by_key(&object, |(object, _)| *object)
        {
            self.contents.insert(place, (object, content));
        }
    }

    fn put(&mut self, object: Object) {
        if !self.there.contains(object) {
            self.there.insert(object);
            self.note_change(object);
        }
    }

    fn note_change(&mut self, object: Object) {
        for listing in self.actors.iter_mut().flat_map(|(_, listing)| listing) {
            if listing.prefix.contains(object) {
                listing.changed.insert(object);
            }
        }
    }
}
