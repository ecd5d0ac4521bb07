//! Where things go.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::text;
use crate::format::snapshot::SnapshotBody;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// A part of a snapshot and its target.
pub struct Place {
    /// Path inside the snapshot; empty for all of it.
    pub path: Vec<u8>,
    /// Where it goes.
    pub target: PathBuf,
    /// Directories made below it first.
    pub below: Vec<Vec<u8>>,
}

impl Place {
    /// A part of a snapshot that goes to `target` itself.
    pub fn new(path: &[u8], target: &Path) -> Self {
        Self {
            path: path.to_vec(),
            target: target.to_owned(),
            below: Vec::new(),
        }
    }

    /// The directory or file that it is restored into.
    pub fn into(&self) -> PathBuf {
        let below = self.below.iter().map(|name| OsStr::from_bytes(name));
        let mut into = self.target.clone();
        into.extend(below);
        into
    }
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
            Some([b'/', rest @ ..]) => origin.join(OsStr::from_bytes(rest)),
            _ => continue,
        };
        let path = match wanted.is_empty() {
            true => name.to_vec(),
            false => wanted.to_vec(),
        };
        places.push(Place::new(&path, &containing(&path, &target)?));
    }
    match places.is_empty() {
        true => Err(CommandError::usage(format!(
            "there is no {} in the snapshot",
            text::path(wanted)
        ))),
        false => Ok(places),
    }
}

/// Below `target`, under the whole path that everything was captured from.
pub fn absolute(body: &SnapshotBody, wanted: &[u8], target: &Path) -> CommandResult<Vec<Place>> {
    let below = |origin: &Path| {
        let normal = |component| match component {
            Component::Normal(name) => Some(name.as_bytes().to_vec()),
            _ => None,
        };
        origin.components().filter_map(normal).collect()
    };
    let places = origins(body, wanted)?.into_iter().map(|place| Place {
        below: below(&place.target),
        target: target.to_owned(),
        path: place.path,
    });
    Ok(places.collect())
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
