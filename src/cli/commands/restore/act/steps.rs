//! The numbered steps of a restore to the origin: shown while they go, and written down on this host,
//! so that also one that is killed leaves word of how far it came.

use crate::cli::commands::run::Records;
use crate::cli::commands::snapshot::capture::{host_name, user_name};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::monitor::Monitor;
use crate::units::clock;
use serde_json::{Map, Value, json};
use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Most records that are kept on one host.
const RECORDS_MAX: u32 = 999_999;

/// A step that did not do what it should.
pub struct Failed {
    /// Which.
    pub step: &'static str,
    /// Why.
    pub error: CommandError,
}

/// The steps of one restore.
pub struct Steps<'i> {
    invocation: &'i Invocation,
    total: usize,
    done: Vec<Value>,
    /// What is known of the whole act, for its record.
    facts: Map<String, Value>,
    /// Where it is written down.
    record: Option<PathBuf>,
    name: String,
}

impl<'i> Steps<'i> {
    /// Takes a name for the act, `r-0031`, that no other on this host has, and its record.
    pub fn begin(invocation: &'i Invocation, total: usize, facts: Value) -> Self {
        let place = Records::of_restores(invocation).map(|directory| take_name(&directory));
        let (name, record) = match place {
            Some(Ok((name, record))) => (name, Some(record)),
            other => {
                let why = match other {
                    Some(Err(error)) => error.message(),
                    _ => "HOME is not set; give --cache-dir".to_owned(),
                };
                invocation.ui.warn(&format!(
                    "this restore leaves no record on this host: {why}"
                ));
                (format!("r-{}", invocation.now().seconds()), None)
            }
        };
        let mut steps = Self {
            invocation,
            total,
            done: Vec::new(),
            facts: Map::new(),
            record,
            name,
        };
        steps.note("type", json!("restore"));
        steps.note("restore_id", json!(steps.name));
        steps.note("started", json!(invocation.now().to_rfc3339()));
        steps.note("host", json!(host_name()));
        steps.note("user", json!(user_name()));
        if let Value::Object(facts) = facts {
            steps.facts.extend(facts);
        }
        steps
    }

    /// What the act is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is written down.
    pub fn record(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    /// What was done so far, for scripts.
    pub fn described(&self) -> &[Value] {
        &self.done
    }

    /// Keeps a fact for the record.
    pub fn note(&mut self, name: &str, value: Value) {
        self.facts.insert(name.to_owned(), value);
    }

    /// Does a step, unless a stop was asked for; `work` also says what there is to tell of it.
    pub fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> CommandResult<(T, String)>,
    ) -> Result<T, Failed> {
        let interrupted = |error: crate::monitor::Interrupted| Failed {
            step: name,
            error: error.into(),
        };
        self.invocation.cancel.check().map_err(interrupted)?;
        self.always(name, work)
    }

    /// The same, although a stop may have been asked for.
    pub fn always<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> CommandResult<(T, String)>,
    ) -> Result<T, Failed> {
        self.note("step", json!(name));
        self.write();
        let started = Instant::now();
        let result = work();
        self.invocation.ui.clear();
        let (status, detail) = match &result {
            Ok((_, detail)) => ("ok", detail.clone()),
            Err(error) => ("failed", error.message()),
        };
        let took = started.elapsed();
        let number = self.done.len() + 1;
        let shown = match &result {
            Ok(_) => detail.as_str(),
            Err(_) => "",
        };
        let status_shown = if result.is_ok() { "ok" } else { "FAILED" };
        let total = self.total.max(number);
        let line = format!(
            "[{number}/{total}] {name:<16} {status_shown:<6} {:>5}   {shown}",
            clock(took)
        );
        let output = &self.invocation.output;
        output.say(line.trim_end());
        let described = json!({
            "name": name,
            "status": status,
            "seconds": took.as_secs_f64(),
            "detail": detail,
        });
        output.object("step", described.clone());
        output.flush();
        self.done.push(described);
        self.write();
        result
            .map(|(value, _)| value)
            .map_err(|error| Failed { step: name, error })
    }

    /// Writes down what is known. That it cannot be is told once, and stops nothing.
    pub fn write(&mut self) {
        let Some(record) = &self.record else { return };
        let mut facts = self.facts.clone();
        facts.insert("steps".to_owned(), json!(self.done));
        let text = format!("{:#}\n", Value::Object(facts));
        if let Err(error) = write_whole(record, text.as_bytes(), 0o600) {
            self.invocation.ui.warn(&error.message());
            self.record = None;
        }
    }
}

/// The next free name, and its empty record.
fn take_name(directory: &Path) -> CommandResult<(String, PathBuf)> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(|error| CommandError::file("create", directory, &error))?;
    let read = std::fs::read_dir(directory);
    let entries = read.map_err(|error| CommandError::file("read", directory, &error))?;
    let number = |name: &str| -> Option<u32> {
        name.strip_prefix("r-")?.strip_suffix(".json")?.parse().ok()
    };
    let taken = entries.flatten();
    let taken = taken.filter_map(|entry| number(entry.file_name().to_str()?));
    let mut next: u32 = taken.max().unwrap_or(0).saturating_add(1);
    while next <= RECORDS_MAX {
        let name = format!("r-{next:04}");
        let path = directory.join(format!("{name}.json"));
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => return Ok((name, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => next += 1,
            Err(error) => return Err(CommandError::file("create", &path, &error)),
        }
    }
    Err(
        CommandError::failed(format!("{} holds too many records", directory.display()))
            .hint("take away the oldest"),
    )
}
