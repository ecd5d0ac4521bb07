//! From sources of the configuration to plans.

use crate::archiver::Expectation;
use crate::cli::commands::snapshot::plan::{self, Exclusions, Lookup, Plan};
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::config::{Job, Source, SourceKind};
use crate::env::Timestamp;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Where a command finds the day that it is to save, in the zone of the job.
const DATE_VARIABLE: &str = "ICECORE_DATE";

/// The plans of a job's sources as of a day, each with its name in the file. One that cannot be planned
/// does not stop the others.
pub fn plans<'i>(
    invocation: &'i Invocation,
    configuration: &'i Arc<Configuration>,
    job: &Job,
    day: Timestamp,
) -> Vec<(String, CommandResult<Plan<'i>>)> {
    let sources = job.sources.iter().filter_map(|name| {
        let source = configuration.config.sources.get(name)?;
        Some((name, source))
    });
    let plans = sources.map(|(name, source)| {
        let plan = plan_of(invocation, configuration, source, day);
        (name.clone(), plan.map(|plan| dressed(plan, source)))
    });
    plans.collect()
}

/// With what the file says of every kind of source.
fn dressed<'i>(mut plan: Plan<'i>, source: &Source) -> Plan<'i> {
    if let Some(name) = &source.name {
        plan.source = name.clone();
    }
    plan.tags = source.tags.clone();
    plan.labels = source.labels.clone();
    plan.domain = source.domain.clone();
    let expectations = source.expect.iter().map(|(table, expected)| Expectation {
        table: table.clone(),
        min_rows: expected.min_rows,
        max_drop: expected.max_drop,
    });
    plan.expectations = expectations.collect();
    plan
}

fn plan_of<'i>(
    invocation: &'i Invocation,
    configuration: &'i Arc<Configuration>,
    source: &'i Source,
    day: Timestamp,
) -> CommandResult<Plan<'i>> {
    match &source.kind {
        SourceKind::Sqlite { path, compact } => {
            plan::database(&configuration.resolved(path), *compact)
        }
        SourceKind::Files { paths, .. } => {
            let paths: Vec<_> = paths
                .iter()
                .map(|path| configuration.resolved(path))
                .collect();
            let exclusions = exclusions(&source.kind).unwrap_or_default();
            plan::files(invocation, &paths, &exclusions)
        }
        SourceKind::Command { command, file } => {
            let words = command.iter().map(OsString::from).collect();
            let mut variables = configuration.variables();
            let local = day.to_jiff().to_zoned(invocation.zone.clone()).date();
            variables.push((DATE_VARIABLE.into(), local.to_string().into()));
            Ok(plan::command(invocation, file, words, variables))
        }
        SourceKind::Environment { names } => {
            let configuration = Arc::clone(configuration);
            let lookup: Lookup = Arc::new(move |name| configuration.variable(name));
            plan::environment(invocation, names, lookup)
        }
        other => Err(CommandError::usage(format!(
            "this version of icecore cannot capture {}",
            other.name()
        ))
        .hint("save what its own dump prints: a source of type \"command\"")),
    }
}

/// What a source of files leaves out; `None` for one of another kind.
pub fn exclusions(kind: &SourceKind) -> Option<Exclusions> {
    let SourceKind::Files {
        exclude,
        exclude_if_present,
        exclude_caches,
        one_file_system,
        ..
    } = kind
    else {
        return None;
    };
    let globs = exclude.iter();
    Some(Exclusions {
        files: Vec::new(),
        globs: globs
            .map(|exclude| (exclude.glob.clone(), exclude.reason.clone()))
            .collect(),
        if_present: exclude_if_present.iter().map(OsString::from).collect(),
        caches: *exclude_caches,
        one_file_system: *one_file_system,
    })
}

/// The identities that a job's sources have as snapshots, each with its name in the file; also of
/// those that are gone, so that their snapshots are found.
pub fn identities(configuration: &Configuration, job: &Job) -> Vec<(String, String)> {
    let shown = |path: &Path| {
        let path = configuration.resolved(path);
        let real = path.canonicalize().unwrap_or(path);
        text::path(real.as_os_str().as_bytes())
    };
    let sources = job.sources.iter().filter_map(|name| {
        let source = configuration.config.sources.get(name)?;
        let identity = match (&source.name, &source.kind) {
            (Some(own), _) => own.clone(),
            (None, SourceKind::Sqlite { path, .. }) => format!("sqlite:{}", shown(path)),
            (None, SourceKind::Files { paths, .. }) => {
                let mut paths: Vec<String> = paths.iter().map(|path| shown(path)).collect();
                paths.sort();
                paths.dedup();
                format!("files:{}", paths.join(","))
            }
            (None, SourceKind::Command { file, .. }) => format!("exec:{file}"),
            (None, SourceKind::Environment { names }) => {
                let mut names = names.clone();
                names.sort();
                names.dedup();
                format!("env:{}", names.join(","))
            }
            (None, _) => return None,
        };
        Some((name.clone(), identity))
    });
    sources.collect()
}
