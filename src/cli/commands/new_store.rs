//! Where `repo init` puts a repository: a place with nothing else in it, and what is found out about
//! how it behaves.

use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenStore};
use crate::cli::place::Place;
use crate::env::SystemEntropy;
use crate::format::layout;
use crate::store::{
    CreateNew, LocalStore, MemoryStore, ObjectKey, Observed, PROBE_PREFIX, Pacing, S3Store,
    StoreExt, observe,
};
use crate::units::seconds;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A clock this far off is told.
const CLOCK_OFF_SECONDS: i64 = 60;

/// A place that can take a repository.
pub enum NewStore {
    /// Made when it is needed.
    Directory(PathBuf),
    /// Reached, and found free.
    Bucket(Arc<S3Store>, OpenStore),
}

/// A store, ready for a repository.
pub struct MadeStore {
    /// It.
    pub open: OpenStore,
    /// How long its listings may lag.
    pub settle: Duration,
    /// What was found out, of a bucket.
    pub traits: Option<StoreTraits>,
}

impl NewStore {
    /// Looks whether the place is free.
    pub fn look(invocation: &Invocation, place: &Place) -> CommandResult<Self> {
        match place {
            Place::Directory(directory) => {
                refuse_occupied(directory)?;
                Ok(Self::Directory(directory.clone()))
            }
            Place::Bucket(location) => {
                let bucket = Arc::new(invocation.open_bucket(location)?);
                let open = invocation.wrap_bucket(Arc::clone(&bucket));
                refuse_occupied_prefix(&open, &location.short())?;
                Ok(Self::Bucket(bucket, open))
            }
        }
    }

    /// Makes the directory, or tries out what the bucket does.
    pub fn make(
        self,
        invocation: &Invocation,
        settle: Option<Duration>,
    ) -> CommandResult<MadeStore> {
        let (bucket, open) = match self {
            Self::Directory(directory) => {
                let open = invocation.wrap_store(LocalStore::create(&directory)?);
                return Ok(MadeStore {
                    open,
                    settle: settle.unwrap_or_default(),
                    traits: None,
                });
            }
            Self::Bucket(bucket, open) => (bucket, open),
        };
        invocation.ui.waiting("trying out what the bucket does");
        let pacing = Pacing::system(invocation.cancel.clone());
        let observed = observe(&*open.store, &pacing, &SystemEntropy);
        let create_new = observed.and_then(|observed| {
            let create_new = bucket.probe_create_new(&SystemEntropy)?;
            Ok((observed, create_new))
        });
        invocation.ui.clear();
        let (observed, create_new) = create_new?;
        let traits = StoreTraits {
            observed,
            create_new,
        };
        Ok(MadeStore {
            open,
            settle: settle.unwrap_or_else(|| observed.settle()),
            traits: Some(traits),
        })
    }
}

/// What a bucket was seen to do.
#[derive(Debug, Clone, Copy)]
pub struct StoreTraits {
    observed: Observed,
    create_new: CreateNew,
}

impl StoreTraits {
    /// For people.
    pub fn tell(&self, invocation: &Invocation) {
        let lag = self.observed.lag;
        let listing = match lag {
            Duration::ZERO => "lists what was written at once".to_owned(),
            lag => format!("lists what was written after {}", seconds(lag)),
        };
        let create_new = match self.create_new {
            CreateNew::Exclusive => "keeps an object from being created twice",
            CreateNew::Lost => "claims to keep an object from being created twice, and does not",
            CreateNew::Unsupported => "does not keep an object from being created twice",
        };
        let needed = "icecore does not rely on that";
        invocation
            .output
            .say(&format!("the bucket {listing} and {create_new} ({needed})"));
        let ahead = self.observed.clock_ahead_seconds.unwrap_or(0);
        if ahead.abs() > CLOCK_OFF_SECONDS {
            let off = seconds(Duration::from_secs(ahead.unsigned_abs()));
            let side = if ahead > 0 { "behind" } else { "before" };
            invocation.output.remark(&format!(
                "This machine's clock is {off} {side} the bucket's: set one of them"
            ));
        }
    }

    /// For scripts.
    pub fn describe(&self) -> Value {
        json!({
            "list_lag_seconds": self.observed.lag.as_secs_f64(),
            "clock_ahead_seconds": self.observed.clock_ahead_seconds,
            "create_new": match self.create_new {
                CreateNew::Exclusive => "exclusive",
                CreateNew::Lost => "lost",
                CreateNew::Unsupported => "unsupported",
            },
        })
    }
}

/// Opens the place of a mirror, and makes its directory where there is none. Only looking, nothing is
/// made: a directory that is not there holds nothing.
pub fn open_or_make(
    invocation: &Invocation,
    place: &Place,
    only_look: bool,
) -> CommandResult<OpenStore> {
    match place {
        Place::Directory(directory) if !directory.exists() => match only_look {
            true => Ok(invocation.wrap_store(MemoryStore::default())),
            false => Ok(invocation.wrap_store(LocalStore::create(directory)?)),
        },
        place => invocation.open_store_at(place),
    }
}

/// A repository among other files would be lost or deleted with them. What an interrupted `init`
/// left behind is no obstacle.
fn refuse_occupied(directory: &Path) -> CommandResult<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CommandError::file("look into", directory, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| CommandError::file("look into", directory, &error))?;
        let name = entry.file_name();
        if name == layout::CONFIG {
            let there = format!("there is a repository at {} already", directory.display());
            return Err(CommandError::new(ErrorKind::Refused, there)
                .hint("icecore repo info shows it; choose another path for a new one"));
        }
        if name != "keys" && name != "lost+found" {
            let occupied = format!(
                "{} holds other files, such as {}",
                directory.display(),
                name.display()
            );
            return Err(CommandError::usage(occupied)
                .hint("give an empty directory, or one that is not there yet"));
        }
    }
    Ok(())
}

/// The same of a prefix.
fn refuse_occupied_prefix(open: &OpenStore, location: &str) -> CommandResult<()> {
    let mut other = None;
    let mut is_repository = false;
    let is_leftover = |key: &ObjectKey| {
        let first = key.as_str().split('/').next();
        first.is_some_and(|first| first == "keys" || first == PROBE_PREFIX)
    };
    open.store.list("", &mut |info| {
        is_repository |= info.key.as_str() == layout::CONFIG;
        if is_leftover(&info.key) {
            return ControlFlow::Continue(());
        }
        other.get_or_insert(info.key);
        // What sorts before `config` may be anything.
        ControlFlow::Break(())
    })?;
    let Some(other) = other else {
        return Ok(());
    };
    let config = ObjectKey::new(layout::CONFIG).map_err(CommandError::failed)?;
    if is_repository || open.store.exists(&config)? {
        let there = format!("there is a repository at {location} already");
        return Err(CommandError::new(ErrorKind::Refused, there)
            .hint("icecore repo info shows it; choose another prefix for a new one"));
    }
    let occupied = format!("{location} holds other objects, such as {other}");
    Err(CommandError::usage(occupied).hint("give a prefix with nothing in it"))
}
