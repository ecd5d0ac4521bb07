//! `cache`: what is kept locally and can be rebuilt from the repository at any time.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::repository::{HOST_KEYS, Repository};
use crate::units::bytes;
use clap::Subcommand;
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show where it is and how large
    Info,
    /// Drop it; the next command reads the index anew. A write-only host's own key stays
    Clear(DryRunArgument),
}

/// Shows or drops the cache of the repository. Needs no key.
pub fn run(invocation: &Invocation, command: &CacheCommand) -> CommandResult<Report> {
    let directory = directory(invocation)?;
    let size =
        size(&directory).map_err(|error| CommandError::file("look into", &directory, &error))?;
    let place = directory.display();
    if let CacheCommand::Clear(DryRunArgument { dry_run: true }) = command {
        invocation
            .output
            .say(&format!("would clear {} at {place}", bytes(size)));
    } else if let CacheCommand::Clear(_) = command {
        clear(&directory).map_err(|error| CommandError::file("remove", &directory, &error))?;
        invocation
            .output
            .say(&format!("cleared {} at {place}", bytes(size)));
    } else {
        invocation
            .output
            .line(&format!("{} at {place}", bytes(size)));
    }
    Ok(Report::with(
        json!({ "directory": place.to_string(), "bytes": size }),
    ))
}

/// Removes everything but the keys of this host: without them a write-only host could not find again
/// what it stored, and would store all of it once more.
fn clear(directory: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut is_empty = true;
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == HOST_KEYS {
            is_empty = false;
        } else if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    match is_empty {
        true => std::fs::remove_dir(directory),
        false => Ok(()),
    }
}

fn directory(invocation: &Invocation) -> CommandResult<PathBuf> {
    let opened = invocation.open_store()?;
    let config = Repository::config_of(&*opened.store)?;
    let root = invocation.cache_root().ok_or_else(|| {
        CommandError::failed("there is no cache: HOME is not set").hint("give --cache-dir")
    })?;
    Ok(root.join(config.repository.to_string()))
}

/// Bytes of the files below a directory; 0 where there is none.
fn size(directory: &Path) -> std::io::Result<u64> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut total = 0;
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += match metadata.is_dir() {
            true => size(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(total)
}
