//! From the words on the command line to sources, one plan for each snapshot.

use crate::archiver::Expectation;
use crate::cli::commands::snapshot::{ExcludeArguments, SnapshotArguments};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::place::Place;
use crate::source::environment::EnvironmentSource;
use crate::source::exclude::ExcludeRules;
use crate::source::files::FilesSource;
use crate::source::sqlite::{self, SqliteOptions, SqliteSource};
use crate::source::stream::{CommandSource, ReaderSource};
use crate::source::{Source, SourceError};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Schemes of sources that another version captures. What follows them may hold a password and is
/// never repeated.
const SCHEMES_UNKNOWN: [&str; 8] = [
    "postgres",
    "postgresql",
    "mysql",
    "redis",
    "rediss",
    "prometheus",
    "query",
    "mongodb",
];

/// One snapshot to be taken.
pub struct Plan<'i> {
    /// Identity of the source.
    pub source: String,
    /// Names at the root and the paths they come from.
    pub roots: Vec<(Vec<u8>, Vec<u8>)>,
    /// Files and directories it reads, to be compared with where the repository is.
    pub paths: Vec<PathBuf>,
    /// Whether content that cannot be read fails the snapshot.
    pub strict: bool,
    /// Whether it can be looked at without taking anything: not so for a pipe.
    pub can_be_tried: bool,
    /// Tags of this source besides those of all.
    pub tags: BTreeMap<String, String>,
    /// Labels of this source besides those of all.
    pub labels: BTreeMap<String, String>,
    /// Domain of this source instead of that of all.
    pub domain: Option<String>,
    /// What must be true of it.
    pub expectations: Vec<Expectation>,
    /// Opens it.
    pub open: Box<dyn FnMut() -> Result<Box<dyn Source>, SourceError> + 'i>,
}

impl<'i> Plan<'i> {
    /// A plan of one file or stream that is saved whole or not at all.
    fn strict(
        source: String,
        open: Box<dyn FnMut() -> Result<Box<dyn Source>, SourceError> + 'i>,
    ) -> Self {
        Self {
            source,
            roots: Vec::new(),
            paths: Vec::new(),
            strict: true,
            can_be_tried: false,
            tags: BTreeMap::new(),
            labels: BTreeMap::new(),
            domain: None,
            expectations: Vec::new(),
            open,
        }
    }
}

/// What is left out of trees.
#[derive(Debug, Clone, Default)]
pub struct Exclusions {
    /// Files of rules.
    pub files: Vec<PathBuf>,
    /// Rules, each with its reason.
    pub globs: Vec<(String, Option<String>)>,
    /// Directories with a file of such a name.
    pub if_present: Vec<OsString>,
    /// Directories marked with CACHEDIR.TAG.
    pub caches: bool,
    /// Whether each path is followed on its own file system only.
    pub one_file_system: bool,
}

impl From<&ExcludeArguments> for Exclusions {
    fn from(given: &ExcludeArguments) -> Self {
        let globs = given.exclude.iter().map(|glob| (glob.clone(), None));
        Self {
            files: given.exclude_file.clone(),
            globs: globs.collect(),
            if_present: given.exclude_if_present.clone(),
            caches: given.exclude_caches,
            one_file_system: given.one_file_system,
        }
    }
}

/// The plans for a command line.
pub fn plans<'i>(
    invocation: &'i Invocation,
    arguments: &'i SnapshotArguments,
) -> CommandResult<Vec<Plan<'i>>> {
    let mut plans = Vec::new();
    let mut paths = Vec::new();
    for word in &arguments.sources {
        match Word::parse(word)? {
            Word::StandardInput => plans.push(standard_input(invocation, arguments)?),
            Word::Sqlite(path) => plans.push(database(&path, arguments.compact)?),
            Word::Environment(names) => {
                let lookup: Lookup = Arc::new(|name| std::env::var_os(name));
                plans.push(environment(invocation, &names, lookup)?);
            }
            Word::Path(path) => match is_database(&path)? {
                true => plans.push(database(&path, arguments.compact)?),
                false => paths.push(path),
            },
        }
    }
    if !paths.is_empty() {
        plans.push(files(invocation, &paths, &(&arguments.exclude).into())?);
    }
    if let Some(name) = &arguments.exec {
        let (words, environment) = (arguments.command.clone(), Vec::new());
        plans.push(command(invocation, name, words, environment));
    }
    rename(arguments, &mut plans)?;
    Ok(plans)
}

/// What a word on the command line means.
enum Word {
    StandardInput,
    Sqlite(PathBuf),
    Environment(Vec<String>),
    Path(PathBuf),
}

impl Word {
    fn parse(word: &OsStr) -> CommandResult<Self> {
        let bytes = word.as_bytes();
        if bytes == b"-" {
            return Ok(Self::StandardInput);
        }
        if let Some(path) = bytes.strip_prefix(b"sqlite:") {
            return Ok(Self::Sqlite(OsString::from_vec(path.to_vec()).into()));
        }
        if let Some(names) = bytes.strip_prefix(b"env:") {
            let names = String::from_utf8_lossy(names);
            return Ok(Self::Environment(
                names.split(',').map(str::to_owned).collect(),
            ));
        }
        let scheme = bytes.split(|byte| *byte == b':').next().unwrap_or_default();
        let unknown = SCHEMES_UNKNOWN
            .iter()
            .find(|name| name.as_bytes() == scheme);
        match unknown {
            Some(scheme) if bytes.len() > scheme.len() => Err(CommandError::usage(format!(
                "this version of icecore cannot capture {scheme}: sources"
            ))
            .hint("run the engine's own dump: icecore snapshot --exec NAME -- pg_dump …")),
            _ => Ok(Self::Path(word.into())),
        }
    }
}

fn canonical(path: &Path) -> CommandResult<PathBuf> {
    path.canonicalize().map_err(|error| {
        CommandError::file("find", path, &error)
            .hint("nothing was saved: correct the path, or leave it out")
    })
}

fn is_database(path: &Path) -> CommandResult<bool> {
    let real = canonical(path)?;
    if !real.is_file() {
        return Ok(false);
    }
    sqlite::is_database(&real).map_err(|error| CommandError::file("read", path, &error))
}

/// A path as part of an identity.
fn shown(path: &Path) -> String {
    crate::cli::text::path(path.as_os_str().as_bytes())
}

fn name_of(path: &Path) -> Vec<u8> {
    path.file_name()
        .map_or_else(Vec::new, |name| name.as_bytes().to_vec())
}

/// A SQLite database.
pub fn database<'i>(path: &Path, compact: bool) -> CommandResult<Plan<'i>> {
    let real = canonical(path)?;
    let options = SqliteOptions {
        compact,
        ..SqliteOptions::default()
    };
    let identity = format!("sqlite:{}", shown(&real));
    let (roots, paths) = (
        vec![(name_of(&real), real.as_os_str().as_bytes().to_vec())],
        vec![real.clone()],
    );
    let open = move || {
        let source = SqliteSource::new(real.clone(), None, options);
        Ok(Box::new(source) as Box<dyn Source>)
    };
    Ok(Plan {
        roots,
        paths,
        can_be_tried: true,
        ..Plan::strict(identity, Box::new(open))
    })
}

/// Files and trees.
pub fn files<'i>(
    invocation: &'i Invocation,
    paths: &[PathBuf],
    exclusions: &Exclusions,
) -> CommandResult<Plan<'i>> {
    let mut real = paths
        .iter()
        .map(|path| canonical(path))
        .collect::<CommandResult<Vec<_>>>()?;
    real.sort();
    real.dedup();
    let rules = rules(invocation, exclusions, &real)?;
    let source = FilesSource::new(&real, Arc::clone(&invocation.clock))?;
    let roots = source.roots().iter();
    let roots = roots
        .map(|root| (root.name.clone(), root.path.as_os_str().as_bytes().to_vec()))
        .collect();
    let names: Vec<String> = real.iter().map(|path| shown(path)).collect();
    let clock = Arc::clone(&invocation.clock);
    let paths = real.clone();
    let one_file_system = exclusions.one_file_system;
    let cancel = invocation.cancel.clone();
    let open = move || {
        let cancel = cancel.clone();
        let source = FilesSource::new(&real, Arc::clone(&clock))?
            .exclude(rules.clone())
            .one_file_system(one_file_system)
            .open_database(Box::new(move |path| sqlite::open_for_tree(path, &cancel)));
        Ok(Box::new(source) as Box<dyn Source>)
    };
    Ok(Plan {
        roots,
        paths,
        strict: false,
        can_be_tried: true,
        ..Plan::strict(format!("files:{}", names.join(",")), Box::new(open))
    })
}

/// Files as they are, databases too, with what lies beside them: right only for what nothing has open.
pub fn raw_files<'i>(invocation: &'i Invocation, paths: &[PathBuf]) -> CommandResult<Plan<'i>> {
    let mut plan = files(invocation, paths, &Exclusions::default())?;
    let (clock, paths) = (&invocation.clock, plan.paths.clone());
    plan.open = Box::new(move || {
        let source = FilesSource::new(&paths, Arc::clone(clock))?;
        Ok(Box::new(source) as Box<dyn Source>)
    });
    Ok(plan)
}

/// What is left out: as asked for, and the repository itself, which would grow for ever.
fn rules(
    invocation: &Invocation,
    given: &Exclusions,
    paths: &[PathBuf],
) -> CommandResult<ExcludeRules> {
    let bad = |error| CommandError::usage(crate::explain::explain(&error));
    let mut rules = ExcludeRules::builder();
    for file in &given.files {
        rules.file(file).map_err(bad)?;
    }
    for (glob, reason) in &given.globs {
        rules.rule(glob, reason.as_deref()).map_err(bad)?;
    }
    for name in &given.if_present {
        rules.if_present(name.as_bytes()).map_err(bad)?;
    }
    if given.caches {
        rules.cache_directories();
    }
    let place = invocation.place().ok();
    let repository = place.as_ref().and_then(Place::directory);
    let own = [
        (repository.map(Path::to_owned), "the repository itself"),
        (invocation.cache_root(), "icecore's own cache"),
    ];
    for (directory, reason) in own {
        let Some(directory) = directory.and_then(|directory| directory.canonicalize().ok()) else {
            continue;
        };
        if paths.iter().any(|path| path.starts_with(&directory)) {
            return Err(CommandError::usage(format!(
                "{} is {reason}, which cannot be saved into itself",
                directory.display()
            )));
        }
        let inside = paths.iter().any(|path| directory.starts_with(path));
        if inside && let Some(text) = directory.to_str() {
            rules
                .rule(&globset::escape(text), Some(reason))
                .map_err(bad)?;
        }
    }
    rules.build().map_err(bad)
}

/// Looks up a variable.
pub type Lookup = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// Variables.
pub fn environment<'i>(
    invocation: &'i Invocation,
    names: &[String],
    lookup: Lookup,
) -> CommandResult<Plan<'i>> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    let source = move |names: &[String]| {
        let lookup = Arc::clone(&lookup);
        let lookup = Box::new(move |name: &str| lookup(name));
        EnvironmentSource::new(names, lookup, Arc::clone(&invocation.clock))
    };
    // A mistyped name is found before a repository is opened; its error hides what follows a `=`.
    source(&names)?;
    let identity = format!("env:{}", names.join(","));
    let open = move || Ok(Box::new(source(&names)?) as Box<dyn Source>);
    Ok(Plan {
        can_be_tried: true,
        ..Plan::strict(identity, Box::new(open))
    })
}

fn standard_input<'i>(
    invocation: &'i Invocation,
    arguments: &'i SnapshotArguments,
) -> CommandResult<Plan<'i>> {
    let name = arguments.name.as_deref().ok_or_else(|| {
        CommandError::usage("standard input needs a name")
            .hint("such as: icecore snapshot - --as dump.sql")
    })?;
    let read = || Ok(Box::new(std::io::stdin()) as Box<dyn std::io::Read + Send>);
    Ok(bytes(invocation, name.to_owned(), name, read))
}

/// One file of bytes that are at hand.
pub fn bytes<'i>(
    invocation: &'i Invocation,
    source: String,
    file: &'i str,
    read: impl Fn() -> Result<Box<dyn std::io::Read + Send>, SourceError> + 'i,
) -> Plan<'i> {
    let clock = &invocation.clock;
    let open = move || {
        let source = ReaderSource::new(file.as_bytes(), read()?, Arc::clone(clock))?;
        Ok(Box::new(source) as Box<dyn Source>)
    };
    Plan::strict(source, Box::new(open))
}

/// What a command prints.
pub fn command<'i>(
    invocation: &'i Invocation,
    file: &'i str,
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
) -> Plan<'i> {
    let clock = &invocation.clock;
    let open = move || {
        let source = CommandSource::new(
            file.as_bytes(),
            words.clone(),
            environment.clone(),
            Arc::clone(clock),
        )?;
        Ok(Box::new(source) as Box<dyn Source>)
    };
    Plan::strict(format!("exec:{file}"), Box::new(open))
}

/// `--as` names the source of the one snapshot.
fn rename(arguments: &SnapshotArguments, plans: &mut [Plan<'_>]) -> CommandResult<()> {
    let Some(name) = &arguments.name else {
        return Ok(());
    };
    match plans {
        [plan] => {
            plan.source = name.clone();
            Ok(())
        }
        _ => Err(CommandError::usage(format!(
            "--as names one source, and there are {}",
            plans.len()
        ))
        .hint("run icecore once for each")),
    }
}
