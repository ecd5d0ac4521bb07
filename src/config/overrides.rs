//! Variables that users of older scripts already set, and what each of them means here.
//!
//! Pure: values come from a function. Every variable that is set is mapped, or refused with what to write
//! instead; none is passed over in silence, and the value of a secret one is never repeated.

#[cfg(test)]
mod tests;

use crate::config::{Config, Notify, NotifyKind, Repository, Secret, Severity};
use crate::units::Span;
use std::path::Path;

/// All variables that are known.
pub const VARIABLES: [&str; 18] = [
    "BACKUP_RETENTION_DAYS",
    "DATABASE_URL",
    "BACKUP_DIR",
    "BACKUP_ROOT",
    "BACKUP_ENCRYPTION_KEY",
    "BACKUP_CIPHER",
    "BACKUP_COMPRESSION",
    "BACKUP_COMPRESSION_LEVEL",
    "BACKUP_PARALLEL_JOBS",
    "B2_KEY_ID",
    "B2_APP_KEY",
    "B2_BUCKET",
    "B2_PREFIX",
    "NAS_MOUNT_PATH",
    "VAULT_ADDR",
    "VAULT_TOKEN",
    "BACKUP_WEBHOOK_URL",
    "BACKUP_EMAIL_NOTIFICATIONS",
];

/// Ciphers, by the names that `repo init` knows.
const CIPHERS: [&str; 2] = ["xchacha20-poly1305", "aes-256-gcm"];

/// A variable that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its name.
    pub variable: &'static str,
    /// Whether it counts.
    pub counts: bool,
    /// What it does, or what to write instead.
    pub effect: String,
}

/// What the variables say besides the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Each that is set.
    pub all: Vec<Override>,
    /// How hard to compress, as `--compression` takes it.
    pub compression: Option<String>,
    /// How many jobs run side by side.
    pub parallel: Option<usize>,
}

struct Applied<'c> {
    config: &'c mut Config,
    overrides: Overrides,
}

/// Applies the variables that are set, and tells what came of each.
pub fn apply(config: &mut Config, lookup: &dyn Fn(&str) -> Option<String>) -> Overrides {
    let mut applied = Applied {
        config,
        overrides: Overrides::default(),
    };
    for variable in VARIABLES {
        let value = lookup(variable).filter(|value| !value.trim().is_empty());
        let Some(value) = value else { continue };
        let effect = applied.one(variable, value.trim(), lookup);
        let (counts, effect) = match effect {
            Ok(effect) => (true, effect),
            Err(effect) => (false, effect),
        };
        applied.overrides.all.push(Override {
            variable,
            counts,
            effect,
        });
    }
    applied.overrides
}

/// What a variable does, or why it does nothing.
type Effect = Result<String, String>;

impl Applied<'_> {
    fn one(
        &mut self,
        variable: &'static str,
        value: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Effect {
        match variable {
            "BACKUP_RETENTION_DAYS" => self.retention(value),
            "BACKUP_DIR" => self.directory(value),
            "BACKUP_ROOT" if lookup("BACKUP_DIR").is_some() => {
                Err("BACKUP_DIR is set too, and counts: unset one of them".to_owned())
            }
            "BACKUP_ROOT" => self.directory(value),
            "BACKUP_ENCRYPTION_KEY" => self.key(value),
            "BACKUP_CIPHER" => cipher(value),
            "BACKUP_COMPRESSION" => self.compression(value),
            "BACKUP_COMPRESSION_LEVEL" => self.compression_level(value),
            "BACKUP_PARALLEL_JOBS" => self.parallel(value),
            "B2_BUCKET" => self.bucket(Some(value), None),
            "B2_PREFIX" => self.bucket(None, Some(value)),
            "NAS_MOUNT_PATH" => self.mount(value),
            "B2_KEY_ID" | "B2_APP_KEY" => self.bucket_key(),
            "VAULT_ADDR" | "VAULT_TOKEN" => self.vault(),
            "BACKUP_WEBHOOK_URL" => self.webhook(value),
            "BACKUP_EMAIL_NOTIFICATIONS" => self.mail(),
            _ => self.database(),
        }
    }

    fn retention(&mut self, value: &str) -> Effect {
        let days: u32 = match value.parse() {
            Ok(days @ 1..=36_500) => days,
            _ => return Err("it is no number of days from 1 on".to_owned()),
        };
        let mut jobs = Vec::new();
        for (name, job) in &mut self.config.jobs {
            let Some(keep) = &mut job.keep else { continue };
            let mut days_only = keep.clone();
            days_only.keep_within = None;
            // Other rules were weighed against each other, minimum and maximum included.
            if keep.keep_within.is_some() && days_only == crate::retention::Policy::default() {
                keep.keep_within = Some(Span::days(days));
                jobs.push(name.clone());
            }
        }
        match jobs.is_empty() {
            false => Ok(format!(
                "keep = {{ days = {days} }} of {}",
                listed("job", &jobs)
            )),
            true => Err(
                "no job keeps by days alone: write keep = { days = 14 } where it is to count"
                    .to_owned(),
            ),
        }
    }

    /// The repository that a variable for one kind of place means: the one of that name, else the only
    /// one.
    fn meant(
        &mut self,
        name: &str,
        fits: fn(&Repository) -> bool,
    ) -> Result<(String, &mut Repository), String> {
        let fitting = self.config.repositories.iter();
        let fitting: Vec<String> = fitting
            .filter(|(_, repository)| fits(repository))
            .map(|(name, _)| name.clone())
            .collect();
        let chosen = match fitting.as_slice() {
            [only] => only.clone(),
            many if many.iter().any(|one| one == name) => name.to_owned(),
            [] => {
                return Err(format!(
                    "write [repository.{name}] with a url that it replaces"
                ));
            }
            many => {
                return Err(format!(
                    "it could mean {}: name one of them {name:?}",
                    listed("repository", many)
                ));
            }
        };
        match self.config.repositories.get_mut(&chosen) {
            Some(repository) => Ok((chosen, repository)),
            None => Err(format!("write [repository.{name}]")),
        }
    }

    fn directory(&mut self, value: &str) -> Effect {
        if !Path::new(value).is_absolute() {
            return Err("it is no absolute path".to_owned());
        }
        crate::config::repository::check_place(value)?;
        let (name, repository) = self.meant("local", |one| !one.url.contains("://"))?;
        value.clone_into(&mut repository.url);
        Ok(format!("url of repository.{name}: {value}"))
    }

    fn mount(&mut self, value: &str) -> Effect {
        if !Path::new(value).is_absolute() {
            return Err("it is no absolute path".to_owned());
        }
        crate::config::repository::check_place(value)?;
        let Some(repository) = self.config.repositories.get_mut("nas") else {
            return Err(
                "write [repository.nas], with url = \"/mnt/nas/DIRECTORY\": the mount is replaced"
                    .to_owned(),
            );
        };
        if repository.url.contains("://") {
            return Err("repository.nas is a bucket, and no mount".to_owned());
        }
        let own = Path::new(&repository.url).file_name().unwrap_or_default();
        let url = Path::new(value).join(own).to_string_lossy().into_owned();
        repository.url.clone_from(&url);
        Ok(format!("url of repository.nas: {url}"))
    }

    fn bucket(&mut self, bucket: Option<&str>, prefix: Option<&str>) -> Effect {
        let fits = |text: &str| {
            !text.contains(['?', '#', '@', ':']) && !text.contains(char::is_whitespace)
        };
        if !bucket.into_iter().chain(prefix).all(fits) {
            return Err("it holds what no name of a bucket or prefix does".to_owned());
        }
        if bucket.is_some_and(|bucket| bucket.contains('/')) {
            return Err("it is a bucket's name alone: the prefix goes to B2_PREFIX".to_owned());
        }
        let (name, repository) = self.meant("offsite", |one| one.url.starts_with("s3://"))?;
        let rest = repository.url.trim_start_matches("s3://").to_owned();
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, format!("?{query}")),
            None => (rest.as_str(), String::new()),
        };
        let (own_bucket, own_prefix) = place.split_once('/').unwrap_or((place, ""));
        let bucket = bucket.unwrap_or(own_bucket);
        let prefix = prefix.unwrap_or(own_prefix).trim_matches('/');
        repository.url = format!("s3://{bucket}/{prefix}{query}");
        Ok(format!("url of repository.{name}: s3://{bucket}/{prefix}…"))
    }

    fn bucket_key(&self) -> Effect {
        let buckets = self.config.repositories.iter();
        let buckets: Vec<String> = buckets
            .filter(|(_, one)| one.url.starts_with("s3://"))
            .map(|(name, _)| name.clone())
            .collect();
        match buckets.is_empty() {
            false => Ok(format!(
                "access to {}, with both B2_KEY_ID and B2_APP_KEY, where the file names no credentials",
                listed("repository", &buckets)
            )),
            true => Err(
                "no repository is a bucket: write url = \"s3://BUCKET/PREFIX?endpoint=…\""
                    .to_owned(),
            ),
        }
    }

    fn key(&mut self, value: &str) -> Effect {
        if !Path::new(value).is_absolute() {
            return Err(
                "it is no absolute path: icecore key generate FILE makes a key, and its path goes here"
                    .to_owned(),
            );
        }
        let mut opened = Vec::new();
        for (name, repository) in &mut self.config.repositories {
            if repository.key.is_none() {
                repository.key = Some(Secret::File(value.into()));
                opened.push(name.clone());
            }
        }
        match opened.is_empty() {
            false => Ok(format!(
                "key of {}: file {value}",
                listed("repository", &opened)
            )),
            true => Err(
                "every repository names its own key; take that away where this is to count"
                    .to_owned(),
            ),
        }
    }

    fn compression(&mut self, value: &str) -> Effect {
        let lower = value.to_ascii_lowercase();
        let (effort, remark) = match lower.as_str() {
            "none" | "off" | "false" | "no" | "0" => ("off", ""),
            "true" | "yes" | "1" | "on" | "auto" | "zstd" => ("auto", ""),
            "fast" | "lz4" | "snappy" => ("fast", ", by zstd"),
            "max" | "best" | "xz" | "lzma" => ("max", ", by zstd"),
            "gzip" | "gz" | "bzip2" | "pigz" | "brotli" => ("auto", ", by zstd"),
            _ => return Err(format!("it is none of auto, fast, max, off; {HARDER}")),
        };
        self.overrides.compression = Some(effort.to_owned());
        Ok(format!(
            "--compression {effort}{remark}, of runs that give none"
        ))
    }

    fn compression_level(&mut self, value: &str) -> Effect {
        match value.parse::<i32>() {
            Ok(level @ -7..=19) if self.overrides.compression.as_deref() != Some("off") => {
                self.overrides.compression = Some(level.to_string());
                Ok(format!(
                    "--compression {level} (zstd), of runs that give none"
                ))
            }
            Ok(-7..=19) => Err("BACKUP_COMPRESSION turns compression off".to_owned()),
            _ => Err(HARDER.to_owned()),
        }
    }

    fn parallel(&mut self, value: &str) -> Effect {
        match value.parse() {
            Ok(jobs @ 1..=64) => {
                self.overrides.parallel = Some(jobs);
                Ok(format!("icecore daemon --parallel {jobs}"))
            }
            _ => Err("it is no number from 1 to 64".to_owned()),
        }
    }

    fn vault(&self) -> Effect {
        let is_command = |secret: &Option<Secret>| matches!(secret, Some(Secret::Command(_)));
        match self.config.repositories.values().any(|one| is_command(&one.key)) {
            true => Ok("passed to the commands that print keys".to_owned()),
            false => Err(
                "no key is printed by a command: write key = { command = [\"vault\", \"kv\", \"get\", \
                 \"-field=key\", \"PATH\"] }"
                    .to_owned(),
            ),
        }
    }

    fn webhook(&mut self, value: &str) -> Effect {
        const NAME: &str = "BACKUP_WEBHOOK_URL";
        let own = Secret::Env(NAME.to_owned());
        let uses = |notify: &Notify| match &notify.kind {
            NotifyKind::Webhook(secret) | NotifyKind::Slack(secret) | NotifyKind::Ping(secret) => {
                *secret == own
            }
            _ => false,
        };
        if let Some((name, _)) = self.config.notify.iter().find(|(_, notify)| uses(notify)) {
            return Ok(format!("url of notify.{name}"));
        }
        if !value.starts_with("https://") && !value.starts_with("http://") {
            return Err("it is no URL that begins with https://".to_owned());
        }
        let kind = match value.starts_with("https://hooks.slack.com/") {
            true => NotifyKind::Slack(own),
            false => NotifyKind::Webhook(own),
        };
        let notify = Notify {
            on: vec![Severity::Warning, Severity::Critical],
            kind,
        };
        self.config.notify.insert("webhook".to_owned(), notify);
        Ok("a notice of its own, on = [\"warning\", \"critical\"]".to_owned())
    }

    fn mail(&self) -> Effect {
        let mut all = self.config.notify.iter();
        match all.find(|(_, notify)| matches!(notify.kind, NotifyKind::Email(_))) {
            Some((name, _)) => Err(format!("notify.{name} says who gets mail: unset this")),
            None => Err(
                "a server and a sender belong to it: write [notify.mail] with kind = \"email\", server, \
                 from and to"
                    .to_owned(),
            ),
        }
    }

    fn database(&self) -> Effect {
        let mut sources = self.config.sources.iter();
        let named = sources.find(|(_, source)| source.kind.takes_from("DATABASE_URL"));
        match named {
            Some((name, _)) => Ok(format!("url of source.{name}")),
            None => Err(
                "no source takes it: write url = { env = \"DATABASE_URL\" } in a source of a database"
                    .to_owned(),
            ),
        }
    }
}

const HARDER: &str = "give a zstd level from -7 to 19";

fn cipher(value: &str) -> Effect {
    match cipher_of(value) {
        Some(cipher) => Ok(format!(
            "icecore repo init --cipher {cipher}, where none is given"
        )),
        None => Err(format!(
            "icecore has {} and nothing that does not authenticate: set it to one of them",
            CIPHERS.join(" and ")
        )),
    }
}

/// A cipher by the names that it goes by.
pub fn cipher_of(value: &str) -> Option<&'static str> {
    let letters = value.chars().filter(char::is_ascii_alphanumeric);
    let plain = letters.collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "aes256gcm" | "xaes256gcm" => Some(CIPHERS[1]),
        "xchacha20poly1305" | "chacha20poly1305" => Some(CIPHERS[0]),
        _ => None,
    }
}

fn listed(what: &str, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{what}.{name}")).collect();
    names.join(", ")
}
