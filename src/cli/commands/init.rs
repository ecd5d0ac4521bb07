//! `repo init`: a new repository and its recovery kit.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::arguments::twins::FromUnlockArguments;
use crate::cli::commands::new_store::{MadeStore, NewStore};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::kit;
use crate::cli::output::Report;
use crate::cli::place::Place;
use crate::cli::rule_321::volatile;
use crate::cli::second::End;
use crate::cli::text;
use crate::cli::unlock::{Prompt, refuse_inside, variable};
use crate::config::cipher_of;
use crate::crypto::{Argon2Parameters, Suite};
use crate::env::{SystemClock, SystemEntropy};
use crate::event::Ending;
use crate::format::slot::Unlock;
use crate::repository::{InitOptions, Repository};
use crate::units::{parse_duration, parse_size, seconds};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for a lagging storage that can be asked for.
const SETTLE_MAX: Duration = Duration::from_secs(3600);

/// Options of `repo init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Make a sibling of this repository: the same content gets the same ids in both, so copies
    /// between them keep what is stored as it is, and each can repair the other
    #[arg(long, value_name = "REPO")]
    like: Option<String>,

    /// How that one is unlocked.
    #[command(flatten)]
    from: FromUnlockArguments,

    /// The cipher everything is sealed with; it cannot be changed later [default:
    /// xchacha20-poly1305, or that of the repository given with --like]
    #[arg(long, value_name = "CIPHER")]
    cipher: Option<Cipher>,

    /// Name of the first passphrase or key
    #[arg(long, value_name = "NAME", default_value = "first")]
    label: String,

    /// Where the recovery kit is written [default: recovery-kit-ID.txt here]
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,

    /// Wait this long where the storage shows new objects late [default: what a probe of a bucket
    /// measures, 0 for a directory]
    #[arg(long, value_name = "DURATION", value_parser = settle)]
    settle: Option<Duration>,

    /// Cost of guessing the passphrase.
    #[command(flatten)]
    cost: CostArguments,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// An hour is more than any storage lags that can be used at all.
fn settle(text: &str) -> Result<Duration, String> {
    let settle = parse_duration(text).map_err(|error| error.to_string())?;
    match settle <= SETTLE_MAX {
        true => Ok(settle),
        false => Err("at most 1h: every backup waits that long several times".to_owned()),
    }
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
    let place = invocation.place()?;
    if let Some(kit) = &arguments.kit {
        refuse_inside(kit, place.directory())?;
        if kit.exists() {
            let there = format!("there is a file at {} already", kit.display());
            return Err(CommandError::usage(there).hint("choose another --kit"));
        }
    }
    let new = NewStore::look(invocation, &place)?;
    let cost = arguments.cost.parameters()?;
    let like = like(invocation, arguments)?;
    let suite = suite(invocation, arguments, like.as_ref())?;
    if arguments.dry_run.dry_run {
        return would_create(invocation, suite, like.as_ref(), &place);
    }
    let unlock = invocation.unlock(Prompt::New)?;
    let started = Instant::now();
    let made = new.make(invocation, arguments.settle)?;
    let traits = made.traits;
    let options = InitOptions {
        suite,
        unlock: &unlock,
        cost,
        label: arguments.label.clone(),
        settle: made.settle,
    };
    let open = create(invocation, &options, like.as_ref(), &place, made)?;
    let duration = started.elapsed();

    let config = open.repository.config();
    let suite = open.repository.suite().name();
    let key = match &unlock {
        Unlock::Passphrase(_) => format!("argon2id {} MiB", cost.memory_kib >> 10),
        Unlock::Key(_) => "key file".to_owned(),
    };
    let location = open.place.to_string();
    invocation.output.line(&format!(
        "created repository {} at {location}   cipher {suite} · {key}, {}",
        config.repository.short(),
        seconds(duration),
    ));
    invocation.output.say(&format!("id {}", config.repository));
    if let Some(like) = &like {
        tell_sibling(invocation, like)?;
    }
    if let Some(traits) = &traits {
        traits.tell(invocation);
    }
    let kind = kit::secret_kind(&unlock);
    let act = invocation.begin_key_change(&open)?;
    act.end(&open.repository, Ending::success("created the repository"));
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
    if let Some(volatile) = place.directory().and_then(volatile) {
        invocation.output.remark(&format!(
            "{place} is volatile ({volatile}): fine for a try, not for a backup"
        ));
    }
    let mut report = Report::with(json!({
        "repository_id": config.repository.to_string(),
        "location": location,
        "cipher": suite,
        "unlocked_by": kind,
        "recovery_kit": path.display().to_string(),
        "settle_seconds": f64::from(config.settle_milliseconds) / 1000.0,
        "duration_seconds": duration.as_secs_f64(),
    }));
    let lineage = open
        .repository
        .lineage()
        .map(|lineage| json!(lineage.to_string()));
    report
        .summary
        .extend(lineage.map(|lineage| ("lineage".to_owned(), lineage)));
    if let Some(like) = &like {
        let id = like.repository.config().repository.to_string();
        report.summary.extend([("like".to_owned(), json!(id))]);
    }
    if let Some(traits) = &traits {
        let bucket = ("bucket".to_owned(), traits.describe());
        report.summary.extend([bucket]);
    }
    Ok(report)
}

/// The repository that the new one is to be a sibling of.
fn like(
    invocation: &Invocation,
    arguments: &InitArguments,
) -> CommandResult<Option<OpenRepository>> {
    let Some(like) = &arguments.like else {
        return match arguments.from.given().is_empty() {
            true => Ok(None),
            false => Err(CommandError::usage(
                "--from-… says how the repository of --like is unlocked",
            )
            .hint("give --like REPO too, or leave it out")),
        };
    };
    let open = invocation.open_second(like, End::From, arguments.from.given())?;
    open.repository.shared_domains()?;
    Ok(Some(open))
}

fn suite(
    invocation: &Invocation,
    arguments: &InitArguments,
    like: Option<&OpenRepository>,
) -> CommandResult<Suite> {
    match (arguments.cipher, like) {
        (Some(cipher), _) => Ok(cipher.suite()),
        (None, Some(like)) => Ok(like.repository.suite()),
        (None, None) => Ok(suite_of_variable(invocation)?.unwrap_or_default()),
    }
}

/// What `BACKUP_CIPHER` asks for, of the environment or a file of the configuration.
fn suite_of_variable(invocation: &Invocation) -> CommandResult<Option<Suite>> {
    const NAME: &str = "BACKUP_CIPHER";
    let set = variable(NAME).map(|(_, value)| value);
    let of_file = || invocation.configuration().ok()??.variable(NAME);
    let Some(value) = set.or_else(of_file) else {
        return Ok(None);
    };
    let known = value.to_str().and_then(cipher_of);
    let cipher = known.and_then(|name| Cipher::from_str(name, true).ok());
    match cipher {
        Some(cipher) => Ok(Some(cipher.suite())),
        None => Err(
            CommandError::usage(format!("{NAME} names no cipher that icecore has"))
                .hint("set it to xchacha20-poly1305 or aes-256-gcm, or give --cipher"),
        ),
    }
}

/// Says what the two share.
fn tell_sibling(invocation: &Invocation, like: &OpenRepository) -> CommandResult<()> {
    let shared = like.repository.shared_domains()?;
    let names = shared.iter().map(|shared| text::line(&shared.name));
    let names = names.collect::<Vec<_>>().join(", ");
    invocation.output.line(&format!(
        "a sibling of {} at {}: copies between them keep chunks and deltas as they are (domains: \
         {names}); passphrases and keys are its own",
        like.repository.config().repository.short(),
        like.place,
    ));
    let erasable = like.repository.domain_names().into_iter();
    let erasable = erasable.filter(|domain| domain.erasable && !domain.erased);
    for domain in erasable {
        invocation.output.remark(&format!(
            "Domain {} is erasable and is not shared: its key leaves its own slots never",
            text::line(&domain.name)
        ));
    }
    Ok(())
}

/// Nothing is asked for: a new passphrase would be typed in vain.
fn would_create(
    invocation: &Invocation,
    suite: Suite,
    like: Option<&OpenRepository>,
    place: &Place,
) -> CommandResult<Report> {
    let cipher = suite.name();
    let sibling = like.map_or_else(String::new, |like| {
        let id = like.repository.config().repository.short();
        format!(", a sibling of {id} at {}", like.place)
    });
    invocation.output.line(&format!(
        "would create a repository at {place}   cipher {cipher}{sibling}"
    ));
    Ok(Report::with(
        json!({ "dry_run": true, "location": place.to_string(), "cipher": cipher }),
    ))
}

fn create(
    invocation: &Invocation,
    options: &InitOptions<'_>,
    like: Option<&OpenRepository>,
    place: &Place,
    made: MadeStore,
) -> CommandResult<OpenRepository> {
    let entropy = Arc::new(SystemEntropy);
    let like = like.map(|like| &like.repository);
    invocation.ui.waiting("creating");
    let store = made.open.store;
    let created = Repository::init_like(store, options, like, entropy, Arc::new(SystemClock));
    invocation.ui.clear();
    Ok(OpenRepository {
        repository: created?,
        traffic: made.open.traffic,
        place: place.absolute(),
        spool: None,
        bucket: made.open.bucket,
    })
}
