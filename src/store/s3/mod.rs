//! A prefix of an S3 bucket as a store: one object per object, under its key.
//!
//! Every call is one request, or one for each page of a listing. Packs are at most 34 MiB
//! (`limits::PACK_BYTES_MAX`), so none is uploaded in parts and no leftovers of such uploads can
//! arise; parallelism comes from the layers above, which put and get from several threads. The
//! asynchronous runtime that the SDK wants stays inside this module.

mod as_of;
mod bucket;
mod client;
mod error;
mod facts;
mod location;
mod lock;
mod tier;
mod transfer;
mod vendor;
mod versions;

pub use as_of::{AsOfStore, Since};
pub use bucket::Bucket;
pub use facts::{BucketFacts, DefaultLock, Fact, Harm, Hazard, ObjectLock, Rules, Versioning};
pub use location::{Addressing, Endpoint, S3Location, S3LocationError};
pub use tier::{Classed, Speed, Thawing};
pub use versions::Removal;

use crate::env::{Entropy, Timestamp};
use crate::monitor::Cancel;
use crate::store::probe::probe_key;
use crate::store::s3::client::Connected;
use crate::store::s3::error::Failure;
use crate::store::{
    ObjectError, ObjectInfo, ObjectKey, Store, StoreError, StoreErrorKind, StoreResult, Swept,
    is_under,
};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Threads of the runtime: they encrypt and parse, the waiting takes none.
const RUNTIME_THREADS: usize = 2;

/// Writers that race for one object.
const RACE_WRITERS: usize = 8;

/// How often a call looks whether a stop was asked for.
const SLICE: Duration = Duration::from_millis(100);

/// What a call that is under way may still take once a stop was asked for.
const CANCEL_GRACE: Duration = Duration::from_secs(3);

/// Failures to connect before the first answer ever that count as passing. After them an endpoint
/// is taken for mistyped rather than for restarting.
const FIRST_CONTACTS: u32 = 3;

/// How long a call may take. Slow is not failed: what moves is waited for, up to
/// a rate that no backup could live with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// To connect.
    pub connect: Duration,
    /// Of a transfer, without a single byte.
    pub stall: Duration,
    /// Of one call, besides what its bytes take.
    pub call: Duration,
    /// The slowest rate that is waited for, bytes per second.
    pub rate_min: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            call: Duration::from_secs(60),
            rate_min: 16 << 10,
        }
    }
}

impl Patience {
    fn bound(&self, bytes: usize) -> Duration {
        self.call + Duration::from_secs(bytes as u64 / self.rate_min.max(1))
    }
}

/// What a store in a bucket needs to know besides the location.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// Key id and key to use before anything that the environment offers.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// Key id and key under Backblaze's own names; used at its endpoints only.
    pub backblaze: Option<(String, Zeroizing<String>)>,
    /// Certificates to trust besides those of the system, unless the location names some.
    pub ca: Option<PathBuf>,
    /// Prefixes of the keys that go to the location's storage class. Everything else stays in the
    /// bucket's own.
    pub classed: Vec<String>,
    /// Prefixes of the keys that are locked, where the location says that objects are.
    pub locked: Vec<String>,
    /// How long calls may take.
    pub patience: Patience,
    /// Ends calls early.
    pub cancel: Cancel,
}

/// What becomes of objects that several create at once, each only if it is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateNew {
    /// One succeeded, all others were refused.
    Exclusive,
    /// Some were refused, but more than one succeeded.
    Lost,
    /// The condition is ignored, or unknown.
    Unsupported,
}

/// A store in a prefix of a bucket.
pub struct S3Store {
    /// Taken when dropped.
    runtime: Option<Runtime>,
    client: Client,
    /// Without credentials.
    stranger: Client,
    location: S3Location,
    short: String,
    server: String,
    classed: Vec<String>,
    locked: Vec<String>,
    patience: Patience,
    cancel: Cancel,
    uploads: Semaphore,
    requests: Arc<AtomicU64>,
    /// The server has answered, whatever it said.
    was_reached: AtomicBool,
    failed_contacts: AtomicU32,
    removal: Removal,
}

impl S3Store {
    /// Prepares a store. Nothing is asked of the bucket yet; credentials may be asked for.
    pub fn open(location: &S3Location, options: &S3Options) -> StoreResult<Self> {
        let short = location.short();
        let fail = |failure: Failure| failure.in_call("open", "the store", short.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| fail(Failure::new(StoreErrorKind::Unavailable, error)))?;
        let requests = Arc::default();
        let Connected {
            client,
            stranger,
            vendor,
            endpoint,
        } = runtime
            .block_on(client::connect(location, options, Arc::clone(&requests)))
            .map_err(fail)?;
        let server = match &endpoint {
            Some(endpoint) => endpoint.to_string(),
            None => vendor.name.to_owned(),
        };
        Ok(Self {
            runtime: Some(runtime),
            client,
            stranger,
            location: location.clone(),
            short,
            server,
            classed: options.classed.clone(),
            locked: options.locked.clone(),
            patience: options.patience,
            cancel: options.cancel.clone(),
            uploads: Semaphore::new(vendor.uploads_max),
            requests,
            was_reached: AtomicBool::new(false),
            failed_contacts: AtomicU32::new(0),
            removal: Removal::default(),
        })
    }

    /// Who answers: an endpoint, or the vendor's name.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Counts the requests that were sent, repetitions and pages of listings too.
    pub fn requests(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.requests)
    }

    /// Lets several writers create the same object at the same moment, under the condition that it
    /// is not there yet, and counts who was told that it was they. Nothing here relies on it; an
    /// attacker with a write-only credential is kept from overwriting by it.
    pub fn probe_create_new(&self, entropy: &dyn Entropy) -> StoreResult<CreateNew> {
        let key = probe_key(self, entropy)?;
        let content = |writer: usize| format!("writer {writer}").into_bytes();
        let outcomes: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..RACE_WRITERS)
                .map(|writer| {
                    let key = &key;
                    scope.spawn(move || {
                        let bytes = content(writer);
                        self.run(bytes.len(), self.upload_unless(key, &bytes, Some("*")))
                    })
                })
                .collect();
            let ended = writers.into_iter().filter_map(|writer| writer.join().ok());
            ended.collect()
        });
        let is_refusal = |outcome: &Result<(), Failure>| {
            let failure = outcome.as_ref().err();
            failure.is_some_and(|failure| failure.is_precondition)
        };
        // Now it is there for certain, if any of them came through.
        let late = self.run(0, self.upload_unless(&key, b"late", Some("*")));
        self.delete(&key)?;
        if !is_refusal(&late) {
            return Ok(CreateNew::Unsupported);
        }
        // All are told no, if the answer to the first one was lost.
        let refused = outcomes.iter().filter(|outcome| is_refusal(outcome));
        Ok(match refused.count() >= RACE_WRITERS - 1 {
            true => CreateNew::Exclusive,
            false => CreateNew::Lost,
        })
    }

    /// Runs a call that moves about `bytes`, no longer than that may take.
    fn run<T>(
        &self,
        bytes: usize,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(runtime) = &self.runtime else {
            return Err(Failure::new(
                StoreErrorKind::Unavailable,
                "the store is closed",
            ));
        };
        let bound = self.patience.bound(bytes);
        let result = runtime.block_on(async {
            let mut call = pin!(call);
            let mut end = Instant::now() + bound;
            let mut is_stopping = false;
            loop {
                if let Ok(result) = tokio::time::timeout(SLICE, &mut call).await {
                    return result;
                }
                if self.cancel.is_cancelled() && !is_stopping {
                    is_stopping = true;
                    end = end.min(Instant::now() + CANCEL_GRACE);
                }
                if Instant::now() >= end {
                    let text = format!("no end after {} s", bound.as_secs());
                    return Err(Failure::transient(text));
                }
            }
        });
        result.map_err(|failure| self.weigh(failure))
    }

    /// A server that never answered is not worth the patience that one deserves that did.
    fn weigh(&self, failure: Failure) -> Failure {
        if !failure.is_unreachable {
            self.was_reached.store(true, Ordering::Relaxed);
            return failure;
        }
        let cause = format!("{} ({})", failure.cause, self.server);
        let failure = Failure {
            cause: cause.into(),
            ..failure
        };
        let failed = self.failed_contacts.fetch_add(1, Ordering::Relaxed) + 1;
        if self.was_reached.load(Ordering::Relaxed) || failed < FIRST_CONTACTS {
            return failure;
        }
        let failure = Failure {
            kind: StoreErrorKind::Unavailable,
            ..failure
        };
        failure
            .remedy("look at the endpoint in the location (or AWS_ENDPOINT_URL) and at the network")
    }

    /// The full key of an object.
    fn path(&self, key: &str) -> String {
        match self.location.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// What is left of a full key, if it is one of an object of ours.
    fn key(&self, path: &str) -> Option<ObjectKey> {
        let rest = match self.location.prefix.as_str() {
            "" => path,
            prefix => path.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        ObjectKey::new(rest).ok()
    }

    fn error(&self, operation: &'static str, object: &str, failure: Failure) -> StoreError {
        failure.in_call(operation, object, self.short.clone())
    }

    /// Size and time of one object.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, Failure> {
        let request = self.client.head_object();
        let request = request.bucket(&self.location.bucket);
        let answer = request.key(self.path(key.as_str())).send().await;
        let answer = answer.map_err(Failure::of_request)?;
        Ok(ObjectInfo {
            key: key.clone(),
            size: size_of(answer.content_length())?,
            modified: answer.last_modified().and_then(timestamp),
        })
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), Failure> {
        let request = self.client.delete_object();
        let request = request.bucket(&self.location.bucket);
        let answer = request.key(self.path(key.as_str())).send().await;
        match answer.map_err(Failure::of_request) {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    /// One page of a listing: the objects of ours, and where the next page begins.
    async fn page(
        &self,
        prefix: &str,
        token: Option<String>,
    ) -> Result<(Vec<ObjectInfo>, Option<String>), Failure> {
        let request = self.client.list_objects_v2();
        let request = request.bucket(&self.location.bucket);
        let request = request
            .prefix(self.path(prefix))
            .set_continuation_token(token);
        let answer = request.send().await.map_err(Failure::of_request)?;
        let mut found = Vec::new();
        for object in answer.contents() {
            // Foreign objects are passed over; a/bc begins like a/b, but is not under it.
            let Some(key) = object.key().and_then(|path| self.key(path)) else {
                continue;
            };
            if is_under(key.as_str(), prefix) {
                found.push(ObjectInfo {
                    key,
                    size: size_of(object.size())?,
                    modified: object.last_modified().and_then(timestamp),
                });
            }
        }
        let next = answer.next_continuation_token().map(str::to_owned);
        match (answer.is_truncated().unwrap_or(false), next) {
            (false, _) => Ok((found, None)),
            (true, Some(next)) => Ok((found, Some(next))),
            (true, None) => Err(Failure::transient(
                "the listing does not say how it goes on",
            )),
        }
    }

    fn try_list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        ObjectError::check_prefix(prefix)?;
        let mut token = None;
        loop {
            let (found, next) = self.run(0, self.page(prefix, token))?;
            for info in found {
                if visit(info).is_break() {
                    return Ok(());
                }
            }
            match next {
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }
}

impl Drop for S3Store {
    fn drop(&mut self) {
        // Not waited for: a name that is being looked up would hold the end of the program.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store")
            .field("location", &self.short)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Failure {
    fn in_call(
        self,
        operation: &'static str,
        object: impl fmt::Display,
        location: String,
    ) -> StoreError {
        let error = StoreError::new(self.kind, operation, object, location, self.cause);
        match self.remedy {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }
}

impl Store for S3Store {
    fn location(&self) -> String {
        self.short.clone()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
        let stored = self.run(bytes.len(), self.upload(key, bytes));
        stored.map_err(|failure| {
            // Of a put, "not there" can only be the bucket.
            let kind = match failure.kind {
                StoreErrorKind::NotFound => StoreErrorKind::NoStore,
                kind => kind,
            };
            self.error("write", key.as_str(), Failure { kind, ..failure })
        })
    }

    /// Nothing to do: what a bucket has acknowledged is durable and listed. Where that is not so,
    /// the repository's config says how long to wait.
    fn barrier(&self) -> StoreResult<()> {
        Ok(())
    }

    fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
        self.read_whole(key, limit)
            .map_err(|failure| self.error("read", key.as_str(), failure))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, buffer: &mut [u8]) -> StoreResult<()> {
        self.read_range(key, offset, buffer)
            .map_err(|failure| self.error("read", key.as_str(), failure))
    }

    fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
        self.run(0, self.head(key))
            .map_err(|failure| self.error("look at", key.as_str(), failure))
    }

    fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.remove_for_good(key)
            .map_err(|failure| self.error("delete", key.as_str(), failure))
    }

    fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        self.try_list(prefix, visit).map_err(|failure| {
            let object = match prefix {
                "" => "all objects",
                prefix => prefix,
            };
            self.error("list", object, failure)
        })
    }

    /// Nothing: an upload in one request leaves either the object or nothing behind.
    fn sweep(&self, _before: Timestamp) -> StoreResult<Swept> {
        Ok(Swept::default())
    }
}

/// A size as the server tells it.
fn size_of(told: Option<i64>) -> Result<u64, Failure> {
    let size = told.and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| Failure::transient("the answer does not say how large the object is"))
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    let nanoseconds = i64::try_from(time.as_nanos()).ok()?;
    Some(Timestamp(nanoseconds))
}
