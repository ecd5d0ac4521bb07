//! `key rotate`: new keys for what is saved from now on.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::event::Ending;
use crate::repository::{Need, Rotation};
use serde_json::json;

/// Draws new keys, or says what that would do.
pub fn run(invocation: &Invocation, dry_run: bool) -> CommandResult<Report> {
    let (mut open, unlock) = invocation.open_repository_keeping_secret()?;
    open.repository
        .access()
        .check_allowed(Need::Administer, "key rotate")?;
    let rotation = match dry_run {
        true => open.repository.check_rotation()?,
        false => {
            let act = invocation.begin_key_change(&open)?;
            let rotated = open.repository.rotate_keys(&unlock);
            act.conclude(
                &open.repository,
                rotated.map_err(CommandError::from),
                |done| Ending::success(format!("rotated the keys: generation {}", done.generation)),
            )?
        }
    };
    let (would, had) = match dry_run {
        true => ("would draw", "would get"),
        false => ("drew", "have"),
    };
    let Rotation {
        generation,
        credentials,
        ref outside,
        resumes,
    } = rotation;
    let number = text::counted(credentials as u64, "credential");
    invocation.output.say(&format!(
        "{would} new keys (generation {generation}); {number} {had} them, all opened as before"
    ));
    if resumes {
        invocation
            .output
            .say("what an interrupted rotation had left is taken away");
    }
    if !outside.is_empty() {
        let names: Vec<String> = outside.iter().map(|name| text::line(name)).collect();
        let names = names.join(", ");
        invocation.output.remark(&format!(
            "Not rotated, because the keys of erasable domains are outside: {names}"
        ));
    }
    invocation.output.remark(
        "What was saved before stays under the old keys: who has those still reads it, and nothing \
         that is saved from now on",
    );
    Ok(Report::with(json!({
        "dry_run": dry_run,
        "generation": generation,
        "credentials": credentials,
        "not_rotated": outside,
        "resumed": resumes,
    })))
}
