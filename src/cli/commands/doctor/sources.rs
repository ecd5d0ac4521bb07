//! Preconditions of sources: there, readable, and what their commands need.

use crate::cli::commands::doctor::Looked;
use crate::cli::configuration::Configuration;
use crate::cli::rule_321::volatile;
use crate::config::{Source, SourceKind};
use crate::monitor::Cancel;
use crate::source::sqlite::look_into;
use std::path::{Path, PathBuf};

/// Looks at one source.
pub fn look(configuration: &Configuration, name: &str, source: &Source, cancel: &Cancel) -> Looked {
    let mut looked = Looked::of(format!("source {name}"));
    match &source.kind {
        SourceKind::Sqlite { path, .. } => {
            database(&mut looked, &configuration.resolved(path), cancel)
        }
        SourceKind::Files { paths, .. } => {
            for path in paths {
                files(&mut looked, &configuration.resolved(path));
            }
        }
        SourceKind::Command { command, .. } => {
            let program = command.first().map_or("", String::as_str);
            match find_program(program) {
                Ok(found) => looked.ok("command", found.display().to_string()),
                Err(why) => looked.failed("command", why, "install it, or give its whole path"),
            }
        }
        SourceKind::Environment { names } => {
            let unset = names
                .iter()
                .filter(|name| configuration.variable(name).is_none());
            let unset: Vec<&str> = unset.map(String::as_str).collect();
            match unset.is_empty() {
                true => looked.ok("variables", format!("{} set", names.len())),
                false => looked.failed(
                    "variables",
                    format!("not set: {}", unset.join(", ")),
                    "set them, or name a file that sets them in env_files",
                ),
            }
        }
        other => looked.failed(
            "kind",
            format!("this version of icecore cannot capture {}", other.name()),
            "save what its own dump prints: a source of type \"command\"",
        ),
    }
    looked
}

fn database(looked: &mut Looked, path: &Path, cancel: &Cancel) {
    let shown = path.display();
    match look_into(path, cancel) {
        Ok(tables) => looked.ok("database", format!("{shown} opens, {tables} tables")),
        Err(error) => looked.failed(
            "database",
            format!("{shown}: {}", crate::explain::explain(&error)),
            "look at its path, at who runs icecore, and at sqlite3 FILE 'pragma integrity_check'",
        ),
    }
    // A live database in WAL mode is read through files beside it.
    if let Some(parent) = path.parent()
        && path.exists()
        && let Err(error) = super::host::writable(parent)
    {
        looked.attention(
            "database",
            format!("{} cannot be written: {error}", parent.display()),
            "a database in WAL mode that no program has open cannot be read then; let icecore write there",
        );
    }
    tell_volatile(looked, path);
}

fn files(looked: &mut Looked, path: &Path) {
    let shown = path.display();
    let read = match path.is_dir() {
        true => std::fs::read_dir(path).map(drop),
        false => std::fs::File::open(path).map(drop),
    };
    match read {
        Ok(()) => looked.ok("readable", shown.to_string()),
        Err(error) => looked.failed(
            "readable",
            format!("{shown}: {error}"),
            "look at its path, and at who runs icecore",
        ),
    }
    tell_volatile(looked, path);
}

fn tell_volatile(looked: &mut Looked, path: &Path) {
    if let Some(why) = volatile(path) {
        looked.attention(
            "place",
            format!("{} is volatile ({why})", path.display()),
            "data that matters belongs to a place that stays",
        );
    }
}

/// Where a program is.
pub(super) fn find_program(program: &str) -> Result<PathBuf, String> {
    let runs = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if program.contains('/') {
        let path = PathBuf::from(program);
        return match runs(&path) {
            true => Ok(path),
            false => Err(format!("{program} is no program that can be run")),
        };
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|path| path.join(program));
    found
        .find(|path| runs(path))
        .ok_or_else(|| format!("{program} is not in PATH"))
}
