//! `man`: the manual page, all commands in one.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use clap_mangen::Man;

/// Writes the page in roff.
pub fn run(invocation: &Invocation, mut command: clap::Command) -> CommandResult<Report> {
    command.build();
    let mut page = Vec::new();
    render(&command, &mut page)
        .map_err(|error| CommandError::failed(format!("cannot render the page: {error}")))?;
    invocation.output.bytes(&page);
    Ok(Report::done())
}

fn render(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    Man::new(command.clone()).render(page)?;
    render_commands(command, "icecore", page)
}

fn render_commands(command: &clap::Command, path: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
    for sub in command.get_subcommands().filter(shown) {
        let path = format!("{path} {}", sub.get_name());
        page.extend_from_slice(format!(".SH {}\n", path.to_uppercase()).as_bytes());
        let man = Man::new(own_options(sub));
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        render_commands(sub, &path, page)?;
    }
    Ok(())
}

/// Without the options that the first section describes already.
fn own_options(command: &clap::Command) -> clap::Command {
    command
        .clone()
        .mut_args(|argument| match argument.is_global_set() {
            true => argument.hide(true),
            false => argument,
        })
}
