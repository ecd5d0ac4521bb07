//! What a restore to the origin will do, before it does anything.

use crate::cli::commands::restore::act::Act;
use crate::cli::commands::restore::act::parts::Part;
use crate::cli::commands::restore::chosen::Chosen;
use crate::cli::commands::run::Records;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::env::Timestamp;
use crate::source::sqlite::{is_database, lock_probe};
use crate::units::{bytes, seconds};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Most files of a tree that are counted to say how much is there.
const COUNTED_MAX: u64 = 100_000;

/// A moment of the user's zone, and the same in UTC.
pub fn both(invocation: &Invocation, moment: Timestamp) -> String {
    let local = invocation.moment(moment);
    let offset = text::offset(moment, &invocation.zone);
    match offset.as_str() {
        "UTC" => format!("{local} UTC"),
        _ => format!("{local} {offset} = {}", moment.to_rfc3339()),
    }
}

impl Act<'_> {
    /// Shows it.
    pub fn show_plan(&self) {
        let output = &self.invocation.output;
        for part in &self.parts {
            let label = &part.snapshot.label;
            let mut taken = format!(
                "plan     {} of {}, taken {}",
                part.snapshot.id.short(),
                part.name(),
                both(self.invocation, label.captured)
            );
            taken.push_str(&match self.set.proof(part.snapshot.id) {
                Some(proof) => format!(", proven {}", self.invocation.moment(proof.finished)),
                None => ", not proven yet".to_owned(),
            });
            output.line(&taken);
            if let Ok(chosen) = &part.chosen {
                output.line(&format!("restore  {}", chosen.summary()));
            }
            for origin in part.origins() {
                let there = there(&origin);
                output.line(&format!("target   {} ({there})", origin.display()));
            }
        }
        let places = self.places.iter().map(ToString::to_string);
        let places: Vec<String> = places.collect();
        output.line(&format!("from     {}", places.join(", else ")));
        for (title, steps) in [("before", self.before()), ("after", self.after())] {
            if !steps.is_empty() {
                output.line(&format!("{title:<8} {}", steps.join(" · ")));
            }
        }
        output.line(&format!("expect   {}", self.expectation()));
    }

    fn before(&self) -> Vec<String> {
        let mut steps = vec!["every byte that is needed is read and verified".to_owned()];
        steps.push(match self.arguments.no_safety_snapshot {
            true => "NO safety snapshot: what is there is lost".to_owned(),
            false => "safety snapshot of what is there, held 7 days".to_owned(),
        });
        let stop = self.services.stop_lines().into_iter();
        steps.extend(stop.map(|line| format!("stop: {line}")));
        steps
    }

    fn after(&self) -> Vec<String> {
        let start = self.services.start_lines().into_iter();
        let mut steps: Vec<String> = start.map(|line| format!("start: {line}")).collect();
        let health = self.services.health_line();
        steps.extend(health.map(|line| format!("health: {line}")));
        steps
    }

    /// How long the last drill took: from nothing, so that a restore over what is there takes less.
    fn expectation(&self) -> String {
        match self.drilled() {
            Some(took) => format!("about {} (the last drill, from nothing)", seconds(took)),
            None => "unknown: no drill has measured it yet (icecore drill)".to_owned(),
        }
    }

    fn drilled(&self) -> Option<Duration> {
        let of_job = self.job.as_ref().and_then(|(configuration, name)| {
            let records = Records::open(self.invocation, configuration).ok()?;
            let drill = records.drill_of(name)?;
            (drill.last_success > 0).then(|| Duration::from_millis(drill.milliseconds))
        });
        of_job.or_else(|| {
            let each = self.parts.iter().map(|part| {
                let alike = self.set.visible().filter(|(summary, ..)| {
                    summary.source == part.snapshot.label.source
                        && summary.host == part.snapshot.label.host
                });
                let newest = alike.filter_map(|(_, _, proven)| proven.drill).max();
                newest.map(|(_, took)| took)
            });
            each.sum::<Option<Duration>>()
        })
    }

    /// The plan for scripts.
    pub fn described(&self) -> CommandResult<Value> {
        let parts = self.parts.iter().map(describe);
        Ok(json!({
            "parts": parts.collect::<Vec<_>>(),
            "from": self.places.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "stop": self.services.stop_lines(),
            "start": self.services.start_lines(),
            "health": self.services.health_line(),
            "safety_snapshot": !self.arguments.no_safety_snapshot,
            "expected_seconds": self.drilled().map(|took| took.as_secs_f64()),
        }))
    }
}

/// One part for scripts.
pub fn describe(part: &Part<'_>) -> Value {
    let (files, size) = sizes(&part.chosen);
    let origins = part.origins().into_iter();
    json!({
        "snapshot_id": part.snapshot.id.to_string(),
        "source": part.snapshot.label.source,
        "taken": part.snapshot.label.captured.to_rfc3339(),
        "files": files,
        "bytes": size,
        "targets": origins.map(|origin| json!({
            "path": origin.display().to_string(),
            "there": there(&origin),
        })).collect::<Vec<_>>(),
    })
}

fn sizes(chosen: &CommandResult<Chosen>) -> (u64, u64) {
    chosen
        .as_ref()
        .map_or((0, 0), |chosen| (chosen.files, chosen.bytes))
}

/// What is at a path now, in words.
fn there(origin: &Path) -> String {
    let Ok(metadata) = origin.symlink_metadata() else {
        return "nothing is there now".to_owned();
    };
    if metadata.is_dir() {
        let mut sum = Sum::default();
        sum.add(origin);
        let more = if sum.files >= COUNTED_MAX {
            "over "
        } else {
            ""
        };
        let files = text::counted(sum.files, "file");
        return format!("there now: {more}{files}, {}", bytes(sum.bytes));
    }
    let size = bytes(metadata.len());
    let has_header = is_database(origin).unwrap_or(false);
    match has_header.then(|| lock_probe(origin)) {
        Some(Ok(Some(occupant))) => format!("there now: {size}, {occupant}"),
        _ => format!("there now: {size}"),
    }
}

#[derive(Default)]
struct Sum {
    files: u64,
    bytes: u64,
}

impl Sum {
    /// What cannot be read is not counted.
    fn add(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if self.files >= COUNTED_MAX {
                return;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => self.add(&entry.path()),
                Ok(metadata) => {
                    self.files += 1;
                    self.bytes = self.bytes.saturating_add(metadata.len());
                }
                Err(_) => {}
            }
        }
    }
}
