//! A bucket as it was at an earlier moment, from the versions that it keeps: a store to read from.

use crate::env::Timestamp;
use crate::store::s3::error::Failure;
use crate::store::s3::versions::Version;
use crate::store::s3::{S3Store, Swept};
use crate::store::{
    ObjectError, ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, is_under,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What happened to objects after a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    /// Objects that were there and are deleted.
    pub deleted: u64,
    /// Objects that were there and have other content.
    pub overwritten: u64,
    /// Objects that are new.
    pub added: u64,
    /// When the first one was deleted or overwritten.
    pub first: Option<Timestamp>,
}

/// A prefix of a bucket as it was. Nothing can be written to it.
#[derive(Debug)]
pub struct AsOfStore {
    store: Arc<S3Store>,
    at: Timestamp,
    objects: BTreeMap<ObjectKey, Version>,
    since: Since,
}

impl AsOfStore {
    /// Lists the versions, and keeps in memory which of them was there at `at`, by the store's clock:
    /// 200 bytes an object, about.
    pub fn look(store: Arc<S3Store>, at: Timestamp) -> StoreResult<Self> {
        let mut moments: BTreeMap<ObjectKey, Moment> = BTreeMap::new();
        let mut is_any = false;
        let listed = store.each_version("", &mut |version| {
            is_any |= version.id != "null";
            let moment = moments.entry(version.key.clone()).or_default();
            moment.see(version, at);
        });
        listed.map_err(|failure| store.error("list", "all versions", failure))?;
        if !is_any {
            let failure = Failure::new(
                StoreErrorKind::Unavailable,
                "the bucket keeps no earlier versions of objects",
            );
            let failure = failure.remedy(
                "switch versioning on for the next time; until then only copies in other places \
                 help: icecore copy, icecore mirror",
            );
            return Err(store.error("list", "earlier versions", failure));
        }
        let mut since = Since::default();
        let mut objects = BTreeMap::new();
        for (key, moment) in moments {
            moment.count(&mut since);
            let there = moment.there.filter(|version| version.size.is_some());
            objects.extend(there.map(|version| (key, version)));
        }
        Ok(Self {
            store,
            at,
            objects,
            since,
        })
    }

    /// Which moment it shows.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What happened after it.
    pub fn since(&self) -> Since {
        self.since
    }

    /// How many objects were there.
    pub fn count(&self) -> usize {
        self.objects.len()
    }

    fn find(&self, operation: &'static str, key: &ObjectKey) -> StoreResult<&Version> {
        let missing = || ObjectError::Missing.in_call(operation, key, self.location());
        self.objects.get(key).ok_or_else(missing)
    }

    fn refuse(&self, operation: &'static str, object: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::Unavailable,
            operation,
            object,
            self.location(),
            "what was cannot be changed",
        )
    }
}

/// What is known of one object.
#[derive(Debug, Default)]
struct Moment {
    /// The newest version that is not newer than the moment.
    there: Option<Version>,
    /// When the first one after it began.
    after: Option<Timestamp>,
    /// What is there now.
    is_deleted_now: bool,
}

impl Moment {
    fn see(&mut self, version: Version, at: Timestamp) {
        if version.is_latest {
            self.is_deleted_now = version.size.is_none();
        }
        if version.since > at {
            let first = self
                .after
                .map_or(version.since, |known| known.min(version.since));
            self.after = Some(first);
            return;
        }
        // Stores tell seconds. Of two in one second the object counts: what is too many does no
        // harm, what is missing does.
        let rank = |version: &Version| (version.since, version.size.is_some());
        if self
            .there
            .as_ref()
            .is_none_or(|known| rank(&version) > rank(known))
        {
            self.there = Some(version);
        }
    }

    fn count(&self, since: &mut Since) {
        let Some(after) = self.after else {
            return;
        };
        let was_there = self
            .there
            .as_ref()
            .is_some_and(|there| there.size.is_some());
        match (was_there, self.is_deleted_now) {
            (true, true) => since.deleted += 1,
            (true, false) => since.overwritten += 1,
            (false, false) => since.added += 1,
            (false, true) => {}
        }
        if was_there {
            let first = since.first.map_or(after, |known| known.min(after));
            since.first = Some(first);
        }
    }
}

impl Store for AsOfStore {
    fn location(&self) -> String {
        format!("{} as of {}", self.store.location(), self.at.to_rfc3339())
    }

    fn put(&self, key: &ObjectKey, _bytes: &[u8]) -> StoreResult<()> {
        Err(self.refuse("write", key.as_str()))
    }

    fn barrier(&self) -> StoreResult<()> {
        Ok(())
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        let version = &self.find("read", key)?.id;
        self.store
            .read_whole_version(key, Some(version), limit)
            .map_err(|failure| self.store.error("read", key.as_str(), failure))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        let version = self.find("read", key)?;
        ObjectError::check_range(version.size.unwrap_or(0), offset, buffer.len())
            .map_err(|error| error.in_call("read", key, self.location()))?;
        if buffer.is_empty() {
            return Ok(());
        }
        self.store
            .read_range_of_version(key, Some(&version.id), offset, buffer)
            .map_err(|failure| self.store.error("read", key.as_str(), failure))
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.find("look at", key).map(info)
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        Err(self.refuse("delete", key.as_str()))
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let checked = ObjectError::check_prefix(prefix);
        checked.map_err(|error| error.in_call("list", prefix, self.location()))?;
        let below = self.objects.values();
        for version in below.filter(|version| is_under(version.key.as_str(), prefix)) {
            if visit(info(version)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn sweep(&self, _before: Timestamp) -> StoreResult<Swept> {
        Ok(Swept::default())
    }
}

fn info(version: &Version) -> ObjectInfo {
    ObjectInfo {
        key: version.key.clone(),
        size: version.size.unwrap_or(0),
        modified: Some(version.since),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{Moment, Since, Version};
    use crate::env::Timestamp;
    use crate::store::ObjectKey;

    fn version(since: i64, is_deletion: bool, is_latest: bool) -> Version {
        Version {
            key: ObjectKey::new("config").unwrap(),
            id: format!("v{since}"),
            since: Timestamp(since),
            is_latest,
            size: (!is_deletion).then_some(7),
        }
    }

    fn moment(at: i64, versions: &[Version]) -> (Option<String>, Since) {
        let mut forth = Moment::default();
        let mut back = Moment::default();
        for version in versions {
            forth.see(version.clone(), Timestamp(at));
        }
        for version in versions.iter().rev() {
            back.see(version.clone(), Timestamp(at));
        }
        assert_eq!(forth.there, back.there, "the order of a listing is no help");
        let mut since = Since::default();
        forth.count(&mut since);
        let there = forth.there.filter(|version| version.size.is_some());
        (there.map(|version| version.id), since)
    }

    #[test]
    fn the_newest_that_is_not_newer_counts() {
        let versions = [
            version(10, false, false),
            version(20, false, false),
            version(30, true, false),
            version(40, false, true),
        ];
        for (at, there, deleted, overwritten, added) in [
            (9, None, 0, 0, 1),
            (10, Some("v10"), 0, 1, 0),
            (29, Some("v20"), 0, 1, 0),
            (30, None, 0, 0, 1),
            (40, Some("v40"), 0, 0, 0),
        ] {
            let (found, since) = moment(at, &versions);
            assert_eq!(found.as_deref(), there, "{at}");
            let counted = (since.deleted, since.overwritten, since.added);
            assert_eq!(counted, (deleted, overwritten, added), "{at}");
        }
    }

    #[test]
    fn of_one_second_the_object_counts_and_deletions_are_told() {
        let versions = [version(10, false, false), version(10, true, true)];
        assert_eq!(moment(10, &versions).0.as_deref(), Some("v10"));
        let gone = [version(10, false, false), version(50, true, true)];
        let (there, since) = moment(20, &gone);
        assert_eq!(there.as_deref(), Some("v10"));
        assert_eq!((since.deleted, since.first), (1, Some(Timestamp(50))));
    }
}
