//! Sums over a stretch of time, and how they differ from those of the one before.

use crate::env::Timestamp;
use crate::stats::Sample;

/// Heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What snapshots of a stretch of time come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Snapshots.
    pub snapshots: u64,
    /// Of these incomplete, or not as expected.
    pub flawed: u64,
    /// Size of the newest, bytes.
    pub bytes: u64,
    /// What was read, bytes.
    pub bytes_read: u64,
    /// What of it was new, bytes.
    pub bytes_new: u64,
    /// What the repository grew by, bytes.
    pub bytes_stored: u64,
    /// How long all of them took, milliseconds.
    pub milliseconds: u64,
    /// How long the slowest took, milliseconds.
    pub milliseconds_max: u64,
}

impl Figures {
    /// Of those samples that were taken from `from` on and before `to`. They are ordered by time.
    pub fn of(samples: &[&Sample], from: Timestamp, to: Timestamp) -> Self {
        let mut figures = Self::default();
        for sample in samples.iter().filter(|sample| sample.is_within(from, to)) {
            figures.add(&Self {
                snapshots: 1,
                flawed: u64::from(!sample.is_good),
                bytes: 0,
                bytes_read: sample.bytes,
                bytes_new: sample.bytes_new,
                bytes_stored: sample.bytes_stored,
                milliseconds: sample.milliseconds,
                milliseconds_max: sample.milliseconds,
            });
            figures.bytes = sample.bytes;
        }
        figures
    }

    /// Adds those of another source.
    pub fn add(&mut self, other: &Self) {
        self.snapshots += other.snapshots;
        self.flawed += other.flawed;
        self.bytes += other.bytes;
        self.bytes_read += other.bytes_read;
        self.bytes_new += other.bytes_new;
        self.bytes_stored += other.bytes_stored;
        self.milliseconds += other.milliseconds;
        self.milliseconds_max = self.milliseconds_max.max(other.milliseconds_max);
    }

    /// How long one took in the mean, milliseconds; `None` of none.
    pub fn milliseconds_mean(&self) -> Option<u64> {
        self.milliseconds.checked_div(self.snapshots)
    }
}

/// The size of a source at the ends of `count` equal parts of a stretch of time, bytes: that of the newest
/// snapshot by then, 0 before the first. The samples are ordered by time.
pub fn sizes(samples: &[&Sample], from: Timestamp, to: Timestamp, count: u32) -> Vec<u64> {
    let part = to.since(from) / count.max(1);
    let ends = (1..=count).map(|number| match number == count {
        true => to,
        false => from.after(part * number),
    });
    let size_at = |end: Timestamp| {
        let before = samples.iter().take_while(|sample| sample.taken < end);
        before.last().map_or(0, |sample| sample.bytes)
    };
    ends.map(size_at).collect()
}

/// Bars from the smallest to the largest of some values; flat where all are the same.
pub fn sparkline(values: &[u64]) -> String {
    let least = values.iter().min().copied().unwrap_or(0);
    let most = values.iter().max().copied().unwrap_or(0);
    let bar = |value: &u64| {
        let steps = BARS.len() as u128 - 1;
        let height = match most - least {
            0 => 0,
            range => u128::from(value - least) * steps / u128::from(range),
        };
        BARS[height as usize]
    };
    values.iter().map(bar).collect()
}

/// By how much `after` differs from `before`, in tenths of a per cent; `None` where there was nothing.
pub fn change(before: u64, after: u64) -> Option<i64> {
    if before == 0 {
        return None;
    }
    let difference = i128::from(after) - i128::from(before);
    i64::try_from(difference * 1000 / i128::from(before)).ok()
}
