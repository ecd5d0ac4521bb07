//! `[repository.NAME]`.

use crate::config::path;
use crate::config::secret::{Secret, secret};
use crate::config::value::{Problem, Table, Value};
use crate::units::{Span, parse_rate, parse_size, parse_span};
use std::num::NonZeroU64;
use std::path::PathBuf;

/// A place snapshots go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// A directory, or `s3://BUCKET/PREFIX?…`.
    pub url: String,
    /// What opens it, passphrase or key; as on the command line without.
    pub key: Option<Secret>,
    /// Access to the bucket; the standard chain without.
    pub credentials: Option<Credentials>,
    /// Bundle of certificates that the bucket's server is judged by.
    pub ca: Option<PathBuf>,
    /// What happens when it is not there, such as a drive that is not mounted.
    pub if_absent: IfAbsent,
    /// Size to stay below, bytes.
    pub max_size: Option<u64>,
    /// How long objects cannot be deleted by anybody.
    pub lock: Option<Lock>,
    /// Bytes a second to it.
    pub limit_upload: Option<NonZeroU64>,
    /// How much of a capture may wait before it goes up, bytes; 0 is none.
    pub spool: Option<u64>,
    /// Bytes a second from it.
    pub limit_download: Option<NonZeroU64>,
    /// What storing there costs: a name of the price table; the bucket's storage class without.
    pub price: Option<String>,
}

/// Access to a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id.
    pub id: Secret,
    /// The key.
    pub secret: Secret,
}

/// What happens when a repository is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfAbsent {
    /// The run fails.
    #[default]
    Fail,
    /// The run warns and goes on with the others.
    Warn,
}

/// How objects are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Who can lift it.
    pub mode: LockMode,
    /// How long.
    pub keep: Span,
}

/// Who can lift a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody.
    Compliance,
    /// Whoever has the right for it.
    Governance,
}

/// Places that systems empty.
const VOLATILE: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/"];

/// Characters of a URL that lead to a password.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split('/').next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

/// Refuses a place that systems empty.
pub(super) fn check_place(text: &str) -> Result<(), String> {
    match VOLATILE.iter().find(|place| text.starts_with(**place)) {
        Some(place) => Err(format!(
            "what lies in {place} is gone after a restart or sooner"
        )),
        None => Ok(()),
    }
}

pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Repository> {
    let url = table.require("url", "\"/mnt/backup/app\"", |value| {
        value.parsed(|text| {
            if has_password(text) {
                let problem = Problem::new("a secret is written out in it");
                return Err(problem.help(
                    "write credentials = { id = { env = … }, secret = { env = … } }, and change \
                     that secret",
                ));
            }
            match check_place(text) {
                Ok(()) => Ok(text.to_owned()),
                Err(why) => {
                    Err(Problem::new(why).help("choose a place that lasts, best on another disk"))
                }
            }
        })
    });
    let rate = |value: &Value<'_, '_>| value.parsed(parse_rate);
    let repository = Repository {
        url: url.clone().unwrap_or_default(),
        key: table.take("key", secret),
        credentials: table.take("credentials", credentials),
        ca: table.take("ca", path),
        if_absent: table
            .take("if_absent", |value| {
                value.choice(&[("warn", IfAbsent::Warn), ("fail", IfAbsent::Fail)])
            })
            .unwrap_or_default(),
        max_size: table.take("max_size", |value| value.parsed(parse_size)),
        lock: table.take("lock", lock),
        limit_upload: table.take("limit_upload", rate).and_then(NonZeroU64::new),
        spool: table.take("spool", |value| value.parsed(parse_size)),
        limit_download: table.take("limit_download", rate).and_then(NonZeroU64::new),
        price: table.take("price", Value::text),
    };
    url.map(|_| repository)
}

fn credentials(value: &Value<'_, '_>) -> Result<Credentials, Problem> {
    let mut table = value.table()?;
    let id = table.require("id", "{ env = \"B2_KEY_ID\" }", secret);
    let key = table.require("secret", "{ env = \"B2_APP_KEY\" }", secret);
    table.finish();
    match (id, key) {
        (Some(id), Some(secret)) => Ok(Credentials { id, secret }),
        _ => Err(Problem::new(format!("{} is incomplete", value.name))),
    }
}

fn lock(value: &Value<'_, '_>) -> Result<Lock, Problem> {
    let mut table = value.table()?;
    let mode = table.require("mode", "\"compliance\"", |value| {
        value.choice(&[
            ("compliance", LockMode::Compliance),
            ("governance", LockMode::Governance),
        ])
    });
    let keep = table.require("keep", "\"30d\"", |value| value.parsed(parse_span));
    table.finish();
    match (mode, keep) {
        (Some(mode), Some(keep)) => Ok(Lock { mode, keep }),
        _ => Err(Problem::new(format!("{} is incomplete", value.name))),
    }
}
