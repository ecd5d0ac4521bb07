//! Storage classes: what lies where, moving it, and getting back what cannot be read at once.

use crate::store::s3::error::Failure;
use crate::store::s3::facts::is_frozen;
use crate::store::s3::{S3Store, size_of};
use crate::store::{ObjectKey, StoreResult, is_under};
use aws_sdk_s3::types::{
    GlacierJobParameters, MetadataDirective, RestoreRequest, StorageClass, Tier,
};

/// The class of objects of which the server says none.
const STANDARD: &str = "STANDARD";

/// What is done to an object that moves.
const CHANGE_CLASS: &str = "change the storage class of";

/// An object and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classed {
    /// Which object.
    pub key: ObjectKey,
    /// Its size, bytes.
    pub size: u64,
    /// Its storage class, as the vendor calls it.
    pub class: String,
}

impl Classed {
    /// Whether it must be asked for before it can be read.
    pub fn is_frozen(&self) -> bool {
        is_frozen(&self.class)
    }
}

/// Whether a frozen object can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thawing {
    /// It must be asked for.
    Frozen,
    /// It was asked for, and is not there yet.
    UnderWay,
    /// It can be read.
    Readable,
}

/// How fast frozen objects come back, and what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// Minutes, the most expensive; not from `DEEP_ARCHIVE`.
    Expedited,
    /// Hours.
    Standard,
    /// Up to two days, the cheapest.
    Bulk,
}

impl S3Store {
    /// What lies under a prefix, with its storage class.
    pub(super) fn classes(&self, prefix: &str) -> StoreResult<Vec<Classed>> {
        let list = || {
            let mut all = Vec::new();
            let mut token = None;
            loop {
                let (found, next) = self.run(0, self.page_of_classes(prefix, token))?;
                all.extend(found);
                match next {
                    Some(next) => token = Some(next),
                    None => return Ok(all),
                }
            }
        };
        list().map_err(|failure: Failure| self.error("list", prefix, failure))
    }

    async fn page_of_classes(
        &self,
        prefix: &str,
        token: Option<String>,
    ) -> Result<(Vec<Classed>, Option<String>), Failure> {
        let request = self.client.list_objects_v2();
        let request = request.bucket(&self.location.bucket);
        let request = request.prefix(self.path(prefix));
        let request = request.set_continuation_token(token);
        let answer = request.send().await.map_err(Failure::of_request)?;
        let mut found = Vec::new();
        for object in answer.contents() {
            let key = object.key().and_then(|path| self.key(path));
            let Some(key) = key.filter(|key| is_under(key.as_str(), prefix)) else {
                continue;
            };
            let class = object
                .storage_class()
                .map_or(STANDARD, |class| class.as_str());
            found.push(Classed {
                key,
                size: size_of(object.size())?,
                class: class.to_owned(),
            });
        }
        Ok((found, answer.next_continuation_token().map(str::to_owned)))
    }

    /// The version of an object that counts now, where the bucket keeps versions.
    pub(super) fn version_now(&self, key: &ObjectKey) -> StoreResult<Option<String>> {
        self.run(0, self.ask_version(key))
            .map_err(|failure| self.error("look at", key.as_str(), failure))
    }

    async fn ask_version(&self, key: &ObjectKey) -> Result<Option<String>, Failure> {
        let request = self.client.head_object();
        let request = request.bucket(&self.location.bucket);
        let answer = request.key(self.path(key.as_str())).send().await;
        let answer = answer.map_err(Failure::of_request)?;
        let version = answer.version_id().filter(|version| *version != "null");
        Ok(version.map(str::to_owned))
    }

    /// Copies an object onto itself in another storage class; a lock goes along.
    pub(super) fn copy_to_class(&self, key: &ObjectKey, class: &str) -> StoreResult<()> {
        let copied = self.run(0, self.copy_object_to(key, class));
        copied.map_err(|failure| self.error(CHANGE_CLASS, key.as_str(), failure))
    }

    /// Ends a version that a copy took the place of, as far as a lock and the credentials allow.
    pub(super) fn end_moved(&self, key: &ObjectKey, version: &str) -> StoreResult<()> {
        let ended = self.end_version(key, version);
        ended.map_err(|failure| self.error(CHANGE_CLASS, key.as_str(), failure))
    }

    async fn copy_object_to(&self, key: &ObjectKey, class: &str) -> Result<(), Failure> {
        let path = self.path(key.as_str());
        let (mode, until) = self.lock_of_new(key).unzip();
        let request = self.client.copy_object();
        let answer = request
            .copy_source(format!("{}/{path}", self.location.bucket))
            .bucket(&self.location.bucket)
            .key(path)
            .metadata_directive(MetadataDirective::Copy)
            .storage_class(StorageClass::from(class))
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .send()
            .await;
        answer.map(drop).map_err(Failure::of_request)
    }

    /// Whether a frozen object can be read by now.
    pub(super) fn thawing(&self, key: &ObjectKey) -> StoreResult<Thawing> {
        self.run(0, self.ask_thawing(key))
            .map_err(|failure| self.error("look at", key.as_str(), failure))
    }

    async fn ask_thawing(&self, key: &ObjectKey) -> Result<Thawing, Failure> {
        let request = self.client.head_object();
        let request = request.bucket(&self.location.bucket);
        let answer = request.key(self.path(key.as_str())).send().await;
        let answer = answer.map_err(Failure::of_request)?;
        let class = answer
            .storage_class()
            .map_or(STANDARD, |class| class.as_str());
        Ok(match answer.restore() {
            _ if !is_frozen(class) => Thawing::Readable,
            None => Thawing::Frozen,
            Some(told) if told.contains("ongoing-request=\"true\"") => Thawing::UnderWay,
            Some(_) => Thawing::Readable,
        })
    }

    /// Asks for a frozen object: a copy of it can be read for so many days, once it is there. Asking
    /// again while it is under way does nothing.
    pub(super) fn thaw(&self, key: &ObjectKey, speed: Speed, days: u16) -> StoreResult<()> {
        let asked = self.run(0, self.ask_for(key, speed, days));
        asked.map_err(|failure| self.error("ask for", key.as_str(), failure))
    }

    async fn ask_for(&self, key: &ObjectKey, speed: Speed, days: u16) -> Result<(), Failure> {
        let tier = match speed {
            Speed::Expedited => Tier::Expedited,
            Speed::Standard => Tier::Standard,
            Speed::Bulk => Tier::Bulk,
        };
        let job = GlacierJobParameters::builder().tier(tier).build();
        let job = job.map_err(Failure::transient)?;
        let wanted = RestoreRequest::builder()
            .days(i32::from(days))
            .glacier_job_parameters(job);
        let request = self.client.restore_object();
        let request = request.bucket(&self.location.bucket);
        let request = request.key(self.path(key.as_str()));
        let answer = request.restore_request(wanted.build()).send().await;
        match answer {
            Err(error) if Failure::code_of(&error) == Some("RestoreAlreadyInProgress") => Ok(()),
            answer => answer.map(drop).map_err(Failure::of_request),
        }
    }
}
