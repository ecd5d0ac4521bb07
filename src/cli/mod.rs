//! The command line: clap, screens, JSON, errors, exit codes. Only this module prints, reads the
//! environment or knows clap.

mod arguments;
mod commands;
mod configuration;
mod copies;
mod error;
mod exit_code;
mod external;
mod files;
mod history;
mod invocation;
mod kit;
mod listing;
mod locks;
mod log;
mod notices;
mod output;
mod patterns;
mod place;
mod process;
mod reporting;
mod rule_321;
mod second;
mod text;
mod tier;
mod ui;
mod unlock;
mod words;

use crate::env::{Clock, SystemClock};
use crate::monitor::Cancel;
use arguments::{Arguments, Command};
use clap::error::ErrorKind as ClapErrorKind;
use clap::{CommandFactory, Parser};
use error::{CommandError, CommandResult};
use exit_code::Exit;
use invocation::Invocation;
use jiff::tz::TimeZone;
use log::{Level, LogFile};
use output::{Output, Report};
use place::Requests;
use reporting::Reporter;
use serde_json::json;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use ui::Ui;

/// Runs the program: parses, executes, reports. Returns what the process ends with.
pub fn run() -> ExitCode {
    process::forbid_core_dumps();
    match Arguments::try_parse() {
        Ok(arguments) => execute(arguments).into(),
        Err(error) => refuse(&error).into(),
    }
}

/// Help, version, or a wrong command line; with `--json` that ends in a summary too.
fn refuse(error: &clap::Error) -> Exit {
    let wanted = matches!(
        error.kind(),
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion
    );
    let _unheard = error.print();
    if wanted {
        return Exit::Done;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let rendered = error.render().to_string();
        let message = rendered.lines().next().unwrap_or_default();
        let message = message.trim_start_matches("error: ");
        let usage = CommandError::usage(message).hint("icecore help");
        return Output::new(true, false, false).finish(&Err(usage));
    }
    Exit::Usage
}

fn execute(arguments: Arguments) -> Exit {
    let Arguments { global, command } = arguments;
    let output = Arc::new(Output::new(global.json, global.quiet, global.progress));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = global.log_file.as_deref();
    let (log, log_error) = match log.map(|path| LogFile::open(path, Arc::clone(&clock))) {
        None => (None, None),
        Some(Ok(log)) => (Some(log), None),
        Some(Err(error)) => (None, Some(error)),
    };
    let ui = Arc::new(Ui::new(&global, Arc::clone(&output), log));
    let cancel = Cancel::default();
    let timed_out = process::start_timeout(global.timeout, &cancel);
    let name = command.as_ref().map_or("overview", Command::name);
    let is_daemon = matches!(command, Some(Command::Daemon(_)));
    ui.log(
        Level::Info,
        "start",
        name,
        &[("version", json!(env!("CARGO_PKG_VERSION")))],
    );
    let requests = Arc::<Requests>::default();
    let reporter = Arc::<Reporter>::default();
    let result = match (log_error, process::watch_signals(&cancel, is_daemon)) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(CommandError::failed(error)),
        (None, Ok(abrupt)) => dispatch(
            &Invocation {
                global,
                output: Arc::clone(&output),
                ui: Arc::clone(&ui),
                cancel: cancel.clone(),
                abrupt,
                clock,
                zone: TimeZone::system(),
                requests: Arc::clone(&requests),
                reporter: Arc::clone(&reporter),
                configuration: OnceLock::new(),
                own_key: false,
            },
            command,
        ),
    };
    let result = result.map_err(|error| match cancel.is_cancelled() {
        true if timed_out.load(Ordering::SeqCst) => {
            CommandError::failed("it took longer than --timeout allows")
                .hint("nothing that was saved is harmed; give it more time")
        }
        // Whatever it broke: the cause is the request to stop.
        true => crate::monitor::Interrupted.into(),
        false => error,
    });
    let result = result.map(|mut report| {
        let sent = requests
            .sum()
            .map(|sent| ("requests".to_owned(), json!(sent)));
        report.summary.extend(sent);
        // What was done is done; that it was not written down must not pass unnoticed.
        if report.exit == Exit::Done && reporter.has_missed() {
            report.exit = Exit::Partial;
        }
        report
    });
    ui.clear();
    if let Err(error) = &result
        && !error.is_told
    {
        ui.error(error);
    }
    let exit = output.finish(&result);
    ui.log(
        Level::Info,
        "end",
        name,
        &[("exit_code", json!(exit.number()))],
    );
    exit
}

fn dispatch(invocation: &Invocation, command: Option<Command>) -> CommandResult<Report> {
    use commands::repo::RepoCommand;
    let Some(command) = command else {
        return commands::overview::run(invocation);
    };
    match command {
        Command::Repo(RepoCommand::Init(arguments)) | Command::Init(arguments) => {
            commands::init::run(invocation, &arguments)
        }
        Command::Repo(RepoCommand::Info) | Command::Info => commands::repo::info(invocation),
        Command::Repo(RepoCommand::Recover(arguments)) => {
            commands::recover::run(invocation, &arguments)
        }
        Command::Snapshot(arguments) => commands::snapshot::run(invocation, &arguments),
        Command::Run(arguments) => commands::run::run(invocation, &arguments),
        Command::Status(arguments) => commands::status::run(invocation, &arguments),
        Command::Stats(arguments) => commands::stats::run(invocation, &arguments),
        Command::Cost(arguments) => commands::cost::run(invocation, &arguments),
        Command::Report(arguments) => commands::report::run(invocation, &arguments),
        Command::Jobs => commands::jobs::run(invocation),
        Command::Schedule(command) => commands::schedule::run(invocation, &command),
        Command::Daemon(arguments) => commands::daemon::run(invocation, &arguments),
        Command::Config(command) => commands::config::run(invocation, &command),
        Command::Restore(arguments) => commands::restore::run(invocation, &arguments),
        Command::Check(arguments) => commands::check::run(invocation, &arguments),
        Command::Copy(arguments) => commands::copy::run(invocation, &arguments),
        Command::Mirror(arguments) => commands::mirror::run(invocation, &arguments),
        Command::Snapshots(arguments) => commands::snapshots::run(invocation, &arguments),
        Command::Ls(arguments) => commands::ls::run(invocation, &arguments),
        Command::Cat(arguments) => commands::cat::run(invocation, &arguments),
        Command::Find(arguments) => commands::find::run(invocation, &arguments),
        Command::Diff(arguments) => commands::diff::run(invocation, &arguments),
        Command::Compare(arguments) => commands::compare::run(invocation, &arguments),
        Command::Mount(arguments) => commands::mount::run(invocation, &arguments),
        Command::Export(arguments) => commands::export::run(invocation, &arguments),
        Command::Drill(arguments) => commands::drill::run(invocation, &arguments),
        Command::Forget(arguments) => commands::forget::run(invocation, &arguments),
        Command::Cleanup(arguments) => commands::forget::cleanup(invocation, &arguments),
        Command::Prune(arguments) => commands::prune::run(invocation, &arguments),
        Command::Hold(command) => commands::hold::run(invocation, &command),
        Command::Key(command) => commands::key::run(invocation, &command),
        Command::Domain(command) => commands::domain::run(invocation, &command),
        Command::Cache(command) => commands::cache::run(invocation, &command),
        Command::Completions(arguments) => {
            commands::completions::run(invocation, &arguments, Arguments::command())
        }
        Command::Man => commands::man::run(invocation, Arguments::command()),
        Command::Notify(command) => commands::notify::run(invocation, &command),
        Command::Doctor(arguments) => commands::doctor::run(invocation, &arguments),
        Command::Audit(command) => commands::audit::run(invocation, &command),
        Command::Version => commands::version::run(invocation),
    }
}
