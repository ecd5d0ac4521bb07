//! `domain`: data that shares no key with the rest of the repository.

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::commands::key::NewSecretArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::crypto::Argon2Parameters;
use crate::event::Ending;
use crate::repository::{Need, NewCredential};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Make a domain
    Create(CreateArguments),
    /// List domains
    List,
    /// Destroy an erasable domain: nothing in it can be read again, in no copy
    Destroy {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Whether anything is done.
        #[command(flatten)]
        dry_run: DryRunArgument,
    },
}

/// Options of `domain create`.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Its name
    name: String,

    /// Its key lives outside of the repository, so that destroying the key erases the data
    #[arg(long)]
    erasable: bool,

    /// The key of an erasable domain.
    #[command(flatten)]
    new: NewSecretArguments,

    /// Whether anything is done.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// Runs a subcommand.
pub fn run(invocation: &Invocation, command: &DomainCommand) -> CommandResult<Report> {
    match command {
        DomainCommand::Create(arguments) => create(invocation, arguments),
        DomainCommand::List => list(invocation),
        DomainCommand::Destroy { name, yes, dry_run } => {
            destroy(invocation, name, *yes, dry_run.dry_run)
        }
    }
}

fn create(invocation: &Invocation, arguments: &CreateArguments) -> CommandResult<Report> {
    let mut open = invocation.open_repository_to(Need::Administer, "domain create")?;
    let name = &arguments.name;
    let unlock = match arguments.erasable {
        true => Some(arguments.new.read(invocation)?),
        false => None,
    };
    if arguments.dry_run.dry_run {
        open.repository.check_new_domain(name, unlock.as_ref())?;
        invocation
            .output
            .say(&format!("would create domain {}", text::line(name)));
        return Ok(Report::with(json!({ "dry_run": true, "domain": name })));
    }
    let act = invocation.begin_key_change(&open)?;
    let created = match &unlock {
        Some(unlock) => open.repository.create_erasable_domain(
            name,
            &NewCredential {
                label: format!("domain {name}"),
                unlock,
                cost: Argon2Parameters::default(),
            },
        ),
        None => open.repository.create_domain(name),
    };
    let created = created.map_err(CommandError::from);
    act.conclude(&open.repository, created, |_| {
        Ending::success(format!("created domain {}", text::line(name)))
    })?;
    invocation
        .output
        .say(&format!("created domain {}", text::line(name)));
    if arguments.erasable {
        invocation.output.remark(
            "Only its own key opens it, the repository's first credential does not: keep it safe",
        );
    }
    Ok(Report::with(
        json!({ "domain": name, "erasable": arguments.erasable }),
    ))
}

fn list(invocation: &Invocation) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let domains = open.repository.domain_names();
    let mut rows = vec![["NAME", "STATE"].map(str::to_owned).to_vec()];
    for domain in &domains {
        let state = match (domain.erased, domain.readable, domain.erasable) {
            (true, ..) => "destroyed",
            (false, false, true) => "erasable, locked: its own key opens it",
            (false, false, false) => "closed: this credential writes into it and opens nothing",
            (false, true, true) => "erasable, open",
            (false, true, false) => "open",
        };
        rows.push(vec![text::line(&domain.name), state.to_owned()]);
        invocation.output.object(
            "domain",
            json!({
                "name": domain.name,
                "erasable": domain.erasable,
                "destroyed": domain.erased,
                "readable": domain.readable,
            }),
        );
    }
    if domains.is_empty() {
        invocation
            .output
            .line("this credential knows no domain by name");
        return Ok(Report::with(json!({ "domains": 0 })));
    }
    for line in text::table(&rows, &[]) {
        invocation.output.line(&line);
    }
    Ok(Report::with(json!({ "domains": domains.len() })))
}

fn destroy(invocation: &Invocation, name: &str, yes: bool, dry_run: bool) -> CommandResult<Report> {
    let mut open = invocation.open_repository_to(Need::Administer, "domain destroy")?;
    let shown = text::line(name);
    if dry_run {
        open.repository.check_destruction(name)?;
        invocation.output.say(&format!(
            "would destroy domain {shown}: nothing in it could be read again"
        ));
        return Ok(Report::with(json!({ "dry_run": true, "domain": name })));
    }
    if !yes {
        confirm(
            &format!("Nothing in domain {shown} can be read again, in no copy."),
            name,
        )?;
    }
    let act = invocation.begin_key_change(&open)?;
    let destroyed = open.repository.destroy_domain(name);
    let destroyed = destroyed.map_err(CommandError::from);
    act.conclude(&open.repository, destroyed, |_| {
        Ending::success(format!("destroyed domain {shown}"))
    })?;
    invocation.output.say(&format!("destroyed domain {shown}"));
    invocation.output.remark(
        "Destroy its key file too, and every copy of it: older copies of the repository still \
         have what that key opens",
    );
    Ok(Report::with(json!({ "domain": name, "destroyed": true })))
}

/// Goes on only when the word is typed.
pub fn confirm(consequence: &str, word: &str) -> CommandResult<()> {
    if !std::io::stdin().is_terminal() {
        return Err(
            CommandError::usage(format!("{consequence} This needs a confirmation"))
                .hint("add --yes if it is meant"),
        );
    }
    let mut stderr = std::io::stderr();
    let _unheard = write!(stderr, "{consequence}\nType {word} to go on: ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == word => Ok(()),
        _ => Err(CommandError::usage("not confirmed; nothing was done")),
    }
}
