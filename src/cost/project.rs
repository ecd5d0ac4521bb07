//! Day by day: what is replaced, which snapshots are kept, what they need, where that lies.

use crate::cost::prices::packs;
use crate::cost::{
    Class, EVERY_MIN, Line, MONTH_DAYS, MONTHS_MAX, Month, PUTS_PER_SNAPSHOT, Workload,
};
use crate::env::Timestamp;
use crate::id::SnapshotId;
use crate::retention::{self, Candidate, GroupKey, Policy, PolicyError};
use crate::units::DAY_SECONDS;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(DAY_SECONDS);

/// What was replaced on one day, and the snapshots of before that need it.
struct Replaced {
    /// The day, counted from the start.
    day: i64,
    /// The first day whose snapshots have it.
    since: i64,
    /// Its size as stored, bytes.
    bytes: f64,
    /// The class it lies in.
    class: usize,
    /// Since which day it lies there.
    entered: i64,
}

struct Projection<'p> {
    workload: &'p Workload,
    classes: &'p [Class],
    zone: &'p TimeZone,
    start: Timestamp,
    bytes: f64,
    /// Replaced since the last snapshot, bytes.
    pending: f64,
    kept: BTreeSet<Timestamp>,
    replaced: Vec<Replaced>,
    next: Timestamp,
    months: Vec<Month>,
}

/// What a workload takes and costs in each of the next `months`, at most [`MONTHS_MAX`], from the next
/// midnight on. The first class is where data is written, the others follow from the warmest to the
/// coldest. Days and calendar rules are those of `zone`.
///
/// Errors: the keep rules cannot be meant.
pub fn project(
    workload: &Workload,
    classes: &[Class],
    months: u32,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Vec<Month>, PolicyError> {
    let today = now.to_jiff().to_zoned(zone.clone()).date();
    let start = Timestamp::start_of(today.tomorrow().unwrap_or(today), zone);
    // In the middle of its day or hour: a change of clocks does not make it that of another day.
    let first = start.after(workload.every.clamp(EVERY_MIN, DAY) / 2);
    let mut projection = Projection {
        workload,
        classes,
        zone,
        start,
        bytes: workload.bytes as f64,
        pending: 0.0,
        kept: workload.past.iter().copied().collect(),
        replaced: Vec::new(),
        next: first,
        months: Vec::new(),
    };
    projection.remember_past();
    for month in 0..months.min(MONTHS_MAX) {
        projection.months.push(Month {
            lines: vec![Line::default(); classes.len()],
            ..Month::default()
        });
        for day in 0..MONTH_DAYS {
            projection.pass(i64::from(month * MONTH_DAYS + day))?;
        }
        projection.end_month();
    }
    Ok(projection.months)
}

impl Projection<'_> {
    /// Spreads what only earlier snapshots need over the days of these.
    fn remember_past(&mut self) {
        let Some(first) = self.kept.first().copied() else {
            return;
        };
        let days = self.day(first).saturating_neg().max(1);
        let bytes = self.workload.past_bytes as f64 / days as f64;
        if bytes <= 0.0 {
            return;
        }
        let turn = self.turn();
        self.replaced = (1 - days..=0)
            .map(|day| Replaced {
                day,
                since: (day - turn).min(day - 1),
                bytes,
                class: 0,
                entered: day - turn,
            })
            .collect();
    }

    fn day(&self, moment: Timestamp) -> i64 {
        moment
            .0
            .saturating_sub(self.start.0)
            .div_euclid(DAY.as_nanos() as i64)
    }

    /// Days until all of the state was replaced once.
    fn turn(&self) -> i64 {
        match self.workload.change {
            0 => i64::from(u32::MAX),
            change => (self.bytes / change as f64).ceil().max(1.0) as i64,
        }
    }

    fn month(&mut self) -> Option<&mut Month> {
        self.months.last_mut()
    }

    /// One day: snapshots are taken, others forgotten, and what lies where is billed.
    fn pass(&mut self, day: i64) -> Result<(), PolicyError> {
        let end = self
            .start
            .after(DAY.saturating_mul(u32::try_from(day + 1).unwrap_or(u32::MAX)));
        let is_first = day == 0 && self.kept.is_empty();
        if day > 0 {
            self.bytes += self.workload.growth as f64;
            self.pending += self.workload.change as f64 + self.workload.growth as f64;
        }
        let before = self.kept.last().copied();
        let taken = self.take_snapshots(end);
        if taken > 0 {
            let written = if is_first { self.bytes } else { self.pending };
            // Every snapshot that has something new writes a pack of its own.
            let own = if written > 0.0 { taken } else { 0 };
            self.write(packs(written).max(own) + taken * PUTS_PER_SNAPSHOT);
            self.replace(day, before);
            self.forget(end)?;
        }
        self.settle(day);
        self.bill();
        Ok(())
    }

    fn take_snapshots(&mut self, end: Timestamp) -> u64 {
        let mut taken = 0;
        while self.next < end {
            self.kept.insert(self.next);
            self.next = self.next.after(self.workload.every.max(EVERY_MIN));
            taken += 1;
        }
        taken
    }

    fn write(&mut self, puts: u64) {
        let home = self.classes.first().map(|class| class.price);
        if let (Some(home), Some(month)) = (home, self.months.last_mut())
            && let Some(line) = month.lines.first_mut()
        {
            line.puts += puts;
            line.requests += home.puts(puts);
        }
    }

    /// What the snapshots of this day do not have any more, those before them do.
    fn replace(&mut self, day: i64, before: Option<Timestamp>) {
        let grown = self.workload.growth as f64;
        let share = self.workload.change as f64 / (self.workload.change as f64 + grown).max(1.0);
        let bytes = (self.pending * share).min(self.bytes);
        self.pending = 0.0;
        let Some(before) = before.map(|before| self.day(before)) else {
            return;
        };
        if bytes > 0.0 {
            let written = day - self.turn();
            self.replaced.push(Replaced {
                day,
                since: written.min(before),
                bytes,
                class: 0,
                entered: written,
            });
        }
    }

    fn forget(&mut self, now: Timestamp) -> Result<(), PolicyError> {
        let Some(policy) = self
            .workload
            .policy
            .as_ref()
            .filter(|policy| !policy.keep_forever)
        else {
            return Ok(());
        };
        self.kept = kept(policy, &self.kept, now, self.zone)?;
        Ok(())
    }

    /// What no snapshot needs goes; what only old ones need goes where that is cheaper.
    fn settle(&mut self, today: i64) {
        let mut replaced = std::mem::take(&mut self.replaced);
        replaced.retain_mut(|old| {
            let Some(newest) = self.newest_that_needs(old) else {
                self.leave(old, today);
                return false;
            };
            let age = today - newest;
            let fits = |class: &Class| i64::from(class.after_days) <= age;
            let class = self.classes.iter().rposition(fits).unwrap_or(0);
            if class > old.class {
                self.leave(old, today);
                (old.class, old.entered) = (class, today);
                let price = self.classes.get(class).map(|class| class.price);
                if let (Some(price), Some(line)) = (price, self.line(class)) {
                    line.puts += packs(old.bytes);
                    line.requests += price.puts(packs(old.bytes));
                }
            }
            true
        });
        self.replaced = replaced;
    }

    /// The day of the newest kept snapshot that has what was replaced.
    fn newest_that_needs(&self, old: &Replaced) -> Option<i64> {
        let from = self.moment(old.since);
        let to = self.moment(old.day);
        let newest = self.kept.range(from..to).next_back()?;
        Some(self.day(*newest))
    }

    fn moment(&self, day: i64) -> Timestamp {
        let nanoseconds = day.saturating_mul(DAY.as_nanos() as i64);
        Timestamp(self.start.0.saturating_add(nanoseconds))
    }

    fn line(&mut self, class: usize) -> Option<&mut Line> {
        self.month()?.lines.get_mut(class)
    }

    /// Leaving a class before its minimum is billed as if it had stayed.
    fn leave(&mut self, old: &Replaced, today: i64) {
        let Some(price) = self.classes.get(old.class).map(|class| class.price) else {
            return;
        };
        let left = i64::from(price.min_days) - (today - old.entered);
        let months = left.max(0) as f64 / f64::from(MONTH_DAYS);
        let cost = price.month(price.billed(old.bytes)) * months;
        if let Some(line) = self.line(old.class) {
            line.early += cost;
        }
    }

    /// A day of what lies in each class.
    fn bill(&mut self) {
        let mut stored = vec![(0.0, 0.0); self.classes.len()];
        let mut add = |class: usize, bytes: f64| {
            if let (Some(sum), Some(class)) = (stored.get_mut(class), self.classes.get(class)) {
                sum.0 += bytes;
                sum.1 += class.price.billed(bytes);
            }
        };
        add(0, self.bytes);
        for old in &self.replaced {
            add(old.class, old.bytes);
        }
        let day = 1.0 / f64::from(MONTH_DAYS);
        let prices: Vec<_> = self.classes.iter().map(|class| class.price).collect();
        for (class, ((bytes, billed), price)) in stored.into_iter().zip(prices).enumerate() {
            if let Some(line) = self.line(class) {
                line.bytes += bytes * day;
                line.storage += price.month(billed) * day;
                line.small_objects += price.month(billed - bytes) * day;
            }
        }
    }

    fn end_month(&mut self) {
        let old: f64 = self.replaced.iter().map(|old| old.bytes).sum();
        let bytes = (self.bytes + old) as u64;
        let snapshots = self.kept.len() as u64;
        if let Some(month) = self.month() {
            (month.bytes_end, month.snapshots_end) = (bytes, snapshots);
        }
    }
}

/// The moments whose snapshots the rules keep.
fn kept(
    policy: &Policy,
    moments: &BTreeSet<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<BTreeSet<Timestamp>, PolicyError> {
    let candidates = moments.iter().enumerate().map(|(number, moment)| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Candidate {
            id: SnapshotId(id),
            group: GroupKey::default(),
            captured: *moment,
            stored: Some(*moment),
            tags: BTreeMap::new(),
            held: false,
            proven: false,
            flawed: false,
        }
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let plans = retention::plan(policy, &candidates, now, zone)?;
    let decisions = plans.iter().flat_map(|plan| &plan.decisions);
    let kept = decisions.filter(|decision| decision.is_kept());
    Ok(kept.map(|decision| decision.taken).collect())
}
