//! `config`: the file of jobs, written, looked at, and brought back from the repository.

mod fetch;
mod find;
mod init;
mod look;

use crate::cli::arguments::global::DryRunArgument;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
pub use look::zone_of;

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration for what is found here: databases, .env files, DATABASE_URL
    Init(InitArguments),
    /// Say what is wrong with it, with line and column, and when its jobs run next
    Check,
    /// Show what counts: the file, and what the environment changes; never a secret
    Show,
    /// Bring back the configuration that was kept in the repository
    Fetch(FetchArguments),
}

/// Options of `config init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Where to look [default: here]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Write to this file [default: icecore.toml]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,

    /// Whether it is only shown.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// Options of `config fetch`.
#[derive(Debug, Args)]
pub struct FetchArguments {
    /// Its name, where the repository keeps several
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Write to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,

    /// Whether nothing is written.
    #[command(flatten)]
    dry_run: DryRunArgument,
}

/// Runs a subcommand.
pub fn run(invocation: &Invocation, command: &ConfigCommand) -> CommandResult<Report> {
    match command {
        ConfigCommand::Init(arguments) => init::run(invocation, arguments),
        ConfigCommand::Check => look::check(invocation),
        ConfigCommand::Show => look::show(invocation),
        ConfigCommand::Fetch(arguments) => fetch::run(invocation, arguments),
    }
}
