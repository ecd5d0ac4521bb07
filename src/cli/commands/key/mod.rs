//! `key`: the passphrases and keys that open a repository.

mod add;
mod list;
mod rotate;

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::commands::init::CostArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::files::refuse_existing;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::kit;
use crate::cli::output::Report;
use crate::cli::reporting::{Act, Duty};
use crate::cli::text;
use crate::cli::unlock::{Given, Prompt, generate_key_file, refuse_inside, refuse_unfit, variable};
use crate::env::SystemEntropy;
use crate::event::{Activity, Ending};
use crate::format::slot::Unlock;
use crate::repository::{CredentialKind, Need};
use add::AddArguments;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List credentials
    List,
    /// Add a passphrase or key: one that opens everything, or one that may do less
    Add(AddArguments),
    /// Remove a credential by its name or the start of its slot's id
    Remove {
        /// Which
        #[arg(value_name = "NAME|SLOT")]
        name: String,
        /// What it signs from now on does not count, even if its holder kept a copy
        #[arg(long)]
        revoke: bool,
        /// Whether anything is done.
        #[command(flatten)]
        dry_run: DryRunArgument,
    },
    /// Give the credential in use another passphrase or key
    Passwd(PasswdArguments),
    /// Draw new keys for what is saved from now on; nobody needs a new passphrase or key
    ///
    /// After a credential was removed, or once a quarter. Every credential gets the new keys, sealed
    /// to it, and opens as before; running backups go on with the old ones. What was saved before
    /// is not sealed anew: it stays readable, also to who had a full credential or a reader then.
    Rotate(DryRunArgument),
    /// Write the recovery kit anew; it holds no secret
    Export {
        /// Where to [default: recovery-kit-ID.txt here]
        #[arg(long, value_name = "FILE")]
        kit: Option<PathBuf>,
        /// Whether anything is done.
        #[command(flatten)]
        dry_run: DryRunArgument,
    },
    /// Prove that the given passphrase or key opens the repository
    Test,
    /// Write a new random key file, for the owner only
    Generate {
        /// The file; it must not exist yet
        file: PathBuf,
        /// Whether anything is done.
        #[command(flatten)]
        dry_run: DryRunArgument,
    },
}

/// Options of `key passwd`.
#[derive(Debug, Args)]
pub struct PasswdArguments {
    /// The new secret.
    #[command(flatten)]
    new: NewSecretArguments,

    /// Cost of guessing it.
    #[command(flatten)]
    cost: CostArguments,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// Where a new passphrase or key comes from; `ICECORE_NEW_PASSPHRASE` is one more way.
#[derive(Debug, Args)]
pub struct NewSecretArguments {
    /// Read the new passphrase from a file
    #[arg(
        long,
        value_name = "FILE",
        env = "ICECORE_NEW_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    new_passphrase_file: Option<PathBuf>,

    /// Run a command that prints the new passphrase or key
    #[arg(
        long,
        value_name = "COMMAND",
        env = "ICECORE_NEW_PASSPHRASE_COMMAND",
        hide_env_values = true
    )]
    new_passphrase_command: Option<String>,

    /// Read the new passphrase from an open file descriptor
    #[arg(long, value_name = "N")]
    new_passphrase_fd: Option<u32>,

    /// Use a key file made by `icecore key generate`
    #[arg(
        long,
        value_name = "FILE",
        env = "ICECORE_NEW_KEY_FILE",
        hide_env_values = true
    )]
    new_key_file: Option<PathBuf>,
}

impl NewSecretArguments {
    /// Reads it.
    pub fn read(&self, invocation: &Invocation) -> CommandResult<Unlock> {
        let given = Given {
            variable: variable("ICECORE_NEW_PASSPHRASE"),
            passphrase_file: self.new_passphrase_file.clone(),
            passphrase_command: self.new_passphrase_command.clone(),
            descriptor: self.new_passphrase_fd,
            key_file: self.new_key_file.clone(),
            ..Given::default()
        };
        invocation.read_secret(given, Prompt::New, &invocation.place()?)
    }
}

/// Runs a subcommand.
pub fn run(invocation: &Invocation, command: &KeyCommand) -> CommandResult<Report> {
    match command {
        KeyCommand::List => list::run(invocation),
        KeyCommand::Add(arguments) => add::run(invocation, arguments),
        KeyCommand::Remove {
            name,
            revoke,
            dry_run,
        } => remove(invocation, name, *revoke, dry_run.dry_run),
        KeyCommand::Passwd(arguments) => passwd(invocation, arguments),
        KeyCommand::Rotate(dry_run) => rotate::run(invocation, dry_run.dry_run),
        KeyCommand::Export { kit, dry_run } => export(invocation, kit.as_deref(), dry_run.dry_run),
        KeyCommand::Test => test(invocation),
        KeyCommand::Generate { file, dry_run } => generate(invocation, file, dry_run.dry_run),
    }
}

impl Invocation {
    /// Reports that credentials, keys or domains are about to change.
    pub fn begin_key_change(&self, open: &OpenRepository) -> CommandResult<Act<'_>> {
        self.begin(
            &open.repository,
            Activity::Key,
            open.subject(),
            Duty::Refuse,
        )
    }
}

/// What a kind of credential is called.
fn kind_name(kind: Option<CredentialKind>) -> &'static str {
    kind.map_or("other", CredentialKind::name)
}

fn remove(
    invocation: &Invocation,
    name: &str,
    revoke: bool,
    dry_run: bool,
) -> CommandResult<Report> {
    let mut open = invocation.open_repository_to(Need::Administer, "key remove")?;
    let credential = open.repository.credential_to_remove(name)?;
    if revoke {
        open.repository.check_revocation(credential.writer)?;
    }
    if dry_run {
        let (slot, label) = (credential.slot, &credential.label);
        let also = if revoke { " and revoke it" } else { "" };
        invocation.output.say(&format!(
            "would remove {} (slot {}){also}",
            text::line(label),
            slot.short()
        ));
        return Ok(Report::with(
            json!({ "dry_run": true, "name": label, "slot": slot.to_string() }),
        ));
    }
    let (label, writer) = (text::line(&credential.label), credential.writer);
    let act = invocation.begin_key_change(&open)?;
    let removed = match revoke {
        true => {
            let revoked = open.repository.revoke_writer(writer);
            revoked.map(drop).map_err(CommandError::from)
        }
        false => Ok(()),
    };
    let removed = removed.and_then(|()| {
        open.repository
            .remove_credential(name)
            .map_err(CommandError::from)
    });
    let writer = act.conclude(&open.repository, removed, |_| {
        let also = if revoke { " and revoked it" } else { "" };
        Ending::success(format!("removed credential {label}{also}"))
    })?;
    invocation
        .output
        .say(&format!("removed {}", text::line(name)));
    invocation.output.remark(
        "Who had it can still read what they copied: a removed credential takes nothing back. \
         icecore key rotate keeps from them what is saved from now on",
    );
    Ok(Report::with(json!({
        "removed": name,
        "writer": writer.to_string(),
        "revoked": revoke,
    })))
}

fn passwd(invocation: &Invocation, arguments: &PasswdArguments) -> CommandResult<Report> {
    // A slot counts by the root's signature, and only full credentials hold the root key.
    let mut open = invocation.open_repository()?;
    let allowed = open
        .repository
        .access()
        .check_allowed(Need::Administer, "key passwd");
    allowed.map_err(|error| {
        CommandError::from(error)
            .hint("give its owner another: icecore key add …, then icecore key remove this one")
    })?;
    open.repository.check_key_change()?;
    let unlock = arguments.new.read(invocation)?;
    let cost = arguments.cost.parameters()?;
    let kind = kit::secret_kind(&unlock);
    if arguments.dry_run.dry_run {
        let slot = open.repository.access().slot();
        let old = slot.short();
        invocation.output.say(&format!(
            "would replace slot {old} by a new one that the given {kind} opens"
        ));
        return Ok(Report::with(
            json!({ "dry_run": true, "slot": slot.to_string() }),
        ));
    }
    let act = invocation.begin_key_change(&open)?;
    let label = text::line(open.repository.access().label());
    let changed = open.repository.change_unlock(&unlock, cost);
    let changed = changed.map_err(CommandError::from);
    let slot = act.conclude(&open.repository, changed, |_| {
        Ending::success(format!("changed what opens credential {label}"))
    })?;
    invocation.output.say(&format!(
        "changed: slot {} is opened with the new {kind}; the old one opens nothing any more",
        slot.short()
    ));
    Ok(Report::with(
        json!({ "slot": slot.to_string(), "unlocked_by": kind }),
    ))
}

fn export(invocation: &Invocation, kit: Option<&Path>, dry_run: bool) -> CommandResult<Report> {
    let (open, kind) = opened_with(invocation)?;
    let path = kit::path(kit, &open);
    if dry_run {
        refuse_unfit(&path, open.place.directory())?;
        let shown = path.display().to_string();
        invocation
            .output
            .say(&format!("would write the recovery kit to {shown}"));
        return Ok(Report::with(
            json!({ "dry_run": true, "recovery_kit": shown }),
        ));
    }
    kit::write(invocation, &open, kind, &path)?;
    invocation
        .output
        .say(&format!("wrote the recovery kit to {}", path.display()));
    Ok(Report::with(
        json!({ "recovery_kit": path.display().to_string() }),
    ))
}

/// Opens the repository, and says with what kind of secret.
fn opened_with(invocation: &Invocation) -> CommandResult<(OpenRepository, &'static str)> {
    let given = invocation.given()?;
    let kind = match given.key_file {
        Some(_) => "key",
        None => "passphrase",
    };
    // The kit tells how to restore.
    Ok((
        invocation.open_repository_to(Need::Read, "key export")?,
        kind,
    ))
}

fn test(invocation: &Invocation) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let access = open.repository.access();
    let kind = access.kind();
    invocation.output.line(&format!(
        "opens repository {} as {} (slot {}), {}",
        open.repository.config().repository.short(),
        text::line(access.label()),
        access.slot().short(),
        kind.map_or("of another kind", CredentialKind::describe),
    ));
    Ok(Report::with(json!({
        "repository_id": open.repository.config().repository.to_string(),
        "slot": access.slot().to_string(),
        "name": access.label(),
        "may": kind_name(kind),
    })))
}

fn generate(invocation: &Invocation, file: &Path, dry_run: bool) -> CommandResult<Report> {
    if invocation.global.repo.is_some() {
        refuse_inside(file, invocation.place()?.directory())?;
    }
    if dry_run {
        refuse_existing(file)?;
        let shown = file.display().to_string();
        invocation
            .output
            .say(&format!("would write a new key to {shown}"));
        return Ok(Report::with(json!({ "dry_run": true, "key_file": shown })));
    }
    generate_key_file(file, &SystemEntropy)?;
    invocation
        .output
        .say(&format!("wrote a new key to {}", file.display()));
    invocation
        .output
        .remark("Keep a second copy apart from this machine: without it nobody can restore");
    Ok(Report::with(
        json!({ "key_file": file.display().to_string() }),
    ))
}
