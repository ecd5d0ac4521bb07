//! Storage classes by reachability: what only older snapshots need goes where it costs less.

use crate::cli::error::CommandResult;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::text;
use crate::format::layout;
use crate::format::pack::PackClass;
use crate::id::{PackId, SnapshotId};
use crate::monitor::{Monitor, Unit};
use crate::prune::{Context, PrunePlan};
use crate::selector::Summary;
use crate::store::{Bucket, Classed, ObjectKey};
use crate::units::{bytes, parse_duration};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A class for what no snapshot younger than an age needs: `CLASS=AGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRule {
    class: String,
    after: Duration,
}

impl TierRule {
    /// The storage class.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The age from which on.
    pub fn after(&self) -> Duration {
        self.after
    }
}

/// Reads `STANDARD_IA=90d`.
pub fn tier_rule(text: &str) -> Result<TierRule, String> {
    let form = || "give a storage class and an age, such as STANDARD_IA=90d".to_owned();
    let (class, after) = text.split_once('=').ok_or_else(form)?;
    let is_class = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if class.is_empty() || !class.bytes().all(is_class) {
        return Err(form());
    }
    let after = parse_duration(after).map_err(|error| error.to_string())?;
    Ok(TierRule {
        class: class.to_owned(),
        after,
    })
}

/// The storage classes of packs with contents.
pub fn classes(bucket: &Bucket) -> CommandResult<HashMap<PackId, Classed>> {
    let mut found = HashMap::new();
    for class in [PackClass::Full, PackClass::Delta] {
        let listed = bucket.classes(&format!("{}/{}", layout::PACKS, class.name()))?;
        found.extend(listed.into_iter().filter_map(|classed| {
            let (_, id) = layout::parse_pack(classed.key.as_str())?;
            Some((id, classed))
        }));
    }
    Ok(found)
}

/// What was, or would be, moved to a colder class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tiered {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Moves packs that no snapshot younger than a rule's age needs to the rule's class, the coldest rule
/// first; never back. The newest snapshot of each source keeps what it needs where it is.
pub fn apply(
    invocation: &Invocation,
    open: &OpenRepository,
    plan: &PrunePlan<'_>,
    rules: &[TierRule],
    context: Context<'_>,
    dry_run: bool,
) -> CommandResult<Tiered> {
    let mut tiered = Tiered::default();
    if rules.is_empty() {
        return Ok(tiered);
    }
    let Some(bucket) = &open.bucket else {
        invocation
            .ui
            .warn("--tier moves packs of a bucket; a directory has no storage classes");
        return Ok(tiered);
    };
    let mut rules = rules.to_vec();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.after));
    let classes = classes(bucket)?;
    // How cold a class is: the place of its rule, counted from the warmest.
    let rank = |class: &str| {
        let place = rules.iter().rev().position(|rule| rule.class == class);
        place.map_or(0, |place| place + 1)
    };
    let mut decided: HashSet<PackId> = HashSet::new();
    let listed = invocation.list_snapshots(&open.repository)?;
    for rule in &rules {
        let old = old(invocation, listed.summaries(), rule.after);
        let mut going = Vec::new();
        for place in plan.cold_packs(&old, context)? {
            let Some(classed) = classes.get(&place.id) else {
                continue;
            };
            let is_colder = rank(&rule.class) > rank(&classed.class);
            if decided.insert(place.id) && is_colder && !classed.is_frozen() {
                going.push(classed);
            }
        }
        let total: u64 = going.iter().map(|classed| classed.size).sum();
        tiered.packs += going.len() as u64;
        tiered.bytes += total;
        if going.is_empty() {
            continue;
        }
        if !dry_run {
            let ui = &invocation.ui;
            ui.phase(
                "moving to a colder class",
                Unit::Items,
                Some(going.len() as u64),
            );
            for classed in &going {
                invocation.cancel.check()?;
                move_to(bucket, &classed.key, &rule.class)?;
                ui.advance(1);
            }
            ui.clear();
        }
        invocation.output.say(&format!(
            "{} {} ({}) to {}: no snapshot of the last {} needs them",
            if dry_run { "would move" } else { "moved" },
            text::counted(going.len() as u64, "pack"),
            bytes(total),
            rule.class,
            crate::units::elapsed(rule.after),
        ));
    }
    Ok(tiered)
}

fn move_to(bucket: &Bucket, key: &ObjectKey, class: &str) -> CommandResult<()> {
    match bucket.change_class(key, class) {
        // Another prune deleted it.
        Err(error) if error.is_not_found() => Ok(()),
        moved => Ok(moved?),
    }
}

/// The visible snapshots older than this, but the newest of each source on each host. Whatever is not
/// listed here (of a domain that this credential does not read, or stored meanwhile) is not old.
fn old(invocation: &Invocation, summaries: &[Summary], age: Duration) -> HashSet<SnapshotId> {
    let now = invocation.now();
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    let oldest = now.0.saturating_sub(age);
    let mut newest = HashMap::new();
    let mut old = HashSet::new();
    for summary in summaries.iter().filter(|summary| !summary.hidden) {
        let taken = summary.effective_time(now);
        if taken.0 < oldest {
            old.insert(summary.id);
        }
        let of_source = newest.entry((&summary.source, &summary.host));
        let best = of_source.or_insert((taken, summary.id));
        if taken > best.0 {
            *best = (taken, summary.id);
        }
    }
    for (_, id) in newest.into_values() {
        old.remove(&id);
    }
    old
}
