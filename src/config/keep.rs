//! `keep = …` of a job.

use crate::config::value::{Problem, Value};
use crate::retention::Policy;
use crate::units::{Span, parse_span};

/// Reads `"forever"` or a table of rules.
pub(super) fn keep(value: &Value<'_, '_>) -> Result<Policy, Problem> {
    if value.is_text() {
        let forever = Policy {
            keep_forever: true,
            ..Policy::default()
        };
        return value
            .choice(&[("forever", ())])
            .map(|()| forever)
            .map_err(|problem| {
                problem.help("write \"forever\", or rules: { daily = 14, min = \"7d\" }")
            });
    }
    let before = value.faults.count();
    let mut table = value.table()?;
    let span = |value: &Value<'_, '_>| value.parsed(parse_span);
    let count = |value: &Value<'_, '_>| value.count(0);
    let days = table.take("days", |value| value.count(1)).map(Span::days);
    let within = table.take("within", span);
    if days.is_some() && within.is_some() {
        table.fault(Problem::new(format!(
            "{} says days and within, which are the same",
            value.name
        )));
    }
    let policy = Policy {
        keep_last: table.take("last", count),
        keep_hourly: table.take("hourly", count),
        keep_daily: table.take("daily", count),
        keep_weekly: table.take("weekly", count),
        keep_monthly: table.take("monthly", count),
        keep_yearly: table.take("yearly", count),
        keep_within: days.or(within),
        keep_tags: table
            .take("tags", |value| Ok(value.list(|tag| tag.parsed(str::parse))))
            .unwrap_or_default(),
        min: table.take("min", span),
        max: table.take("max", span),
        ..Policy::default()
    };
    table.finish();
    match policy.validate() {
        Ok(()) => Ok(policy),
        // What was meant by a rule that cannot be read is not known.
        Err(_) if value.faults.count() > before => Ok(policy),
        Err(error) => Err(Problem::new(format!("{}: {error}", value.name))),
    }
}
