//! Where things go.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::text;
use crate::format::snapshot::SnapshotBody;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A part of a snapshot and its target.
pub struct Place {
    /// Path inside the snapshot; empty for all of it.
    pub path: Vec<u8>,
    /// Where it goes.
    pub target: PathBuf,
}

/// Back to where everything, or the one path that is wanted, was captured from.
pub fn origins(body: &SnapshotBody, wanted: &[u8]) -> CommandResult<Vec<Place>> {
    if body.roots.is_empty() {
        return Err(CommandError::usage(
            "the snapshot came from a stream or the environment: it has no place to go back to",
        )
        .hint("give --target PATH"));
    }
    let mut places = Vec::new();
    for (name, origin) in &body.roots {
        let origin = PathBuf::from(OsString::from_vec(origin.to_vec()));
        let name = name.as_slice();
        let below = wanted.strip_prefix(name);
        let target = match below {
            _ if wanted.is_empty() || wanted == name => origin.clone(),
            Some([b'/', rest @ ..]) => origin.join(std::ffi::OsStr::from_bytes(rest)),
            _ => continue,
        };
        let path = match wanted.is_empty() {
            true => name.to_vec(),
            false => wanted.to_vec(),
        };
        places.push(Place {
            target: containing(&path, &target)?,
            path,
        });
    }
    match places.is_empty() {
        true => Err(CommandError::usage(format!(
            "there is no {} in the snapshot",
            text::path(wanted)
        ))),
        false => Ok(places),
    }
}

/// The directory to restore into, so that what is restored gets its own name back.
fn containing(path: &[u8], target: &Path) -> CommandResult<PathBuf> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let same = target
        .file_name()
        .is_some_and(|last| last.as_bytes() == name);
    match target.parent() {
        Some(parent) if same => Ok(parent.to_owned()),
        _ => Err(CommandError::usage(format!(
            "{} is called {} in the snapshot and cannot go back by itself",
            target.display(),
            text::path(name)
        ))
        .hint("give --target PATH")),
    }
}

/// A harmless target to suggest.
pub fn suggestion(source: &str) -> String {
    let short = text::short_source(source);
    let name = short.rsplit([':', ',']).next().unwrap_or_default();
    format!("./restored-{name}")
}
