//! Time for the wrappers that wait: injected, and interruptible by the user.

use crate::env::{Clock, Sleeper, SystemClock, SystemSleeper, Timestamp};
use crate::monitor::{Cancel, Interrupted};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest sleep without a look at the cancel flag: Ctrl-C must feel immediate.
const SLICE: Duration = Duration::from_millis(100);

/// What a waiting wrapper tells the time with, sleeps with, and is interrupted by.
#[derive(Clone)]
pub struct Pacing {
    /// Measures how long something took. A jump costs one wait too many or too few.
    pub clock: Arc<dyn Clock>,
    /// Lets time pass.
    pub sleeper: Arc<dyn Sleeper>,
    /// Ends a wait early.
    pub cancel: Cancel,
}

impl Pacing {
    /// The machine's own clock and sleep.
    pub fn system(cancel: Cancel) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            sleeper: Arc::new(SystemSleeper),
            cancel,
        }
    }

    /// Sleeps, or returns early once a stop is asked for.
    pub fn pause(&self, duration: Duration) -> Result<(), Interrupted> {
        let mut left = duration;
        while !left.is_zero() {
            self.cancel.check()?;
            let slice = left.min(SLICE);
            self.sleeper.sleep(slice);
            left -= slice;
        }
        self.cancel.check()
    }

    /// Time passed since `start`; zero where the clock went backwards.
    pub(in crate::store) fn since(&self, start: Timestamp) -> Duration {
        self.clock.now().since(start)
    }
}

impl fmt::Debug for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacing").finish_non_exhaustive()
    }
}

/// A clock that moves only when someone sleeps on it. Clones share one time.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Clone, Default)]
pub struct ManualTime(Arc<std::sync::atomic::AtomicI64>);

#[cfg(any(test, feature = "testing"))]
impl ManualTime {
    /// Moves the time by `duration`.
    pub fn advance(&self, duration: Duration) {
        let nanoseconds = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        self.0
            .fetch_add(nanoseconds, std::sync::atomic::Ordering::Relaxed);
    }

    /// Pacing by this time.
    pub fn pacing(&self, cancel: Cancel) -> Pacing {
        Pacing {
            clock: Arc::new(self.clone()),
            sleeper: Arc::new(self.clone()),
            cancel,
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl Clock for ManualTime {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[cfg(any(test, feature = "testing"))]
impl Sleeper for ManualTime {
    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}
