//! The runs of the daemon: begun, pressed, and told of when they end.

use crate::cli::commands::daemon::Daemon;
use crate::cli::commands::daemon::child::Child;
use crate::cli::commands::daemon::limits::Pressure;
use crate::cli::commands::daemon::tasks::{Kind, TaskName, last};
use crate::cli::commands::run::{Ran, write_metrics};
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::env::Timestamp;
use crate::schedule::agenda::Ended;
use crate::units::elapsed;
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

impl Daemon {
    /// Starts what is due and can run. Returns how many.
    pub(super) fn begin_due(&mut self) -> u64 {
        let mut begun = 0;
        while self.stop.is_none() {
            let now = self.invocation.now();
            let Some((key, trigger)) = self.agenda.next(now) else {
                break;
            };
            let Some(planned) = self.planned.get(&key) else {
                break;
            };
            let (name, timeout) = (planned.name.clone(), planned.timeout);
            // Somebody may have run it by hand meanwhile.
            let known = self.agenda.task(&key).and_then(|task| task.last);
            let elsewhere = last(&self.records, &name);
            if let Some(began) = elsewhere.began
                && known.is_none_or(|known| known < began)
            {
                self.agenda.ran_elsewhere(&key, began, elsewhere.success);
                continue;
            }
            self.agenda.begin(&key, now);
            if name.kind == Kind::Run {
                self.seen.begin(&name.job);
            }
            let paths = (self.configuration.path.as_path(), self.accepted.as_path());
            match Child::start(&self.invocation, (&name, trigger), paths, timeout) {
                Ok(child) => {
                    let fields = json!({ "task": key, "trigger": trigger.name() });
                    self.event(
                        "run-started",
                        &format!("{key}: begins ({})", trigger.name()),
                        fields,
                    );
                    self.children.insert(key, child);
                    begun += 1;
                }
                Err(error) => {
                    self.invocation.ui.error(&error.within(&key));
                    self.agenda.end(&key, now, now, Ended::PutOff);
                }
            }
        }
        begun
    }

    /// Asks runs to stop that are too long at it, and ends those that do not hear.
    pub(super) fn press(&mut self) {
        let now = self.invocation.clock.elapsed();
        for (key, child) in &mut self.children {
            match child.limits.pressure(now, self.stop) {
                Pressure::None => {}
                Pressure::Ask => child.ask(now),
                Pressure::End => {
                    let said = format!("{key}: does not stop when asked, and is ended");
                    self.invocation.ui.warn_line(&said);
                    child.end();
                }
            }
        }
    }

    /// Hears of runs that ended.
    pub(super) fn reap(&mut self) {
        let children = self.children.iter_mut();
        let ended = children.filter_map(|(key, child)| Some((key.clone(), child.ended()?)));
        for (key, status) in ended.collect::<Vec<_>>() {
            let Some(child) = self.children.remove(&key) else {
                continue;
            };
            let now = self.invocation.now();
            let name = self.name_of(&key);
            let outcome = self.outcome(&name, &child, status, now);
            let (ended, problem) = outcome.unwrap_or_else(|error| {
                self.invocation.ui.error(&error);
                (Ended::Badly, Some(error.message()))
            });
            let began = last(&self.records, &name).began;
            let began = began.map_or(child.began, |began| began.max(child.began));
            self.agenda.end(&key, began, now, ended);
            if (ended, name.kind) == (Ended::Well, Kind::Run)
                && let Err(error) = self.seen.end_well(&self.records, &name.job)
            {
                self.invocation.ui.error(&error);
            }
            self.tell(&key, &child, ended, problem, now);
        }
    }

    fn name_of(&self, key: &str) -> TaskName {
        match key.strip_suffix(" drill") {
            Some(job) => TaskName {
                job: job.to_owned(),
                kind: Kind::Drill,
            },
            None => TaskName {
                job: key.to_owned(),
                kind: Kind::Run,
            },
        }
    }

    fn tell(
        &self,
        key: &str,
        child: &Child,
        ended: Ended,
        problem: Option<String>,
        now: Timestamp,
    ) {
        let took = now.since(child.began);
        let problem_text = problem.as_deref().unwrap_or_default();
        let said = match ended {
            Ended::Well => format!("{key}: done in {}", elapsed(took)),
            Ended::Badly => format!("{key}: FAILED after {}: {problem_text}", elapsed(took)),
            Ended::Interrupted => format!(
                "{key}: interrupted after {}; it is made up for",
                elapsed(took)
            ),
            Ended::PutOff => format!("{key}: put off: {problem_text}"),
        };
        let fields = json!({
            "task": key,
            "trigger": child.trigger.name(),
            "ok": ended == Ended::Well,
            "error": problem,
            "duration_seconds": took.as_secs_f64(),
        });
        self.event("run-ended", &said, fields);
    }

    /// What came of a run, and what went wrong. The run itself wrote that down, unless it could not: then
    /// this does, so that a run that was killed is a failed one everywhere.
    fn outcome(
        &self,
        name: &TaskName,
        child: &Child,
        status: ExitStatus,
        now: Timestamp,
    ) -> CommandResult<(Ended, Option<String>)> {
        let last = last(&self.records, name);
        let is_its_own = last.began.is_some_and(|began| began >= child.began);
        if is_its_own {
            return Ok(match (last.success, last.interrupted) {
                (true, _) => (Ended::Well, None),
                (false, true) => (Ended::Interrupted, last.error),
                (false, false) => (Ended::Badly, last.error),
            });
        }
        let told = child.last_error();
        if status.code() == Some(i32::from(Exit::Refused.number())) {
            return Ok((Ended::PutOff, Some(told)));
        }
        if status.code() == Some(i32::from(Exit::Interrupted.number())) {
            return Ok((Ended::Interrupted, Some("interrupted".to_owned())));
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code} before it could begin"),
            (None, Some(signal)) => format!("it was killed by signal {signal}"),
            (None, None) => "it was lost".to_owned(),
        };
        let problem = match told.is_empty() {
            true => how,
            false => format!("{how}: {told}"),
        };
        let ran = Ran {
            started: child.began,
            finished: now,
            trigger: child.trigger,
        };
        // One that was ended because everything stops is owed, as one that stopped by itself.
        let interrupted = self.stop.is_some();
        let lost = (problem.clone(), interrupted);
        match name.kind {
            Kind::Run => self.records.remember_lost(&name.job, ran, lost)?,
            Kind::Drill => self.records.remember_lost_drill(&name.job, ran, lost)?,
        }
        write_metrics(&self.invocation, &self.configuration, &self.records)?;
        let ended = match interrupted {
            true => Ended::Interrupted,
            false => Ended::Badly,
        };
        Ok((ended, Some(problem)))
    }
}
