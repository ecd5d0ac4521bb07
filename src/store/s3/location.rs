//! `s3://BUCKET/PREFIX?…`: which bucket, where it is and how it is spoken to. Never a secret.

use crate::store::custody::{LOCK_MAX, LOCK_MIN, Lock, LockMode};
use crate::units::parse_duration;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;

/// What a location begins with.
const SCHEME: &str = "s3://";

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What may follow the `?` of a location.
const OPTIONS: &str = "endpoint, region, storage-class, lock, addressing, profile, ca, allow-http";

/// A prefix of a bucket, and how to get there. Shown and parsed as `s3://BUCKET/PREFIX?…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The server; without one that of AWS, or what the environment or the profile names.
    pub endpoint: Option<Endpoint>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// The storage class of what may lie in another than the bucket's own.
    pub storage_class: Option<String>,
    /// How objects are locked; `None`: they are not.
    pub lock: Option<Lock>,
    /// Where the bucket's name goes.
    pub addressing: Option<Addressing>,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Certificates to trust besides those of the system, PEM.
    pub ca: Option<PathBuf>,
    /// Unencrypted connections are allowed to other machines too.
    pub allow_http: bool,
}

/// Where the bucket's name goes in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// Into the path: `https://HOST/BUCKET/KEY`.
    Path,
    /// Into the host: `https://BUCKET.HOST/KEY`.
    Virtual,
}

/// A text that is no location in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3LocationError {
    /// It begins otherwise.
    #[error("a location in a bucket begins with s3://")]
    Scheme,
    /// No bucket of this name can be.
    #[error("{0:?} is not the name of a bucket")]
    Bucket(String),
    /// A part of the prefix that some store or tool would take for something else.
    #[error("{0:?} cannot be a part of a prefix: use letters, digits and -_.!*'()=")]
    Prefix(String),
    /// Credentials in the location: not repeated here.
    #[error("there are credentials in the location of the repository")]
    Secret,
    /// An option that is not known.
    #[error("{0:?} is not an option of a location; there are {OPTIONS}")]
    Option(String),
    /// An option that is given twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A value that makes no sense.
    #[error("{value:?} is no {name}: {reason}")]
    Value {
        /// The option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// Everything would be sent unencrypted over a network.
    #[error("{0} is not encrypted")]
    Plain(Endpoint),
}

impl S3Location {
    /// Bucket and prefix without the options, for messages.
    pub fn short(&self) -> String {
        let mut text = format!("{SCHEME}{}", self.bucket);
        if !self.prefix.is_empty() {
            text.push('/');
            text.push_str(&self.prefix);
        }
        text
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), S3LocationError> {
        let reject = |name, value, reason| {
            Err(S3LocationError::Value {
                name,
                value,
                reason,
            })
        };
        match name {
            "endpoint" => once(&mut self.endpoint, "endpoint", value.parse()?),
            "region" if !is_word(&value) => reject("region", value, "letters, digits and -"),
            "region" => once(&mut self.region, "region", value),
            "storage-class" if !is_word(&value) => {
                reject("storage-class", value, "such as STANDARD_IA")
            }
            "storage-class" => once(&mut self.storage_class, "storage-class", value),
            "lock" => match parse_lock(&value) {
                Ok(lock) => once(&mut self.lock, "lock", lock),
                Err(reason) => reject("lock", value, reason),
            },
            "profile" if value.is_empty() => reject("profile", value, "the name of a profile"),
            "profile" => once(&mut self.profile, "profile", value),
            "ca" if value.is_empty() => reject("ca", value, "a file of certificates"),
            "ca" => once(&mut self.ca, "ca", PathBuf::from(value)),
            "addressing" => {
                let addressing = match value.as_str() {
                    "path" => Addressing::Path,
                    "virtual" => Addressing::Virtual,
                    _ => return reject("addressing", value, "path or virtual"),
                };
                once(&mut self.addressing, "addressing", addressing)
            }
            "allow-http" => {
                self.allow_http = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return reject("allow-http", value, "true or false"),
                };
                Ok(())
            }
            _ => Err(S3LocationError::Option(name.to_owned())),
        }
    }
}

/// `MODE:DURATION`.
fn parse_lock(text: &str) -> Result<Lock, &'static str> {
    let form = "such as compliance:30d or governance:30d";
    let (mode, keep) = text.split_once(':').ok_or(form)?;
    let mode = [LockMode::Compliance, LockMode::Governance]
        .into_iter()
        .find(|known| known.name() == mode)
        .ok_or(form)?;
    let keep = parse_duration(keep).map_err(|_| form)?;
    match (LOCK_MIN..=LOCK_MAX).contains(&keep) {
        true => Ok(Lock { mode, keep }),
        false => Err("it is a day at least and ten years at most"),
    }
}

fn show_lock(lock: Lock) -> String {
    let (mode, seconds) = (lock.mode.name(), lock.keep.as_secs());
    match seconds % DAY_SECONDS {
        0 => format!("{mode}:{}d", seconds / DAY_SECONDS),
        _ => format!("{mode}:{seconds}s"),
    }
}

fn once<T>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), S3LocationError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(S3LocationError::Twice(name)),
    }
}

fn is_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_plain)
}

fn is_bucket(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (3..=63).contains(&name.len())
        && name.bytes().all(inner)
        && end(name.bytes().next())
        && end(name.bytes().last())
        && !name.contains("..")
}

/// Parts that every store and tool leaves as they are.
fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!*'()=".contains(&byte);
    !matches!(part, "" | "." | "..") && part.bytes().all(plain)
}

impl FromStr for S3Location {
    type Err = S3LocationError;

    fn from_str(text: &str) -> Result<Self, S3LocationError> {
        let rest = text.strip_prefix(SCHEME).ok_or(S3LocationError::Scheme)?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err(S3LocationError::Secret);
        }
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if !is_bucket(bucket) {
            return Err(S3LocationError::Bucket(bucket.to_owned()));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let bad = |part: &&str| !is_part(part);
        if !prefix.is_empty()
            && let Some(part) = prefix.split('/').find(bad)
        {
            return Err(S3LocationError::Prefix(part.to_owned()));
        }
        let mut location = Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            storage_class: None,
            lock: None,
            addressing: None,
            profile: None,
            ca: None,
            allow_http: false,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            location.set(name, decode(value))?;
        }
        Ok(location)
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addressing = self.addressing.map(|addressing| match addressing {
            Addressing::Path => "path".to_owned(),
            Addressing::Virtual => "virtual".to_owned(),
        });
        let options = [
            ("endpoint", self.endpoint.as_ref().map(Endpoint::to_string)),
            ("region", self.region.clone()),
            ("storage-class", self.storage_class.clone()),
            ("lock", self.lock.map(show_lock)),
            ("addressing", addressing),
            ("profile", self.profile.clone()),
            ("ca", self.ca.as_ref().map(|ca| ca.display().to_string())),
            ("allow-http", self.allow_http.then(|| "true".to_owned())),
        ];
        f.write_str(&self.short())?;
        let mut separator = '?';
        for (name, value) in options {
            if let Some(value) = value {
                write!(f, "{separator}{name}={}", encode(&value))?;
                separator = '&';
            }
        }
        Ok(())
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    is_encrypted: bool,
    /// In lower case, an IPv6 address with its brackets.
    host: String,
    /// With its colon, or empty.
    port: String,
    /// With its slash, or empty.
    path: String,
}

impl Endpoint {
    /// The host: a name or an address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether only this machine can listen in.
    pub fn is_loopback(&self) -> bool {
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            return true;
        }
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse::<std::net::IpAddr>();
        address.is_ok_and(|address| address.is_loopback())
    }

    /// Fails unless connections are encrypted, stay on this machine, or need not be.
    pub fn check_encrypted(&self, allow_http: bool) -> Result<(), S3LocationError> {
        match self.is_encrypted || allow_http || self.is_loopback() {
            true => Ok(()),
            false => Err(S3LocationError::Plain(self.clone())),
        }
    }
}

impl FromStr for Endpoint {
    type Err = S3LocationError;

    /// `https://` may be left out.
    fn from_str(text: &str) -> Result<Self, S3LocationError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        if rest.contains('@') {
            return Err(S3LocationError::Secret);
        }
        let bad = |reason| S3LocationError::Value {
            name: "endpoint",
            value: text.to_owned(),
            reason,
        };
        let is_encrypted = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad("it begins with https:// or http://")),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let after_address = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[after_address..].find(':') {
            Some(colon) => authority.split_at(after_address + colon),
            None => (authority, ""),
        };
        let is_port = |port: &str| port[1..].parse::<u16>().is_ok_and(|port| port > 0);
        if !port.is_empty() && !is_port(port) {
            return Err(bad("what follows the host is no port"));
        }
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(inner) {
            return Err(bad("it has no host"));
        }
        let path = path.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./~".contains(&byte);
        if !path.bytes().all(plain) {
            return Err(bad("its path has characters that are not meant there"));
        }
        Ok(Self {
            is_encrypted,
            host: host.to_ascii_lowercase(),
            port: port.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}{}{}", self.host, self.port, self.path)
    }
}

/// Undoes `%XX`. What is no such escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| text.get(text.len() - tail.len()..text.len() - tail.len() + 2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Escapes what would end a value, or look like an escape.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' | '&' | '#' | ' ' | '?' => {
                let _infallible = write!(encoded, "%{:02X}", u32::from(character));
            }
            other => encoded.push(other),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{Addressing, Endpoint, S3Location, S3LocationError};

    fn parse(text: &str) -> Result<S3Location, S3LocationError> {
        text.parse()
    }

    #[test]
    fn what_is_shown_is_parsed_to_the_same() {
        let text = "s3://portal-backup/ice/core?endpoint=https://s3.eu-central-003.backblazeb2.com\
                    &region=eu-central-003&storage-class=STANDARD_IA&lock=compliance:30d\
                    &addressing=virtual&profile=a%20b\
                    &ca=/etc/ssl/x%26y.pem&allow-http=true";
        let location = parse(text).unwrap();
        assert_eq!(location.to_string(), text);
        assert_eq!(location.short(), "s3://portal-backup/ice/core");
        assert_eq!(location.profile.as_deref(), Some("a b"));
        assert_eq!(location.addressing, Some(Addressing::Virtual));
        let bare = parse("s3://bucket/").unwrap();
        assert_eq!(
            (bare.prefix.as_str(), bare.to_string()),
            ("", "s3://bucket".into())
        );
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not_repeated() {
        for (text, wanted) in [
            ("/srv/backup", "begins with s3://"),
            ("s3://", "not the name of a bucket"),
            ("s3://ab/x", "not the name of a bucket"),
            ("s3://a..b/x", "not the name of a bucket"),
            ("s3://bucket//x", "cannot be a part"),
            ("s3://bucket/../x", "cannot be a part"),
            ("s3://bucket/a b", "cannot be a part"),
            ("s3://bucket?regoin=x", "is not an option"),
            ("s3://bucket?region=a&region=b", "given twice"),
            ("s3://bucket?region=", "is no region"),
            ("s3://bucket?addressing=host", "path or virtual"),
            ("s3://bucket?lock=30d", "compliance:30d"),
            ("s3://bucket?lock=compliance:9999d", "ten years"),
            ("s3://bucket?lock=governance:1h", "a day at least"),
            ("s3://bucket?allow-http=yes", "true or false"),
            ("s3://bucket?endpoint=ftp://h", "https:// or http://"),
            ("s3://bucket?endpoint=http://h:0", "no port"),
            ("s3://bucket?endpoint=http://", "no host"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(wanted), "{text}: {message}");
        }
        for text in [
            "s3://KEY:hunter2@bucket/x",
            "s3://bucket?endpoint=https://u:hunter2@h",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
            assert!(message.contains("credentials"), "{message}");
        }
    }

    #[test]
    fn plain_connections_stay_on_this_machine_unless_allowed() {
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        for near in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "http://[::1]:9000",
            "http://bucket.localhost:1",
        ] {
            endpoint(near).check_encrypted(false).unwrap();
        }
        for far in [
            "http://10.0.0.1:9000",
            "http://localhost.example.com",
            "http://[2001:db8::1]",
        ] {
            endpoint(far).check_encrypted(false).unwrap_err();
            endpoint(far).check_encrypted(true).unwrap();
        }
        let bare = endpoint("minio.example.com:9000/s3/");
        assert_eq!(bare.to_string(), "https://minio.example.com:9000/s3");
        bare.check_encrypted(false).unwrap();
        assert_eq!(endpoint("http://[::1]:9000").host(), "[::1]");
    }
}
