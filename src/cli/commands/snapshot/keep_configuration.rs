//! Keeps the configuration with the repository, so that a new machine with the kit finds it there.

use crate::archiver::{Parent, Run};
use crate::cli::commands::snapshot::capture::{Common, request, take};
use crate::cli::commands::snapshot::plan;
use crate::cli::configuration::{Configuration, FILE};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::reporting::Duty;
use crate::event::{Activity, Ending, Event, Subject};
use crate::selector::CONFIG_SCHEME;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

/// Name of the file in the cache that says which configuration was kept last.
const MARK: &str = "configuration";

/// The identity of a configuration as a source.
pub fn identity(configuration: &Configuration) -> String {
    format!("{CONFIG_SCHEME}{}", configuration.name())
}

/// Takes a snapshot of the configuration file, if the repository is one of it and does not have it
/// as it is now. Without secrets by construction: the file only names where they are.
pub fn keep_configuration(
    invocation: &Invocation,
    open: &OpenRepository,
    run: &mut Run<'_>,
    common: &Common,
) -> CommandResult<()> {
    let Some((configuration, ..)) = invocation.configured()? else {
        return Ok(());
    };
    let source = identity(&configuration);
    let digest = blake3::hash(configuration.text.as_bytes()).to_hex();
    let mark = invocation.cache_directory(&open.repository);
    let mark = mark.map(|directory| directory.join(MARK));
    if is_kept(open, &source, mark.as_ref(), digest.as_str())? {
        return Ok(());
    }
    let text = configuration.text.clone().into_bytes();
    let read = move || Ok(Box::new(Cursor::new(text.clone())) as Box<dyn std::io::Read + Send>);
    let mut plan = plan::bytes(invocation, source, FILE, read);
    let own = Common {
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        captured: None,
        parent: Parent::Newest,
        ..common.clone()
    };
    let taken = take(
        invocation,
        run,
        &request(invocation, &own, &plan),
        &mut plan,
    );
    let taken = taken.map_err(|error| error.within("the configuration could not be kept"))?;
    let subject = Subject {
        snapshot: Some(taken.id),
        source: Some(taken.label.source.clone()),
        ..open.subject()
    };
    let end = Ending::success("changed, and kept").bytes(taken.label.totals.bytes);
    let event = Event::complete(invocation.now(), Activity::Config, &subject, end);
    let _told = invocation.report(Some(&open.repository), &[event], Duty::Miss);
    let kept = format!("kept the configuration as {}", taken.id.short());
    invocation.output.say(&kept);
    if let Some(mark) = mark {
        // A hint: without it the configuration is kept once more.
        let _unmarked = std::fs::write(mark, digest.as_str());
    }
    Ok(())
}

fn is_kept(
    open: &OpenRepository,
    source: &str,
    mark: Option<&PathBuf>,
    digest: &str,
) -> CommandResult<bool> {
    let marked = mark.and_then(|mark| std::fs::read_to_string(mark).ok());
    if marked.as_deref() != Some(digest) {
        return Ok(false);
    }
    let (list, _) = open
        .repository
        .list_snapshots()
        .map_err(CommandError::from)?;
    let mut visible = list.visible.iter();
    Ok(visible.any(|snapshot| snapshot.label.source == source))
}
