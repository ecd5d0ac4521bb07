//! `jobs`: when each job ran here, what came of it, and when it runs next.

use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::Records;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::env::Timestamp;
use crate::schedule::Schedule;
use serde_json::json;

/// Lists the jobs.
pub fn run(invocation: &Invocation) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let records = Records::open(invocation, &configuration)?;
    let now = invocation.now();
    let head = ["JOB", "LAST RUN", "BY", "RESULT", "NEXT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, job) in &configuration.config.jobs {
        let zone = zone_of(invocation, &configuration.config, job);
        let record = records.of(name);
        let last = record.as_ref().map(|record| Timestamp(record.started));
        let due = records.due(name, job, &zone, now);
        let next = match (&job.schedule, due) {
            (None, _) => "by hand".to_owned(),
            _ if !job.enabled => "disabled".to_owned(),
            (Some(Schedule::OnChange), _) => "on change".to_owned(),
            (Some(_), None) => "never".to_owned(),
            (Some(_), Some(due)) if due <= now => "overdue".to_owned(),
            (Some(_), Some(due)) => text::moment(due, now, &zone),
        };
        let result = match &record {
            None => "-".to_owned(),
            Some(record) => match &record.error {
                None => "ok".to_owned(),
                Some(error) => format!("FAILED: {}", text::line(error)),
            },
        };
        let by = record
            .as_ref()
            .map_or("-", |record| record.trigger.as_str());
        rows.push(vec![
            name.clone(),
            last.map_or_else(|| "-".to_owned(), |last| text::moment(last, now, &zone)),
            by.to_owned(),
            result,
            next,
        ]);
        invocation.output.object(
            "job",
            json!({
                "job": name,
                "last_run": last.map(Timestamp::to_rfc3339),
                "ok": record.as_ref().map(|record| record.success),
                "trigger": record.as_ref().map(|record| &record.trigger),
                "enabled": job.enabled,
                "error": record.as_ref().and_then(|record| record.error.clone()),
                "schedule": job.schedule.as_ref().map(ToString::to_string),
                "next": due.map(Timestamp::to_rfc3339),
            }),
        );
    }
    for line in text::table(&rows, &[]) {
        invocation.output.say(&line);
    }
    Ok(Report::done())
}
