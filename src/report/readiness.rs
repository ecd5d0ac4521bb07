//! The readiness score: 100, less what stands between a loss and being back. The table is in
//! `docs/report.md`.

use crate::event::{Activity, Status};
use crate::report::{Facts, Source};
use crate::status::{Finding, Level};
use crate::units::elapsed;

/// What takes points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deduction {
    /// How many.
    pub points: u32,
    /// One word for what it is, for scripts.
    pub code: String,
    /// What is wrong with what.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// How ready one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// From 0 to 100.
    pub score: u32,
    /// What is missing to 100, the most first. Together they may be more than 100.
    pub deductions: Vec<Deduction>,
}

/// Points of a finding of `status`.
const NOT_SAFE: u32 = 15;
const ATTENTION: u32 = 5;

/// Points for each day with a gap, and at most of one source.
const GAP: u32 = 2;
const GAPS_MAX: u32 = 10;

/// Points for each source that was not read, or not tried, in the month; and at most of all.
const UNPROVEN: u32 = 10;
const UNPROVEN_MAX: u32 = 30;

const DRILL_FAILED: u32 = 10;
const DRILL_SLOW: u32 = 5;
const RESTORE_FAILED: u32 = 5;
const DAMAGE_FOUND: u32 = 20;
const AUDIT_FAULT: u32 = 30;
const AUDIT_SEALED: u32 = 5;
const PAST_MAXIMUM: u32 = 15;
const OVERDUE: u32 = 3;
const RULE_321: u32 = 10;

#[derive(Default)]
struct Deductions(Vec<Deduction>);

impl Deductions {
    fn add(&mut self, points: u32, code: &str, reason: String, remedy: &str) {
        self.0.push(Deduction {
            points,
            code: code.to_owned(),
            reason,
            remedy: remedy.to_owned(),
        });
    }
}

/// Judges a month, and what is wrong now.
pub fn readiness(facts: &Facts) -> Readiness {
    let mut deductions = Deductions::default();
    let counted = facts
        .findings
        .iter()
        .filter(|finding| !is_told_by_days(facts, finding));
    for finding in counted {
        let points = match finding.level {
            Level::NotSafe => NOT_SAFE,
            Level::Attention => ATTENTION,
        };
        deductions.add(points, finding.state, finding.to_string(), &finding.remedy);
    }
    judge_days(facts, &mut deductions);
    judge_proofs(facts, &mut deductions);
    judge_acts(facts, &mut deductions);
    judge_log(facts, &mut deductions);
    judge_retention(facts, &mut deductions);
    for rule in facts.rules.iter().filter(|rule| !rule.kept) {
        let reason = format!(
            "{}: 3-2-1 is not kept: copies with the data itself {}, places {}, off-site {}",
            rule.job, rule.copies, rule.places, rule.off_site
        );
        let remedy = "add a repository elsewhere to the job's repositories";
        deductions.add(RULE_321, "rule-321", reason, remedy);
    }
    let mut deductions = deductions.0;
    deductions.sort_by_key(|deduction| std::cmp::Reverse(deduction.points));
    let lost: u32 = deductions.iter().map(|deduction| deduction.points).sum();
    Readiness {
        score: 100u32.saturating_sub(lost),
        deductions,
    }
}

/// Whether a finding is of days that are counted one by one.
fn is_told_by_days(facts: &Facts, finding: &Finding) -> bool {
    let of = |source: &&Source| source.name == finding.subject && source.gaps().next().is_some();
    finding.state == "missing-day" && facts.sources.iter().any(|source| of(&source))
}

fn judge_days(facts: &Facts, deductions: &mut Deductions) {
    for source in &facts.sources {
        let gaps: Vec<String> = source.gaps().map(|day| day.date.to_string()).collect();
        if gaps.is_empty() {
            continue;
        }
        let points = (GAP * u32::try_from(gaps.len()).unwrap_or(u32::MAX)).min(GAPS_MAX);
        let days = if gaps.len() == 1 { "day" } else { "days" };
        let reason = format!(
            "{}: no good snapshot on {} {days}: {}",
            source.name,
            gaps.len(),
            gaps.join(", ")
        );
        let remedy =
            "see that the schedule fires (icecore jobs), and fill in: icecore run JOB --date DAY";
        deductions.add(points, "gap", reason, remedy);
    }
}

/// What somebody must have seen with his own eyes within the month.
fn judge_proofs(facts: &Facts, deductions: &mut Deductions) {
    let from = facts.month.start(&facts.zone);
    let told = |state: &str, name: &str| {
        let mut findings = facts.findings.iter();
        findings.any(|finding| finding.state == state && finding.subject == name)
    };
    let (mut untried, mut unread) = (Vec::new(), Vec::new());
    // What has no snapshot is a finding already.
    let is_captured = |source: &&Source| source.days.iter().any(|day| day.taken > 0);
    for source in facts.sources.iter().filter(is_captured) {
        let name = source.name.as_str();
        let is_tried = source.drill.is_some_and(|(tried, _)| tried >= from);
        if !is_tried && !told("never-drilled", name) && !told("drill-overdue", name) {
            untried.push(name);
        }
        let is_read = source.read_back.is_some_and(|read| read >= from);
        if !is_read && !told("not-verified", name) {
            unread.push(name);
        }
    }
    let points = |sources: &[&str]| {
        let sources = u32::try_from(sources.len()).unwrap_or(u32::MAX);
        UNPROVEN.saturating_mul(sources).min(UNPROVEN_MAX)
    };
    if !untried.is_empty() {
        let reason = format!("no restore was tried in the month: {}", untried.join(", "));
        let remedy = "icecore drill --job JOB; drill = { schedule = … }";
        deductions.add(points(&untried), "no-drill", reason, remedy);
    }
    if !unread.is_empty() {
        let reason = format!("not read back in the month: {}", unread.join(", "));
        let remedy = "icecore check --read-data; verify = \"read-back\"";
        deductions.add(points(&unread), "not-read", reason, remedy);
    }
}

fn judge_acts(facts: &Facts, deductions: &mut Deductions) {
    let told = |state: &str| facts.findings.iter().any(|finding| finding.state == state);
    for act in &facts.acts {
        let when = facts.moment(act.time);
        let subject = &act.subject;
        let failed = act.status == Status::Error;
        match (act.activity, failed) {
            (Activity::Drill, true) if !told("drill-failed") => {
                let reason = format!("{subject}: the drill of {when} failed");
                deductions.add(
                    DRILL_FAILED,
                    "drill-failed",
                    reason,
                    "icecore check --read-data, then icecore drill",
                );
            }
            (Activity::Drill, false) if !told("slow-restore") => {
                if let (Some(took), Some(goal)) = (act.took, act.goal)
                    && took > goal
                {
                    let (took, goal) = (elapsed(took), elapsed(goal));
                    let reason = format!("{subject}: the drill of {when} took {took}, goal {goal}");
                    deductions.add(
                        DRILL_SLOW,
                        "drill-slow",
                        reason,
                        "a nearer copy, or a goal that can be kept",
                    );
                }
            }
            (Activity::Restore, true) => {
                let reason = format!("{subject}: the restore of {when} by {} failed", act.by);
                deductions.add(
                    RESTORE_FAILED,
                    "restore-failed",
                    reason,
                    "icecore restore says why; try it in a drill",
                );
            }
            (Activity::Check, true) => {
                let reason = format!(
                    "{}: the check of {when} ended with: {}",
                    act.repository, act.details
                );
                deductions.add(
                    DAMAGE_FOUND,
                    "damage-found",
                    reason,
                    "icecore check --repair --from OTHER",
                );
            }
            _ => {}
        }
    }
}

fn judge_log(facts: &Facts, deductions: &mut Deductions) {
    for repository in &facts.repositories {
        let name = &repository.name;
        if let Some(first) = repository.faults.first() {
            let reason = format!(
                "{name}: the audit log is not whole ({} faults): {first}",
                repository.faults.len()
            );
            deductions.add(
                AUDIT_FAULT,
                "audit-fault",
                reason,
                "icecore audit verify; compare with a mirror",
            );
        }
        if repository.sealed > 0 {
            let reason = format!(
                "{name}: {} audit records of the month could not be opened: not all of it is told",
                repository.sealed
            );
            deductions.add(
                AUDIT_SEALED,
                "audit-sealed",
                reason,
                "make the report with a full credential",
            );
        }
    }
}

fn judge_retention(facts: &Facts, deductions: &mut Deductions) {
    for kept in &facts.retention {
        let of = format!("{} in {}", kept.source, kept.repository);
        if kept.past_maximum > 0 {
            let reason = format!(
                "{of}: {} snapshots are older than the rules allow",
                kept.past_maximum
            );
            deductions.add(
                PAST_MAXIMUM,
                "past-maximum",
                reason,
                "icecore run the job, or icecore forget and prune",
            );
        }
        if kept.overdue > kept.past_maximum {
            let reason = format!(
                "{of}: {} snapshots are kept by no rule and are still there",
                kept.overdue - kept.past_maximum
            );
            deductions.add(
                OVERDUE,
                "overdue",
                reason,
                "the next run of the job forgets them; see that it may",
            );
        }
    }
}
