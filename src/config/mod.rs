//! The configuration file: repositories, sources, jobs, notices.
//!
//! Pure: text in, values or mistakes out. Nothing here reads a file, a variable or a secret; a
//! secret is only ever named ([`Secret`]). Every key is known, or a mistake with line, column and
//! the nearest name.

mod error;
mod export;
mod job;
mod keep;
mod nearest;
mod notify;
mod overrides;
mod prices;
mod relations;
mod repository;
mod secret;
mod source;
#[cfg(test)]
mod tests;
mod value;

pub use error::{ConfigError, ConfigFault};
pub use export::{ExportPlan, Layout};
pub use job::{Check, Drill, Goals, Health, Job, JobKind, RestorePlan, Retry, Verify};
pub use notify::{Mail, MailSecurity, Notify, NotifyKind, Severity};
pub use overrides::{Override, Overrides, apply as apply_overrides, cipher_of};
pub use repository::{Credentials, IfAbsent, Lock, LockMode, Repository};
pub use secret::Secret;
pub use source::{Exclude, Expectation, Source, SourceKind, WalMode};

use crate::cost::Price;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::de::DeTable;
use value::{Faults, Problem, Table, Value};

/// The version of the file that is read.
pub const VERSION: u32 = 1;

/// Longest file that is read, bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Longest name of a repository, source, job or notice, bytes.
const NAME_BYTES_MAX: usize = 64;

/// A whole configuration. Tables are by name; paths are as written.
#[derive(Debug, Clone)]
pub struct Config {
    /// Title of reports and metrics; `icecore` without.
    pub name: Option<String>,
    /// Zone of schedules and reports; the system's without.
    pub timezone: Option<TimeZone>,
    /// Files of variables, read before anything is looked up, never saved.
    pub env_files: Vec<PathBuf>,
    /// Where snapshots go.
    pub repositories: BTreeMap<String, Repository>,
    /// What is captured.
    pub sources: BTreeMap<String, Source>,
    /// Which sources go to which repositories, and when.
    pub jobs: BTreeMap<String, Job>,
    /// Who is told.
    pub notify: BTreeMap<String, Notify>,
    /// What others watch.
    pub observe: Observe,
    /// What storing costs, by storage class or by a name of one's own.
    pub prices: BTreeMap<String, Price>,
}

/// What is written for those who watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observe {
    /// Textfile for node_exporter.
    pub metrics: Option<PathBuf>,
    /// Address to serve metrics at, such as `127.0.0.1:9899`.
    pub listen: Option<String>,
    /// What metric names begin with; the configuration's name without.
    pub prefix: Option<String>,
    /// Copy of the audit records as JSON lines.
    pub audit: Option<PathBuf>,
}

impl Config {
    /// Reads a configuration. The error lists every mistake that was found.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let faults = Faults::new(text);
        let config = read(text, &faults);
        let faults = faults.into_sorted();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(ConfigError { faults }),
        }
    }
}

fn read(text: &str, faults: &Faults<'_>) -> Option<Config> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = format!("the file is longer than {TEXT_BYTES_MAX} bytes");
        faults.add(0..0, Problem::new(problem));
        return None;
    }
    let parsed = match DeTable::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            faults.add(at, Problem::new(format!("not TOML: {}", error.message())));
            return None;
        }
    };
    let mut file = Table::new(String::new(), 0..0, parsed.get_ref(), faults);
    file.require("version", "1", |value| match value.count(0)? {
        VERSION => Ok(()),
        other => Err(Problem::new(format!(
            "version is {other}; this icecore reads version {VERSION}"
        ))),
    });
    let config = Config {
        name: file.take("name", |value| value.parsed(name)),
        timezone: file.take("timezone", zone),
        env_files: file
            .take("env_files", |value| Ok(value.list(path)))
            .unwrap_or_default(),
        repositories: tables(&mut file, "repository", repository::read),
        sources: tables(&mut file, "source", source::read),
        jobs: tables(&mut file, "job", job::read),
        notify: tables(&mut file, "notify", notify::read),
        observe: file
            .take("observe", |value| observe(value.table()?))
            .unwrap_or_default(),
        prices: tables(&mut file, "prices", prices::read),
    };
    relations::check(&config, &file);
    file.finish();
    Some(config)
}

/// The tables `[kind.NAME]`. One with a mistake may be missing in the result.
fn tables<T>(
    file: &mut Table<'_, '_>,
    kind: &'static str,
    read: impl Fn(&mut Table<'_, '_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    let all = file.take(kind, |value| {
        value.table().map_err(|_| {
            Problem::new(format!("{kind} is not a table"))
                .help(format!("write [{kind}.NAME] on a line of its own"))
        })
    });
    for (own_name, value) in all.iter().flat_map(Table::entries) {
        if let Err(problem) = name(&own_name) {
            value.faults.add(value.at.clone(), problem);
            continue;
        }
        match value.table() {
            Ok(mut table) => {
                let item = read(&mut table);
                table.finish();
                found.extend(item.map(|item| (own_name, item)));
            }
            Err(_) => {
                let problem = Problem::new(format!("{kind}.{own_name} is not a table"));
                let problem = problem.help(format!("write [{kind}.NAME] on a line of its own"));
                value.faults.add(value.at.clone(), problem);
            }
        }
    }
    found
}

fn observe(mut table: Table<'_, '_>) -> Result<Observe, Problem> {
    let observe = Observe {
        metrics: table.take("metrics", path),
        listen: table.take("listen", |value| {
            value.parsed(|text| match text.parse::<std::net::SocketAddr>() {
                Ok(_) => Ok(text.to_owned()),
                Err(_) => Err(Problem::new(format!(
                    "{text:?} is no address with a port, such as 127.0.0.1:9899"
                ))),
            })
        }),
        prefix: table.take("prefix", |value| value.parsed(prefix)),
        audit: table.take("audit", path),
    };
    table.finish();
    Ok(observe)
}

/// What a metric's name may begin with.
fn prefix(text: &str) -> Result<String, Problem> {
    let mut letters = text.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
    match first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => Ok(text.to_owned()),
        false => Err(Problem::new(format!(
            "{text:?} cannot begin a metric's name: letters, digits and _, a letter first"
        ))),
    }
}

/// A name that the user gives: it becomes a label, a file name, a word on a command line.
fn name(text: &str) -> Result<String, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match starts && text.chars().all(fits) && text.len() <= NAME_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(Problem::new(format!(
            "{:?} is no name: up to {NAME_BYTES_MAX} letters, digits, -, _ and ., a letter or digit \
             first",
            text.chars().take(NAME_BYTES_MAX).collect::<String>()
        ))),
    }
}

fn path(value: &Value<'_, '_>) -> Result<PathBuf, Problem> {
    Ok(PathBuf::from(value.text()?))
}

/// A command and its arguments; never a line for a shell.
fn command(value: &Value<'_, '_>) -> Result<Vec<String>, Problem> {
    if value.is_text() {
        return Err(Problem::new(format!(
            "{} is a line for a shell, and no shell is involved",
            value.name
        ))
        .help("write a list of words: [\"pg_dump\", \"--dbname\", \"app\"]"));
    }
    value.strict_list(Value::text)
}

fn zone(value: &Value<'_, '_>) -> Result<TimeZone, Problem> {
    value.parsed(|text| {
        TimeZone::get(text).map_err(|_| {
            Problem::new(format!("{text:?} is no time zone that is known"))
                .help("write its IANA name, such as Asia/Almaty or UTC")
        })
    })
}

/// Texts by the user's own names.
fn texts(value: &Value<'_, '_>) -> Result<BTreeMap<String, String>, Problem> {
    let mut texts = BTreeMap::new();
    for (key, entry) in value.table()?.entries() {
        match entry.text() {
            Ok(text) => drop(texts.insert(key, text)),
            Err(problem) => entry.faults.add(entry.at.clone(), problem),
        }
    }
    Ok(texts)
}
