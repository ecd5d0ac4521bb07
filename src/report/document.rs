//! The report as chapters: what both forms of it say.

use crate::event::{Activity, Status};
use crate::report::plot::Lines;
use crate::report::{Act, DayState, Facts, Readiness, Source};
use crate::retention::Period;
use crate::units::{bytes, count, elapsed, ratio, seconds};

/// A part of the report.
pub enum Block {
    /// A chapter begins.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// Rows under a head.
    Table(Vec<&'static str>, Vec<Vec<String>>),
    /// A figure over the days of the month.
    Lines(Lines),
    /// The days of each source.
    Calendar(Vec<(String, Vec<DayState>)>),
}

/// The chapters, in order.
pub fn document(facts: &Facts, readiness: &Readiness) -> Vec<Block> {
    let mut blocks = Vec::new();
    summary(facts, readiness, &mut blocks);
    sources(facts, &mut blocks);
    calendar(facts, &mut blocks);
    retention(facts, &mut blocks);
    let chapters: [(&str, &[Activity], &str); 7] = [
        (
            "Verification",
            &[Activity::Check],
            "No check was run in the month.",
        ),
        (
            "Drills",
            &[Activity::Drill],
            "No restore was tried in the month.",
        ),
        ("Restores", &[Activity::Restore], "Nothing was restored."),
        (
            "Readable files",
            &[Activity::Export],
            "Nothing was exported as plaintext.",
        ),
        (
            "Deletions",
            &[Activity::Forget, Activity::Prune],
            "Nothing was forgotten or pruned.",
        ),
        (
            "Keys and holds",
            &[Activity::Key, Activity::Hold],
            "No key, credential, domain or hold was changed.",
        ),
        ("Configuration", &[Activity::Config], "It did not change."),
    ];
    for (title, kinds, nothing) in chapters {
        acts(facts, (title, kinds, nothing), &mut blocks);
    }
    copies(facts, &mut blocks);
    repositories(facts, &mut blocks);
    blocks
}

fn heading(text: &str, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading(text.to_owned()));
}

fn summary(facts: &Facts, readiness: &Readiness, blocks: &mut Vec<Block>) {
    let zone = facts.zone.iana_name().unwrap_or("local time");
    let whole = match facts.until < facts.now {
        true => "the whole month",
        false => "so far",
    };
    blocks.push(Block::Text(format!(
        "{}, {whole}. Times are in {zone}. Made {}.",
        facts.month,
        facts.moment(facts.now)
    )));
    heading(&format!("Readiness: {} of 100", readiness.score), blocks);
    if readiness.deductions.is_empty() {
        blocks.push(Block::Text("Nothing is missing.".to_owned()));
        return;
    }
    let rows = readiness.deductions.iter().map(|one| {
        vec![
            format!("-{}", one.points),
            one.reason.clone(),
            one.remedy.clone(),
        ]
    });
    blocks.push(Block::Table(
        vec!["Points", "Why", "What to do"],
        rows.collect(),
    ));
}

fn sources(facts: &Facts, blocks: &mut Vec<Block>) {
    heading("Sources", blocks);
    let head = vec![
        "Source",
        "Job",
        "Snapshots",
        "Failed",
        "Size",
        "Read",
        "Stored",
        "Ratio",
        "Mean",
        "Longest",
        "Days with gaps",
    ];
    let rows = facts.sources.iter().map(|source| {
        let figures = &source.figures;
        let time = |milliseconds: Option<u64>| {
            let shown = milliseconds.map(|one| seconds(std::time::Duration::from_millis(one)));
            shown.unwrap_or_else(|| "-".to_owned())
        };
        let failed: u32 = source.days.iter().map(|day| day.failed).sum();
        let is_any = figures.snapshots > 0;
        vec![
            source.name.clone(),
            source.job.clone().unwrap_or_else(|| "-".to_owned()),
            match figures.flawed {
                0 => count(figures.snapshots),
                flawed => format!("{} ({flawed} flawed)", count(figures.snapshots)),
            },
            failed.to_string(),
            if is_any {
                bytes(figures.bytes)
            } else {
                "-".to_owned()
            },
            bytes(figures.bytes_read),
            bytes(figures.bytes_stored),
            ratio(figures.bytes_read, figures.bytes_stored),
            time(figures.milliseconds_mean()),
            time(is_any.then_some(figures.milliseconds_max)),
            source.gaps().count().to_string(),
        ]
    });
    blocks.push(Block::Table(head, rows.collect()));
    let lines =
        |title: &str,
         is_time: bool,
         value: fn(&(crate::env::Timestamp, u64, std::time::Duration)) -> f64| {
            let of_source = |source: &Source| {
                let points = source.points.iter().map(|point| (point.0, value(point)));
                (source.name.clone(), points.collect())
            };
            Lines {
                title: title.to_owned(),
                is_time,
                from: facts.month.start(&facts.zone),
                to: facts.month.end(&facts.zone),
                series: facts.sources.iter().map(of_source).collect(),
            }
        };
    blocks.push(Block::Lines(lines(
        "Size of each snapshot",
        false,
        |point| point.1 as f64,
    )));
    blocks.push(Block::Lines(lines(
        "Time each snapshot took",
        true,
        |point| point.2.as_secs_f64(),
    )));
}

fn calendar(facts: &Facts, blocks: &mut Vec<Block>) {
    heading("Calendar", blocks);
    blocks.push(Block::Text(
        "✓ all that was due was taken; ~ something failed, is incomplete, not as expected, or a part \
         of it is missing; ✗ due, and no good snapshot; · nothing was due"
            .to_owned(),
    ));
    let days = |source: &Source| source.days.iter().map(|day| day.state).collect();
    let rows = facts
        .sources
        .iter()
        .map(|source| (source.name.clone(), days(source)));
    blocks.push(Block::Calendar(rows.collect()));
    let odd = facts.sources.iter().flat_map(|source| {
        let days = source.days.iter();
        let odd = days.filter(|day| matches!(day.state, DayState::Missed | DayState::Flawed));
        odd.map(|day| {
            vec![
                day.date.to_string(),
                source.name.clone(),
                if day.due > 0 {
                    format!("{} of {}", day.done, day.due)
                } else {
                    "-".to_owned()
                },
                day.taken.to_string(),
                day.flawed.to_string(),
                day.failed.to_string(),
            ]
        })
    });
    let odd: Vec<_> = odd.collect();
    if !odd.is_empty() {
        let head = vec![
            "Day",
            "Source",
            "Runs that were due",
            "Snapshots",
            "Flawed",
            "Failed",
        ];
        blocks.push(Block::Table(head, odd));
    }
}

fn retention(facts: &Facts, blocks: &mut Vec<Block>) {
    heading("Retention", blocks);
    if facts.retention.is_empty() {
        blocks.push(Block::Text(
            "No job has keep rules here: everything is kept.".to_owned(),
        ));
        return;
    }
    let rows = facts.retention.iter().map(|kept| {
        let counts = kept.counts.iter().map(|(period, have, want)| {
            let name = match period {
                Period::Each => "last".to_owned(),
                period => period.to_string(),
            };
            format!("{name} {have} of {want}")
        });
        let verdict = match (kept.past_maximum, kept.overdue) {
            (0, 0) => "met".to_owned(),
            (0, overdue) => format!("{overdue} still to be forgotten"),
            (past, _) => format!("NOT MET: {past} past the maximum age"),
        };
        vec![
            kept.job.clone(),
            kept.repository.clone(),
            kept.source.clone(),
            kept.policy.clone(),
            kept.kept.to_string(),
            counts.collect::<Vec<_>>().join(", "),
            verdict,
        ]
    });
    let head = vec![
        "Job",
        "Repository",
        "Source",
        "Rules",
        "Kept",
        "Of that, by rule",
        "Verdict",
    ];
    blocks.push(Block::Table(head, rows.collect()));
}

fn acts(
    facts: &Facts,
    (title, kinds, nothing): (&str, &[Activity], &str),
    blocks: &mut Vec<Block>,
) {
    heading(title, blocks);
    let rows: Vec<_> = facts.acts_of(kinds).map(|act| row(facts, act)).collect();
    if rows.is_empty() {
        blocks.push(Block::Text(nothing.to_owned()));
        return;
    }
    let head = vec![
        "When",
        "What",
        "Repository",
        "About",
        "By",
        "Result",
        "Took",
        "Details",
    ];
    blocks.push(Block::Table(head, rows));
}

fn row(facts: &Facts, act: &Act) -> Vec<String> {
    let mut details = Vec::from_iter(Some(act.details.clone()).filter(|text| !text.is_empty()));
    details.extend(act.bytes.map(bytes));
    details.extend(
        act.revoked
            .then(|| "signed by a credential that was revoked since".to_owned()),
    );
    let took = match (act.took, act.goal) {
        (Some(took), Some(goal)) => format!("{}, goal {}", seconds(took), elapsed(goal)),
        (Some(took), None) => seconds(took),
        (None, _) => "-".to_owned(),
    };
    vec![
        facts.moment(act.time),
        act.activity.name().to_owned(),
        act.repository.clone(),
        act.subject.clone(),
        act.by.clone(),
        match act.status {
            Status::Success | Status::Info => "ok".to_owned(),
            Status::Warning => "WARNING".to_owned(),
            Status::Error => "FAILED".to_owned(),
        },
        took,
        details.join(", "),
    ]
}

fn copies(facts: &Facts, blocks: &mut Vec<Block>) {
    heading("Copies", blocks);
    let rows = facts.rules.iter().map(|rule| {
        vec![
            rule.job.clone(),
            rule.copies.to_string(),
            rule.places.to_string(),
            rule.off_site.to_string(),
            if rule.kept { "kept" } else { "NOT KEPT" }.to_owned(),
        ]
    });
    let head = vec![
        "Job",
        "Copies with the data itself",
        "Places",
        "Off-site",
        "3-2-1",
    ];
    blocks.push(match facts.rules.is_empty() {
        false => Block::Table(head, rows.collect()),
        true => {
            let why = "3-2-1 is not judged: only a configuration says which copies there are.";
            Block::Text(why.to_owned())
        }
    });
    let time = |moment: Option<crate::env::Timestamp>| {
        moment.map_or_else(|| "never".to_owned(), |moment| facts.moment(moment))
    };
    let rows = facts.sources.iter().map(|source| {
        vec![
            source.name.clone(),
            source.copies.join(", "),
            time(source.read_back),
            match source.drill {
                Some((tried, took)) => format!("{}, RTO {}", facts.moment(tried), seconds(took)),
                None => "never".to_owned(),
            },
        ]
    });
    let head = vec!["Source", "Newest snapshot in", "Read back", "Restore tried"];
    blocks.push(Block::Table(head, rows.collect()));
}

fn repositories(facts: &Facts, blocks: &mut Vec<Block>) {
    heading("Repositories and the audit log", blocks);
    let rows = facts.repositories.iter().map(|repository| {
        let age = repository
            .keys_drawn
            .map(|drawn| elapsed(facts.now.since(drawn)));
        let log = match repository.faults.len() {
            0 => format!(
                "whole: {} records in {} chains",
                repository.records, repository.chains
            ),
            faults => format!("{faults} FAULTS: {}", repository.faults.join("; ")),
        };
        vec![
            repository.name.clone(),
            repository.place.clone(),
            repository.cipher.clone(),
            count(repository.snapshots),
            bytes(repository.bytes),
            repository.damaged.to_string(),
            age.unwrap_or_else(|| "not seen".to_owned()),
            log,
        ]
    });
    let head = vec![
        "Repository",
        "Place",
        "Cipher",
        "Snapshots",
        "Size",
        "Damaged",
        "Age of the keys",
        "Audit log",
    ];
    blocks.push(Block::Table(head, rows.collect()));
}
