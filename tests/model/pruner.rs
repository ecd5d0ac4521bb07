//! A prune: steps 1 to 9 of the specification, and closing sessions.

use crate::bugs::Bug;
use crate::objects::{Named, Object, PRUNES, Packs, Set, bits};
use crate::scenario::{DELETE_FOUND, Scenario, is_hidden};
use crate::world::{Answer, Operation, Told, World};

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

/// Closing one session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Closing {
    Fence,
    Look,
    Record,
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

    fn closing_operation(&self, closing: Closing) -> Operation {
        let session = self.first_waiting();
        match closing {
            Closing::Fence => Operation::Put(Object::fence(session), 0),
            Closing::Look if session < PRUNES => Operation::List(Set::SNAPSHOTS),
            Closing::Look => Operation::Get(Object::delete(session)),
            Closing::Record => Operation::Put(Object::closed(session, self.session), self.found),
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

    fn begin_closing(&mut self, scenario: &Scenario) {
        self.closing = Some(match scenario.has(Bug::ClosedFromOldList) {
            true => Closing::Look,
            false => Closing::Fence,
        });
    }

    fn resume_closing(
        &mut self,
        scenario: &Scenario,
        world: &World,
        closing: Closing,
        answer: Answer,
    ) {
        let session = self.first_waiting();
        let old_list = scenario.has(Bug::ClosedFromOldList);
        self.closing = match (closing, answer) {
            (Closing::Fence, _) if old_list => Some(Closing::Record),
            (Closing::Fence, _) => Some(Closing::Look),
            (Closing::Look, answer) => {
                self.found = match answer {
                    Answer::Listed(snapshots) => {
                        let of_session = |snapshot: &u8| {
                            scenario.sessions.get(usize::from(*snapshot)) == Some(&Some(session))
                        };
                        bits(u16::from(snapshots.snapshots()))
                            .filter(of_session)
                            .fold(0, |all, snapshot| all | 1 << snapshot)
                    }
                    Answer::Found(true) => DELETE_FOUND,
                    _ => 0,
                };
                Some(if old_list {
                    Closing::Fence
                } else {
                    Closing::Record
                })
            }
            (Closing::Record, _) => {
                (self.found, self.closing) = (0, None);
                return self.waited(scenario, world);
            }
        };
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

    /// The new pack, and what stays of condemned segments.
    fn listed_again(&self, scenario: &Scenario, world: &World) -> Packs {
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
    fn plan(&mut self, scenario: &Scenario, world: &World, last: bool) {
        let there = world.there;
        let packs = self.known_packs(scenario, world, there);
        let is_live = |snapshot: &u8| {
            scenario.counts(world, there, *snapshot)
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
    fn decide(&mut self, scenario: &Scenario, world: &World) {
        let shown = self.seen;
        let packs = self.known_packs(scenario, world, shown);
        let is_live = |snapshot: &u8| {
            let is_named = self.condemned.snapshots >> snapshot & 1 == 1
                || scenario.has(Bug::HiddenAfterCondemn);
            let may_go = is_hidden(shown, *snapshot) && !shown.contains(Object::hold(*snapshot));
            scenario.counts(world, shown, *snapshot) && !(is_named && may_go)
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

    /// Step 9, about others: what nobody needs any more.
    fn sweep(&mut self, scenario: &Scenario, world: &World, sweep: Sweep, shown: Set) {
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
