//! No command at all: five verbs, and the state of what is in reach.

use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::repository::Repository;
use serde_json::json;

const VERBS: [(&str, &str); 5] = [
    ("icecore repo init -r REPO", "make a repository"),
    (
        "icecore snapshot PATH|sqlite:FILE",
        "save files, or a database while it is in use",
    ),
    ("icecore snapshots", "what there is"),
    ("icecore restore latest --target DIR", "bring it back"),
    (
        "icecore check --read-data",
        "prove that all of it can be read",
    ),
];

/// Shows the overview.
pub fn run(invocation: &Invocation) -> CommandResult<Report> {
    let output = &invocation.output;
    output.line(&format!(
        "icecore {} · consistent, encrypted, provable backups of databases and files",
        env!("CARGO_PKG_VERSION")
    ));
    output.line("");
    let rows: Vec<Vec<String>> = VERBS
        .iter()
        .map(|(command, meaning)| vec![format!("  {command}"), (*meaning).to_owned()])
        .collect();
    for line in text::table(&rows, &[]) {
        output.line(&line);
    }
    output.line("");
    let is_chosen =
        invocation.global.repo.is_some() || !matches!(invocation.configuration(), Ok(None));
    let state = match is_chosen {
        false => "no repository chosen: give -r REPO or set ICECORE_REPO".to_owned(),
        true => state(invocation).unwrap_or_else(|error| error.message()),
    };
    output.line(&state);
    output.line("All commands and options: icecore --help");
    Ok(Report::with(json!({ "state": state })))
}

/// What can be told without asking anybody for a passphrase.
fn state(invocation: &Invocation) -> CommandResult<String> {
    let opened = invocation.open_store()?;
    let config = Repository::config_of(&*opened.store)?;
    let name = format!(
        "repository {} at {}",
        config.repository.short(),
        invocation.place()?
    );
    if invocation.given()?.is_empty() {
        return Ok(format!(
            "{name} (locked: icecore snapshots asks for its passphrase)"
        ));
    }
    let open = invocation.open_repository()?;
    let set = invocation.list_snapshots(&open.repository)?;
    let visible = set.summaries().iter().filter(|summary| !summary.hidden);
    let newest = visible.clone().max_by_key(|summary| summary.captured);
    Ok(match newest {
        None => format!("{name}: no snapshots yet"),
        Some(newest) => format!(
            "{name}: {}, the newest {} of {}",
            text::counted(visible.count() as u64, "snapshot"),
            invocation.moment(newest.captured),
            text::line(&newest.source)
        ),
    })
}
