//! `repo init`: a new repository and its recovery kit.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::kit;
use crate::cli::output::Report;
use crate::cli::unlock::{Prompt, refuse_inside};
use crate::crypto::{Argon2Parameters, Suite};
use crate::env::{SystemClock, SystemEntropy};
use crate::format::layout;
use crate::format::slot::Unlock;
use crate::repository::{InitOptions, Repository};
use crate::store::LocalStore;
use crate::units::{parse_size, seconds};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What `statfs` calls a file system in memory.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// Options of `repo init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The cipher everything is sealed with; it cannot be changed later
    #[arg(long, value_name = "CIPHER", default_value = "xchacha20-poly1305")]
    cipher: Cipher,

    /// Name of the first passphrase or key
    #[arg(long, value_name = "NAME", default_value = "first")]
    label: String,

    /// Where the recovery kit is written [default: recovery-kit-ID.txt here]
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,

    /// Cost of guessing the passphrase.
    #[command(flatten)]
    cost: CostArguments,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// How expensive a passphrase is made to guess.
#[derive(Debug, Args)]
pub struct CostArguments {
    /// Memory that a guess at the passphrase takes, such as 256MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    kdf_memory: Option<u64>,

    /// Passes that a guess at the passphrase takes
    #[arg(long, value_name = "N", hide_short_help = true)]
    kdf_passes: Option<u32>,
}

impl CostArguments {
    /// As the library takes it.
    pub fn parameters(&self) -> CommandResult<Argon2Parameters> {
        let default = Argon2Parameters::default();
        let memory_kib = match self.kdf_memory {
            Some(bytes) => u32::try_from(bytes >> 10)
                .map_err(|_| CommandError::usage("--kdf-memory is too large"))?,
            None => default.memory_kib,
        };
        Ok(Argon2Parameters {
            memory_kib,
            passes: self.kdf_passes.unwrap_or(default.passes),
            lanes: default.lanes,
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Cipher {
    #[value(name = "xchacha20-poly1305")]
    XChaCha20Poly1305,
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
}

impl Cipher {
    fn suite(self) -> Suite {
        match self {
            Self::XChaCha20Poly1305 => Suite::XChaCha20Poly1305,
            Self::Aes256Gcm => Suite::Xaes256Gcm,
        }
    }
}

/// Makes a repository.
pub fn run(invocation: &Invocation, arguments: &InitArguments) -> CommandResult<Report> {
    let directory = invocation.directory()?;
    refuse_occupied(&directory)?;
    if let Some(kit) = &arguments.kit {
        refuse_inside(kit, Some(&directory))?;
        if kit.exists() {
            let there = format!("there is a file at {} already", kit.display());
            return Err(CommandError::usage(there).hint("choose another --kit"));
        }
    }
    let cost = arguments.cost.parameters()?;
    if arguments.dry_run.dry_run {
        return would_create(invocation, arguments, &directory);
    }
    let unlock = invocation.unlock(Prompt::New)?;
    let started = Instant::now();
    let open = create(invocation, arguments, &directory, &unlock, cost)?;
    let duration = started.elapsed();

    let config = open.repository.config();
    let suite = open.repository.suite().name();
    let key = match &unlock {
        Unlock::Passphrase(_) => format!("argon2id {} MiB", cost.memory_kib >> 10),
        Unlock::Key(_) => "key file".to_owned(),
    };
    let place = open.directory.display();
    invocation.output.line(&format!(
        "created repository {} at {place}   cipher {suite} · {key}, {}",
        config.repository.short(),
        seconds(duration),
    ));
    invocation.output.say(&format!("id {}", config.repository));
    let kind = kit::secret_kind(&unlock);
    let path = kit::path(arguments.kit.as_deref(), &open);
    let written = kit::write(invocation, &open, kind, &path);
    written.map_err(|error| {
        error
            .within("the repository was created, but not its recovery kit")
            .hint("icecore key export --kit FILE writes it")
    })?;
    invocation.output.remark(&format!(
        "Without this {kind} nobody, we included, can restore. Printable kit: {}",
        path.display()
    ));
    if let Some(volatile) = volatile(&directory) {
        invocation.output.remark(&format!(
            "{} is volatile ({volatile}): fine for a try, not for a backup",
            directory.display()
        ));
    }
    Ok(Report::with(json!({
        "repository_id": config.repository.to_string(),
        "location": open.directory.display().to_string(),
        "cipher": suite,
        "unlocked_by": kind,
        "recovery_kit": path.display().to_string(),
        "duration_seconds": duration.as_secs_f64(),
    })))
}

/// Nothing is asked for: a new passphrase would be typed in vain.
fn would_create(
    invocation: &Invocation,
    arguments: &InitArguments,
    directory: &Path,
) -> CommandResult<Report> {
    let cipher = arguments.cipher.suite().name();
    let place = directory.display().to_string();
    invocation.output.line(&format!(
        "would create a repository at {place}   cipher {cipher}"
    ));
    Ok(Report::with(
        json!({ "dry_run": true, "location": place, "cipher": cipher }),
    ))
}

fn create(
    invocation: &Invocation,
    arguments: &InitArguments,
    directory: &Path,
    unlock: &Unlock,
    cost: Argon2Parameters,
) -> CommandResult<OpenRepository> {
    let store = invocation.wrap_store(LocalStore::create(directory)?);
    let options = InitOptions {
        suite: arguments.cipher.suite(),
        unlock,
        cost,
        label: arguments.label.clone(),
    };
    let entropy = Arc::new(SystemEntropy);
    invocation.ui.waiting("creating");
    let created = Repository::init(store.store, &options, entropy, Arc::new(SystemClock));
    invocation.ui.clear();
    Ok(OpenRepository {
        repository: created?,
        traffic: store.traffic,
        directory: directory
            .canonicalize()
            .unwrap_or_else(|_| directory.to_owned()),
    })
}

/// A repository among other files would be lost or deleted with them. What an interrupted `init`
/// left behind is no obstacle.
fn refuse_occupied(directory: &Path) -> CommandResult<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CommandError::file("look into", directory, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| CommandError::file("look into", directory, &error))?;
        let name = entry.file_name();
        if name == layout::CONFIG {
            let there = format!("there is a repository at {} already", directory.display());
            return Err(CommandError::new(ErrorKind::Refused, there)
                .hint("icecore repo info shows it; choose another path for a new one"));
        }
        if name != "keys" && name != "lost+found" {
            let occupied = format!(
                "{} holds other files, such as {}",
                directory.display(),
                name.display()
            );
            return Err(CommandError::usage(occupied)
                .hint("give an empty directory, or one that is not there yet"));
        }
    }
    Ok(())
}

/// Why what is written here may not be there tomorrow.
fn volatile(directory: &Path) -> Option<&'static str> {
    let real = directory.canonicalize().ok()?;
    let file_system = rustix::fs::statfs(&real).ok()?;
    if file_system.f_type == TMPFS_MAGIC {
        return Some("in memory");
    }
    let cleaned = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
    let is_cleaned = cleaned.iter().any(|cleaned| real.starts_with(cleaned));
    is_cleaned.then_some("cleaned up by the system")
}
