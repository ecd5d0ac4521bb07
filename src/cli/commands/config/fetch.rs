//! `config fetch`: the configuration that a run kept with the repository.

use crate::cli::commands::cat::content;
use crate::cli::commands::config::FetchArguments;
use crate::cli::commands::ls::member;
use crate::cli::configuration::FILE;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::files::{write_private, write_whole};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::config::TEXT_BYTES_MAX;
use crate::repository::Reader;
use crate::selector::CONFIG_SCHEME;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// Writes the newest one that was kept.
pub fn run(invocation: &Invocation, arguments: &FetchArguments) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let (list, _) = open.repository.list_snapshots()?;
    let wanted = arguments.name.as_ref();
    let wanted = wanted.map(|name| format!("{CONFIG_SCHEME}{name}"));
    let kept = list.visible.iter().filter(|snapshot| {
        let source = &snapshot.label.source;
        match &wanted {
            Some(wanted) => source == wanted,
            None => source.starts_with(CONFIG_SCHEME),
        }
    });
    let kept: Vec<_> = kept.collect();
    let names: BTreeSet<&str> = kept
        .iter()
        .filter_map(|snapshot| snapshot.label.source.strip_prefix(CONFIG_SCHEME))
        .collect();
    if names.len() > 1 {
        let mut error = CommandError::new(
            ErrorKind::Choice,
            "the repository keeps several configurations",
        );
        error.hints = names
            .iter()
            .map(|name| format!("icecore config fetch {name}"))
            .collect();
        return Err(error);
    }
    let newest = kept.iter().max_by_key(|snapshot| snapshot.label.captured);
    let Some(newest) = newest else {
        return Err(
            CommandError::usage("the repository keeps no such configuration")
                .hint("the first snapshot or run that uses one keeps it"),
        );
    };
    let index = invocation.open_index(&open.repository)?;
    let reader = Reader::new(&open.repository, &index);
    reader.follow(newest.id);
    let node = member(&reader, newest, FILE)?;
    let text = content(&reader, &node, TEXT_BYTES_MAX)?;
    let id = newest.id.short();
    match arguments.output.as_deref() {
        None if invocation.output.is_json() => {}
        None => {
            invocation.output.bytes(&text);
        }
        Some(path) => {
            let taken = invocation.moment(newest.label.captured);
            let verb = match arguments.dry_run.dry_run {
                true => "would write",
                false => "wrote",
            };
            if !arguments.dry_run.dry_run {
                write(path, &text, arguments.overwrite)?;
            }
            let shown = path.display();
            invocation.output.say(&format!(
                "{verb} {shown}, as it was {taken} (snapshot {id})"
            ));
        }
    }
    Ok(Report::with(json!({
        "snapshot_id": newest.id.to_string(),
        "taken": newest.label.captured.to_rfc3339(),
        "text": String::from_utf8_lossy(&text),
        "dry_run": arguments.dry_run.dry_run,
    })))
}

/// Writes a configuration, over another only if so wanted.
pub fn write(path: &Path, text: &[u8], overwrite: bool) -> CommandResult<()> {
    match overwrite {
        true => write_whole(path, text, 0o600),
        false => {
            write_private(path, text).map_err(|error| error.hint("or replace it with --overwrite"))
        }
    }
}
