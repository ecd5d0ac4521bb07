//! `snapshot --dry-run`: walks and counts, stores nothing.

use crate::cli::commands::snapshot::plan::Plan;
use crate::cli::commands::snapshot::screen::left_out;
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::entry::{ChangeStamp, Entry, EntryKind};
use crate::monitor::{Monitor, Unit};
use crate::source::{
    CaptureError, Content, Context, Exclusion, Problem, Sink, SinkError, SourceError,
};
use crate::units::bytes;
use serde_json::json;

/// Counts what a source would give, and opens nothing.
#[derive(Default)]
struct Counting {
    files: u64,
    directories: u64,
    bytes: u64,
    exclusions: Vec<Exclusion>,
    problems: Vec<Problem>,
}

impl Sink for Counting {
    fn enter(&mut self, _: Entry) -> Result<(), SinkError> {
        self.directories += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn special(&mut self, _: Entry) -> Result<(), SinkError> {
        Ok(())
    }

    fn file(
        &mut self,
        entry: Entry,
        _: Option<ChangeStamp>,
        _: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError> {
        self.files += 1;
        if let EntryKind::File { size } = entry.kind {
            self.bytes = self.bytes.saturating_add(size);
        }
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn excluded(&mut self, exclusion: Exclusion) {
        self.exclusions.push(exclusion);
    }
}

/// Says what would be saved. Needs no repository.
pub fn run(invocation: &Invocation, plans: &mut [Plan<'_>]) -> CommandResult<Report> {
    let mut exit = Exit::Done;
    let mut sources = Vec::new();
    for plan in plans {
        let source = text::short_source(&plan.source);
        if !plan.can_be_tried {
            invocation
                .output
                .line(&format!("would save {source}: known only once it is read"));
            sources.push(json!({ "source": plan.source }));
            continue;
        }
        invocation.ui.phase("looking", Unit::Items, None);
        let mut counting = Counting::default();
        let context = Context {
            monitor: &*invocation.ui,
            cancel: &invocation.cancel,
        };
        let captured = (plan.open)()?.capture(&context, &mut counting);
        invocation.ui.clear();
        match captured {
            Ok(()) => {}
            Err(CaptureError::Source(error)) => return Err(error.into()),
            Err(CaptureError::Interrupted(error)) => return Err(error.into()),
            Err(CaptureError::Sink(error)) => {
                return Err(crate::cli::error::CommandError::failed(error));
            }
        }
        let files = text::counted(counting.files, "file");
        let mut parts = vec![format!(
            "would save {source}   {files}, {}",
            bytes(counting.bytes)
        )];
        parts.extend(left_out(&counting.exclusions));
        invocation.output.line(&parts.join("   "));
        for exclusion in &counting.exclusions {
            if invocation.global.verbose > 0 {
                let path = text::path(&exclusion.path);
                let rule = text::line(&exclusion.rule);
                invocation
                    .output
                    .line(&format!("  left out {path}   rule {rule}"));
            }
        }
        for problem in &counting.problems {
            exit = Exit::Partial;
            let path = text::path(&problem.path);
            invocation
                .ui
                .warn(&format!("cannot read {path}: {}", problem.message));
        }
        sources.push(json!({
            "source": plan.source,
            "files": counting.files,
            "directories": counting.directories,
            "bytes": counting.bytes,
            "problems": counting.problems.len(),
        }));
    }
    invocation.output.say("nothing was written");
    Ok(Report::with(json!({ "dry_run": true, "sources": sources })).exit(exit))
}
