//! The audit log as JSON lines: the copy at `observe.audit`, and what `audit show --json` prints.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::reporting::actor;
use crate::env::Timestamp;
use crate::event::{Actor, Event, Status};
use crate::format::audit::AuditEvent;
use crate::repository::Repository;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// One event as a line.
pub struct Line<'a> {
    /// What happened.
    pub event: &'a AuditEvent,
    /// Why it failed, in words.
    pub error: Option<&'a str>,
    /// Who did it.
    pub actor: &'a Actor,
    /// Zone of the time.
    pub zone: &'a TimeZone,
    /// Which repository, short.
    pub repository: Option<String>,
}

impl Line<'_> {
    /// The fields, always all of them: `null` is easier to filter than absence.
    pub fn fields(&self) -> Value {
        let event = self.event;
        let snapshot = event.snapshot.map(|id| id.to_string());
        let verified = event.verified.map(|verified| match verified {
            true => "ok",
            false => "failed",
        });
        json!({
            "timestamp": rfc3339(event.time, self.zone),
            "event": event.name,
            "status": Status::from(event.status).name(),
            "details": event.details,
            "backup_file": snapshot.as_ref().or(event.source.as_ref()),
            "snapshot_id": snapshot,
            "source": event.source,
            "job": event.job,
            "size": event.bytes,
            "location": event.location,
            "checksum": verified,
            "user": self.actor.user,
            "host": self.actor.host,
            "process": self.actor.process,
            "repository": self.repository,
            "error": self.error,
        })
    }
}

/// A moment with the offset of its zone.
pub fn rfc3339(moment: Timestamp, zone: &TimeZone) -> String {
    let zoned = moment.to_jiff().to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// Appends events to the file that the configuration names, if it names one.
pub(super) fn append(
    invocation: &Invocation,
    repository: Option<&Repository>,
    events: &[Event],
) -> CommandResult<()> {
    let configuration = invocation
        .configuration()
        .map_err(|error| error.within("the configuration says where, and cannot be read"))?;
    let Some(configuration) = configuration else {
        return Ok(());
    };
    let Some(path) = &configuration.config.observe.audit else {
        return Ok(());
    };
    let path = configuration.resolved(path);
    let actor = actor();
    let mut text = String::new();
    for event in events {
        let line = Line {
            event: &AuditEvent::from(event),
            error: event.error.as_deref(),
            actor: &actor,
            zone: &invocation.zone,
            repository: repository.map(|repository| repository.config().repository.short()),
        };
        text.push_str(&line.fields().to_string());
        text.push('\n');
    }
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(&path);
    // One write: lines of several processes do not mix.
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| CommandError::file("write", &path, &error))
}
