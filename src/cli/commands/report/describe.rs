//! A report for scripts.

use crate::env::Timestamp;
use crate::report::{Act, Facts, Readiness, Source};
use serde_json::{Value, json};

/// Everything that the report says.
pub fn describe(facts: &Facts, readiness: &Readiness) -> Value {
    let time = |moment: Option<Timestamp>| moment.map(Timestamp::to_rfc3339);
    json!({
        "name": facts.name,
        "month": facts.month.to_string(),
        "zone": facts.zone.iana_name(),
        "from": facts.month.start(&facts.zone).to_rfc3339(),
        "until": facts.until.to_rfc3339(),
        "made": facts.now.to_rfc3339(),
        "score": readiness.score,
        "deductions": readiness.deductions.iter().map(|one| json!({
            "points": one.points,
            "code": one.code,
            "reason": one.reason,
            "remedy": one.remedy,
        })).collect::<Vec<_>>(),
        "sources": facts.sources.iter().map(source).collect::<Vec<_>>(),
        "retention": facts.retention.iter().map(|kept| json!({
            "job": kept.job,
            "repository": kept.repository,
            "source": kept.source,
            "keep": kept.policy,
            "kept": kept.kept,
            "overdue": kept.overdue,
            "past_maximum": kept.past_maximum,
            "met": kept.past_maximum == 0 && kept.overdue == 0,
            "counts": kept.counts.iter().map(|(period, have, want)| json!({
                "rule": period.to_string(), "kept": have, "wanted": want,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "acts": facts.acts.iter().map(act).collect::<Vec<_>>(),
        "rules": facts.rules.iter().map(|rule| json!({
            "job": rule.job,
            "copies": rule.copies,
            "places": rule.places,
            "off_site": rule.off_site,
            "kept": rule.kept,
        })).collect::<Vec<_>>(),
        "repositories": facts.repositories.iter().map(|repository| json!({
            "repository": repository.name,
            "location": repository.place,
            "cipher": repository.cipher,
            "snapshots": repository.snapshots,
            "bytes": repository.bytes,
            "damaged": repository.damaged,
            "keys_drawn": time(repository.keys_drawn),
            "audit_records": repository.records,
            "audit_chains": repository.chains,
            "audit_faults": repository.faults,
            "audit_sealed": repository.sealed,
        })).collect::<Vec<_>>(),
    })
}

fn source(source: &Source) -> Value {
    let figures = &source.figures;
    json!({
        "source": source.name,
        "job": source.job,
        "snapshots": figures.snapshots,
        "flawed": figures.flawed,
        "bytes": figures.bytes,
        "bytes_read": figures.bytes_read,
        "bytes_stored": figures.bytes_stored,
        "duration_seconds_mean": figures.milliseconds_mean().map(|mean| mean as f64 / 1000.0),
        "duration_seconds_max": figures.milliseconds_max as f64 / 1000.0,
        "gaps": source.gaps().map(|day| day.date.to_string()).collect::<Vec<_>>(),
        "days": source.days.iter().map(|day| json!({
            "date": day.date.to_string(),
            "state": day.state.name(),
            "due": day.due,
            "done": day.done,
            "taken": day.taken,
            "flawed": day.flawed,
            "failed": day.failed,
        })).collect::<Vec<_>>(),
        "read_back": source.read_back.map(Timestamp::to_rfc3339),
        "drill": source.drill.map(|(tried, _)| tried.to_rfc3339()),
        "rto_seconds": source.drill.map(|(_, took)| took.as_secs_f64()),
        "rto_goal_seconds": source.rto.map(|goal| goal.as_secs()),
        "copies": source.copies,
    })
}

fn act(act: &Act) -> Value {
    json!({
        "time": act.time.to_rfc3339(),
        "activity": act.activity.name(),
        "repository": act.repository,
        "by": act.by,
        "revoked": act.revoked,
        "subject": act.subject,
        "status": act.status.name(),
        "details": act.details,
        "bytes": act.bytes,
        "duration_seconds": act.took.map(|took| took.as_secs_f64()),
        "goal_seconds": act.goal.map(|goal| goal.as_secs()),
    })
}
