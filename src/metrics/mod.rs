//! Metrics in Prometheus' text format. Pure: what happened in, text out.

use crate::env::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is remembered of a job's runs between runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub job: String,
    /// When the last run began, nanoseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub finished: i64,
    /// Whether it did all it should.
    pub success: bool,
    /// What went wrong, one sentence.
    pub error: Option<String>,
    /// When a run last did all it should; 0 if none did.
    pub last_success: i64,
    /// Runs since then that did not.
    pub failures: u64,
    /// What the last run captured, by source.
    pub sources: BTreeMap<String, SourceRecord>,
    /// What it did in repositories, by name.
    pub repositories: BTreeMap<String, RepositoryRecord>,
}

/// What is remembered of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its newest snapshot.
    pub snapshot: String,
    /// When that was taken, nanoseconds since 1970.
    pub taken: i64,
    /// Its size, bytes.
    pub bytes: u64,
    /// What storing it added, bytes.
    pub bytes_stored: u64,
    /// How long that took, milliseconds.
    pub milliseconds: u64,
    /// Whether it is whole, and as expected.
    pub good: bool,
    /// Whether the last run captured it.
    pub success: bool,
}

/// What is remembered of a repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// Whether the last run left it as it should be.
    pub success: bool,
    /// When it was last written to, nanoseconds since 1970.
    pub written: i64,
    /// How long that took, milliseconds.
    pub milliseconds: u64,
    /// Bytes that went to it in the last run.
    pub bytes_uploaded: u64,
    /// When it was last read back, nanoseconds since 1970; 0 if never.
    pub verified: i64,
}

struct Text {
    prefix: String,
    text: String,
}

impl Text {
    fn family(&mut self, name: &str, help: &str, samples: &[(Vec<(&str, &str)>, f64)]) {
        if samples.is_empty() {
            return;
        }
        let full = format!("{}_{name}", self.prefix);
        let _ = writeln!(self.text, "# HELP {full} {help}\n# TYPE {full} gauge");
        for (labels, value) in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
                .collect();
            let _ = writeln!(self.text, "{full}{{{}}} {value}", labels.join(","));
        }
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn seconds(nanoseconds: i64) -> f64 {
    Timestamp(nanoseconds).seconds() as f64
}

fn yes(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The whole text for some jobs; names begin with `prefix` and `_`.
pub fn text(prefix: &str, records: &[JobRecord], now: Timestamp) -> String {
    let mut text = Text {
        prefix: prefix.to_owned(),
        text: String::new(),
    };
    jobs(&mut text, records);
    sources(&mut text, records);
    repositories(&mut text, records);
    let full = format!("{prefix}_metrics_timestamp_seconds");
    let _ = writeln!(
        text.text,
        "# HELP {full} When these metrics were written.\n# TYPE {full} gauge\n{full} {}",
        now.seconds()
    );
    text.text
}

fn jobs(text: &mut Text, records: &[JobRecord]) {
    let each = |value: fn(&JobRecord) -> f64| {
        let samples = records.iter();
        let samples = samples.map(|job| (vec![("job", job.job.as_str())], value(job)));
        samples.collect::<Vec<_>>()
    };
    text.family(
        "backup_success",
        "Whether the last run of the job did all it should.",
        &each(|job| yes(job.success)),
    );
    text.family(
        "backup_run_timestamp_seconds",
        "When the last run of the job ended, whatever came of it.",
        &each(|job| seconds(job.finished)),
    );
    text.family(
        "last_backup_timestamp",
        "When a run of the job last did all it should; 0 if none did.",
        &each(|job| seconds(job.last_success)),
    );
    text.family(
        "backup_duration_seconds",
        "How long the last run of the job took.",
        &each(|job| (job.finished - job.started) as f64 / 1e9),
    );
    text.family(
        "backup_failures",
        "Runs of the job since the last that did all it should.",
        &each(|job| job.failures as f64),
    );
}

fn sources(text: &mut Text, records: &[JobRecord]) {
    let each = |value: fn(&SourceRecord) -> f64| {
        let samples = records.iter().flat_map(|job| {
            let of_job = job.sources.iter();
            of_job.map(move |(name, source)| {
                let labels = vec![("job", job.job.as_str()), ("source", name.as_str())];
                (labels, value(source))
            })
        });
        samples.collect::<Vec<_>>()
    };
    text.family(
        "backup_size_bytes",
        "Size of the newest snapshot of the source.",
        &each(|source| source.bytes as f64),
    );
    text.family(
        "backup_stored_bytes",
        "What storing the newest snapshot of the source added to the repository.",
        &each(|source| source.bytes_stored as f64),
    );
    text.family(
        "backup_timestamp_seconds",
        "When the newest snapshot of the source was taken.",
        &each(|source| seconds(source.taken)),
    );
    text.family(
        "backup_source_success",
        "Whether the last run captured the source, whole and as expected.",
        &each(|source| yes(source.success && source.good)),
    );
}

fn repositories(text: &mut Text, records: &[JobRecord]) {
    let each = |value: fn(&RepositoryRecord) -> f64| {
        let samples = records.iter().flat_map(|job| {
            let of_job = job.repositories.iter();
            of_job.map(move |(name, repository)| {
                let labels = vec![("job", job.job.as_str()), ("repository", name.as_str())];
                (labels, value(repository))
            })
        });
        samples.collect::<Vec<_>>()
    };
    text.family(
        "backup_upload_success",
        "Whether the last run left the repository as it should be.",
        &each(|repository| yes(repository.success)),
    );
    text.family(
        "backup_upload_timestamp_seconds",
        "When the repository was last written to by the job.",
        &each(|repository| seconds(repository.written)),
    );
    text.family(
        "backup_upload_duration_seconds",
        "How long writing to the repository took in the last run.",
        &each(|repository| repository.milliseconds as f64 / 1000.0),
    );
    text.family(
        "backup_upload_bytes",
        "Bytes that went to the repository in the last run.",
        &each(|repository| repository.bytes_uploaded as f64),
    );
    text.family(
        "last_check_timestamp_seconds",
        "When the job last read back what it had written; 0 if never.",
        &each(|repository| seconds(repository.verified)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_written_and_names_are_escaped() {
        let source = SourceRecord {
            bytes: 45_678_901,
            taken: 1_000_000_000_000_000_000,
            good: true,
            ..SourceRecord::default()
        };
        let record = JobRecord {
            job: "a\"b".to_owned(),
            started: 2_000_000_000,
            finished: 3_500_000_000,
            success: false,
            failures: 3,
            sources: BTreeMap::from([("db".to_owned(), source)]),
            ..JobRecord::default()
        };
        let text = text("portal", &[record], Timestamp::from_seconds(9));
        for line in [
            "portal_backup_success{job=\"a\\\"b\"} 0",
            "portal_last_backup_timestamp{job=\"a\\\"b\"} 0",
            "portal_backup_duration_seconds{job=\"a\\\"b\"} 1.5",
            "portal_backup_failures{job=\"a\\\"b\"} 3",
            "portal_backup_size_bytes{job=\"a\\\"b\",source=\"db\"} 45678901",
            "portal_backup_timestamp_seconds{job=\"a\\\"b\",source=\"db\"} 1000000000",
            "portal_backup_source_success{job=\"a\\\"b\",source=\"db\"} 0",
            "portal_metrics_timestamp_seconds 9",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
