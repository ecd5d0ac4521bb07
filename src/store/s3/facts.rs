//! What a bucket is set to, as far as it tells: what can be read without a key, kept after a
//! deletion, locked, and what its own rules would do to the objects of a repository. Only reads.

use crate::store::StoreErrorKind;
use crate::store::StoreResult;
use crate::store::s3::S3Store;
use crate::store::s3::error::Failure;
use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    ObjectLockEnabled, ObjectLockRetentionMode,
};

/// Storage classes whose objects cannot be read before they were asked for.
const FROZEN: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Whether an object of this storage class must be asked for before it can be read.
pub(super) fn is_frozen(class: &str) -> bool {
    FROZEN.contains(&class)
}

/// The answer to a question about a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// It is so.
    Known(T),
    /// These credentials may not ask.
    Denied,
    /// The server does not know the question.
    Unsupported,
}

impl<T> Fact<T> {
    /// What is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Denied | Self::Unsupported => None,
        }
    }
}

/// Whether earlier versions of objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// Never switched on: what is deleted or overwritten is gone.
    Off,
    /// Every deletion and every overwrite keeps what was there.
    On,
    /// No longer: what was kept stays, nothing is added.
    Suspended,
}

/// Object Lock of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// What every new object gets from the bucket itself.
    pub default: Option<DefaultLock>,
}

/// The lock that a bucket gives to every new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultLock {
    /// Nobody can lift it.
    pub is_compliance: bool,
    /// How long.
    pub keep_days: u32,
}

/// A rule of the bucket that destroys a repository, or makes it unreadable for hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hazard {
    /// The rule's name.
    pub rule: String,
    /// What it does.
    pub harm: Harm,
}

/// What a rule does to objects that a repository needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Harm {
    /// Deletes them, after so many days where it counts days.
    Expires(Option<u32>),
    /// Moves them to a storage class from which nothing can be read at once.
    Freezes {
        /// After how many days, where it counts days.
        days: Option<u32>,
        /// The class.
        class: String,
    },
}

/// The bucket's own rules, as far as they concern the repository's prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Rules that must not be.
    pub hazards: Vec<Hazard>,
    /// How many days earlier versions are kept, where a rule ends them.
    pub versions_kept_days: Option<u32>,
}

/// What is known of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFacts {
    /// Anyone can list or read it, without credentials.
    pub is_public: Fact<bool>,
    /// Whether what is deleted or overwritten is kept.
    pub versioning: Fact<Versioning>,
    /// Whether objects can be locked; `None` where not.
    pub object_lock: Fact<Option<ObjectLock>>,
    /// Its lifecycle rules.
    pub rules: Fact<Rules>,
}

impl S3Store {
    /// Asks the bucket how it is set. Only a bucket that cannot be reached, or is not there, is an
    /// error: what may not be asked is a fact too.
    pub fn facts(&self) -> StoreResult<BucketFacts> {
        let facts = self.ask();
        facts.map_err(|failure| self.error("look at", "the bucket's settings", failure))
    }

    fn ask(&self) -> Result<BucketFacts, Failure> {
        Ok(BucketFacts {
            versioning: fact(self.run(0, self.ask_versioning()))?,
            object_lock: fact(self.run(0, self.ask_object_lock()))?,
            rules: fact(self.run(0, self.ask_rules()))?,
            is_public: fact(self.run(0, self.ask_stranger()))?,
        })
    }

    pub(super) async fn ask_versioning(&self) -> Result<Versioning, Failure> {
        let request = self.client.get_bucket_versioning();
        let answer = request.bucket(&self.location.bucket).send().await;
        let answer = answer.map_err(Failure::of_request)?;
        Ok(match answer.status() {
            Some(BucketVersioningStatus::Enabled) => Versioning::On,
            Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
            _ => Versioning::Off,
        })
    }

    async fn ask_object_lock(&self) -> Result<Option<ObjectLock>, Failure> {
        let request = self.client.get_object_lock_configuration();
        let answer = request.bucket(&self.location.bucket).send().await;
        let answer = match answer.map_err(Failure::of_request) {
            // The bucket is there: it was asked for its versions before.
            Err(failure) if failure.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let lock = answer.object_lock_configuration();
        let lock = lock
            .filter(|lock| matches!(lock.object_lock_enabled(), Some(ObjectLockEnabled::Enabled)));
        Ok(lock.map(|lock| ObjectLock {
            default: lock
                .rule()
                .and_then(|rule| rule.default_retention())
                .and_then(default_lock),
        }))
    }

    async fn ask_rules(&self) -> Result<Rules, Failure> {
        let request = self.client.get_bucket_lifecycle_configuration();
        let answer = request.bucket(&self.location.bucket).send().await;
        match answer.map_err(Failure::of_request) {
            Err(failure) if failure.is_not_found() => Ok(Rules::default()),
            answer => Ok(rules(answer?.rules(), &self.location.prefix)),
        }
    }

    /// As somebody without credentials: lists the prefix, and reads what every repository has.
    async fn ask_stranger(&self) -> Result<bool, Failure> {
        let listing = self.stranger.list_objects_v2();
        let listing = listing.bucket(&self.location.bucket);
        let listing = listing.prefix(self.path("")).max_keys(1).send().await;
        if is_answered(listing.map_err(Failure::of_request))? {
            return Ok(true);
        }
        let reading = self.stranger.head_object();
        let reading = reading.bucket(&self.location.bucket);
        let reading = reading.key(self.path("config")).send().await;
        is_answered(reading.map_err(Failure::of_request))
    }
}

/// Whether a stranger was let in. A bucket that tells a stranger what is not there is open, too.
fn is_answered<T>(answer: Result<T, Failure>) -> Result<bool, Failure> {
    use StoreErrorKind::{NotFound, PermissionDenied, Unavailable};
    match answer {
        Ok(_) => Ok(true),
        Err(failure) => match failure.kind {
            NotFound => Ok(true),
            PermissionDenied | Unavailable => Ok(false),
            _ => Err(failure),
        },
    }
}

/// What could not be asked is a fact. What has a remedy is about the way there, not the question.
fn fact<T>(answer: Result<T, Failure>) -> Result<Fact<T>, Failure> {
    use StoreErrorKind::{NotFound, Permanent, PermissionDenied, Unavailable};
    match answer {
        Ok(value) => Ok(Fact::Known(value)),
        Err(failure) => match failure.kind {
            PermissionDenied => Ok(Fact::Denied),
            NotFound | Permanent => Ok(Fact::Unsupported),
            Unavailable if failure.remedy.is_none() => Ok(Fact::Unsupported),
            _ if failure.is_nonsense => Ok(Fact::Unsupported),
            _ => Err(failure),
        },
    }
}

fn default_lock(retention: &DefaultRetention) -> Option<DefaultLock> {
    let of_years = |years: i32| years.saturating_mul(365);
    let keep = retention.days().or(retention.years().map(of_years))?;
    Some(DefaultLock {
        is_compliance: matches!(retention.mode(), Some(ObjectLockRetentionMode::Compliance)),
        keep_days: u32::try_from(keep).ok()?,
    })
}

fn rules(found: &[LifecycleRule], prefix: &str) -> Rules {
    let mut rules = Rules::default();
    let enabled = found
        .iter()
        .filter(|rule| matches!(rule.status(), ExpirationStatus::Enabled));
    for rule in enabled.filter(|rule| concerns(rule, prefix)) {
        let name = rule.id().unwrap_or("without a name").to_owned();
        let hazard = |harm| Hazard {
            rule: name.clone(),
            harm,
        };
        if let Some(expiration) = rule.expiration()
            && (expiration.days().is_some() || expiration.date().is_some())
        {
            rules
                .hazards
                .push(hazard(Harm::Expires(days(expiration.days()))));
        }
        for transition in rule.transitions() {
            let class = transition
                .storage_class()
                .map_or("", |class| class.as_str());
            if is_frozen(class) {
                rules.hazards.push(hazard(Harm::Freezes {
                    days: days(transition.days()),
                    class: class.to_owned(),
                }));
            }
        }
        let kept = rule.noncurrent_version_expiration();
        if let Some(kept) = kept.and_then(|kept| days(kept.noncurrent_days())) {
            let before = rules.versions_kept_days.unwrap_or(kept);
            rules.versions_kept_days = Some(before.min(kept));
        }
    }
    rules
}

fn days(told: Option<i32>) -> Option<u32> {
    told.and_then(|days| u32::try_from(days).ok())
}

/// Whether a rule can meet an object of ours. They carry no tags; a rule for some sizes may meet
/// some of them.
fn concerns(rule: &LifecycleRule, prefix: &str) -> bool {
    let filter = rule.filter();
    if filter.is_some_and(wants_tags) {
        return false;
    }
    let both = filter.and_then(LifecycleRuleFilter::and);
    #[allow(deprecated, reason = "servers still give rules of the old form")]
    let old = rule.prefix();
    let wanted = filter
        .and_then(LifecycleRuleFilter::prefix)
        .or_else(|| both.and_then(|both| both.prefix()))
        .or(old)
        .unwrap_or_default();
    let own = match prefix {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    own.starts_with(wanted) || wanted.starts_with(&own)
}

fn wants_tags(filter: &LifecycleRuleFilter) -> bool {
    let both = filter.and();
    filter.tag().is_some() || both.is_some_and(|both| !both.tags().is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{Harm, rules};
    use aws_sdk_s3::types::{
        ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
        NoncurrentVersionExpiration, Tag, Transition, TransitionStorageClass,
    };

    fn rule(prefix: &str) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
        let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
        LifecycleRule::builder()
            .id("r")
            .status(ExpirationStatus::Enabled)
            .filter(filter)
            .expiration(LifecycleExpiration::builder().days(90).build())
    }

    #[test]
    fn rules_that_meet_the_prefix_and_harm_are_told() {
        for (prefix, harmful) in [
            ("", true),
            ("ice", true),
            ("ice/core/", true),
            ("ice/core/packs/", true),
            ("ice/core-2/", false),
            ("logs/", false),
        ] {
            let found = rules(&[rule(prefix).build().unwrap()], "ice/core");
            assert_eq!(!found.hazards.is_empty(), harmful, "{prefix}");
        }
        let off = rule("").status(ExpirationStatus::Disabled).build().unwrap();
        assert!(rules(&[off], "p").hazards.is_empty());
        let tag = Tag::builder().key("a").value("b").build().unwrap();
        let tagged = LifecycleRuleFilter::builder().tag(tag).build();
        let tagged = rule("").filter(tagged).build().unwrap();
        assert!(rules(&[tagged], "p").hazards.is_empty());
    }

    #[test]
    fn cheap_classes_are_no_harm_and_frozen_ones_are() {
        let to = |class, days| {
            let transition = Transition::builder().days(days).storage_class(class);
            rule("")
                .set_expiration(None)
                .transitions(transition.build())
        };
        let cheap = to(TransitionStorageClass::StandardIa, 30).build().unwrap();
        assert!(rules(&[cheap], "").hazards.is_empty());
        let frozen = to(TransitionStorageClass::Glacier, 365);
        let kept = NoncurrentVersionExpiration::builder().noncurrent_days(30);
        let frozen = frozen.noncurrent_version_expiration(kept.build());
        let found = rules(&[frozen.build().unwrap()], "");
        let harm = Harm::Freezes {
            days: Some(365),
            class: "GLACIER".to_owned(),
        };
        assert_eq!(found.hazards[0].harm, harm);
        assert_eq!(found.versions_kept_days, Some(30));
    }
}
