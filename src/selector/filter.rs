//! Narrowing: which snapshots are looked at.

use crate::env::Timestamp;
use crate::id::SetId;
use crate::selector::Summary;
use crate::units::Span;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A tag that has to be there: its key alone, or with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagPattern {
    /// The tag's key, not empty.
    pub key: String,
    /// The value it must have; `None` is any.
    pub value: Option<String>,
}

/// A tag without a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a tag; write KEY or KEY=VALUE")]
pub struct TagPatternError(pub String);

impl TagPattern {
    /// Whether one of `tags` is meant.
    pub fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        match (tags.get(&self.key), &self.value) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(found), Some(wanted)) => found == wanted,
        }
    }
}

impl FromStr for TagPattern {
    type Err = TagPatternError;

    fn from_str(text: &str) -> Result<Self, TagPatternError> {
        let (key, value) = match text.split_once('=') {
            None => (text, None),
            Some((key, value)) => (key, Some(value.to_owned())),
        };
        if key.trim().is_empty() {
            return Err(TagPatternError(text.chars().take(80).collect()));
        }
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str(&self.key),
            Some(value) => write!(f, "{}={value}", self.key),
        }
    }
}

/// Whether forgotten snapshots are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Only those that are not forgotten.
    #[default]
    Visible,
    /// Only those that are, to bring them back.
    Forgotten,
    /// All.
    All,
}

/// What snapshots must be to be looked at. The default takes every visible one. Lists of sources,
/// hosts and jobs take any of theirs, empty ones all; tags must all be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    /// Sources: see [`source_matches`].
    pub sources: Vec<String>,
    /// Hosts.
    pub hosts: Vec<String>,
    /// Tags.
    pub tags: Vec<TagPattern>,
    /// Jobs.
    pub jobs: Vec<String>,
    /// The run.
    pub set: Option<SetId>,
    /// At most this old.
    pub newer_than: Option<Span>,
    /// At least this old.
    pub older_than: Option<Span>,
    /// Forgotten or not.
    pub visibility: Visibility,
}

impl Filters {
    /// The snapshots that pass, in the order given. Ages count from [`Summary::effective_time`].
    pub fn select<'a>(
        &self,
        snapshots: &'a [Summary],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<&'a Summary> {
        let not_before = self.newer_than.map(|age| age.before(now, zone));
        let not_after = self.older_than.map(|age| age.before(now, zone));
        snapshots
            .iter()
            .filter(|summary| {
                let taken = summary.effective_time(now);
                self.matches(summary)
                    && not_before.is_none_or(|earliest| taken >= earliest)
                    && not_after.is_none_or(|latest| taken <= latest)
            })
            .collect()
    }

    /// Everything but the ages.
    fn matches(&self, summary: &Summary) -> bool {
        let visible = match self.visibility {
            Visibility::Visible => !summary.hidden,
            Visibility::Forgotten => summary.hidden,
            Visibility::All => true,
        };
        let job = summary.job.as_ref();
        visible
            && any(&self.sources, |wanted| {
                source_matches(&summary.source, wanted)
            })
            && any(&self.hosts, |wanted| summary.host == *wanted)
            && any(&self.jobs, |wanted| job == Some(wanted))
            && self.tags.iter().all(|tag| tag.matches(&summary.tags))
            && self.set.is_none_or(|set| summary.set == Some(set))
    }
}

fn any(wanted: &[String], matches: impl Fn(&String) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

/// Whether `wanted` means the source `identity`: the same text, or the last components of its path,
/// with or without the scheme. `app.db`, `sqlite:app.db` and `data/app.db` all mean
/// `sqlite:/srv/data/app.db`; a path from the root means itself only.
pub fn source_matches(identity: &str, wanted: &str) -> bool {
    if identity == wanted {
        return true;
    }
    let (scheme, path) = split_scheme(identity);
    let (wanted_scheme, wanted_path) = split_scheme(wanted);
    if wanted_path.is_empty() || (wanted_scheme.is_some() && wanted_scheme != scheme) {
        return false;
    }
    path == wanted_path
        || path
            .strip_suffix(wanted_path)
            .is_some_and(|front| front.ends_with('/') && !wanted_path.starts_with('/'))
}

/// A scheme is letters, digits, `+` and `-` before the first colon.
fn split_scheme(identity: &str) -> (Option<&str>, &str) {
    match identity.split_once(':') {
        Some((scheme, path))
            if !scheme.is_empty()
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte)) =>
        {
            (Some(scheme), path)
        }
        _ => (None, identity),
    }
}
