//! From a selector to one snapshot, or to an error that says what to choose from.

use crate::env::Timestamp;
use crate::id::SnapshotId;
use crate::selector::filter::{Filters, Visibility};
use crate::selector::moment::{Moment, MomentError};
use crate::selector::{Flaw, SAFETY_SCHEME, Selector, Summary, is_own};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Most snapshots or sources that a message spells out; the rest is counted.
const LISTED_MAX: usize = 8;

/// A source that was meant, perhaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCandidate {
    /// Its identity.
    pub source: String,
    /// Its host.
    pub host: String,
    /// Its newest snapshot, good or not.
    pub newest: SnapshotId,
    /// When that was taken.
    pub taken: Timestamp,
    /// How many snapshots of it pass the filters.
    pub count: usize,
}

/// A snapshot an error speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: SnapshotId,
    /// When it was taken.
    pub taken: Timestamp,
    /// Of what.
    pub source: String,
    /// On which host.
    pub host: String,
}

/// No snapshot, or too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The repository shows no snapshot at all.
    #[error("{selector} names no snapshot: there are none yet")]
    Empty {
        /// What was asked for.
        selector: String,
    },
    /// Nothing passes the filters.
    #[error("{selector} names no snapshot: none of {total} passes the filters")]
    Filtered {
        /// What was asked for.
        selector: String,
        /// How many there are without filters.
        total: usize,
    },
    /// No id begins like this.
    #[error("no snapshot's id begins with {prefix}")]
    NoSuchId {
        /// The digits.
        prefix: String,
    },
    /// An id begins like this, and the filters exclude it.
    #[error("snapshot {0} does not pass the filters")]
    ExcludedId(SnapshotId),
    /// An id begins like this, and it is forgotten.
    #[error("snapshot {0} is forgotten; icecore forget --undo brings it back until the next prune")]
    Forgotten(SnapshotId),
    /// Several ids begin like this; newest first.
    #[error("{prefix} begins {} ids: {}; give more digits", matches.len(), ids(matches))]
    AmbiguousId {
        /// The digits.
        prefix: String,
        /// All that match.
        matches: Vec<Listed>,
    },
    /// Several sources, and nothing says which; by name.
    #[error("{selector} can mean {} sources: {}; narrow it", candidates.len(), names(candidates))]
    SeveralSources {
        /// What was asked for.
        selector: String,
        /// All that pass the filters.
        candidates: Vec<SourceCandidate>,
    },
    /// Not so many good ones.
    #[error(
        "{selector} names no snapshot: {usable} can be used{}",
        passed_by(skipped)
    )]
    TooFew {
        /// What was asked for.
        selector: String,
        /// How many good ones there are.
        usable: usize,
        /// What was passed by.
        skipped: Vec<(SnapshotId, Flaw)>,
    },
    /// None that old.
    #[error("no snapshot at or before {moment}{}{}", oldest_text(oldest.as_ref()), passed_by(skipped))]
    NoneBefore {
        /// Local and UTC.
        moment: String,
        /// The oldest good one.
        oldest: Option<(SnapshotId, Moment)>,
        /// What was passed by.
        skipped: Vec<(SnapshotId, Flaw)>,
    },
    /// The time names no moment.
    #[error("{selector} cannot be resolved")]
    Time {
        /// What was asked for.
        selector: String,
        /// Why.
        #[source]
        source: Box<MomentError>,
    },
}

fn ids(matches: &[Listed]) -> String {
    let ids = matches
        .iter()
        .map(|listed| listed.id.to_string()[..12].to_owned());
    joined(ids, matches.len())
}

fn names(candidates: &[SourceCandidate]) -> String {
    let names = candidates
        .iter()
        .map(|candidate| format!("{} on {}", candidate.source, candidate.host));
    joined(names, candidates.len())
}

fn joined(texts: impl Iterator<Item = String>, count: usize) -> String {
    let mut text = texts.take(LISTED_MAX).collect::<Vec<_>>().join(", ");
    if count > LISTED_MAX {
        let _ = write!(text, " and {} more", count - LISTED_MAX);
    }
    text
}

fn oldest_text(oldest: Option<&(SnapshotId, Moment)>) -> String {
    oldest.map_or_else(
        || ": none can be used".to_owned(),
        |(id, moment)| format!("; the oldest is {} of {moment}", id.short()),
    )
}

fn passed_by(skipped: &[(SnapshotId, Flaw)]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    format!("; passed by {}", flaws(skipped))
}

/// `2 incomplete (3fa2b1c0, 9be04d77) and 1 damaged (c55d10ee)`.
fn flaws(skipped: &[(SnapshotId, Flaw)]) -> String {
    let mut by_flaw: BTreeMap<Flaw, Vec<SnapshotId>> = BTreeMap::new();
    for (id, flaw) in skipped {
        by_flaw.entry(*flaw).or_default().push(*id);
    }
    let texts: Vec<String> = by_flaw
        .iter()
        .map(|(flaw, ids)| {
            let listed = joined(ids.iter().map(SnapshotId::short), ids.len());
            format!("{} {flaw} ({listed})", ids.len())
        })
        .collect();
    texts.join(" and ")
}

/// The snapshot that was meant, and what has to be said about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// It.
    pub snapshot: &'a Summary,
    /// Newer ones that were passed by, newest first.
    pub skipped: Vec<(SnapshotId, Flaw)>,
    /// What a time was understood as.
    pub asked: Option<Moment>,
}

impl Resolved<'_> {
    /// One sentence each, without a final stop: how a time was understood, what was passed by, what
    /// is wrong with the snapshot itself (only possible when its id was given).
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let id = self.snapshot.id.short();
        if let Some(moment) = &self.asked {
            remarks.push(format!("newest at or before {moment}: {id}"));
        }
        if !self.skipped.is_empty() {
            remarks.push(format!("passed by {}", flaws(&self.skipped)));
        }
        if let Some(flaw) = self.snapshot.flaw() {
            remarks.push(format!("snapshot {id} is {flaw}"));
        }
        remarks
    }
}

/// Finds the snapshot `selector` names among those that pass `filters`. `latest` and `@` pass
/// flawed ones by and want one source of one host; an id is taken as it is.
pub fn resolve<'a>(
    selector: &Selector,
    filters: &Filters,
    snapshots: &'a [Summary],
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Resolved<'a>, SelectError> {
    let mut passing = filters.select(snapshots, now, zone);
    passing.sort_by_key(|summary| std::cmp::Reverse((summary.effective_time(now), summary.id)));
    if !matches!(selector, Selector::Prefix(_)) {
        let wanted = |scheme: &str| filters.sources.iter().any(|one| one.starts_with(scheme));
        let any_config = !filters.sources.is_empty();
        passing.retain(|summary| match &summary.source {
            source if source.starts_with(SAFETY_SCHEME) => wanted(SAFETY_SCHEME),
            source => any_config || !is_own(source),
        });
    }
    match selector {
        Selector::Prefix(prefix) => by_prefix(prefix, &passing, snapshots, filters, now),
        Selector::Latest { back } => {
            one_source(selector, &passing, snapshots, filters, now)?;
            latest(selector, *back, &passing)
        }
        Selector::At(time) => {
            let moment = time
                .resolve(now, zone)
                .map_err(|source| SelectError::Time {
                    selector: selector.to_string(),
                    source: Box::new(source),
                })?;
            one_source(selector, &passing, snapshots, filters, now)?;
            at(moment, &passing, now)
        }
    }
}

/// Refuses to choose from nothing, or between sources.
fn one_source(
    selector: &Selector,
    passing: &[&Summary],
    snapshots: &[Summary],
    filters: &Filters,
    now: Timestamp,
) -> Result<(), SelectError> {
    if passing.is_empty() {
        return Err(nothing(selector, snapshots, filters));
    }
    let candidates = sources(passing, now);
    if candidates.len() > 1 {
        return Err(SelectError::SeveralSources {
            selector: selector.to_string(),
            candidates,
        });
    }
    Ok(())
}

fn nothing(selector: &Selector, snapshots: &[Summary], filters: &Filters) -> SelectError {
    let total = snapshots
        .iter()
        .filter(|summary| filters.visibility != Visibility::Visible || !summary.hidden)
        .count();
    let selector = selector.to_string();
    if total == 0 {
        SelectError::Empty { selector }
    } else {
        SelectError::Filtered { selector, total }
    }
}

fn by_prefix<'a>(
    prefix: &str,
    passing: &[&'a Summary],
    snapshots: &[Summary],
    filters: &Filters,
    now: Timestamp,
) -> Result<Resolved<'a>, SelectError> {
    let begins = |summary: &Summary| summary.id.to_string().starts_with(prefix);
    let matches: Vec<&Summary> = passing.iter().copied().filter(|s| begins(s)).collect();
    match matches[..] {
        [snapshot] => Ok(Resolved {
            snapshot,
            skipped: Vec::new(),
            asked: None,
        }),
        [] => Err(match snapshots.iter().find(|summary| begins(summary)) {
            None => SelectError::NoSuchId {
                prefix: prefix.to_owned(),
            },
            Some(found) if found.hidden && filters.visibility == Visibility::Visible => {
                SelectError::Forgotten(found.id)
            }
            Some(found) => SelectError::ExcludedId(found.id),
        }),
        _ => Err(SelectError::AmbiguousId {
            prefix: prefix.to_owned(),
            matches: matches
                .into_iter()
                .map(|summary| Listed {
                    id: summary.id,
                    taken: summary.effective_time(now),
                    source: summary.source.clone(),
                    host: summary.host.clone(),
                })
                .collect(),
        }),
    }
}

/// The distinct sources of `passing`, which is newest first; by name.
fn sources(passing: &[&Summary], now: Timestamp) -> Vec<SourceCandidate> {
    let mut by_name: BTreeMap<(&str, &str), SourceCandidate> = BTreeMap::new();
    for summary in passing {
        by_name
            .entry((&summary.source, &summary.host))
            .and_modify(|candidate| candidate.count += 1)
            .or_insert_with(|| SourceCandidate {
                source: summary.source.clone(),
                host: summary.host.clone(),
                newest: summary.id,
                taken: summary.effective_time(now),
                count: 1,
            });
    }
    by_name.into_values().collect()
}

fn latest<'a>(
    selector: &Selector,
    back: u32,
    passing: &[&'a Summary],
) -> Result<Resolved<'a>, SelectError> {
    let mut skipped = Vec::new();
    let mut usable = 0;
    let back = usize::try_from(back).unwrap_or(usize::MAX);
    for &snapshot in passing {
        match snapshot.flaw() {
            Some(flaw) => skipped.push((snapshot.id, flaw)),
            None if usable == back => {
                return Ok(Resolved {
                    snapshot,
                    skipped,
                    asked: None,
                });
            }
            None => usable += 1,
        }
    }
    Err(SelectError::TooFew {
        selector: selector.to_string(),
        usable,
        skipped,
    })
}

fn at<'a>(
    moment: Moment,
    passing: &[&'a Summary],
    now: Timestamp,
) -> Result<Resolved<'a>, SelectError> {
    let mut skipped = Vec::new();
    let taken = |summary: &Summary| summary.effective_time(now);
    for &snapshot in passing.iter().filter(|s| taken(s) <= moment.timestamp) {
        match snapshot.flaw() {
            Some(flaw) => skipped.push((snapshot.id, flaw)),
            None => {
                return Ok(Resolved {
                    snapshot,
                    skipped,
                    asked: Some(moment),
                });
            }
        }
    }
    let oldest = passing
        .iter()
        .rev()
        .find(|summary| summary.flaw().is_none());
    Err(SelectError::NoneBefore {
        oldest: oldest.map(|summary| {
            let timestamp = taken(summary);
            (
                summary.id,
                Moment {
                    timestamp,
                    zone: moment.zone.clone(),
                },
            )
        }),
        moment: moment.to_string(),
        skipped,
    })
}
