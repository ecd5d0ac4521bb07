//! Preconditions of this host: clock, cache, schedule, those who watch and are told.

use crate::cli::commands::config::zone_of;
use crate::cli::commands::doctor::Looked;
use crate::cli::commands::run::{LATE_MAX, Records};
use crate::cli::configuration::Configuration;
use crate::cli::invocation::Invocation;
use crate::cli::rule_321::volatile;
use crate::cli::unlock::is_exposed;
use crate::config::{Job, NotifyKind};
use crate::env::Timestamp;
use crate::units::{bytes, elapsed};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Before this no icecore was built: the clock is wrong.
const BUILT_AFTER_SECONDS: i64 = 1_763_000_000;

/// Free space of the cache below which it gets in the way.
const CACHE_FREE_BYTES: u64 = 512 << 20;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Looks at what every command uses.
pub fn look(invocation: &Invocation) -> Looked {
    let mut host = Looked::of("host");
    let now = invocation.now();
    match now.seconds() > BUILT_AFTER_SECONDS {
        true => host.ok("clock", now.to_rfc3339()),
        false => host.failed(
            "clock",
            format!("it says {}, which is over", now.to_rfc3339()),
            "set it, and let it be kept: timedatectl set-ntp true",
        ),
    }
    let Some(cache) = invocation.cache_root() else {
        host.attention(
            "cache",
            "there is no place for it: HOME is not set",
            "set HOME, or give --cache-dir",
        );
        return host;
    };
    match writable(&cache) {
        Err(error) => host.failed(
            "cache",
            format!("{} cannot be written: {error}", cache.display()),
            format!(
                "chown it to who runs icecore, or give --cache-dir: {}",
                cache.display()
            ),
        ),
        Ok(()) => match free(&cache) {
            Some((left, _)) if left < CACHE_FREE_BYTES => host.attention(
                "cache",
                format!("{} has {} left", cache.display(), bytes(left)),
                "make room there, or give --cache-dir; without it every run reads the index anew",
            ),
            _ => host.ok("cache", cache.display().to_string()),
        },
    }
    host
}

/// Whether files can be made in a directory, or in the nearest above it that is there.
pub(super) fn writable(directory: &Path) -> Result<(), String> {
    let there = directory.ancestors().find(|path| path.is_dir());
    let Some(there) = there else {
        return Err("nothing of its path is there".to_owned());
    };
    let access = rustix::fs::access(there, rustix::fs::Access::WRITE_OK);
    access.map_err(|error| error.to_string())
}

/// Free and whole space where a path is, bytes.
pub(super) fn free(path: &Path) -> Option<(u64, u64)> {
    let there = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    let all = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some((all(disk.f_bavail), all(disk.f_blocks)))
}

/// Who else may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Nobody else may read it.
    Unread,
    /// Nobody else may change it: it says which commands are run.
    Unchanged,
}

/// Looks whether a file can be read, and by whom.
pub fn look_at_mode(looked: &mut Looked, path: &Path, secrecy: Secrecy) {
    let shown = path.display();
    let opened = std::fs::File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (mode, file) = match opened {
        Ok((metadata, file)) => (metadata.permissions().mode() & 0o777, file),
        Err(error) => {
            let remedy = "look at its name and at who runs icecore";
            looked.failed("mode", format!("{shown} cannot be read: {error}"), remedy);
            return;
        }
    };
    let (forbidden, what) = match secrecy {
        Secrecy::Unread => (0o077, "read"),
        Secrecy::Unchanged => (0o022, "change"),
    };
    let exposed = match secrecy {
        Secrecy::Unread => is_exposed(&file, path),
        Secrecy::Unchanged => mode & forbidden != 0,
    };
    match exposed {
        false => looked.ok("mode", format!("{shown} is {mode:04o}")),
        true => looked.attention(
            "mode",
            format!("{shown} is {mode:04o}: others may {what} it"),
            format!(
                "chmod {} {shown}",
                if forbidden == 0o077 { "600" } else { "go-w" }
            ),
        ),
    }
}

/// Whether something starts a job when it should run: judged by when it last ran.
pub fn look_at_schedule(
    invocation: &Invocation,
    configuration: &Configuration,
    name: &str,
    job: &Job,
) -> Looked {
    let mut looked = Looked::of(format!("job {name}"));
    let (what, remedy) = (
        "schedule",
        "icecore schedule install systemd --daemon, or let cron call icecore run",
    );
    let Some(schedule) = &job.schedule else {
        looked.attention(
            what,
            "it has none: it runs by hand only",
            "add schedule = \"daily 03:00\"",
        );
        return looked;
    };
    let records = match Records::open(invocation, configuration) {
        Ok(records) => records,
        Err(error) => {
            looked.error(what, &error, "set HOME, or give --cache-dir");
            return looked;
        }
    };
    if !job.enabled {
        let message = format!("{schedule}: the job is disabled, so it does not count");
        looked.attention(what, message, "remove enabled = false from the job");
        return looked;
    }
    let now = invocation.now();
    let zone = zone_of(invocation, &configuration.config, job);
    let due = records.due(name, job, &zone, now);
    let missed = due.filter(|due| due.after(LATE_MAX) < now);
    let Some(record) = records.of(name) else {
        looked.attention(what, format!("{schedule}: it never ran here"), remedy);
        return looked;
    };
    let ran = invocation.moment(Timestamp(record.started));
    match missed {
        None => looked.ok(what, format!("{schedule}; last run {ran}")),
        Some(missed) => {
            let late = elapsed(now.since(missed));
            let message = format!("{schedule}: it should have run {late} ago, last run {ran}");
            looked.failed(what, message, remedy);
        }
    }
    match &record.error {
        None => looked.ok("last run", "it did all it should"),
        Some(error) => looked.attention(
            "last run",
            format!("it failed: {error}"),
            format!("icecore run {name}"),
        ),
    }
    looked
}

/// Looks at where metrics and the copy of the audit log go, and at those who are told.
pub fn look_at_observers(invocation: &Invocation, configuration: &Configuration) -> Looked {
    let mut looked = Looked::of("observe");
    let observe = &configuration.config.observe;
    for (name, path) in [("metrics", &observe.metrics), ("audit", &observe.audit)] {
        let Some(path) = path else { continue };
        let path = configuration.resolved(path);
        let parent = path.parent().unwrap_or(Path::new("/"));
        let writes = match (path.is_dir(), path.exists(), parent.is_dir()) {
            (true, ..) => Err("it is a directory".to_owned()),
            (_, true, _) => rustix::fs::access(&path, rustix::fs::Access::WRITE_OK)
                .map_err(|error| error.to_string()),
            (_, false, true) => writable(parent),
            _ => Err("its directory is not there".to_owned()),
        };
        let shown = path.display();
        match (writes, volatile(parent)) {
            (Err(error), _) => looked.failed(
                name,
                format!("{shown} cannot be written: {error}"),
                "make the directory, for who runs icecore",
            ),
            (Ok(()), Some(why)) if name == "audit" => looked.attention(
                name,
                format!("{shown} is volatile ({why})"),
                "name a place that stays, such as /var/log/icecore/audit.log",
            ),
            _ => looked.ok(name, shown.to_string()),
        }
    }
    if configuration.config.notify.is_empty() {
        looked.attention(
            "notify",
            "nobody is told when a run fails",
            "add [notify.NAME], then icecore notify test",
        );
    }
    for (name, notify) in &configuration.config.notify {
        let reached = reach(configuration, name, &notify.kind);
        match reached {
            Ok(how) => looked.ok("notify", format!("{name}: {how}")),
            Err(why) => looked.failed(
                "notify",
                format!("{name}: {why}"),
                format!("look at it, then icecore notify test {name}"),
            ),
        }
    }
    match invocation.notices().and_then(|notices| {
        let ledger = notices.map(|notices| notices.ledger()).transpose()?;
        Ok(ledger.map_or(0, |ledger| ledger.queue.len()))
    }) {
        Ok(0) => {}
        Ok(waiting) => looked.attention(
            "notify",
            format!("{waiting} messages wait to be delivered"),
            "icecore notify list; icecore notify check tries again",
        ),
        Err(error) => looked.error("notify", &error, "icecore notify list"),
    }
    looked
}

/// Connects to where a message would go, and sends nothing.
fn reach(configuration: &Configuration, name: &str, kind: &NotifyKind) -> Result<String, String> {
    let read = |secret, what: &str| {
        let secret = configuration.secret(secret, &format!("{what} of notify.{name}"));
        secret.map_err(|error| error.message())
    };
    let server = match kind {
        NotifyKind::Webhook(url) | NotifyKind::Slack(url) | NotifyKind::Ping(url) => {
            host_of(&read(url, "the URL")?)?
        }
        NotifyKind::PagerDuty { key, url } => {
            read(key, "the routing key")?;
            host_of(url.as_deref().unwrap_or("https://events.pagerduty.com/"))?
        }
        NotifyKind::Email(mail) => {
            if let Some((user, password)) = &mail.login {
                read(user, "the user")?;
                read(password, "the password")?;
            }
            mail.server.clone()
        }
        NotifyKind::Command(words) => {
            let program = words.first().map_or("", String::as_str);
            return super::sources::find_program(program).map(|found| found.display().to_string());
        }
    };
    let addresses = server
        .to_socket_addrs()
        .map_err(|error| format!("{server} has no address: {error}"))?;
    let mut last = format!("{server} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(_) => return Ok(format!("{server} answers")),
            Err(error) => last = format!("{server} does not answer: {error}"),
        }
    }
    Err(last)
}

/// Host and port of a URL; the rest of it may be a secret.
fn host_of(url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or("it is no URL")?;
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return Err("it is no http or https URL".to_owned()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (host.is_empty(), has_port) {
        (true, _) => Err("it names no host".to_owned()),
        (_, true) => Ok(host.to_owned()),
        (_, false) => Ok(format!("{host}:{default}")),
    }
}
