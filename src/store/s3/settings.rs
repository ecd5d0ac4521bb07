//! How a bucket is set up, as far as its server says.

use crate::store::s3::S3Store;
use crate::store::s3::error::Failure;
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, ObjectLockEnabled, Permission};

/// Groups that are everyone.
const EVERYONE: [&str; 2] = [
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
];

/// What a bucket's server says of it; `None` where it does not, or not to this access key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BucketSettings {
    /// Whether everyone may read it.
    pub is_public: Option<bool>,
    /// Whether what is deleted or overwritten stays as an older version.
    pub has_versions: Option<bool>,
    /// Whether objects can be locked.
    pub has_lock: Option<bool>,
    /// Whether a rule deletes or freezes current objects by their age.
    pub expires: Option<bool>,
}

impl S3Store {
    /// Asks the server. What it does not answer stays unknown: many access keys may not ask, and many
    /// vendors do not know the question.
    pub fn settings(&self) -> BucketSettings {
        BucketSettings {
            is_public: self.is_public(),
            has_versions: self.has_versions(),
            has_lock: self.has_lock(),
            expires: self.expires(),
        }
    }

    /// The answer to a question; none counts as unknown.
    fn ask<T, E>(&self, question: impl Future<Output = Result<T, E>>) -> Option<T> {
        let answer = async { Ok::<_, Failure>(question.await.ok()) };
        self.run(0, answer).ok().flatten()
    }

    fn is_public(&self) -> Option<bool> {
        let bucket = &self.location.bucket;
        let policy = self.client.get_bucket_policy_status().bucket(bucket);
        let by_policy = self
            .ask(policy.send())
            .and_then(|answer| answer.policy_status?.is_public);
        let list = self.client.get_bucket_acl().bucket(bucket);
        let by_list = self.ask(list.send()).map(|answer| {
            answer.grants().iter().any(|grant| {
                let to = grant.grantee().and_then(|grantee| grantee.uri());
                let reads = !matches!(
                    grant.permission(),
                    Some(Permission::WriteAcp | Permission::ReadAcp)
                );
                reads && to.is_some_and(|to| EVERYONE.contains(&to))
            })
        });
        match (by_policy, by_list) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (_, Some(false)) | (Some(false), _) => Some(false),
            (None, None) => None,
        }
    }

    fn has_versions(&self) -> Option<bool> {
        let question = self
            .client
            .get_bucket_versioning()
            .bucket(&self.location.bucket);
        let answer = self.ask(question.send())?;
        Some(answer.status() == Some(&BucketVersioningStatus::Enabled))
    }

    fn has_lock(&self) -> Option<bool> {
        let question = self
            .client
            .get_object_lock_configuration()
            .bucket(&self.location.bucket);
        let answer = async {
            match question.send().await {
                Ok(answer) => Ok(Some(answer)),
                // Without a lock there is no configuration of one, and that is the answer.
                Err(error) if error.as_service_error().is_some_and(is_no_lock) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let configuration = self.ask(answer)?;
        let enabled = configuration
            .as_ref()
            .and_then(|answer| answer.object_lock_configuration())
            .and_then(|lock| lock.object_lock_enabled());
        Some(enabled == Some(&ObjectLockEnabled::Enabled))
    }

    /// Whether a rule that covers the repository expires or moves current objects.
    fn expires(&self) -> Option<bool> {
        let question = self
            .client
            .get_bucket_lifecycle_configuration()
            .bucket(&self.location.bucket);
        let answer = self.ask(question.send())?;
        Some(answer.rules().iter().any(|rule| {
            *rule.status() == ExpirationStatus::Enabled
                && (rule.expiration().is_some_and(|expiration| {
                    expiration.days().is_some() || expiration.date().is_some()
                }) || !rule.transitions().is_empty())
        }))
    }
}

fn is_no_lock(
    error: &aws_sdk_s3::operation::get_object_lock_configuration::GetObjectLockConfigurationError,
) -> bool {
    error.meta().code() == Some("ObjectLockConfigurationNotFoundError")
}
