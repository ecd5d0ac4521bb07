//! How long a run may live, and what is done to one that lives longer. Pure: every moment is an
//! argument, a time since some moment before.

use std::time::Duration;

/// A run that was asked to stop and does not is ended after this long.
pub const UNHEARD: Duration = Duration::from_secs(60);

/// How much later than its own timeout a run is asked to stop from outside: it does so by itself.
const LATE: Duration = Duration::from_secs(30);

/// What is to be done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing.
    None,
    /// It is asked to stop.
    Ask,
    /// It is ended.
    End,
}

/// The limits of one run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When it began.
    pub began: Duration,
    /// Its own timeout.
    pub timeout: Option<Duration>,
    /// When it was asked to stop.
    pub asked: Option<Duration>,
    /// Whether it was ended: nothing more can be done to it.
    pub ended: bool,
}

impl Limits {
    /// What to do now; `stop` is when all runs are to be asked to stop, if they are.
    pub fn pressure(&self, now: Duration, stop: Option<Duration>) -> Pressure {
        if self.ended {
            return Pressure::None;
        }
        if let Some(asked) = self.asked {
            return match now >= asked + UNHEARD {
                true => Pressure::End,
                false => Pressure::None,
            };
        }
        match self.due(stop) {
            Some(due) if now >= due => Pressure::Ask,
            _ => Pressure::None,
        }
    }

    /// When the next thing is to be done, if nothing happens.
    pub fn next(&self, stop: Option<Duration>) -> Option<Duration> {
        match self.asked {
            _ if self.ended => None,
            Some(asked) => Some(asked + UNHEARD),
            None => self.due(stop),
        }
    }

    fn due(&self, stop: Option<Duration>) -> Option<Duration> {
        let own = self.timeout.map(|timeout| self.began + timeout + LATE);
        own.into_iter().chain(stop).min()
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Pressure, UNHEARD};
    use std::time::Duration;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_is_asked_once_and_ended_when_it_does_not_hear() {
        let mut limits = Limits {
            began: seconds(100),
            timeout: Some(seconds(50)),
            asked: None,
            ended: false,
        };
        assert_eq!(limits.pressure(seconds(179), None), Pressure::None);
        assert_eq!(limits.next(None), Some(seconds(180)));
        assert_eq!(limits.pressure(seconds(180), None), Pressure::Ask);
        assert_eq!(
            limits.pressure(seconds(120), Some(seconds(120))),
            Pressure::Ask
        );
        limits.asked = Some(seconds(180));
        assert_eq!(
            limits.pressure(seconds(181), Some(seconds(120))),
            Pressure::None
        );
        assert_eq!(limits.pressure(seconds(180) + UNHEARD, None), Pressure::End);
        // One that does not even end (its disk does not answer) is waited for, and not asked again.
        limits.ended = true;
        assert_eq!(limits.pressure(seconds(1 << 20), None), Pressure::None);
        assert_eq!(limits.next(None), None);
        let free = Limits {
            began: seconds(1),
            timeout: None,
            asked: None,
            ended: false,
        };
        assert_eq!(free.pressure(seconds(1 << 30), None), Pressure::None);
        assert_eq!(free.next(None), None);
    }
}
