//! SQLite databases of a restored tree: written as an image beside their place, proven, then put
//! in place atomically.

use crate::entry::{Fact, Facts};
use crate::monitor::Cancel;
use crate::restorer::error::RestoreError;
use crate::source::sqlite::Check;
use crate::target::files::{Overwrite, TargetPath, TargetRoot};
use crate::target::sqlite::{
    ReplaceError, Replacement, ReplacementReport, check_replaceable, replace_database,
};
use crate::tree::Node;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Whether the facts of a file say that it is an SQLite database.
pub(super) fn is_database(facts: &Facts) -> bool {
    facts.get("engine") == Some(&Fact::Text("sqlite".to_owned()))
}

/// A database whose image is being written.
pub(super) struct Pending {
    /// Path inside the snapshot.
    pub(super) shown: Vec<u8>,
    /// Where the image is written.
    pub(super) image: TargetPath,
    image_path: PathBuf,
    target_path: PathBuf,
    facts: Facts,
    mode: u32,
}

impl Pending {
    /// Refuses to replace an existing database that the policy keeps, or that somebody has open,
    /// before anything is fetched.
    pub(super) fn new(
        target: &TargetRoot,
        place: &TargetPath,
        shown: &[u8],
        node: &Node,
        facts: Facts,
        overwrite: Overwrite,
    ) -> Result<Self, RestoreError> {
        let on_disk = |path: &TargetPath| target.path().join(OsStr::from_bytes(path.as_bytes()));
        let target_path = on_disk(place);
        let replaces = matches!(overwrite, Overwrite::Always | Overwrite::IfDifferent);
        if !replaces && target_path.symlink_metadata().is_ok() {
            return Err(RestoreError::Exists(target_path.display().to_string()));
        }
        check_replaceable(&target_path)?;
        let name = [b".", place.name(), b".icecore-image"].concat();
        let parent = parent_of(target, place)?;
        let image = target.child(parent.as_ref(), &name)?;
        let image_path = on_disk(&image);
        Ok(Self {
            shown: shown.to_vec(),
            image_path,
            image,
            target_path,
            facts,
            mode: node.entry.entry.metadata.mode,
        })
    }

    /// Proves the image and gives it its place.
    pub(super) fn put_in_place(
        &self,
        accept_damage: bool,
        check: Check,
        cancel: &Cancel,
    ) -> Result<(PathBuf, ReplacementReport), ReplaceError> {
        let replacement = Replacement {
            image: &self.image_path,
            target: &self.target_path,
            recorded: &self.facts,
            recorded_mode: Some(self.mode),
            accept_damage,
            check,
        };
        let report = replace_database(&replacement, cancel)?;
        Ok((self.target_path.clone(), report))
    }
}

fn parent_of(target: &TargetRoot, place: &TargetPath) -> Result<Option<TargetPath>, RestoreError> {
    let parts: Vec<&[u8]> = place.as_bytes().split(|byte| *byte == b'/').collect();
    let mut parent = None;
    for part in &parts[..parts.len() - 1] {
        parent = Some(target.child(parent.as_ref(), part)?);
    }
    Ok(parent)
}
