//! `completions`: for shells.

use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use clap::Args;
use clap_complete::Shell;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Which shell
    shell: Shell,
}

/// Writes a completion script.
pub fn run(
    invocation: &Invocation,
    arguments: &CompletionsArguments,
    mut command: clap::Command,
) -> CommandResult<Report> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "icecore", &mut script);
    invocation.output.bytes(&script);
    Ok(Report::done())
}
