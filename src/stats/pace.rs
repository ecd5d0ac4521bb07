//! How fast a source changes: what its snapshots add in a day, and how much of that makes it larger.

use crate::env::Timestamp;
use crate::stats::Sample;
use crate::units::DAY_SECONDS;
use std::time::Duration;

/// A pace is not told from less than this: minutes say nothing of days.
const SPAN_MIN: Duration = Duration::from_secs(DAY_SECONDS);

/// Gaps between the newest snapshots of which the middle one counts.
const GAPS: usize = 7;

/// What a source takes, and how fast that changes. Bytes as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// What its newest state takes.
    pub bytes: u64,
    /// What it grows by in a day.
    pub growth: u64,
    /// What of it is replaced in a day.
    pub change: u64,
    /// The usual time between two snapshots; `None` of fewer than two.
    pub every: Option<Duration>,
    /// Whether there is a day to measure by; otherwise growth and change are 0.
    pub measured: bool,
}

/// The pace of one source from its snapshots, oldest first.
pub fn pace(samples: &[&Sample]) -> Pace {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Pace::default();
    };
    let mut pace = Pace {
        bytes: scaled(last.bytes, whole_share(samples)),
        every: usual_gap(samples),
        ..Pace::default()
    };
    let span = last.taken.since(first.taken);
    if span < SPAN_MIN {
        return pace;
    }
    let days = span.as_secs_f64() / DAY_SECONDS as f64;
    let added: u64 = samples[1..].iter().map(|sample| sample.bytes_stored).sum();
    let grown = last.bytes.saturating_sub(first.bytes);
    let daily = |bytes: u64| (bytes as f64 / days) as u64;
    let added = daily(added);
    pace.growth = daily(scaled(grown, whole_share(samples))).min(added);
    pace.change = added - pace.growth;
    pace.measured = true;
    pace
}

/// What a byte of the source takes: by the snapshots that were stored whole, where one is left, else by
/// what was new in the others.
fn whole_share(samples: &[&Sample]) -> f64 {
    let whole: Vec<_> = samples.iter().filter(|sample| sample.is_whole).collect();
    let (stored, of) = match whole.is_empty() {
        false => sums(
            whole
                .iter()
                .map(|sample| (sample.bytes_stored, sample.bytes)),
        ),
        true => sums(
            samples
                .iter()
                .map(|sample| (sample.bytes_stored, sample.bytes_new)),
        ),
    };
    match of {
        0 => 1.0,
        of => stored as f64 / of as f64,
    }
}

fn sums(pairs: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    pairs.fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1))
}

fn scaled(bytes: u64, share: f64) -> u64 {
    (bytes as f64 * share) as u64
}

fn usual_gap(samples: &[&Sample]) -> Option<Duration> {
    let recent = &samples[samples.len().saturating_sub(GAPS + 1)..];
    let since = |pair: &[&Sample]| pair[1].taken.since(pair[0].taken);
    let mut gaps: Vec<Duration> = recent.windows(2).map(since).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied()
}

impl Sample {
    /// Which samples are of one source of one host, in the order of their names, each oldest first.
    pub fn by_source(samples: &[Self]) -> Vec<Vec<&Self>> {
        let mut sources: std::collections::BTreeMap<_, Vec<&Self>> = Default::default();
        for sample in samples {
            let key = (&sample.source, &sample.host);
            sources.entry(key).or_default().push(sample);
        }
        let mut sources: Vec<_> = sources.into_values().collect();
        for of_source in &mut sources {
            of_source.sort_by_key(|sample| sample.taken);
        }
        sources
    }

    /// Whether it was taken from `from` on and before `to`.
    pub fn is_within(&self, from: Timestamp, to: Timestamp) -> bool {
        (from..to).contains(&self.taken)
    }
}
