//! `restore --to-origin`: one act out of many steps. What is needed is verified, what is there is kept,
//! what uses it is stopped; then it is replaced, started again and asked whether it works.
//!
//! | fails | the origin | what was stopped |
//! |---|---|---|
//! | verify, safety snapshot | untouched | runs |
//! | stop | untouched | is as the commands left it: nothing is started, both are said |
//! | restore, nothing replaced yet | as it was | is started again |
//! | restore, part of it replaced | of both states | stays stopped: half of a state is not started |
//! | start, health check | restored | as the commands left it |

mod exact;
mod outcome;
mod parts;
mod perform;
mod plan;
mod safety;
mod services;
mod steps;

use crate::claim::Claim;
use crate::cli::commands::config::zone_of;
use crate::cli::commands::domain::confirm;
use crate::cli::commands::ls::clean;
use crate::cli::commands::restore::fallback::Fallback;
use crate::cli::commands::restore::thaw::Frozen;
use crate::cli::commands::restore::{RestoreArguments, Task, ending, screen};
use crate::cli::commands::run::{Records, identities};
use crate::cli::commands::snapshot::capture::host_name;
use crate::cli::configuration::Configuration;
use crate::cli::copies::Copies;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::listing::SnapshotSet;
use crate::cli::output::Report;
use crate::cli::place::Place as Location;
use crate::cli::reporting::{Act as Reported, Duty, failure};
use crate::cli::text;
use crate::config::Job;
use crate::event::{Activity, Ending, Subject};
use crate::repository::index::Index;
use crate::repository::{Need, Reader};
use crate::restorer::{Restored, Selection};
use crate::target::sqlite::check_replaceable;
use exact::Extra;
use outcome::{Conclusion, Origin};
use parts::{Part, source_of, wanted};
use safety::Kept;
use serde_json::json;
use services::Services;
use std::sync::Arc;
use std::time::Instant;
use steps::{Failed, Steps};

/// Everything that a restore to the origin needs.
struct Act<'a> {
    invocation: &'a Invocation,
    arguments: &'a RestoreArguments,
    set: &'a SnapshotSet,
    open: &'a OpenRepository,
    index: &'a Index,
    reader: &'a Reader<'a>,
    /// Where it reads from.
    places: Vec<&'a Location>,
    /// The job whose services these are.
    job: Option<(Arc<Configuration>, String)>,
    services: Services,
    parts: Vec<Part<'a>>,
}

/// How far it came.
struct Course<'p> {
    parts: Vec<Progress<'p>>,
    /// What became of the services.
    services: Standing,
    health: Option<String>,
}

/// How far one part came.
struct Progress<'p> {
    part: &'p Part<'p>,
    origin: Origin,
    kept: Option<Kept>,
    extra: Extra,
    restored: Restored,
    fallbacks: Vec<Fallback>,
}

/// Services that are stopped and started.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Nothing was stopped.
    Untouched,
    /// So many commands that stop had ended well, not all.
    PartlyStopped(usize),
    /// All were stopped.
    Stopped,
    /// All were started again.
    Started,
    /// So many commands that start had ended well, not all.
    PartlyStarted(usize),
}

/// Restores what is wanted to where it came from.
pub fn run(invocation: &Invocation, arguments: &RestoreArguments) -> CommandResult<Report> {
    let configuration = invocation.configuration()?;
    let asked = asked_job(arguments)?;
    let mut own = invocation.clone();
    if let (Some(name), None) = (&asked, &invocation.global.repo) {
        let configuration = invocation.needed_configuration()?;
        own.global.repo = Some(configuration.job(name)?.repositories.join(","));
    }
    let copies = own.open_copies(Some(Need::Read), "restore")?;
    let set = own.list_snapshots(&copies.first.repository)?;
    let of_job = configuration.as_deref().zip(asked.as_deref());
    let snapshots = wanted(&own, arguments, &set, of_job)?;
    let job = asked.or_else(|| snapshots.first().and_then(|one| one.label.job.clone()));
    let job = job_of(&own, configuration, job);
    if let Some((configuration, name)) = &job {
        own.zone = zone_of(invocation, &configuration.config, configuration.job(name)?);
    }
    let index = own.open_index(&copies.first.repository)?;
    let others = copies.other_readers();
    let mut reader = Reader::new(&copies.first.repository, &index);
    reader.fall_back_on(&others.iter().collect::<Vec<_>>());
    let reader = reader;
    reader.follow_all(snapshots.iter().map(|one| one.id).collect());
    let task = Task {
        invocation: &own,
        arguments,
        reader: &reader,
        path: &asked_path(arguments),
        in_place: arguments.in_place,
    };
    let configured = match &job {
        Some((configuration, name)) => Some((&**configuration, configuration.job(name)?)),
        None => None,
    };
    let parts = snapshots.iter();
    let parts = parts.map(|one| Part::new(&task, one, configured));
    let act = Act {
        invocation: &own,
        arguments,
        set: &set,
        open: &copies.first,
        index: &index,
        reader: &reader,
        places: copies.places(),
        services: services_of(configured),
        parts: parts.collect::<CommandResult<_>>()?,
        job,
    };
    act.run(&task, &copies)
}

/// The job that is restored instead of one snapshot.
fn asked_job(arguments: &RestoreArguments) -> CommandResult<Option<String>> {
    match (&arguments.snapshot, arguments.selection.job.as_slice()) {
        (Some(_), _) => Ok(None),
        (None, [name]) => Ok(Some(name.clone())),
        (None, _) => Err(CommandError::usage("give one job, or a snapshot")),
    }
}

/// The path in the snapshot; empty for all of it.
fn asked_path(arguments: &RestoreArguments) -> Vec<u8> {
    let wanted = arguments.snapshot.as_ref();
    let path = wanted.and_then(|wanted| wanted.path.as_deref());
    path.map(clean).unwrap_or_default()
}

/// The job, if the configuration knows it; that it does not is said, because nothing is stopped then.
fn job_of(
    invocation: &Invocation,
    configuration: Option<Arc<Configuration>>,
    job: Option<String>,
) -> Option<(Arc<Configuration>, String)> {
    let name = job?;
    match configuration {
        Some(configuration) if configuration.config.jobs.contains_key(&name) => {
            Some((configuration, name))
        }
        _ => {
            invocation.output.remark(&format!(
                "the snapshot is of job {}, which the configuration here does not have: nothing is \
                 stopped or started",
                text::line(&name)
            ));
            None
        }
    }
}

fn services_of(configured: Option<(&Configuration, &Job)>) -> Services {
    configured
        .map(|(configuration, job)| Services::of(configuration, &job.restore))
        .unwrap_or_default()
}

impl Act<'_> {
    fn run(&self, task: &Task<'_>, copies: &Copies) -> CommandResult<Report> {
        let (invocation, arguments) = (self.invocation, self.arguments);
        if !arguments.no_safety_snapshot {
            let access = self.open.repository.access();
            let needed = access.check_allowed(Need::Write, "the safety snapshot of a restore");
            needed.map_err(|error| {
                CommandError::from(error)
                    .hint("--no-safety-snapshot goes on without one: what is there is lost")
            })?;
        }
        let frozen = self.frozen(task)?;
        if arguments.dry_run {
            self.show_plan();
            for frozen in &frozen {
                frozen.tell(invocation, arguments.thaw_days);
            }
            invocation.output.say("nothing was done");
            return self.dry_run_report(&frozen);
        }
        if !self.services.stops() {
            for origin in self.parts.iter().flat_map(Part::databases_there) {
                check_replaceable(&origin).map_err(|error| {
                    CommandError::from(error)
                        .hint("or let the job do it: restore.stop in the configuration")
                })?;
            }
        }
        self.ask()?;
        // No run captures what is half restored.
        let _claims = self.claim()?;
        for frozen in frozen {
            frozen.tell(invocation, arguments.thaw_days);
            match arguments.thaw {
                // Another copy may give at once what is cold here.
                None if copies.has_others() => {}
                None => return Err(frozen.choice()),
                Some(speed) => frozen.wait(invocation, arguments, speed)?,
            }
        }
        self.go(task, copies)
    }

    /// Does it: from here on it is reported, written down, and ends with a conclusion.
    fn go(&self, task: &Task<'_>, copies: &Copies) -> CommandResult<Report> {
        let invocation = self.invocation;
        let started = Instant::now();
        let reported = self.begin()?;
        let parts = self.parts.iter().map(plan::describe).collect::<Vec<_>>();
        let facts = json!({
            "repository": self.open.place.to_string(),
            "job": self.job.as_ref().map(|(_, name)| name),
            "parts": parts,
        });
        let mut steps = Steps::begin(invocation, self.steps(), facts);
        let mut course = Course {
            parts: self.parts.iter().map(Progress::new).collect(),
            services: Standing::Untouched,
            health: None,
        };
        let mut failed = self.perform(task, &mut steps, &mut course).err();
        for progress in &mut course.parts {
            progress.look();
        }
        if let Some(failed) = &mut failed {
            self.start_again(&mut steps, &mut course, failed);
        }
        self.conclude_reports(reported, &course, failed.as_ref());
        let conclusion = Conclusion {
            act: self,
            course: &course,
            failed,
            took: started.elapsed(),
            served: copies.tell_served(invocation, &self.reader.served()),
        };
        Ok(conclusion.tell(steps))
    }

    /// How many steps there are.
    fn steps(&self) -> usize {
        let safety = !self.arguments.no_safety_snapshot;
        let all = [
            true,
            safety,
            self.services.stops(),
            safety && self.services.stops(),
            true,
            self.services.starts(),
            self.services.asks(),
        ];
        all.into_iter().filter(|is_taken| *is_taken).count()
    }

    fn frozen(&self, task: &Task<'_>) -> CommandResult<Vec<Frozen<'_>>> {
        let Some(bucket) = &self.open.bucket else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for part in &self.parts {
            let Ok(chosen) = &part.chosen else { continue };
            let is_wanted = |path: &[u8], is_directory| chosen.is_wanted(path, is_directory);
            let selection = Selection {
                path: part.path.clone(),
                wanted: &is_wanted,
            };
            all.extend(Frozen::look(task, bucket, part.snapshot, &selection)?);
        }
        Ok(all)
    }

    fn dry_run_report(&self, frozen: &[Frozen<'_>]) -> CommandResult<Report> {
        let mut report = Report::with(json!({ "dry_run": true, "plan": self.described()? }));
        if let [part] = self.parts.as_slice()
            && let Ok(chosen) = &part.chosen
        {
            let id = json!(part.snapshot.id.to_string());
            report.summary.insert("snapshot_id".to_owned(), id);
            report
                .summary
                .insert("files".to_owned(), json!(chosen.files));
            report
                .summary
                .insert("bytes".to_owned(), json!(chosen.bytes));
        }
        if let Some(first) = frozen.first() {
            report.summary.insert("cold".to_owned(), first.describe());
        }
        Ok(report)
    }

    /// The sources, for this process alone.
    fn claim(&self) -> CommandResult<Vec<Claim>> {
        let Some((configuration, name)) = &self.job else {
            return Ok(Vec::new());
        };
        let mut sources = identities(configuration, configuration.job(name)?);
        sources.retain(|(_, identity)| {
            let mut parts = self.parts.iter();
            parts.any(|part| source_of(part.snapshot) == identity)
        });
        let records = Records::open(self.invocation, configuration)?;
        records.claim_sources(&sources)
    }

    /// The one question.
    fn ask(&self) -> CommandResult<()> {
        let arguments = self.arguments;
        if arguments.yes || arguments.force {
            return Ok(());
        }
        let host = text::line(&host_name());
        let lines = self.parts.iter().map(|part| {
            let label = &part.snapshot.label;
            let from = match text::line(&label.host) {
                other if other != host => format!(", which was taken on {other}"),
                _ => String::new(),
            };
            format!(
                "This replaces {} on host {host} with {} of {}{from}.",
                screen::targets(&part.places),
                part.snapshot.id.short(),
                plan::both(self.invocation, label.captured)
            )
        });
        let mut lines: Vec<String> = lines.collect();
        lines.push(match arguments.no_safety_snapshot {
            true => "What is there now will be lost: there is no safety snapshot.".to_owned(),
            false => "What is there now will only be in the safety snapshot.".to_owned(),
        });
        confirm(&lines.join("\n"), &host)
    }

    fn begin(&self) -> CommandResult<Vec<Reported<'_>>> {
        let each = self.parts.iter().map(|part| {
            let subject = Subject {
                location: Some("its origin".to_owned()),
                ..self.open.subject_of(part.snapshot)
            };
            let repository = &self.open.repository;
            self.invocation
                .begin(repository, Activity::Restore, subject, Duty::Warn)
        });
        each.collect()
    }

    fn conclude_reports(
        &self,
        reported: Vec<Reported<'_>>,
        course: &Course<'_>,
        failed: Option<&Failed>,
    ) {
        for (act, progress) in reported.into_iter().zip(&course.parts) {
            let end = match failed {
                Some(failed) => Ending {
                    error: Some(failed.error.within(failed.step).message()),
                    ..failure(&failed.error)
                },
                None => ending(&progress.restored, !progress.part.path.is_empty()),
            };
            act.end(&self.open.repository, end);
        }
    }
}
