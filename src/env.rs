//! Clock, sleep and entropy, injected by type so that tests and the simulation own them.
//!
//! The shipped binary only ever constructs [`SystemClock`] and [`SystemEntropy`]: a seedable source
//! in production would be a nonce-reuse hole.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, in nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds since the epoch; saturates at the ends of the range (years 1677 and 2262).
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// So much later; saturates at the end of the range.
    pub fn after(self, duration: Duration) -> Self {
        let nanoseconds = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }

    /// The time since an earlier moment; none if that is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        let nanoseconds = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
    }

    /// The first moment of a day in a zone; saturates at the ends of the range.
    pub fn start_of(date: jiff::civil::Date, zone: &jiff::tz::TimeZone) -> Self {
        let Ok(zoned) = date.to_zoned(zone.clone()) else {
            return Self(i64::MAX);
        };
        let nanoseconds = zoned.timestamp().as_nanosecond();
        Self(i64::try_from(nanoseconds).unwrap_or(match nanoseconds < 0 {
            true => i64::MIN,
            false => i64::MAX,
        }))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// As a calendar timestamp.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or_default()
    }

    /// RFC 3339 in UTC with seconds, as stored in JSON.
    pub fn to_rfc3339(self) -> String {
        self.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanoseconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
        };
        Self(nanoseconds)
    }
}

/// Tells the time. Safety never depends on it; politeness and records do.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Time since some moment before, for durations: it is not set back with the clock.
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.now().0).unwrap_or(0))
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn elapsed(&self) -> Duration {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        FIRST.get_or_init(Instant::now).elapsed()
    }
}

/// Lets time pass. Injected beside [`Clock`], so that tests of waits take no time.
pub trait Sleeper: Send + Sync {
    /// Returns after about `duration`.
    fn sleep(&self, duration: Duration);
}

/// Blocks the calling thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSleeper;

impl Sleeper for SystemSleeper {
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The operating system could not give random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct EntropyError(pub String);

/// Gives unpredictable bytes for keys, nonces and names.
pub trait Entropy: Send + Sync {
    /// Fills `buffer`. Errors: the system has no randomness to give; nothing may be sealed then.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError>;
}

impl dyn Entropy + '_ {
    /// A random array, for an id or a salt.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(buffer).map_err(|error| EntropyError(error.to_string()))
    }
}
