//! Globs for paths inside snapshots.

use crate::cli::error::{CommandError, CommandResult};
use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// Compiled globs: those without a slash are for names, the others for whole paths.
pub struct Patterns {
    names: GlobSet,
    paths: GlobSet,
}

impl Patterns {
    /// Compiles globs.
    pub fn new(globs: &[String], ignore_case: bool) -> CommandResult<Self> {
        let bad = |error: globset::Error| CommandError::usage(format!("bad glob: {error}"));
        let mut names = GlobSetBuilder::new();
        let mut paths = GlobSetBuilder::new();
        for text in globs {
            let glob = GlobBuilder::new(text.trim_matches('/'))
                .literal_separator(true)
                .case_insensitive(ignore_case)
                .build()
                .map_err(bad)?;
            match text.contains('/') {
                true => paths.add(glob),
                false => names.add(glob),
            };
        }
        Ok(Self {
            names: names.build().map_err(bad)?,
            paths: paths.build().map_err(bad)?,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.paths.is_empty()
    }

    /// Whether one matches the path, parts joined by `/`, or its last part.
    pub fn match_path(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        self.names.is_match_candidate(&Candidate::from_bytes(name))
            || self.paths.is_match_candidate(&Candidate::from_bytes(path))
    }
}
