//! What of a snapshot is wanted, found out before anything is written.

use crate::cli::commands::ls::{Stop, member};
use crate::cli::commands::restore::RestoreArguments;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::patterns::Patterns;
use crate::cli::text;
use crate::entry::EntryKind;
use crate::format::node::Child;
use crate::repository::{Reader, Snapshot};
use crate::tree::{Descend, Node, walk};
use crate::units::bytes;
use std::collections::HashSet;

/// The chosen entries.
pub struct Chosen {
    include: Patterns,
    exclude: Patterns,
    /// With includes: what matches, and the directories on the way there.
    included: HashSet<Vec<u8>>,
    /// Regular files that are chosen.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Chosen {
    /// Walks what the path names. Reads metadata only.
    pub fn new(
        invocation: &Invocation,
        reader: &Reader<'_>,
        snapshot: &Snapshot,
        path: &[u8],
        arguments: &RestoreArguments,
    ) -> CommandResult<Self> {
        let mut chosen = Self {
            include: Patterns::new(&arguments.include, false)?,
            exclude: Patterns::new(&arguments.exclude, false)?,
            included: HashSet::new(),
            files: 0,
            bytes: 0,
        };
        let shown = String::from_utf8_lossy(path);
        let (root, prefix) = match path.is_empty() {
            true => (snapshot.root, &[][..]),
            false => {
                let node = member(reader, snapshot, &shown)?;
                chosen.visit(path, &node);
                match (node.is_directory(), &node.child) {
                    (true, Child::Links { id, .. }) => (*id, path),
                    _ => return chosen.checked(arguments),
                }
            }
        };
        let mut visit = |path: &[u8], node: &Node| -> Result<Descend, Stop> {
            Ok(match prefix.is_empty() {
                true => chosen.visit(path, node),
                false => chosen.visit(&[prefix, path].join(&b'/'), node),
            })
        };
        let walked = walk::<Stop>(reader, root, &invocation.cancel, &mut visit, &mut |_, _| {
            Ok(())
        });
        match walked {
            Ok(()) => chosen.checked(arguments),
            // Damage is found again, located and reported by the restore itself.
            Err(Stop::Failed(error)) if error.kind == crate::cli::error::ErrorKind::Damage => {
                invocation.ui.log(
                    crate::cli::log::Level::Warning,
                    "damage",
                    &error.message(),
                    &[],
                );
                Ok(chosen)
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Unheard) => Ok(chosen),
        }
    }

    fn checked(self, arguments: &RestoreArguments) -> CommandResult<Self> {
        if !self.include.is_empty() && self.included.is_empty() {
            return Err(CommandError::usage(format!(
                "nothing in the snapshot matches {}",
                arguments.include.join(", ")
            ))
            .hint("icecore ls -R SNAP shows what is in it"));
        }
        Ok(self)
    }

    fn visit(&mut self, path: &[u8], node: &Node) -> Descend {
        if self.exclude.match_path(path) {
            return Descend::Over;
        }
        let below_included = self.parent_is_included(path);
        if self.include.is_empty() || below_included || self.include.match_path(path) {
            if !self.include.is_empty() {
                self.include_with_parents(path, below_included);
            }
            if let EntryKind::File { size } = node.entry.entry.kind {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(size);
            }
        }
        Descend::Into
    }

    /// Whether a directory above matched by itself: then all below it is wanted.
    fn parent_is_included(&self, path: &[u8]) -> bool {
        !self.include.is_empty() && parents(path).any(|parent| self.include.match_path(parent))
    }

    fn include_with_parents(&mut self, path: &[u8], is_below: bool) {
        self.included.insert(path.to_vec());
        if !is_below {
            for parent in parents(path) {
                self.included.insert(parent.to_vec());
            }
        }
    }

    /// Whether the restore takes an entry, or for a directory: looks into it.
    pub fn is_wanted(&self, path: &[u8], _is_directory: bool) -> bool {
        let excluded = self.exclude.match_path(path);
        !excluded && (self.include.is_empty() || self.included.contains(path))
    }

    /// `4,118 files, 61.0 MB`.
    pub fn summary(&self) -> String {
        format!(
            "{}, {}",
            text::counted(self.files, "file"),
            bytes(self.bytes)
        )
    }
}

/// The directories above a path, nearest first.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'/');
    slashes.map(|(position, _)| &path[..position])
}
