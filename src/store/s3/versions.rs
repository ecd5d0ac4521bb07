//! Versions: what a bucket keeps of objects that were overwritten or deleted, and ending them.
//!
//! Nothing of the format needs versions. They are what a repository is recovered from when somebody
//! deleted it, and what a prune has to remove where its deletions are to free space.

use crate::env::Timestamp;
use crate::store::s3::error::Failure;
use crate::store::s3::facts::Versioning;
use crate::store::s3::{S3Store, size_of, timestamp};
use crate::store::{ObjectKey, StoreErrorKind, is_under};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was, or is, stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// The object.
    pub key: ObjectKey,
    /// The version's name.
    pub id: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is what is there now.
    pub is_latest: bool,
    /// Its size, bytes; `None`: it was deleted then.
    pub size: Option<u64>,
}

/// Where a listing of versions goes on.
#[derive(Debug, Default, Clone)]
pub(super) struct Marker {
    key: Option<String>,
    version: Option<String>,
}

/// Deletions that end versions too, and what became of them.
#[derive(Debug, Default)]
pub struct Removal {
    /// Deleting an object removes everything that was ever stored under its key.
    for_good: AtomicBool,
    /// Whether the bucket keeps no versions, or does not tell: a deletion is a deletion.
    is_plain: OnceLock<bool>,
    refused: AtomicU64,
    refused_bytes: AtomicU64,
}

impl Removal {
    /// Objects whose versions the store did not let go, and their sizes together, bytes. They are
    /// deleted for everybody who does not ask for versions.
    pub fn refused(&self) -> (u64, u64) {
        (
            self.refused.load(Ordering::Relaxed),
            self.refused_bytes.load(Ordering::Relaxed),
        )
    }
}

impl S3Store {
    /// From now on a deletion removes everything that was ever stored under the key, as far as the
    /// credentials may and locks allow. For deletions that free space: of what a prune names.
    pub fn delete_for_good(&self) {
        self.removal.for_good.store(true, Ordering::Relaxed);
    }

    /// What became of such deletions.
    pub fn removal(&self) -> &Removal {
        &self.removal
    }

    /// Deletes an object, its versions too where that is wanted. What the store keeps of it all the
    /// same is counted: it is deleted then, and takes space until a lock or a rule ends.
    pub(super) fn remove_for_good(&self, key: &ObjectKey) -> Result<(), Failure> {
        let wanted = self.removal.for_good.load(Ordering::Relaxed);
        if !wanted
            || *self
                .removal
                .is_plain
                .get_or_init(|| self.keeps_no_versions())
        {
            return self.run(0, self.remove(key));
        }
        let versions = match self.versions_of(key) {
            Ok(versions) => versions,
            // Credentials without the right to see them.
            Err(failure) if is_about_versions(&failure) => {
                self.removal.refused.fetch_add(1, Ordering::Relaxed);
                return self.run(0, self.remove(key));
            }
            Err(failure) => return Err(failure),
        };
        let mut kept = None;
        // The oldest first: what is there now shows that there is still something to do. A marker that
        // hides what is kept stays: without it that would be there again.
        let is_hiding = |version: &Version| version.is_latest && version.size.is_none();
        let marker = versions.iter().find(|version| is_hiding(version));
        for version in versions.iter().rev().filter(|version| !is_hiding(version)) {
            match self.run(0, self.remove_version(&version.key, &version.id)) {
                Ok(()) => {}
                Err(failure) if failure.is_denied() => {
                    *kept.get_or_insert(0) += version.size.unwrap_or(0);
                }
                Err(failure) => return Err(failure),
            }
        }
        let Some(bytes) = kept else {
            return match marker {
                Some(marker) => self.run(0, self.remove_version(&marker.key, &marker.id)),
                None => Ok(()),
            };
        };
        self.removal.refused.fetch_add(1, Ordering::Relaxed);
        self.removal
            .refused_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        match marker {
            Some(_) => Ok(()),
            None => self.run(0, self.remove(key)),
        }
    }

    /// Whether deletions of this bucket are final, or it is not known that they are not.
    fn keeps_no_versions(&self) -> bool {
        match self.run(0, self.ask_versioning()) {
            Ok(versioning) => versioning == Versioning::Off,
            // Who may not ask may still see versions.
            Err(failure) => is_about_versions(&failure) && !failure.is_denied(),
        }
    }

    /// Ends one version, unless something holds it.
    pub(super) fn end_version(&self, key: &ObjectKey, id: &str) -> Result<(), Failure> {
        match self.run(0, self.remove_version(key, id)) {
            Err(failure) if failure.is_denied() => {
                self.removal.refused.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            ended => ended,
        }
    }

    async fn remove_version(&self, key: &ObjectKey, id: &str) -> Result<(), Failure> {
        let request = self.client.delete_object();
        let request = request.bucket(&self.location.bucket);
        let request = request.key(self.path(key.as_str()));
        let answer = request.version_id(id).send().await;
        match answer.map_err(Failure::of_request) {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    /// All versions of one object, newest first.
    fn versions_of(&self, key: &ObjectKey) -> Result<Vec<Version>, Failure> {
        let mut versions = Vec::new();
        self.each_version(key.as_str(), &mut |version| {
            if version.key == *key {
                versions.push(version);
            }
        })?;
        versions.sort_by_key(|version| std::cmp::Reverse((version.is_latest, version.since)));
        Ok(versions)
    }

    /// Calls `visit` for every version of every object of ours whose key begins with `prefix`,
    /// markers of deletions included.
    pub(super) fn each_version(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(Version),
    ) -> Result<(), Failure> {
        let mut marker = Marker::default();
        loop {
            let (found, next) = self.run(0, self.page_of_versions(prefix, marker))?;
            found.into_iter().for_each(&mut *visit);
            match next {
                Some(next) => marker = next,
                None => return Ok(()),
            }
        }
    }

    async fn page_of_versions(
        &self,
        prefix: &str,
        from: Marker,
    ) -> Result<(Vec<Version>, Option<Marker>), Failure> {
        let request = self.client.list_object_versions();
        let request = request.bucket(&self.location.bucket);
        let request = request
            .prefix(self.path(prefix))
            .set_key_marker(from.key)
            .set_version_id_marker(from.version);
        let answer = request.send().await.map_err(Failure::of_request)?;
        let mut found = Vec::new();
        for version in answer.versions() {
            let Some(key) = version.key().and_then(|path| self.key(path)) else {
                continue;
            };
            if is_under(key.as_str(), prefix) {
                found.push(Version {
                    key,
                    id: told(version.version_id())?,
                    since: told(version.last_modified().and_then(timestamp))?,
                    is_latest: version.is_latest().unwrap_or(false),
                    size: Some(size_of(version.size())?),
                });
            }
        }
        for marker in answer.delete_markers() {
            let Some(key) = marker.key().and_then(|path| self.key(path)) else {
                continue;
            };
            if is_under(key.as_str(), prefix) {
                found.push(Version {
                    key,
                    id: told(marker.version_id())?,
                    since: told(marker.last_modified().and_then(timestamp))?,
                    is_latest: marker.is_latest().unwrap_or(false),
                    size: None,
                });
            }
        }
        if !answer.is_truncated().unwrap_or(false) {
            return Ok((found, None));
        }
        let next = Marker {
            key: answer.next_key_marker().map(str::to_owned),
            version: answer.next_version_id_marker().map(str::to_owned),
        };
        match next.key.is_some() {
            true => Ok((found, Some(next))),
            false => Err(Failure::transient(
                "the listing of versions does not say how it goes on",
            )),
        }
    }
}

/// Whether a failure means that versions cannot be asked for here, rather than that asking failed.
fn is_about_versions(failure: &Failure) -> bool {
    use StoreErrorKind::{NotFound, Permanent, PermissionDenied, Unavailable};
    match failure.kind {
        PermissionDenied | NotFound | Permanent => true,
        Unavailable => failure.remedy.is_none(),
        _ => false,
    }
}

/// What every server tells of a version.
fn told<T>(value: Option<impl Into<T>>) -> Result<T, Failure> {
    let value = value.map(Into::into);
    value.ok_or_else(|| Failure::transient("the listing of versions leaves out what they are"))
}
