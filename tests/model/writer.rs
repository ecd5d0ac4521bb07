//! A writer: steps 1 to 6 of the specification.

use crate::model::bugs::Bug;
use crate::model::objects::{Object, Packs, Set, bits};
use crate::model::scenario::{Attempt, Commit, Part, Scenario};
use crate::model::world::{Answer, Operation, Told, World};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Open,
    ListFlags,
    ListIndex,
    PutPack,
    PutSegment,
    ListPacks,
    PutSnapshot { repeated: bool },
    GetFence,
    End,
    Stopped,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Writer {
    part: u8,
    attempt: u8,
    commit: u8,
    step: Step,
    /// Packs that the session saw named, and those an earlier one found gone.
    named: Packs,
    distrusted: Packs,
    /// Packs that are listed in the index as the session saw it, and its own.
    listed: Packs,
    /// Packs relied on, and the forms that this commit stores.
    relied: Packs,
    owed: u16,
    /// Snapshots that were visible when it looked.
    visible: u8,
}

impl Writer {
    pub fn new(part: u8, scenario: &Scenario) -> Self {
        Self {
            part,
            attempt: 0,
            commit: 0,
            step: match scenario.has(Bug::LooksBeforeFlag) {
                true => Step::ListFlags,
                false => Step::Open,
            },
            named: Packs::NONE,
            distrusted: Packs::NONE,
            listed: Packs::NONE,
            relied: Packs::NONE,
            owed: 0,
            visible: 0,
        }
    }

    fn attempt<'s>(&self, scenario: &'s Scenario) -> Option<&'s Attempt> {
        match scenario.parts.get(usize::from(self.part)) {
            Some(Part::Writer(attempts)) => attempts.get(usize::from(self.attempt)),
            _ => None,
        }
    }

    fn commit(&self, scenario: &Scenario) -> Option<Commit> {
        let commits = &self.attempt(scenario)?.commits;
        commits.get(usize::from(self.commit)).copied()
    }

    pub fn operation(&self, scenario: &Scenario, _: &World) -> Operation {
        let Some(attempt) = self.attempt(scenario) else {
            return Operation::Done;
        };
        let session = attempt.session;
        let Some(commit) = self.commit(scenario) else {
            return match self.step {
                Step::End => Operation::Put(Object::end(session), 0),
                _ => Operation::Done,
            };
        };
        match self.step {
            Step::Open => Operation::Put(Object::open(session), 0),
            Step::ListFlags => Operation::List(Set::GC),
            Step::ListIndex => Operation::List(Set::SEGMENTS),
            Step::PutPack => Operation::Put(self.new_pack(scenario, commit), u64::from(self.owed)),
            Step::PutSegment => {
                let mut listed = Set::EMPTY;
                listed.insert(self.new_pack(scenario, commit));
                let content = u64::from(listed.packs().0);
                Operation::Put(Object::segment(commit.segment), content)
            }
            Step::ListPacks => Operation::List(Set::PACKS),
            Step::PutSnapshot { .. } => Operation::Put(Object::snapshot(commit.snapshot), 0),
            Step::GetFence => Operation::Get(Object::fence(session)),
            Step::End => Operation::Put(Object::end(session), 0),
            Step::Stopped => Operation::Done,
        }
    }

    /// Where new content goes: under a new name, always.
    fn new_pack(&self, scenario: &Scenario, commit: Commit) -> Object {
        let same = |content: &u16| *content == self.owed;
        match scenario.packs.iter().position(same) {
            Some(old) if scenario.has(Bug::OldName) => Object::pack(old as u8),
            _ => Object::pack(commit.pack),
        }
    }

    pub fn resume(&mut self, scenario: &Scenario, world: &World, answer: Answer) -> Told {
        if let (Answer::Failed, false) = (answer, matches!(self.step, Step::PutSnapshot { .. })) {
            self.step = Step::Stopped;
            return Told::Nothing;
        }
        match (self.step, answer) {
            (Step::Open, _) => {
                self.step = match scenario.has(Bug::LooksBeforeFlag) {
                    true => self.decide(scenario, world),
                    false => Step::ListFlags,
                };
            }
            (Step::ListFlags, Answer::Listed(gc)) => {
                self.named = scenario.named(world, gc).packs;
                if scenario.has(Bug::NamedPacksOfParent) {
                    self.visible = scenario.visible(world, world.there, gc);
                }
                self.step = Step::ListIndex;
            }
            (Step::ListIndex, Answer::Listed(index)) => {
                self.listed = scenario.listed_packs(world, index.segments());
                self.step = match scenario.has(Bug::LooksBeforeFlag) {
                    true => Step::Open,
                    false => self.decide(scenario, world),
                };
            }
            (Step::PutPack, _) => self.step = Step::PutSegment,
            (Step::PutSegment, _) => {
                if let Some(commit) = self.commit(scenario) {
                    let own = Set::EMPTY.with(self.new_pack(scenario, commit)).packs();
                    self.listed = self.listed.union(own);
                }
                self.step = Step::ListPacks;
            }
            (Step::ListPacks, Answer::Listed(packs)) => {
                let gone = self.relied.without(packs.packs());
                match gone.is_empty() {
                    true => self.step = Step::PutSnapshot { repeated: false },
                    false => {
                        self.distrusted = self.distrusted.union(gone);
                        self.begin_again(scenario);
                    }
                }
            }
            (Step::PutSnapshot { repeated }, Answer::Failed) => {
                self.step = match repeated {
                    _ if scenario.has(Bug::EndAfterTimeout) => Step::End,
                    false => Step::PutSnapshot { repeated: true },
                    true => Step::Stopped,
                };
                if self.step == Step::End {
                    self.commit = u8::MAX;
                }
            }
            (Step::PutSnapshot { .. }, _) if scenario.has(Bug::WriterIgnoresFence) => {
                return self.committed(scenario, world);
            }
            (Step::PutSnapshot { .. }, _) => self.step = Step::GetFence,
            (Step::GetFence, Answer::Found(false)) => return self.committed(scenario, world),
            (Step::GetFence, _) => self.begin_again(scenario),
            (Step::End, _) => self.step = Step::Stopped,
            _ => {}
        }
        Told::Nothing
    }

    fn committed(&mut self, scenario: &Scenario, world: &World) -> Told {
        let Some(commit) = self.commit(scenario) else {
            return Told::Nothing;
        };
        self.commit += 1;
        self.step = match self.commit(scenario) {
            Some(_) => self.decide(scenario, world),
            None => Step::End,
        };
        Told::Saved(commit.snapshot)
    }

    fn begin_again(&mut self, scenario: &Scenario) {
        let (attempt, distrusted) = (self.attempt + 1, self.distrusted);
        *self = Self::new(self.part, scenario);
        self.attempt = attempt;
        self.distrusted = distrusted;
    }

    /// Step 3: what is usable is relied on, everything else is stored.
    fn decide(&mut self, scenario: &Scenario, world: &World) -> Step {
        let Some(commit) = self.commit(scenario) else {
            return Step::Stopped;
        };
        let usable = self.listed.without(self.named).without(self.distrusted);
        let have = scenario.readable(world, usable);
        let needed = match scenario.has(Bug::HitTreeChildrenUnseen) {
            true => unseen(scenario, scenario.roots[usize::from(commit.snapshot)], have),
            false => scenario.closure(commit.snapshot),
        };
        let trusted = self.trusted(scenario, world);
        let mut relied = scenario.support(world, needed & have, usable, Packs::NONE, false);
        let all = self.listed;
        relied.extend(scenario.support(world, trusted & needed & !have, all, Packs::NONE, false));
        let bases = match scenario.has(Bug::DeltaOnCondemnedBase) {
            true => all,
            false => usable,
        };
        let readable_bases = scenario.readable(world, bases);
        let mut owed = 0;
        for blob in bits(needed & !have & !trusted) {
            let delta = |form: &&u8| {
                let base = scenario.forms[usize::from(**form)].base;
                base.is_some_and(|base| readable_bases >> base & 1 == 1)
            };
            let forms: Vec<u8> = (0..scenario.forms.len() as u8)
                .filter(|form| scenario.forms[usize::from(*form)].blob == blob)
                .collect();
            let full = |form: &&u8| scenario.forms[usize::from(**form)].base.is_none();
            let Some(form) = forms.iter().find(delta).or(forms.iter().find(full)) else {
                continue;
            };
            owed |= 1 << form;
            if let Some(base) = scenario.forms[usize::from(*form)].base {
                relied.extend(scenario.support(world, 1 << base, bases, Packs::NONE, false));
            }
        }
        self.relied = Packs(relied.iter().fold(0, |all, (pack, _)| all | 1 << pack));
        self.owed = owed;
        match owed {
            0 => Step::ListPacks,
            _ => Step::PutPack,
        }
    }

    /// What the planted bugs take for known because a parent has it.
    fn trusted(&self, scenario: &Scenario, world: &World) -> u16 {
        let parents = match scenario.bug {
            Some(Bug::StaleParent) => scenario.snapshots,
            Some(Bug::NamedPacksOfParent) => self.visible,
            _ => return 0,
        };
        scenario.closure_of_all(parents) & scenario.readable(world, self.listed)
    }
}

/// The blobs below `root` as far as one sees who does not look below a known one.
fn unseen(scenario: &Scenario, root: u8, have: u16) -> u16 {
    let below = match have >> root & 1 {
        1 => 0,
        _ => scenario.links[usize::from(root)],
    };
    bits(below).fold(1 << root, |all, child| all | unseen(scenario, child, have))
}
