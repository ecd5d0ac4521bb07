//! A prune: steps 1 to 9 of the specification.

mod closing;
mod marking;
mod sweeping;

use crate::model::bugs::Bug;
use crate::model::objects::{Named, Object, PRUNES, Packs, Set};
use crate::model::pruner::closing::Closing;
use crate::model::scenario::Scenario;
use crate::model::world::{Answer, Operation, Told, World};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Open,
    /// Sessions, then what is closed: first for rivals, then for writers.
    ListSessions(Looked),
    ListClosed(Looked),
    Await,
    Plan,
    Condemn,
    PutPack,
    PutSegment,
    MarkSnapshots,
    MarkHolds,
    MarkFlags,
    MarkIndex,
    PutDelete,
    OwnFence,
    Delete,
    RemoveRecords,
    Sweep(Sweep),
    End,
    Stopped,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Looked {
    ForRivals,
    ForWriters,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Sweep {
    ListSessions,
    ListFlags,
    ListAll,
    Remove,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pruner {
    session: u8,
    pack: u8,
    segment: u8,
    step: Step,
    /// Sessions to wait for or to close, and how far closing the first of them is.
    waiting: u8,
    closing: Option<Closing>,
    found: u64,
    /// What was listed last.
    seen: Set,
    condemned: Named,
    /// Forms moved out of condemned packs.
    moved: u16,
    has_listed_again: bool,
    reports_damage: bool,
    doomed: Set,
}

impl Pruner {
    pub fn new(session: u8, pack: u8, segment: u8) -> Self {
        Self {
            session,
            pack,
            segment,
            step: Step::Open,
            waiting: 0,
            closing: None,
            found: 0,
            seen: Set::EMPTY,
            condemned: Named::default(),
            moved: 0,
            has_listed_again: false,
            reports_damage: false,
            doomed: Set::EMPTY,
        }
    }

    fn first_waiting(&self) -> u8 {
        self.waiting.trailing_zeros() as u8
    }

    pub fn operation(&self, scenario: &Scenario, world: &World) -> Operation {
        let own = self.session;
        if let Some(closing) = self.closing {
            return self.closing_operation(closing);
        }
        match self.step {
            Step::Open => Operation::Put(Object::open(own), 0),
            Step::ListSessions(_) => Operation::List(Set::SESSIONS),
            Step::ListClosed(_) => Operation::List(Set::GC),
            Step::Await => Operation::Await(self.first_waiting()),
            // Which of two copies stays is the plan's to choose.
            Step::Plan => Operation::Choose(if scenario.has_copies() { 2 } else { 1 }),
            Step::Condemn => Operation::Put(Object::condemn(own), self.condemned.encode()),
            Step::PutPack => Operation::Put(Object::pack(self.pack), u64::from(self.moved)),
            Step::PutSegment => {
                let listed = u64::from(self.listed_again(scenario, world).0);
                Operation::Put(Object::segment(self.segment), listed)
            }
            Step::MarkSnapshots => Operation::List(Set::SNAPSHOTS),
            Step::MarkHolds => Operation::List(Set::HOLDS),
            Step::MarkFlags => Operation::List(Set::GC),
            Step::MarkIndex => Operation::List(Set::SEGMENTS),
            Step::PutDelete => {
                let delete = Named::of(self.doomed);
                Operation::Put(Object::delete(own), delete.encode())
            }
            Step::OwnFence => Operation::Get(Object::fence(own)),
            Step::Delete | Step::Sweep(Sweep::Remove) => match self.doomed.next_to_delete() {
                Some(object) => Operation::Delete(object),
                None => Operation::Done,
            },
            Step::RemoveRecords => match self.seen.contains(Object::condemn(own)) {
                false => Operation::Delete(Object::condemn(own)),
                true => Operation::Delete(Object::delete(own)),
            },
            Step::Sweep(Sweep::ListSessions) => Operation::List(Set::SESSIONS),
            Step::Sweep(Sweep::ListFlags) => Operation::List(Set::GC),
            Step::Sweep(Sweep::ListAll) => {
                Operation::List(Set::PACKS.union(Set::SEGMENTS).union(Set::SNAPSHOTS))
            }
            Step::End => Operation::Put(Object::end(own), 0),
            Step::Stopped => Operation::Done,
        }
    }

    pub fn resume(&mut self, scenario: &Scenario, world: &World, answer: Answer) -> Told {
        if answer == Answer::Failed {
            // What became of it is not known: somebody else has to close this session.
            (self.step, self.closing) = (Step::Stopped, None);
            return Told::Nothing;
        }
        if let Some(closing) = self.closing {
            self.resume_closing(scenario, world, closing, answer);
            return Told::Nothing;
        }
        match (self.step, answer) {
            (Step::Open, _) => self.step = Step::ListSessions(Looked::ForRivals),
            (Step::ListSessions(looked), Answer::Listed(sessions)) => {
                self.seen = sessions;
                self.step = Step::ListClosed(looked);
            }
            (Step::ListClosed(looked), Answer::Listed(gc)) => {
                self.looked(scenario, world, looked, gc);
            }
            (Step::Await, Answer::Found(true)) => self.waited(scenario, world),
            (Step::Await, _) => self.begin_closing(scenario),
            (Step::Plan, Answer::Chosen(choice)) => self.plan(scenario, world, choice == 1),
            (Step::Condemn, _) if scenario.has(Bug::SessionsBeforeCondemn) => {
                self.move_blobs(scenario, world);
            }
            (Step::Condemn, _) => self.step = Step::ListSessions(Looked::ForWriters),
            (Step::PutPack, _) => self.step = Step::PutSegment,
            (Step::PutSegment, _) => self.moved_blobs(scenario),
            (Step::MarkSnapshots, Answer::Listed(snapshots)) => {
                self.seen = snapshots;
                self.step = Step::MarkHolds;
            }
            (Step::MarkHolds, Answer::Listed(holds)) => {
                self.seen = self.seen.union(holds);
                self.step = Step::MarkFlags;
            }
            (Step::MarkFlags, Answer::Listed(gc)) => {
                self.seen = self.seen.union(gc);
                self.step = Step::MarkIndex;
            }
            (Step::MarkIndex, Answer::Listed(index)) => {
                self.seen = self.seen.union(index);
                self.decide(scenario, world);
            }
            (Step::PutDelete, _) if scenario.has(Bug::DeleteBeforeSegments) => {
                self.move_blobs(scenario, world);
            }
            (Step::PutDelete, _) => {
                self.step = match scenario.has(Bug::PruneIgnoresFence) {
                    true => self.next_delete(scenario),
                    false => Step::OwnFence,
                }
            }
            (Step::OwnFence, Answer::Found(true)) => self.step = Step::Stopped,
            (Step::OwnFence, _) => self.step = self.next_delete(scenario),
            (Step::Delete | Step::Sweep(Sweep::Remove), _) => {
                if let Some(object) = self.doomed.next_to_delete() {
                    self.doomed.remove(object);
                }
                self.step = self.next_delete(scenario);
            }
            (Step::RemoveRecords, _) => self.removed_record(scenario),
            (Step::Sweep(sweep), Answer::Listed(shown)) => {
                self.sweep(scenario, world, sweep, shown);
            }
            (Step::End, _) => self.step = Step::Stopped,
            _ => {}
        }
        match std::mem::take(&mut self.reports_damage) {
            true => Told::Damage,
            false => Told::Nothing,
        }
    }

    /// Whom to wait for: an open prune before the plan, open writers after the condemn. A prune
    /// that gives up is one that stops here; the one that goes on judges the other dead.
    fn looked(&mut self, scenario: &Scenario, world: &World, looked: Looked, gc: Set) {
        let sessions = std::mem::take(&mut self.seen);
        let is_open = |session: &u8| {
            let is_closed = Object::closed_by_anyone(*session).any(|record| gc.contains(record))
                || scenario.has(Bug::FenceTakenForClosed) && gc.contains(Object::fence(*session));
            sessions.contains(Object::open(*session))
                && !sessions.contains(Object::end(*session))
                && !is_closed
        };
        let range = match looked {
            Looked::ForRivals => PRUNES..PRUNES + 3,
            Looked::ForWriters => 0..PRUNES,
        };
        self.waiting = range
            .filter(|session| *session != self.session)
            .filter(is_open)
            .fold(0, |all, session| all | 1 << session);
        match looked {
            Looked::ForRivals if scenario.has(Bug::TwoPrunes) || self.waiting == 0 => {
                self.waiting = 0;
                self.step = Step::Plan;
            }
            Looked::ForRivals => self.begin_closing(scenario),
            Looked::ForWriters if self.waiting == 0 => self.waited_for_all(scenario, world),
            Looked::ForWriters => self.step = Step::Await,
        }
    }

    /// One session is dealt with.
    fn waited(&mut self, scenario: &Scenario, world: &World) {
        let session = self.first_waiting();
        self.waiting &= !(1 << session);
        match session >= PRUNES {
            true if self.waiting == 0 => self.step = Step::Plan,
            true => self.begin_closing(scenario),
            false if self.waiting == 0 => self.waited_for_all(scenario, world),
            false => self.step = Step::Await,
        }
    }

    fn waited_for_all(&mut self, scenario: &Scenario, world: &World) {
        match scenario.bug {
            Some(Bug::SessionsBeforeCondemn) => self.step = Step::Condemn,
            Some(Bug::DeleteBeforeSegments) => {
                self.doomed = self.condemned.objects();
                self.step = Step::PutDelete;
            }
            _ => self.move_blobs(scenario, world),
        }
    }

    fn move_blobs(&mut self, scenario: &Scenario, world: &World) {
        match (self.moved, self.listed_again(scenario, world)) {
            (0, Packs::NONE) => self.moved_blobs(scenario),
            (0, _) => self.step = Step::PutSegment,
            _ => self.step = Step::PutPack,
        }
    }

    fn moved_blobs(&mut self, scenario: &Scenario) {
        self.step = match scenario.bug {
            Some(Bug::NoSecondMark) => {
                self.doomed = self.condemned.objects();
                Step::PutDelete
            }
            Some(Bug::DeleteBeforeSegments) => Step::OwnFence,
            _ => Step::MarkSnapshots,
        };
    }

    fn next_delete(&mut self, scenario: &Scenario) -> Step {
        let own = matches!(self.step, Step::PutDelete | Step::OwnFence);
        let is_swept = matches!(self.step, Step::Sweep(_));
        if own && scenario.has(Bug::RecordsRemovedEarly) {
            return Step::RemoveRecords;
        }
        match (self.doomed.is_empty(), is_swept) {
            (false, false) => Step::Delete,
            (false, true) => Step::Sweep(Sweep::Remove),
            (true, false) if scenario.has(Bug::RecordsRemovedEarly) => Step::End,
            (true, false) => Step::RemoveRecords,
            (true, true) => Step::End,
        }
    }

    fn removed_record(&mut self, scenario: &Scenario) {
        let condemn = Object::condemn(self.session);
        if !self.seen.contains(condemn) {
            self.seen = Set::EMPTY.with(condemn);
            return;
        }
        self.seen = Set::EMPTY;
        self.step = match (scenario.has(Bug::RecordsRemovedEarly), scenario.sweep) {
            (true, _) if !self.doomed.is_empty() => Step::Delete,
            (_, true) => Step::Sweep(Sweep::ListSessions),
            (_, false) => Step::End,
        };
    }
}
