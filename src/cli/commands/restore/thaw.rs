//! Getting back, from a storage class that cannot be read at once, what a restore needs.

use crate::cli::commands::restore::{RestoreArguments, Task};
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::env::{Sleeper, SystemSleeper};
use crate::format::layout;
use crate::format::pack::PackClass;
use crate::monitor::{Monitor, Unit};
use crate::repository::Snapshot;
use crate::restorer::{Selection, packs_needed};
use crate::store::{Bucket, Classed, Speed, Thawing};
use crate::units::bytes;
use clap::ValueEnum;
use std::time::Duration;

/// The first and the longest time between two looks.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How often a wait looks whether a stop was asked for.
const SLICE: Duration = Duration::from_millis(100);

/// How fast what is frozen comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThawSpeed {
    /// Minutes; the most expensive, and not from DEEP_ARCHIVE
    Expedited,
    /// 3 to 5 hours, from DEEP_ARCHIVE 12
    Standard,
    /// 5 to 12 hours, from DEEP_ARCHIVE 48; the cheapest
    Bulk,
}

impl ThawSpeed {
    fn speed(self) -> Speed {
        match self {
            Self::Expedited => Speed::Expedited,
            Self::Standard => Speed::Standard,
            Self::Bulk => Speed::Bulk,
        }
    }

    /// What AWS asks for, dollars per GB and per 1000 requests.
    fn price(self, is_deep: bool) -> (f64, f64) {
        match (self, is_deep) {
            (Self::Expedited, _) => (0.03, 10.0),
            (Self::Standard, false) => (0.01, 0.05),
            (Self::Standard, true) => (0.02, 0.10),
            (Self::Bulk, false) => (0.0, 0.0),
            (Self::Bulk, true) => (0.0025, 0.025),
        }
    }
}

/// Packs that are needed and frozen.
pub struct Frozen<'b> {
    bucket: &'b Bucket,
    /// Not asked for yet.
    asleep: Vec<Classed>,
    /// Asked for, and not there yet.
    under_way: Vec<Classed>,
}

impl<'b> Frozen<'b> {
    /// Looks which of the packs that a restore needs cannot be read now; `None` when all can.
    pub fn look(
        task: &Task<'_>,
        bucket: &'b Bucket,
        snapshot: &Snapshot,
        selection: &Selection<'_>,
    ) -> CommandResult<Option<Self>> {
        let invocation = task.invocation;
        let mut frozen = Vec::new();
        for class in [PackClass::Full, PackClass::Delta] {
            let classed = bucket.classes(&format!("{}/{}", layout::PACKS, class.name()))?;
            frozen.extend(classed.into_iter().filter(Classed::is_frozen));
        }
        if frozen.is_empty() {
            return Ok(None);
        }
        let needed = packs_needed(task.reader, snapshot, selection, &invocation.cancel)?;
        frozen.retain(|classed| {
            let pack = layout::parse_pack(classed.key.as_str());
            pack.is_some_and(|(_, id)| needed.contains_key(&id))
        });
        let mut found = Self {
            bucket,
            asleep: Vec::new(),
            under_way: Vec::new(),
        };
        for classed in frozen {
            invocation.cancel.check()?;
            match bucket.thawing(&classed.key)? {
                Thawing::Readable => {}
                Thawing::UnderWay => found.under_way.push(classed),
                Thawing::Frozen => found.asleep.push(classed),
            }
        }
        let is_none = found.asleep.is_empty() && found.under_way.is_empty();
        Ok((!is_none).then_some(found))
    }

    fn size(packs: &[Classed]) -> u64 {
        packs.iter().map(|classed| classed.size).sum()
    }

    /// About what asking for all costs at AWS, dollars: the copies that can be read for so many days
    /// included.
    fn cost(&self, speed: ThawSpeed, days: u16) -> f64 {
        let costs = self.asleep.iter().map(|classed| {
            let (of_gigabyte, of_requests) = speed.price(classed.class == "DEEP_ARCHIVE");
            let kept = 0.023 * f64::from(days) / 30.0;
            classed.size as f64 / 1e9 * (of_gigabyte + kept) + of_requests / 1000.0
        });
        costs.sum()
    }

    /// Says what has to be waited for and what that costs.
    pub fn tell(&self, invocation: &Invocation, days: u16) {
        let mut classes: Vec<&str> = self.asleep.iter().map(|one| one.class.as_str()).collect();
        classes.extend(self.under_way.iter().map(|one| one.class.as_str()));
        classes.sort_unstable();
        classes.dedup();
        let output = &invocation.output;
        output.line(&format!(
            "cold     {} ({}) lie in {} and cannot be read at once; {} ({}) of them were asked for",
            text::counted((self.asleep.len() + self.under_way.len()) as u64, "pack"),
            bytes(Self::size(&self.asleep) + Self::size(&self.under_way)),
            classes.join(" and "),
            self.under_way.len(),
            bytes(Self::size(&self.under_way)),
        ));
        if self.asleep.is_empty() {
            return;
        }
        for (speed, takes) in [
            (ThawSpeed::Expedited, "minutes"),
            (ThawSpeed::Standard, "3 to 12 hours"),
            (ThawSpeed::Bulk, "5 to 48 hours"),
        ] {
            let name = format!("{speed:?}").to_lowercase();
            let cost = self.cost(speed, days);
            output.line(&format!(
                "         --thaw {name:<10} {takes:<14} about ${cost:.2} at AWS, with {days} days to read it"
            ));
        }
    }

    /// What a choice is needed for.
    pub fn choice(&self) -> CommandError {
        let number = self.asleep.len() + self.under_way.len();
        let packs = text::counted(number as u64, "pack");
        CommandError::new(
            ErrorKind::Choice,
            format!("{packs} that this restore needs must be asked for first, which takes time and costs"),
        )
        .hint("the same command with --thaw standard asks for them, waits, and goes on")
        .hint("--thaw bulk is slower and cheaper, --dry-run shows the costs")
    }

    /// For scripts.
    pub fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "packs": self.asleep.len() + self.under_way.len(),
            "packs_under_way": self.under_way.len(),
            "bytes": Self::size(&self.asleep) + Self::size(&self.under_way),
        })
    }

    /// Asks for what was not asked for, and waits until all can be read. Interrupted, the next run
    /// goes on waiting: what was asked for comes.
    pub fn wait(
        self,
        invocation: &Invocation,
        arguments: &RestoreArguments,
        speed: ThawSpeed,
    ) -> CommandResult<()> {
        let total = self.asleep.len() + self.under_way.len();
        invocation.ui.phase(
            "asking for packs",
            Unit::Items,
            Some(self.asleep.len() as u64),
        );
        for classed in &self.asleep {
            invocation.cancel.check()?;
            self.bucket
                .thaw(&classed.key, speed.speed(), arguments.thaw_days)?;
            invocation.ui.advance(1);
        }
        invocation
            .ui
            .phase("waiting for packs", Unit::Items, Some(total as u64));
        let mut waiting = self.under_way;
        waiting.extend(self.asleep);
        let mut pause = PAUSE_FIRST;
        while !waiting.is_empty() {
            let mut left = Vec::new();
            for classed in waiting {
                invocation.cancel.check()?;
                match self.bucket.thawing(&classed.key)? {
                    Thawing::Readable => invocation.ui.advance(1),
                    _ => left.push(classed),
                }
            }
            waiting = left;
            if waiting.is_empty() {
                break;
            }
            let mut slept = Duration::ZERO;
            while slept < pause {
                invocation.cancel.check()?;
                SystemSleeper.sleep(SLICE);
                slept += SLICE;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        invocation.ui.clear();
        Ok(())
    }
}
