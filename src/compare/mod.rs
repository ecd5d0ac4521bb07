//! A snapshot compared with what is live: which files are the same, different, missing or extra.
//!
//! Nothing is fetched but the tree: live files are cut as the snapshot's are, and each piece is
//! hashed under the snapshot's key. Live files are read by the same source that captures them, so
//! that a database is read in one read transaction and never opened otherwise.

mod content;
mod database;
mod error;
mod sink;

pub use database::{LiveDatabase, TableCounts};
pub use error::CompareError;

use crate::entry::{Aspect, Entry};
use crate::env::Clock;
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::{Reader, Snapshot};
use crate::source::exclude::ExcludeRules;
use crate::source::files::{FilesSource, Root};
use crate::source::sqlite::{self, Check, SqliteOptions};
use crate::source::{CaptureError, Context, Problem, Source};
use crate::tree;
use sink::LiveSink;
use std::path::PathBuf;
use std::sync::Arc;

/// Part of a snapshot, and where that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePlace {
    /// Path inside the snapshot, parts joined by `/`, not empty.
    pub path: Vec<u8>,
    /// Where it should be: absolute.
    pub live: PathBuf,
}

/// In what way a path differs from the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiveChange {
    /// In the snapshot only.
    Missing,
    /// Live only.
    Extra,
    /// Another content.
    Content,
    /// Something of another kind.
    Kind,
    /// The same, but for the aspects.
    Metadata,
}

/// A path that differs.
#[derive(Debug, Clone)]
pub struct LiveDifference {
    /// Path inside the snapshot.
    pub path: Vec<u8>,
    /// In what way.
    pub change: LiveChange,
    /// As the snapshot has it.
    pub before: Option<Entry>,
    /// As it is now.
    pub after: Option<Entry>,
    /// What else differs of an entry that both have.
    pub aspects: Vec<Aspect>,
    /// How a database differs.
    pub database: Option<LiveDatabase>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct LiveTotals {
    /// Files and other entries without a difference; directories are not counted.
    pub same: u64,
    /// Paths with another content.
    pub different: u64,
    /// Paths in the snapshot only.
    pub missing: u64,
    /// Live paths only.
    pub extra: u64,
    /// Paths of another kind.
    pub kinds: u64,
    /// Paths with other metadata only.
    pub metadata: u64,
    /// Bytes of live files that were read.
    pub bytes_read: u64,
    /// What could not be read, and so is not known.
    pub problems: Vec<Problem>,
}

impl LiveTotals {
    /// Whether nothing differs, as far as could be read.
    pub fn is_same(&self) -> bool {
        self.different + self.missing + self.extra + self.kinds + self.metadata == 0
    }
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompareOptions {
    /// Whether entries count that differ in mode, owner, time or attributes only.
    pub metadata: bool,
}

/// Receives differences; `false` when nobody wants to hear of more.
pub type Tell<'t> = dyn FnMut(LiveDifference) -> bool + 't;

/// What a comparison is given.
pub struct Comparing<'c, 'a> {
    /// Reads the snapshot's tree.
    pub reader: &'c Reader<'a>,
    /// The snapshot.
    pub snapshot: &'c Snapshot,
    /// How closely to look.
    pub options: CompareOptions,
    /// Tells what changed lately.
    pub clock: Arc<dyn Clock>,
    /// Where progress goes.
    pub monitor: &'c dyn Monitor,
    /// Whether to stop.
    pub cancel: &'c Cancel,
}

/// Compares parts of a snapshot with what is live in their places, in the order given.
pub fn compare(
    comparing: &Comparing<'_, '_>,
    places: &[LivePlace],
    tell: &mut Tell<'_>,
) -> Result<LiveTotals, CompareError> {
    comparing.reader.follow(comparing.snapshot.id);
    let total = comparing.snapshot.label.totals.bytes;
    comparing
        .monitor
        .phase("comparing", Unit::Bytes, Some(total));
    let body = comparing.snapshot.body(comparing.reader.repository())?;
    let mut sink = LiveSink::new(comparing, &body, tell)?;
    for place in places {
        match compare_place(comparing, &body, place, &mut sink) {
            Ok(()) => {}
            Err(CompareError::Unheard) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sink.totals)
}

fn compare_place(
    comparing: &Comparing<'_, '_>,
    body: &crate::format::snapshot::SnapshotBody,
    place: &LivePlace,
    sink: &mut LiveSink<'_, '_, '_>,
) -> Result<(), CompareError> {
    let node = tree::find(comparing.reader, comparing.snapshot.root, &place.path)?;
    let node = node.ok_or_else(|| CompareError::NoSuchPath {
        snapshot: comparing.snapshot.id.short(),
        path: String::from_utf8_lossy(&place.path).into_owned(),
    })?;
    let name = node.name().to_vec();
    let parent = place.path.len() - name.len();
    sink.begin(&place.path[..parent], node);
    if place.live.symlink_metadata().is_ok() {
        let root = Root {
            name,
            path: place.live.clone(),
        };
        let cancel = comparing.cancel.clone();
        let mut source = FilesSource::of_roots(vec![root], Arc::clone(&comparing.clock))
            .exclude(left_out(body, &place.path[..parent]))
            .one_file_system(stays_on_file_system(body))
            .open_database(Box::new(move |path| {
                sqlite::open_for_tree_with(path, DATABASE, &cancel)
            }));
        let context = Context {
            monitor: comparing.monitor,
            cancel: comparing.cancel,
        };
        match source.capture(&context, sink) {
            Ok(()) => {}
            Err(CaptureError::Source(error)) => return Err(error.into()),
            Err(CaptureError::Interrupted(error)) => return Err(error.into()),
            Err(CaptureError::Sink(error)) => return Err(CompareError::from_sink(error)),
        }
    }
    sink.end()
}

/// No check of the engine: what is compared is the content, whatever its state.
const DATABASE: SqliteOptions = SqliteOptions {
    compact: false,
    compact_bytes_max: sqlite::COMPACT_BYTES_DEFAULT,
    counts: sqlite::Counts::All,
    check: Check::None,
};

/// How [`FilesSource`] names the rule that keeps a capture on one file system.
const ONE_FILE_SYSTEM: &str = "one-file-system";

fn stays_on_file_system(body: &crate::format::snapshot::SnapshotBody) -> bool {
    let mut rules = body.exclusions.iter();
    rules.any(|(_, rule, ..)| rule == ONE_FILE_SYSTEM)
}

/// Rules for exactly the paths below `parent` that the capture left out, so that they are not even
/// looked at. Those that no rule can name are left out by the sink.
fn left_out(body: &crate::format::snapshot::SnapshotBody, parent: &[u8]) -> ExcludeRules {
    let mut rules = ExcludeRules::builder();
    for (path, rule, ..) in &body.exclusions {
        let below = path
            .strip_prefix(parent)
            .and_then(|p| std::str::from_utf8(p).ok());
        if let Some(below) = below
            && rule != ONE_FILE_SYSTEM
        {
            let _kept_by_the_sink = rules.rule(&globset::escape(below), None);
        }
    }
    rules.build().unwrap_or_default()
}
