//! What differs between two snapshots: files, their metadata, and SQLite databases by schema and
//! rows.
//!
//! Subtrees and contents with equal ids are equal and never read: a comparison costs what changed.
//! Differences are told in the order of paths, as they are found.

mod content;
mod database;
mod entries;
mod error;
mod walk;

pub use database::{
    DatabaseDifference, Fate, RegisterError, RowDifference, SchemaDifference, TableDifference,
};
pub use error::DiffError;

use crate::entry::Aspect;
use crate::monitor::{Cancel, Monitor};
use crate::repository::{Reader, Snapshot};
use crate::tree::Node;

/// One of the two that are compared.
#[derive(Debug, Clone)]
pub struct Side<'s> {
    /// The snapshot.
    pub snapshot: &'s Snapshot,
    /// What in it, parts joined by `/`; empty for all of it.
    pub path: Vec<u8>,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffOptions {
    /// Whether entries are told of that differ in mode, owner, time or attributes only.
    pub metadata: bool,
    /// Whether the rows of databases are compared, or only what was counted at capture.
    pub rows: bool,
}

/// In what way a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Only in the later snapshot.
    Added,
    /// Only in the earlier one.
    Removed,
    /// A file, link or device of the same kind with another content.
    Content,
    /// Something of another kind: a file became a directory.
    Kind,
    /// The same, but for [`Difference::aspects`].
    Metadata,
}

/// A path that differs.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Path inside the later snapshot; of what was removed, inside the earlier one.
    pub path: Vec<u8>,
    /// In what way.
    pub change: Change,
    /// As it was; `None` when it was not there.
    pub before: Option<Node>,
    /// As it is; `None` when it is not there.
    pub after: Option<Node>,
    /// What else differs of an entry that both have.
    pub aspects: Vec<Aspect>,
    /// How the database differs, if that is what changed.
    pub database: Option<DatabaseDifference>,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffTotals {
    /// Paths only in the later snapshot.
    pub added: u64,
    /// Paths only in the earlier one.
    pub removed: u64,
    /// Paths with another content.
    pub changed: u64,
    /// Paths of another kind.
    pub kinds: u64,
    /// Paths with other metadata only; 0 unless asked for.
    pub metadata: u64,
    /// Bytes of files that were added.
    pub bytes_added: u64,
    /// Bytes of files that were removed.
    pub bytes_removed: u64,
}

impl DiffTotals {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.added + self.removed + self.changed + self.kinds + self.metadata == 0
    }
}

/// Compares two snapshots, or paths in them, and tells `visit` of every difference.
///
/// An unreadable directory or database ends the comparison: a difference that is not told would be
/// taken for none.
pub fn diff<E: From<DiffError>>(
    reader: &Reader<'_>,
    [before, after]: [&Side<'_>; 2],
    options: DiffOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
    visit: &mut dyn FnMut(Difference) -> Result<(), E>,
) -> Result<DiffTotals, E> {
    reader.follow_all(vec![before.snapshot.id, after.snapshot.id]);
    walk::Walk::new(reader, [before, after], options, monitor, cancel, visit)?.run()
}
