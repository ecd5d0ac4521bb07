//! The recovery kit: what somebody with a new machine and the secret needs to know. Never the
//! secret itself.

use crate::cli::error::CommandResult;
use crate::cli::files::write_private;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::place::Place;
use crate::cli::text;
use crate::cli::unlock::refuse_inside;
use crate::format::slot::Unlock;
use std::path::{Path, PathBuf};

/// What a credential is unlocked with, as people call it.
pub fn secret_kind(unlock: &Unlock) -> &'static str {
    match unlock {
        Unlock::Passphrase(_) => "passphrase",
        Unlock::Key(_) => "key",
    }
}

/// Where the kit goes: the given path, or its default name in the current directory.
pub fn path(given: Option<&Path>, open: &OpenRepository) -> PathBuf {
    given.map_or_else(
        || {
            PathBuf::from(format!(
                "recovery-kit-{}.txt",
                open.repository.config().repository.short()
            ))
        },
        Path::to_owned,
    )
}

/// Writes the kit to a new file of mode 0600.
pub fn write(
    invocation: &Invocation,
    open: &OpenRepository,
    kind: &str,
    path: &Path,
) -> CommandResult<()> {
    refuse_inside(path, open.place.directory())?;
    write_private(path, render(invocation, open, kind).as_bytes())
}

fn render(invocation: &Invocation, open: &OpenRepository, kind: &str) -> String {
    let repository = &open.repository;
    let config = repository.config();
    let access = repository.access();
    let place = open.place.absolute();
    let location = place.to_string();
    let quoted = text::quoted(&location);
    let reach = match place {
        Place::Directory(_) => {
            "Make the repository reachable: mount it, or copy its directory. Any path will do."
        }
        Place::Bucket(_) => {
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile) for the bucket. A copy \
             of all\n     objects in a directory will do as well: give that directory with -r."
        }
    };
    let unlock = match kind {
        "passphrase" => String::new(),
        _ => " --key-file KEY".to_owned(),
    };
    format!(
        "\
ICECORE RECOVERY KIT

Keep a copy on paper, away from the machine that is backed up. It holds no secret.
Without the {kind} nobody can restore.

Repository   {location}
Id           {id}
Cipher       {suite}
Made         {created}
Credential   {label} (slot {slot}), opened with a {kind}
Written      {now} by icecore {version}

Where the {kind} is kept (write it down here; not the {kind} itself):

  ______________________________________________________________

  ______________________________________________________________

On a new machine
  1  Install icecore {version} or newer.
  2  {reach}
  3  Look:      icecore snapshots -r {quoted}{unlock}
  4  Check:     icecore check -r {quoted}{unlock}
  5  Read:      icecore ls latest --source NAME -r {quoted}{unlock}
  6  Restore:   icecore restore latest --source NAME --target DIRECTORY -r {quoted}{unlock}
Nothing else of the old machine is needed: no cache, no configuration.
",
        id = config.repository,
        suite = repository.suite().name(),
        created = config.created.to_rfc3339(),
        label = text::line(access.label()),
        slot = access.slot().short(),
        now = invocation.now().to_rfc3339(),
        version = env!("CARGO_PKG_VERSION"),
    )
}
