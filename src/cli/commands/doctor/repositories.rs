//! Preconditions of repositories: the key, the storage, what the credential may, space.

use crate::cli::commands::doctor::Looked;
use crate::cli::commands::doctor::host::{self, Secrecy};
use crate::cli::configuration::Configuration;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::place::Place;
use crate::cli::rule_321::{shares_disk, volatile};
use crate::cli::text;
use crate::config::{self, IfAbsent, Job, JobKind, Secret, SourceKind};
use crate::env::SystemEntropy;
use crate::repository::{CredentialKind, Need, Repository};
use crate::status::{KEYS_OLD, Room, room};
use crate::store::{Harm, Probed, S3Store, Versioning, probe_rights};
use crate::units::{bytes, elapsed};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A clock that differs by more than this from the storage's is told, seconds.
const SKEW_SECONDS: u64 = 300;

/// Looks at a repository of the configuration, as the jobs `chosen` need it.
pub fn look(
    invocation: &Invocation,
    (configuration, name, repository): (&Configuration, &str, &config::Repository),
    chosen: &[(String, &Job)],
) -> Looked {
    let mut looked = Looked::of(format!("repository {name}"));
    let own = invocation.with_repository(name);
    let place = match configuration.place(repository) {
        Ok(place) => place,
        Err(error) => {
            looked.error("place", &error, "icecore config check");
            return looked;
        }
    };
    if let Some(key) = &repository.key {
        look_at_key(&mut looked, configuration, key, &place);
    }
    let Some(open) = open(&own, &mut looked, &place, repository.if_absent) else {
        return looked;
    };
    look_at_open(&own, &mut looked, &open);
    for (job_name, job) in chosen {
        if job.repositories.iter().any(|one| one == name) {
            look_at_rights(&mut looked, &open, name, job_name, job);
        }
    }
    if let Place::Directory(directory) = &place {
        for (source, path) in paths(configuration) {
            if path.exists() && shares_disk(&path, directory) {
                looked.attention(
                    "disk",
                    format!("on the same disk as source {source}: one failure takes both"),
                    "add a repository elsewhere to the job's repositories",
                );
                break;
            }
        }
    }
    looked
}

/// Looks at a repository that was given by hand.
pub fn look_at_given(invocation: &Invocation) -> Looked {
    let mut looked = Looked::of("repository");
    match invocation.place() {
        Ok(place) => {
            if let Some(open) = open(invocation, &mut looked, &place, IfAbsent::Fail) {
                look_at_open(invocation, &mut looked, &open);
            }
        }
        Err(error) => looked.error("place", &error, "give -r"),
    }
    looked
}

/// The paths that are captured, with their sources' names.
fn paths(configuration: &Configuration) -> Vec<(&str, std::path::PathBuf)> {
    let mut paths = Vec::new();
    for (name, source) in &configuration.config.sources {
        match &source.kind {
            SourceKind::Sqlite { path, .. } => {
                paths.push((name.as_str(), configuration.resolved(path)))
            }
            SourceKind::Files { paths: all, .. } => {
                paths.extend(
                    all.iter()
                        .map(|path| (name.as_str(), configuration.resolved(path))),
                );
            }
            _ => {}
        }
    }
    paths
}

fn look_at_key(looked: &mut Looked, configuration: &Configuration, key: &Secret, place: &Place) {
    match key {
        Secret::File(path) => {
            let path = configuration.resolved(path);
            host::look_at_mode(looked, &path, Secrecy::Unread);
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            if let Some(directory) = place.directory()
                && real(&path).starts_with(real(directory))
            {
                looked.failed(
                    "key",
                    "it lies in the repository that it opens: whoever has the one has the other",
                    "move it out, and keep a second copy elsewhere",
                );
            }
        }
        Secret::Env(name) => match configuration.variable(name) {
            Some(_) => looked.ok("key", format!("variable {name} is set")),
            None => looked.failed(
                "key",
                format!("variable {name} is not set"),
                "set it, or name a file that sets it in env_files",
            ),
        },
        Secret::Command(words) => {
            let program = words.first().map_or("", String::as_str);
            match super::sources::find_program(program) {
                Ok(found) => looked.ok("key", format!("printed by {}", found.display())),
                Err(why) => looked.failed("key", why, "install it, or give its whole path"),
            }
        }
        Secret::Fd(number) => looked.attention(
            "key",
            format!("file descriptor {number}: only what starts icecore can give it"),
            "a key file lets cron, a timer or a daemon run it too",
        ),
    }
}

fn open(
    invocation: &Invocation,
    looked: &mut Looked,
    place: &Place,
    if_absent: IfAbsent,
) -> Option<OpenRepository> {
    let store = invocation.open_store_at(place);
    let config = store.and_then(|open| Ok(Repository::config_of(&*open.store)?));
    match (config, if_absent) {
        (Ok(_), _) => looked.ok("reachable", place.to_string()),
        (Err(error), IfAbsent::Warn) => {
            let message = format!("{place}: {}", error.message());
            looked.attention(
                "reachable",
                message,
                "mount it; until then runs go on without it",
            );
            return None;
        }
        (Err(error), IfAbsent::Fail) => {
            looked.error(
                "reachable",
                &error,
                "look at url and credentials; icecore repo init makes one",
            );
            return None;
        }
    }
    match invocation.open_repository() {
        Ok(open) => {
            let kind = open.repository.access().kind();
            looked.ok(
                "opens",
                format!(
                    "as {}, {}",
                    text::line(open.repository.access().label()),
                    kind.map_or("of another kind", CredentialKind::name)
                ),
            );
            Some(open)
        }
        Err(error) => {
            looked.error(
                "opens",
                &error,
                "icecore key test, with what should open it",
            );
            None
        }
    }
}

fn look_at_open(invocation: &Invocation, looked: &mut Looked, open: &OpenRepository) {
    look_at_storage(looked, open);
    if let Some(directory) = open.place.directory() {
        look_at_directory(looked, directory);
    }
    if let Some(bucket) = &open.bucket {
        look_at_bucket(looked, bucket.store());
    }
    if open
        .repository
        .access()
        .check_allowed(Need::Administer, "")
        .is_ok()
    {
        look_at_age(invocation, looked, open);
    }
}

/// What the storage lets this host do, tried out with an object of its own.
fn look_at_storage(looked: &mut Looked, open: &OpenRepository) {
    let kind = open.repository.access().kind();
    match probe_rights(
        open.repository.store(),
        open.repository.clock(),
        &SystemEntropy,
    ) {
        Err(error) if kind == Some(CredentialKind::Reader) => looked.ok(
            "storage",
            format!(
                "cannot be written, which a reader need not: {}",
                crate::explain::explain(&error)
            ),
        ),
        Err(error) => looked.failed(
            "storage",
            crate::explain::explain(&error),
            "let this host write there: the directory's owner and mode, or s3:PutObject, \
             s3:GetObject and s3:ListBucket",
        ),
        Ok(Probed {
            clock_ahead_seconds,
            deletes,
        }) => {
            let is_weak = kind == Some(CredentialKind::WriteOnly);
            match (deletes, is_weak) {
                (true, true) => looked.attention(
                    "storage",
                    "this host may save only, and its access to the storage can delete",
                    "take the right to delete from it, and turn versions or Object Lock on",
                ),
                (false, false) if kind != Some(CredentialKind::Reader) => looked.attention(
                    "storage",
                    "it can be written and read, not deleted from: prune will fail here",
                    "let another host prune (prune_by), or give this one the right to delete",
                ),
                _ => looked.ok("storage", "written, shown, read"),
            }
            let skew = clock_ahead_seconds.unwrap_or(0);
            if skew.unsigned_abs() > SKEW_SECONDS {
                let by = elapsed(Duration::from_secs(skew.unsigned_abs()));
                looked.attention(
                    "clock",
                    format!("the storage's clock and this host's differ by {by}"),
                    "let both be kept: timedatectl set-ntp true",
                );
            }
        }
    }
}

fn look_at_directory(looked: &mut Looked, directory: &Path) {
    let shown = directory.display();
    if let Some(why) = volatile(directory) {
        looked.attention(
            "place",
            format!("{shown} is volatile ({why})"),
            "move it to a disk that stays: fine for a try, not for a backup",
        );
    }
    let mode = std::fs::metadata(directory).map(|metadata| metadata.permissions().mode() & 0o777);
    match mode {
        Ok(mode) if mode & 0o077 != 0 => looked.attention(
            "private",
            format!("{shown} is {mode:04o}: others see what is stored, sealed as it is"),
            format!("chmod 700 {shown}"),
        ),
        _ => looked.ok("private", "for its owner only"),
    }
    let disk = host::free(directory);
    match (room(0, None, disk), disk) {
        (Room::Enough, Some((free, whole))) => {
            looked.ok("space", format!("{} of {} free", bytes(free), bytes(whole)));
        }
        (Room::Enough, None) => {}
        (Room::Low(message) | Room::Short(message), _) => looked.attention(
            "space",
            message,
            "make room there, shorter keep rules, icecore prune",
        ),
    }
}

/// What only the bucket itself can promise.
fn look_at_bucket(looked: &mut Looked, bucket: &S3Store) {
    let facts = match bucket.facts() {
        Ok(facts) => facts,
        Err(error) => {
            let message = crate::explain::explain(&error);
            return looked.failed("bucket", message, "look at its name and its credentials");
        }
    };
    let unknown = |looked: &mut Looked, what: &str| {
        looked.attention(
            "bucket",
            format!("{what}: the server does not say, or not to this access key"),
            "look at it in the vendor's console",
        );
    };
    match facts.is_public.known() {
        Some(false) => looked.ok("bucket", "private"),
        Some(true) => looked.failed(
            "bucket",
            "it is public: everyone can fetch what is stored, sealed as it is",
            "make it private, with its policy and its access lists",
        ),
        None => unknown(looked, "whether it is private"),
    }
    match facts.versioning.known() {
        Some(Versioning::On) => looked.ok("bucket", "versions are on"),
        Some(Versioning::Off | Versioning::Suspended) => looked.attention(
            "bucket",
            "versions are off: what is deleted or overwritten is gone",
            "turn versions on: then a stolen access key cannot take old snapshots away",
        ),
        None => unknown(looked, "whether versions are on"),
    }
    match facts.object_lock.known() {
        Some(Some(_)) => looked.ok("bucket", "Object Lock is on"),
        Some(None) => looked.attention(
            "bucket",
            "Object Lock is off",
            "a bucket with Object Lock keeps what an attacker with every key wants to delete",
        ),
        None => unknown(looked, "whether Object Lock is on"),
    }
    let Some(rules) = facts.rules.known() else {
        return unknown(looked, "what its lifecycle rules do");
    };
    for hazard in &rules.hazards {
        let harm = match &hazard.harm {
            Harm::Expires(_) => "deletes what newer snapshots still need".to_owned(),
            Harm::Freezes { class, .. } => format!("moves what newer snapshots need to {class}"),
        };
        looked.failed(
            "bucket",
            format!("its lifecycle rule {} {harm}", text::line(&hazard.rule)),
            "remove the rule; forget and prune decide what goes",
        );
    }
}

fn look_at_age(invocation: &Invocation, looked: &mut Looked, open: &OpenRepository) {
    match open.repository.keys_drawn() {
        Ok(drawn) => {
            let age = invocation.now().seconds() - drawn.since.seconds();
            let age = Duration::from_secs(age.max(0).unsigned_abs());
            let message = format!(
                "keys of generation {}, {} old",
                drawn.generation,
                elapsed(age)
            );
            match age > KEYS_OLD {
                true => looked.attention("key age", message, "icecore key rotate, once a quarter"),
                false => looked.ok("key age", message),
            }
        }
        Err(error) => looked.failed("key age", crate::explain::explain(&error), "icecore check"),
    }
}

/// Whether the credential may do what a job asks of it.
fn look_at_rights(
    looked: &mut Looked,
    open: &OpenRepository,
    name: &str,
    job_name: &str,
    job: &Job,
) {
    let access = open.repository.access();
    let may = |need| access.check_allowed(need, "").is_ok();
    let prunes = (job.keep.is_some() || job.kind == JobKind::Prune)
        && !job.prune_by.contains_key(name)
        && job.keep.as_ref().is_none_or(|keep| !keep.keep_forever);
    match (job.kind, prunes) {
        (JobKind::Backup, _) if !may(Need::Write) => looked.failed(
            "rights",
            format!("job {job_name} saves, and this credential may not"),
            "give it another key: icecore key add --capability write-only",
        ),
        (JobKind::Export, _) if !may(Need::Read) => looked.failed(
            "rights",
            format!("job {job_name} writes readable files, and this credential may not read"),
            "give it another key: icecore key add --capability reader",
        ),
        (_, true) if !may(Need::Maintain) => looked.failed(
            "rights",
            format!("job {job_name} has keep rules, and this credential may not delete"),
            "name the job of another host that prunes: prune_by = { REPOSITORY = \"JOB\" }",
        ),
        _ => looked.ok("rights", format!("enough for job {job_name}")),
    }
}
