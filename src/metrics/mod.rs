//! Metrics in Prometheus' text format. Pure: what happened in, text out.

use crate::env::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is remembered of a job's runs between runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// What started the last run: hand, schedule, catch-up, on-change, back-fill.
    pub trigger: String,
    /// Whether the last run was asked to stop before it was done.
    pub interrupted: bool,
    /// When the last run for the present began, not one for a past date; 0 where that is not known.
    pub present: i64,
    /// What the last run captured, by source.
    pub sources: BTreeMap<String, SourceRecord>,
    /// What it did in repositories, by name.
    pub repositories: BTreeMap<String, RepositoryRecord>,
}

impl JobRecord {
    /// When the last run began that the schedule counts from.
    pub fn last(&self) -> Timestamp {
        match self.present {
            0 => Timestamp(self.started),
            present => Timestamp(present),
        }
    }
}

/// What is remembered of a job's drills between drills.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillRecord {
    /// The job.
    pub job: String,
    /// When the last one began, nanoseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub finished: i64,
    /// Whether everything proved itself.
    pub success: bool,
    /// What went wrong, one sentence.
    pub error: Option<String>,
    /// When one last passed; 0 if none did.
    pub last_success: i64,
    /// The measured recovery time of the last that passed, milliseconds.
    pub milliseconds: u64,
    /// Whether the last one was asked to stop before it was done.
    pub interrupted: bool,
}

/// What is remembered of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
#[serde(default)]
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
    /// Its size at the end of the last run, bytes; 0 where that is not known.
    pub bytes: u64,
    /// Size to stay below, bytes; 0 where none is set.
    pub bytes_max: u64,
    /// What its disk has left, bytes; `None` for a bucket.
    pub bytes_free: Option<u64>,
}

/// When a job is due by its schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobDue {
    /// The job.
    pub job: String,
    /// Whether its schedule counts.
    pub enabled: bool,
    /// When it is due, or was; `None` without a time.
    pub due: Option<Timestamp>,
}

/// Everything that is told of one configuration.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// What jobs did.
    pub jobs: Vec<JobRecord>,
    /// What drills came to.
    pub drills: Vec<DrillRecord>,
    /// When jobs are due.
    pub due: Vec<JobDue>,
}

/// Names and values of labels.
type Labels<'r> = Vec<(&'static str, &'r str)>;

/// Records under the job that each is of.
fn by_job<R>(records: &[R], job: impl Fn(&R) -> &str) -> Vec<(Labels<'_>, &R)> {
    let labelled = records
        .iter()
        .map(|record| (vec![("job", job(record))], record));
    labelled.collect()
}

struct Text {
    prefix: String,
    text: String,
}

impl Text {
    /// A family of gauges: one sample of each record that has the value.
    fn family<R, V: Into<Option<f64>>>(
        &mut self,
        name: &str,
        help: &str,
        records: &[(Labels<'_>, &R)],
        value: impl Fn(&R) -> V,
    ) {
        let samples = records
            .iter()
            .filter_map(|(labels, record)| Some((labels, value(record).into()?)));
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
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

/// The whole text; names begin with `prefix` and `_`.
pub fn text(prefix: &str, observed: &Observed, now: Timestamp) -> String {
    let mut text = Text {
        prefix: prefix.to_owned(),
        text: String::new(),
    };
    jobs(&mut text, &observed.jobs);
    schedules(&mut text, &observed.due);
    sources(&mut text, &observed.jobs);
    repositories(&mut text, &observed.jobs);
    drills(&mut text, &observed.drills);
    let full = format!("{prefix}_metrics_timestamp_seconds");
    let _ = writeln!(
        text.text,
        "# HELP {full} When these metrics were written.\n# TYPE {full} gauge\n{full} {}",
        now.seconds()
    );
    text.text
}

fn jobs(text: &mut Text, records: &[JobRecord]) {
    let records = by_job(records, |job| &job.job);
    text.family(
        "backup_success",
        "Whether the last run of the job did all it should.",
        &records,
        |job| yes(job.success),
    );
    text.family(
        "backup_run_timestamp_seconds",
        "When the last run of the job ended, whatever came of it.",
        &records,
        |job| seconds(job.finished),
    );
    text.family(
        "last_backup_timestamp",
        "When a run of the job last did all it should; 0 if none did.",
        &records,
        |job| seconds(job.last_success),
    );
    text.family(
        "backup_duration_seconds",
        "How long the last run of the job took.",
        &records,
        |job| (job.finished - job.started) as f64 / 1e9,
    );
    text.family(
        "backup_failures",
        "Runs of the job since the last that did all it should.",
        &records,
        |job| job.failures as f64,
    );
}

fn sources(text: &mut Text, records: &[JobRecord]) {
    let records = records.iter().flat_map(|job| {
        let of_job = job.sources.iter();
        of_job.map(|(name, source)| (vec![("job", &*job.job), ("source", &**name)], source))
    });
    let records: Vec<_> = records.collect();
    text.family(
        "backup_size_bytes",
        "Size of the newest snapshot of the source.",
        &records,
        |source| source.bytes as f64,
    );
    text.family(
        "backup_stored_bytes",
        "What storing the newest snapshot of the source added to the repository.",
        &records,
        |source| source.bytes_stored as f64,
    );
    text.family(
        "backup_timestamp_seconds",
        "When the newest snapshot of the source was taken.",
        &records,
        |source| seconds(source.taken),
    );
    text.family(
        "backup_source_success",
        "Whether the last run captured the source, whole and as expected.",
        &records,
        |source| yes(source.success && source.good),
    );
}

fn repositories(text: &mut Text, records: &[JobRecord]) {
    let all = records.iter().flat_map(|job| {
        let of_job = job.repositories.iter();
        of_job.map(|(name, one)| (vec![("job", &*job.job), ("repository", &**name)], one))
    });
    let all: Vec<_> = all.collect();
    text.family(
        "backup_upload_success",
        "Whether the last run left the repository as it should be.",
        &all,
        |repository| yes(repository.success),
    );
    text.family(
        "backup_upload_timestamp_seconds",
        "When the repository was last written to by the job.",
        &all,
        |repository| seconds(repository.written),
    );
    text.family(
        "backup_upload_duration_seconds",
        "How long writing to the repository took in the last run.",
        &all,
        |repository| repository.milliseconds as f64 / 1000.0,
    );
    text.family(
        "backup_upload_bytes",
        "Bytes that went to the repository in the last run.",
        &all,
        |repository| repository.bytes_uploaded as f64,
    );
    text.family(
        "last_check_timestamp_seconds",
        "When the job last read back what it had written; 0 if never.",
        &all,
        |repository| seconds(repository.verified),
    );
    sizes(text, records);
}

/// By repository alone: several jobs may write to one, and the one that ran last knows best.
fn sizes(text: &mut Text, records: &[JobRecord]) {
    let mut newest: BTreeMap<&str, (i64, &RepositoryRecord)> = BTreeMap::new();
    for job in records {
        for (name, repository) in &job.repositories {
            let known = newest.entry(name).or_insert((job.finished, repository));
            if repository.bytes > 0 && (known.0 < job.finished || known.1.bytes == 0) {
                *known = (job.finished, repository);
            }
        }
    }
    let newest = newest.into_iter();
    let records: Vec<_> = newest
        .map(|(name, (_, repository))| (vec![("repository", name)], repository))
        .collect();
    let some = |bytes: u64| Some(bytes as f64).filter(|bytes| *bytes > 0.0);
    text.family(
        "repository_size_bytes",
        "Size of the repository at the end of the last run that wrote to it.",
        &records,
        |repository| some(repository.bytes),
    );
    text.family(
        "repository_size_limit_bytes",
        "Size that the repository is to stay below.",
        &records,
        |repository| some(repository.bytes_max),
    );
    text.family(
        "repository_free_bytes",
        "What the disk of the repository had left at the end of the last run that wrote to it.",
        &records,
        |repository| repository.bytes_free.map(|bytes| bytes as f64),
    );
}

fn schedules(text: &mut Text, due: &[JobDue]) {
    let records = by_job(due, |job| &job.job);
    text.family(
        "backup_enabled",
        "Whether the schedule of the job counts.",
        &records,
        |job| yes(job.enabled),
    );
    text.family(
        "backup_due_timestamp_seconds",
        "When the job is due next by its schedule; in the past, it was missed.",
        &records,
        |job| Some(job.due?.seconds() as f64),
    );
}

fn drills(text: &mut Text, records: &[DrillRecord]) {
    let records = by_job(records, |drill| &drill.job);
    text.family(
        "drill_success",
        "Whether everything that the last drill of the job restored proved itself.",
        &records,
        |drill| yes(drill.success),
    );
    text.family(
        "last_drill_timestamp_seconds",
        "When a drill of the job last passed; 0 if none did.",
        &records,
        |drill| seconds(drill.last_success),
    );
    text.family(
        "drill_recovery_seconds",
        "The recovery time that the last passed drill of the job measured.",
        &records,
        |drill| drill.milliseconds as f64 / 1000.0,
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
        let local = RepositoryRecord {
            bytes: 5 << 20,
            bytes_max: 6 << 20,
            ..RepositoryRecord::default()
        };
        let record = JobRecord {
            repositories: BTreeMap::from([("local".to_owned(), local)]),
            ..record
        };
        let drill = DrillRecord {
            job: "nightly".to_owned(),
            milliseconds: 1500,
            ..DrillRecord::default()
        };
        let due = JobDue {
            job: "nightly".to_owned(),
            enabled: true,
            due: Some(Timestamp::from_seconds(77)),
        };
        let observed = Observed {
            jobs: vec![record],
            drills: vec![drill],
            due: vec![due],
        };
        let text = text("portal", &observed, Timestamp::from_seconds(9));
        for line in [
            "portal_backup_success{job=\"a\\\"b\"} 0",
            "portal_last_backup_timestamp{job=\"a\\\"b\"} 0",
            "portal_backup_duration_seconds{job=\"a\\\"b\"} 1.5",
            "portal_backup_failures{job=\"a\\\"b\"} 3",
            "portal_backup_size_bytes{job=\"a\\\"b\",source=\"db\"} 45678901",
            "portal_backup_timestamp_seconds{job=\"a\\\"b\",source=\"db\"} 1000000000",
            "portal_backup_source_success{job=\"a\\\"b\",source=\"db\"} 0",
            "portal_metrics_timestamp_seconds 9",
            "portal_repository_size_bytes{repository=\"local\"} 5242880",
            "portal_repository_size_limit_bytes{repository=\"local\"} 6291456",
            "portal_drill_success{job=\"nightly\"} 0",
            "portal_drill_recovery_seconds{job=\"nightly\"} 1.5",
            "portal_backup_enabled{job=\"nightly\"} 1",
            "portal_backup_due_timestamp_seconds{job=\"nightly\"} 77",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let none = "portal_repository_free_bytes";
        assert!(!text.contains(none), "nothing is made up\n{text}");
    }
}
