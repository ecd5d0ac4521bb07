//! The configuration file: where it is found, and what every command takes from it.

use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::place::Place;
use crate::cli::unlock::{Given, variable};
use crate::config::{self, Config, Overrides, Secret};
use crate::monitor::{Monitor, Silent};
use crate::source::dotenv;
use crate::store::{LOCK_MAX, LOCK_MIN, Lock, LockMode};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Name of the file in the working directory.
pub const FILE: &str = "icecore.toml";

/// Applications set this one for themselves: that no source takes it is no mistake.
const OF_APPLICATIONS: &str = "DATABASE_URL";

/// Longest file of variables that is read, bytes.
const ENV_FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration that was read.
pub struct Configuration {
    /// Where it is.
    pub path: PathBuf,
    /// The file.
    pub text: String,
    /// What it says.
    pub config: Config,
    /// What variables of the environment say besides.
    pub overrides: Overrides,
    /// Variables of its files, which are never saved.
    variables: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Configuration {
    /// Reads a file and the files of variables it names.
    pub fn load(path: &Path) -> CommandResult<Self> {
        Self::load_copy(path, path)
    }

    /// The same from a copy of the file; relative paths begin where `path` is.
    fn load_copy(copy: &Path, path: &Path) -> CommandResult<Self> {
        let text = std::fs::read_to_string(copy)
            .map_err(|error| CommandError::file("read", copy, &error).usage_kind())?;
        let config = Config::parse(&text).map_err(|error| {
            let lines = error.faults.iter().map(|fault| {
                let path = path.display();
                format!("\n  {path}:{fault}")
            });
            CommandError::usage(format!("{error}:{}", lines.collect::<String>()))
        })?;
        let mut configuration = Self {
            path: path.to_owned(),
            text,
            config,
            variables: BTreeMap::new(),
            overrides: Overrides::default(),
        };
        for file in &configuration.config.env_files {
            let path = configuration.resolved(file);
            let read = read_variables(&path)?;
            configuration.variables.extend(read);
        }
        let mut config = configuration.config.clone();
        let lookup = |name: &str| configuration.variable(name)?.into_string().ok();
        configuration.overrides = config::apply_overrides(&mut config, &lookup);
        configuration.config = config;
        Ok(configuration)
    }

    /// A path of the file: relative ones begin where the file is, so that a daemon and a shell
    /// mean the same.
    pub fn resolved(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(directory) if path.is_relative() => directory.join(path),
            _ => path.to_owned(),
        }
    }

    /// The title of reports and metrics.
    pub fn name(&self) -> &str {
        self.config.name.as_deref().unwrap_or("icecore")
    }

    /// A variable: of the environment, else of a file.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let from_file = || self.variables.get(name);
        let set = std::env::var_os(name).filter(|value| !value.is_empty());
        set.or_else(|| from_file().map(|value| OsString::from_vec(value.to_vec())))
    }

    /// All variables of files, for commands that are run for it.
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let named = self.variables.keys();
        let set = named.filter_map(|name| Some((name.into(), self.variable(name)?)));
        set.collect()
    }

    /// Whether a file of variables sets this one.
    pub fn is_of_file(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Says what variables of the environment changed, and which of them do not count.
    pub fn tell_overrides(&self, invocation: &Invocation) {
        for one in &self.overrides.all {
            let (variable, effect) = (one.variable, &one.effect);
            if one.counts {
                let said = format!("{variable} counts: {effect}");
                invocation
                    .ui
                    .log(crate::cli::log::Level::Info, "environment", &said, &[]);
            } else if variable != OF_APPLICATIONS {
                let said = format!("{variable} is set and does not count: {effect}");
                invocation.ui.warn(&said);
            }
        }
    }

    /// A job of the file.
    pub fn job(&self, name: &str) -> CommandResult<&config::Job> {
        let jobs = &self.config.jobs;
        jobs.get(name).ok_or_else(|| {
            let known: Vec<&str> = jobs.keys().map(String::as_str).collect();
            CommandError::usage(format!("there is no job {name:?}"))
                .hint(format!("it is one of {}", known.join(", ")))
        })
    }

    /// Where a repository of the file is.
    pub fn place(&self, repository: &config::Repository) -> CommandResult<Place> {
        let lock = repository.lock.map(locked).transpose()?;
        match Place::parse(&repository.url)? {
            Place::Directory(_) if lock.is_some() => Err(CommandError::usage(
                "lock is for repositories in buckets: a directory holds nothing fast",
            )
            .hint("take lock out, or keep a copy in a bucket with Object Lock")),
            Place::Directory(directory) => Ok(Place::Directory(self.resolved(&directory))),
            Place::Bucket(mut location) => {
                location.lock = lock.or(location.lock);
                Ok(Place::Bucket(location))
            }
        }
    }

    /// A secret as something to unlock with.
    pub fn given(&self, secret: &Secret) -> CommandResult<Given> {
        Ok(match secret {
            Secret::File(path) => Given {
                passphrase_file: Some(self.resolved(path)),
                ..Given::default()
            },
            Secret::Env(name) => Given {
                value: Some(Zeroizing::new(self.needed(name)?.into_vec())),
                ..Given::default()
            },
            Secret::Command(words) => Given {
                words: Some(words.clone()),
                variables: self.variables(),
                ..Given::default()
            },
            Secret::Fd(number) => Given {
                descriptor: Some(*number),
                ..Given::default()
            },
        })
    }

    /// A secret that is text, such as a URL or a password for another server.
    pub fn secret(&self, secret: &Secret, what: &str) -> CommandResult<Zeroizing<String>> {
        let bytes = self.given(secret)?.text(None, &Silent)?.unwrap_or_default();
        let text = std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\n', '\r']));
        match text {
            Ok(text) if !text.is_empty() => Ok(Zeroizing::new(text.to_owned())),
            Ok(_) => Err(CommandError::usage(format!(
                "{what} is empty, from {secret}"
            ))),
            Err(_) => Err(CommandError::usage(format!(
                "{what} is no text, from {secret}"
            ))),
        }
    }

    fn needed(&self, name: &str) -> CommandResult<OsString> {
        self.variable(name).ok_or_else(|| {
            CommandError::usage(format!("the variable {name} is not set"))
                .hint("set it, or name a file that sets it in env_files")
        })
    }
}

fn read_variables(path: &Path) -> CommandResult<Vec<(String, Zeroizing<Vec<u8>>)>> {
    let mut text = Zeroizing::new(Vec::new());
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(ENV_FILE_BYTES_MAX + 1).read_to_end(&mut text));
    read.map_err(|error| {
        CommandError::file("read", path, &error)
            .usage_kind()
            .hint("it is named in env_files of the configuration")
    })?;
    if text.len() as u64 > ENV_FILE_BYTES_MAX {
        return Err(CommandError::usage(format!(
            "{} is longer than {ENV_FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    let variables = dotenv::parse(&text)
        .map_err(|error| CommandError::usage(format!("{}: {error}", path.display())))?;
    let pairs = variables.into_iter();
    Ok(pairs
        .map(|variable| (variable.name, variable.value))
        .collect())
}

/// What looks like a path is one, whatever the configuration calls its repositories.
/// A lock of the file as the store takes it: a month has 31 days.
fn locked(lock: config::Lock) -> CommandResult<Lock> {
    let days = u64::from(lock.keep.months()) * 31;
    let keep = Duration::from_secs(lock.keep.seconds() + days * 24 * 60 * 60);
    if !(LOCK_MIN..=LOCK_MAX).contains(&keep) {
        let odd = CommandError::usage("lock.keep is a day at least and ten years at most");
        return Err(odd.hint("nobody can take back a compliance lock: 30d is usual"));
    }
    let mode = match lock.mode {
        config::LockMode::Compliance => LockMode::Compliance,
        config::LockMode::Governance => LockMode::Governance,
    };
    Ok(Lock { mode, keep })
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.starts_with('.')
}

/// The file that counts: the one that was given, else the first there is.
fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return Some(path.to_owned());
    }
    let own = variable("XDG_CONFIG_HOME").map(|(_, path)| PathBuf::from(path));
    let own = own.or_else(|| variable("HOME").map(|(_, home)| Path::new(&home).join(".config")));
    let candidates = [
        Some(PathBuf::from(FILE)),
        own.map(|directory| directory.join("icecore/config.toml")),
        Some(PathBuf::from("/etc/icecore/config.toml")),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file())
}

impl Invocation {
    /// The configuration, read once; `None` where there is no file.
    pub fn configuration(&self) -> CommandResult<Option<Arc<Configuration>>> {
        if let Some(known) = self.configuration.get() {
            return Ok(known.clone());
        }
        let path = find(self.global.config.as_deref());
        let absolute = path.map(|path| std::path::absolute(&path).unwrap_or(path));
        let copy = self.global.config_copy.as_deref();
        let loaded = absolute.map(|path| {
            let copy = copy.unwrap_or(&path);
            Configuration::load_copy(copy, &path).map(Arc::new)
        });
        let loaded = loaded.transpose()?;
        Ok(self.configuration.get_or_init(|| loaded).clone())
    }

    /// The configuration that a command cannot do without.
    pub fn needed_configuration(&self) -> CommandResult<Arc<Configuration>> {
        self.configuration()?.ok_or_else(|| {
            CommandError::usage("there is no configuration file")
                .hint("icecore config init writes one; or name it with --config")
        })
    }

    /// The repository that is meant, where the configuration knows it: by its name, or without any
    /// as the only one.
    pub fn configured(
        &self,
    ) -> CommandResult<Option<(Arc<Configuration>, String, config::Repository)>> {
        let name = self.global.repo.as_deref().filter(|name| !name.is_empty());
        if name.is_some_and(is_path) {
            return Ok(None);
        }
        let Some(configuration) = self.configuration()? else {
            return Ok(None);
        };
        let repositories = &configuration.config.repositories;
        let found = match name {
            Some(name) => repositories.get_key_value(name),
            None if repositories.len() > 1 => {
                let names: Vec<&str> = repositories.keys().map(String::as_str).collect();
                return Err(CommandError::usage("several repositories could be meant")
                    .hint(format!("give -r with one of {}", names.join(", "))));
            }
            None => repositories.first_key_value(),
        };
        let found = found.map(|(name, repository)| (name.clone(), repository.clone()));
        Ok(found.map(|(name, repository)| (configuration, name, repository)))
    }

    /// Looks at the repository that was given, else at every one of the configuration. Of these, one
    /// that cannot be looked at is told as not `counted`, and makes it exit code 3; where none could be,
    /// it is 1.
    pub fn look_at_each<T>(
        &self,
        counted: &str,
        look: impl Fn(&str, &Self) -> CommandResult<T>,
    ) -> CommandResult<(Vec<T>, Exit)> {
        let configuration = match self.global.repo {
            None => self.configuration()?,
            Some(_) => None,
        };
        let Some(configuration) = configuration else {
            let name = self.configured()?.map(|(_, name, _)| name);
            let name = name.as_deref().unwrap_or("repository");
            return Ok((vec![look(name, self)?], Exit::Done));
        };
        let (mut found, mut exit) = (Vec::new(), Exit::Done);
        for name in configuration.config.repositories.keys() {
            match look(name, &self.with_repository(name)) {
                Ok(one) => found.push(one),
                Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    let warning =
                        format!("repository {name} is not {counted}: {}", error.message());
                    self.ui.warn(&warning);
                    exit = Exit::Partial;
                }
            }
        }
        if found.is_empty() {
            exit = Exit::Failed;
        }
        Ok((found, exit))
    }

    /// The same run of the program as it is about another repository, of the configuration or not: one
    /// of the configuration has its own key and its own access.
    pub fn about(&self, name: &str) -> CommandResult<Self> {
        let mut other = self.clone();
        other.global.repo = Some(name.to_owned());
        match other.configured()? {
            Some(_) => Ok(self.with_repository(name)),
            None => Ok(other),
        }
    }

    /// The same run of the program, with a repository of the configuration. What was given to
    /// unlock another one does not count for it.
    pub fn with_repository(&self, name: &str) -> Self {
        let mut other = self.clone();
        if other.global.repo.as_deref() != Some(name) {
            other.global.repo = Some(name.to_owned());
            other.global.unlock = Default::default();
            other.own_key = true;
        }
        other
    }
}
