//! Applying a policy to the snapshots of a group.

use crate::env::Timestamp;
use crate::id::SnapshotId;
use crate::retention::policy::{Period, Policy, PolicyError};
use crate::retention::{Candidate, GroupKey};
use crate::selector::effective_time;
use jiff::tz::TimeZone;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// A hold names it.
    Hold,
    /// It is younger than the minimum.
    Minimum,
    /// It is the newest of its group that is proven.
    NewestProven,
    /// It is the newest of its group that is complete (or the newest, where none is).
    Newest,
    /// It stands for one of so many stretches.
    Count(Period),
    /// It stands for a stretch within a span.
    Within(Period),
    /// It carries this tag.
    Tag(String),
    /// Everything is kept.
    Forever,
    /// The policy has no keep rule, and it is not older than the maximum.
    NoRule,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold => f.write_str("hold"),
            Self::Minimum => f.write_str("minimum age"),
            Self::NewestProven => f.write_str("newest proven"),
            Self::Newest => f.write_str("newest"),
            Self::Count(period) => write!(f, "{period}"),
            Self::Within(Period::Each) => f.write_str("within"),
            Self::Within(period) => write!(f, "within {period}"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Forever => f.write_str("forever"),
            Self::NoRule => f.write_str("no rule forgets it"),
        }
    }
}

/// Why a snapshot is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgetReason {
    /// It is older than the maximum.
    Maximum {
        /// It was its group's newest proven one: worth an alarm and a new drill.
        newest_proven: bool,
    },
    /// No rule keeps it.
    Unneeded,
}

impl fmt::Display for ForgetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Maximum {
                newest_proven: false,
            } => "maximum age",
            Self::Maximum {
                newest_proven: true,
            } => "maximum age, though the newest proven",
            Self::Unneeded => "no rule keeps it",
        })
    }
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, for at least one reason.
    Keep(Vec<KeepReason>),
    /// It goes.
    Forget(ForgetReason),
}

/// One snapshot and its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its name.
    pub id: SnapshotId,
    /// The time it was ordered by: see [`effective_time`].
    pub taken: Timestamp,
    /// Its fate.
    pub verdict: Verdict,
}

impl Decision {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        matches!(self.verdict, Verdict::Keep(_))
    }
}

/// The fates of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// Which group.
    pub key: GroupKey,
    /// Newest first.
    pub decisions: Vec<Decision>,
}

impl GroupPlan {
    /// The snapshots that go, newest first.
    pub fn forgotten(&self) -> impl Iterator<Item = SnapshotId> + '_ {
        self.decisions
            .iter()
            .filter(|decision| !decision.is_kept())
            .map(|decision| decision.id)
    }

    /// Whether more than half of the group goes: that wants `--force`.
    pub fn wants_force(&self) -> bool {
        self.forgotten().count() * 2 > self.decisions.len()
    }

    /// The newest proven snapshot, where the maximum takes it: worth an alarm and a new drill.
    pub fn lost_proof(&self) -> Option<SnapshotId> {
        let lost = Verdict::Forget(ForgetReason::Maximum {
            newest_proven: true,
        });
        self.decisions
            .iter()
            .find(|decision| decision.verdict == lost)
            .map(|decision| decision.id)
    }
}

/// Decides for every group, in the groups' order. Buckets and calendar spans are those of `zone`.
/// Errors: [`Policy::validate`]'s.
pub fn plan(
    policy: &Policy,
    candidates: &[Candidate],
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Vec<GroupPlan>, PolicyError> {
    policy.validate()?;
    let mut groups: BTreeMap<&GroupKey, Vec<Member<'_>>> = BTreeMap::new();
    for candidate in candidates {
        let taken = effective_time(candidate.captured, candidate.stored, now);
        let member = Member {
            candidate,
            taken,
            reasons: Vec::new(),
        };
        groups.entry(&candidate.group).or_default().push(member);
    }
    let decide = |(key, members): (&GroupKey, Vec<Member<'_>>)| GroupPlan {
        key: key.clone(),
        decisions: decide_group(policy, members, now, zone),
    };
    Ok(groups.into_iter().map(decide).collect())
}

/// A snapshot while its group is decided.
struct Member<'a> {
    candidate: &'a Candidate,
    taken: Timestamp,
    reasons: Vec<KeepReason>,
}

fn decide_group(
    policy: &Policy,
    mut members: Vec<Member<'_>>,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Decision> {
    members.sort_by_key(|member| Reverse((member.taken, member.candidate.id)));
    let proven = members
        .iter()
        .find(|member| member.candidate.proven && !member.candidate.flawed)
        .map(|member| member.candidate.id);
    keep_held_and_young(policy, &mut members, now, zone);
    let oldest = policy
        .max
        .map_or(Timestamp(i64::MIN), |max| max.before(now, zone));
    let too_old = |member: &Member<'_>| member.reasons.is_empty() && member.taken < oldest;
    let (expired, mut members): (Vec<_>, Vec<_>) = members.into_iter().partition(too_old);
    keep_newest(&mut members, proven);
    apply_rules(policy, &mut members, zone);

    let decisions = members.into_iter().map(|member| Decision {
        id: member.candidate.id,
        taken: member.taken,
        verdict: if member.reasons.is_empty() {
            Verdict::Forget(ForgetReason::Unneeded)
        } else {
            Verdict::Keep(member.reasons)
        },
    });
    let expired = expired.into_iter().map(|member| {
        let newest_proven = proven == Some(member.candidate.id);
        Decision {
            id: member.candidate.id,
            taken: member.taken,
            verdict: Verdict::Forget(ForgetReason::Maximum { newest_proven }),
        }
    });
    let mut decisions: Vec<Decision> = decisions.chain(expired).collect();
    decisions.sort_by_key(|decision| Reverse((decision.taken, decision.id)));
    decisions
}

fn keep_held_and_young(
    policy: &Policy,
    members: &mut [Member<'_>],
    now: Timestamp,
    zone: &TimeZone,
) {
    let protected_after = policy.min.map(|min| min.before(now, zone));
    for member in members {
        let stored = member.candidate.stored.unwrap_or(member.taken);
        if member.candidate.held {
            member.reasons.push(KeepReason::Hold);
        }
        if protected_after.is_some_and(|limit| stored > limit) {
            member.reasons.push(KeepReason::Minimum);
        }
    }
}

/// What stays whatever the rules say: `members` are those that the maximum left, newest first.
fn keep_newest(members: &mut [Member<'_>], proven: Option<SnapshotId>) {
    for member in members.iter_mut() {
        if proven == Some(member.candidate.id) {
            member.reasons.push(KeepReason::NewestProven);
        }
    }
    if let Some(place) = newest(members) {
        members[place].reasons.push(KeepReason::Newest);
    }
}

/// Where the newest complete one is, or the newest where none is complete.
fn newest(members: &[Member<'_>]) -> Option<usize> {
    let complete = members.iter().position(|member| !member.candidate.flawed);
    complete.or(if members.is_empty() { None } else { Some(0) })
}

fn apply_rules(policy: &Policy, members: &mut [Member<'_>], zone: &TimeZone) {
    let Some(newest) = newest(members).map(|place| members[place].taken) else {
        return;
    };
    for (period, count) in policy.counts().into_iter().filter(|(_, count)| *count > 0) {
        for (rank, place) in representatives(members, period, zone) {
            if rank < u64::from(count) {
                members[place].reasons.push(KeepReason::Count(period));
            }
        }
    }
    for (period, span) in policy.spans() {
        let Some(earliest) = span.map(|span| span.before(newest, zone)) else {
            continue;
        };
        for (_, place) in representatives(members, period, zone) {
            if members[place].taken >= earliest {
                members[place].reasons.push(KeepReason::Within(period));
            }
        }
    }
    for member in members {
        for tag in policy
            .keep_tags
            .iter()
            .filter(|tag| tag.matches(&member.candidate.tags))
        {
            member.reasons.push(KeepReason::Tag(tag.to_string()));
        }
        if policy.keep_forever {
            member.reasons.push(KeepReason::Forever);
        } else if !policy.has_rules() {
            member.reasons.push(KeepReason::NoRule);
        }
    }
}

/// For every stretch the one that stands for it, as its rank and place: the newest complete one,
/// ranked among the stretches that have a complete one; else the newest, ranked among all
/// stretches. So a flawed snapshot takes a free place for as long as it is recent, and no complete
/// one ever loses its place to it.
fn representatives(members: &[Member<'_>], period: Period, zone: &TimeZone) -> Vec<(u64, usize)> {
    /// A stretch: its rank among all, and its newest complete member, with that one's rank.
    struct Stretch {
        rank: u64,
        newest: usize,
        complete: Option<(u64, usize)>,
    }
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut by_bucket = HashMap::new();
    let mut complete_count = 0;
    for (place, member) in members.iter().enumerate() {
        let own = if period == Period::Each { place } else { 0 };
        let bucket = (period.bucket(member.taken, zone), own);
        let position = *by_bucket.entry(bucket).or_insert(stretches.len());
        if position == stretches.len() {
            let rank = position as u64;
            stretches.push(Stretch {
                rank,
                newest: place,
                complete: None,
            });
        }
        let stretch = &mut stretches[position];
        if !member.candidate.flawed && stretch.complete.is_none() {
            stretch.complete = Some((complete_count, place));
            complete_count += 1;
        }
    }
    let choose = |stretch: Stretch| stretch.complete.unwrap_or((stretch.rank, stretch.newest));
    stretches.into_iter().map(choose).collect()
}
