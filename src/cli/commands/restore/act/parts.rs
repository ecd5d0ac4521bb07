//! What is restored to its origin: one snapshot, or the newest of each source of a job.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::restore::chosen::Chosen;
use crate::cli::commands::restore::place::{Place, origins};
use crate::cli::commands::restore::{RestoreArguments, Task};
use crate::cli::commands::run::{exclusions, identities};
use crate::cli::commands::snapshot::plan::Exclusions;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::Invocation;
use crate::cli::listing::SnapshotSet;
use crate::cli::text;
use crate::config::Job;
use crate::entry::{Fact, Facts};
use crate::format::snapshot::SnapshotBody;
use crate::repository::Snapshot;
use crate::selector::{SAFETY_SCHEME, Selector, source_matches};
use crate::source::sqlite::{is_database, keys};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One snapshot and where it goes.
pub struct Part<'s> {
    /// The snapshot.
    pub snapshot: &'s Snapshot,
    /// The path in it that is wanted; empty for all.
    pub path: Vec<u8>,
    /// Where everything goes.
    pub places: Vec<Place>,
    /// What of it is wanted; the error is damage that `--fallback` may make good.
    pub chosen: CommandResult<Chosen>,
    /// Whether it is one SQLite database and nothing else.
    pub is_database: bool,
    /// What captures of this source leave out.
    pub exclusions: Exclusions,
    /// Paths inside the snapshot that were left out of it.
    pub left_out: Vec<Vec<u8>>,
}

impl<'s> Part<'s> {
    /// Looks into a snapshot, and finds where it came from.
    pub fn new(
        task: &Task<'_>,
        snapshot: &'s Snapshot,
        configured: Option<(&Configuration, &Job)>,
    ) -> CommandResult<Self> {
        let Task {
            invocation,
            arguments,
            reader,
            path,
            ..
        } = *task;
        let chosen = match Chosen::new(invocation, reader, snapshot, path, arguments) {
            Err(error) if task.falls_back(&error) => Err(error),
            other => Ok(other?),
        };
        let body = snapshot.body(reader.repository())?;
        let places = origins(&body, path)?;
        let known = configured.and_then(|(configuration, job)| {
            known_exclusions(configuration, job, source_of(snapshot))
        });
        Ok(Self {
            snapshot,
            path: path.to_vec(),
            is_database: matches!(places.as_slice(), [only] if has_database(&body, &only.path)),
            places,
            chosen,
            exclusions: known.unwrap_or_else(|| recorded_exclusions(&body)),
            left_out: body
                .exclusions
                .into_iter()
                .map(|one| one.0.into())
                .collect(),
        })
    }

    /// The paths that it is restored to.
    pub fn origins(&self) -> Vec<PathBuf> {
        self.places.iter().map(Place::origin).collect()
    }

    /// The source as people name it.
    pub fn name(&self) -> String {
        text::short_source(source_of(self.snapshot))
    }

    /// Databases that are there now, by their headers.
    pub fn databases_there(&self) -> Vec<PathBuf> {
        let mut there = self.origins();
        there.retain(|path| path.is_file() && is_database(path).unwrap_or(false));
        there
    }
}

/// The source of a snapshot; of a safety snapshot, that of what was saved by it.
pub fn source_of(snapshot: &Snapshot) -> &str {
    let source = &snapshot.label.source;
    source.strip_prefix(SAFETY_SCHEME).unwrap_or(source)
}

fn has_database(body: &SnapshotBody, path: &[u8]) -> bool {
    let mut facts = body.facts.iter();
    let found = facts.find(|(of, _)| of.as_slice() == path);
    found.is_some_and(|(_, facts)| {
        let facts: Facts = facts.clone().into();
        facts.get(keys::ENGINE) == Some(&Fact::Text("sqlite".to_owned()))
    })
}

/// What the configuration leaves out of a source.
fn known_exclusions(
    configuration: &Configuration,
    job: &Job,
    identity: &str,
) -> Option<Exclusions> {
    let sources = identities(configuration, job);
    let (name, _) = sources.iter().find(|(_, own)| own == identity)?;
    exclusions(&configuration.config.sources.get(name)?.kind)
}

/// What a snapshot says that it left out. Names of rules that are no globs match nothing.
fn recorded_exclusions(body: &SnapshotBody) -> Exclusions {
    let mut globs: Vec<(String, Option<String>)> = Vec::new();
    for (_, rule, reason, ..) in &body.exclusions {
        if !globs.iter().any(|(known, _)| known == rule) {
            globs.push((rule.clone(), reason.clone()));
        }
    }
    Exclusions {
        globs,
        ..Exclusions::default()
    }
}

/// The snapshots that are meant. Sources without an origin are named and left out.
pub fn wanted<'s>(
    invocation: &Invocation,
    arguments: &RestoreArguments,
    set: &'s SnapshotSet,
    configured: Option<(&Configuration, &str)>,
) -> CommandResult<Vec<&'s Snapshot>> {
    if let Some(wanted) = &arguments.snapshot {
        let found = invocation.resolve_path(set, wanted, &arguments.selection, "restore")?;
        return Ok(vec![found]);
    }
    let Some((configuration, name)) = configured else {
        return Err(CommandError::usage("give one job, or a snapshot"));
    };
    let job = configuration.job(name)?;
    let asked = &arguments.selection.source;
    let mut snapshots = Vec::new();
    let mut homeless = Vec::new();
    let mut names = Vec::new();
    for (source, identity) in identities(configuration, job) {
        names.push(source.clone());
        let is_asked = |wanted: &String| *wanted == source || source_matches(&identity, wanted);
        if !asked.is_empty() && !asked.iter().any(is_asked) {
            continue;
        }
        let kind = configuration
            .config
            .sources
            .get(&source)
            .map(|one| &one.kind);
        if !kind.is_some_and(crate::config::SourceKind::has_origin) {
            homeless.push(source);
            continue;
        }
        let selection = SelectionArguments {
            source: vec![identity],
            job: vec![name.to_owned()],
            ..arguments.selection.clone()
        };
        let latest = Selector::Latest { back: 0 };
        let command = format!("restore --to-origin --job {}", text::quoted(name));
        let found = invocation.resolve(set, &latest, &selection, &command);
        snapshots.push(found.map_err(|error| error.within(&format!("source {source}")))?);
    }
    if !homeless.is_empty() {
        invocation.output.remark(&format!(
            "{} came from no place that could be restored: icecore restore SNAP --target PATH",
            homeless.join(", ")
        ));
    }
    match snapshots.is_empty() {
        true => Err(CommandError::new(
            ErrorKind::Usage,
            format!("job {name} has no such source with an origin"),
        )
        .hint(format!("its sources are {}", names.join(", ")))),
        false => Ok(snapshots),
    }
}

impl Place {
    /// The path that it becomes.
    pub fn origin(&self) -> PathBuf {
        let name = self.path.rsplit(|byte| *byte == b'/').next();
        let name = name.filter(|name| !name.is_empty());
        let into = self.into();
        name.map_or_else(|| into.clone(), |name| into.join(OsStr::from_bytes(name)))
    }
}

impl Part<'_> {
    /// Whether a path inside the snapshot, or something above it, was left out of it.
    pub fn is_left_out(&self, path: &[u8]) -> bool {
        self.left_out.iter().any(|left| {
            let below = path.strip_prefix(left.as_slice());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }
}
