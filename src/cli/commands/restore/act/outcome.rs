//! What came of a restore to the origin: in which state things are, and what to choose next.

use crate::cli::commands::restore::act::plan::both;
use crate::cli::commands::restore::act::steps::{Failed, Steps};
use crate::cli::commands::restore::act::{Act, Course, Progress, Standing};
use crate::cli::commands::restore::screen;
use crate::cli::error::ErrorKind;
use crate::cli::exit_code::Exit;
use crate::cli::output::{Report, error_object};
use crate::cli::text;
use crate::units::elapsed;
use serde_json::{Value, json};
use std::time::Duration;

/// Most paths that stay at the origin and are spelled out.
const SHOWN_MAX: usize = 5;

/// What is at the origin of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// What was there: nothing was begun.
    Untouched,
    /// Something was begun; of a database the file that was there.
    Begun(Option<u64>),
    /// What was there: nothing of it was replaced.
    AsBefore,
    /// The snapshot.
    Restored,
    /// Some of both.
    Mixed,
}

impl Origin {
    /// Whether what was there is there.
    pub fn is_as_before(self) -> bool {
        matches!(self, Self::Untouched | Self::AsBefore)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Untouched | Self::AsBefore => "as-before",
            Self::Restored => "restored",
            Self::Begun(_) | Self::Mixed => "mixed",
        }
    }
}

impl Standing {
    fn name(&self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::PartlyStopped(_) => "partly-stopped",
            Self::Stopped => "stopped",
            Self::Started => "started",
            Self::PartlyStarted(_) => "partly-started",
        }
    }
}

/// Writes the safety snapshots down as soon as there are some.
pub fn note_safety(steps: &mut Steps<'_>, course: &Course<'_>) {
    steps.note("safety", json!(safety(course)));
    steps.write();
}

fn safety(course: &Course<'_>) -> Vec<String> {
    let kept = course.parts.iter().filter_map(|one| one.kept.as_ref());
    let ids = kept.filter_map(|kept| kept.snapshot);
    ids.map(|id| id.to_string()).collect()
}

/// The end of an act.
pub struct Conclusion<'c, 'a> {
    /// What was asked for.
    pub act: &'c Act<'a>,
    /// How far it came.
    pub course: &'c Course<'c>,
    /// Which step failed.
    pub failed: Option<Failed>,
    /// How long all of it took.
    pub took: Duration,
    /// Which copies served, for scripts.
    pub served: Value,
}

impl Conclusion<'_, '_> {
    /// Tells it, writes it down, and makes the summary.
    pub fn tell(self, mut steps: Steps<'_>) -> Report {
        let exit = self.exit();
        let undo = self.undo();
        match &self.failed {
            None => self.tell_success(&steps, &undo),
            Some(failed) => self.tell_failure(failed, &steps, &undo),
        }
        let fields = self.fields(&undo);
        for (name, value) in fields.as_object().into_iter().flatten() {
            steps.note(name, value.clone());
        }
        steps.note("finished", json!(self.act.invocation.now().to_rfc3339()));
        steps.note("exit_code", json!(exit.number()));
        steps.write();
        let mut report = Report::with(fields).exit(exit);
        let summary = &mut report.summary;
        summary.insert("restore_id".to_owned(), json!(steps.name()));
        let record = steps.record().map(|path| path.display().to_string());
        summary.insert("record".to_owned(), json!(record));
        summary.insert("steps".to_owned(), json!(steps.described()));
        report
    }

    fn exit(&self) -> Exit {
        match &self.failed {
            Some(failed) => match failed.error.kind {
                ErrorKind::Damage => Exit::Damage,
                ErrorKind::Interrupted => Exit::Interrupted,
                _ => Exit::Failed,
            },
            // Taken from elsewhere, and damaged in the snapshot all the same.
            None if self
                .course
                .parts
                .iter()
                .any(|one| !one.fallbacks.is_empty()) =>
            {
                Exit::Damage
            }
            None => Exit::Done,
        }
    }

    fn fields(&self, undo: &[String]) -> Value {
        let parts = self.course.parts.iter();
        let each = parts.map(|one| {
            let mut described = screen::summary(&self.result_of(one));
            let label = &one.part.snapshot.label;
            described["source"] = json!(label.source);
            described["taken"] = json!(label.captured.to_rfc3339());
            described["origin"] = json!(one.origin.name());
            let kept = one.kept.as_ref().and_then(|kept| kept.snapshot);
            described["safety_snapshot_id"] = json!(kept.map(|id| id.to_string()));
            described["extra_removed"] = json!(one.extra.removed);
            let stay = one.extra.kept.iter().map(|path| text::path(path));
            described["extra_kept"] = json!(stay.collect::<Vec<_>>());
            described
        });
        let each: Vec<Value> = each.collect();
        // Of one snapshot all fields are those of any restore.
        let mut fields = match each.as_slice() {
            [only] => only.clone(),
            _ => json!({ "duration_seconds": self.took.as_secs_f64() }),
        };
        fields["parts"] = json!(each);
        fields["services"] = json!(self.course.services.name());
        fields["health"] = json!(self.course.health);
        fields["undo"] = json!(undo);
        if self.served != json!([]) {
            fields["copies"] = self.served.clone();
        }
        if let Some(failed) = &self.failed {
            fields["failed_step"] = json!(failed.step);
            fields["error"] = error_object(&failed.error);
        }
        fields
    }

    fn result_of<'r>(&self, progress: &'r Progress<'_>) -> screen::Result<'r> {
        screen::Result {
            snapshot: progress.part.snapshot,
            restored: &progress.restored,
            places: &progress.part.places,
            fallbacks: self
                .act
                .arguments
                .fallback
                .then_some(&progress.fallbacks[..]),
            in_place: self.act.arguments.in_place || progress.part.is_database,
            verify: self.act.arguments.verify,
            duration: self.took,
        }
    }

    fn tell_success(&self, steps: &Steps<'_>, undo: &[String]) {
        let invocation = self.act.invocation;
        let output = &invocation.output;
        let goal = self.act.job.as_ref().and_then(|(configuration, name)| {
            let job = configuration.config.jobs.get(name)?;
            Some(format!(" (goal {})", elapsed(job.goals.rto?)))
        });
        let took = format!(
            "{}{}",
            crate::units::seconds(self.took),
            goal.unwrap_or_default()
        );
        for one in &self.course.parts {
            screen::tell(invocation, &self.result_of(one));
            self.tell_kept(one);
            let moment = both(invocation, one.part.snapshot.label.captured);
            output.say(&format!(
                "RESTORED {} to {moment} in {took}",
                one.part.name()
            ));
        }
        self.tell_absent();
        for line in undo {
            output.say(&format!("Undo:    {line}"));
        }
        self.tell_record(steps);
    }

    fn tell_record(&self, steps: &Steps<'_>) {
        if let Some(record) = steps.record() {
            let said = format!("Record:  {} in {}", steps.name(), record.display());
            self.act.invocation.output.say(&said);
        }
    }

    /// What the snapshot does not have and is there all the same.
    fn tell_kept(&self, progress: &Progress<'_>) {
        let kept = &progress.extra.kept;
        if kept.is_empty() {
            return;
        }
        let shown = kept.iter().take(SHOWN_MAX).map(|path| text::path(path));
        let mut shown: Vec<String> = shown.collect();
        if kept.len() > SHOWN_MAX {
            shown.push(format!("and {} more", kept.len() - SHOWN_MAX));
        }
        self.act.invocation.ui.warn_line(&format!(
            "{} not in the snapshot and not as the safety snapshot has it, and stays: {}",
            text::counted(kept.len() as u64, "item"),
            shown.join(", ")
        ));
    }

    /// What an undo does not take away again.
    fn tell_absent(&self) {
        let kept = self.course.parts.iter().filter_map(|one| one.kept.as_ref());
        for absent in kept.flat_map(|kept| &kept.absent) {
            let path = absent.display();
            let said = format!("{path} was not there before: no undo takes it away");
            self.act.invocation.output.say(&said);
        }
    }

    fn tell_failure(&self, failed: &Failed, steps: &Steps<'_>, undo: &[String]) {
        let ui = &self.act.invocation.ui;
        let interrupted = failed.error.kind == ErrorKind::Interrupted;
        let line = match interrupted {
            true => format!("INTERRUPTED at {}", failed.step),
            false => format!("FAILED at {}: {}", failed.step, failed.error.message()),
        };
        ui.state_line(&line);
        for state in self.states() {
            ui.state_line(&state);
        }
        for choice in self.choices(failed, undo) {
            ui.state_line(&format!("  {choice}"));
        }
        self.tell_record(steps);
    }

    /// In which state things are.
    fn states(&self) -> Vec<String> {
        let invocation = self.act.invocation;
        let each = self.course.parts.iter().map(|one| {
            let origins = one.part.origins();
            let origins = origins.iter().map(|path| path.display().to_string());
            let origins = origins.collect::<Vec<_>>().join(", ");
            let id = one.part.snapshot.id.short();
            match one.origin {
                Origin::Untouched => format!("{origins}: nothing was changed"),
                Origin::AsBefore => format!("{origins}: as it was, nothing was replaced"),
                Origin::Restored => format!(
                    "{origins}: restored and intact, as of {}",
                    both(invocation, one.part.snapshot.label.captured)
                ),
                Origin::Begun(_) | Origin::Mixed => format!(
                    "{origins}: HALF RESTORED, some of it is of {id} and some as it was before"
                ),
            }
        });
        let mut states: Vec<String> = each.collect();
        let services = &self.act.services;
        let (stop, start) = (services.stop_lines(), services.start_lines());
        let first = |lines: &[String], count: usize| lines[..count.min(lines.len())].join(" · ");
        let standing = &self.course.services;
        states.extend(match standing {
            Standing::Untouched if stop.is_empty() => None,
            Standing::Untouched => Some("services: not stopped".to_owned()),
            Standing::PartlyStopped(0) => {
                Some("services: no stop command succeeded, nothing else was run".to_owned())
            }
            Standing::PartlyStopped(count) => Some(format!(
                "services: of {} stop commands {count} had succeeded ({}), nothing was started",
                stop.len(),
                first(&stop, *count)
            )),
            Standing::Stopped => Some("services: STOPPED, and not started".to_owned()),
            Standing::PartlyStarted(count) => Some(format!(
                "services: of {} start commands {count} had succeeded ({})",
                start.len(),
                first(&start, *count)
            )),
            Standing::Started if self.is_as_before() => {
                Some("services: started again, with what was there before".to_owned())
            }
            Standing::Started => Some("services: started".to_owned()),
        });
        states
    }

    fn is_as_before(&self) -> bool {
        let mut parts = self.course.parts.iter();
        parts.all(|one| one.origin.is_as_before())
    }

    fn is_restored(&self) -> bool {
        let mut parts = self.course.parts.iter();
        parts.all(|one| one.origin == Origin::Restored)
    }

    /// What an operator can do now, the likeliest first.
    fn choices(&self, failed: &Failed, undo: &[String]) -> Vec<String> {
        let services = &self.act.services;
        let hints = failed.error.hints.iter();
        let mut choices: Vec<String> = hints.map(|hint| format!("try:   {hint}")).collect();
        let stopped = matches!(
            self.course.services,
            Standing::Stopped | Standing::PartlyStopped(1..) | Standing::PartlyStarted(_)
        );
        if self.is_restored() {
            choices.extend(services.look().map(|look| format!("look:  {look}")));
        }
        if !self.is_restored() {
            choices.push(
                "again: the same command begins anew, and keeps what is there then".to_owned(),
            );
        }
        if stopped && (self.is_restored() || self.is_as_before()) {
            let start = services.start_lines().into_iter();
            choices.extend(start.map(|line| format!("start: {line}")));
        }
        if !self.is_as_before() {
            choices.extend(undo.iter().map(|line| format!("undo:  {line}")));
        }
        choices
    }

    /// The commands that bring back what was there.
    fn undo(&self) -> Vec<String> {
        if self.is_as_before() {
            return Vec::new();
        }
        let parts = self.course.parts.iter();
        let begun = parts.filter(|one| !one.origin.is_as_before());
        let kept = begun.filter_map(|one| one.kept.as_ref()?.snapshot);
        let options = self.act.options();
        kept.map(|id| format!("icecore restore {} --to-origin{options}", id.short()))
            .collect()
    }
}

impl Act<'_> {
    /// What a command needs besides to find the repository that holds the safety snapshots, unless
    /// the environment says it already.
    fn options(&self) -> String {
        let global = &self.invocation.global;
        let is_set = |name: &str, value: &str| {
            std::env::var_os(name).is_some_and(|set| set.to_str() == Some(value))
        };
        let mut options = String::new();
        if let Some(config) = global.config.as_ref().and_then(|path| path.to_str())
            && !is_set("ICECORE_CONFIG", config)
        {
            options.push_str(&format!(" -c {}", text::quoted(config)));
        }
        let repository = self.safety_repository();
        if let Some(name) = repository.filter(|name| !is_set("ICECORE_REPO", name)) {
            options.push_str(&format!(" -r {}", text::quoted(&name)));
        }
        options
    }

    /// As it was named on the command line or in the job; `None` where it need not be named.
    fn safety_repository(&self) -> Option<String> {
        let given = self.invocation.global.repo.clone()?;
        if !given.contains(',') || std::path::Path::new(&given).exists() {
            return Some(given);
        }
        let location = self.open.place.to_string();
        let names = given.split(',').map(str::trim);
        let mut found = names.filter(|name| {
            let about = self.invocation.about(name).and_then(|own| own.place());
            about.is_ok_and(|place| place.to_string() == location)
        });
        found.next().map(str::to_owned)
    }
}
