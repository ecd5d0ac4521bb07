//! `schedule install`: files where the scheduler looks for them, and none of jobs that are gone.

use crate::cli::commands::schedule::{
    Plan, ScheduleArguments, ScheduledFile, Scheduler, files, told,
};
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Longest file that is looked into, bytes: ours are shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Options of `schedule install`.
#[derive(Debug, Args)]
pub struct InstallArguments {
    #[command(flatten)]
    what: ScheduleArguments,

    /// Write the files here, and start nothing [default: where the scheduler looks for them]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Write the files, and start nothing
    #[arg(long)]
    no_start: bool,

    /// Use cron even if it may take the times for those of another zone
    #[arg(long)]
    force: bool,

    /// Only say what would be written, taken away and started
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What happens to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    New,
    Changed,
    Same,
    Gone,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Same => "unchanged",
            Self::Gone => "removed",
        }
    }
}

/// Installs, and says of every file what happens to it.
pub(super) fn run(invocation: &Invocation, arguments: &InstallArguments) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let scheduler = arguments.what.scheduler;
    let mut what = arguments.what.clone();
    if scheduler == Scheduler::Cron && what.run_as.is_none() {
        // The table of a directory has a column for the user.
        what.run_as = Some("root".to_owned());
    }
    let directory = directory(arguments)?;
    let (files, remarks) = files(invocation, &configuration, &what)?;
    let zoned = files.iter().any(|file| file.text.contains("\nCRON_TZ="));
    if zoned && scheduler == Scheduler::Cron && !arguments.force {
        return Err(CommandError::new(
            ErrorKind::Refused,
            "times of another zone than the system's are read wrongly by crons that do not know CRON_TZ",
        )
        .hint("icecore schedule install systemd, whose timers know zones, or icecore daemon")
        .hint("--force, if your cron is cronie"));
    }
    let changes = changes(&configuration, &directory, &files)?;
    let manager = Manager::of(arguments, &directory);
    let verb = |change: Change| match (arguments.dry_run, change) {
        (true, Change::New | Change::Changed) => "would write",
        (true, Change::Gone) => "would remove",
        (false, Change::New | Change::Changed) => "wrote",
        (false, Change::Gone) => "removed",
        (_, Change::Same) => "unchanged",
    };
    if !arguments.dry_run {
        std::fs::create_dir_all(&directory)
            .map_err(|error| CommandError::file("create", &directory, &error))?;
        manager.stop(&changes, invocation)?;
        for file in &files {
            let path = directory.join(&file.name);
            if changes.contains(&(file.name.clone(), Change::Same)) {
                continue;
            }
            write_whole(&path, file.text.as_bytes(), 0o644)
                .map_err(|error| error.hint("run it as the user who may, or give --dir"))?;
        }
        for (name, change) in &changes {
            if *change == Change::Gone {
                let path = directory.join(name);
                std::fs::remove_file(&path)
                    .map_err(|error| CommandError::file("remove", &path, &error))?;
            }
        }
    }
    for (name, change) in &changes {
        let path = directory.join(name);
        invocation.output.say(&format!(
            "{} {} ({})",
            verb(*change),
            path.display(),
            change.name()
        ));
        let path = path.display().to_string();
        let fields = json!({ "name": name, "path": path, "change": change.name() });
        invocation.output.object("file", fields);
    }
    manager.start(&changes, invocation, arguments.dry_run)?;
    let mut report = told(invocation, &files, &remarks);
    report
        .summary
        .insert("dry_run".to_owned(), json!(arguments.dry_run));
    report.summary.insert(
        "directory".to_owned(),
        json!(directory.display().to_string()),
    );
    Ok(report)
}

/// Where the scheduler looks.
fn directory(arguments: &InstallArguments) -> CommandResult<PathBuf> {
    if let Some(directory) = &arguments.dir {
        return Ok(directory.clone());
    }
    let for_system = rustix::process::geteuid().is_root() || arguments.what.run_as.is_some();
    match (arguments.what.scheduler, for_system) {
        (Scheduler::Systemd, true) => Ok("/etc/systemd/system".into()),
        (Scheduler::Systemd, false) => {
            let own = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
            let own = own.filter(|path| path.is_absolute()).or_else(|| {
                let home = std::env::var_os("HOME").map(PathBuf::from)?;
                Some(home.join(".config"))
            });
            own.map(|own| own.join("systemd/user")).ok_or_else(|| {
                CommandError::usage("HOME is not set, so there is no place for units of a user")
                    .hint("give --dir")
            })
        }
        (Scheduler::Cron, true) => Ok("/etc/cron.d".into()),
        (Scheduler::Cron, false) => Err(CommandError::usage("/etc/cron.d is root's")
            .hint("icecore schedule print cron, and put its lines into crontab -e")
            .hint("or run this as root, with --run-as")),
        (Scheduler::Kubernetes, _) => Err(CommandError::usage("a cluster is told by kubectl")
            .hint("icecore schedule print k8s | kubectl apply -f -")
            .hint("or give --dir for the file")),
    }
}

/// What happens to which file, ours that are there and no longer wanted included.
fn changes(
    configuration: &Arc<Configuration>,
    directory: &Path,
    files: &[ScheduledFile],
) -> CommandResult<Vec<(String, Change)>> {
    let mut changes = Vec::new();
    for file in files {
        let path = directory.join(&file.name);
        let change = match read(&path) {
            None if path.exists() => return Err(foreign(&path)),
            None => Change::New,
            Some(text) if text == file.text => Change::Same,
            Some(text) if is_ours(&text, configuration) => Change::Changed,
            Some(_) => return Err(foreign(&path)),
        };
        changes.push((file.name.clone(), change));
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_wanted = files.iter().any(|file| file.name == name);
        let ours = || read(&entry.path()).is_some_and(|text| is_ours(&text, configuration));
        if !is_wanted && name.starts_with("icecore-") && ours() {
            changes.push((name, Change::Gone));
        }
    }
    changes.sort();
    Ok(changes)
}

fn foreign(path: &Path) -> CommandError {
    let path = path.display();
    CommandError::new(
        ErrorKind::Refused,
        format!("{path} is there, and not of this configuration"),
    )
    .hint("give the configuration another name, or take that file away")
}

fn read(path: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    match found.is_file() && found.len() <= FILE_BYTES_MAX {
        true => std::fs::read_to_string(path).ok(),
        false => None,
    }
}

fn is_ours(text: &str, configuration: &Configuration) -> bool {
    text.lines().next() == Some(Plan::mark_of(configuration).as_str())
}

/// Who is told of new units.
enum Manager {
    /// systemd's, of the system or of the user.
    Systemd { for_user: bool },
    /// Nobody: the scheduler looks for itself, or nothing is to be started.
    Nobody,
}

impl Manager {
    fn of(arguments: &InstallArguments, directory: &Path) -> Self {
        let starts = !arguments.no_start && arguments.dir.is_none();
        match (starts, arguments.what.scheduler) {
            (true, Scheduler::Systemd) => Self::Systemd {
                for_user: !directory.starts_with("/etc"),
            },
            _ => Self::Nobody,
        }
    }

    /// Stops what is taken away.
    fn stop(&self, changes: &[(String, Change)], invocation: &Invocation) -> CommandResult<()> {
        let Self::Systemd { for_user } = self else {
            return Ok(());
        };
        for name in started(changes, |change| change == Change::Gone) {
            systemctl(*for_user, &["disable", "--now", name], invocation, false)?;
        }
        Ok(())
    }

    /// Starts what is new or changed.
    fn start(
        &self,
        changes: &[(String, Change)],
        invocation: &Invocation,
        dry_run: bool,
    ) -> CommandResult<()> {
        let Self::Systemd { for_user } = self else {
            return Ok(());
        };
        if changes.iter().any(|(_, change)| *change != Change::Same) {
            systemctl(*for_user, &["daemon-reload"], invocation, dry_run)?;
        }
        for name in started(changes, |change| change != Change::Gone) {
            systemctl(*for_user, &["enable", "--now", name], invocation, dry_run)?;
        }
        for name in started(changes, |change| change == Change::Changed) {
            systemctl(*for_user, &["restart", name], invocation, dry_run)?;
        }
        if *for_user {
            invocation
                .output
                .say("These run while you are logged in; always after: loginctl enable-linger");
        }
        Ok(())
    }
}

/// The units that are started: timers, and the daemon's service where there are none.
fn started(changes: &[(String, Change)], wanted: fn(Change) -> bool) -> impl Iterator<Item = &str> {
    let is_timer = |name: &str| name.ends_with(".timer");
    let timer_of = move |name: &str| {
        let timer = name.replace(".service", ".timer");
        changes.iter().any(|(other, _)| *other == timer)
    };
    changes.iter().filter_map(move |(name, change)| {
        let counts = is_timer(name) || !timer_of(name);
        (wanted(*change) && counts).then_some(name.as_str())
    })
}

fn systemctl(
    for_user: bool,
    words: &[&str],
    invocation: &Invocation,
    dry_run: bool,
) -> CommandResult<()> {
    let mut all = vec!["systemctl"];
    if for_user {
        all.push("--user");
    }
    all.extend(words);
    let line = all.join(" ");
    if dry_run {
        invocation.output.say(&format!("would run {line}"));
        return Ok(());
    }
    let failed = |why: String| {
        CommandError::failed(format!("{line} {why}"))
            .hint("the files are written: run it by hand, or install again with --no-start")
    };
    let mut command = Command::new("systemctl");
    let output = command.args(&all[1..]).output();
    let output = output.map_err(|error| failed(format!("cannot be started: {error}")))?;
    match output.status.success() {
        true => {
            invocation.output.say(&format!("ran {line}"));
            Ok(())
        }
        false => {
            let told = String::from_utf8_lossy(&output.stderr);
            let told = told.lines().next().unwrap_or_default().to_owned();
            Err(failed(format!("ended with {}: {told}", output.status)))
        }
    }
}
