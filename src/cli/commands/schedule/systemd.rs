//! Units for systemd: a service and a timer for each job, or one service for the daemon.

use crate::cli::commands::daemon::tasks::Kind;
use crate::cli::commands::schedule::{Item, Plan, ScheduledFile, file_name, runs_commands};
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::place::Place;
use crate::config::SourceKind;
use crate::schedule::Timer;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much longer than its own timeout a unit lets a job live: it ends by itself.
const TIMEOUT_SLACK: Duration = Duration::from_secs(120);

/// Hardening that any manager can give, the user's own included.
const HARDENING: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
UMask=0077
";

/// What only the system's manager can give. The capabilities are for reading and restoring what belongs
/// to others.
const HARDENING_SYSTEM: &str = "\
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN
";

/// A service and a timer for each job.
pub(super) fn timers(plan: &mut Plan<'_>) -> CommandResult<Vec<ScheduledFile>> {
    let mut files = Vec::new();
    let mut remarks = Vec::new();
    for item in &plan.items {
        let Some(timer) = item.schedule.as_timer() else {
            remarks.push(format!(
                "{}: {} is nothing that a timer knows, and is left out; icecore daemon does it",
                item.name, item.schedule
            ));
            continue;
        };
        let name = plan.file_of(item);
        let zone = item.zone.iana_name();
        let own = zone.filter(|zone| Some(*zone) != plan.zone.iana_name());
        files.push(ScheduledFile {
            name: format!("{name}.service"),
            text: service(plan, item)?,
        });
        files.push(ScheduledFile {
            name: format!("{name}.timer"),
            text: timer_unit(plan, item, &timer, own),
        });
    }
    plan.remarks.extend(remarks);
    Ok(files)
}

/// One service for the daemon.
pub(super) fn daemon(plan: &mut Plan<'_>) -> CommandResult<Vec<ScheduledFile>> {
    let words = [
        plan.program.display().to_string(),
        "--config".to_owned(),
        plan.configuration.path.display().to_string(),
        "--cache-dir".to_owned(),
        plan.cache.display().to_string(),
        "daemon".to_owned(),
    ];
    let command = exec(&words)?;
    let everything: Vec<&Item<'_>> = plan.items.iter().collect();
    let hardening = hardening(plan, &everything)?;
    let text = format!(
        "{}\n[Unit]\nDescription=icecore daemon of {}\nDocumentation=man:icecore(1)\n\
         Wants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nType=notify\nExecStart={command}\nExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=on-failure\nRestartSec=30s\nWatchdogSec=3min\nKillMode=mixed\nTimeoutStopSec=90s\n\
         {}{hardening}\n[Install]\nWantedBy={}\n",
        plan.mark(),
        shown(plan.configuration.name()),
        who(plan),
        match plan.for_user {
            true => "default.target",
            false => "multi-user.target",
        },
    );
    Ok(vec![ScheduledFile {
        name: format!("{}.service", file_name(&plan.prefix())),
        text,
    }])
}

fn service(plan: &Plan<'_>, item: &Item<'_>) -> CommandResult<String> {
    let timeout = match item.timeout {
        Some(timeout) => format!("{}s", (timeout + TIMEOUT_SLACK).as_secs()),
        None => "infinity".to_owned(),
    };
    Ok(format!(
        "{}\n[Unit]\nDescription=icecore {} of {}\nDocumentation=man:icecore(1)\n\
         Wants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\nExecStart={}\nTimeoutStartSec={timeout}\nTimeoutStopSec=90s\n\
         Nice=10\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7\n{}{}",
        plan.mark(),
        item.name,
        shown(plan.configuration.name()),
        exec(&plan.command(item))?,
        who(plan),
        hardening(plan, &[item])?,
    ))
}

fn timer_unit(plan: &Plan<'_>, item: &Item<'_>, timer: &Timer, zone: Option<&str>) -> String {
    let when = match timer {
        Timer::Calendar(events) => {
            let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
            let events = events.iter();
            let lines = events.map(|event| format!("OnCalendar={event}{zone}\n"));
            // A time that was missed is made up for at the next start.
            lines.collect::<String>() + "Persistent=true\n"
        }
        Timer::Every(every) => {
            format!("OnActiveSec=1min\nOnUnitActiveSec={}s\n", every.as_secs())
        }
    };
    format!(
        "{}\n[Unit]\nDescription=icecore {} of {}: {}\nDocumentation=man:icecore(1)\n\n\
         [Timer]\n{when}AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n",
        plan.mark(),
        item.name,
        shown(plan.configuration.name()),
        item.schedule,
    )
}

fn who(plan: &Plan<'_>) -> String {
    let user = plan.run_as.map(|user| format!("User={user}\n"));
    user.unwrap_or_default()
}

fn hardening(plan: &Plan<'_>, items: &[&Item<'_>]) -> CommandResult<String> {
    let mut text = HARDENING.to_owned();
    let commands = items
        .iter()
        .any(|item| runs_commands(plan.configuration, item));
    // What a drill brings back may have these bits, and a command may make its code as it goes.
    if items.iter().all(|item| item.name.kind == Kind::Run) {
        text.push_str("RestrictSUIDSGID=yes\n");
    }
    if !commands {
        text.push_str("MemoryDenyWriteExecute=yes\n");
    }
    if plan.for_user {
        return Ok(text);
    }
    text.push_str(HARDENING_SYSTEM);
    let written = written(plan.configuration, &plan.cache, items)?;
    let in_temporary = written
        .iter()
        .any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"));
    if !in_temporary && !reads_temporary(plan.configuration, items) {
        text.push_str("PrivateTmp=yes\n");
    }
    for path in written {
        // What is not there, such as a drive that is not mounted, is passed by.
        text.push_str(&format!("ReadWritePaths={}\n", path_word(&path)?));
    }
    if commands {
        text.push_str(
            "# Commands of the job run under all this too: loosen it with systemctl edit if one needs more.\n",
        );
    }
    Ok(text)
}

/// What jobs write to: repositories, the cache, metrics, readable files, and beside the databases they
/// read.
fn written(
    configuration: &Configuration,
    cache: &Path,
    items: &[&Item<'_>],
) -> CommandResult<BTreeSet<PathBuf>> {
    let parent = |path: PathBuf| path.parent().map(Path::to_owned).unwrap_or(path);
    let config = &configuration.config;
    let mut paths = BTreeSet::from([cache.to_owned()]);
    let observe = [&config.observe.metrics, &config.observe.audit];
    for path in observe.into_iter().flatten() {
        paths.insert(parent(configuration.resolved(path)));
    }
    for item in items {
        for name in &item.job.repositories {
            let repository = config.repositories.get(name);
            let place = repository.map(|one| configuration.place(one)).transpose()?;
            if let Some(Place::Directory(directory)) = place {
                paths.insert(directory);
            }
        }
        if let Some(plan) = &item.job.export {
            paths.insert(configuration.resolved(&plan.to));
            continue;
        }
        for path in sources(configuration, item) {
            match path {
                (path, true) => drop(paths.insert(parent(path))),
                (path, false) => drop(paths.insert(path)),
            }
        }
    }
    Ok(paths)
}

/// Paths that a job reads, and whether each is a database: a reader of one makes files beside it. Trees
/// may hold some.
fn sources<'a>(
    configuration: &'a Configuration,
    item: &'a Item<'_>,
) -> impl Iterator<Item = (PathBuf, bool)> + 'a {
    let named = item.job.sources.iter();
    let sources = named.filter_map(|name| configuration.config.sources.get(name));
    sources.flat_map(|source| match &source.kind {
        SourceKind::Sqlite { path, .. } => vec![(configuration.resolved(path), true)],
        SourceKind::Files { paths, .. } => {
            let paths = paths.iter();
            paths
                .map(|path| (configuration.resolved(path), false))
                .collect()
        }
        _ => Vec::new(),
    })
}

fn reads_temporary(configuration: &Configuration, items: &[&Item<'_>]) -> bool {
    let mut all = items.iter().flat_map(|item| sources(configuration, item));
    all.any(|(path, _)| path.starts_with("/tmp") || path.starts_with("/var/tmp"))
}

/// A command line as systemd reads it.
fn exec(words: &[String]) -> CommandResult<String> {
    let quoted = words.iter().map(|word| quoted(word, true));
    Ok(quoted.collect::<CommandResult<Vec<_>>>()?.join(" "))
}

fn path_word(path: &Path) -> CommandResult<String> {
    quoted(&format!("-{}", path.display()), false)
}

/// One word as systemd reads it: `%` begins a specifier, `$` in a command a variable.
fn quoted(word: &str, is_command: bool) -> CommandResult<String> {
    if word.contains(char::is_control) {
        return Err(CommandError::usage(format!(
            "{word:?} has a control character, which no unit holds"
        ))
        .hint("rename the file or directory"));
    }
    let mut escaped = word.replace('%', "%%").replace('\\', "\\\\");
    if is_command {
        escaped = escaped.replace('$', "$$");
    }
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | ';' | '\\');
    Ok(match escaped.chars().all(plain) && !escaped.is_empty() {
        true => escaped,
        false => format!("\"{}\"", escaped.replace('"', "\\\"")),
    })
}

/// A name for people.
fn shown(name: &str) -> String {
    name.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::quoted;

    #[test]
    fn words_are_taken_as_they_are() {
        let word = |word: &str| quoted(word, true).unwrap();
        assert_eq!(word("/usr/bin/icecore"), "/usr/bin/icecore");
        assert_eq!(word("/srv/my app"), "\"/srv/my app\"");
        assert_eq!(word("100%"), "100%%");
        assert_eq!(word("$HOME"), "$$HOME");
        assert_eq!(word("a\\b\"c"), "\"a\\\\b\\\"c\"");
        assert_eq!(word(""), "\"\"");
        assert!(quoted("a\nExecStartPre=evil", true).is_err());
        assert_eq!(quoted("$HOME", false).unwrap(), "$HOME");
    }
}
