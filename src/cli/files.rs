//! Files that commands write for people: never over one that is there, or whole at once.

use crate::cli::error::{CommandError, CommandResult};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where [`write_private`] would fail, without writing.
pub fn refuse_existing(path: &Path) -> CommandResult<()> {
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(exists(path, &std::io::ErrorKind::AlreadyExists.into())),
        Err(error) => Err(CommandError::file("look for", path, &error)),
    }
}

fn exists(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::file("create", path, error).hint("nothing is overwritten: choose another name")
}

/// Writes a new file of mode 0600, durable when this returns.
pub fn write_private(path: &Path, content: &[u8]) -> CommandResult<()> {
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path, &error),
        _ => CommandError::file("create", path, &error),
    })?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(|error| CommandError::file("write", path, &error))
}

/// Replaces a file at once: whoever reads it sees the old or the new one.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> CommandResult<()> {
    let fail = |error: std::io::Error| CommandError::file("write", path, &error);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)
        .map_err(fail)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| std::fs::rename(&new, path));
    renamed.map_err(|error| {
        let _left = std::fs::remove_file(&new);
        fail(error)
    })
}
