//! `key list`: who may do what.

use crate::cli::commands::key::kind_name;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::repository::{CredentialKind, Need};
use serde_json::json;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Lists credentials.
pub fn run(invocation: &Invocation) -> CommandResult<Report> {
    let open = invocation.open_repository_to(Need::Administer, "key list")?;
    let credentials = open.repository.credentials()?;
    let header = ["", "SLOT", "WRITER", "NAME", "MAY", "DOMAINS", "CREATED"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for credential in &credentials {
        let kind = kind_name(CredentialKind::of(credential.capabilities));
        let domains = match credential.domains.is_empty() {
            true => "all".to_owned(),
            false => text::line(&credential.domains.join(", ")),
        };
        rows.push(vec![
            if credential.current { "*" } else { "" }.to_owned(),
            credential.slot.short(),
            credential.writer.short(),
            text::line(&credential.label),
            kind.to_owned(),
            domains,
            invocation.moment(credential.created),
        ]);
        invocation.output.object(
            "credential",
            json!({
                "slot": credential.slot.to_string(),
                "writer": credential.writer.to_string(),
                "name": credential.label,
                "may": kind,
                "domains": credential.domains,
                "created": credential.created.to_rfc3339(),
                "current": credential.current,
            }),
        );
    }
    for line in text::table(&rows, &[]) {
        invocation.output.line(&line);
    }
    let drawn = open.repository.keys_drawn()?;
    let age = invocation.now().seconds() - drawn.since.seconds();
    let days = age.max(0) / SECONDS_A_DAY;
    invocation.output.line(&format!(
        "keys of generation {}, drawn {}{}; icecore key rotate draws new ones",
        drawn.generation,
        invocation.moment(drawn.since),
        match days {
            0 => String::new(),
            days => format!(" ({} ago)", text::counted(days.unsigned_abs(), "day")),
        },
    ));
    if drawn.is_unfinished {
        invocation
            .output
            .remark("A rotation of the keys was interrupted: icecore key rotate finishes it");
    }
    Ok(Report::with(json!({
        "credentials": credentials.len(),
        "key_generation": drawn.generation,
        "keys_drawn": drawn.since.to_rfc3339(),
        "keys_age_days": days,
        "rotation_unfinished": drawn.is_unfinished,
    })))
}
