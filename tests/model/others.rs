//! Who withdraws, holds, brings back and reads snapshots.

use crate::model::bugs::Bug;
use crate::model::objects::{Object, Set, bits};
use crate::model::scenario::{Scenario, is_hidden};
use crate::model::world::{Answer, Operation, Told, World};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum ForgetStep {
    PutHide,
    ListHolds,
    PutShow,
    Stopped,
}

/// Withdraws a snapshot; a hold that was placed meanwhile wins.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Forgetter {
    snapshot: u8,
    step: ForgetStep,
}

impl Forgetter {
    pub fn new(snapshot: u8) -> Self {
        let step = ForgetStep::PutHide;
        Self { snapshot, step }
    }

    pub fn operation(&self) -> Operation {
        match self.step {
            ForgetStep::PutHide => Operation::Put(Object::hide(self.snapshot), 0),
            ForgetStep::ListHolds => Operation::List(Set::HOLDS),
            ForgetStep::PutShow => Operation::Put(Object::show(self.snapshot), 0),
            ForgetStep::Stopped => Operation::Done,
        }
    }

    pub fn resume(&mut self, answer: Answer) {
        self.step = match (self.step, answer) {
            (ForgetStep::PutHide, Answer::Done) => ForgetStep::ListHolds,
            (ForgetStep::ListHolds, Answer::Listed(holds))
                if holds.contains(Object::hold(self.snapshot)) =>
            {
                ForgetStep::PutShow
            }
            _ => ForgetStep::Stopped,
        };
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum HoldStep {
    GetHide,
    PutFlag,
    ListFlags,
    GetSnapshot,
    GetFence,
    PutShow,
    Stopped,
}

/// Holds a snapshot, or brings a withdrawn one back: raises its flag, then looks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Holder {
    snapshot: u8,
    is_hold: bool,
    is_hidden: bool,
    /// Whether the snapshot's session was closed when this one looked.
    is_closed: bool,
    step: HoldStep,
}

impl Holder {
    pub fn new(snapshot: u8, is_hold: bool) -> Self {
        Self {
            snapshot,
            is_hold,
            is_hidden: false,
            is_closed: false,
            step: match is_hold {
                true => HoldStep::PutFlag,
                false => HoldStep::GetHide,
            },
        }
    }

    pub fn operation(&self, scenario: &Scenario) -> Operation {
        let (hold, show) = (Object::hold(self.snapshot), Object::show(self.snapshot));
        match self.step {
            HoldStep::GetHide => Operation::Get(Object::hide(self.snapshot)),
            HoldStep::PutFlag => Operation::Put(if self.is_hold { hold } else { show }, 0),
            HoldStep::ListFlags => Operation::List(Set::GC),
            HoldStep::GetSnapshot => Operation::Get(Object::snapshot(self.snapshot)),
            HoldStep::GetFence => match scenario.sessions[usize::from(self.snapshot)] {
                Some(session) => Operation::Get(Object::fence(session)),
                None => Operation::Choose(1),
            },
            HoldStep::PutShow => Operation::Put(show, 0),
            HoldStep::Stopped => Operation::Done,
        }
    }

    pub fn resume(&mut self, scenario: &Scenario, world: &World, answer: Answer) -> Told {
        match (self.step, answer) {
            (_, Answer::Failed) => self.step = HoldStep::Stopped,
            (HoldStep::GetHide, Answer::Found(true)) => self.step = HoldStep::PutFlag,
            (HoldStep::PutFlag, _) => self.step = HoldStep::ListFlags,
            (HoldStep::ListFlags, Answer::Listed(gc)) => {
                let looked_at = match scenario.has(Bug::HoldLooksForDeleteOnly) {
                    true => (0..3).fold(gc, |gc, prune| {
                        gc.without(
                            Set::EMPTY.with(Object::condemn(crate::model::objects::PRUNES + prune)),
                        )
                    }),
                    false => gc,
                };
                let named = scenario.named(world, looked_at).snapshots;
                let refused =
                    named >> self.snapshot & 1 == 1 || !scenario.counts(world, gc, self.snapshot);
                self.is_hidden = is_hidden(gc, self.snapshot);
                let session = scenario.sessions[usize::from(self.snapshot)];
                self.is_closed = session.is_some_and(|session| {
                    Object::closed_by_anyone(session).any(|record| gc.contains(record))
                });
                self.step = match refused {
                    true => HoldStep::Stopped,
                    false => HoldStep::GetSnapshot,
                };
            }
            (HoldStep::GetSnapshot, Answer::Found(true)) => self.step = HoldStep::GetFence,
            (HoldStep::GetFence, Answer::Found(true))
                if !self.is_closed && !scenario.has(Bug::HoldIgnoresFence) =>
            {
                self.step = HoldStep::Stopped;
            }
            (HoldStep::GetFence, _) if self.is_hold && self.is_hidden => {
                self.step = HoldStep::PutShow;
            }
            (HoldStep::GetFence | HoldStep::PutShow, _) => {
                self.step = HoldStep::Stopped;
                return Told::Kept(self.snapshot);
            }
            _ => self.step = HoldStep::Stopped,
        }
        Told::Nothing
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum ReadStep {
    ListSnapshots,
    ListFlags,
    ListIndex,
    Read,
    Stopped,
}

/// Reads every snapshot that it finds visible; lists again before it reports damage.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reader {
    step: ReadStep,
    snapshots: Set,
    visible: u8,
    index: u16,
    /// What was whole when the list of gc began.
    whole: u8,
    /// What was visible, and could not be read, the time before.
    missed: u8,
}

impl Reader {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            step: first_list(scenario),
            snapshots: Set::EMPTY,
            visible: 0,
            index: 0,
            whole: 0,
            missed: 0,
        }
    }

    pub fn operation(&self, _: &Scenario) -> Operation {
        match self.step {
            ReadStep::ListSnapshots => Operation::List(Set::SNAPSHOTS),
            ReadStep::ListFlags => Operation::List(Set::GC),
            ReadStep::ListIndex => Operation::List(Set::SEGMENTS),
            ReadStep::Read => Operation::Choose(1),
            ReadStep::Stopped => Operation::Done,
        }
    }

    /// Notes what is whole at the moment a list of gc begins.
    pub fn list_begins(&mut self, scenario: &Scenario, world: &World) {
        if self.step == ReadStep::ListFlags {
            let whole = |number: &u8| scenario.is_whole(world, *number, Default::default());
            self.whole = (0..scenario.roots.len() as u8)
                .filter(whole)
                .fold(0, |all, number| all | 1 << number);
        }
    }

    pub fn resume(&mut self, scenario: &Scenario, world: &World, answer: Answer) -> Told {
        let flags_first = scenario.has(Bug::ReaderListsFlagsFirst);
        match (self.step, answer) {
            (ReadStep::ListSnapshots, Answer::Listed(snapshots)) => {
                self.step = ReadStep::ListFlags;
                if flags_first {
                    self.visible &= snapshots.snapshots();
                    self.step = ReadStep::Stopped;
                    return match self.visible & !self.whole {
                        0 => Told::Nothing,
                        _ => Told::Broken,
                    };
                }
                self.snapshots = if flags_first { Set::EMPTY } else { snapshots };
            }
            (ReadStep::ListFlags, Answer::Listed(gc)) => {
                let all = Set::SNAPSHOTS;
                let shown = if flags_first { all } else { self.snapshots };
                let known = shown.intersection(snapshots_of(scenario));
                self.visible = scenario.visible(world, known, gc);
                self.snapshots = Set::EMPTY;
                self.step = ReadStep::ListIndex;
                let whole = std::mem::take(&mut self.whole);
                if flags_first {
                    (self.step, self.whole) = (ReadStep::ListSnapshots, whole);
                } else if self.visible & !whole != 0 {
                    self.step = ReadStep::Stopped;
                    return Told::Broken;
                }
            }
            (ReadStep::ListIndex, Answer::Listed(index)) => {
                self.index = index.segments();
                self.step = ReadStep::Read;
            }
            (ReadStep::Read, _) => return self.read(scenario, world),
            _ => self.step = ReadStep::Stopped,
        }
        Told::Nothing
    }

    fn read(&mut self, scenario: &Scenario, world: &World) -> Told {
        let packs = scenario
            .listed_packs(world, self.index)
            .intersection(world.there.packs());
        let readable = scenario.readable(world, packs);
        let is_missed = |number: &u8| scenario.closure(*number) & !readable != 0;
        let missed = bits(u16::from(self.visible))
            .filter(is_missed)
            .fold(0, |all, number| all | 1 << number);
        let again = self.missed & missed;
        *self = Self {
            missed,
            ..Self::new(scenario)
        };
        if again != 0 || missed == 0 {
            self.step = ReadStep::Stopped;
        }
        match again {
            0 => Told::Nothing,
            _ => Told::Damage,
        }
    }
}

fn first_list(scenario: &Scenario) -> ReadStep {
    match scenario.has(Bug::ReaderListsFlagsFirst) {
        true => ReadStep::ListFlags,
        false => ReadStep::ListSnapshots,
    }
}

fn snapshots_of(scenario: &Scenario) -> Set {
    let numbers = 0..scenario.roots.len() as u8;
    numbers.fold(Set::EMPTY, |all, number| all.with(Object::snapshot(number)))
}
