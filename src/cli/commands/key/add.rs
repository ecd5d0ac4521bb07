//! `key add`: one more credential, and what it can be trusted with.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::commands::init::CostArguments;
use crate::cli::commands::key::NewSecretArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::kit;
use crate::cli::output::Report;
use crate::cli::place::Place;
use crate::cli::text;
use crate::event::Ending;
use crate::repository::{CredentialKind, Grant, Need, NewCredential};
use clap::{Args, ValueEnum};
use serde_json::json;

/// Options of `key add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// Name of the new credential
    #[arg(long, value_name = "NAME")]
    label: String,

    /// What it may do: full, write-only, reader or maintenance
    ///
    /// full: everything. write-only: save snapshots and open nothing that is stored, for a host that
    /// somebody may break into. reader: restore, look into and check what its domains hold, and
    /// change nothing. maintenance: forget, prune and hold; it sees labels and sizes, but no data,
    /// names or file lists.
    #[arg(
        long,
        value_name = "KIND",
        default_value = "full",
        hide_possible_values = true
    )]
    capability: Capability,

    /// Domain of a write-only credential or a reader; may be repeated
    ///
    /// Without it a write-only credential gets a domain of its own, named like it, and a reader
    /// opens the domain `main`. Domains share no keys: nothing is deduplicated across them.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Capability {
    Full,
    WriteOnly,
    Reader,
    Maintenance,
}

/// The domain of a reader that names none.
const READER_DOMAIN: &str = "main";

impl AddArguments {
    fn grant(&self) -> CommandResult<Grant> {
        let domains = |default: &str| match self.domain.is_empty() {
            true => vec![default.to_owned()],
            false => self.domain.clone(),
        };
        match self.capability {
            Capability::WriteOnly => Ok(Grant::WriteOnly(domains(&self.label))),
            Capability::Reader => Ok(Grant::Reader(domains(READER_DOMAIN))),
            _ if !self.domain.is_empty() => Err(CommandError::usage(
                "full and maintenance credentials are for all domains",
            )
            .hint("leave --domain out, or give --capability reader or write-only")),
            Capability::Full => Ok(Grant::Full),
            Capability::Maintenance => Ok(Grant::Maintenance),
        }
    }

    /// The domain that has to be made first: a write-only host's own.
    fn missing_domain(&self, open: &OpenRepository) -> Option<&str> {
        let is_own = self.capability == Capability::WriteOnly && self.domain.is_empty();
        let there = open.repository.domain_names();
        let is_missing = !there.iter().any(|domain| domain.name == self.label);
        (is_own && is_missing).then_some(self.label.as_str())
    }
}

/// Adds a credential.
pub fn run(invocation: &Invocation, arguments: &AddArguments) -> CommandResult<Report> {
    let grant = arguments.grant()?;
    let mut open = invocation.open_repository_to(Need::Administer, "key add")?;
    open.repository.check_new_credential(&arguments.label)?;
    let missing = arguments.missing_domain(&open);
    match missing {
        Some(domain) => open.repository.check_new_domain(domain, None)?,
        None => drop(open.repository.check_grant(&grant)?),
    }
    let unlock = arguments.new.read(invocation)?;
    open.repository.check_new_secret(&unlock)?;
    let cost = arguments.cost.parameters()?;
    let secret = kit::secret_kind(&unlock);
    let shown = text::line(&arguments.label);
    let what = describe(&grant, missing.is_some());
    let summary = json!({
        "name": arguments.label,
        "may": grant.kind().name(),
        "domains": grant.domains(),
        "domain_made": missing.is_some(),
    });
    if arguments.dry_run.dry_run {
        invocation.output.say(&format!(
            "would add {shown}, opened with the given {secret}: {what}"
        ));
        let mut report = Report::with(summary);
        report.summary.insert("dry_run".to_owned(), json!(true));
        return Ok(report);
    }
    let new = NewCredential {
        label: arguments.label.clone(),
        unlock: &unlock,
        cost,
    };
    let missing = missing.map(str::to_owned);
    let act = invocation.begin_key_change(&open)?;
    let made = match &missing {
        Some(domain) => open.repository.create_domain(domain).map(drop),
        None => Ok(()),
    };
    let granted = made.and_then(|()| open.repository.grant(&new, &grant));
    let granted = granted.map_err(CommandError::from);
    let slot = act.conclude(&open.repository, granted, |_| {
        Ending::success(format!("added credential {shown}: {what}"))
    })?;
    invocation.output.say(&format!(
        "added {shown} (slot {}), opened with a {secret}: {what}; it was read back and opens the \
         repository",
        slot.short()
    ));
    for remark in remarks(&grant, &open.place) {
        invocation.output.remark(remark);
    }
    let mut report = Report::with(summary);
    let slot = json!(slot.to_string());
    report.summary.insert("slot".to_owned(), slot);
    Ok(report)
}

fn describe(grant: &Grant, domain_made: bool) -> String {
    let kind = grant.kind().name();
    let names: Vec<String> = grant
        .domains()
        .iter()
        .map(|name| text::line(name))
        .collect();
    match (names.is_empty(), domain_made) {
        (true, _) => kind.to_owned(),
        (false, true) => format!("{kind}, in its own domain {} (new)", names.join(", ")),
        (false, false) => format!("{kind}, domain {}", names.join(", ")),
    }
}

/// What a credential of this kind does not do by itself.
fn remarks(grant: &Grant, place: &Place) -> Vec<&'static str> {
    match (grant.kind(), place) {
        (CredentialKind::WriteOnly, Place::Directory(_)) => vec![
            OPENS_NOTHING,
            "A plain directory protects nothing: who can write to it can delete from it and \
             overwrite in it, whatever icecore signs. Against a host that was broken into, use a \
             bucket with versions or locks on and no right to delete for this host, or copies \
             that it cannot reach",
        ],
        (CredentialKind::WriteOnly, Place::Bucket(_)) => vec![
            OPENS_NOTHING,
            "It signs no deletion, but only the bucket can refuse one: turn versions on (better: \
             Object Lock), and give this host's access key s3:PutObject, s3:GetObject and \
             s3:ListBucket and no right to delete or to change the bucket. icecore has not checked \
             that",
        ],
        (CredentialKind::Maintenance, _) => vec![
            "It deletes: its access to the storage must include that. Give it to the machine that \
             prunes, not to the hosts that are backed up",
        ],
        (CredentialKind::Reader, _) => {
            vec![
                "It writes proofs of what it checked and audit records of what it restored; with read access to \
                 the storage alone it restores all the same, and warns each time",
            ]
        }
        _ => Vec::new(),
    }
}

const OPENS_NOTHING: &str = "It opens nothing that is stored, what it saved included: restore with a full \
     credential or a reader of its domain";
