//! Closing a session: fence, look, record.

use crate::model::bugs::Bug;
use crate::model::objects::{Object, PRUNES, Set, bits};
use crate::model::pruner::Pruner;
use crate::model::scenario::{DELETE_FOUND, Scenario};
use crate::model::world::{Answer, Operation, World};

/// Closing one session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Closing {
    Fence,
    Look,
    Record,
}

impl Pruner {
    pub(super) fn closing_operation(&self, closing: Closing) -> Operation {
        let session = self.first_waiting();
        match closing {
            Closing::Fence => Operation::Put(Object::fence(session), 0),
            Closing::Look if session < PRUNES => Operation::List(Set::SNAPSHOTS),
            Closing::Look => Operation::Get(Object::delete(session)),
            Closing::Record => Operation::Put(Object::closed(session, self.session), self.found),
        }
    }

    pub(super) fn begin_closing(&mut self, scenario: &Scenario) {
        self.closing = Some(match scenario.has(Bug::ClosedFromOldList) {
            true => Closing::Look,
            false => Closing::Fence,
        });
    }

    pub(super) fn resume_closing(
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
}
