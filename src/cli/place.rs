//! Where a repository is, as it was given, and how its store is reached.

use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenStore};
use crate::cli::unlock::variable;
use crate::env::SystemEntropy;
use crate::event::Activity;
use crate::format::document::Config as RepositoryConfig;
use crate::format::layout;
use crate::format::pack::PackClass;
use crate::monitor::Monitor;
use crate::prune::LOCKED_BESIDE_PACKS;
use crate::store::{
    Bucket, LocalStore, Pacing, Rates, RecordingStore, Retrier, RetryPolicy, RetryStore,
    S3Location, S3LocationError, S3Options, S3Store, SpoolOptions, SpoolStore, Store,
    ThrottledStore,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// How much waits for a bucket unless something else is said, bytes.
const SPOOL_BYTES: u64 = 1 << 30;

/// Where a repository is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a directory.
    Directory(PathBuf),
    /// In a prefix of a bucket.
    Bucket(Box<S3Location>),
}

impl Place {
    /// Reads what was given with `-r`.
    pub fn parse(name: &str) -> CommandResult<Self> {
        match name.split_once("://").map(|(scheme, _)| scheme) {
            None => Ok(Self::Directory(PathBuf::from(name))),
            Some("s3") => Ok(Self::Bucket(Box::new(name.parse().map_err(bad_location)?))),
            Some(scheme) => Err(CommandError::usage(format!(
                "{} names no kind of repository; give a directory or s3://BUCKET/PREFIX",
                crate::cli::text::line(&format!("{scheme}://"))
            ))),
        }
    }

    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Bucket(_) => None,
        }
    }

    /// What bringing objects there is called.
    pub fn activity(&self) -> Activity {
        match self {
            Self::Directory(_) => Activity::Mirror,
            Self::Bucket(_) => Activity::Upload,
        }
    }

    /// The same, understood from anywhere.
    pub fn absolute(&self) -> Self {
        match self {
            Self::Directory(directory) => Self::Directory(
                directory
                    .canonicalize()
                    .unwrap_or_else(|_| directory.clone()),
            ),
            bucket => bucket.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.display().fmt(f),
            Self::Bucket(location) => location.fmt(f),
        }
    }
}

fn bad_location(error: S3LocationError) -> CommandError {
    let hint = match &error {
        S3LocationError::Secret => {
            "whoever lists processes sees it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             name a profile with profile=…; and change that secret, it was shown"
        }
        _ => {
            "s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION&storage-class=CLASS, in quotes"
        }
    };
    CommandError::usage(error).hint(hint)
}

/// The requests that were sent to buckets.
#[derive(Debug, Default)]
pub struct Requests(Mutex<Vec<Arc<AtomicU64>>>);

impl Requests {
    fn add(&self, counter: Arc<AtomicU64>) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.push(counter);
    }

    /// How many so far; `None` where there is no bucket.
    pub fn sum(&self) -> Option<u64> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counters.iter().map(|count| count.load(Ordering::Relaxed));
        (!counters.is_empty()).then(|| counts.sum())
    }
}

impl Invocation {
    /// How calls of a store are tried again.
    fn retry(&self) -> Arc<Retrier> {
        Arc::new(Retrier::new(
            RetryPolicy::default(),
            Pacing::system(self.cancel.clone()),
            Arc::new(SystemEntropy),
            Arc::clone(&self.ui) as Arc<dyn Monitor>,
        ))
    }

    /// Wraps a store: retries, limits, counters.
    pub fn wrap_store<S: Store + 'static>(&self, bare: S) -> OpenStore {
        let configured = self.configured().ok().flatten();
        let limits = configured
            .map(|(_, _, repository)| (repository.limit_upload, repository.limit_download));
        let (upload, download) = limits.unwrap_or_default();
        let pacing = Pacing::system(self.cancel.clone());
        let retrying = RetryStore::new(bare, self.retry());
        let rates = Rates {
            upload: self.global.limit_upload.or(upload),
            download: self.global.limit_download.or(download),
        };
        let counting = RecordingStore::counting(ThrottledStore::new(retrying, rates, pacing));
        OpenStore {
            traffic: counting.traffic(),
            store: Arc::new(counting),
            bucket: None,
        }
    }

    /// The same of a bucket.
    pub fn wrap_bucket(&self, bucket: Arc<S3Store>) -> OpenStore {
        OpenStore {
            bucket: Some(Bucket::new(Arc::clone(&bucket), self.retry())),
            ..self.wrap_store(bucket)
        }
    }

    /// Opens the store of an existing repository.
    pub fn open_store(&self) -> CommandResult<OpenStore> {
        self.open_store_at(&self.place()?)
    }

    /// The same of the repository at a place.
    pub fn open_store_at(&self, place: &Place) -> CommandResult<OpenStore> {
        let directory = match place {
            Place::Directory(directory) => directory,
            Place::Bucket(location) => {
                return Ok(self.wrap_bucket(Arc::new(self.open_bucket(location)?)));
            }
        };
        match LocalStore::open(directory) {
            Ok(local) => Ok(self.wrap_store(local)),
            Err(error) if error.is_not_found() => {
                let directory = directory.display();
                let missing = format!("there is no repository at {directory}: no such directory");
                Err(CommandError::new(ErrorKind::NoRepository, missing)
                    .hint("look at -r and ICECORE_REPO; icecore repo init makes a new one"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a spool in front of a store, where one is wanted and can be had.
    pub fn open_spool(
        &self,
        store: &Arc<dyn Store>,
        config: &RepositoryConfig,
    ) -> Option<Arc<SpoolStore>> {
        let configured = self.configured().ok().flatten();
        let configured = configured.and_then(|(_, _, repository)| repository.spool);
        let usual = match self.place() {
            Ok(Place::Bucket(_)) => SPOOL_BYTES,
            _ => 0,
        };
        let capacity = self.global.spool_size.or(configured).unwrap_or(usual);
        if capacity == 0 {
            return None;
        }
        let own = self.global.spool_dir.clone();
        let directory = own.or_else(|| Some(self.cache_root()?.join("spool")));
        let options = SpoolOptions {
            directory: directory?.join(config.repository.to_string()),
            capacity,
            prefixes: [layout::PACKS, layout::SEGMENTS],
            cancel: self.cancel.clone(),
        };
        match SpoolStore::open(Arc::clone(store), options) {
            Ok(spool) => Some(Arc::new(spool)),
            Err(error) => {
                let why = crate::explain::explain(&error);
                self.ui
                    .warn(&format!("{why}; captures wait for the store instead"));
                None
            }
        }
    }

    /// Prepares the store of a bucket, with the credentials that the environment offers.
    pub fn open_bucket(&self, location: &S3Location) -> CommandResult<S3Store> {
        let configured = self.configured()?;
        let text = |name| {
            let set = variable(name).map(|(_, value)| value);
            let of_file = || configured.as_ref()?.0.variable(name);
            set.or_else(of_file)?.into_string().ok()
        };
        let credentials = configured
            .as_ref()
            .and_then(|(configuration, _, repository)| {
                let credentials = repository.credentials.as_ref()?;
                let read = |secret, what| configuration.secret(secret, what);
                let id = read(&credentials.id, "the id of the bucket's key");
                let secret = read(&credentials.secret, "the bucket's key");
                Some(id.and_then(|id| Ok((id.to_string(), secret?))))
            });
        let ca = configured
            .as_ref()
            .and_then(|(configuration, _, repository)| {
                repository.ca.as_ref().map(|ca| configuration.resolved(ca))
            });
        let options = S3Options {
            credentials: credentials.transpose()?,
            backblaze: text("B2_KEY_ID").zip(text("B2_APP_KEY").map(Zeroizing::new)),
            ca: ca.or_else(|| variable("AWS_CA_BUNDLE").map(|(_, path)| PathBuf::from(path))),
            // Contents of files. The rest is read by every command.
            classed: [PackClass::Full, PackClass::Delta]
                .map(|class| format!("{}/{}", layout::PACKS, class.name()))
                .into(),
            // What a snapshot needs, and what opens the repository.
            locked: LOCKED_BESIDE_PACKS
                .into_iter()
                .chain([layout::PACKS])
                .map(str::to_owned)
                .collect(),
            cancel: self.cancel.clone(),
            ..S3Options::default()
        };
        let store = S3Store::open(location, &options)?;
        self.requests.add(store.requests());
        Ok(store)
    }
}
