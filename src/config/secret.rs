//! Where secrets come from. The file never holds one.

use crate::config::value::{Problem, Value};
use crate::config::{command, path};
use std::fmt;
use std::path::PathBuf;

/// Where a secret is read from, when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file.
    File(PathBuf),
    /// A variable.
    Env(String),
    /// What a command prints; no shell is involved.
    Command(Vec<String>),
    /// An open file descriptor.
    Fd(u32),
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "variable {name}"),
            // Its arguments may be telling.
            Self::Command(words) => write!(f, "command {}", words.first().map_or("", |w| w)),
            Self::Fd(number) => write!(f, "file descriptor {number}"),
        }
    }
}

/// Reads `{ file | env | command | fd }`, exactly one.
pub(super) fn secret(value: &Value<'_, '_>) -> Result<Secret, Problem> {
    if value.is_text() {
        // The text itself is not repeated: it is a secret that stands where others read it.
        return Err(Problem::new(format!(
            "{} is written out, and a secret does not belong in this file",
            value.name
        ))
        .help("write { file = … }, { env = … }, { command = [ … ] } or { fd = … }, and change that secret"));
    }
    let mut table = value.table()?;
    let found = [
        table.take("file", path).map(Secret::File),
        table
            .take("env", |value| value.parsed(variable))
            .map(Secret::Env),
        table.take("command", command).map(Secret::Command),
        table.take("fd", |value| value.count(0)).map(Secret::Fd),
    ];
    let given = ["file", "env", "command", "fd"];
    let given = given.iter().filter(|key| table.contains(key)).count();
    table.finish();
    let first = found.into_iter().flatten().next();
    match (given, first) {
        (1, Some(secret)) => Ok(secret),
        (0, _) => Err(Problem::new(format!("{} says no source", value.name))
            .help("write { file = … }, { env = … }, { command = [ … ] } or { fd = … }")),
        (1, None) => Err(Problem::new(format!("{} cannot be used", value.name))),
        _ => Err(
            Problem::new(format!("{} says more than one source", value.name))
                .help("leave all but one out"),
        ),
    }
}

/// A variable's name.
pub(super) fn variable(text: &str) -> Result<String, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match starts && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        // Whoever mixes up name and value must not find the value in a log.
        false => Err(Problem::new("this is no variable's name")
            .help("write the name alone, such as BACKUP_KEY")),
    }
}
