//! `audit`: who did what to the repository, and whether the log of it is whole.

mod show;
mod verify;

use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use clap::Subcommand;
use show::ShowArguments;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show who did what, when, and what came of it
    Show(ShowArguments),
    /// Read the whole log, and say whether records were changed or taken away; exit code 4 if so
    ///
    /// Every record is signed and names the one before it and the newest of other processes. Besides,
    /// this host remembers in its cache what it has seen. What cannot be noticed: that the newest
    /// records were taken away which no later record names and this host has not seen.
    Verify,
}

/// Runs a subcommand.
pub fn run(invocation: &Invocation, command: &AuditCommand) -> CommandResult<Report> {
    match command {
        AuditCommand::Show(arguments) => show::run(invocation, arguments),
        AuditCommand::Verify => verify::run(invocation),
    }
}
